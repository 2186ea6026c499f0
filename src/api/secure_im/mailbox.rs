//! `/messages`: send, and fetch what is unread, each message once.

use rocket::http::Status;
use rocket::{get, head, post};
use serde::Serialize;
use serde_json::json;

use super::fields::Fields;
use super::{Answer, Failure};
use crate::api::http::{AppState, Bearer, Body, Reply};
use crate::error::Error;
use crate::messages::{self, Draft, unread};
use crate::model::{Message, MessageId, UserId};
use crate::users;

/// The most messages that one call hands out; what is left over comes with the next one. Their
/// content is bounded too, by [`unread::SLICE_BYTES`].
const MOST_AT_ONCE: i64 = 5_000;

#[derive(Serialize)]
struct Shown {
    id: MessageId,
    sender_id: UserId,
    receiver_id: Option<UserId>,
    encrypted_content: String,
    sent_at: String,
}

impl From<Message> for Shown {
    fn from(message: Message) -> Self {
        Shown {
            id: message.id,
            sender_id: message.sender_id,
            receiver_id: message.recipient_id,
            encrypted_content: message.content,
            sent_at: message.sent_at.to_seconds_text(),
        }
    }
}

/// secure_im §3.3. Answers once the message is on disk.
#[post("/messages", data = "<body>")]
pub(super) async fn send(app: &AppState, bearer: Bearer, body: Body) -> Answer {
    let sender = bearer.session(app)?.user;
    let mut fields = Fields::of_json(body)?;
    let recipient = fields.text("recipient_username");
    let content = fields.filled_text("encrypted_content");
    fields.check()?;
    let recipient = users::parse_username(&recipient).map_err(|_| Error::UnknownUser)?;
    let recipient = users::id_by_username(app, &recipient)?;
    let sender = users::user_by_id(app, sender)?;
    let draft = Draft::direct(app, sender.id, sender.username, recipient, content);
    let message = messages::send(app, draft).await?;
    Ok(Reply::json(Status::Ok, &Shown::from(message)))
}

/// secure_im §3.4: what is unread, oldest first, a slice at a time. It is marked as read before
/// the reply leaves, unless `ack` is `manual`.
#[get("/messages?<ack>")]
pub(super) async fn take(app: &AppState, bearer: Bearer, ack: Option<&str>) -> Answer {
    let reader = bearer.session(app)?.user;
    let is_manual = match ack {
        None | Some("auto") => false,
        Some("manual") => true,
        Some(_) => {
            let problem = Failure::problem(&["query", "ack"], "is auto or manual", "enum");
            return Err(Failure::invalid(vec![problem]));
        }
    };
    let found = if is_manual {
        unread::list(app, reader, MOST_AT_ONCE).await?
    } else {
        unread::take(app, reader, MOST_AT_ONCE).await?
    };
    let shown: Vec<Shown> = found.into_iter().map(Shown::from).collect();
    Ok(Reply::json(Status::Ok, &shown).with_header("Cache-Control", "no-store"))
}

/// Without this a `HEAD` would take the messages and show them to nobody.
#[head("/messages")]
pub(super) fn refuse_head() -> Reply {
    Failure::new(Status::MethodNotAllowed, "Method Not Allowed")
        .into_reply()
        .with_header("Allow", "GET, POST")
}

/// Marks as read what was fetched with `ack=manual`, up to and including an id.
#[post("/messages/ack", data = "<body>")]
pub(super) async fn acknowledge(app: &AppState, bearer: Bearer, body: Body) -> Answer {
    let reader = bearer.session(app)?.user;
    let mut fields = Fields::of_json(body)?;
    let last = MessageId(fields.integer("up_to"));
    fields.check()?;
    let marked = unread::mark_up_to(app, reader, last).await?;
    Ok(Reply::json(Status::Ok, &json!({ "acknowledged": marked })))
}
