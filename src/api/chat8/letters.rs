//! `/messages`: sending, and the calls on one message.

use rocket::{delete, post, put};
use serde::{Deserialize, Serialize};

use super::wording::Failure;
use super::{Answer, done, id_in_path, success, timestamp};
use crate::api::http::{AppState, Bearer, Body};
use crate::api::user_id::user_id;
use crate::error::Error;
use crate::messages::permissions::Action;
use crate::messages::{self, Draft};
use crate::model::{Kind, Message, MessageId, UserId};
use crate::users;

/// A message, as published.
#[derive(Serialize)]
pub(super) struct Letter<'a> {
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
    pub(super) fn in_history(message: &'a Message) -> Self {
        Letter {
            is_read: Some(message.read_at.is_some()),
            ..Letter::sent(message)
        }
    }

    fn sent(message: &'a Message) -> Self {
        Letter {
            id: message.id.0,
            sender_id: message.sender_id.0,
            receiver_id: message.recipient_id.map_or(0, |recipient| recipient.0),
            content: &message.content,
            message_type: message.kind,
            timestamp: timestamp(message.sent_at),
            is_read: None,
            is_encrypted: message.is_encrypted,
        }
    }
}

#[derive(Deserialize)]
struct Send {
    #[serde(deserialize_with = "user_id")]
    receiver_id: UserId,
    content: String,
    message_type: Option<Kind>,
    is_encrypted: Option<bool>,
}

/// Sends a message to any user. Answers once it is on disk.
#[post("/messages", data = "<body>")]
pub(super) async fn send(app: &AppState, bearer: Bearer, mut body: Body) -> Answer {
    let session = bearer.session(app)?;
    let Send {
        receiver_id,
        content,
        message_type,
        is_encrypted,
    } = body.json()?;
    users::username_by_id(app, receiver_id)?;
    let sender_name = users::username_by_id(app, session.user)?;
    let draft = Draft {
        kind: message_type.unwrap_or(Kind::Text),
        is_encrypted: is_encrypted.unwrap_or(false),
        ..Draft::direct(app, session.user, sender_name, receiver_id, content)
    };
    let message = messages::send(app, draft)
        .await
        .map_err(|cause| match cause {
            Error::TooLarge { limit_bytes } => {
                Failure::invalid("content", format!("must have at most {limit_bytes} bytes"))
            }
            other => other.into(),
        })?;
    Ok(success(Letter::sent(&message)))
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
