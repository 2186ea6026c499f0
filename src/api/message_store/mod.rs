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
mod wording;

use rocket::http::Status;
use rocket::{Request, Route, routes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::http::{self, Body, Reply};
use crate::integer::id_of;
use crate::model::MessageId;
use wording::Failure;

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

/// A path parameter that should be a message's id: text that is no integer is malformed.
fn parse_message_id(text: &str) -> Result<MessageId, Failure> {
    let id = id_of(text).map(MessageId);
    id.ok_or_else(|| Failure::bad_field("message_id", "must be an integer"))
}

/// A `DELETE` may have its fields in the body or, since proxies drop such bodies, in the query.
fn optional<T: Default + DeserializeOwned>(
    body: &mut Body,
    is_in_query: bool,
) -> Result<T, Failure> {
    let bytes = body.bytes()?;
    if bytes.trim_ascii().is_empty() && is_in_query {
        return Ok(T::default());
    }
    Ok(http::parse_json(&bytes)?)
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
