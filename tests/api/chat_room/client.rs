//! A client as plain as a socket, and a server for it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Server, Setup, World};

/// The password everybody here registers with.
pub(super) const PASSWORD: &str = "secret1";

/// How long an answer may take, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

/// A world whose server speaks the TCP protocol too.
pub(super) struct Rooms {
    world: World,
    port: u16,
}

impl Deref for Rooms {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Rooms {
    /// A server with the usual settings, on free ports.
    pub(super) fn start() -> Self {
        Self::with(Setup::new())
    }

    /// A server with settings of its own.
    pub(super) fn with(setup: Setup) -> Self {
        let world = setup
            .with_chat_room()
            .arg("--chat-room-port")
            .arg("0")
            .start();
        let port = port_of(&world.server);
        Rooms { world, port }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The world, to stop or restart its server.
    pub(super) fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// Kills the server and starts it on the same data.
    pub(super) fn restart(&mut self) {
        self.world.restart();
        self.port = port_of(&self.world.server);
    }

    /// A fresh connection.
    pub(super) fn connect(&self) -> Client {
        Client::to(self.port)
    }

    /// Registers somebody.
    pub(super) fn sign_up(&self, name: &str) -> Client {
        let mut client = self.connect();
        let reply = client.ask(&credentials("register_request", name));
        assert_eq!(reply["success"], true, "{reply}");
        client
    }

    /// Registers somebody and logs them in.
    pub(super) fn arrive(&self, name: &str) -> Client {
        let mut client = self.sign_up(name);
        client.log_in(name);
        client
    }

    /// Somebody registered before, on a new connection.
    pub(super) fn come_back(&self, name: &str) -> Client {
        let mut client = self.connect();
        client.log_in(name);
        client
    }
}

/// The port that a server says it listens on.
pub(super) fn port_of(server: &Server) -> u16 {
    const SAYS: &str = "chat_room listens on 127.0.0.1:";
    let line = server.wait_for_line(|line| line.starts_with(SAYS));
    line[SAYS.len()..].trim().parse().expect("a port")
}

/// A request with a name and the usual password.
pub(super) fn credentials(kind: &str, name: &str) -> Value {
    json!({"message_type": kind, "timestamp": 1_640_995_200.0, "username": name, "password": PASSWORD})
}

/// A `chat_message` to a group, as the published client sends it.
pub(super) fn saying(group: i64, content: &str) -> Value {
    json!({
        "message_type": "chat_message", "timestamp": 1_795_194_808.517_814_6, "sender_id": 1,
        "sender_username": "", "chat_group_id": group, "chat_group_name": "",
        "content": content, "message_id": null,
    })
}

/// A request of one text or number field.
pub(super) fn request(kind: &str, field: &str, value: impl Into<Value>) -> Value {
    json!({"message_type": kind, "timestamp": 1.5, field: value.into()})
}

/// A request without fields.
pub(super) fn bare(kind: &str) -> Value {
    json!({"message_type": kind, "timestamp": 1_795_194_809.771_512_7})
}

/// A frame without its timestamp, which must be what it always is: seconds, or text in histories.
pub(super) fn told(mut frame: Value) -> Value {
    let timestamp = frame
        .as_object_mut()
        .expect("a frame is an object")
        .remove("timestamp");
    let timestamp = timestamp.expect("every frame has a timestamp");
    if frame["message_type"] == "chat_history" {
        assert_calendar(&timestamp);
    } else {
        assert!(
            timestamp.as_f64().is_some_and(|seconds| seconds > 1.7e9),
            "{timestamp}"
        );
    }
    frame
}

/// Asserts that a value is `YYYY-MM-DD HH:MM:SS`.
pub(super) fn assert_calendar(value: &Value) {
    let text = value.as_str().unwrap_or_default();
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00 00:00:00", "{value}");
}

/// Asserts that a frame is an error of this code.
pub(super) fn assert_error(frame: &Value, code: u16) {
    assert_eq!(frame["message_type"], "error_message", "{frame}");
    assert_eq!(frame["error_code"], code, "{frame}");
    assert!(
        frame["error_message"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{frame}"
    );
    assert_eq!(
        frame.as_object().map(serde_json::Map::len),
        Some(4),
        "{frame}"
    );
}

/// One connection.
pub(super) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects to a port of this machine.
    pub(super) fn to(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP stream");
        Client {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Logs in with the usual password; returns the reply.
    pub(super) fn log_in(&mut self, name: &str) -> Value {
        let reply = self.ask(&credentials("login_request", name));
        assert_eq!(reply["message_type"], "login_response", "{reply}");
        assert_eq!(reply["success"], true, "{reply}");
        reply
    }

    pub(super) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    pub(super) fn send(&mut self, request: &Value) {
        self.send_bytes(format!("{request}\n").as_bytes());
    }

    /// Several requests in one piece.
    pub(super) fn send_together(&mut self, requests: &[Value]) {
        let lines: Vec<String> = requests.iter().map(Value::to_string).collect();
        self.send_bytes(format!("{}\n", lines.join("\n")).as_bytes());
    }

    /// The next line, or `None` when the server has closed.
    pub(super) fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(
                    String::from_utf8(line)
                        .expect("lines are UTF-8")
                        .trim_end()
                        .to_owned(),
                );
            }
            if !self.fill() {
                assert!(self.buffer.is_empty(), "the server closed inside a line");
                return None;
            }
        }
    }

    /// Reads more; false at the end of the stream. Panics if nothing comes in time.
    fn fill(&mut self) -> bool {
        let more = self.wait_for_more(PATIENCE);
        assert_ne!(more, Some(false), "nothing came in {PATIENCE:?}");
        more.is_some()
    }

    /// Waits for bytes: true if some came, false if not, `None` at the end of the stream.
    fn wait_for_more(&mut self, patience: Duration) -> Option<bool> {
        self.stream
            .set_read_timeout(Some(patience))
            .expect("a TCP stream");
        let mut piece = vec![0; 64 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => None,
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                Some(true)
            }
            Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Some(false)
            }
            // Reset: the server has closed without reading all that was sent.
            Err(_) => None,
        }
    }

    /// The next frame.
    pub(super) fn receive(&mut self) -> Value {
        let line = self.line().expect("the connection is open");
        serde_json::from_str(&line).unwrap_or_else(|cause| panic!("{cause}: {line}"))
    }

    /// The next `count` frames.
    pub(super) fn receive_many(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.receive()).collect()
    }

    pub(super) fn ask(&mut self, request: &Value) -> Value {
        self.send(request);
        self.receive()
    }

    /// Exactly this many bytes, as they are.
    pub(super) fn receive_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(
                self.fill(),
                "the server closed after {} of {count} bytes",
                self.buffer.len()
            );
        }
        self.buffer.drain(..count).collect()
    }

    /// Whether nothing comes for a while.
    pub(super) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.buffer.is_empty() && self.wait_for_more(time) == Some(false)
    }

    /// Whether nothing has come that this client has not seen: asks something and sees only the
    /// answer to that.
    pub(super) fn has_nothing_waiting(&mut self) -> bool {
        let reply = self.ask(&bare("nope"));
        reply["error_code"] == 1008
    }

    /// Whether the server has closed, with nothing more to say.
    pub(super) fn is_closed(&mut self) -> bool {
        self.line().is_none()
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("a TCP stream");
    }

    /// The socket itself.
    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Enters a room; returns its history.
    pub(super) fn enter(&mut self, name: &str) -> Vec<Value> {
        let reply = self.ask(&request("enter_chat_request", "chat_name", name));
        assert_eq!(reply["message_type"], "enter_chat_response", "{reply}");
        let mut history = Vec::new();
        loop {
            let frame = self.receive();
            if frame["message_type"] == "chat_history_complete" {
                assert_eq!(frame["message_count"], history.len(), "{frame}");
                return history;
            }
            assert_eq!(frame["message_type"], "chat_history", "{frame}");
            history.push(frame);
        }
    }

    /// Makes a room; returns its id.
    pub(super) fn create(&mut self, name: &str, members: &[&str]) -> i64 {
        let reply = self.ask(&json!({
            "message_type": "create_chat_request", "chat_name": name, "member_usernames": members,
        }));
        assert_eq!(reply["success"], true, "{reply}");
        reply["chat_group_id"].as_i64().expect("an id")
    }

    /// Says something in a room and waits for the echo, which is returned.
    pub(super) fn say(&mut self, group: i64, content: &str) -> Value {
        let echo = self.ask(&saying(group, content));
        assert_eq!(echo["content"], content, "{echo}");
        echo
    }
}
