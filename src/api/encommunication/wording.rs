//! The published words for what goes wrong: status and text of every error.

use rocket::http::Status;
use rocket::request::Request;
use rocket::response::{self, Responder};
use serde::Serialize;

use crate::api::http::{self, BodyProblem, Reply};
use crate::error::Error;

/// The published envelope.
#[derive(Serialize)]
pub(super) struct Envelope<'a, T: Serialize> {
    /// 1 for success, 0 for refusal.
    pub(super) code: u8,
    /// For people.
    pub(super) msg: &'a str,
    /// Null with a refusal.
    pub(super) data: Option<T>,
}

/// A refusal of this API.
#[derive(Debug)]
pub(super) struct Failure {
    status: Status,
    msg: String,
    retry_after_secs: Option<u64>,
}

impl Failure {
    /// With any status.
    pub(super) fn new(status: Status, msg: impl Into<String>) -> Self {
        Failure {
            status,
            msg: msg.into(),
            retry_after_secs: None,
        }
    }

    /// With the usual one.
    pub(super) fn bad_request(msg: impl Into<String>) -> Self {
        Failure::new(Status::BadRequest, msg)
    }

    /// As it is sent.
    pub(super) fn into_reply(self) -> Reply {
        let envelope = Envelope::<()> {
            code: 0,
            msg: &self.msg,
            data: None,
        };
        let reply = Reply::json(self.status, &envelope).with_retry_after(self.retry_after_secs);
        match self.status {
            Status::UpgradeRequired => reply.with_header("Upgrade", "websocket"),
            _ => reply,
        }
    }
}

impl<'r> Responder<'r, 'static> for Failure {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        self.into_reply().respond_to(request)
    }
}

impl From<BodyProblem> for Failure {
    fn from(problem: BodyProblem) -> Self {
        match problem {
            BodyProblem::TooLarge { .. } => Failure::new(Status::PayloadTooLarge, "请求体过大"),
            BodyProblem::Broken => Failure::bad_request("请求体不完整"),
            BodyProblem::NoRoom => Error::BUSY.into(),
            BodyProblem::Unreadable(_) => Failure::bad_request("请求体不是有效的 JSON"),
            BodyProblem::Field { field, .. } if field.is_empty() => {
                Failure::bad_request("请求体必须是一个 JSON 对象")
            }
            BodyProblem::Field {
                field,
                is_missing: true,
                ..
            } => Failure::bad_request(format!("缺少字段 {field}")),
            BodyProblem::Field { field, .. } => {
                Failure::bad_request(format!("字段 {field} 的类型不正确"))
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        http::log_if_internal(&error);
        let (status, msg) = wording(&error);
        Failure {
            status,
            msg,
            retry_after_secs: error.retry_after_secs(),
        }
    }
}

/// Status and text of every error; frames of the socket carry the text alone.
pub(super) fn wording(error: &Error) -> (Status, String) {
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
        Error::InDoubt => (
            Status::ServiceUnavailable,
            "数据库连接中断, 可能已保存, 请先查看, 未见再稍后重试",
        ),
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
        Error::Db(_) | Error::Io(_) | Error::Internal(_) => {
            (Status::InternalServerError, "服务器内部错误, 请稍后重试")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_pass_is_worded_so_that_clients_send_the_frame_again() {
        let passing = [
            Error::BUSY,
            Error::ReadOnly,
            Error::InDoubt,
            Error::Internal("a library refused".into()),
            Error::Io(std::io::Error::other("no file")),
            Error::Db(diesel::result::Error::NotFound),
        ];
        for error in passing {
            let (_, text) = wording(&error);
            assert!(text.contains("稍后重试"), "{error}: {text}");
        }
        assert!(!wording(&Error::UnknownUser).1.contains("稍后重试"));
    }
}
