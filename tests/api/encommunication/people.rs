//! People of the relay and their sockets, as bare as can be: what is sent and read is the wire's.

use std::net::TcpStream;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use crate::world::{Refusal, Reply, World, close_code, dial, next_text, texts_so_far, wait_for};

/// What everybody's password is.
pub(crate) const PASSWORD: &str = "密码 p@ss";

/// Somebody who is registered and logged in.
pub(crate) struct User<'w> {
    pub(crate) world: &'w World,
    pub(crate) id: i64,
    pub(crate) token: String,
}

/// The public key with which [`join`] registers `name`: no RSA key, but unmistakable bytes.
pub(crate) fn public_key_of(name: &str) -> String {
    format!("-----BEGIN PUBLIC KEY-----\r\n{name}\n\t ü\n-----END PUBLIC KEY-----\n\n")
}

/// Registers `name` with the relay and logs in.
pub(crate) fn join<'w>(world: &'w World, name: &str) -> User<'w> {
    join_with_key(world, name, &public_key_of(name))
}

/// The same with another public key.
pub(crate) fn join_with_key<'w>(world: &'w World, name: &str, public_key: &str) -> User<'w> {
    let body = json!({
        "username": name, "password": PASSWORD, "repassword": PASSWORD, "publicKey": public_key,
    });
    let reply = world.post("/register", &body);
    assert_eq!(reply.status, 200, "{reply:?}");
    log_in(world, name)
}

/// Logs in somebody who is registered.
pub(crate) fn log_in<'w>(world: &'w World, name: &str) -> User<'w> {
    let body = json!({"username": name, "password": PASSWORD});
    let reply = world.post("/login", &body);
    assert_eq!(reply.status, 200, "{reply:?}");
    let data = &reply.json()["data"];
    User {
        world,
        id: data["id"].as_i64().expect("a number"),
        token: data["token"].as_str().expect("a text").to_owned(),
    }
}

impl User<'_> {
    /// Opens a socket with the token in the header `token`, and reads the roster that shows it.
    pub(crate) fn connect(&self) -> Socket {
        let mut socket = self.dial();
        socket.roster_until(|ids| ids.contains(&self.id));
        socket
    }

    /// Opens a socket and reads nothing.
    pub(crate) fn dial(&self) -> Socket {
        let opened = Socket::open(self.world, "/chat", &[("token", &self.token)]);
        opened.expect("the socket opens")
    }

    /// A frame from this user.
    pub(crate) fn frame(&self, to: &User, message: &str, aes_key: &str) -> Value {
        json!({"fromId": self.id, "toId": to.id, "message": message, "aesKey": aes_key})
    }

    /// The records with `peer`.
    pub(crate) fn records(&self, peer: i64) -> Vec<Value> {
        let reply = self.ask_records(&[("toId", peer.to_string())]);
        assert_eq!(reply.status, 200, "{reply:?}");
        let list = reply.json();
        list.as_array().expect("a bare list").clone()
    }

    /// Asks for records as this user, with more in the query.
    pub(crate) fn ask_records(&self, query: &[(&str, String)]) -> Reply {
        let request = self.world.request(Method::GET, "/chatRecords");
        let request = request.header("token", &self.token);
        Reply::to(request.query(&[("fromId", self.id)]).query(query))
    }

    /// What `/received` answers to this user.
    pub(crate) fn received(&self, query: &str) -> Reply {
        let path = format!("/received{query}");
        let request = self.world.request(Method::GET, &path);
        Reply::to(request.header("token", &self.token))
    }

    /// Waits until the records with `peer` are `count`, since frames are not answered.
    pub(crate) fn records_once_there_are(&self, count: usize, peer: i64) -> Vec<Value> {
        wait_for(|| {
            let records = self.records(peer);
            (records.len() >= count).then_some(records)
        })
    }
}

/// One WebSocket.
pub(crate) struct Socket(WebSocket<TcpStream>);

impl Socket {
    /// Opens a socket; an error is the answer to a handshake that was refused.
    pub(crate) fn open(
        world: &World,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Refusal> {
        Self::open_on(world.server.port(), path, headers)
    }

    /// The same on another port.
    pub(crate) fn open_on(
        port: u16,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Refusal> {
        dial(port, path, headers).map(Self)
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string());
    }

    /// Sends any text.
    pub(crate) fn send_text(&mut self, text: &str) {
        self.send_message(Message::Text(text.to_owned()));
    }

    /// Sends a text that the server may not care to hear to its end.
    pub(crate) fn try_send_text(&mut self, text: String) -> bool {
        self.0.send(Message::Text(text)).is_ok()
    }

    /// Sends anything.
    pub(crate) fn send_message(&mut self, message: Message) {
        self.0.send(message).expect("the socket takes it");
    }

    /// The next frame of any sort.
    pub(crate) fn next(&mut self) -> Value {
        serde_json::from_str(&next_text(&mut self.0)).expect("JSON")
    }

    /// The next frame that is no roster.
    pub(crate) fn frame(&mut self) -> Value {
        loop {
            let frame = self.next();
            if !frame["message"].is_array() {
                return frame;
            }
        }
    }

    /// Reads rosters until one's ids fit; other frames are not expected meanwhile.
    pub(crate) fn roster_until(&mut self, mut fits: impl FnMut(&[i64]) -> bool) -> Vec<Value> {
        loop {
            let frame = self.next();
            assert_eq!(frame["systemMessage"], true, "{frame}");
            let listed = frame["message"].as_array().expect("a roster").clone();
            let ids: Vec<i64> = listed
                .iter()
                .filter_map(|user| user["id"].as_i64())
                .collect();
            if fits(&ids) {
                return listed;
            }
        }
    }

    /// The next frame that is no roster, which must be an error frame; its text.
    pub(crate) fn error(&mut self) -> String {
        let frame = self.frame();
        assert_eq!(frame["systemMessage"], true, "{frame}");
        frame["message"].as_str().expect("a text").to_owned()
    }

    /// Everything but rosters that comes before the answer to a ping of now.
    pub(crate) fn frames_so_far(&mut self) -> Vec<Value> {
        let texts = texts_so_far(&mut self.0);
        let frames = texts
            .iter()
            .map(|text| serde_json::from_str(text).expect("JSON"));
        frames
            .filter(|frame: &Value| !frame["message"].is_array())
            .collect()
    }

    /// Reads to the end and returns the code that the server closed with.
    pub(crate) fn close_code(&mut self) -> u16 {
        self.end().expect("a close frame comes")
    }

    /// Reads to the end; `None` if it was cut without a close frame. Panics if it goes on.
    pub(crate) fn end(&mut self) -> Option<u16> {
        close_code(&mut self.0)
    }

    /// Closes from this side.
    pub(crate) fn close(mut self) {
        self.0.close(None).expect("it closes");
        while self.0.read().is_ok() {}
    }
}
