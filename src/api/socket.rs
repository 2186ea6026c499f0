//! The one WebSocket loop. Each API brings an encoder for events and a reaction to frames.
//!
//! The server pings every 30 s and closes with 1011 when a peer has been silent for 90 s. A long
//! message shows life while it keeps coming, for ten minutes at most. A reader that falls behind is
//! closed with 1013, and so is whoever begins a long message while those of others fill their
//! allowance, or is to be sent one while others have yet to take theirs. One that takes nothing at
//! all for 60 s is dropped. The server's end closes with a code of the API's choice.

mod connection;
mod life;
mod parting;
mod sending;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use rocket::data::{IoHandler, IoStream};
use rocket::futures::StreamExt;
use rocket::futures::future::BoxFuture;
use rocket::request::Request;
use rocket::response::{self, Responder, Response};
use rocket_ws::WebSocket;
use rocket_ws::result::Error as WsError;
use rocket_ws::{Config, Message};
use tokio::time::{Instant, interval_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::app::App;
use crate::error::Result;
use crate::hub::{Channel, Event, Subscriber, Subscription};
use crate::incoming::Incoming;
use crate::model::Session;
use crate::outgoing::Outgoing;
use crate::users::tokens;
use connection::Connection;
use life::Life;
use parting::{Farewell, NO_ROOM, part};
use sending::{Waiting, send_all, texts};

const PING_EVERY: Duration = Duration::from_secs(30);
/// How long a peer may take nothing of what is written to it.
const STUCK: Duration = Duration::from_secs(60);
/// What a message that has not ended may always take. More than the library reads ahead.
const MOST_UNFINISHED_BYTES: usize = 16 << 10;
/// Of a control frame: two bytes and a mask.
const CONTROL_HEAD_BYTES: usize = 6;

/// One open socket.
type Socket = WebSocketStream<Connection<IoStream>>;

/// Begins to listen for a session's user, for as long as that session lives. To be called before
/// the handshake is answered: what happens right after it must not be missed.
///
/// Errors: [`Error::InvalidToken`](crate::error::Error::InvalidToken) if it was ended meanwhile:
/// then there was no subscription to end yet.
pub(crate) fn listen(
    app: &App,
    session: &Session,
    username: String,
    channel: Channel,
) -> Result<Subscription> {
    let subscription = app.hub.subscribe(Subscriber {
        user: session.user,
        username,
        session: Some(*session),
        channel,
        room: None,
    });
    tokens::check_again(app, session)?;
    Ok(subscription)
}

/// The rules of an API's sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The longest frame that is taken, and the longest message.
    pub(crate) longest_bytes: usize,
    /// The close code where the token was ended or has expired.
    pub(crate) session_ended: u16,
    /// The close code where the server stops.
    pub(crate) shutdown: u16,
    /// That of a frame over the limit, no UTF-8 or against the protocol; `None` for the protocol's own
    /// 1009, 1007 and 1002.
    pub(crate) unreadable: Option<u16>,
}

impl Rules {
    fn too_large(self) -> Farewell {
        Farewell::new(self.unreadable.unwrap_or(1009), "the frame is too large")
    }

    fn no_utf8(self) -> Farewell {
        Farewell::new(self.unreadable.unwrap_or(1007), "frames are UTF-8 text")
    }

    fn no_protocol(self) -> Farewell {
        Farewell::new(self.unreadable.unwrap_or(1002), "against the protocol")
    }
}

/// What a frame is answered with: these texts, often none.
pub(crate) type Answers = Vec<String>;

/// The answer to a handshake, and what is to be done with the socket then. `rocket_ws` has one, too,
/// but keeps the connection from us, which has to be read to its end after the close frame.
pub(crate) struct Upgrade {
    accept_key: String,
    incoming: Incoming,
    outgoing: Outgoing,
    rules: Rules,
    subscription: Subscription,
    first: Waiting,
    encode: Box<dyn FnMut(&Event) -> Waiting + Send>,
    react: React,
}

type React = Box<dyn FnMut(Option<String>) -> BoxFuture<'static, Answers> + Send>;

/// Answers a handshake, with a socket that is run to its end: `first` goes out first, then events as
/// `encode` has them, each as any number of texts. All of these are asked for one by one; one that
/// could not be had closes the socket. Frames come in through `react`, as `None` if they are bytes
/// that are no text. It ends when either side is gone; the subscription ends with it.
pub(crate) fn open<I, E, T, R, F>(
    app: &App,
    handshake: &WebSocket,
    rules: Rules,
    subscription: Subscription,
    first: I,
    mut encode: E,
    mut react: R,
) -> Upgrade
where
    I: IntoIterator<Item = Result<String>, IntoIter: Send + 'static>,
    E: FnMut(&Event) -> T + Send + 'static,
    T: IntoIterator<Item = Result<String>, IntoIter: Send + 'static>,
    R: FnMut(Option<String>) -> F + Send + 'static,
    F: Future<Output = Answers> + Send + 'static,
{
    Upgrade {
        accept_key: handshake.accept_key().to_owned(),
        incoming: app.incoming.clone(),
        outgoing: app.outgoing.clone(),
        rules,
        subscription,
        first: texts(first),
        encode: Box::new(move |event| texts(encode(event))),
        react: Box::new(move |text| Box::pin(react(text))),
    }
}

impl<'r> Responder<'r, 'static> for Upgrade {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Response::build()
            .raw_header("Sec-WebSocket-Version", "13")
            .raw_header("Sec-WebSocket-Accept", self.accept_key.clone())
            .upgrade("websocket", self)
            .ok()
    }
}

#[rocket::async_trait]
impl IoHandler for Upgrade {
    async fn io(self: Pin<Box<Self>>, connection: IoStream) -> io::Result<()> {
        let upgrade = Pin::into_inner(self);
        let config = Config {
            max_message_size: Some(upgrade.rules.longest_bytes),
            max_frame_size: Some(upgrade.rules.longest_bytes),
            ..Config::default()
        };
        let connection = Connection::new(connection, upgrade.incoming.part(), STUCK);
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(config));
        run(socket.await, *upgrade).await;
        Ok(())
    }
}

async fn run(mut socket: Socket, upgrade: Upgrade) {
    let Upgrade {
        outgoing,
        rules,
        mut subscription,
        first: mut waiting,
        mut encode,
        mut react,
        ..
    } = upgrade;
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let mut life = Life::new(Instant::now());
    let mut held = None;
    let farewell = loop {
        tokio::select! {
            // In this order: the others are only asked while the first makes no progress.
            biased;
            sent = send_all(&mut socket, waiting, &outgoing, &mut held) => {
                if let Err(farewell) = sent {
                    break farewell;
                }
            }
            // A stuck reader must not keep what has ended.
            end = subscription.ended_while_stuck() => break Some(Farewell::of(end, rules)),
        }
        waiting = tokio::select! {
            event = subscription.next() => match event {
                Ok(event) => encode(&event),
                Err(end) => break Some(Farewell::of(end, rules)),
            },
            frame = socket.next() => {
                // Both may be there, and nothing is done for whose login is over.
                if let Err(end) = subscription.check() {
                    break Some(Farewell::of(end, rules));
                }
                let bytes = frame_bytes(frame.as_ref());
                let answers = match react_to(frame, rules, &mut react).await {
                    Ok(answers) => answers,
                    Err(farewell) => break farewell,
                };
                // Not before: a long one is in memory for as long as it waits for the disk.
                if shows_life(socket.get_mut(), bytes) {
                    life.shown(Instant::now());
                }
                texts(answers.into_iter().map(Ok))
            }
            _ = ping.tick() => {
                if life.has_ended(socket.get_ref().unfinished.bytes(), Instant::now()) {
                    break Some(Farewell::new(1011, "no sign of life"));
                }
                Box::new(std::iter::once(Ok(Message::Ping(Vec::new()))))
            }
        };
    };
    drop(subscription);
    part(socket, farewell, held).await;
}

/// How much a control frame has taken; `None` for the end of a message, with which nothing is left.
fn frame_bytes(frame: Option<&Result<Message, WsError>>) -> Option<usize> {
    match frame {
        Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => {
            Some(CONTROL_HEAD_BYTES + payload.len())
        }
        _ => None,
    }
}

/// Whether a frame, dealt with now, is a sign of life. Pings and pongs inside a message that goes on
/// for ever are none: it is kept in memory until it ends.
fn shows_life<S>(connection: &mut Connection<S>, frame_bytes: Option<usize>) -> bool {
    connection
        .unfinished
        .settle(frame_bytes.unwrap_or(usize::MAX));
    connection.unfinished.bytes() <= MOST_UNFINISHED_BYTES
}

/// What a frame leads to; an error is the end, without a farewell if the peer has closed, or is gone.
async fn react_to(
    frame: Option<Result<Message, WsError>>,
    rules: Rules,
    react: &mut React,
) -> Result<Answers, Option<Farewell>> {
    let text = match frame {
        Some(Ok(Message::Text(text))) => Some(text),
        Some(Ok(Message::Binary(bytes))) => String::from_utf8(bytes).ok(),
        // The library answers pings by itself.
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
            return Ok(Answers::new());
        }
        Some(Err(WsError::Capacity(_))) => return Err(Some(rules.too_large())),
        Some(Err(WsError::Utf8)) => return Err(Some(rules.no_utf8())),
        Some(Err(WsError::Protocol(_))) => return Err(Some(rules.no_protocol())),
        Some(Err(WsError::Io(cause))) if cause.kind() == io::ErrorKind::QuotaExceeded => {
            return Err(Some(NO_ROOM));
        }
        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(None),
    };
    Ok(react(text).await)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// Which of a peer's frames count as a sign of life.
    async fn signs_of_life(bytes: &[u8]) -> Vec<bool> {
        let (ours, mut peer): (_, DuplexStream) = duplex(1 << 20);
        peer.write_all(bytes).await.expect("it has room");
        peer.shutdown().await.expect("it ends");
        let connection = Connection::new(ours, Incoming::default().part(), STUCK);
        let mut socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
        let mut signs = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            let bytes = frame_bytes(Some(&Ok(message)));
            signs.push(shows_life(socket.get_mut(), bytes));
        }
        signs
    }

    /// A masked frame whose payload has this many bytes.
    fn frame(kind: u8, payload_bytes: u16) -> Vec<u8> {
        let mut frame = vec![kind];
        match u8::try_from(payload_bytes) {
            Ok(bytes) if bytes < 126 => frame.push(0x80 | bytes),
            _ => {
                frame.push(0xfe);
                frame.extend(payload_bytes.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.resize(frame.len() + usize::from(payload_bytes), b'x');
        frame
    }

    #[tokio::test]
    async fn pings_inside_a_long_message_that_does_not_end_are_no_sign_of_life() {
        let (ping, begun, ended) = (frame(0x89, 125), frame(0x01, 60_000), frame(0x80, 9));
        let pings = ping.repeat(5_000);
        assert_eq!(signs_of_life(&pings).await, [true; 5_000]);
        let all = [&ping[..], &begun, &ping, &ended, &ping].concat();
        assert_eq!(signs_of_life(&all).await, [true, false, true, true]);
        let all = [&frame(0x01, 9)[..], &ping, &ended].concat();
        assert_eq!(signs_of_life(&all).await, [true, true]);
    }
}
