//! An agent for one test: the built program on a free port with keys of its own, its people and
//! what they can do.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::relay_stub::SOON;
use crate::world::{Process, program, wait_for};

/// A running agent.
pub(crate) struct Agent {
    process: Process,
    pub(crate) url: String,
    pub(crate) http: Client,
    home: TempDir,
    server: String,
}

/// A user logged in on an agent.
pub(crate) struct Person<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) id: i64,
}

impl Agent {
    /// An agent with an empty key store.
    pub(crate) fn start(server: &str) -> Self {
        Self::start_in(TempDir::new().expect("a directory"), server)
    }

    fn start_in(home: TempDir, server: &str) -> Self {
        let (process, url) = launch(home.path(), server);
        // Shorter than Rocket keeps a connection: one that it is just closing answers nothing.
        let idle = Duration::from_secs(2);
        let http = Client::builder().no_proxy().timeout(SOON * 2);
        let http = http.pool_idle_timeout(idle).build();
        Self {
            process,
            url,
            http: http.expect("a client"),
            home,
            server: server.to_owned(),
        }
    }

    /// Stops the agent the kind way and starts it with the same key store.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Stops the agent and starts it with the same key store for the server at `url`.
    pub(crate) fn move_to(&mut self, url: String) {
        self.stop();
        self.server = url;
        self.start_again();
    }

    /// Starts an agent that was stopped, with the same key store.
    pub(crate) fn start_again(&mut self) {
        let (process, url) = launch(self.home.path(), &self.server);
        (self.process, self.url) = (process, url);
    }

    /// Asks the agent to end and waits until it has.
    pub(crate) fn stop(&mut self) {
        assert!(self.process.stop().success());
    }

    /// Ends the agent at once, without a word.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Where the agent keeps its keys.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{path}", self.url)).send())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        answer(request.send())
    }

    /// Registers `username` with the password `p`.
    pub(crate) fn register(&self, username: &str) -> Value {
        let body = json!({"username": username, "password": "p", "repassword": "p"});
        good(self.post("/api/register", &body))
    }

    /// Logs `username` in with the password `p`.
    pub(crate) fn login(&self, username: &str) -> Person<'_> {
        let body = json!({"username": username, "password": "p"});
        let data = good(self.post("/api/login", &body));
        let id = data["id"].as_i64().expect("a number");
        Person { agent: self, id }
    }

    /// Registers and logs in.
    pub(crate) fn person(&self, username: &str) -> Person<'_> {
        self.register(username);
        self.login(username)
    }

    /// The stream's events from now on.
    pub(crate) fn stream(&self) -> Stream {
        let client = Client::builder().no_proxy().timeout(None).build();
        let request = client
            .expect("a client")
            .get(format!("{}/api/stream", self.url));
        let response = request.send().expect("a stream");
        let content_type = &response.headers()["content-type"];
        assert_eq!(content_type, "text/event-stream; charset=utf-8");
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(response).lines() {
                let Ok(line) = line else { break };
                if let Some(event) = line.strip_prefix("data: ") {
                    let event = serde_json::from_str(event).expect("events are JSON");
                    if sender.send(event).is_err() {
                        break;
                    }
                }
            }
        });
        Stream(events)
    }
}

impl Person<'_> {
    /// Sends `text` and expects it to be taken.
    pub(crate) fn send(&self, to: i64, text: &str) {
        assert_eq!(self.try_send(to, text).0, 200);
    }

    pub(crate) fn try_send(&self, to: i64, text: &str) -> (u16, Value) {
        let body = json!({"from_id": self.id, "target_id": to, "message": text});
        self.agent.post("/api/send_message", &body)
    }

    /// The history with `peer`, as its texts.
    pub(crate) fn texts(&self, peer: i64) -> Vec<String> {
        let path = format!("/api/chat/records?fromId={}&toId={peer}", self.id);
        let data = good(self.agent.get(&path));
        let records = data["records"].as_array().expect("a list");
        let text = |record: &Value| record["chat"].as_str().expect("a text").to_owned();
        records.iter().map(text).collect()
    }

    /// `peer` as the agent shows them, once they fit.
    pub(crate) fn peer(&self, peer: i64, fits: impl Fn(&Value) -> bool) -> Value {
        self.shows(|shown| shown["id"] == peer && fits(shown))
    }

    /// Somebody as the agent shows them, once they fit.
    pub(crate) fn shows(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/peers?user={}", self.id);
        wait_for(|| {
            let data = good(self.agent.get(&path));
            let peers = data["peers"].as_array().expect("a list").clone();
            peers.into_iter().find(&fits)
        })
    }

    /// Waits until `peer` is online for this person.
    pub(crate) fn sees(&self, peer: i64) {
        self.peer(peer, |shown| shown["online"] == true);
    }
}

/// The events of one page.
pub(crate) struct Stream(Receiver<Value>);

impl Stream {
    /// The next event that fits.
    pub(crate) fn next(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + SOON;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self.0.recv_timeout(left).expect("an event in time");
            if fits(&event) {
                return event;
            }
        }
    }

    /// The next message: those events have no type.
    pub(crate) fn message(&self) -> Value {
        self.next(|event| event.get("type").is_none())
    }
}

/// The data of a good answer.
pub(crate) fn good((status, body): (u16, Value)) -> Value {
    assert_eq!((status, &body["code"]), (200, &json!(1)), "{body}");
    body["data"].clone()
}

/// The words of a refusal with this status.
pub(crate) fn refused((status, body): (u16, Value), expected: u16) -> String {
    assert_eq!((status, &body["code"]), (expected, &json!(0)), "{body}");
    assert_eq!(body["data"], Value::Null);
    body["msg"].as_str().expect("words").to_owned()
}

fn answer(response: reqwest::Result<Response>) -> (u16, Value) {
    let response = response.expect("the agent answers");
    let status = response.status().as_u16();
    (status, response.json().expect("JSON"))
}

fn launch(home: &Path, server: &str) -> (Process, String) {
    let mut command = program();
    command.args(["agent", "--server", server, "--port", "0", "--data-dir"]);
    let command = command.arg(home.join("keys")).current_dir(home);
    Process::start(command, announced)
}

/// The address in the line with which an agent announces itself.
pub(crate) fn announced(line: &str) -> Option<String> {
    let url = line.strip_prefix("sealpost agent: open ");
    url.map(str::to_owned)
}
