//! Numbered pages of a history, newest first, with the exact number of all its messages.
//!
//! To count a long history costs more than to read a page of it. So a count is remembered, with
//! the newest message that is in it: what came later is added. Only a deletion makes it wrong, and
//! lets it be forgotten.

use diesel::dsl::{count_star, max};
use diesel::prelude::*;

use super::lists::{Chunk, load_chunk};
use super::pair;
use crate::app::App;
use crate::caches::remembered;
use crate::db::{Conn, Extent, on_inner};
use crate::error::Result;
use crate::model::{Message, MessageId, UserId};
use crate::schema::messages;

/// From so many messages on, all are counted anew.
const RECOUNTED_AFTER: i64 = 1_000;
/// For a walk past so many messages others do not wait.
pub(super) const LONG_WALK: i64 = 1_000;

/// Direct messages between two users, both ways, newest first: skips `offset`, at most `limit`.
/// Fewer, if that much does not fit into one chunk. With the exact number of all.
pub fn numbered_history(
    app: &App,
    pair_of: (UserId, UserId),
    offset: i64,
    limit: i64,
) -> Result<(Chunk<Message>, i64)> {
    let Some(pair) = pair(pair_of.0, pair_of.1) else {
        return Ok((Chunk::default(), 0));
    };
    let read = |conn: &mut Conn| {
        let page = messages::table
            .filter(messages::pair.eq(pair))
            .order(messages::id.desc())
            .offset(offset)
            .limit(limit);
        load_chunk!(conn, page, Message::as_select(), Message)
    };
    if offset == 0 {
        let chunk = app.db.read(read)?;
        let counted = if is_last(&chunk, limit) {
            shown(&chunk)
        } else {
            total(app, pair, &chunk.rows)?
        };
        let total = agreed(counted, offset, &chunk, limit);
        return Ok((chunk, total));
    }
    // Known before the page is walked to: behind the last there is nothing to walk for.
    let counted = total(app, pair, &[])?;
    let chunk = match offset {
        _ if offset >= counted => Chunk::default(),
        ..=LONG_WALK => app.db.read(read)?,
        _ => app.db.scan(Extent::Own, read)?,
    };
    let total = agreed(counted, offset, &chunk, limit);
    Ok((chunk, total))
}

fn shown(page: &Chunk<Message>) -> i64 {
    i64::try_from(page.rows.len()).unwrap_or(i64::MAX)
}

/// Whether nothing older follows a page.
fn is_last(page: &Chunk<Message>, limit: i64) -> bool {
    !page.is_cut && shown(page) < limit
}

/// The number of all, so that it agrees with the page: something may have come or gone between
/// reading the one and counting the other.
fn agreed(counted: i64, offset: i64, page: &Chunk<Message>, limit: i64) -> i64 {
    let end = offset.saturating_add(shown(page));
    match is_last(page, limit) {
        true if page.rows.is_empty() => counted.min(offset),
        true => end,
        false => counted.max(end),
    }
}

/// The number of a pair's messages, told from its newest ones if enough of them are at hand.
fn total(app: &App, pair: i64, newest_first: &[Message]) -> Result<i64> {
    if let Some((known, last)) = app.caches.totals.get(&pair) {
        let newer = newest_first.partition_point(|row| row.id > last);
        let newer = if newer < newest_first.len() {
            i64::try_from(newer).unwrap_or(i64::MAX)
        } else {
            count_above(app, pair, last)?
        };
        if newer < RECOUNTED_AFTER {
            return Ok(known + newer);
        }
    }
    let counted = remembered(&app.caches.totals, pair, || count(app, pair))?;
    Ok(counted.map_or(0, |(total, _)| total))
}

/// How many messages a pair has, and the newest of them; `None` if there are none. Scans.
fn count(app: &App, pair: i64) -> Result<Option<(i64, MessageId)>> {
    let both = messages::table.filter(messages::pair.eq(pair));
    let all = both.select((count_star(), max(messages::id)));
    let (total, newest): (i64, Option<MessageId>) = app.db.scan(Extent::Own, |conn| {
        Ok(on_inner!(conn, inner => all.get_result(inner))?)
    })?;
    Ok(newest.map(|newest| (total, newest)))
}

fn count_above(app: &App, pair: i64, id: MessageId) -> Result<i64> {
    let newer = messages::table
        .filter(messages::pair.eq(pair))
        .filter(messages::id.gt(id))
        .count();
    app.db
        .read(|conn| Ok(on_inner!(conn, inner => newer.get_result(inner))?))
}
