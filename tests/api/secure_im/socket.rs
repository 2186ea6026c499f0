//! A WebSocket client that blocks: one frame at a time, with a deadline.

use std::net::TcpStream;
use std::time::Duration;

use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

use super::person::Person;
use crate::world::World;

/// How long a frame may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket(WebSocket<TcpStream>);

impl Socket {
    /// Opens `path`, from a page of `origin` if one is named; an error is the status of a refusal.
    pub(super) fn try_open(world: &World, path: &str, origin: Option<&str>) -> Result<Self, u16> {
        let address = ("127.0.0.1", world.server.port());
        let stream = TcpStream::connect(address).expect("the server listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a deadline can be set");
        let url = world.url(path).replace("http://", "ws://");
        let mut request = url.into_client_request().expect("a URL");
        if let Some(origin) = origin {
            let origin = origin.parse().expect("a header value");
            request.headers_mut().insert("Origin", origin);
        }
        match client(request, stream) {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(HandshakeError::Failure(Error::Http(refusal))) => Err(refusal.status().as_u16()),
            Err(other) => panic!("the handshake broke: {other}"),
        }
    }

    /// Opens the broadcast socket of somebody.
    pub(super) fn open(person: &Person) -> Self {
        let path = format!("/ws?token={}", person.token);
        Self::try_open(person.world, &path, None).expect("the token is valid")
    }

    /// Sends a text.
    pub(super) fn say(&mut self, text: &str) {
        self.send(Message::Text(text.to_owned()));
    }

    /// Sends any frame.
    pub(super) fn send(&mut self, frame: Message) {
        self.0.send(frame).expect("the socket is open");
    }

    /// The next text; panics at the end of the socket.
    pub(super) fn hear(&mut self) -> String {
        loop {
            match self.0.read().expect("the socket is open") {
                Message::Text(text) => return text,
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected a text, got {other:?}"),
            }
        }
    }

    /// Reads to the end; returns the code it was closed with.
    pub(super) fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.0.read() {
                Ok(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                Ok(_) => {}
                Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_)) => {
                    return None;
                }
                Err(other) => panic!("neither frame nor end: {other}"),
            }
        }
    }

    /// Waits until the server has dealt with everything sent before: it answers pings in order.
    pub(super) fn settle(&mut self) {
        self.send(Message::Ping(b"settled".to_vec()));
        loop {
            if let Message::Pong(_) = self.0.read().expect("the socket is open") {
                return;
            }
        }
    }
}
