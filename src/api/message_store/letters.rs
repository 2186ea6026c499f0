//! Sending, and the calls on one message.

use rocket::http::Status;
use rocket::request::{FromRequest, Outcome, Request};
use rocket::{delete, get, post, put};
use serde::{Deserialize, Serialize};

use super::caller::{Caller, named_user, stated_user};
use super::{Answer, done, optional, parse_message_id};
use crate::api::http::{AppState, Body, Reply};
use crate::messages::permissions::Action;
use crate::messages::{self, Draft, lists};
use crate::users;

#[derive(Deserialize)]
struct Send {
    user_id: String,
    receiver_id: String,
    encrypted_content: String,
}

#[derive(Serialize)]
struct Sent {
    message: &'static str,
    message_id: i64,
    timestamp: String,
    status: &'static str,
}

/// The header that makes a retry safe.
pub(super) struct IdempotencyKey(Option<String>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for IdempotencyKey {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(IdempotencyKey(
            request
                .headers()
                .get_one("Idempotency-Key")
                .map(str::to_owned),
        ))
    }
}

/// message_store §5. Answers once the message is on disk.
#[post("/messages/send", data = "<body>")]
pub(super) async fn send(
    app: &AppState,
    caller: Caller,
    key: IdempotencyKey,
    mut body: Body,
) -> Answer {
    let Send {
        user_id,
        receiver_id,
        encrypted_content,
    } = body.json()?;
    let sender = caller.acting_as(app, &user_id)?;
    let receiver = named_user(app, "receiver_id", &receiver_id)?;
    let draft = Draft {
        idempotency_key: key.0,
        ..Draft::direct(app, sender.id, sender.username, receiver, encrypted_content)
    };
    let message = messages::send(app, draft).await?;
    Ok(Reply::json(
        Status::Ok,
        &Sent {
            message: "Message sent successfully",
            message_id: message.id.0,
            timestamp: message.sent_at.to_seconds_text(),
            status: "success",
        },
    ))
}

#[derive(Serialize)]
struct Found {
    status: &'static str,
    data: Shown,
}

#[derive(Serialize)]
struct Shown {
    id: i64,
    sender_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver_id: Option<String>,
    encrypted_content: String,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<String>,
}

/// One message, for whoever may read it.
#[get("/messages/message/<message_id>?<user_id>")]
pub(super) fn show(
    app: &AppState,
    caller: Caller,
    message_id: &str,
    user_id: Option<&str>,
) -> Answer {
    let id = parse_message_id(message_id)?;
    let reader = caller.acting_as(app, stated_user(user_id)?)?;
    let (message, sender_id) = lists::message_for(app, reader.id, id)?;
    let _made = app.outgoing.make(message.content.len())?;
    let receiver_id = message
        .recipient_id
        .map(|recipient| users::username_by_id(app, recipient))
        .transpose()?;
    let data = Shown {
        id: message.id.0,
        sender_id,
        receiver_id,
        encrypted_content: message.content,
        timestamp: message.sent_at.to_seconds_text(),
        edited_at: message
            .edited_at
            .map(crate::model::Instant::to_seconds_text),
    };
    let status = "success";
    Ok(Reply::of_messages(Status::Ok, &Found { status, data }))
}

#[derive(Deserialize)]
struct Replace {
    user_id: String,
    encrypted_content: String,
}

/// New content for one message.
#[put("/messages/message/<message_id>", data = "<body>")]
pub(super) async fn replace(
    app: &AppState,
    caller: Caller,
    message_id: &str,
    mut body: Body,
) -> Answer {
    let id = parse_message_id(message_id)?;
    let Replace {
        user_id,
        encrypted_content,
    } = body.json()?;
    let writer = caller.acting_as(app, &user_id)?;
    let edited_at = messages::replace(app, writer.id, id, encrypted_content).await?;
    Ok(Reply::json(
        Status::Ok,
        &serde_json::json!({
            "status": "success",
            "message": "Message updated successfully",
            "message_id": id.0,
            "edited_at": edited_at.to_seconds_text(),
        }),
    ))
}

#[derive(Default, Deserialize)]
struct Acting {
    user_id: Option<String>,
}

/// Deletes one message for everybody.
#[delete("/messages/message/<message_id>?<user_id>", data = "<body>")]
pub(super) async fn delete(
    app: &AppState,
    caller: Caller,
    message_id: &str,
    user_id: Option<&str>,
    mut body: Body,
) -> Answer {
    let id = parse_message_id(message_id)?;
    let Acting { user_id: in_body } = optional(&mut body, user_id.is_some())?;
    let deleter = caller.acting_as(app, stated_user(in_body.as_deref().or(user_id))?)?;
    messages::delete(app, deleter.id, Action::Delete, id).await?;
    Ok(done("Message deleted successfully"))
}
