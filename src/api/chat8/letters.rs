//! `/messages`: histories, sending, and the calls on one message.

use rocket::{delete, get, post, put};
use serde::{Deserialize, Serialize};

use super::wording::Failure;
use super::{Answer, done, id_in_path, large_success, success, timestamp};
use crate::api::http::{AppState, Bearer, Body};
use crate::error::Error;
use crate::messages::numbered::numbered_history;
use crate::messages::permissions::Action;
use crate::messages::{self, Draft};
use crate::model::{Kind, Message, MessageId, UserId};
use crate::users;

/// How many messages a page has unless the client says.
const USUAL_PAGE: i64 = 50;
/// How many it may have.
const LARGEST_PAGE: i64 = 200;
/// About what surrounds the content of one.
const LETTER_BYTES: usize = 192;

#[derive(Serialize)]
struct Letter<'a> {
    id: i64,
    sender_id: i64,
    receiver_id: i64,
    content: &'a str,
    message_type: Kind,
    timestamp: String,
    /// In histories only.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_read: Option<bool>,
    is_encrypted: bool,
}

impl<'a> Letter<'a> {
    fn new(message: &'a Message, is_read: Option<bool>) -> Self {
        Letter {
            id: message.id.0,
            sender_id: message.sender_id.0,
            receiver_id: message.recipient_id.map_or(0, |recipient| recipient.0),
            content: &message.content,
            message_type: message.kind,
            timestamp: timestamp(message.sent_at),
            is_read,
            is_encrypted: message.is_encrypted,
        }
    }
}

#[derive(Serialize)]
struct History<'a> {
    messages: Vec<Letter<'a>>,
    pagination: Pagination,
}

#[derive(Serialize)]
struct Pagination {
    page: i64,
    limit: i64,
    total: i64,
    pages: i64,
}

/// What was written between the caller and another, whatever API it was sent through. Page 1 is
/// the newest; within a page the oldest comes first.
#[get("/messages/<id>?<page>&<limit>")]
pub(super) fn history(
    app: &AppState,
    bearer: Bearer,
    id: &str,
    page: Option<&str>,
    limit: Option<&str>,
) -> Answer {
    let session = bearer.session(app)?;
    let friend = UserId(id_in_path("friend_id", id)?);
    let page = positive("page", page, 1)?;
    let limit = positive("limit", limit, USUAL_PAGE)?.min(LARGEST_PAGE);
    let offset = (page - 1).saturating_mul(limit);
    let (newest_first, total) = numbered_history(app, session.user, friend, offset, limit)?;
    if total == 0 {
        users::username_by_id(app, friend)?;
    }
    let letter = |message| Letter::new(message, Some(message.read_at.is_some()));
    let bytes = newest_first
        .iter()
        .map(|message| message.content.len() + LETTER_BYTES)
        .sum();
    let history = History {
        messages: newest_first.iter().rev().map(letter).collect(),
        pagination: Pagination {
            page,
            limit,
            total,
            pages: (total + limit - 1) / limit,
        },
    };
    Ok(large_success(history, bytes))
}

/// A number in the query that must be at least one.
fn positive(field: &'static str, text: Option<&str>, usual: i64) -> Result<i64, Failure> {
    let Some(text) = text else { return Ok(usual) };
    // A number too large to be read is no less a number.
    let is_huge = text.len() > 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().or(is_huge.then_some(i64::MAX));
    let number = number.filter(|number| *number >= 1);
    number.ok_or_else(|| Failure::invalid(field, "must be an integer of at least 1"))
}

#[derive(Deserialize)]
struct Send {
    receiver_id: i64,
    content: String,
    message_type: Option<Kind>,
    is_encrypted: Option<bool>,
}

/// Sends a message to any user. Answers once it is on disk.
#[post("/messages", data = "<body>")]
pub(super) async fn send(app: &AppState, bearer: Bearer, body: Body) -> Answer {
    let session = bearer.session(app)?;
    let Send {
        receiver_id,
        content,
        message_type,
        is_encrypted,
    } = body.json()?;
    let receiver = UserId(receiver_id);
    users::username_by_id(app, receiver)?;
    let sender_name = users::username_by_id(app, session.user)?;
    let draft = Draft {
        kind: message_type.unwrap_or(Kind::Text),
        is_encrypted: is_encrypted.unwrap_or(false),
        ..Draft::direct(app, session.user, sender_name, receiver, content)
    };
    let message = messages::send(app, draft)
        .await
        .map_err(|cause| match cause {
            Error::TooLarge { limit_bytes } => {
                Failure::invalid("content", format!("must have at most {limit_bytes} bytes"))
            }
            other => other.into(),
        })?;
    Ok(success(Letter::new(&message, None)))
}

/// Marks a message as read; its receiver only.
#[put("/messages/<id>/read")]
pub(super) async fn read(app: &AppState, bearer: Bearer, id: &str) -> Answer {
    let session = bearer.session(app)?;
    let id = MessageId(id_in_path("message_id", id)?);
    messages::mark_read(app, session.user, id).await?;
    Ok(done("消息已标记为已读"))
}

/// Takes a message back, for both; its sender only.
#[delete("/messages/<id>")]
pub(super) async fn delete(app: &AppState, bearer: Bearer, id: &str) -> Answer {
    let session = bearer.session(app)?;
    let id = MessageId(id_in_path("message_id", id)?);
    messages::delete(app, session.user, Action::Withdraw, id).await?;
    Ok(done("消息已删除"))
}
