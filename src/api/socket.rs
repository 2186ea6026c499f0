//! The one WebSocket loop. Each API brings an encoder for events and a reaction to frames.
//!
//! The server pings every 30 s and drops a peer that has been silent for 90 s. A reader that
//! falls behind is closed with 1013; the server's end closes with a code of the API's choice.

use std::future::Future;
use std::time::Duration;

use rocket::futures::stream::{SplitSink, SplitStream};
use rocket::futures::{SinkExt, StreamExt};
use rocket_ws::frame::{CloseCode, CloseFrame};
use rocket_ws::result::Error as WsError;
use rocket_ws::stream::DuplexStream;
use rocket_ws::{Config, Message};
use tokio::time::{Instant, interval_at, timeout};

use crate::hub::{End, Event, Subscription};

const PING_EVERY: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(90);
/// How long a close frame may take to leave.
const PARTING: Duration = Duration::from_secs(1);

/// How an API closes its sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CloseCodes {
    /// The token was ended or has expired.
    pub(crate) session_ended: u16,
    /// The server stops.
    pub(crate) shutdown: u16,
    /// A frame over the limit or no UTF-8; `None` for the protocol's own 1009 and 1007.
    pub(crate) unreadable: Option<u16>,
}

impl CloseCodes {
    fn too_large(self) -> (u16, &'static str) {
        (self.unreadable.unwrap_or(1009), "the frame is too large")
    }

    fn no_utf8(self) -> (u16, &'static str) {
        (self.unreadable.unwrap_or(1007), "frames are UTF-8 text")
    }
}

/// What a frame is answered with: these texts, often none.
pub(crate) type Answers = Vec<String>;

/// WebSocket settings with frames and messages of at most `bytes`.
pub(crate) fn limited_to(bytes: usize) -> Config {
    Config {
        max_message_size: Some(bytes),
        max_frame_size: Some(bytes),
        ..Config::default()
    }
}

/// Runs one socket to its end: events go out as `encode` has them, text frames come in through
/// `react`. Returns when either side is gone; the subscription ends with it. `expires_in` is how
/// long the token lives.
pub(crate) async fn run<E, R, F>(
    socket: DuplexStream,
    mut subscription: Subscription,
    codes: CloseCodes,
    expires_in: Duration,
    mut encode: E,
    mut react: R,
) where
    E: FnMut(&Event) -> Option<String>,
    R: FnMut(String) -> F,
    F: Future<Output = Answers>,
{
    let (mut sink, mut stream) = socket.split();
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
            frame = stream.next() => {
                silent_since = Instant::now();
                match react_to(frame, codes, &mut react).await {
                    Ok(messages) => messages,
                    Err(farewell) => break farewell,
                }
            }
            _ = ping.tick() => {
                if silent_since.elapsed() > SILENCE {
                    break None;
                }
                vec![Message::Ping(Vec::new())]
            }
            () = &mut expiry => break Some(parting(End::Expired, codes)),
        };
        if let Err(farewell) = send_all(&mut sink, outgoing, &subscription, codes).await {
            break farewell;
        }
    };
    drop(subscription);
    part(sink, stream, farewell).await;
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
    R: FnMut(String) -> F,
    F: Future<Output = Answers>,
{
    match frame {
        Some(Ok(Message::Text(text))) => {
            Ok(react(text).await.into_iter().map(Message::Text).collect())
        }
        Some(Ok(Message::Binary(bytes))) => match String::from_utf8(bytes) {
            Ok(text) => Box::pin(react_to(Some(Ok(Message::Text(text))), codes, react)).await,
            Err(_) => Err(Some(codes.no_utf8())),
        },
        // The library answers pings by itself.
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Vec::new()),
        Some(Err(WsError::Capacity(_))) => Err(Some(codes.too_large())),
        Some(Err(WsError::Utf8)) => Err(Some(codes.no_utf8())),
        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(None),
    }
}

/// Sends, unless the subscription ends meanwhile: a stuck reader must not keep it.
async fn send_all(
    sink: &mut SplitSink<DuplexStream, Message>,
    messages: Vec<Message>,
    subscription: &Subscription,
    codes: CloseCodes,
) -> Result<(), Farewell> {
    for message in messages {
        tokio::select! {
            // In this order: the second is only asked while the first makes no progress.
            biased;
            sent = sink.send(message) => sent.map_err(|_| None)?,
            end = subscription.ended() => return Err(Some(parting(end, codes))),
        }
    }
    Ok(())
}

fn parting(end: End, codes: CloseCodes) -> (u16, &'static str) {
    match end {
        End::SessionEnded => (codes.session_ended, "logged out"),
        End::Replaced => (codes.session_ended, "a newer login took over"),
        End::Expired => (codes.session_ended, "the token has expired"),
        End::Lagged => (1013, "fell behind"),
        End::Shutdown => (codes.shutdown, "the server stops"),
    }
}

/// Says goodbye and hears the peer's, both within a moment.
async fn part(
    mut sink: SplitSink<DuplexStream, Message>,
    mut stream: SplitStream<DuplexStream>,
    farewell: Farewell,
) {
    let parted = async {
        let Some((code, reason)) = farewell else {
            // The library has the answer to a peer's close frame ready; it leaves with a flush.
            return drop(sink.flush().await);
        };
        let close = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        if sink.send(Message::Close(Some(close))).await.is_ok() {
            while let Some(Ok(_)) = stream.next().await {}
        }
    };
    // A peer that does not answer is simply dropped.
    let _ = timeout(PARTING, parted).await;
}

/// How long until an instant, zero if it is past.
pub(crate) fn until(instant: crate::model::Instant) -> Duration {
    let micros = instant.0 - crate::model::Instant::now().0;
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
