//! What can happen, as told to those who listen.

use std::sync::{Arc, OnceLock};

use crate::model::{Access, Instant, Message, MessageId, RequestId, Status, UserId};

/// Something that happened, already on disk if it is of a kind that is stored.
#[derive(Debug)]
pub enum Event {
    /// A direct message was sent; for its recipient.
    Sent {
        /// As stored.
        message: Arc<Message>,
        /// Its sender's name at that time.
        sender: String,
    },
    /// A direct message was sent; for its sender, who may wait for what another device sends.
    Posted {
        /// Which.
        message: MessageId,
    },
    /// A message was granted; for the grantee, who reads it where they see it.
    Shared {
        /// Which.
        message: MessageId,
        /// Who granted it.
        shared_by: String,
        /// What they may do with it.
        access: Access,
        /// When.
        granted_at: Instant,
    },
    /// Something was said in a room (or a file put there); for members whose current room it is.
    Said {
        /// As stored.
        message: Arc<Message>,
        /// Its sender's name.
        sender: String,
        /// The room's name.
        room: String,
        /// What every listener is sent, made by the first of them: a room may have thousands.
        line: OnceLock<Vec<u8>>,
    },
    /// A user's visible status changed; for friends.
    StatusChanged {
        /// Who.
        user: UserId,
        /// Their name.
        username: String,
        /// What others now see.
        status: Status,
    },
    /// Somebody asks to be a friend; for the addressee.
    FriendRequested {
        /// To be named in the answer.
        request: RequestId,
        /// Who asks.
        from: UserId,
        /// Their name.
        username: String,
        /// A word with it.
        text: String,
    },
    /// A call is offered; for the callee. Not stored.
    CallOffered {
        /// With pictures.
        is_video: bool,
        /// The caller's name for the call.
        call_id: String,
        /// Who calls.
        from: UserId,
        /// Their name.
        username: String,
    },
    /// A key for the messages to come (encommunication); for its receiver.
    KeyOffered {
        /// Whose.
        from: UserId,
        /// Sealed for the receiver.
        aes_key: String,
    },
    /// Somebody's socket of a channel opened, as the user's first there; for that channel.
    Joined {
        /// Who.
        user: UserId,
        /// Their name.
        username: String,
    },
    /// Somebody's last socket of a channel closed; for that channel.
    Left {
        /// Who.
        user: UserId,
        /// Their name.
        username: String,
    },
    /// Who is on the relay now (encommunication); for everybody there.
    Roster {
        /// Everybody there once, by id, each as the API writes them.
        entries: Vec<(UserId, String)>,
        /// All of them in one frame, if one frame may hold them.
        frame: Option<String>,
    },
    /// A word to everybody on a channel (secure_im's broadcast). Not stored.
    Broadcast {
        /// Who speaks.
        user: UserId,
        /// Their name.
        username: String,
        /// What they say.
        text: String,
    },
}

impl Event {
    /// Whether one says all that the ones before it have said, so that only the newest has to wait.
    pub(super) fn replaces_older(&self) -> bool {
        matches!(self, Event::Roster { .. })
    }

    /// The size of what it carries, roughly; nothing for what [replaces](Self::replaces_older) what
    /// waits, and cannot pile up.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Event::Sent { message, .. } | Event::Said { message, .. } => message.content.len(),
            Event::Broadcast { text, .. } => text.len(),
            Event::KeyOffered { aes_key, .. } => aes_key.len(),
            _ => 0,
        }
    }
}

/// The live part of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Event streams of message_store.
    MessageStore,
    /// Waiting inboxes of message_store.
    Inbox,
    /// Waiting outboxes of message_store.
    Outbox,
    /// The broadcast socket of secure_im.
    SecureIm,
    /// The socket of chat8.
    Chat8,
    /// The TCP protocol.
    ChatRoom,
    /// The relay socket of encommunication.
    Relay,
}

impl Channel {
    /// Whether who listens here is online: a call that waits is no connection that lives.
    pub(super) fn is_presence(self) -> bool {
        !matches!(self, Channel::Inbox | Channel::Outbox)
    }

    /// Whether clients there are told anything of such an event. Whatever else waited for them would
    /// only make them fall behind.
    pub(super) fn hears(self, event: &Event) -> bool {
        match event {
            Event::Sent { .. } => matches!(
                self,
                Channel::MessageStore | Channel::Inbox | Channel::Chat8 | Channel::Relay
            ),
            Event::Shared { .. } => matches!(self, Channel::MessageStore | Channel::Inbox),
            Event::Posted { .. } => self == Channel::Outbox,
            Event::Said { .. } => self == Channel::ChatRoom,
            Event::StatusChanged { .. }
            | Event::FriendRequested { .. }
            | Event::CallOffered { .. } => self == Channel::Chat8,
            Event::KeyOffered { .. } | Event::Roster { .. } => self == Channel::Relay,
            Event::Joined { .. } | Event::Left { .. } | Event::Broadcast { .. } => {
                self == Channel::SecureIm
            }
        }
    }

    /// Whether those on it hear who comes and goes.
    pub(super) fn tells_who_comes(self) -> bool {
        self == Channel::SecureIm
    }
}

/// Why a subscription is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Logout, or password change.
    SessionEnded,
    /// The token's time is up.
    Expired,
    /// A newer subscription of the same user, where only one may be.
    Replaced,
    /// The reader fell behind.
    Lagged,
    /// The server stops.
    Shutdown,
}
