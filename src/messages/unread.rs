//! What a recipient has not read yet, in any API.
//!
//! One `read_at` serves them all: taken here is read everywhere. PostgreSQL finds what is unread by
//! an index. On SQLite each send would pay for that index; there a mark says up to where a reader
//! has read everything, and a look walks their mailbox from the mark on. Nothing can come in below
//! a mark, since ids are given out in commit order.

use std::collections::HashSet;

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;

use crate::app::App;
use crate::db::{Conn, on_inner};
use crate::error::Result;
use crate::model::{Instant, Message, MessageId, UserId};
use crate::schema::{messages, permissions, read_marks};

/// What is unread is handed out in slices of about this much content, one message at least.
pub const SLICE_BYTES: usize = 4 << 20;

/// Up to `limit` unread direct messages for `reader`, oldest first; leaves them unread. Fewer, if
/// they hold more than [`SLICE_BYTES`].
pub async fn list(app: &App, reader: UserId, limit: i64) -> Result<Vec<Message>> {
    let (found, passed) = app.db.scan(|conn| {
        let mark = mark_of(conn, reader)?;
        // Before the look: what comes in between is found, or stays above the mark.
        let newest = newest_above(conn, reader, mark)?;
        let found = list_in(conn, reader, mark, limit)?;
        let passed = newest.filter(|_| found.is_empty());
        Ok((found, passed))
    })?;
    if let Some(newest) = passed {
        let moved = app.db.write(move |conn| move_mark(conn, reader, newest));
        // If it failed, the next look walks from the same place again.
        let _ = moved.await;
    }
    Ok(found)
}

/// Like [`list`], and marks them as read before they are returned; racing callers never get the
/// same message twice.
pub async fn take(app: &App, reader: UserId, limit: i64) -> Result<Vec<Message>> {
    app.db
        .write(move |conn| {
            let mark = mark_of(conn, reader)?;
            let mut found = list_in(conn, reader, mark, limit)?;
            if let Some(last) = found.last() {
                move_mark(conn, reader, last.id)?;
            }
            let ids: Vec<MessageId> = found.iter().map(|message| message.id).collect();
            let rows = messages::table
                .filter(messages::id.eq_any(ids))
                .filter(messages::read_at.is_null());
            let update = diesel::update(rows).set(messages::read_at.eq(Instant::now()));
            // Another node may have been quicker; on SQLite there is only this writer.
            let taken: HashSet<MessageId> =
                on_inner!(conn, inner => update.returning(messages::id).get_results(inner))?
                    .into_iter()
                    .collect();
            found.retain(|message| taken.contains(&message.id));
            Ok(found)
        })
        .await
}

/// Marks everything unread for `reader` up to and including `last` as read; returns how many.
pub async fn mark_up_to(app: &App, reader: UserId, last: MessageId) -> Result<usize> {
    app.db
        .write(move |conn| {
            let mark = mark_of(conn, reader)?;
            if let Some(newest) = newest_above(conn, reader, mark)? {
                move_mark(conn, reader, last.min(newest))?;
            }
            let unread = messages::table
                .filter(messages::recipient_id.eq(reader))
                .filter(messages::read_at.is_null())
                .filter(messages::id.le(last));
            let read = messages::read_at.eq(Instant::now());
            Ok(match conn {
                Conn::Postgres(inner) => diesel::update(unread).set(read).execute(inner)?,
                Conn::Sqlite(inner) => {
                    let walked = permissions::table
                        .filter(permissions::user_id.eq(reader))
                        .filter(permissions::message_id.gt(mark))
                        .filter(permissions::message_id.le(last))
                        .select(permissions::message_id);
                    let unread = unread.filter(messages::id.eq_any(walked));
                    diesel::update(unread).set(read).execute(inner)?
                }
            })
        })
        .await
}

fn list_in(conn: &mut Conn, reader: UserId, mark: MessageId, limit: i64) -> Result<Vec<Message>> {
    match conn {
        Conn::Postgres(inner) => slice(
            messages::table
                .filter(messages::recipient_id.eq(reader))
                .filter(messages::read_at.is_null())
                .order(messages::id.asc())
                .limit(limit)
                .select(Message::as_select())
                .load_iter::<Message, DefaultLoadingMode>(inner)?,
        ),
        Conn::Sqlite(inner) => slice(
            permissions::table
                .inner_join(messages::table.on(messages::id.eq(permissions::message_id)))
                .filter(permissions::user_id.eq(reader))
                .filter(permissions::message_id.gt(mark))
                .filter(permissions::received.eq(true))
                .filter(messages::read_at.is_null())
                .order(permissions::message_id.asc())
                .limit(limit)
                .select(Message::as_select())
                .load_iter::<Message, DefaultLoadingMode>(inner)?,
        ),
    }
}

fn slice(rows: impl Iterator<Item = QueryResult<Message>>) -> Result<Vec<Message>> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for message in rows {
        let message = message?;
        bytes += message.content.len();
        found.push(message);
        if bytes > SLICE_BYTES {
            break;
        }
    }
    Ok(found)
}

/// Up to where a reader has read everything; there are no marks on PostgreSQL.
fn mark_of(conn: &mut Conn, reader: UserId) -> Result<MessageId> {
    let Conn::Sqlite(inner) = conn else {
        return Ok(MessageId(0));
    };
    let mark = read_marks::table
        .find(reader)
        .select(read_marks::message_id);
    let mark = mark.first(inner).optional()?;
    Ok(mark.unwrap_or(MessageId(0)))
}

/// The newest in a reader's mailbox, where the mark could be moved to: `None` if it is there.
fn newest_above(conn: &mut Conn, reader: UserId, mark: MessageId) -> Result<Option<MessageId>> {
    let Conn::Sqlite(inner) = conn else {
        return Ok(None);
    };
    Ok(permissions::table
        .filter(permissions::user_id.eq(reader))
        .filter(permissions::message_id.gt(mark))
        .order(permissions::message_id.desc())
        .select(permissions::message_id)
        .first(inner)
        .optional()?)
}

/// Moves a reader's mark, never back: they have read everything up to `to`.
fn move_mark(conn: &mut Conn, reader: UserId, to: MessageId) -> Result<()> {
    if mark_of(conn, reader)? >= to {
        return Ok(());
    }
    if let Conn::Sqlite(inner) = conn {
        diesel::insert_into(read_marks::table)
            .values((
                read_marks::user_id.eq(reader),
                read_marks::message_id.eq(to),
            ))
            .on_conflict(read_marks::user_id)
            .do_update()
            .set(read_marks::message_id.eq(to))
            .execute(inner)?;
    }
    Ok(())
}
