//! The load generator: replays a plan over keep-alive connections and reports rate and latency.
//!
//! One thread, one event loop; each connection sends its next request as soon as the answer to the
//! last is there. The requests are bytes prepared beforehand, so that a request costs little more
//! than its system calls. The report is one line of JSON on standard output.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser as _;
use mio::{Events, Poll};
use sealpost_benches::connection::Connection;
use sealpost_benches::latency::Latencies;
use sealpost_benches::plan::Plan;
use sealpost_benches::response::{Answer, Parser};
use serde_json::json;

/// Replay prepared requests over keep-alive connections.
#[derive(clap::Parser)]
struct Arguments {
    /// Where the server listens
    #[arg(long)]
    address: SocketAddr,
    /// File of prepared requests
    #[arg(long)]
    plan: PathBuf,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long to measure
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How long to run before measuring
    #[arg(long, default_value_t = 0.5)]
    warmup: f64,
    /// Stop after this many requests instead of after a time; nothing is warm-up then
    #[arg(long)]
    count: Option<usize>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let plan = Plan::read(&arguments.plan)?;
    let report = Load::new(&arguments, &plan)?.run()?;
    println!("{report}");
    Ok(())
}

/// A connection and the request it waits for.
struct Client {
    connection: Connection,
    parser: Parser,
    kind: usize,
    sent_at: Instant,
    /// Nothing is left to send, so nothing is under way.
    idle: bool,
}

/// A run of the load: its clients and what they have measured.
struct Load<'a> {
    arguments: &'a Arguments,
    plan: &'a Plan,
    poll: Poll,
    clients: Vec<Client>,
    sent: usize,
    answered: usize,
    measure_from: Instant,
    end: Instant,
    latencies: Vec<Latencies>,
    statuses: BTreeMap<u16, usize>,
    broken: usize,
}

impl<'a> Load<'a> {
    /// Opens all connections; nothing is sent yet.
    fn new(arguments: &'a Arguments, plan: &'a Plan) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(arguments.connections);
        for index in 0..arguments.connections {
            clients.push(Client {
                connection: Connection::open(arguments.address, poll.registry(), index)?,
                parser: Parser::default(),
                kind: 0,
                sent_at: Instant::now(),
                idle: false,
            });
        }
        let warmup = if arguments.count.is_some() {
            0.0
        } else {
            arguments.warmup
        };
        let measure_from = Instant::now() + Duration::from_secs_f64(warmup);
        Ok(Self {
            arguments,
            plan,
            poll,
            clients,
            sent: 0,
            answered: 0,
            measure_from,
            end: measure_from + Duration::from_secs_f64(arguments.seconds),
            latencies: plan.kinds.iter().map(|_| Latencies::default()).collect(),
            statuses: BTreeMap::new(),
            broken: 0,
        })
    }

    /// Runs to the end of the time or the count; the report.
    fn run(mut self) -> io::Result<serde_json::Value> {
        let mut buffer = vec![0; 64 * 1024];
        let mut events = Events::with_capacity(1024);
        let mut cpu_before = None;
        for index in 0..self.clients.len() {
            self.send_next(index)?;
        }
        while !self.is_over() {
            self.poll
                .poll(&mut events, Some(Duration::from_millis(20)))?;
            for event in &events {
                let index = event.token().0;
                if event.is_writable() {
                    self.clients[index].connection.flush()?;
                }
                if event.is_readable() {
                    self.read(index, &mut buffer)?;
                }
            }
            if cpu_before.is_none() && Instant::now() >= self.measure_from {
                cpu_before = Some(cpu_nanos());
            }
        }
        let cpu = cpu_nanos() - cpu_before.unwrap_or(0);
        Ok(self.report(cpu))
    }

    fn is_over(&self) -> bool {
        match self.arguments.count {
            Some(count) => self.answered >= count,
            None => Instant::now() >= self.end,
        }
    }

    /// Reads what `index` has received and follows each answer with the next request.
    fn read(&mut self, index: usize, buffer: &mut [u8]) -> io::Result<()> {
        let client = &mut self.clients[index];
        let (parser, mut answer) = (&mut client.parser, None);
        let received = client.connection.receive(buffer, |bytes| {
            let (used, done) = parser
                .advance(bytes)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not HTTP/1.1"))?;
            answer = answer.or(done);
            Ok(used)
        });
        if let Some(answer) = answer {
            self.note(index, answer);
        }
        let closing = answer.is_some_and(|answer| answer.close);
        match received {
            Ok(()) if !closing => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
            // The peer closed: announced it is no fault, with a request under way it is.
            _ => {
                if answer.is_none() && !self.clients[index].idle {
                    self.broken += 1;
                    self.answered += 1;
                }
                return self.reopen(index);
            }
        }
        if answer.is_some() {
            self.send_next(index)?;
        }
        Ok(())
    }

    fn note(&mut self, index: usize, answer: Answer) {
        let now = Instant::now();
        self.answered += 1;
        if self.arguments.count.is_none() && (now < self.measure_from || now > self.end) {
            return;
        }
        let client = &self.clients[index];
        *self.statuses.entry(answer.status).or_default() += 1;
        self.latencies[client.kind].record(now - client.sent_at);
    }

    fn reopen(&mut self, index: usize) -> io::Result<()> {
        let client = &mut self.clients[index];
        let registry = self.poll.registry();
        client.connection = Connection::open(self.arguments.address, registry, index)?;
        client.parser = Parser::default();
        self.send_next(index)
    }

    fn send_next(&mut self, index: usize) -> io::Result<()> {
        let client = &mut self.clients[index];
        client.idle = self.arguments.count.is_some_and(|count| self.sent >= count);
        if client.idle {
            return Ok(());
        }
        let request = &self.plan.requests[self.sent % self.plan.requests.len()];
        self.sent += 1;
        client.kind = request.kind;
        client.sent_at = Instant::now();
        match client.connection.send(&request.bytes) {
            // Seen when reading, which is where a closed connection is dealt with.
            Err(error) if is_closed(&error) => Ok(()),
            result => result,
        }
    }

    fn report(mut self, cpu: u64) -> serde_json::Value {
        let elapsed = Instant::now().min(match self.arguments.count {
            Some(_) => Instant::now(),
            None => self.end,
        }) - self.measure_from;
        let seconds = elapsed.as_secs_f64();
        let measured: usize = self.statuses.values().sum();
        let good: usize = self.statuses.range(200..300).map(|(_, count)| count).sum();
        let mut kinds = serde_json::Map::new();
        for (kind, latencies) in self.plan.kinds.iter().zip(&mut self.latencies) {
            kinds.insert(kind.clone(), json!(latencies.summary()));
        }
        json!({
            "seconds": seconds,
            "answered": self.answered,
            "requests": measured,
            "rate": per(good, seconds),
            "errors": measured - good + self.broken,
            "broken": self.broken,
            "statuses": self.statuses,
            "kinds": kinds,
            "cpu_us": Duration::from_nanos(cpu).as_secs_f64() * 1e6 / per(measured.max(1), 1.0),
        })
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

/// `count` each so many `seconds`.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn per(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Processor time of this (single) thread so far; 0 where the system does not say.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let first = text.split(' ').next();
    first.and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}
