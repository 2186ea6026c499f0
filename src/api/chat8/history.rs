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
use crate::model::{Message, MessageId, UserId};
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
    Ok(list(app, pair, pagination, newest_first)?)
}

/// Writes a page, which comes newest first. What is too large for one piece is read anew, piece by
/// piece from the page's oldest message on.
fn list(
    app: &Arc<App>,
    pair: (UserId, UserId),
    pagination: Pagination,
    mut page: Chunk<Message>,
) -> Result<Listing> {
    let limit = pagination.limit;
    let newest = page.rows.first();
    let end = MessageId(newest.map_or(0, |newest| newest.id.0 + 1));
    let mut after = MessageId(0);
    if page.is_cut {
        let oldest = nth_newest(app, pair, end, limit)?;
        after = MessageId(oldest.map_or(0, |oldest| oldest.0 - 1));
    }
    page.rows.reverse();
    let mut whole = Some(page).filter(|page| !page.is_cut);
    let mut frame = Vec::new();
    let messages = [];
    put_json(
        &mut frame,
        &envelope(History {
            messages,
            pagination,
        }),
    );
    let gap = frame.windows(2).position(|pair| pair == b"[]");
    let tail = frame.split_off(gap.map_or(frame.len(), |gap| gap + 1));
    let app = app.clone();
    Listing::new(move |out| {
        let chunk = match whole.take() {
            Some(chunk) => chunk,
            None => history_between(&app, pair, after, end, limit)?,
        };
        let mut separator = frame.is_empty().then_some(b',');
        make_room(out, &chunk, LETTER_BYTES);
        out.append(&mut frame);
        for message in &chunk.rows {
            out.extend(separator.replace(b','));
            put_json(out, &Letter::in_history(message));
            after = message.id;
        }
        if !chunk.is_cut {
            out.extend_from_slice(&tail);
        }
        Ok(chunk.is_cut)
    })
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
