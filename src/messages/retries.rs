//! Idempotency keys: how a send that is repeated is known for a repetition.
//!
//! Nothing here sends; [`super::send`] asks before it inserts. In between no other send of the same
//! sender comes: they take turns, as all do that write into their mailbox. What is sent to rooms,
//! whose senders take no such turns, has no key.

use diesel::prelude::*;
use sha2::{Digest, Sha256};

use super::{Draft, To};
use crate::db::{Conn, on_inner};
use crate::error::{Error, Result};
use crate::model::{Instant, Message, MessageId};
use crate::schema::{deleted_sends, messages};

/// What must be the same for a retry to be a retry.
pub(super) fn digest(draft: &Draft) -> Vec<u8> {
    let to = match &draft.to {
        To::User(user) => format!("user {}", user.0),
        To::Room { id, .. } => format!("room {}", id.0),
    };
    let head = format!("{to}\n{}\n{}\n", draft.kind.as_str(), draft.is_encrypted);
    Sha256::new()
        .chain_update(head)
        .chain_update(&draft.content)
        .finalize()
        .to_vec()
}

/// The message that the draft's key already stands for, even if it has been deleted.
/// Errors: [`Error::KeyReused`].
pub(super) fn find(conn: &mut Conn, draft: &Draft) -> Result<Option<Message>> {
    let Some(key) = &draft.idempotency_key else {
        return Ok(None);
    };
    let found = messages::table
        .filter(messages::sender_id.eq(draft.sender))
        .filter(messages::client_key.eq(key))
        .select((Message::as_select(), messages::client_digest))
        .first::<(Message, Option<Vec<u8>>)>(conn)
        .optional()?;
    let found = match found {
        None => find_deleted(conn, draft, key)?,
        found => found,
    };
    match found {
        Some((_, kept)) if kept.as_deref() != Some(&digest(draft)) => Err(Error::KeyReused),
        found => Ok(found.map(|(message, _)| message)),
    }
}

/// A message that was deleted, with its digest: if that is the draft's too, it was as the draft.
fn find_deleted(
    conn: &mut Conn,
    draft: &Draft,
    key: &str,
) -> Result<Option<(Message, Option<Vec<u8>>)>> {
    let found = deleted_sends::table
        .find((draft.sender, key))
        .select((
            deleted_sends::message_id,
            deleted_sends::sent_at,
            deleted_sends::client_digest,
        ))
        .first::<(MessageId, Instant, Vec<u8>)>(conn)
        .optional()?;
    Ok(found.map(|(id, sent_at, digest)| (draft.clone().sent(id, None, sent_at), Some(digest))))
}

/// Keeps what a retry needs of a message that is about to be deleted, if it has a key.
pub(super) fn keep(conn: &mut Conn, id: MessageId) -> Result<()> {
    let row = messages::table
        .find(id)
        .filter(messages::client_key.is_not_null())
        .select((
            messages::sender_id,
            messages::client_key.assume_not_null(),
            messages::client_digest.assume_not_null(),
            messages::id,
            messages::sent_at,
        ));
    let insert = diesel::insert_into(deleted_sends::table)
        .values(row)
        .into_columns((
            deleted_sends::sender_id,
            deleted_sends::client_key,
            deleted_sends::client_digest,
            deleted_sends::message_id,
            deleted_sends::sent_at,
        ));
    on_inner!(conn, inner => insert.execute(inner))?;
    Ok(())
}
