//! What can go wrong, once for the whole domain.
//!
//! Nouns return these; each API maps every one of them to its own published shape in one
//! exhaustive match, so that a new variant does not compile until all APIs have answered it.
//! Texts are lower case, without full stop, and hold no secret. The internal variants
//! ([`Error::is_internal`]) are logged where the reply is made; the peer sees a fixed text.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// The result of anything in the domain.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure of the domain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value breaks a rule; `field` is the domain's name for it.
    #[error("{field} {problem}")]
    Invalid {
        /// Which value.
        field: &'static str,
        /// What is wrong with it, to be read after the field's name.
        problem: String,
    },
    /// Content over the limit, in bytes.
    #[error("content exceeds the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The most that is taken.
        limit_bytes: u64,
    },
    /// An upload whose content is not of a kind that is taken.
    #[error("this type of file is not supported")]
    UnsupportedType,

    /// Unknown user or wrong secret; which of the two is not told.
    #[error("wrong user or password")]
    BadCredentials,
    /// No token, where one is needed.
    #[error("a bearer token is needed")]
    NoToken,
    /// A token that was never ours, or has been ended.
    #[error("the token is not valid")]
    InvalidToken,
    /// A token past its time.
    #[error("the token has expired")]
    ExpiredToken,
    /// Known, but not allowed.
    #[error("not allowed")]
    Forbidden,
    /// Too many failed logins for this account or from this address.
    #[error("too many failed attempts, try again in {retry_after_secs} s")]
    TooManyAttempts {
        /// When another attempt will be taken.
        retry_after_secs: u64,
    },

    /// No user of that name or id.
    #[error("unknown user")]
    UnknownUser,
    /// No such message.
    #[error("unknown message")]
    UnknownMessage,
    /// That permission was never granted, or has been revoked.
    #[error("no such permission")]
    UnknownPermission,
    /// No such contact or friend.
    #[error("unknown contact")]
    UnknownContact,
    /// No pending friend request of that id, or not addressed to the caller.
    #[error("unknown friend request")]
    UnknownRequest,
    /// No such room.
    #[error("unknown room")]
    UnknownRoom,
    /// No such upload, or not for the caller.
    #[error("unknown file")]
    UnknownFile,
    /// The user has stored no key.
    #[error("no key is stored")]
    UnknownKey,

    /// The username belongs to somebody.
    #[error("the username is taken")]
    UsernameTaken,
    /// The e-mail address belongs to somebody.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The room's name is in use.
    #[error("the room name is taken")]
    RoomNameTaken,
    /// A request is pending between the two, or they are friends already.
    #[error("a friend request is pending or accepted already")]
    RequestExists,
    /// Adding or asking oneself.
    #[error("oneself cannot be a contact")]
    SelfContact,
    /// The caller is not in the room.
    #[error("not a member of the room")]
    NotAMember,
    /// An idempotency key came again with another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,

    /// The store sheds load, or does not answer; nothing was written.
    #[error("busy, try again in {retry_after_secs} s")]
    Busy {
        /// When to try again.
        retry_after_secs: u64,
    },
    /// The store takes no writes (full disk, failed sync, shutting down); nothing was acknowledged.
    #[error("the store takes no writes now")]
    ReadOnly,
    /// The database was lost during a commit: what was to be written may be on disk, and whoever
    /// tries again without a look may write it twice.
    #[error("the database was lost during a commit; it may be on disk")]
    InDoubt,

    /// The database failed.
    #[error("database: {0}")]
    Db(DieselError),
    /// A file could not be read or written.
    #[error("file: {0}")]
    Io(std::io::Error),
    /// What no peer is told in words: a library that refused what should always work; at the start
    /// and in commands, what the operator reads.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// [`Error::Busy`] with no better guess of when.
    pub(crate) const BUSY: Error = Error::Busy {
        retry_after_secs: 1,
    };

    /// Shorthand for [`Error::Invalid`].
    pub fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Error::Invalid {
            field,
            problem: problem.into(),
        }
    }

    /// True for what is our fault: to be logged, and answered with a fixed text.
    pub fn is_internal(&self) -> bool {
        matches!(self, Error::Db(_) | Error::Io(_) | Error::Internal(_))
    }

    /// When the peer should try again, for the errors that pass.
    pub fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Error::Busy { retry_after_secs } | Error::TooManyAttempts { retry_after_secs } => {
                Some(*retry_after_secs)
            }
            Error::ReadOnly => Some(5),
            _ => None,
        }
    }

    /// The column whose uniqueness an insert or update broke, as `table.column`, if that is what
    /// went wrong. SQLite names columns in its message, PostgreSQL names the constraint.
    pub(crate) fn broken_uniqueness(&self) -> Option<String> {
        let Error::Db(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info)) = self
        else {
            return None;
        };
        Some(match (info.table_name(), info.constraint_name()) {
            (Some(table), Some(constraint)) => constraint
                .strip_prefix(&format!("{table}_"))
                .and_then(|rest| rest.strip_suffix("_key"))
                .map_or_else(
                    || constraint.to_owned(),
                    |column| format!("{table}.{column}"),
                ),
            _ => info
                .message()
                .rsplit(": ")
                .next()
                .unwrap_or_default()
                .to_owned(),
        })
    }
}

impl From<DieselError> for Error {
    fn from(cause: DieselError) -> Self {
        match passing(&cause) {
            Some(error) => {
                tracing::error!(%cause, "the database refuses");
                error
            }
            None => Error::Db(cause),
        }
    }
}

/// A file that has no room is no more our fault than a database that has none.
impl From<std::io::Error> for Error {
    fn from(cause: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match cause.kind() {
            StorageFull | QuotaExceeded | ReadOnlyFilesystem => {
                tracing::error!(%cause, "a file cannot be written");
                Error::ReadOnly
            }
            _ => Error::Io(cause),
        }
    }
}

/// What a database that is full, read-only or not there has come to: that is for another time, and
/// no fault of ours.
fn passing(cause: &DieselError) -> Option<Error> {
    match cause {
        DieselError::DatabaseError(kind, info) => match kind {
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                Some(Error::BUSY)
            }
            DatabaseErrorKind::ReadOnlyTransaction => Some(Error::ReadOnly),
            _ if says_no_room(info.message()) => Some(Error::ReadOnly),
            _ if info.message().contains(WAITED_TOO_LONG) => Some(Error::BUSY),
            _ => None,
        },
        DieselError::RollbackErrorOnCommit { commit_error, .. } => passing(commit_error),
        DieselError::BrokenTransactionManager => Some(Error::BUSY),
        _ => None,
    }
}

/// What PostgreSQL says, in English, when a lock was not to be had in time; diesel has no kind for it.
const WAITED_TOO_LONG: &str = "due to lock timeout";

/// Neither library has a kind of its own for a full disk or a read-only file.
fn says_no_room(message: &str) -> bool {
    let words = [
        "disk is full",
        "No space left on device",
        "readonly database",
    ];
    words.iter().any(|words| message.contains(words))
}

/// Work on another thread that panicked, or was ended.
impl From<tokio::task::JoinError> for Error {
    fn from(cause: tokio::task::JoinError) -> Self {
        Error::Internal(cause.to_string())
    }
}

impl From<r2d2::Error> for Error {
    fn from(cause: r2d2::Error) -> Self {
        tracing::error!(%cause, "no connection to the database was free in time");
        Error::BUSY
    }
}
