//! `/messages`: send, and fetch what is unread, each message once.

use std::sync::Arc;

use rocket::http::Status;
use rocket::{get, head, post};
use serde::Serialize;
use serde_json::json;

use super::fields::Fields;
use super::{Answer, Failure};
use crate::api::http::{AppState, Bearer, Body, Reply, log_if_internal};
use crate::api::listing::{Array, Listing, Piece};
use crate::app::App;
use crate::error::{Error, Result};
use crate::messages::unread::{self, Part, Slice};
use crate::messages::{self, Draft};
use crate::model::{Message, MessageId, Session, UserId};
use crate::users::{self, tokens};

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
pub(super) async fn send(app: &AppState, bearer: Bearer, mut body: Body) -> Answer {
    let sender = bearer.session(app)?.user;
    let mut fields = Fields::of_json(&mut body)?;
    let recipient = fields.text("recipient_username");
    let content = fields.filled_text("encrypted_content");
    fields.check()?;
    let recipient = users::parse_username(&recipient).map_err(|_| Error::UnknownUser)?;
    let recipient = users::id_by_username(app, &recipient)?;
    let sender_name = users::username_by_id(app, sender)?;
    let draft = Draft::direct(app, sender, sender_name, recipient, content);
    let message = messages::send(app, draft).await?;
    let message = Arc::unwrap_or_clone(message);
    Ok(Reply::of_messages(Status::Ok, &Shown::from(message)))
}

/// secure_im §3.4: all that is unread when one asks, oldest first, a slice at a time. Each is marked
/// as read before it leaves, unless `ack` is `manual`, and the next is taken when it has left.
#[get("/messages?<ack>")]
pub(super) async fn take(
    app: &AppState,
    bearer: Bearer,
    ack: Option<&str>,
) -> Result<Listing, Failure> {
    let reader = bearer.session(app)?;
    let is_manual = match ack {
        None | Some("auto") => false,
        Some("manual") => true,
        Some(_) => {
            let problem = Failure::problem(&["query", "ack"], "is auto or manual", "enum");
            return Err(Failure::invalid(vec![problem]));
        }
    };
    let all = Unread {
        part: Part::all(app, reader.user)?,
        list: Array::default(),
    };
    let its_app = (*app).clone();
    let next = move |rest| slice(its_app.clone(), reader, is_manual, rest);
    Ok(Listing::awaited(&app.outgoing, all, next).await?)
}

/// What is still to be written.
struct Unread {
    part: Part,
    list: Array,
}

async fn slice(
    app: Arc<App>,
    reader: Session,
    is_manual: bool,
    all: Unread,
) -> Result<Piece<Unread>> {
    let Unread { part, mut list } = all;
    let found = match list.is_begun.then(|| tokens::check_again(&app, &reader)) {
        Some(Err(cause)) => Err(cause),
        _ if is_manual => unread::list(&app, reader.user, part).await,
        _ => unread::take(&app, reader.user, part).await,
    };
    let found = match found {
        // What has left is marked as read: the list is closed, so that it can be read. The rest waits.
        Err(cause) if list.is_begun => {
            log_if_internal(&cause);
            Slice::default()
        }
        found => found?,
    };
    let mut out = Vec::new();
    let _made = found.made;
    for message in found.messages {
        list.put(&mut out, &Shown::from(message));
    }
    if found.rest.is_none() {
        list.end(&mut out);
    }
    let rest = found.rest.map(|part| Unread { part, list });
    Ok((out, rest))
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
pub(super) async fn acknowledge(app: &AppState, bearer: Bearer, mut body: Body) -> Answer {
    let reader = bearer.session(app)?.user;
    let mut fields = Fields::of_json(&mut body)?;
    let last = MessageId(fields.integer("up_to"));
    fields.check()?;
    let marked = unread::mark_up_to(app, reader, last).await?;
    Ok(Reply::json(Status::Ok, &json!({ "acknowledged": marked })))
}
