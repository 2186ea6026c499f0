//! What a recipient has not read yet, in any API.
//!
//! One `read_at` serves them all: taken here is read everywhere. PostgreSQL finds what is unread by
//! an index. On SQLite each send would pay for that index; there a mark says up to where a reader
//! has read everything, and a look walks their mailbox from the mark on. Nothing can come in below
//! a mark, since ids are given out in commit order. A walk is as long as what has come since the
//! first unread message; a mark is moved on once that is much and read.

use std::collections::HashSet;

use diesel::connection::DefaultLoadingMode;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;

use super::lists::{CHUNK_BYTES, Chunk, cut, newest_for};
use crate::app::App;
use crate::db::{Conn, Extent, on_inner};
use crate::error::Result;
use crate::model::{Instant, Message, MessageId, UserId};
use crate::outgoing::Held;
use crate::schema::{messages, permissions, read_marks};

/// The most messages of a slice.
const ROWS_AT_ONCE: i64 = 1_000;

/// So many messages are marked as read in one write; the writes of others come in between.
const MARKED_AT_ONCE: i64 = 500;

/// To walk past so many messages again costs less than to move the mark.
const SHORT_WALK: i64 = 100;

/// Which part of what is unread: from above one message up to another, some at once.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    after: MessageId,
    up_to: MessageId,
    limit: i64,
}

impl Part {
    /// All that is there for `reader` by now.
    pub fn all(app: &App, reader: UserId) -> Result<Self> {
        Ok(Part {
            after: MessageId(0),
            up_to: newest_for(app, reader)?,
            limit: ROWS_AT_ONCE,
        })
    }
}

/// As much of a part as fits into memory that is worth spending on one request.
#[derive(Debug, Default)]
pub struct Slice {
    /// Oldest first; at least one, if there is any.
    pub messages: Vec<Message>,
    /// What of the part comes behind them.
    pub rest: Option<Part>,
    /// What they count for while an answer is made of them.
    pub(crate) made: Option<Held>,
}

impl Slice {
    fn count(&mut self, app: &App) -> Result<()> {
        let lengths = self.messages.iter().map(|message| message.content.len());
        self.made = Some(app.outgoing.make(lengths.sum())?);
        Ok(())
    }
}

/// Unread direct messages for `reader`, which stay unread. Errors: [`Error::Busy`] if there is no room
/// for them.
///
/// [`Error::Busy`]: crate::error::Error::Busy
pub async fn list(app: &App, reader: UserId, part: Part) -> Result<Slice> {
    let (mut slice, _) = look(app, reader, part).await?;
    slice.count(app)?;
    Ok(slice)
}

/// Like [`list`], and marks them as read before they are returned; racing callers never get the
/// same message twice.
pub async fn take(app: &App, reader: UserId, mut part: Part) -> Result<Slice> {
    loop {
        let (mut slice, passed) = look(app, reader, part).await?;
        if slice.messages.is_empty() {
            return Ok(slice);
        }
        // What has no room stays unread.
        slice.count(app)?;
        let ids: Vec<MessageId> = slice.messages.iter().map(|message| message.id).collect();
        let work = move |conn: &mut Conn| mark(conn, reader, ids, passed);
        let taken: HashSet<MessageId> = app.db.write(work).await?.into_iter().collect();
        slice.messages.retain(|message| taken.contains(&message.id));
        match slice.rest {
            // Others were quicker in all of it.
            Some(rest) if slice.messages.is_empty() => part = rest,
            _ => return Ok(slice),
        }
    }
}

/// Marks everything unread for `reader` up to and including `last` as read; returns how many. What
/// comes in meanwhile stays unread. If it fails, a part may be marked.
pub async fn mark_up_to(app: &App, reader: UserId, last: MessageId) -> Result<usize> {
    let first = Part {
        after: MessageId(0),
        up_to: last,
        limit: 1,
    };
    let (found, _) = look(app, reader, first).await?;
    let Some(first) = found.messages.first().map(|message| message.id) else {
        return Ok(0);
    };
    let last = newest_for(app, reader)?.min(last);
    let (mut passed, mut marked) = (MessageId(first.0 - 1), 0);
    while passed < last {
        let part = Part {
            after: passed,
            up_to: last,
            limit: MARKED_AT_ONCE,
        };
        let ids = app
            .db
            .scan(Extent::Own, |conn| ids_of(conn, reader, part))?;
        let is_full = i64::try_from(ids.len()) == Ok(MARKED_AT_ONCE);
        passed = ids.last().copied().filter(|_| is_full).unwrap_or(last);
        let work = move |conn: &mut Conn| mark(conn, reader, ids, passed);
        marked += app.db.write(work).await?.len();
    }
    Ok(marked)
}

/// Marks messages as read, with which everything up to `passed` is; returns those that still were
/// unread.
fn mark(
    conn: &mut Conn,
    reader: UserId,
    ids: Vec<MessageId>,
    passed: MessageId,
) -> Result<Vec<MessageId>> {
    move_mark(conn, reader, passed)?;
    let unread = messages::table
        .filter(messages::id.eq_any(ids))
        .filter(messages::read_at.is_null());
    let update = diesel::update(unread).set(messages::read_at.eq(Instant::now()));
    Ok(on_inner!(conn, inner => update.returning(messages::id).get_results(inner))?)
}

/// What of a part is unread, and up to where nothing else is. Moves the mark if it was far.
async fn look(app: &App, reader: UserId, part: Part) -> Result<(Slice, MessageId)> {
    // Before the walk: what comes in meanwhile is found, or stays above the mark.
    let Some((mark, newest)) = app.db.read(|conn| unwalked(conn, reader))? else {
        return Ok((Slice::default(), MessageId(0)));
    };
    let (after, end) = (part.after.max(mark), part.up_to.min(newest));
    let part = Part { after, ..part };
    let (found, end_of_short) = app.db.scan(Extent::Own, |conn| {
        let found = walk(conn, reader, part)?;
        Ok((found, end_of_short_walk(conn, reader, mark)?))
    })?;
    let last = found.rows.last().map(|last| last.id);
    let rest = last
        .filter(|_| found.may_go_on(part.limit))
        .map(|last| Part {
            after: last,
            limit: found.next_limit(ROWS_AT_ONCE),
            ..part
        });
    let messages = found.rows;
    let passed = match rest {
        Some(rest) => rest.after,
        None => last.map_or(end, |last| last.max(end)),
    };
    let first = messages.first().map(|first| first.id);
    let slice = Slice {
        messages,
        rest,
        made: None,
    };
    if after > mark {
        // What lies between the two was not looked at, and may be unread.
        return Ok((slice, mark));
    }
    let read = first.map_or(end, |first| MessageId(first.0 - 1));
    if end_of_short.is_some_and(|end| end < read) {
        let moved = app.db.write(move |conn| move_mark(conn, reader, read));
        // If it failed, the next look walks from the same place again.
        let _ = moved.await;
    }
    Ok((slice, passed))
}

fn walk(conn: &mut Conn, reader: UserId, part: Part) -> Result<Chunk<Message>> {
    let bytes = |message: &Message| message.content.len();
    match conn {
        Conn::Postgres(inner) => {
            let query = indexed(reader, part.after, part.up_to, part.limit);
            let query = query.select(Message::as_select());
            let rows = query.load_iter::<Message, PgRowByRowLoadingMode>(inner);
            cut(rows, CHUNK_BYTES, bytes)
        }
        Conn::Sqlite(inner) => {
            let query = walked(reader, part.after, part.up_to, part.limit);
            let query = query.select(Message::as_select());
            let rows = query.load_iter::<Message, DefaultLoadingMode>(inner);
            cut(rows, CHUNK_BYTES, bytes)
        }
    }
}

/// The ids alone.
fn ids_of(conn: &mut Conn, reader: UserId, part: Part) -> Result<Vec<MessageId>> {
    let Part {
        after,
        up_to,
        limit,
    } = part;
    Ok(match conn {
        Conn::Postgres(inner) => indexed(reader, after, up_to, limit)
            .select(messages::id)
            .load(inner)?,
        Conn::Sqlite(inner) => walked(reader, after, up_to, limit)
            .select(messages::id)
            .load(inner)?,
    })
}

/// What of a part is unread, oldest first, as PostgreSQL looks for it.
#[diesel::dsl::auto_type]
fn indexed(reader: UserId, after: MessageId, up_to: MessageId, limit: i64) -> _ {
    messages::table
        .filter(messages::recipient_id.eq(reader))
        .filter(messages::read_at.is_null())
        .filter(messages::id.gt(after))
        .filter(messages::id.le(up_to))
        .order(messages::id.asc())
        .limit(limit)
}

/// The same as SQLite looks for it.
#[diesel::dsl::auto_type]
fn walked(reader: UserId, after: MessageId, up_to: MessageId, limit: i64) -> _ {
    permissions::table
        .inner_join(messages::table.on(messages::id.eq(permissions::message_id)))
        .filter(permissions::user_id.eq(reader))
        .filter(permissions::message_id.gt(after))
        .filter(permissions::message_id.le(up_to))
        .filter(permissions::received.eq(true))
        .filter(messages::read_at.is_null())
        .order(permissions::message_id.asc())
        .limit(limit)
}

/// The mark and the newest message above it, if there is one. On PostgreSQL, which needs no
/// walk, everything.
fn unwalked(conn: &mut Conn, reader: UserId) -> Result<Option<(MessageId, MessageId)>> {
    let Conn::Sqlite(inner) = conn else {
        return Ok(Some((MessageId(0), MessageId(i64::MAX))));
    };
    let mark = read_marks::table
        .find(reader)
        .select(read_marks::message_id);
    let mark = mark.first(inner).optional()?.unwrap_or(MessageId(0));
    let newest = permissions::table
        .filter(permissions::user_id.eq(reader))
        .filter(permissions::message_id.gt(mark))
        .order(permissions::message_id.desc())
        .select(permissions::message_id);
    let newest = newest.first(inner).optional()?;
    Ok(newest.map(|newest| (mark, newest)))
}

/// The message that a walk from the mark has to pass to be a long one, if there is one.
fn end_of_short_walk(
    conn: &mut Conn,
    reader: UserId,
    mark: MessageId,
) -> Result<Option<MessageId>> {
    let Conn::Sqlite(inner) = conn else {
        return Ok(None);
    };
    Ok(permissions::table
        .filter(permissions::user_id.eq(reader))
        .filter(permissions::message_id.gt(mark))
        .order(permissions::message_id.asc())
        .offset(SHORT_WALK - 1)
        .select(permissions::message_id)
        .first(inner)
        .optional()?)
}

/// Moves a reader's mark, never back: everything up to `to` is read, or is being marked as read.
fn move_mark(conn: &mut Conn, reader: UserId, to: MessageId) -> Result<()> {
    let Conn::Sqlite(inner) = conn else {
        return Ok(());
    };
    let mark = (
        read_marks::user_id.eq(reader),
        read_marks::message_id.eq(to),
    );
    let upsert = diesel::insert_into(read_marks::table)
        .values(mark)
        .on_conflict(read_marks::user_id)
        .do_update()
        .set(read_marks::message_id.eq(to));
    diesel::query_dsl::methods::FilterDsl::filter(upsert, read_marks::message_id.lt(to))
        .execute(inner)?;
    Ok(())
}
