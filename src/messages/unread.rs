//! What a recipient has not read yet, in any API.
//!
//! One `read_at` serves them all: taken here is read everywhere.

use std::collections::HashSet;

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;

use crate::app::App;
use crate::db::{Conn, on_inner};
use crate::error::Result;
use crate::model::{Instant, Message, MessageId, UserId};
use crate::schema::messages;

/// What is unread is handed out in slices of about this much content, one message at least.
pub const SLICE_BYTES: usize = 4 << 20;

/// Up to `limit` unread direct messages for `reader`, oldest first; leaves them unread. Fewer, if
/// they hold more than [`SLICE_BYTES`].
pub fn list(app: &App, reader: UserId, limit: i64) -> Result<Vec<Message>> {
    app.db.read(|conn| list_in(conn, reader, limit))
}

/// Like [`list`], and marks them as read before they are returned; racing callers never get the
/// same message twice.
pub async fn take(app: &App, reader: UserId, limit: i64) -> Result<Vec<Message>> {
    app.db
        .write(move |conn| {
            let mut found = list_in(conn, reader, limit)?;
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
            let unread = messages::table
                .filter(messages::recipient_id.eq(reader))
                .filter(messages::read_at.is_null())
                .filter(messages::id.le(last));
            Ok(diesel::update(unread)
                .set(messages::read_at.eq(Instant::now()))
                .execute(conn)?)
        })
        .await
}

fn list_in(conn: &mut Conn, reader: UserId, limit: i64) -> Result<Vec<Message>> {
    let query = messages::table
        .filter(messages::recipient_id.eq(reader))
        .filter(messages::read_at.is_null())
        .order(messages::id.asc())
        .limit(limit);
    let (mut found, mut bytes) = (Vec::new(), 0);
    on_inner!(conn, inner => {
        for message in query.select(Message::as_select()).load_iter::<Message, DefaultLoadingMode>(inner)? {
            let message = message?;
            bytes += message.content.len();
            found.push(message);
            if bytes > SLICE_BYTES {
                break;
            }
        }
    });
    Ok(found)
}
