//! What two users have written to each other, and what one has received, oldest first, in pieces of
//! bounded size. Numbered pages are in [`super::numbered`].

use diesel::connection::DefaultLoadingMode;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;

use super::lists::{CHUNK_BYTES, Chunk, cut, load_chunk};
use super::numbered::LONG_WALK;
use super::pair;
use crate::app::App;
use crate::db::{Conn, Extent};
use crate::error::Result;
use crate::model::{Message, MessageId, UserId};
use crate::schema::{messages, permissions};

/// Of a history, what is above `after` and below `before`, oldest first: at most `limit`, and as
/// much as fits into one chunk.
pub fn history_between(
    app: &App,
    pair_of: (UserId, UserId),
    after: MessageId,
    before: MessageId,
    limit: i64,
) -> Result<Chunk<Message>> {
    let pair = pair(pair_of.0, pair_of.1);
    let part = messages::table
        .filter(messages::pair.eq(pair))
        .filter(messages::id.gt(after))
        .filter(messages::id.lt(before))
        .order(messages::id.asc())
        .limit(limit);
    app.db
        .read(|conn| load_chunk!(conn, part, Message::as_select(), Message))
}

/// The id of the `nth` newest message of a history from below an id, the newest being 1.
pub fn nth_newest(
    app: &App,
    pair_of: (UserId, UserId),
    before: MessageId,
    nth: i64,
) -> Result<Option<MessageId>> {
    let walk = |conn: &mut Conn| {
        Ok(messages::table
            .filter(messages::pair.eq(pair(pair_of.0, pair_of.1)))
            .filter(messages::id.lt(before))
            .order(messages::id.desc())
            .offset(nth - 1)
            .limit(1)
            .select(messages::id)
            .first(conn)
            .optional()?)
    };
    if nth > LONG_WALK {
        app.db.scan(Extent::Own, walk)
    } else {
        app.db.read(walk)
    }
}

/// Of what was sent to `reader` directly, with its keys, what is above `after`, up to and including
/// `newest`, oldest first: at most `limit`, and as much as fits into one chunk. With the id up to
/// which that is all. Leaves it unread.
pub fn received_after(
    app: &App,
    reader: UserId,
    after: MessageId,
    newest: MessageId,
    limit: i64,
) -> Result<(Chunk<Message>, MessageId)> {
    let mailbox = permissions::table
        .filter(permissions::user_id.eq(reader))
        .filter(permissions::message_id.gt(after))
        .filter(permissions::message_id.le(newest))
        .filter(permissions::received.eq(true))
        .order(permissions::message_id.asc())
        .limit(limit);
    let bytes = |row: &Message| row.content.len();
    // As in `lists`: SQLite walks the mailbox, PostgreSQL looks up its keys.
    let walk = |conn: &mut Conn| match conn {
        Conn::Sqlite(inner) => {
            let query = mailbox
                .inner_join(messages::table.on(messages::id.eq(permissions::message_id)))
                .select(Message::as_select());
            let rows = query.load_iter::<Message, DefaultLoadingMode>(inner);
            cut(rows, CHUNK_BYTES, bytes)
        }
        Conn::Postgres(inner) => {
            let query = messages::table
                .filter(messages::id.eq_any(mailbox.select(permissions::message_id)))
                .order(messages::id.asc())
                .select(Message::as_select());
            let rows = query.load_iter::<Message, PgRowByRowLoadingMode>(inner);
            cut(rows, CHUNK_BYTES, bytes)
        }
    };
    // Any number of shared messages may lie between.
    let chunk = if newest.0.saturating_sub(after.0) > LONG_WALK {
        app.db.scan(Extent::Own, walk)?
    } else {
        app.db.read(walk)?
    };
    let last = chunk.rows.last().map_or(newest, |message| message.id);
    Ok((chunk, last))
}
