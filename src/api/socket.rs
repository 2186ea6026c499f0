//! The one WebSocket loop. Each API brings an encoder for events and a reaction to frames.
//!
//! The server pings every 30 s and closes with 1011 when a peer has been silent for 90 s. A reader
//! that falls behind is closed with 1013; the server's end closes with a code of the API's choice.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use rocket::data::{IoHandler, IoStream};
use rocket::futures::future::BoxFuture;
use rocket::futures::{SinkExt, StreamExt};
use rocket::request::Request;
use rocket::response::{self, Responder, Response};
use rocket_ws::WebSocket;
use rocket_ws::frame::{CloseCode, CloseFrame};
use rocket_ws::result::Error as WsError;
use rocket_ws::{Config, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::hub::{End, Event, Subscription};

const PING_EVERY: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(90);
/// How long a close frame may take to leave.
const PARTING: Duration = Duration::from_secs(1);
/// The same for a reader who fell behind, and is to know it when it goes on reading.
const PARTING_WITH_SLOW: Duration = Duration::from_secs(60);
/// The code for them (RFC 6455's registry: try again later).
const FELL_BEHIND: u16 = 1013;
/// How much a peer may still send that has not seen our close frame yet, and for how long.
const DRAINED_BYTES: u64 = 64 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(5);

/// One open socket.
pub(crate) type Socket = WebSocketStream<IoStream>;

/// How an API closes its sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CloseCodes {
    /// The token was ended or has expired.
    pub(crate) session_ended: u16,
    /// The server stops.
    pub(crate) shutdown: u16,
    /// A frame over the limit, no UTF-8 or against the protocol; `None` for the protocol's own
    /// 1009, 1007 and 1002.
    pub(crate) unreadable: Option<u16>,
}

impl CloseCodes {
    fn too_large(self) -> (u16, &'static str) {
        (self.unreadable.unwrap_or(1009), "the frame is too large")
    }

    fn no_utf8(self) -> (u16, &'static str) {
        (self.unreadable.unwrap_or(1007), "frames are UTF-8 text")
    }

    fn no_protocol(self) -> (u16, &'static str) {
        (self.unreadable.unwrap_or(1002), "against the protocol")
    }
}

/// What a frame is answered with: these texts, often none.
pub(crate) type Answers = Vec<String>;

/// The answer to a handshake, and what is to be done with the socket then. `rocket_ws` has one, too,
/// but keeps the connection from us, which has to be read to its end after the close frame.
pub(crate) struct Upgrade {
    accept_key: String,
    longest_bytes: usize,
    serve: Box<dyn FnOnce(Socket) -> BoxFuture<'static, ()> + Send>,
}

/// Answers a handshake; the socket takes frames and messages of at most `longest_bytes`.
pub(crate) fn upgrade<F>(
    handshake: &WebSocket,
    longest_bytes: usize,
    serve: impl FnOnce(Socket) -> F + Send + 'static,
) -> Upgrade
where
    F: Future<Output = ()> + Send + 'static,
{
    Upgrade {
        accept_key: handshake.accept_key().to_owned(),
        longest_bytes,
        serve: Box::new(move |socket| Box::pin(serve(socket))),
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
            max_message_size: Some(upgrade.longest_bytes),
            max_frame_size: Some(upgrade.longest_bytes),
            ..Config::default()
        };
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(config));
        (upgrade.serve)(socket.await).await;
        Ok(())
    }
}

/// Runs one socket to its end: events go out as `encode` has them, frames come in through `react`,
/// as `None` if they are bytes that are no text. Returns when either side is gone; the
/// subscription ends with it. `expires_in` is how long the token lives.
pub(crate) async fn run<E, R, F>(
    mut socket: Socket,
    mut subscription: Subscription,
    codes: CloseCodes,
    expires_in: Duration,
    mut encode: E,
    mut react: R,
) where
    E: FnMut(&Event) -> Option<String>,
    R: FnMut(Option<String>) -> F,
    F: Future<Output = Answers>,
{
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let expiry = tokio::time::sleep(expires_in);
    tokio::pin!(expiry);
    let mut silent_since = Instant::now();
    let farewell = loop {
        let outgoing = tokio::select! {
            event = subscription.next() => match event {
                Ok(event) => encode(&event).map(Message::Text).into_iter().collect(),
                Err(end) => break Some(parting(end, codes)),
            },
            frame = socket.next() => {
                silent_since = Instant::now();
                match react_to(frame, codes, &mut react).await {
                    Ok(messages) => messages,
                    Err(farewell) => break farewell,
                }
            }
            _ = ping.tick() => {
                if silent_since.elapsed() > SILENCE {
                    break Some((1011, "no sign of life"));
                }
                vec![Message::Ping(Vec::new())]
            }
            () = &mut expiry => break Some(parting(End::Expired, codes)),
        };
        tokio::select! {
            // In this order: the others are only asked while the first makes no progress.
            biased;
            sent = send_all(&mut socket, outgoing) => if sent.is_err() {
                break None;
            },
            // A stuck reader must not keep what has ended.
            end = subscription.ended() => break Some(parting(end, codes)),
            () = &mut expiry => break Some(parting(End::Expired, codes)),
        }
    };
    drop(subscription);
    part(socket, farewell).await;
}

/// The code and the reason of our close frame; none if the peer has closed, or is gone.
type Farewell = Option<(u16, &'static str)>;

/// What a frame leads to; an error is the end.
async fn react_to<R, F>(
    frame: Option<Result<Message, WsError>>,
    codes: CloseCodes,
    react: &mut R,
) -> Result<Vec<Message>, Farewell>
where
    R: FnMut(Option<String>) -> F,
    F: Future<Output = Answers>,
{
    let text = match frame {
        Some(Ok(Message::Text(text))) => Some(text),
        Some(Ok(Message::Binary(bytes))) => String::from_utf8(bytes).ok(),
        // The library answers pings by itself.
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => return Ok(Vec::new()),
        Some(Err(WsError::Capacity(_))) => return Err(Some(codes.too_large())),
        Some(Err(WsError::Utf8)) => return Err(Some(codes.no_utf8())),
        Some(Err(WsError::Protocol(_))) => return Err(Some(codes.no_protocol())),
        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(None),
    };
    Ok(react(text).await.into_iter().map(Message::Text).collect())
}

async fn send_all(socket: &mut Socket, messages: Vec<Message>) -> Result<(), WsError> {
    for message in messages {
        socket.send(message).await?;
    }
    Ok(())
}

fn parting(end: End, codes: CloseCodes) -> (u16, &'static str) {
    match end {
        End::SessionEnded => (codes.session_ended, "logged out"),
        End::Replaced => (codes.session_ended, "a newer login took over"),
        End::Expired => (codes.session_ended, "the token has expired"),
        End::Lagged => (FELL_BEHIND, "fell behind"),
        End::Shutdown => (codes.shutdown, "the server stops"),
    }
}

/// Says goodbye. A peer that does not take it within a moment is simply dropped.
async fn part(mut socket: Socket, farewell: Farewell) {
    let Some((code, reason)) = farewell else {
        // The library has the answer to a peer's close frame ready; it leaves with a flush.
        let _ = timeout(PARTING, socket.flush()).await;
        return;
    };
    let close = CloseFrame {
        code: CloseCode::from(code),
        reason: reason.into(),
    };
    let patience = match code {
        FELL_BEHIND => PARTING_WITH_SLOW,
        _ => PARTING,
    };
    let said = timeout(patience, socket.send(Message::Close(Some(close)))).await;
    if matches!(said, Ok(Ok(()))) {
        // However it goes on, all is said.
        let _ = timeout(DRAINED_FOR, drain(socket.get_mut())).await;
    }
}

/// Hears a peer out. A connection that is dropped with bytes unread is reset, and the peer, still
/// sending, would never see the close frame.
async fn drain(connection: &mut IoStream) -> io::Result<()> {
    connection.shutdown().await?;
    let mut rest = connection.take(DRAINED_BYTES);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

/// How long until an instant, zero if it is past.
pub(crate) fn until(instant: crate::model::Instant) -> Duration {
    let micros = instant.0 - crate::model::Instant::now().0;
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
