//! The published words for what goes wrong: status and text of every error.

use rocket::Request;
use rocket::http::Status;
use serde_json::{Value, json};

use crate::api::http::{self, BodyProblem, Reply};
use crate::error::Error;

/// An error of this API: `{"detail": …}`, a text or a list of what is wrong with the fields.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: Status,
    pub(super) detail: Value,
    retry_after_secs: Option<u64>,
}

impl Failure {
    pub(super) fn new(status: Status, detail: &str) -> Self {
        Failure {
            status,
            detail: detail.into(),
            retry_after_secs: None,
        }
    }

    /// What is wrong with a readable request, each as [`Failure::problem`] has it.
    pub(super) fn invalid(problems: Vec<Value>) -> Self {
        Failure {
            status: Status::UnprocessableEntity,
            detail: problems.into(),
            retry_after_secs: None,
        }
    }

    /// One thing that is wrong: where it stands, what it is, and which kind of mistake that is.
    pub(super) fn problem(place: &[&str], text: &str, kind: &str) -> Value {
        json!({ "loc": place, "msg": text, "type": kind })
    }

    pub(super) fn into_reply(self) -> Reply {
        let reply = Reply::json(self.status, &json!({ "detail": self.detail }))
            .with_retry_after(self.retry_after_secs);
        match self.status {
            Status::Unauthorized => reply.with_header("WWW-Authenticate", "Bearer"),
            _ => reply,
        }
    }
}

impl<'r> rocket::response::Responder<'r, 'static> for Failure {
    fn respond_to(self, request: &'r Request<'_>) -> rocket::response::Result<'static> {
        self.into_reply().respond_to(request)
    }
}

impl From<BodyProblem> for Failure {
    fn from(problem: BodyProblem) -> Self {
        let problem = match problem {
            BodyProblem::TooLarge { limit_bytes } => {
                let text = format!("the body exceeds {limit_bytes} bytes");
                return Failure::new(Status::PayloadTooLarge, &text);
            }
            BodyProblem::Broken => {
                return Failure::new(Status::BadRequest, "the body ended early");
            }
            BodyProblem::NoRoom => return Error::BUSY.into(),
            BodyProblem::Unreadable(cause) => {
                let text = format!("the body is not readable JSON: {cause}");
                Failure::problem(&["body"], &text, "json_invalid")
            }
            BodyProblem::Field { problem, .. } => {
                let text = format!("the body {problem}; send one JSON object");
                Failure::problem(&["body"], &text, "model_attributes_type")
            }
        };
        Failure::invalid(vec![problem])
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        http::log_if_internal(&error);
        Failure {
            retry_after_secs: error.retry_after_secs(),
            ..wording(&error)
        }
    }
}

/// Status and body of every error.
pub(super) fn wording(error: &Error) -> Failure {
    let (status, text) = match error {
        Error::Invalid { field, problem } => {
            let text = format!("{} {problem}", published(field));
            let problem = Failure::problem(&["body", published(field)], &text, "value_error");
            return Failure::invalid(vec![problem]);
        }
        Error::TooLarge { limit_bytes } => {
            let text = format!("encrypted_content exceeds {limit_bytes} bytes");
            let place = ["body", "encrypted_content"];
            return Failure::invalid(vec![Failure::problem(&place, &text, "string_too_long")]);
        }
        Error::BadCredentials => (Status::Unauthorized, "用户名或密码错误"),
        Error::NoToken => (Status::Unauthorized, "Not authenticated"),
        Error::InvalidToken => (Status::Unauthorized, "登录凭证无效，请重新登录"),
        Error::ExpiredToken => (Status::Unauthorized, "登录已过期，请重新登录"),
        Error::Forbidden => (Status::Forbidden, "没有权限"),
        Error::TooManyAttempts { retry_after_secs } => {
            let text = format!("登录失败次数过多，请在 {retry_after_secs} 秒后重试");
            return Failure::new(Status::TooManyRequests, &text);
        }
        Error::UnknownUser => (Status::NotFound, "用户不存在"),
        Error::UnknownContact => (Status::NotFound, "没有这个联系人或好友请求"),
        Error::UnknownRequest => (Status::NotFound, "没有来自该用户的好友请求"),
        Error::UsernameTaken => (Status::BadRequest, "用户名已存在"),
        Error::EmailTaken => (Status::BadRequest, "邮箱已被注册"),
        Error::RequestExists => (Status::BadRequest, "好友请求已发出，或双方已是好友"),
        Error::SelfContact => (Status::BadRequest, "不能把自己加为联系人"),
        Error::Busy { .. } => (Status::ServiceUnavailable, "服务器繁忙，请稍后重试"),
        Error::ReadOnly => (Status::ServiceUnavailable, "服务器暂时无法写入，请稍后重试"),
        Error::InDoubt => (
            Status::ServiceUnavailable,
            "数据库连接中断，可能已保存，请先查看再重试",
        ),
        // These belong to calls that this API does not have.
        Error::UnsupportedType
        | Error::UnknownMessage
        | Error::UnknownPermission
        | Error::UnknownRoom
        | Error::UnknownFile
        | Error::UnknownKey
        | Error::RoomNameTaken
        | Error::NotAMember
        | Error::KeyReused => (Status::BadRequest, "此处无法进行该操作"),
        Error::Db(_) | Error::Io(_) | Error::Internal(_) => {
            (Status::InternalServerError, "Internal Server Error")
        }
    };
    Failure::new(status, text)
}

/// The published name of a field.
fn published(field: &'static str) -> &'static str {
    match field {
        "content" => "encrypted_content",
        other => other,
    }
}
