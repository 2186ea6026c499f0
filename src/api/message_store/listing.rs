//! Inbox and outbox: everything, a page, or what came since.
//!
//! Whatever is asked for, memory stays bounded: what does not fit into one chunk is streamed,
//! chunk by chunk, and no database connection is held meanwhile.

use std::sync::Arc;
use std::time::Duration;

use rocket::{FromForm, get};
use serde::Serialize;

use super::Failure;
use super::caller::{Actor, Caller, stated_user};
use crate::api::http::{AppState, put_json};
use crate::api::listing::{Listing, make_room};
use crate::app::App;
use crate::error::{Error, Result};
use crate::hub::{Channel, End, Event};
use crate::messages::lists::{self, Chunk, Page, Posted, Received};
use crate::model::{Access, Instant, Message, MessageId, Session, UserId};

/// How many messages are read at once where no page was asked for.
pub(super) const ROWS_AT_ONCE: i64 = 200;
/// About what surrounds the content of one.
const ITEM_BYTES: usize = 160;
const LARGEST_PAGE: i64 = 1_000;
const LONGEST_WAIT_SECS: i64 = 60;

/// What the query asks for.
#[derive(Clone, Copy, Debug)]
struct Ask {
    page: Page,
    /// How many at most; `None` for all.
    limit: Option<i64>,
}

/// An inbox item, as published; `shared_by` and `permission` on granted ones only.
#[derive(Serialize)]
pub(super) struct InboxItem<'a> {
    pub(super) id: i64,
    sender_id: &'a str,
    pub(super) encrypted_content: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<&'static str>,
}

impl<'a> InboxItem<'a> {
    pub(super) fn new(message: &'a Received) -> Self {
        InboxItem {
            id: message.id.0,
            sender_id: &message.sender,
            encrypted_content: &message.content,
            timestamp: message.sent_at.to_seconds_text(),
            edited_at: message.edited_at.map(Instant::to_seconds_text),
            shared_by: message.shared.as_ref().map(|(name, _)| &**name),
            permission: message.shared.as_ref().map(|(_, access)| access.as_str()),
        }
    }

    /// The same from an event.
    pub(super) fn live(
        message: &'a Message,
        sender: &'a str,
        shared: Option<(&'a str, Access)>,
    ) -> Self {
        InboxItem {
            id: message.id.0,
            sender_id: sender,
            encrypted_content: &message.content,
            timestamp: message.sent_at.to_seconds_text(),
            edited_at: message.edited_at.map(Instant::to_seconds_text),
            shared_by: shared.map(|(name, _)| name),
            permission: shared.map(|(_, access)| access.as_str()),
        }
    }
}

#[derive(Serialize)]
struct OutboxItem<'a> {
    id: i64,
    receiver_id: &'a str,
    encrypted_content: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<String>,
}

/// The query of a list, as it came.
#[derive(FromForm)]
pub(super) struct Query<'r> {
    user_id: Option<&'r str>,
    limit: Option<&'r str>,
    before: Option<&'r str>,
    after: Option<&'r str>,
    wait: Option<&'r str>,
}

/// message_store §6.
#[get("/messages/inbox?<query..>")]
pub(super) async fn inbox(
    app: &AppState,
    caller: Caller,
    query: Query<'_>,
) -> Result<Listing, Failure> {
    let write = |message: &Received, out: &mut Vec<u8>| {
        put_json(out, &InboxItem::new(message));
        message.id
    };
    answer(app, caller, query, Channel::Inbox, lists::inbox, write).await
}

/// message_store §7. What one waits for here is sent by oneself, from elsewhere.
#[get("/messages/outbox?<query..>")]
pub(super) async fn outbox(
    app: &AppState,
    caller: Caller,
    query: Query<'_>,
) -> Result<Listing, Failure> {
    let write = |message: &Posted, out: &mut Vec<u8>| {
        let item = OutboxItem {
            id: message.id.0,
            receiver_id: &message.recipient,
            encrypted_content: &message.content,
            timestamp: message.sent_at.to_seconds_text(),
            edited_at: message.edited_at.map(Instant::to_seconds_text),
        };
        put_json(out, &item);
        message.id
    };
    answer(app, caller, query, Channel::Outbox, lists::outbox, write).await
}

/// Either list: of what `fetch` finds, once there is some if the caller waits for it.
async fn answer<T: 'static>(
    app: &AppState,
    caller: Caller,
    query: Query<'_>,
    channel: Channel,
    fetch: fn(&App, UserId, Page) -> Result<Chunk<T>>,
    write: fn(&T, &mut Vec<u8>) -> MessageId,
) -> Result<Listing, Failure> {
    let owner = caller.acting_as(app, stated_user(query.user_id)?)?;
    let ask = Ask::parse(query.limit, query.before, query.after)?;
    if let Some((after, wait)) = ask.waiting(query.wait)? {
        let first = Page::After(after, 1);
        let is_there = || Ok(!fetch(app, owner.id, first)?.rows.is_empty());
        wait_for_more(app, &owner, channel, after, wait, is_there).await?;
    }
    let fetch = move |app: &App, page| fetch(app, owner.id, page);
    Ok(listing(app, owner.session, ask, fetch, write)?)
}

impl Ask {
    fn parse(
        limit: Option<&str>,
        before: Option<&str>,
        after: Option<&str>,
    ) -> Result<Self, Failure> {
        let limit = parse_number("limit", limit, 1, LARGEST_PAGE)?;
        let before = parse_id("before", before)?;
        let after = parse_id("after", after)?;
        let page = match (before, after) {
            (Some(_), Some(_)) => {
                return Err(Failure::bad_field("before", "does not go with after"));
            }
            (before, None) => Page::Before(before, limit.unwrap_or(ROWS_AT_ONCE)),
            (None, Some(after)) => Page::After(after, limit.unwrap_or(ROWS_AT_ONCE)),
        };
        Ok(Ask { page, limit })
    }

    /// After which message to wait, and for how long, if that is asked for.
    fn waiting(self, wait: Option<&str>) -> Result<Option<(MessageId, Duration)>, Failure> {
        match (parse_number("wait", wait, 0, LONGEST_WAIT_SECS)?, self.page) {
            (None, _) => Ok(None),
            (Some(wait), Page::After(after, _)) => {
                Ok(Some((after, Duration::from_secs(wait.unsigned_abs()))))
            }
            (Some(_), Page::Before(..)) => Err(Failure::bad_field("wait", "goes with after")),
        }
    }
}

fn parse_id(field: &str, text: Option<&str>) -> Result<Option<MessageId>, Failure> {
    let Some(text) = text else { return Ok(None) };
    match text.parse() {
        Ok(id) => Ok(Some(MessageId(id))),
        Err(_) => Err(Failure::bad_field(field, "must be a message id")),
    }
}

fn parse_number(
    field: &str,
    text: Option<&str>,
    least: i64,
    most: i64,
) -> Result<Option<i64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(Failure::bad_field(
            field,
            &format!("must be an integer from {least} to {most}"),
        )),
    }
}

/// Holds the request until something is there after `after`, or the time or the token is up.
/// `is_there` looks for what came before one listened.
async fn wait_for_more(
    app: &AppState,
    who: &Actor,
    channel: Channel,
    after: MessageId,
    wait: Duration,
    is_there: impl Fn() -> Result<bool>,
) -> Result<()> {
    let mut subscription = who.listen(app, channel)?;
    if is_there()? {
        return Ok(());
    }
    let is_meant = |event: &Event| match event {
        Event::Sent { message, .. } => channel == Channel::Inbox && message.id > after,
        Event::Shared { message, .. } => channel == Channel::Inbox && *message > after,
        Event::Posted { message } => *message > after,
        _ => false,
    };
    let arrival = async {
        loop {
            match subscription.next().await {
                Ok(event) if !is_meant(&event) => {}
                Err(End::SessionEnded) => return Err(Error::InvalidToken),
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    };
    // At the end of the time, of the token or of the server, the answer is what there is.
    tokio::time::timeout(wait, arrival).await.unwrap_or(Ok(()))
}

/// A list, as published.
fn listing<T>(
    app: &Arc<App>,
    session: Option<Session>,
    ask: Ask,
    fetch: impl Fn(&App, Page) -> Result<Chunk<T>> + Send + 'static,
    write: impl Fn(&T, &mut Vec<u8>) -> MessageId + Send + 'static,
) -> Result<Listing> {
    let mut cursor = Progress::new(ask);
    Listing::new(app, session, move |app, out| {
        let chunk = fetch(app, cursor.page)?;
        let _made = app.outgoing.make(chunk.bytes)?;
        if cursor.is_first {
            out.extend_from_slice(b"{\"messages\":[");
        }
        cursor.advance(&chunk, &write, out);
        if cursor.is_endless() {
            cursor.up_to = Some(lists::newest(app)?);
        }
        if cursor.is_done {
            cursor.finish(out);
        }
        Ok(!cursor.is_done)
    })
}

/// How far a list has been written.
struct Progress {
    page: Page,
    /// How many are still wanted; `None` for all, which is no page.
    wanted: Option<i64>,
    /// Up to where a list goes that would have no end while more comes than is read.
    up_to: Option<MessageId>,
    is_done: bool,
    is_first: bool,
    last: Option<MessageId>,
}

impl Progress {
    fn new(ask: Ask) -> Self {
        Progress {
            page: ask.page,
            wanted: ask.limit,
            up_to: None,
            is_done: false,
            is_first: true,
            last: None,
        }
    }

    fn advance<T>(
        &mut self,
        chunk: &Chunk<T>,
        write: impl Fn(&T, &mut Vec<u8>) -> MessageId,
        out: &mut Vec<u8>,
    ) {
        make_room(out, chunk, ITEM_BYTES);
        for row in &chunk.rows {
            if !std::mem::take(&mut self.is_first) {
                out.push(b',');
            }
            self.last = Some(write(row, out));
        }
        let read = i64::try_from(chunk.rows.len()).unwrap_or(i64::MAX);
        let (Page::Before(_, asked) | Page::After(_, asked)) = self.page;
        let is_exhausted = !chunk.may_go_on(asked);
        self.wanted = self.wanted.map(|wanted| wanted - read);
        let is_satisfied = self.wanted.is_some_and(|wanted| wanted <= 0);
        let is_at_end = self.up_to.is_some_and(|end| self.last >= Some(end));
        self.is_done = is_exhausted || is_satisfied || is_at_end;
        if is_exhausted && matches!(self.page, Page::Before(..)) {
            self.last = None;
        }
        let next = chunk.next_limit(self.wanted.unwrap_or(ROWS_AT_ONCE));
        self.page = match (self.page, self.last) {
            (Page::Before(..), Some(last)) => Page::Before(Some(last), next),
            (Page::After(..), Some(last)) => Page::After(last, next),
            (page, None) => page,
        };
    }

    /// Whether it goes on for as long as something comes.
    fn is_endless(&self) -> bool {
        let is_open = self.wanted.is_none() && self.up_to.is_none();
        is_open && !self.is_done && matches!(self.page, Page::After(..))
    }

    /// Closes the list. `next` is the cursor for the following page: for `before`, null at the
    /// end; for `after`, where to go on asking, even if nothing came this time.
    fn finish(&self, out: &mut Vec<u8>) {
        out.push(b']');
        if self.wanted.is_some() {
            let next = match self.page {
                Page::Before(..) => self.last,
                Page::After(after, _) => Some(self.last.unwrap_or(after)),
            };
            out.extend_from_slice(b",\"next\":");
            put_json(out, &next);
        }
        out.extend_from_slice(b",\"status\":\"success\"}");
    }
}
