//! The published words for what goes wrong: status, code and text of every error.

use rocket::http::Status;
use rocket::request::Request;
use rocket::response::{self, Responder};
use serde::Serialize;
use serde_json::{Map, Value};

use super::now;
use crate::api::http::{self, BodyProblem, Reply};
use crate::error::Error;

const INVALID: &str = "请求参数验证失败";
const UNREADABLE: &str = "请求参数错误";

/// An error of this API: `{"success": false, "error": {"code", "message", "details"}, "timestamp"}`.
#[derive(Debug)]
pub(super) struct Failure {
    status: Status,
    code: &'static str,
    message: &'static str,
    /// Problems by field.
    details: Map<String, Value>,
    header: Option<(&'static str, String)>,
}

#[derive(Serialize)]
struct ErrorEnvelope {
    success: bool,
    error: ErrorBody,
    timestamp: String,
}

#[derive(Serialize)]
struct ErrorBody {
    code: &'static str,
    message: &'static str,
    details: Map<String, Value>,
}

impl Failure {
    pub(super) fn new(status: Status, code: &'static str, message: &'static str) -> Self {
        Failure {
            status,
            code,
            message,
            details: Map::new(),
            header: None,
        }
    }

    fn with_detail(mut self, field: &str, problem: impl Into<String>) -> Self {
        self.details
            .insert(field.to_owned(), Value::String(problem.into()));
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(super) fn into_reply(self) -> Reply {
        let error = ErrorBody {
            code: self.code,
            message: self.message,
            details: self.details,
        };
        let reply = Reply::json(
            self.status,
            &ErrorEnvelope {
                success: false,
                error,
                timestamp: now(),
            },
        );
        match self.header {
            Some((name, value)) => reply.with_header(name, value),
            None => reply,
        }
    }

    /// A readable request with a value that breaks a rule.
    pub(super) fn invalid(field: &str, problem: impl Into<String>) -> Self {
        Failure::new(Status::UnprocessableEntity, "VALIDATION", INVALID).with_detail(field, problem)
    }

    /// A request that cannot be read.
    pub(super) fn unreadable(problem: impl Into<String>) -> Self {
        Failure::new(Status::BadRequest, "VALIDATION", UNREADABLE).with_detail("body", problem)
    }

    /// A body larger than anything that could be valid.
    pub(super) fn body_too_large(limit_bytes: u64) -> Self {
        let failure = Failure::new(Status::PayloadTooLarge, "VALIDATION", UNREADABLE);
        failure.with_detail("body", format!("exceeds {limit_bytes} bytes"))
    }

    /// No such path, or no such method for it.
    pub(super) fn no_route(status: Status) -> Self {
        let text = if status == Status::NotFound {
            "资源不存在"
        } else {
            "请求方法不被允许"
        };
        Failure::new(status, "NOT_FOUND", text)
    }

    /// What the server itself refuses before any route has a say.
    pub(super) fn of_status(status: Status) -> Self {
        if status.class().is_server_error() {
            return Failure::new(Status::InternalServerError, "INTERNAL", "服务器内部错误");
        }
        Failure::new(status, "VALIDATION", UNREADABLE)
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
            BodyProblem::TooLarge { limit_bytes } => Failure::body_too_large(limit_bytes),
            BodyProblem::Broken => Failure::unreadable("ended early"),
            BodyProblem::NoRoom => Error::BUSY.into(),
            BodyProblem::Unreadable(cause) => Failure::unreadable(format!("is not JSON: {cause}")),
            BodyProblem::Field { field, problem, .. } if field.is_empty() => {
                Failure::invalid("body", problem)
            }
            BodyProblem::Field { field, problem, .. } => Failure::invalid(&field, problem),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        http::log_if_internal(&error);
        if let Error::Invalid { field, problem } = &error {
            return Failure::invalid(published(field), problem);
        }
        let (status, code, message) = wording(&error);
        let failure = Failure::new(status, code, message);
        match error.retry_after_secs() {
            Some(secs) => failure.with_header("Retry-After", secs.to_string()),
            None => failure,
        }
    }
}

/// Status, code and text of every error.
pub(super) fn wording(error: &Error) -> (Status, &'static str, &'static str) {
    match error {
        Error::NoToken | Error::InvalidToken => {
            (Status::Unauthorized, "AUTH_001", "无效的认证令牌")
        }
        Error::ExpiredToken => (Status::Unauthorized, "AUTH_002", "令牌已过期"),
        Error::BadCredentials => (Status::Unauthorized, "AUTH_003", "用户名或密码错误"),
        Error::UnknownUser => (Status::NotFound, "USER_001", "用户不存在"),
        Error::UsernameTaken => (Status::Conflict, "USER_002", "用户名已存在"),
        Error::EmailTaken => (Status::Conflict, "USER_003", "邮箱已存在"),
        Error::UnknownContact => (Status::NotFound, "FRIEND_001", "好友关系不存在"),
        Error::SelfContact => (Status::BadRequest, "FRIEND_002", "不能添加自己为好友"),
        Error::RequestExists => (Status::Conflict, "FRIEND_003", "好友请求已存在"),
        Error::UnknownMessage => (Status::NotFound, "MESSAGE_001", "消息不存在"),
        Error::Forbidden => (Status::Forbidden, "MESSAGE_002", "无权限访问消息"),
        Error::UnsupportedType => (Status::UnsupportedMediaType, "FILE_001", "文件类型不支持"),
        Error::TooLarge { .. } => (Status::PayloadTooLarge, "FILE_002", "文件大小超出限制"),
        Error::UnknownKey => (Status::NotFound, "ENCRYPT_001", "加密密钥不存在"),
        Error::Invalid { .. } => (Status::UnprocessableEntity, "VALIDATION", INVALID),
        Error::UnknownFile | Error::UnknownRequest => (Status::NotFound, "NOT_FOUND", "资源不存在"),
        Error::TooManyAttempts { .. } => (
            Status::TooManyRequests,
            "RATE_LIMITED",
            "请求过于频繁，请稍后再试",
        ),
        Error::Busy { .. } | Error::ReadOnly => (
            Status::ServiceUnavailable,
            "INTERNAL",
            "服务器繁忙，请稍后再试",
        ),
        Error::InDoubt => (
            Status::ServiceUnavailable,
            "INTERNAL",
            "数据库连接中断，可能已保存，请先查看再重试",
        ),
        // These belong to calls that this API does not have.
        Error::UnknownPermission
        | Error::UnknownRoom
        | Error::RoomNameTaken
        | Error::NotAMember
        | Error::KeyReused => (Status::BadRequest, "VALIDATION", UNREADABLE),
        Error::Db(_) | Error::Io(_) | Error::Internal(_) => {
            (Status::InternalServerError, "INTERNAL", "服务器内部错误")
        }
    }
}

/// The published name of a field.
fn published(field: &'static str) -> &'static str {
    match field {
        "private key" => "private_key_encrypted",
        other => other,
    }
}
