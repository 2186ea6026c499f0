//! `GET /messages/stream`: server-sent events, one for each message that is new in the inbox.
//!
//! `id:` is the message's id, so a client that reconnects with `Last-Event-ID` misses nothing:
//! what came meanwhile is read from the inbox first. An id above every message, as after a restore
//! of the store, stands for the newest. What is granted on an older message comes live only, and
//! without an `id:`, so that the client's place stays; it stands in the inbox all the same.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rocket::futures::{FutureExt, Stream};
use rocket::get;
use rocket::http::ContentType;
use rocket::request::{FromRequest, Outcome, Request};
use rocket::response::stream::{Event as Sse, EventStream, stream};

use super::Failure;
use super::caller::{Caller, stated_user};
use super::listing::{InboxItem, ROWS_AT_ONCE};
use crate::api::http::{AppState, log_if_internal};
use crate::app::App;
use crate::error::Error;
use crate::hub::{Channel, Event, Subscription};
use crate::messages::lists::{self, Chunk, Page, Received};
use crate::model::{Message, MessageId, UserId};

/// A client that has gone is noticed when it is written to, and its user online until then.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The last message that the client has seen, if it says so.
pub(super) struct LastEventId(Option<MessageId>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for LastEventId {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let header = request.headers().get_one("Last-Event-ID");
        Outcome::Success(LastEventId(
            header.and_then(|id| id.trim().parse().ok()).map(MessageId),
        ))
    }
}

/// New and newly granted messages as they come. Browsers cannot set headers here, so the token
/// may also stand in the query.
#[get("/messages/stream?<user_id>&<token>")]
pub(super) fn stream(
    app: &AppState,
    mut caller: Caller,
    user_id: Option<&str>,
    token: Option<String>,
    last_seen: LastEventId,
) -> Result<(ContentType, EventStream<impl Stream<Item = Sse> + use<>>), Failure> {
    caller.token = caller.token.or(token);
    let reader = caller.acting_as(app, stated_user(user_id)?)?;
    // Asked before one listens: what comes in between is read from the inbox.
    let mut last = match last_seen.0 {
        Some(last) => last.min(lists::newest(app)?),
        None => lists::newest_for(app, reader.id)?,
    };
    let mut subscription = reader.listen(app, Channel::MessageStore)?;
    let app = (*app).clone();
    let events = stream! {
        // Tells the client at once that it is heard, and proxies to pass things on.
        yield Sse::comment("connected");
        let mut heard = VecDeque::new();
        let mut is_behind = true;
        loop {
            if is_behind {
                let mut shared = HashSet::new();
                while is_behind {
                    let Some(chunk) = read_on(&app, reader.id, last) else { return };
                    for message in &chunk.rows {
                        // A slow reader is still here long after; what came since is not theirs.
                        if subscription.has_ended() {
                            return;
                        }
                        if message.shared.is_some() {
                            shared.insert(message.id);
                        }
                        last = message.id;
                        yield Sse::json(&InboxItem::new(message)).id(message.id.0.to_string());
                    }
                    is_behind = !chunk.rows.is_empty();
                }
                heard.extend(heard_meanwhile(&mut subscription, shared));
            }
            let event = match heard.pop_front() {
                Some(event) => event,
                None => match subscription.next().await {
                    Ok(event) => event,
                    Err(_) => break,
                },
            };
            if subscription.has_ended() {
                return;
            }
            match next_of(&app, reader.id, &mut last, &event) {
                Next::Nothing => {}
                Next::ReadInbox => is_behind = true,
                Next::Show(item) => yield item,
                Next::End => return,
            }
        }
    };
    // It is UTF-8 anyway, but not every client knows.
    let content_type = ContentType::new("text", "event-stream").with_params(("charset", "utf-8"));
    Ok((content_type, EventStream::from(events).heartbeat(HEARTBEAT)))
}

/// What an event asks for.
enum Next {
    Nothing,
    ReadInbox,
    Show(Sse),
    /// The store could not be read.
    End,
}

/// What to do about an event, of which `last` is the newest message that the client has.
fn next_of(app: &App, reader: UserId, last: &mut MessageId, event: &Event) -> Next {
    match event {
        Event::Sent { message, .. } if message.id <= *last => Next::Nothing,
        // The inbox has all of it in order, where events have not.
        Event::Sent {
            message: Message { id, .. },
            ..
        }
        | Event::Shared { message: id, .. }
            if *id > *last && !app.db.tells_in_order() =>
        {
            Next::ReadInbox
        }
        Event::Sent { message, sender } => {
            Next::Show(item(last, InboxItem::live(message, sender, None)))
        }
        Event::Shared {
            message: id,
            shared_by,
            access,
        } => {
            match lists::message_for(app, reader, *id) {
                Ok((message, sender)) => {
                    let shared = Some((shared_by.as_str(), *access));
                    Next::Show(item(last, InboxItem::live(&message, &sender, shared)))
                }
                // Revoked or deleted since.
                Err(Error::UnknownMessage | Error::Forbidden) => Next::Nothing,
                Err(cause) => {
                    log_if_internal(&cause);
                    Next::End
                }
            }
        }
        _ => Next::Nothing,
    }
}

/// An item as it is shown to whoever has all up to `last`. An older one does not say its id: a
/// client would go back to it, and be shown all that followed once more.
fn item(last: &mut MessageId, item: InboxItem<'_>) -> Sse {
    let event = Sse::json(&item);
    if item.id <= last.0 {
        return event;
    }
    *last = MessageId(item.id);
    event.id(item.id.to_string())
}

/// What came to the inbox after `last`, as much as goes into a piece.
fn read_on(app: &App, reader: UserId, last: MessageId) -> Option<Chunk<Received>> {
    let chunk = lists::inbox(app, reader, Page::After(last, ROWS_AT_ONCE));
    chunk.inspect_err(log_if_internal).ok()
}

/// What was heard while the inbox was being read, without the grants that came with it: `shared`.
/// Only now: a grant from here on may be one that was revoked and made anew.
fn heard_meanwhile(
    subscription: &mut Subscription,
    mut shared: HashSet<MessageId>,
) -> Vec<Arc<Event>> {
    let mut heard = Vec::new();
    // Unconstrained: a task that has done much would seem to have heard nothing more.
    while let Some(Ok(event)) = tokio::task::unconstrained(subscription.next()).now_or_never() {
        let is_shown = match &*event {
            Event::Shared { message, .. } => shared.remove(message),
            _ => false,
        };
        if !is_shown {
            heard.push(event);
        }
    }
    heard
}
