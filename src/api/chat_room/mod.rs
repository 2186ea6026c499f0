//! chat_room: newline-delimited JSON over TCP. Source: the chat_room contract and its seed.
//!
//! | Message | |
//! |---|---|
//! | `register_request`, `login_request`, `logout_request` | accounts |
//! | `chat_message` | say something; comes back to everybody who is in the room just then |
//! | `enter_chat_request`, `join_chat_request`, `create_chat_request` | rooms |
//! | `user_info_request`, `list_users_request`, `list_chats_request` | who and what there is |
//! | `file_list_request`, `file_upload_request`, `file_download_request` | files |
//!
//! From the wire inwards: [`listener`] takes connections, [`frame`] turns bytes into requests,
//! [`session`] does what they ask, [`reply`] has what is said back, [`delivery`] writes it and
//! what others say. Nobody is an administrator here, and there is no AI.

mod accounts;
mod answers;
mod delivery;
mod frame;
mod listener;
mod reply;
mod session;
mod transfer;

pub use listener::check_tls;
pub(super) use listener::{bind, serve};

use crate::error::Error;

/// This API's code and words for every failure (chat_room §5).
fn wording(error: &Error) -> (u16, String) {
    let (code, text) = match error {
        Error::Invalid {
            field: "room name", ..
        } => (
            1008,
            "聊天组名称必须为2-30个字符，只能包含字母、数字、下划线、中文和空格",
        ),
        Error::Invalid { field, problem } => return (1008, format!("{field} {problem}")),
        Error::TooLarge { limit_bytes } => {
            return (1007, format!("文件过大，最大允许 {}", size(*limit_bytes)));
        }
        Error::TooManyAttempts { retry_after_secs } => {
            return (
                1001,
                format!("登录失败次数过多，请在 {retry_after_secs} 秒后重试"),
            );
        }
        Error::UnsupportedType => (1008, "不支持的文件类型"),
        Error::BadCredentials => (1001, "用户名或密码错误"),
        Error::NoToken | Error::InvalidToken | Error::ExpiredToken => (1001, "请先登录"),
        Error::UsernameTaken => (1002, "用户名已存在"),
        Error::EmailTaken => (1002, "邮箱已存在"),
        Error::UnknownUser | Error::UnknownContact => (1003, "用户不存在"),
        Error::UnknownRoom => (1004, "聊天组不存在"),
        Error::Forbidden => (1005, "权限不足"),
        Error::NotAMember => (1005, "您不在该聊天组中"),
        Error::UnknownFile => (1006, "文件不存在"),
        Error::RoomNameTaken => (1008, "聊天组名称已存在"),
        Error::UnknownMessage
        | Error::UnknownPermission
        | Error::UnknownRequest
        | Error::UnknownKey
        | Error::RequestExists
        | Error::SelfContact
        | Error::KeyReused => (1008, "无效请求"),
        Error::Busy { .. } => (1009, "服务器繁忙，请稍后重试"),
        Error::ReadOnly => (1009, "服务器暂时无法写入，请稍后重试"),
        Error::InDoubt => (1009, "数据库连接中断，可能已保存，请先查看再重试"),
        Error::Db(_) | Error::Io(_) | Error::Internal(_) => (1009, "服务器内部错误"),
    };
    (code, text.to_owned())
}

/// A size in the largest unit in which it is a whole number.
fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{} MB", bytes >> 20)
    } else if bytes.is_multiple_of(1 << 10) {
        format!("{} KB", bytes >> 10)
    } else {
        format!("{bytes} B")
    }
}

#[cfg(test)]
mod frame_outcomes;
#[cfg(test)]
mod frame_tests;
