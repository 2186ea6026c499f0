//! Live: events to every page, and the way for local programs to add some.
//!
//! | event | says |
//! |---|---|
//! | `{"fromId", "toId", "content", "id"}` | a message to a user of this agent, and its record |
//! | `{"type": "sent", "user", "peer", "text"}` | one of a user of this agent; with `"held": true` it waits until they accept a key |
//! | `{"type": "link", "user", "state"}` | the user's link is `connected`, `reconnecting`, or `ended` with their login |
//! | `{"type": "online", "user"}` | other people are there for the user, or other names are known |
//! | `{"type": "key_changed", "user", "peer"}`, `{"type": "server_key_changed"}` | to be accepted |
//! | `{"type": "refused", "user", "notice"}` | the server's words to a message it does not take |
//!
//! A stream begins with the state of every user's link. Not every server tells the ids.

use std::sync::Arc;
use std::time::Duration;

use rocket::http::ContentType;
use rocket::response::stream::ByteStream;
use rocket::serde::json::Json;
use rocket::{Data, Route, State, get, post, routes};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{parse, read_body};
use crate::agent::Agent;
use crate::agent::error::Error;
use crate::agent::events::Event;

/// Between comments that keep a quiet stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    routes![stream, push]
}

/// A piece of the stream.
enum Block {
    Event(Event),
    Comment(&'static str),
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Event(event) => event.as_ref(),
            Self::Comment(comment) => comment.as_bytes(),
        }
    }
}

/// Ends when the agent stops or this page is too far behind: it then connects again and reads
/// the history anew.
#[get("/api/stream")]
fn stream(
    agent: &State<Arc<Agent>>,
    stop: &State<CancellationToken>,
) -> (ContentType, ByteStream![Block]) {
    let mut events = agent.events.subscribe();
    // After that: what changes meanwhile is told behind it.
    let links: Vec<Event> = agent.everybody().iter().map(|user| user.link()).collect();
    let stop = stop.inner().clone();
    let stream = ByteStream! {
        yield Block::Comment(": open\n\n");
        for link in links {
            yield Block::Event(link);
        }
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => break,
                event = timeout(KEEP_ALIVE, events.next()) => event,
            };
            match event {
                Ok(Some(event)) => yield Block::Event(event),
                Ok(None) => break,
                Err(_) => yield Block::Comment(": here\n\n"),
            }
        }
    };
    // An event stream is UTF-8 anyway, but not every client knows.
    let content_type = ContentType::new("text", "event-stream").with_params(("charset", "utf-8"));
    (content_type, stream)
}

#[post("/push", data = "<data>")]
async fn push(agent: &State<Arc<Agent>>, data: Data<'_>) -> Result<Json<Value>, Error> {
    let body = read_body(data).await?;
    // As it was written: there is JSON that no number or string of ours could hold.
    agent.events.publish_written(parse(&body)?);
    Ok(Json(json!({"status": "ok"})))
}
