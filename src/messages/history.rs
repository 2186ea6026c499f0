//! What two users have written to each other, oldest first, in pieces of bounded size. Numbered
//! pages are in [`super::numbered`].

use diesel::prelude::*;

use super::lists::{Chunk, load_chunk};
use super::pair;
use crate::app::App;
use crate::error::Result;
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
