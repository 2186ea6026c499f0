//! encommunication: the relay that local clients exchange keys and messages through. Source: the
//! encommunication contract and its seed.
//!
//! | Route | |
//! |---|---|
//! | `POST /register`, `POST /login` | accounts |
//! | `GET /chatRecords` | the history of two users |
//! | `GET /received` | what has come to the caller since a record |
//! | `GET /publicKey` | one user as rosters list them, there or not |
//! | `PUT /publicKey` | the caller's own public key |
//! | `GET /chat` | the WebSocket: who is there, key frames, message frames |
//! | `GET /server_public.pem` | the key that vouches for the users' keys |
//!
//! Answers are `{"code": 1, "msg", "data"}` or `{"code": 0, "msg", "data": null}`, but for the
//! records, which are a bare list.

mod accounts;
mod caller;
mod records;
mod roster;
mod socket;
mod turns;
mod wording;

use rocket::http::Status;
use rocket::{Catcher, Request, Route, catch, catchers, routes};
use serde::Serialize;

use super::http::{self, Reply};
pub(super) use roster::keep as keep_roster;
pub(super) use turns::Turns;
use wording::{Envelope, Failure};

/// This API's part of the OpenAPI document.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// The paths below which this API words what no route could answer.
pub(super) const BASES: [&str; 7] = [
    "/register",
    "/login",
    "/chatRecords",
    "/received",
    "/publicKey",
    "/chat",
    "/server_public.pem",
];

pub(super) fn routes() -> Vec<Route> {
    routes![
        accounts::register,
        accounts::login,
        accounts::publish_key,
        accounts::server_public_key,
        records::records,
        records::received,
        roster::public_key,
        socket::chat,
    ]
}

pub(super) fn catchers() -> Vec<Catcher> {
    catchers![unserved]
}

/// What a handler answers: a reply, or an error that becomes one.
type Answer = Result<Reply, Failure>;

fn success<T: Serialize>(msg: &str, data: T) -> Reply {
    Reply::json(Status::Ok, &envelope(msg, data))
}

fn envelope<T: Serialize>(msg: &str, data: T) -> Envelope<'_, T> {
    Envelope {
        code: 1,
        msg,
        data: Some(data),
    }
}

#[catch(default)]
fn unserved(status: Status, request: &Request<'_>) -> Reply {
    let allowed = http::other_methods(request);
    if status == Status::NotFound && !allowed.is_empty() {
        let allowed = allowed.join(", ");
        let failure = Failure::new(Status::MethodNotAllowed, format!("请使用 {allowed} 方法"));
        return failure.into_reply().with_header("Allow", allowed);
    }
    let text = match status {
        Status::NotFound => "路径不存在",
        _ if status.class().is_server_error() => "服务器内部错误",
        _ => "请求无法处理",
    };
    Failure::new(status, text).into_reply()
}
