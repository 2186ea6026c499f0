//! The AES keys that users send one another, sealed by them (encommunication): the last one of each
//! direction is kept. A later key never changes what is stored with an earlier message.

use std::sync::Arc;

use diesel::prelude::*;

use crate::app::App;
use crate::db::{Conn, on_inner};
use crate::error::{Error, Result};
use crate::hub::Event;
use crate::model::{Instant, UserId};
use crate::schema::pair_keys;

/// The longest wrapped AES key, in bytes; under an RSA key of 8,192 bits it has 1,368 in base64.
const LONGEST_AES_KEY_BYTES: usize = 16 << 10;

/// Keeps the last AES key that one user sent another, without any message, and passes it on.
/// It is on disk before it is passed on, so that no message can overtake it. An empty key (old
/// clients confirm with one) is passed on and does not replace what is kept.
/// Errors: [`Error::Invalid`], [`Error::Busy`].
pub async fn offer(app: &Arc<App>, from: UserId, to: UserId, aes_key: String) -> Result<()> {
    check(&aes_key)?;
    let hub = app.hub.clone();
    let event_key = aes_key.clone();
    app.db
        .write_then(
            move |conn| remember(conn, from, to, &aes_key),
            move |()| {
                let aes_key = event_key;
                hub.to_user(to, Event::KeyOffered { from, aes_key });
            },
        )
        .await
}

/// Keeps a key as the last one of its direction; an empty one changes nothing.
pub(super) fn remember(conn: &mut Conn, from: UserId, to: UserId, aes_key: &str) -> Result<()> {
    if aes_key.is_empty() {
        return Ok(());
    }
    let columns = (
        pair_keys::aes_key.eq(aes_key),
        pair_keys::updated_at.eq(Instant::now()),
    );
    let row = (
        pair_keys::from_id.eq(from),
        pair_keys::to_id.eq(to),
        columns,
    );
    let insert = diesel::insert_into(pair_keys::table)
        .values(row)
        .on_conflict((pair_keys::from_id, pair_keys::to_id))
        .do_update()
        .set(columns);
    on_inner!(conn, inner => insert.execute(inner))?;
    Ok(())
}

/// The last key that one user sent another.
pub(super) fn last(conn: &mut Conn, from: UserId, to: UserId) -> Result<Option<String>> {
    Ok(pair_keys::table
        .find((from, to))
        .select(pair_keys::aes_key)
        .first(conn)
        .optional()?)
}

/// Refuses an AES key that is longer than any wrapping makes it, or has NUL characters.
pub(super) fn check(key: &str) -> Result<()> {
    if key.len() > LONGEST_AES_KEY_BYTES || key.contains('\0') {
        let problem =
            format!("must have at most {LONGEST_AES_KEY_BYTES} bytes and no NUL characters");
        return Err(Error::invalid("aes_key", problem));
    }
    Ok(())
}
