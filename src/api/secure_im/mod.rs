//! secure_im: the secure-IM back end. Source: the secure_im contract and its seed.
//!
//! | Route | |
//! |---|---|
//! | `POST /users`, `/token`, `/logout` | accounts |
//! | `GET /users/search/<q>`, `/users/<username>/connection-info` | who, and where |
//! | `PUT /me/connection-info` | heartbeat |
//! | `GET`, `POST /me/contacts`, `PUT`, `DELETE /me/contacts/<friend_id>` | contacts |
//! | `GET /me/contacts/online`, `/me/contacts/pending` | contacts that are there, requests |
//! | `GET`, `POST /messages`, `POST /messages/ack` | the mailbox, read once |
//! | `GET /ws` | the broadcast socket, live only |
//!
//! Errors look as FastAPI's do. `/messages` is shared with message_store: what is below it but
//! not named here is that API's.

mod accounts;
mod contacts;
mod fields;
mod mailbox;
mod socket;
mod whereabouts;
mod wording;

use rocket::http::Status;
use rocket::{Catcher, Request, Route, catch, catchers, routes};

use super::http::{self, Reply};
use wording::Failure;

/// This API's part of the OpenAPI document.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

pub(super) fn routes() -> Vec<Route> {
    routes![
        accounts::register,
        accounts::log_in,
        accounts::log_out,
        contacts::add,
        contacts::list,
        contacts::list_online,
        contacts::list_pending,
        contacts::accept,
        contacts::remove,
        whereabouts::search,
        whereabouts::connection_info,
        whereabouts::heartbeat,
        mailbox::send,
        mailbox::take,
        mailbox::refuse_head,
        mailbox::acknowledge,
        socket::open,
    ]
}

/// The paths below which everything is this API's.
pub(super) const BASES: [&str; 4] = ["/users", "/token", "/logout", "/me"];

/// For what is below [`BASES`].
pub(super) fn catchers() -> Vec<Catcher> {
    catchers![unserved]
}

/// Whether a path is this API's, though its neighbours below the same base are not.
pub(super) fn owns(path: &str) -> bool {
    matches!(path, "/messages" | "/messages/ack" | "/ws")
}

#[catch(default)]
fn unserved(status: Status, request: &Request<'_>) -> Reply {
    refuse(status, request)
}

/// Answers a request that no route took.
pub(super) fn refuse(status: Status, request: &Request<'_>) -> Reply {
    let mut allowed = http::other_methods(request);
    // There is a route for it only to refuse it.
    allowed.retain(|method| *method != "HEAD");
    if status != Status::NotFound || allowed.is_empty() {
        return Failure::new(status, status.reason_lossy()).into_reply();
    }
    Failure::new(Status::MethodNotAllowed, "Method Not Allowed")
        .into_reply()
        .with_header("Allow", allowed.join(", "))
}

/// What a handler answers: a reply, or an error that becomes one.
type Answer = Result<Reply, Failure>;
