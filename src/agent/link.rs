//! The socket to the server: dialled, kept, dialled again.
//!
//! Writing and reading go on side by side, so that two full sockets never wait for each other.
//! What frames mean is [`Session`]'s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::error::{Error, Result};
use super::session::Session;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The first wait before dialling again; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Until a socket stands.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Between pings while messages are not surely kept, and otherwise.
const BUSY_PING: Duration = Duration::from_secs(5);
const IDLE_PING: Duration = Duration::from_secs(20);
/// Without a word of the server for this long the socket is given up.
const SILENCE: Duration = Duration::from_secs(45);
/// After a lost link the server may still be storing what it read: compare not before.
const SETTLE: Duration = Duration::from_secs(1);
/// A server that sends no roster is taken as ready after this.
const ROSTER_WITHIN: Duration = Duration::from_secs(1);
/// What it may take to write the rest when the session has ended.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Keeps the link of `session` until it is stopped or the server no longer takes its password.
pub(super) async fn run(session: Arc<Session>) {
    let mut failures = 0;
    loop {
        let dialled = Instant::now();
        match connection(&session).await {
            Ok(()) => break,
            Err(Error::Refused(reason)) => {
                tracing::warn!(user = session.id, reason, "the server refused the login");
                session.end();
                break;
            }
            Err(error) => tracing::debug!(user = session.id, %error, "link lost"),
        }
        session.link_lost();
        // A link that lived starts the series anew; one that dies at once does not.
        failures = if dialled.elapsed() > LONGEST_WAIT {
            0
        } else {
            failures + 1
        };
        tokio::select! {
            () = session.stop.cancelled() => break,
            () = sleep(wait(failures)) => {}
        }
    }
    session.link_lost();
    session.conversations().save_arrivals();
}

/// The wait before dial number `failures` of a series: doubling, bounded, half of it random.
fn wait(failures: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.min(10));
    let bounded = doubled.min(LONGEST_WAIT);
    bounded.mul_f64(rand::thread_rng().gen_range(0.5..1.0))
}

/// One socket from dialling to its end; `Ok` when the session was stopped.
async fn connection(session: &Session) -> Result<()> {
    let socket = tokio::select! {
        () = session.stop.cancelled() => return Ok(()),
        socket = open(session) => socket?,
    };
    let (sink, stream) = socket.split();
    tokio::select! {
        end = write(session, sink) => end,
        end = read(session, stream) => end,
        () = without_roster(session) => unreachable!("it waits for ever"),
        () = overtime(session) => Ok(()),
    }
}

/// A server that reads no more would keep what is being written for as long as it likes.
async fn overtime(session: &Session) {
    session.stop.cancelled().await;
    sleep(LAST_WORDS).await;
}

async fn open(session: &Session) -> Result<Socket> {
    let socket = timeout(DIAL_TIMEOUT, dial(session)).await;
    let socket = socket.map_err(|late| session.server.relay.socket.lost(&late))??;
    // Not before: a server that stood still answers the dial before it reads what came earlier.
    let dialled = Instant::now();
    if session.server.look().await? {
        session
            .events
            .publish(&serde_json::json!({"type": "server_key_changed"}));
    }
    session.meet_unvouched().await;
    // Before the socket is read, so that what was missed comes before what comes live.
    session.deliver_missed().await?;
    session.meet_strangers().await;
    if session.conversations().outbox.is_unsettled() {
        sleep(SETTLE.saturating_sub(dialled.elapsed())).await;
        session.repeat_missing().await?;
        // A server may have given up a socket that was not read for so long. What is missing would
        // be written to nobody, and be looked for again.
        if dialled.elapsed() > SILENCE {
            return Err(Error::Unreachable);
        }
    }
    Ok(socket)
}

async fn dial(session: &Session) -> Result<Socket> {
    let ask = move |token: String| async move { handshake(session, &token).await };
    session.with_token(ask).await
}

async fn handshake(session: &Session, token: &str) -> Result<Socket> {
    let url = session.server.relay.socket_url();
    let mut request = url.into_client_request().map_err(|_| Error::Unreachable)?;
    let token = HeaderValue::from_str(token).map_err(|_| Error::TokenRefused)?;
    request.headers_mut().insert("token", token);
    let reach = &session.server.relay.socket;
    match connect_async_with_config(request, None, true).await {
        Ok((socket, _)) => {
            reach.found();
            Ok(socket)
        }
        Err(tungstenite::Error::Http(answer)) if answer.status() == StatusCode::UNAUTHORIZED => {
            Err(Error::TokenRefused)
        }
        Err(cause) => Err(reach.lost(&cause)),
    }
}

async fn without_roster(session: &Session) {
    sleep(ROSTER_WITHIN).await;
    session.ready();
    std::future::pending::<()>().await;
}

async fn read(session: &Session, mut stream: SplitStream<Socket>) -> Result<()> {
    loop {
        let message = timeout(SILENCE, stream.next()).await;
        match message {
            Ok(Some(Ok(Message::Text(text)))) => {
                session.received(&text)?;
                session.meet_strangers().await;
            }
            Ok(Some(Ok(Message::Pong(mark)))) => {
                if let Ok(mark) = mark.try_into() {
                    let mark = u64::from_be_bytes(mark);
                    session.conversations().answered(mark, Instant::now());
                }
            }
            Ok(Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Frame(_)))) => {}
            Ok(None | Some(Err(_) | Ok(Message::Close(_)))) | Err(_) => {
                return Err(Error::Unreachable);
            }
        }
    }
}

async fn write(session: &Session, mut sink: SplitSink<Socket, Message>) -> Result<()> {
    let mut pinged = Instant::now();
    loop {
        let due = session.conversations().tick(Instant::now());
        write_waiting(session, &mut sink).await?;
        let ping = pinged + ping_every(session);
        let wake = due.map_or(ping, |due| due.min(ping));
        tokio::select! {
            () = session.stop.cancelled() => {
                let _ = say_goodbye(session, sink).await;
                return Ok(());
            }
            () = session.outgoing.notified() => {}
            () = sleep_until(wake.into()) => {}
        }
        if pinged + ping_every(session) <= Instant::now() {
            pinged = Instant::now();
            let mark = session.conversations().outbox.mark();
            send(&mut sink, Message::Ping(mark.to_be_bytes().to_vec())).await?;
        }
    }
}

fn ping_every(session: &Session) -> Duration {
    if session.conversations().outbox.is_unsettled() {
        BUSY_PING
    } else {
        IDLE_PING
    }
}

async fn write_waiting(session: &Session, sink: &mut SplitSink<Socket, Message>) -> Result<()> {
    loop {
        let next = session.conversations().outbox.next(Instant::now());
        let Some(frame) = next else { return Ok(()) };
        send(sink, Message::Text(frame)).await?;
    }
}

/// Writes what waits, including what waited for an answer, and closes.
async fn say_goodbye(session: &Session, mut sink: SplitSink<Socket, Message>) -> Result<()> {
    session.conversations().finish();
    write_waiting(session, &mut sink).await?;
    sink.close().await.map_err(|_| Error::Unreachable)
}

async fn send(sink: &mut SplitSink<Socket, Message>, message: Message) -> Result<()> {
    sink.send(message).await.map_err(|_| Error::Unreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_double_up_to_a_bound_and_are_never_the_same_for_everybody() {
        for failures in 0..100 {
            let wait = wait(failures);
            assert!(wait >= FIRST_WAIT / 2 && wait <= LONGEST_WAIT, "{wait:?}");
        }
        assert!(wait(100) >= LONGEST_WAIT / 2);
        let waits: std::collections::HashSet<_> = (0..10).map(|_| wait(5)).collect();
        assert!(waits.len() > 1);
    }
}
