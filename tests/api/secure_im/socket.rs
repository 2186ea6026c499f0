//! The broadcast socket of somebody.

use std::net::TcpStream;

use tokio_tungstenite::tungstenite::{Message, WebSocket};

use super::person::Person;
use crate::world::{World, close_code, dial, next_text, texts_so_far};

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket(WebSocket<TcpStream>);

impl Socket {
    /// Opens `path`, from a page of `origin` if one is named; an error is the status of a refusal.
    pub(super) fn try_open(world: &World, path: &str, origin: Option<&str>) -> Result<Self, u16> {
        let headers: Vec<_> = origin
            .map(|origin| ("Origin", origin))
            .into_iter()
            .collect();
        let opened = dial(world.server.port(), path, &headers);
        opened.map(Self).map_err(|answer| answer.status().as_u16())
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
        next_text(&mut self.0)
    }

    /// Reads to the end; returns the code it was closed with.
    pub(super) fn close_code(&mut self) -> Option<u16> {
        close_code(&mut self.0)
    }

    /// Waits until the server has dealt with everything sent before: it answers pings in order.
    pub(super) fn settle(&mut self) {
        texts_so_far(&mut self.0);
    }
}
