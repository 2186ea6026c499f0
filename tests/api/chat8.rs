//! chat8 as its document describes it: people, their calls, and the envelope of every answer.

mod accounts;
mod errors;
mod friends;
mod letters;
mod socket;
mod socket_attacks;
mod tokens;
mod upload_attacks;
mod uploads;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::blocking::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use crate::world::{Reply, World, close_code, dial, next_text, poll};

/// How long a test waits for what must come.
const PATIENCE: Duration = crate::world::PATIENCE;

/// A user of chat8 with a token.
pub(crate) struct Someone<'w> {
    pub(crate) world: &'w World,
    pub(crate) id: i64,
    pub(crate) username: String,
    pub(crate) token: String,
}

/// The password of whoever [`Someone::new`] registers.
pub(crate) fn password_of(username: &str) -> String {
    format!("password of {username}")
}

/// The body with which [`Someone::new`] registers.
pub(crate) fn registration(username: &str) -> Value {
    let password = password_of(username);
    json!({
        "username": username,
        "email": format!("{username}@example.org"),
        "password": password,
        "confirm_password": password,
    })
}

impl<'w> Someone<'w> {
    /// Registers `username`.
    pub(crate) fn new(world: &'w World, username: &str) -> Self {
        let registered = data(&world.post("/api/v1/auth/register", &registration(username)));
        Someone {
            world,
            id: registered["user_id"]
                .as_i64()
                .expect("user_id is an integer"),
            username: username.to_owned(),
            token: text(&registered["access_token"]),
        }
    }

    /// The same user with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Someone {
            world: self.world,
            id: self.id,
            username: self.username.clone(),
            token: token.to_owned(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::POST, path, Some(body))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::PUT, path, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, None)
    }

    pub(crate) fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let path = format!("/api/v1{path}");
        let request = self.world.request(method, &path).bearer_auth(&self.token);
        Reply::to(match body {
            Some(body) => request.json(body),
            None => request,
        })
    }

    /// Sends text and returns the message's id.
    pub(crate) fn send(&self, to: &Someone, content: &str) -> i64 {
        let body = json!({"receiver_id": to.id, "content": content});
        let sent = data(&self.post("/messages", &body));
        sent["id"].as_i64().expect("id is an integer")
    }

    /// The latest messages with somebody, oldest first.
    pub(crate) fn history(&self, with: &Someone) -> Vec<Value> {
        let page = data(&self.get(&format!("/messages/{}", with.id)));
        page["messages"].as_array().expect("messages").clone()
    }

    /// Makes both friends, by request and answer.
    pub(crate) fn befriend(&self, other: &Someone) {
        done(
            &self.post("/friends/request", &json!({"user_id": other.id})),
            "好友请求已发送",
        );
        let request = data(&other.get("/friends/requests"))[0]["request_id"].clone();
        let path = format!("/friends/request/{request}");
        done(
            &other.put(&path, &json!({"action": "accept"})),
            "好友请求已处理",
        );
    }

    /// Uploads `bytes` as a file called `name` for somebody.
    pub(crate) fn upload(&self, to: &Someone, name: &str, bytes: &[u8]) -> Reply {
        let form = file_form(name, bytes).text("receiver_id", to.id.to_string());
        self.submit("/upload/file", form)
    }

    /// Uploads an avatar.
    pub(crate) fn upload_avatar(&self, name: &str, bytes: &[u8]) -> Reply {
        self.submit("/upload/avatar", file_form(name, bytes))
    }

    pub(crate) fn submit(&self, path: &str, form: Form) -> Reply {
        let path = format!("/api/v1{path}");
        let request = self
            .world
            .request(Method::POST, &path)
            .bearer_auth(&self.token);
        Reply::to(request.multipart(form))
    }

    /// Opens the socket.
    pub(crate) fn connect(&self) -> Live {
        let path = format!("/ws/{}?token={}", self.id, self.token);
        Live::open(self.world, &path, &[]).expect("the socket opens")
    }
}

/// A form with one file, said to be an image.
pub(crate) fn file_form(name: &str, bytes: &[u8]) -> Form {
    let part = Part::bytes(bytes.to_vec()).file_name(name.to_owned());
    Form::new().part("file", part.mime_str("image/png").expect("a media type"))
}

/// The text of a JSON value.
pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

/// The `data` of a success, whose envelope has nothing else.
pub(crate) fn data(reply: &Reply) -> Value {
    let body = envelope(reply);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(body["success"], true);
    assert_eq!(body.as_object().expect("an object").len(), 3, "{body}");
    body["data"].clone()
}

/// Checks a success that says nothing but `message`.
pub(crate) fn done(reply: &Reply, message: &str) {
    let body = envelope(reply);
    assert_eq!(reply.status, 200, "{reply:?}");
    let expected = json!({"success": true, "message": message, "timestamp": body["timestamp"]});
    assert_eq!(body, expected);
}

/// Checks an error's status, code and shape, and returns its details.
pub(crate) fn refused(reply: &Reply, status: u16, code: &str) -> Value {
    let body = envelope(reply);
    assert_eq!(reply.status, status, "{reply:?}");
    let (details, said) = (&body["error"]["details"], &body["error"]["message"]);
    assert!(details.is_object() && !text(said).is_empty(), "{body}");
    let expected = json!({
        "success": false,
        "error": {"code": code, "message": said, "details": details},
        "timestamp": body["timestamp"],
    });
    assert_eq!(body, expected);
    details.clone()
}

fn envelope(reply: &Reply) -> Value {
    assert_eq!(
        reply.header("content-type"),
        Some("application/json"),
        "{reply:?}"
    );
    let body = reply.json();
    assert!(is_instant(&body["timestamp"]), "{body}");
    body
}

/// Whether a value is an instant as this API writes it.
pub(crate) fn is_instant(value: &Value) -> bool {
    let Some(text) = value.as_str() else {
        return false;
    };
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%SZ").is_ok()
}

/// An open socket.
pub(crate) struct Live(WebSocket<TcpStream>);

impl Live {
    /// Opens `path`; a refusal is the status of the handshake's answer.
    pub(crate) fn open(
        world: &World,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let opened = dial(world.server.port(), path, headers);
        opened.map(Live).map_err(|answer| answer.status().as_u16())
    }

    pub(crate) fn say(&mut self, frame: &Value) {
        self.send(Message::Text(frame.to_string()));
    }

    pub(crate) fn send(&mut self, message: Message) {
        self.0.send(message).expect("the socket takes it");
    }

    /// Sends bytes that are no frame of the library's making; an error if the server hangs up.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Says by the connection itself, without a close frame, that nothing more will be sent.
    pub(crate) fn finish_sending(&mut self) {
        let stream = self.0.get_mut();
        stream
            .shutdown(Shutdown::Write)
            .expect("an open connection");
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> Value {
        serde_json::from_str(&next_text(&mut self.0)).expect("frames are JSON")
    }

    /// The next frame of a type; others are passed over. Returns its `data`.
    pub(crate) fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next();
            assert!(is_instant(&frame["timestamp"]), "{frame}");
            if frame["type"] == kind {
                return frame["data"].clone();
            }
        }
    }

    /// Sends a ping and waits for its pong, so that what was sent before has been dealt with.
    pub(crate) fn ping(&mut self) {
        self.say(&json!({"type": "ping"}));
        self.next_of("pong");
    }

    /// Waits for a ping of the server's and answers it.
    pub(crate) fn answer_a_ping(&mut self) {
        self.wait_longer();
        while !matches!(self.0.read().expect("a ping comes"), Message::Ping(_)) {}
        self.0.flush().expect("the pong leaves");
    }

    /// Pings the server, as the protocol of sockets has it, and waits for its pong.
    pub(crate) fn hear_the_answer_to_a_ping(&mut self) {
        self.send(Message::Ping(b"there?".to_vec()));
        while !matches!(self.0.read().expect("a pong comes"), Message::Pong(_)) {}
    }

    /// Every byte up to the end, none of them answered.
    pub(crate) fn hear_out_without_an_answer(&mut self) -> Vec<u8> {
        self.wait_longer();
        let (mut heard, mut piece) = (Vec::new(), [0; 64]);
        let start = Instant::now();
        loop {
            let count = self.0.get_mut().read(&mut piece).expect("something comes");
            heard.extend_from_slice(&piece[..count]);
            if count == 0 {
                return heard;
            }
            // Pings come for ever.
            assert!(start.elapsed() < 9 * PATIENCE, "the end does not come");
        }
    }

    /// Gives the server time for what it does every half a minute.
    fn wait_longer(&mut self) {
        let patience = Some(3 * PATIENCE);
        self.0
            .get_mut()
            .set_read_timeout(patience)
            .expect("a timeout");
    }

    /// The code of the close frame that ends the socket; frames before it are passed over.
    pub(crate) fn closing_code(&mut self) -> Option<u16> {
        close_code(&mut self.0)
    }
}

/// Waits until `is_so`, but not for ever.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let came = poll(PATIENCE, || is_so().then_some(()));
    assert!(came.is_some(), "never: {what}");
}

/// How many files lie in the directory of uploads.
pub(crate) fn files_on_disk(world: &World) -> usize {
    let directory = world.data_dir().join("uploads");
    std::fs::read_dir(directory)
        .expect("the directory of uploads")
        .count()
}
