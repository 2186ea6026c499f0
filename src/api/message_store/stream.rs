//! `GET /messages/stream`: server-sent events, one for each message that is new in the inbox.
//!
//! `id:` is the message's id, so a client that reconnects with `Last-Event-ID` misses nothing:
//! what came meanwhile is read from the inbox first. An id above every message, as after a restore
//! of the store, stands for the newest. What is granted on an older message comes live only, and
//! without an `id:`, so that the client's place stays; it stands in the inbox all the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rocket::get;
use rocket::http::ContentType;
use rocket::request::{FromRequest, Outcome, Request};
use rocket::response::{self, Responder, Response};
use tokio::io::DuplexStream;
use tokio::time::{Interval, interval};

use super::Failure;
use super::caller::{Caller, stated_user};
use super::listing::{InboxItem, ROWS_AT_ONCE};
use crate::api::http::{AppState, log_if_internal, put_json};
use crate::api::outlet::{self, Gone, Outlet};
use crate::app::App;
use crate::error::Error;
use crate::hub::{Channel, Event, Subscription};
use crate::messages::lists::{self, Chunk, Page, Received};
use crate::model::{Instant, MessageId, UserId};

/// A client that has gone is noticed when it is written to, and its user online until then.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Within what time a grant that stands in the inbox is told as an event.
const TOLD_WITHIN_SECS: i64 = 600;

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

/// An event stream, as it is written.
pub(super) struct Events(DuplexStream);

impl<'r> Responder<'r, 'static> for Events {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        // It is UTF-8 anyway, but not every client knows.
        let content_type = ContentType::new("text", "event-stream");
        Response::build()
            .header(content_type.with_params(("charset", "utf-8")))
            .raw_header("Cache-Control", "no-cache")
            .streamed_body(self.0)
            .ok()
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
) -> Result<Events, Failure> {
    let user_id = stated_user(user_id)?;
    let token = token.filter(|token| !token.is_empty() || caller.token.is_none());
    if caller.token.is_some() && token.is_some() {
        caller.acting_as(app, user_id)?;
    }
    caller.token = token.or(caller.token);
    let reader = caller.acting_as(app, user_id)?;
    // Asked before one listens: what comes in between is read from the inbox.
    let last = match last_seen.0 {
        Some(last) => last.min(lists::newest(app)?),
        None => lists::newest_for(app, reader.id)?,
    };
    let subscription = reader.listen(app, Channel::MessageStore)?;
    let its_app = (*app).clone();
    Ok(Events(outlet::body(&app.outgoing, 0, move |outlet| {
        let listener = Listener {
            outlet,
            subscription,
            heartbeat: interval(HEARTBEAT),
        };
        tell(its_app, reader.id, last, listener)
    })))
}

/// Whoever reads a stream, and what they listen to.
struct Listener {
    outlet: Outlet,
    subscription: Subscription,
    heartbeat: Interval,
}

impl Listener {
    /// Writes something, unless the login is over: a slow reader is still here long after, and what
    /// came since is not theirs.
    async fn write(&mut self, text: &[u8]) -> Result<(), Gone> {
        if self.subscription.has_ended() {
            return Err(Gone);
        }
        tokio::select! {
            biased;
            written = self.outlet.write(text) => written,
            _ = self.subscription.ended() => Err(Gone),
        }
    }

    /// The next event. Heartbeats go out meanwhile.
    async fn next(&mut self) -> Result<Arc<Event>, Gone> {
        loop {
            tokio::select! {
                biased;
                () = self.outlet.closed() => return Err(Gone),
                _ = self.heartbeat.tick() => self.write(b":\n").await?,
                event = self.subscription.next() => return event.map_err(|_| Gone),
            }
        }
    }
}

/// Tells what came after `last`, first from the inbox and then as it comes, until either side is
/// gone.
async fn tell(
    app: Arc<App>,
    reader: UserId,
    mut last: MessageId,
    mut listener: Listener,
) -> Result<(), Gone> {
    // Tells the client at once that it is heard, and proxies to pass things on.
    listener.write(b":connected\n\n").await?;
    let mut shown = Shown::default();
    let mut is_behind = true;
    loop {
        while is_behind {
            let chunk = read_on(&app, reader, last)?;
            shown.note(&chunk.rows);
            let held = app.outgoing.hold(chunk.bytes);
            let written = held.during(async {
                for message in &chunk.rows {
                    let text = item(&app, &mut last, &InboxItem::new(message))?;
                    listener.write(&text).await?;
                }
                Ok(())
            });
            written.await.unwrap_or(Err(Gone))?;
            is_behind = !chunk.rows.is_empty();
        }
        let event = listener.next().await?;
        if shown.has(&event) {
            continue;
        }
        match next_of(&app, reader, &mut last, &event)? {
            Next::Nothing => {}
            Next::ReadInbox => is_behind = true,
            Next::Show(text) => listener.write(&text).await?,
        }
    }
}

/// The grants that were read from the inbox, and whose events may still come: one is told after it is
/// there to be read.
#[derive(Default)]
struct Shown(HashMap<MessageId, Instant>);

impl Shown {
    /// Of what was granted before, the event has come.
    fn begin() -> Instant {
        Instant::now().plus_secs(-TOLD_WITHIN_SECS)
    }

    fn note(&mut self, rows: &[Received]) {
        let begin = Shown::begin();
        let granted = rows.iter().filter(|row| row.shared.is_some());
        let granted = granted.map(|row| (row.id, row.granted_at));
        self.0.extend(granted.filter(|(_, at)| *at > begin));
    }

    /// Whether an event tells of a grant that is among them, or of one that this has replaced.
    fn has(&mut self, event: &Event) -> bool {
        let Event::Shared {
            message,
            granted_at,
            ..
        } = event
        else {
            return false;
        };
        let begin = Shown::begin();
        self.0.retain(|_, at| *at > begin);
        let Some(at) = self.0.get(message).copied() else {
            return false;
        };
        if *granted_at == at {
            self.0.remove(message);
        }
        *granted_at <= at
    }
}

/// What an event asks for.
enum Next {
    Nothing,
    ReadInbox,
    Show(Vec<u8>),
}

/// What to do about an event, of which `last` is the newest message that the client has.
fn next_of(app: &App, reader: UserId, last: &mut MessageId, event: &Event) -> Result<Next, Gone> {
    Ok(match event {
        Event::Sent { message, .. } if message.id <= *last => Next::Nothing,
        // The inbox has all of it in order, where events have not.
        Event::Sent { .. } if !app.db.tells_in_order() => Next::ReadInbox,
        Event::Shared { message: id, .. } if *id > *last && !app.db.tells_in_order() => {
            Next::ReadInbox
        }
        Event::Sent { message, sender } => {
            Next::Show(item(app, last, &InboxItem::live(message, sender, None))?)
        }
        Event::Shared {
            message: id,
            shared_by,
            access,
            ..
        } => match lists::message_for(app, reader, *id) {
            Ok((message, sender)) => {
                let shared = Some((shared_by.as_str(), *access));
                Next::Show(item(
                    app,
                    last,
                    &InboxItem::live(&message, &sender, shared),
                )?)
            }
            // Revoked or deleted since.
            Err(Error::UnknownMessage | Error::Forbidden) => Next::Nothing,
            Err(cause) => return Err(unread(&cause)),
        },
        _ => Next::Nothing,
    })
}

/// An item as it is shown to whoever has all up to `last`. An older one does not say its id: a
/// client would go back to it, and be shown all that followed once more. Where there is no room for
/// it, the client comes again, and goes on where it was.
fn item(app: &App, last: &mut MessageId, item: &InboxItem<'_>) -> Result<Vec<u8>, Gone> {
    let _made = app
        .outgoing
        .make(item.encrypted_content.len())
        .map_err(|_| Gone)?;
    let mut text = Vec::new();
    if item.id > last.0 {
        *last = MessageId(item.id);
        text.extend_from_slice(format!("id:{}\n", item.id).as_bytes());
    }
    text.extend_from_slice(b"data:");
    // JSON has no line breaks of its own.
    put_json(&mut text, item);
    text.extend_from_slice(b"\n\n");
    Ok(text)
}

/// What came to the inbox after `last`, as much as goes into a piece.
fn read_on(app: &App, reader: UserId, last: MessageId) -> Result<Chunk<Received>, Gone> {
    let has_room = app.outgoing.check();
    let chunk = has_room.and_then(|()| lists::inbox(app, reader, Page::After(last, ROWS_AT_ONCE)));
    chunk.map_err(|cause| unread(&cause))
}

/// The store could not be read: the client comes again, and goes on where it was.
fn unread(cause: &Error) -> Gone {
    log_if_internal(cause);
    Gone
}
