//! encommunication: the relay that local clients exchange keys and messages through. Source: the
//! encommunication contract and its seed.
//!
//! | Route | |
//! |---|---|
//! | `POST /register`, `POST /login` | accounts |
//! | `GET /chatRecords` | the history of two users |
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

use rocket::http::Status;
use rocket::{Catcher, Request, Route, catch, catchers, routes};
use serde::Serialize;

use super::http::{self, BodyProblem, Reply};
use crate::error::Error;
pub(super) use roster::keep as keep_roster;

/// This API's part of the OpenAPI document.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// The paths below which this API words what no route could answer.
pub(super) const BASES: [&str; 5] = [
    "/register",
    "/login",
    "/chatRecords",
    "/chat",
    "/server_public.pem",
];

pub(super) fn routes() -> Vec<Route> {
    routes![
        accounts::register,
        accounts::login,
        accounts::server_public_key,
        records::records,
        socket::chat,
    ]
}

pub(super) fn catchers() -> Vec<Catcher> {
    catchers![no_route, otherwise]
}

/// What a handler answers: a reply, or an error that becomes one.
type Answer = std::result::Result<Reply, Failure>;

/// The published envelope.
#[derive(Serialize)]
struct Envelope<'a, T: Serialize> {
    code: u8,
    msg: &'a str,
    data: Option<T>,
}

fn success<T: Serialize>(msg: &str, data: T) -> Answer {
    Ok(Reply::json(
        Status::Ok,
        &Envelope {
            code: 1,
            msg,
            data: Some(data),
        },
    ))
}

/// An error of this API.
#[derive(Debug)]
struct Failure(Reply);

impl Failure {
    fn new(status: Status, msg: &str) -> Self {
        Failure(Reply::json(
            status,
            &Envelope::<()> {
                code: 0,
                msg,
                data: None,
            },
        ))
    }

    fn bad_request(msg: &str) -> Self {
        Failure::new(Status::BadRequest, msg)
    }
}

impl<'r> rocket::response::Responder<'r, 'static> for Failure {
    fn respond_to(self, request: &'r Request<'_>) -> rocket::response::Result<'static> {
        self.0.respond_to(request)
    }
}

impl From<BodyProblem> for Failure {
    fn from(problem: BodyProblem) -> Self {
        match problem {
            BodyProblem::TooLarge { .. } => Failure::new(Status::PayloadTooLarge, "请求体过大"),
            BodyProblem::Broken => Failure::bad_request("请求体不完整"),
            BodyProblem::Unreadable(_) => Failure::bad_request("请求体不是有效的 JSON"),
            BodyProblem::Field { field, .. } if field.is_empty() => {
                Failure::bad_request("请求体必须是一个 JSON 对象")
            }
            BodyProblem::Field {
                field,
                is_missing: true,
                ..
            } => Failure::bad_request(&format!("缺少字段 {field}")),
            BodyProblem::Field { field, .. } => {
                Failure::bad_request(&format!("字段 {field} 的类型不正确"))
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        http::log_if_internal(&error);
        let (status, msg) = wording(&error);
        let failure = Failure::new(status, &msg);
        Failure(failure.0.with_retry_after(&error))
    }
}

/// Status and text of every error; frames of the socket carry the text alone.
fn wording(error: &Error) -> (Status, String) {
    let (status, text) = match error {
        Error::Invalid { field, problem } => {
            let text = format!("{} 不符合要求: {problem}", published(field));
            return (Status::BadRequest, text);
        }
        Error::TooLarge { limit_bytes } => {
            return (
                Status::BadRequest,
                format!("消息超过 {limit_bytes} 字节的上限"),
            );
        }
        Error::BadCredentials => (Status::Unauthorized, "用户名或密码错误"),
        Error::NoToken => (Status::Unauthorized, "缺少 token, 请先登录"),
        Error::InvalidToken => (Status::Unauthorized, "token 无效, 请重新登录"),
        Error::ExpiredToken => (Status::Unauthorized, "token 已过期, 请重新登录"),
        Error::Forbidden => (Status::Forbidden, "没有权限"),
        Error::TooManyAttempts { retry_after_secs } => {
            let text = format!("登录失败次数过多, 请在 {retry_after_secs} 秒后重试");
            return (Status::TooManyRequests, text);
        }
        Error::UnknownUser => (Status::BadRequest, "用户不存在"),
        Error::UsernameTaken => (Status::BadRequest, "用户名已存在"),
        Error::Busy { .. } => (Status::ServiceUnavailable, "服务器繁忙, 请稍后重试"),
        Error::ReadOnly => (Status::ServiceUnavailable, "服务器暂时不能写入, 请稍后重试"),
        // These belong to calls that this API does not have.
        Error::UnsupportedType
        | Error::UnknownMessage
        | Error::UnknownPermission
        | Error::UnknownContact
        | Error::UnknownRequest
        | Error::UnknownRoom
        | Error::UnknownFile
        | Error::UnknownKey
        | Error::EmailTaken
        | Error::RoomNameTaken
        | Error::RequestExists
        | Error::SelfContact
        | Error::NotAMember
        | Error::KeyReused => (Status::BadRequest, "请求无法完成"),
        Error::Db(_) | Error::Pool(_) | Error::Io(_) | Error::Internal(_) => {
            (Status::InternalServerError, "服务器内部错误")
        }
    };
    (status, text.to_owned())
}

/// The published name of a field.
fn published(field: &'static str) -> &'static str {
    match field {
        "public_key" => "publicKey",
        "content" => "message",
        "aes_key" => "aesKey",
        other => other,
    }
}

#[catch(404)]
fn no_route(request: &Request<'_>) -> Reply {
    let others = http::other_methods(request);
    if others.is_empty() {
        return Failure::new(Status::NotFound, "路径不存在").0;
    }
    let allowed: Vec<&str> = others.iter().map(|method| method.as_str()).collect();
    let allowed = allowed.join(", ");
    let failure = Failure::new(Status::MethodNotAllowed, &format!("请使用 {allowed} 方法"));
    failure.0.with_header("Allow", allowed)
}

#[catch(default)]
fn otherwise(status: Status, _: &Request<'_>) -> Reply {
    let text = if status.class().is_server_error() {
        "服务器内部错误"
    } else {
        "请求无法处理"
    };
    Failure::new(status, text).0
}
