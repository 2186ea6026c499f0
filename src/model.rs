//! The nouns on one page: what the store keeps, in the store's own words.
//!
//! No SQL, no JSON, no published word of any API.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Datelike, Timelike, Utc};
use diesel::prelude::*;
use diesel_derive_newtype::DieselNewType;

macro_rules! number {
    ($(#[$doc:meta] $name:ident)*) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, DieselNewType, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);
    )*};
}

number! {
    /// A user, in every API.
    UserId
    /// A message; on SQLite, ids grow in the order of commits.
    MessageId
    /// A chat group.
    RoomId
    /// A login, until it expires or is ended; random.
    SessionId
    /// A pending friend request.
    RequestId
    /// An uploaded file.
    UploadId
    /// An instant: microseconds since 1970-01-01 UTC.
    Instant
}

/// A username, cheap to hand on.
pub type Name = std::sync::Arc<str>;

impl Instant {
    /// The wall clock's now.
    pub fn now() -> Self {
        Instant(Utc::now().timestamp_micros())
    }

    /// The same instant as a calendar date.
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// `YYYY-MM-DDTHH:MM:SS`, UTC, without a zone (message_store and secure_im).
    ///
    /// Written digit by digit: chrono's own formatting would be a third of the cost of a page.
    pub fn to_seconds_text(self) -> String {
        let utc = self.to_utc();
        let mut text = *b"0000-00-00T00:00:00";
        let mut put = |at: usize, digits: usize, value: u32| {
            let mut rest = value;
            for place in (at..at + digits).rev() {
                text[place] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
        };
        put(0, 4, utc.year().unsigned_abs());
        put(5, 2, utc.month());
        put(8, 2, utc.day());
        put(11, 2, utc.hour());
        put(14, 2, utc.minute());
        put(17, 2, utc.second());
        String::from_utf8_lossy(&text).into_owned()
    }

    /// This many seconds later.
    #[must_use]
    pub fn plus_secs(self, secs: i64) -> Self {
        Instant(self.0 + secs * 1_000_000)
    }
}

/// A clock that never goes back nor stands still, so that instants have the order in which they were
/// asked for.
#[derive(Debug, Default)]
pub struct Clock(AtomicI64);

impl Clock {
    /// The wall clock's now, or the next instant after the last that was given out if that is later.
    pub fn tick(&self) -> Instant {
        let now = Instant::now().0;
        let next = |last: i64| now.max(last + 1);
        let order = Ordering::Relaxed;
        let last = self.0.fetch_update(order, order, |last| Some(next(last)));
        Instant(next(last.unwrap_or_else(|last| last)))
    }

    /// Gives out nothing earlier than this from now on.
    pub fn not_before(&self, instant: Instant) {
        self.0.fetch_max(instant.0, Ordering::Relaxed);
    }
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "lowercase", try_from = "String")]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// The word that the store and the APIs use for it.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }

            /// The value of a word, if it is one.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($text => Some($name::$variant),)* _ => None }
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(word: String) -> Result<Self, String> {
                Self::parse(&word).ok_or_else(|| format!("`{word}` is none of {}", [$($text),*].join(", ")))
            }
        }
    };
}

word! {
    /// What a message's content is.
    Kind {
        /// Text, sealed or plain.
        Text = "text",
        /// A picture, or its URL.
        Image = "image",
        /// Any file, or its URL.
        File = "file",
        /// A sound, or its URL.
        Audio = "audio",
        /// A film, or its URL.
        Video = "video",
    }
}

word! {
    /// What a permission allows; each level includes the ones before.
    Access {
        /// The message is in the holder's inbox.
        Read = "read",
        /// The holder may replace the content.
        Write = "write",
        /// The holder may grant, revoke and delete.
        Admin = "admin",
    }
}

word! {
    /// The status that a user has chosen to show; others see `Offline` when they are not online
    /// (see [`presence`](crate::presence)).
    Status {
        /// Here.
        Online = "online",
        /// Not at the keyboard.
        Away = "away",
        /// Not here, or not to be seen.
        Offline = "offline",
    }
}

/// Somebody with an account. The verifier is not part of it: only `users` sees that.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = crate::schema::users)]
pub struct User {
    /// The same in every API.
    pub id: UserId,
    /// Unique and exact; message_store calls it `user_id`.
    pub username: String,
    /// Unique, lower case.
    pub email: Option<String>,
    /// Opaque text, byte for byte as it came.
    pub public_key: Option<String>,
    /// URL path of the avatar.
    pub avatar: Option<String>,
    /// As chosen; see `presence` for what others see.
    #[diesel(deserialize_as = String)]
    pub status: Status,
    /// When the account was made.
    pub created_at: Instant,
    /// The last successful login through any API.
    pub last_login_at: Option<Instant>,
}

/// What lists show of somebody. No public key: those have up to 64 KiB.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = crate::schema::users)]
pub struct Profile {
    /// As in [`User`].
    pub id: UserId,
    /// As in [`User`].
    pub username: String,
    /// As in [`User`].
    pub avatar: Option<String>,
    /// As in [`User`].
    #[diesel(deserialize_as = String)]
    pub status: Status,
    /// As in [`User`].
    pub last_login_at: Option<Instant>,
}

/// A live login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id, also the token's `jti`.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// When it ends by itself.
    pub expires_at: Instant,
}

/// A message as stored. Exactly one of recipient and room is there.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = crate::schema::messages)]
pub struct Message {
    /// Grows with each send.
    pub id: MessageId,
    /// Who sent it, and owns it.
    pub sender_id: UserId,
    /// To whom, if direct.
    pub recipient_id: Option<UserId>,
    /// Where, if said in a room.
    pub room_id: Option<RoomId>,
    /// What the content is.
    #[diesel(deserialize_as = String)]
    pub kind: Kind,
    /// Opaque: nothing here can open it.
    pub content: String,
    /// As the sender says.
    pub is_encrypted: bool,
    /// The AES key as the sender sent it, sealed for the recipient (encommunication).
    pub sender_key: Option<String>,
    /// The recipient's last key before this message, sealed for the sender (encommunication).
    pub recipient_key: Option<String>,
    /// When it was written; on SQLite never earlier than an older message's.
    pub sent_at: Instant,
    /// When the content was last replaced.
    pub edited_at: Option<Instant>,
    /// When the recipient first read it, through any API.
    pub read_at: Option<Instant>,
}

/// Who may do what with a message, beside its sender.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = crate::schema::permissions)]
pub struct Permission {
    /// Who holds it.
    pub user_id: UserId,
    /// On which message.
    pub message_id: MessageId,
    /// What it allows.
    #[diesel(column_name = kind, deserialize_as = String)]
    pub access: Access,
    /// True on the recipient's own, which no revoke takes away.
    pub received: bool,
    /// Who granted it; absent on a received one that nobody raised.
    pub granted_by: Option<UserId>,
    /// When it was granted, or received.
    pub granted_at: Instant,
}

/// A chat group.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = crate::schema::rooms)]
pub struct Room {
    /// 1 is `public`.
    pub id: RoomId,
    /// Unique, case-sensitive.
    pub name: String,
    /// When it was made.
    pub created_at: Instant,
}

/// The room that everybody is in.
pub const PUBLIC_ROOM: RoomId = RoomId(1);

/// A friend request that waits for its answer.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = crate::schema::friend_requests)]
pub struct FriendRequest {
    /// Named in the answer.
    pub id: RequestId,
    /// Who asks.
    pub from_id: UserId,
    /// Who is asked.
    pub to_id: UserId,
    /// A word with it; may be empty.
    pub message: String,
    /// When it was asked.
    pub created_at: Instant,
}

/// A file that somebody uploaded; its bytes lie in the data directory under `slug`.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = crate::schema::uploads)]
pub struct Upload {
    /// Grows with each upload.
    pub id: UploadId,
    /// Its unguessable name on disk and in URLs.
    pub slug: String,
    /// Who uploaded it.
    pub owner_id: UserId,
    /// For whom, if for one person.
    pub recipient_id: Option<UserId>,
    /// For which room, if for one.
    pub room_id: Option<RoomId>,
    /// The client's name for it, without any path.
    pub file_name: String,
    /// By content, not by name.
    pub media_type: String,
    /// How long it is.
    pub size_bytes: i64,
    /// When it was complete.
    pub created_at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_to_the_second_in_utc() {
        for micros in [
            0,
            1_704_110_400_000_000,
            1_795_194_807_816_217,
            951_827_696_999_999,
        ] {
            let instant = Instant(micros);
            let expected = instant.to_utc().format("%Y-%m-%dT%H:%M:%S").to_string();
            assert_eq!(instant.to_seconds_text(), expected);
        }
    }

    #[test]
    fn a_clock_never_goes_back_nor_stands_still() {
        let clock = Clock::default();
        let future = Instant::now().plus_secs(60);
        clock.not_before(future);
        let (first, second) = (clock.tick(), clock.tick());
        assert!(future < first && first < second);
    }
}
