//! What two users have written to each other, oldest first, in pieces of bounded size. Pages from
//! the newest on are in [`super::lists`].

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;

use super::lists::{Chunk, cut};
use super::pair;
use crate::app::App;
use crate::db::on_inner;
use crate::error::{Error, Result};
use crate::model::{Message, MessageId, UserId};
use crate::schema::messages;

/// The part of a history from below one id, oldest first, as much as fits into one chunk:
/// from above `after`, at most `limit`.
pub fn history_between(
    app: &App,
    pair_of: (UserId, UserId),
    after: MessageId,
    before: MessageId,
    limit: i64,
) -> Result<Chunk<Message>> {
    let pair = pair(pair_of.0, pair_of.1);
    app.db.read(|conn| {
        on_inner!(conn, inner => messages::table
            .filter(messages::pair.eq(pair))
            .filter(messages::id.gt(after))
            .filter(messages::id.lt(before))
            .order(messages::id.asc())
            .limit(limit)
            .select(Message::as_select())
            .load_iter::<Message, DefaultLoadingMode>(inner)
            .map_err(Error::from)
            .and_then(|rows| cut(rows, |row| row.content.len())))
    })
}

/// The id of the `nth` newest message of a history from below an id, the newest being 1.
pub fn nth_newest(
    app: &App,
    pair_of: (UserId, UserId),
    before: MessageId,
    nth: i64,
) -> Result<Option<MessageId>> {
    app.db.read(|conn| {
        Ok(messages::table
            .filter(messages::pair.eq(pair(pair_of.0, pair_of.1)))
            .filter(messages::id.lt(before))
            .order(messages::id.desc())
            .offset(nth - 1)
            .limit(1)
            .select(messages::id)
            .first(conn)
            .optional()?)
    })
}
