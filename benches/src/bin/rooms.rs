//! Clients of the TCP protocol in one room: each line of each is echoed to all of them.
//!
//! The clients log in with the names of a file and one password, enter the room and then, together,
//! send at each of the given rates for a while: a steady stream, the clients in turn, whatever the
//! server makes of it. Reported for each rate: messages that reached everybody, and how long that
//! took. A rate that is not kept up ends it. Without rates it holds the connections until killed.

use std::fs;
use std::io::{self, BufRead, BufReader, Error, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser as _;
use mio::{Events, Poll};
use sealpost_benches::connection::Connection;
use sealpost_benches::latency::Latencies;
use serde_json::{Value, json};

/// Fill a room with clients and measure how fast what they send reaches all.
#[derive(clap::Parser)]
struct Arguments {
    /// Where the server listens
    #[arg(long)]
    address: SocketAddr,
    /// File of user names, one a line
    #[arg(long)]
    users: PathBuf,
    /// The password of them all
    #[arg(long)]
    password: String,
    /// How many of them connect
    #[arg(long)]
    clients: usize,
    /// Messages a second by all clients together, rising
    #[arg(long, value_delimiter = ',')]
    rates: Vec<u32>,
    /// How long each rate is held
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// A room to create and fill; without it they stay where they log in
    #[arg(long)]
    room: Option<String>,
}

/// Logging in costs a password hash, of which the server makes only a few at once.
const LOGINS_AT_ONCE: usize = 4;

/// After the last message of a rate: what has not arrived by then counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Length of a content; in front of it stands the message's number.
const CONTENT_LENGTH: usize = 344;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let users = fs::read_to_string(&arguments.users)?;
    let users: Vec<&str> = users.lines().take(arguments.clients).collect();
    let logged_in = log_in_all(&arguments, &users)?;
    let mut room = Room::new(logged_in)?;
    println!("open {}", room.clients.len());
    if arguments.rates.is_empty() {
        loop {
            room.pump(Duration::from_secs(1))?;
        }
    }
    for &rate in &arguments.rates {
        let step = room.hold(rate, Duration::from_secs_f64(arguments.seconds))?;
        println!("{}", step.report);
        if !step.kept_up {
            break;
        }
    }
    Ok(())
}

/// A connection that is logged in and stands in a room.
struct LoggedIn {
    lines: BufReader<TcpStream>,
    group: Value,
}

fn log_in_all(arguments: &Arguments, users: &[&str]) -> io::Result<Vec<LoggedIn>> {
    let share = users.len().div_ceil(LOGINS_AT_ONCE).max(1);
    let mut clients = thread::scope(|scope| {
        let workers: Vec<_> = users
            .chunks(share)
            .map(|names| scope.spawn(|| names.iter().map(|name| log_in(arguments, name)).collect()))
            .collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().expect("logging in does not panic"));
        joined.collect::<io::Result<Vec<Vec<LoggedIn>>>>()
    })?
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    if let Some(room) = &arguments.room {
        for (index, client) in clients.iter_mut().enumerate() {
            enter(client, room, index == 0)?;
        }
    }
    Ok(clients)
}

fn log_in(arguments: &Arguments, name: &str) -> io::Result<LoggedIn> {
    let mut client = LoggedIn {
        lines: BufReader::new(TcpStream::connect(arguments.address)?),
        group: Value::Null,
    };
    let request = json!({
        "message_type": "login_request",
        "username": name,
        "password": arguments.password,
    });
    let reply = ask(&mut client, &request, "login_response")?;
    client.group = reply["current_chat_group"]["id"].clone();
    Ok(client)
}

/// Makes a client's current room the one of this name; the `first` creates it.
fn enter(client: &mut LoggedIn, room: &str, first: bool) -> io::Result<()> {
    let (request, reply) = if first {
        ("create_chat_request", "create_chat_response")
    } else {
        ("join_chat_request", "system_message")
    };
    // Only what both requests know: a field too many is refused.
    let request = json!({"message_type": request, "chat_name": room});
    ask(client, &request, reply)?;
    let request = json!({"message_type": "enter_chat_request", "chat_name": room});
    let entered = ask(client, &request, "enter_chat_response")?;
    client.group = entered["chat_group_id"].clone();
    wait_for(client, "chat_history_complete").map(drop)
}

fn ask(client: &mut LoggedIn, request: &Value, reply: &str) -> io::Result<Value> {
    let line = format!("{request}\n");
    client.lines.get_mut().write_all(line.as_bytes())?;
    wait_for(client, reply)
}

/// The next message of this type; an error message or a refusal ends the benchmark.
fn wait_for(client: &mut LoggedIn, message_type: &str) -> io::Result<Value> {
    loop {
        let mut line = String::new();
        if client.lines.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let message: Value = serde_json::from_str(&line)?;
        let found = &message["message_type"];
        if found == "error_message" || message["success"] == false {
            return Err(Error::other(line));
        }
        if found == message_type {
            return Ok(message);
        }
    }
}

/// A message under way.
struct Sent {
    at: Instant,
    /// How many clients have yet to get it.
    missing: usize,
}

/// The room from its clients' side.
struct Room {
    poll: Poll,
    clients: Vec<Option<Connection>>,
    groups: Vec<Value>,
    /// Every message ever sent, by number.
    sent: Vec<Sent>,
    latencies: Latencies,
    complete: usize,
    lost_clients: usize,
}

/// What one rate led to.
struct Step {
    report: Value,
    kept_up: bool,
}

impl Room {
    fn new(logged_in: Vec<LoggedIn>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (mut clients, mut groups) = (Vec::new(), Vec::new());
        for (index, client) in logged_in.into_iter().enumerate() {
            let held = client.lines.buffer().to_vec();
            let stream = client.lines.into_inner();
            clients.push(Some(Connection::watch(
                stream,
                held,
                poll.registry(),
                index,
            )?));
            groups.push(client.group);
        }
        Ok(Self {
            poll,
            clients,
            groups,
            sent: Vec::new(),
            latencies: Latencies::default(),
            complete: 0,
            lost_clients: 0,
        })
    }

    /// Sends at `rate` for `time`, then waits for what is still under way.
    fn hold(&mut self, rate: u32, time: Duration) -> io::Result<Step> {
        self.latencies = Latencies::default();
        self.complete = 0;
        let first = self.sent.len();
        let (start, pause) = (Instant::now(), time_between(rate));
        let mut due = start;
        while start.elapsed() < time {
            while due <= Instant::now() && due < start + time {
                self.say()?;
                due += pause;
            }
            let wait = due.saturating_duration_since(Instant::now());
            self.pump(wait.max(Duration::from_micros(100)))?;
        }
        let offered = self.sent.len() - first;
        let in_time = self.complete;
        while self.complete < offered && start.elapsed() < time + PATIENCE {
            self.pump(Duration::from_millis(20))?;
        }
        let report = json!({
            "offered_rate": rate,
            "rate": per_second(in_time, time),
            "offered": offered,
            "undelivered": offered - self.complete,
            "lost_clients": self.lost_clients,
            "last_echo": self.latencies.summary(),
        });
        // A few are always under way when the time is over.
        let kept_up = in_time * 100 >= offered * 95 && self.lost_clients == 0;
        Ok(Step { report, kept_up })
    }

    /// The next client in turn says something.
    fn say(&mut self) -> io::Result<()> {
        let number = self.sent.len();
        let index = number % self.clients.len();
        let missing = self.clients.len() - self.lost_clients;
        let Some(client) = &mut self.clients[index] else {
            return Ok(());
        };
        let mut content = format!("~{number:010}~");
        content.extend(std::iter::repeat_n('A', CONTENT_LENGTH - content.len()));
        let message = json!({
            "message_type": "chat_message",
            "chat_group_id": self.groups[index],
            "content": content,
        });
        self.sent.push(Sent {
            at: Instant::now(),
            missing,
        });
        client.send(format!("{message}\n").as_bytes())
    }

    /// Reads what arrives within `wait`, at all clients.
    fn pump(&mut self, wait: Duration) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 * 1024];
        self.poll.poll(&mut events, Some(wait))?;
        for event in &events {
            let index = event.token().0;
            let Some(mut client) = self.clients[index].take() else {
                continue;
            };
            let flushed = client.flush();
            match flushed.and_then(|()| client.receive(&mut buffer, |bytes| Ok(self.read(bytes)))) {
                Ok(()) => self.clients[index] = Some(client),
                Err(_) => self.lost_clients += 1,
            }
        }
        Ok(())
    }

    /// Notes the echoes among the whole lines of `bytes`; how many bytes those are.
    fn read(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if line.last() != Some(&b'\n') {
                break;
            }
            used += line.len();
            let Some(sent) = number(line).and_then(|number| self.sent.get_mut(number)) else {
                continue;
            };
            sent.missing = sent.missing.saturating_sub(1);
            if sent.missing == 0 {
                self.latencies.record(sent.at.elapsed());
                self.complete += 1;
            }
        }
        used
    }
}

/// The number that stands between tildes in a line, if it is an echo.
fn number(line: &[u8]) -> Option<usize> {
    let start = line.iter().position(|&byte| byte == b'~')? + 1;
    std::str::from_utf8(line.get(start..start + 10)?)
        .ok()?
        .parse()
        .ok()
}

fn time_between(rate: u32) -> Duration {
    Duration::from_secs(1) / rate.max(1)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
