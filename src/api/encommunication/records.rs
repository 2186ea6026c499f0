//! `GET /chatRecords`: what two users have written to each other; `GET /received`: what has come to
//! the caller since a record. Both oldest first.

use std::sync::Arc;

use chrono::SecondsFormat;
use rocket::get;
use rocket::http::Status;
use serde::Serialize;

use super::caller::Caller;
use super::wording::Failure;
use super::{Answer, envelope};
use crate::api::http::{AppState, Reply};
use crate::api::listing::{Array, Listing};
use crate::app::App;
use crate::error::{Error, Result};
use crate::messages::{history, lists};
use crate::model::{Message, MessageId, Session, UserId};

/// How many records are read at once.
const ROWS_AT_ONCE: i64 = 500;

/// A record, as published. The keys are those of the time at which it was sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    id: MessageId,
    from_id: UserId,
    to_id: Option<UserId>,
    message: &'a str,
    from_aes_key: Option<&'a str>,
    to_aes_key: Option<&'a str>,
    create_time: String,
}

impl<'a> Record<'a> {
    fn new(message: &'a Message) -> Self {
        Record {
            id: message.id,
            from_id: message.sender_id,
            to_id: message.recipient_id,
            message: &message.content,
            from_aes_key: message.sender_key.as_deref(),
            to_aes_key: message.recipient_key.as_deref(),
            create_time: message
                .sent_at
                .to_utc()
                .to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }
}

/// What came to somebody, and up to which record: from there they ask on.
#[derive(Serialize)]
struct Received<'a> {
    records: Vec<Record<'a>>,
    last: MessageId,
}

/// As much as fits into one answer, until there is nothing left; without `after` no record, only
/// where to begin. An id above all others, as after a restore of the store, stands for the newest:
/// that of the caller's own mailbox, since only there ids are in the order of commits everywhere.
#[get("/received?<after>")]
pub(super) fn received(app: &AppState, caller: Caller, after: Option<&str>) -> Answer {
    let session = caller.session(app)?;
    let newest = lists::newest_for(app, session.user)?;
    let after = integer("after", after)?.map_or(newest, |after| MessageId(after).min(newest));
    let (chunk, last) = history::received_after(app, session.user, after, newest, ROWS_AT_ONCE)?;
    let _made = app.outgoing.make(chunk.bytes)?;
    let received = Received {
        last,
        records: chunk.rows.iter().map(Record::new).collect(),
    };
    Ok(Reply::of_messages(Status::Ok, &envelope("ok", received)))
}

/// Without `limit` and `before` all of them; with them the newest `limit` below the id `before`.
#[get("/chatRecords?<fromId>&<toId>&<limit>&<before>")]
#[expect(non_snake_case, reason = "the published names of the parameters")]
pub(super) fn records(
    app: &AppState,
    caller: Caller,
    fromId: Option<&str>,
    toId: Option<&str>,
    limit: Option<&str>,
    before: Option<&str>,
) -> Result<Listing, Failure> {
    let session = caller.session(app)?;
    let one = user_id("fromId", fromId)?;
    let other = user_id("toId", toId)?;
    let limit = integer("limit", limit)?;
    if limit.is_some_and(|limit| limit < 1) {
        return Err(Failure::bad_request("参数 limit 必须大于 0"));
    }
    let before = integer("before", before)?.map_or(MessageId(i64::MAX), MessageId);
    if session.user != one {
        return Err(Error::Forbidden.into());
    }
    Ok(list(app, session, (one, other), limit, before)?)
}

/// The user that a parameter names, which may not be missing.
pub(super) fn user_id(name: &str, text: Option<&str>) -> Result<UserId, Failure> {
    let id = integer(name, text)?.map(UserId);
    id.ok_or_else(|| Failure::bad_request(format!("缺少参数 {name}")))
}

fn integer(name: &str, text: Option<&str>) -> Result<Option<i64>, Failure> {
    let number = text.map(str::parse).transpose();
    number.map_err(|_| Failure::bad_request(format!("参数 {name} 必须是整数")))
}

/// The records of a pair below `before`, the newest `limit` of them if there is a limit.
fn list(
    app: &Arc<App>,
    session: Session,
    pair: (UserId, UserId),
    limit: Option<i64>,
    mut before: MessageId,
) -> Result<Listing> {
    // Oldest first, so the page begins at its oldest record; found by key, not by reading.
    let oldest = match limit {
        Some(limit) => history::nth_newest(app, pair, before, limit)?,
        None => None,
    };
    let mut after = MessageId(oldest.map_or(0, |id| id.0 - 1));
    let mut wanted = limit.unwrap_or(i64::MAX);
    let mut asked = wanted.min(ROWS_AT_ONCE);
    let mut list = Array::default();
    Listing::new(app, Some(session), move |app, out| {
        let chunk = history::history_between(app, pair, after, before, asked)?;
        let _made = app.outgoing.make(chunk.bytes)?;
        for message in &chunk.rows {
            list.put(out, &Record::new(message));
            after = message.id;
            wanted -= 1;
        }
        let has_more = wanted > 0 && chunk.may_go_on(asked);
        asked = chunk.next_limit(wanted.min(ROWS_AT_ONCE));
        if has_more && before == MessageId(i64::MAX) {
            // It would have no end while more is written than is read.
            before = MessageId(lists::newest(app)?.0 + 1);
        }
        if !has_more {
            list.end(out);
        }
        Ok(has_more)
    })
}
