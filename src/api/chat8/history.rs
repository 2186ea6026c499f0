//! Histories of two users, by numbered pages.

use std::sync::Arc;

use rocket::get;
use serde::Serialize;

use super::letters::Letter;
use super::wording::Failure;
use super::{envelope, id_in_path};
use crate::api::http::{AppState, Bearer, put_json};
use crate::api::listing::{Listing, make_room};
use crate::app::App;
use crate::error::Result;
use crate::messages::history::{history_between, nth_newest};
use crate::messages::lists::Chunk;
use crate::messages::numbered::numbered_history;
use crate::model::{Message, MessageId, Session, UserId};
use crate::users;

/// How many messages a page has unless the client says.
const USUAL_PAGE: i64 = 50;
/// How many it may have.
const LARGEST_PAGE: i64 = 200;
/// About what surrounds the content of one.
const LETTER_BYTES: usize = 192;

/// A page without its messages.
#[derive(Serialize)]
struct History {
    messages: [(); 0],
    pagination: Pagination,
}

#[derive(Serialize)]
struct Pagination {
    page: i64,
    limit: i64,
    total: i64,
    pages: i64,
}

/// What was written between the caller and another, whatever API it was sent through. Page 1 is
/// the newest; within a page the oldest comes first.
#[get("/messages/<id>?<page>&<limit>")]
pub(super) fn history(
    app: &AppState,
    bearer: Bearer,
    id: &str,
    page: Option<&str>,
    limit: Option<&str>,
) -> std::result::Result<Listing, Failure> {
    let session = bearer.session(app)?;
    let friend = UserId(id_in_path("friend_id", id)?);
    let page = positive("page", page, 1)?;
    let limit = positive("limit", limit, USUAL_PAGE)?.min(LARGEST_PAGE);
    let offset = (page - 1).saturating_mul(limit);
    let pair = (session.user, friend);
    let (newest_first, total) = numbered_history(app, pair, offset, limit)?;
    if total == 0 {
        users::username_by_id(app, friend)?;
    }
    let pagination = Pagination {
        page,
        limit,
        total,
        pages: (total + limit - 1) / limit,
    };
    Ok(write_page(app, session, pair, pagination, newest_first)?)
}

/// Writes a page, which comes newest first. What is too large for one piece is read anew, piece by
/// piece from the page's oldest message on.
fn write_page(
    app: &Arc<App>,
    session: Session,
    pair: (UserId, UserId),
    pagination: Pagination,
    mut page: Chunk<Message>,
) -> Result<Listing> {
    let newest = page.rows.first();
    let end = MessageId(newest.map_or(0, |newest| newest.id.0 + 1));
    let mut wanted = pagination.limit;
    let mut asked = page.next_limit(wanted);
    let mut after = MessageId(0);
    let mut whole = None;
    if page.is_cut {
        let oldest = nth_newest(app, pair, end, wanted)?;
        after = MessageId(oldest.map_or(0, |oldest| oldest.0 - 1));
    } else {
        page.rows.reverse();
        whole = Some(page);
    }
    let (head, tail) = frame(pagination);
    let mut head = Some(head);
    Listing::new(app, Some(session), move |app, out| {
        let chunk = match whole.take() {
            Some(chunk) => chunk,
            None => history_between(app, pair, after, end, asked)?,
        };
        let _made = app.outgoing.make(chunk.bytes)?;
        make_room(out, &chunk, LETTER_BYTES);
        let mut is_first = head.is_some();
        out.extend(head.take().into_iter().flatten());
        for message in &chunk.rows {
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            put_json(out, &Letter::in_history(message));
            after = message.id;
            wanted -= 1;
        }
        let has_more = wanted > 0 && chunk.may_go_on(asked);
        asked = chunk.next_limit(wanted);
        if !has_more {
            out.extend_from_slice(&tail);
        }
        Ok(has_more)
    })
}

/// What stands before and after the messages of a page.
fn frame(pagination: Pagination) -> (Vec<u8>, Vec<u8>) {
    let history = History {
        messages: [],
        pagination,
    };
    let mut head = Vec::new();
    put_json(&mut head, &envelope(history));
    let list = head.windows(2).position(|two| two == b"[]");
    let tail = head.split_off(list.expect("a list without messages") + 1);
    (head, tail)
}

/// A number in the query that must be at least one.
fn positive(field: &'static str, text: Option<&str>, usual: i64) -> Result<i64, Failure> {
    let Some(text) = text else { return Ok(usual) };
    // A number too large to be read is no less a number.
    let is_huge = text.len() > 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().or(is_huge.then_some(i64::MAX));
    let number = number.filter(|number| *number >= 1);
    number.ok_or_else(|| Failure::invalid(field, "must be an integer of at least 1"))
}
