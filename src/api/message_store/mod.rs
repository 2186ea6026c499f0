//! message_store: the core API. Source: the message_store contract and its seed.
//!
//! | Route | |
//! |---|---|
//! | `POST /auth/register`, `/auth/login`, `/auth/change_password` | accounts |
//! | `GET /auth/public_key` | the key directory |
//! | `POST /messages/send` | send |
//! | `GET /messages/inbox`, `/messages/outbox` | lists: whole, by page, or for syncing |
//! | `GET /messages/stream` | server-sent events |
//! | `GET`, `PUT`, `DELETE /messages/message/<message_id>` | one message |
//! | `POST`, `DELETE /messages/message/<message_id>/permission` | grant and revoke |
//! | `GET /messages/message/<message_id>/permissions` | who may what |

mod accounts;
mod caller;
mod grants;
mod letters;
mod listing;
mod stream;

use rocket::http::Status;
use rocket::{Request, Route, routes};
use serde::Serialize;

use super::http::{self, BodyProblem, Reply};
use crate::error::Error;

/// This API's part of the OpenAPI document.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

pub(super) fn routes() -> Vec<Route> {
    routes![
        accounts::register,
        accounts::login,
        accounts::public_key,
        accounts::change_password,
        letters::send,
        letters::show,
        letters::replace,
        letters::delete,
        listing::inbox,
        listing::outbox,
        stream::stream,
        grants::grant,
        grants::revoke,
        grants::list,
    ]
}

/// Answers a request that no route took.
pub(super) fn refuse(status: Status, request: &Request<'_>) -> Reply {
    match status {
        Status::NotFound => no_route(request),
        Status::BadRequest => Failure::new(status, "the request cannot be read").into_reply(),
        _ if status.class().is_server_error() => Failure::new(
            Status::InternalServerError,
            "internal error; the server's log has the cause",
        )
        .into_reply(),
        _ => Failure::new(status, status.reason_lossy()).into_reply(),
    }
}

/// What a handler answers: a reply, or an error that becomes one.
type Answer = std::result::Result<Reply, Failure>;

/// A success, in the published shape.
#[derive(Serialize)]
struct Success<T: Serialize> {
    status: &'static str,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

fn success<T: Serialize>(message: &'static str, data: T) -> Reply {
    Reply::json(
        Status::Ok,
        &Success {
            status: "success",
            message,
            data: Some(data),
        },
    )
}

fn done(message: &'static str) -> Reply {
    Reply::json(
        Status::Ok,
        &Success::<()> {
            status: "success",
            message,
            data: None,
        },
    )
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    status: &'static str,
    message: &'a str,
}

/// An error of this API: `{"status": "error", "message"}`.
#[derive(Debug)]
struct Failure {
    status: Status,
    message: String,
    retry_after_secs: Option<u64>,
}

impl Failure {
    fn new(status: Status, message: impl Into<String>) -> Self {
        Failure {
            status,
            message: message.into(),
            retry_after_secs: None,
        }
    }

    /// A field that is missing, malformed or of a wrong type.
    fn bad_field(field: &str, problem: &str) -> Self {
        Failure::new(Status::BadRequest, format!("{field} {problem}"))
    }

    fn into_reply(self) -> Reply {
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
fn wording(error: &Error) -> (Status, String) {
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
             'Authorization: Bearer <token>'. The setting auth = \"protected\" lets programs on the \
             server's own machine, and no others, call without one",
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
        Error::UnknownUser => (Status::NotFound, "no such user; check the user_id"),
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
        "client key" => "Idempotency-Key",
        other => other,
    }
}

/// A path parameter that should be a message's id: text that is no integer is malformed, an
/// integer that no message can have is unknown.
fn parse_message_id(text: &str) -> Result<crate::model::MessageId, Failure> {
    if !http::is_integer(text) {
        return Err(Failure::bad_field("message_id", "must be an integer"));
    }
    text.parse()
        .map(crate::model::MessageId)
        .map_err(|_| Error::UnknownMessage.into())
}

fn no_route(request: &Request<'_>) -> Reply {
    let allowed = http::other_methods(request);
    if allowed.is_empty() {
        return Failure::new(Status::NotFound, "no such path; GET /docs lists them all")
            .into_reply();
    }
    let text = format!(
        "{} is not possible here; use {}",
        request.method(),
        allowed.join(" or ")
    );
    Failure::new(Status::MethodNotAllowed, text)
        .into_reply()
        .with_header("Allow", allowed.join(", "))
}
