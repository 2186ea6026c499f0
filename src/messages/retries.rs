//! Idempotency keys: how a send that is repeated is known for a repetition.
//!
//! Nothing here sends; [`super::send`] asks before it inserts.

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use sha2::{Digest, Sha256};

use super::{Draft, To};
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::model::Message;
use crate::schema::messages;

/// The index that holds a key once for each sender.
const KEY_INDEX: &str = "messages_by_client_key";

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

/// The message that the draft's key already stands for. Errors: [`Error::KeyReused`].
pub(super) fn find(conn: &mut Conn, draft: &Draft) -> Result<Option<Message>> {
    let Some(key) = &draft.client_key else {
        return Ok(None);
    };
    let found = messages::table
        .filter(messages::sender_id.eq(draft.sender))
        .filter(messages::client_key.eq(key))
        .select((Message::as_select(), messages::client_digest))
        .first::<(Message, Option<Vec<u8>>)>(conn)
        .optional()?;
    match found {
        Some((_, kept)) if kept.as_deref() != Some(&digest(draft)) => Err(Error::KeyReused),
        found => Ok(found.map(|(message, _)| message)),
    }
}

/// Whether an insert failed because the same key was inserted at the same moment. Only
/// PostgreSQL has several writers, and it names the index.
pub(super) fn is_race(cause: &Error) -> bool {
    matches!(
        cause,
        Error::Db(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info))
            if info.constraint_name() == Some(KEY_INDEX)
    )
}
