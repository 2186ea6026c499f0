//! Many web sockets at once: held idle, or each waiting for the same message.
//!
//! Without `--plan` it opens the sockets, says so (`open <count>`), answers pings and waits to be
//! killed. With one it sends its requests one after the other, each when all sockets have got the
//! last one's message, and reports how long after the reply the last of them had it.

use std::fs;
use std::io::{self, Error, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser as _;
use mio::{Events, Poll};
use sealpost_benches::connection::Connection;
use sealpost_benches::latency::Latencies;
use sealpost_benches::plan::Plan;
use sealpost_benches::response::Parser;
use sealpost_benches::websocket::{self, Kind};
use serde_json::json;
use socket2::{Domain, Socket, Type};

/// Open many sockets and wait, or measure how a message reaches them.
#[derive(clap::Parser)]
struct Arguments {
    /// Where the server listens
    #[arg(long)]
    address: SocketAddr,
    /// File of paths to open, one a line, used in turn
    #[arg(long)]
    paths: PathBuf,
    /// How many sockets
    #[arg(long)]
    connections: usize,
    /// Requests, each of which sends one message to all sockets
    #[arg(long)]
    plan: Option<PathBuf>,
    /// How many messages to send
    #[arg(long, default_value_t = 200)]
    messages: usize,
    /// Further sockets that never read
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Only frames that hold this text count
    #[arg(long, default_value = "new_message")]
    counted: String,
}

/// A message that has not reached all within this never will.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let paths = fs::read_to_string(&arguments.paths)?;
    let paths: Vec<&str> = paths.lines().collect();
    let plan = arguments.plan.as_deref().map(Plan::read).transpose()?;
    let mut sockets = Sockets::open(&arguments, &paths)?;
    println!("open {}", sockets.all.len());
    match plan {
        None => loop {
            sockets.pump(Duration::from_secs(1))?;
        },
        Some(plan) => {
            let report = fan_out(&arguments, &plan, &mut sockets)?;
            println!("{report}");
            Ok(())
        }
    }
}

/// All open sockets and the connection that sends.
struct Sockets {
    poll: Poll,
    /// By token; closed ones are gone.
    all: Vec<Option<Connection>>,
    /// Its token is the one behind the last of `all`.
    sender: Option<Connection>,
    /// Never watched, never read.
    _stalled: Vec<TcpStream>,
    parser: Parser,
    counted: Vec<u8>,
    /// Status of the last reply, until it is taken.
    reply: Option<(u16, Instant)>,
    arrived: usize,
    last_arrival: Instant,
    lost: usize,
}

impl Sockets {
    fn open(arguments: &Arguments, paths: &[&str]) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut all = Vec::with_capacity(arguments.connections);
        let mut stalled = Vec::new();
        for (index, path) in (0..arguments.stalled).zip(paths.iter().cycle()) {
            // A small buffer, so that not reading is felt soon.
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_recv_buffer_size(4096)?;
            socket.connect(&arguments.address.into())?;
            stalled.push(TcpStream::from(socket));
            websocket::handshake(&mut stalled[index], path)?;
        }
        for (index, path) in (0..arguments.connections).zip(paths.iter().cycle()) {
            let mut stream = TcpStream::connect(arguments.address)?;
            let held = websocket::handshake(&mut stream, path)?;
            let connection = Connection::watch(stream, held, poll.registry(), index)?;
            all.push(Some(connection));
        }
        Ok(Self {
            poll,
            all,
            sender: None,
            _stalled: stalled,
            parser: Parser::default(),
            counted: arguments.counted.clone().into_bytes(),
            reply: None,
            arrived: 0,
            last_arrival: Instant::now(),
            lost: 0,
        })
    }

    /// Sends a request over a connection of its own, opened at the first.
    fn send(&mut self, address: SocketAddr, request: &[u8]) -> io::Result<()> {
        let mut sender = match self.sender.take() {
            Some(sender) => sender,
            None => Connection::open(address, self.poll.registry(), self.all.len())?,
        };
        sender.send(request)?;
        self.sender = Some(sender);
        Ok(())
    }

    /// Reads what arrives within `wait`: counts messages, answers pings, notes the reply.
    fn pump(&mut self, wait: Duration) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 * 1024];
        self.poll.poll(&mut events, Some(wait))?;
        for event in &events {
            let index = event.token().0;
            if index == self.all.len() {
                if let Some(mut sender) = self.sender.take() {
                    self.read_reply(&mut sender, &mut buffer)?;
                    self.sender = Some(sender);
                }
            } else if let Some(mut socket) = self.all[index].take() {
                let read = socket.flush();
                match read.and_then(|()| self.read_frames(&mut socket, &mut buffer)) {
                    Ok(()) => self.all[index] = Some(socket),
                    Err(_) => self.lost += 1,
                }
            }
        }
        Ok(())
    }

    fn read_reply(&mut self, connection: &mut Connection, buffer: &mut [u8]) -> io::Result<()> {
        connection.receive(buffer, |bytes| {
            let (used, answer) = self
                .parser
                .advance(bytes)
                .map_err(|_| Error::new(ErrorKind::InvalidData, "not HTTP/1.1"))?;
            if let Some(answer) = answer {
                self.reply = Some((answer.status, Instant::now()));
            }
            Ok(used)
        })
    }

    fn read_frames(&mut self, connection: &mut Connection, buffer: &mut [u8]) -> io::Result<()> {
        let mut pongs = Vec::new();
        connection.receive(buffer, |bytes| {
            let mut used = 0;
            while let Some((kind, payload, length)) = websocket::frame(&bytes[used..]) {
                match kind {
                    Kind::Data if contains(payload, &self.counted) => {
                        self.arrived += 1;
                        self.last_arrival = Instant::now();
                    }
                    Kind::Ping => pongs.extend(websocket::pong(payload)),
                    Kind::Close => return Err(ErrorKind::ConnectionAborted.into()),
                    Kind::Data | Kind::Other => {}
                }
                used += length;
            }
            Ok(used)
        })?;
        connection.send(&pongs)
    }
}

/// Sends the messages one by one; the report.
fn fan_out(
    arguments: &Arguments,
    plan: &Plan,
    sockets: &mut Sockets,
) -> io::Result<serde_json::Value> {
    let (mut replies, mut lateness) = (Latencies::default(), Latencies::default());
    let start = Instant::now();
    for request in plan.requests.iter().cycle().take(arguments.messages) {
        (sockets.arrived, sockets.reply) = (0, None);
        let sent_at = Instant::now();
        sockets.send(arguments.address, &request.bytes)?;
        let replied_at = loop {
            sockets.pump(Duration::from_millis(50))?;
            match sockets.reply {
                Some((200, at)) if sockets.arrived >= arguments.connections - sockets.lost => {
                    break at;
                }
                Some((status, _)) if status != 200 => {
                    return Err(Error::other(format!("a send was answered {status}")));
                }
                _ if sent_at.elapsed() > PATIENCE => {
                    let text = format!("a message reached only {} sockets", sockets.arrived);
                    return Err(Error::new(ErrorKind::TimedOut, text));
                }
                _ => {}
            }
        };
        replies.record(replied_at - sent_at);
        lateness.record(sockets.last_arrival.saturating_duration_since(replied_at));
    }
    Ok(json!({
        "seconds": start.elapsed().as_secs_f64(),
        "reply": replies.summary(),
        "last_after_reply": lateness.summary(),
        "lost": sockets.lost,
    }))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
