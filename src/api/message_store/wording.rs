//! The published words for what goes wrong: status and text of every error.

use rocket::Request;
use rocket::http::Status;
use serde::Serialize;

use crate::api::http::{self, BodyProblem, Reply};
use crate::error::Error;

#[derive(Serialize)]
struct ErrorBody<'a> {
    status: &'static str,
    message: &'a str,
}

/// An error of this API: `{"status": "error", "message"}`.
#[derive(Debug)]
pub(super) struct Failure {
    status: Status,
    message: String,
    retry_after_secs: Option<u64>,
}

impl Failure {
    pub(super) fn new(status: Status, message: impl Into<String>) -> Self {
        Failure {
            status,
            message: message.into(),
            retry_after_secs: None,
        }
    }

    /// A field that is missing, malformed or of a wrong type.
    pub(super) fn bad_field(field: &str, problem: &str) -> Self {
        Failure::new(Status::BadRequest, format!("{field} {problem}"))
    }

    pub(super) fn into_reply(self) -> Reply {
        let body = ErrorBody {
            status: "error",
            message: &self.message,
        };
        Reply::json(self.status, &body).with_retry_after(self.retry_after_secs)
    }
}

impl<'r> rocket::response::Responder<'r, 'static> for Failure {
    fn respond_to(self, request: &'r Request<'_>) -> rocket::response::Result<'static> {
        self.into_reply().respond_to(request)
    }
}

impl From<BodyProblem> for Failure {
    fn from(problem: BodyProblem) -> Self {
        match problem {
            BodyProblem::TooLarge { limit_bytes } => Failure::new(
                Status::PayloadTooLarge,
                format!("the body exceeds {limit_bytes} bytes; split the content"),
            ),
            BodyProblem::Broken => {
                Failure::new(Status::BadRequest, "the body ended early; send it again")
            }
            BodyProblem::NoRoom => Error::BUSY.into(),
            BodyProblem::Unreadable(cause) => Failure::new(
                Status::BadRequest,
                format!("the body is not readable JSON ({cause}); send one JSON object"),
            ),
            BodyProblem::Field { field, problem, .. } if field.is_empty() => {
                Failure::bad_field("the body", &format!("{problem}; send one JSON object"))
            }
            BodyProblem::Field { field, problem, .. } => Failure::bad_field(&field, &problem),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        http::log_if_internal(&error);
        let (status, message) = wording(&error);
        Failure {
            status,
            message,
            retry_after_secs: error.retry_after_secs(),
        }
    }
}

/// Status and text of every error.
pub(super) fn wording(error: &Error) -> (Status, String) {
    let (status, text) = match error {
        Error::Invalid { field, problem } => {
            return (
                Status::BadRequest,
                format!("{} {problem}", published(field)),
            );
        }
        Error::TooLarge { limit_bytes } => {
            return (
                Status::BadRequest,
                format!("encrypted_content exceeds {limit_bytes} bytes; split it"),
            );
        }
        Error::BadCredentials => (Status::Unauthorized, "Invalid user_id or password"),
        Error::NoToken => (
            Status::Unauthorized,
            "a token is needed: log in with POST /auth/login and send its data.token as \
             'Authorization: Bearer <token>'. A server with auth = \"protected\" lets programs on its \
             own machine call without one, unless a header tells of a proxy, or a foreign Host or \
             Origin",
        ),
        Error::InvalidToken => (Status::Unauthorized, "the token is not valid; log in again"),
        Error::ExpiredToken => (Status::Unauthorized, "the token has expired; log in again"),
        Error::Forbidden => (
            Status::Forbidden,
            "not allowed for this user; ask the owner for a permission",
        ),
        Error::TooManyAttempts { retry_after_secs } => {
            let text = format!("too many failed logins; try again in {retry_after_secs} s");
            return (Status::TooManyRequests, text);
        }
        Error::UnknownUser => (
            Status::NotFound,
            "no such user; check user_id, receiver_id or target_user_id",
        ),
        Error::UnknownMessage => (Status::NotFound, "no such message; check the message_id"),
        Error::UnknownPermission => (
            Status::NotFound,
            "that user has no granted permission on this message",
        ),
        Error::UnknownKey => (Status::NotFound, "that user has stored no public key"),
        Error::UsernameTaken => (
            Status::BadRequest,
            "user_id is already taken; choose another",
        ),
        Error::KeyReused => (
            Status::UnprocessableEntity,
            "this Idempotency-Key was used for another message; use a new key for each message",
        ),
        Error::Busy { .. } => (Status::ServiceUnavailable, "busy; try again later"),
        Error::ReadOnly => (
            Status::ServiceUnavailable,
            "the store takes no writes now; try again later",
        ),
        Error::InDoubt => (
            Status::ServiceUnavailable,
            "the database was lost before it had answered: it may be stored. Look before you send \
             again, or send again with the same Idempotency-Key",
        ),
        // These belong to calls that this API does not have.
        Error::UnsupportedType
        | Error::UnknownContact
        | Error::UnknownRequest
        | Error::UnknownRoom
        | Error::UnknownFile
        | Error::EmailTaken
        | Error::RoomNameTaken
        | Error::RequestExists
        | Error::SelfContact
        | Error::NotAMember => (Status::BadRequest, "not possible here"),
        Error::Db(_) | Error::Io(_) | Error::Internal(_) => (
            Status::InternalServerError,
            "internal error; the server's log has the cause",
        ),
    };
    (status, text.to_owned())
}

/// The published name of a field.
fn published(field: &'static str) -> &'static str {
    match field {
        "username" => "user_id",
        "content" => "encrypted_content",
        "grantee" => "target_user_id",
        "idempotency key" => "Idempotency-Key",
        other => other,
    }
}
