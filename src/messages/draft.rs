//! What is to be sent, before it is a message.

use super::{check_content, pair_keys};
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::{Instant, Kind, Message, MessageId, RoomId, UploadId, UserId};

/// The longest idempotency key, in characters (message_store §Messages).
pub const LONGEST_IDEMPOTENCY_KEY: usize = 255;

/// To whom a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// One person.
    User(UserId),
    /// Everybody in a room; `name` is for those who hear of it.
    Room {
        /// Which.
        id: RoomId,
        /// Its name.
        name: String,
    },
}

impl To {
    /// One of both, as it is stored.
    pub(super) fn ids(&self) -> (Option<UserId>, Option<RoomId>) {
        match self {
            To::User(user) => (Some(*user), None),
            To::Room { id, .. } => (None, Some(*id)),
        }
    }

    /// Its name; empty for one person.
    pub fn room_name(&self) -> &str {
        match self {
            To::User(_) => "",
            To::Room { name, .. } => name,
        }
    }
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Who sends it.
    pub sender: UserId,
    /// Their name, for those who hear of it.
    pub sender_name: String,
    /// To whom.
    pub to: To,
    /// What the content is.
    pub kind: Kind,
    /// 1 byte to `limit_bytes`, no NUL.
    pub content: String,
    /// As the sender says.
    pub is_encrypted: bool,
    /// The AES key that goes with it (encommunication); empty if the sender's API has such keys
    /// but this message came without one.
    pub sender_key: Option<String>,
    /// Makes a retry safe: the same key again is the same message again. For direct messages only.
    pub idempotency_key: Option<String>,
    /// The upload that it hands over, and takes along when it is deleted.
    pub upload: Option<UploadId>,
    /// The most bytes of content that the API takes.
    pub limit_bytes: u64,
}

impl Draft {
    /// A direct text message that counts as encrypted, without further ado.
    pub fn direct(
        app: &App,
        sender: UserId,
        sender_name: String,
        to: UserId,
        content: String,
    ) -> Self {
        Draft {
            sender,
            sender_name,
            to: To::User(to),
            kind: Kind::Text,
            content,
            is_encrypted: true,
            sender_key: None,
            idempotency_key: None,
            upload: None,
            limit_bytes: app.config.max_content_bytes,
        }
    }

    /// The message that it has become.
    pub(super) fn sent(
        self,
        id: MessageId,
        recipient_key: Option<String>,
        sent_at: Instant,
    ) -> Message {
        let (recipient_id, room_id) = self.to.ids();
        Message {
            id,
            sender_id: self.sender,
            recipient_id,
            room_id,
            kind: self.kind,
            content: self.content,
            is_encrypted: self.is_encrypted,
            sender_key: self.sender_key,
            recipient_key,
            sent_at,
            edited_at: None,
            read_at: None,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        check_content(&self.content, self.limit_bytes)?;
        pair_keys::check(self.sender_key.as_deref().unwrap_or_default())?;
        match &self.idempotency_key {
            Some(key) if key.is_empty() || key.chars().count() > LONGEST_IDEMPOTENCY_KEY => {
                let problem = format!("must have 1 to {LONGEST_IDEMPOTENCY_KEY} characters");
                Err(Error::invalid("idempotency key", problem))
            }
            _ => Ok(()),
        }
    }
}
