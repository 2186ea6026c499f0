//! chat8: accounts, friends, histories, uploads and a socket. Source: the chat8 contract and its seed.
//!
//! | Route under `/api/v1` | |
//! |---|---|
//! | `POST /auth/register`, `/auth/login`, `/auth/refresh`, `/auth/logout` | accounts and tokens |
//! | `GET`, `PUT /user/profile`; `PUT /user/password`, `/user/status` | oneself |
//! | `GET /friends`, `/friends/search`, `/friends/requests` | who is there |
//! | `POST /friends/request`, `PUT /friends/request/<id>`, `DELETE /friends/<id>` | friendships |
//! | `GET /messages/<id>` (of a user), `POST /messages` | histories, sending |
//! | `PUT /messages/<id>/read`, `DELETE /messages/<id>` (of a message) | one message |
//! | `POST /upload/avatar`, `/upload/file`; `GET /avatars/<slug>`, `/files/<slug>` | files |
//! | `GET /encryption/public-key/<user_id>`; `GET`, `POST /encryption/keys` | keys |
//!
//! Beside them `GET /ws/<user_id>`, the socket.

mod accounts;
mod downloads;
mod file_name;
mod friends;
mod history;
mod keys;
mod letters;
mod profile;
mod socket;
mod uploads;
mod wording;

use rocket::http::Status;
use rocket::{Catcher, Request, Route, catch, catchers, routes};
use serde::Serialize;

use super::http::{self, Reply};
use crate::integer::id_of;
use crate::model::Instant;
use wording::Failure;

/// Where everything but the socket is mounted.
pub(super) const BASE: &str = "/api/v1";

/// This API's part of the OpenAPI document.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

pub(super) fn routes() -> Vec<Route> {
    let under_base = routes![
        accounts::register,
        accounts::login,
        accounts::refresh,
        accounts::logout,
        profile::show,
        profile::change,
        profile::change_password,
        profile::change_status,
        friends::list,
        friends::search,
        friends::requests,
        friends::ask,
        friends::answer,
        friends::remove,
        history::history,
        letters::send,
        letters::read,
        letters::delete,
        uploads::avatar,
        uploads::file,
        downloads::avatar,
        downloads::file,
        keys::public_key,
        keys::show,
        keys::store,
    ];
    let rebase = |route: Route| {
        let based = route.map_base(|_| BASE.to_owned());
        based.expect("the base is a path")
    };
    let under_base = under_base.into_iter().map(rebase);
    under_base.chain(routes![socket::connect]).collect()
}

/// To be registered at [`BASE`].
pub(super) fn catchers() -> Vec<Catcher> {
    catchers![no_route, no_parse, otherwise]
}

/// What a handler answers: a reply, or an error that becomes one.
type Answer = std::result::Result<Reply, Failure>;

/// Every success, in the published shape.
#[derive(Serialize)]
struct Envelope<T: Serialize> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    timestamp: String,
}

fn success(data: impl Serialize) -> Reply {
    Reply::json(Status::Ok, &envelope(data))
}

fn envelope<T: Serialize>(data: T) -> Envelope<T> {
    Envelope {
        success: true,
        data: Some(data),
        message: None,
        timestamp: now(),
    }
}

fn done(message: &'static str) -> Reply {
    let message = Some(message);
    Reply::json(
        Status::Ok,
        &Envelope::<()> {
            success: true,
            data: None,
            message,
            timestamp: now(),
        },
    )
}

/// An instant as this API writes it: UTC to the second, with a `Z`.
fn timestamp(instant: Instant) -> String {
    let mut text = instant.to_seconds_text();
    text.push('Z');
    text
}

fn now() -> String {
    timestamp(Instant::now())
}

/// An id in a path. Text that is no integer is malformed.
fn id_in_path(field: &'static str, text: &str) -> Result<i64, Failure> {
    id_of(text).ok_or_else(|| Failure::invalid(field, "must be an integer"))
}

#[catch(404)]
fn no_route(request: &Request<'_>) -> Reply {
    let allowed = http::other_methods(request);
    if allowed.is_empty() {
        return Failure::no_route(Status::NotFound).into_reply();
    }
    let failure = Failure::no_route(Status::MethodNotAllowed);
    failure
        .with_header("Allow", allowed.join(", "))
        .into_reply()
}

#[catch(400)]
fn no_parse() -> Reply {
    Failure::unreadable("the request cannot be read").into_reply()
}

#[catch(default)]
fn otherwise(status: Status, _: &Request<'_>) -> Reply {
    Failure::of_status(status).into_reply()
}
