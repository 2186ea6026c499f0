//! `/ws/<user_id>`: the socket. Frames are JSON text, `{"type", "data", "timestamp"}`.
//!
//! | From the server | |
//! |---|---|
//! | `new_message` | to the receiver, whatever API it was sent through |
//! | `user_status` | to friends |
//! | `friend_request` | to the addressee, at once and, while it waits, whenever a socket opens |
//! | `voice_call_invite`, `video_call_invite` | to the callee |
//! | `pong`, `error` | to the one who sent the frame |
//!
//! Clients send `ping` and call invitations; whatever else they send is answered with an `error`
//! frame, and the socket lives on.

use std::sync::Arc;

use rocket::get;
use rocket::http::Status;
use rocket_ws::WebSocket;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wording::{Failure, wording};
use super::{now, timestamp};
use crate::api::http::{AppState, Bearer, log_if_internal};
use crate::api::object::Object;
use crate::api::peer::FromAllowedOrigin;
use crate::api::socket::{self, Rules, Upgrade};
use crate::api::user_id::user_id;
use crate::app::App;
use crate::contacts;
use crate::error::{Error, Result};
use crate::hub::{Channel, Event};
use crate::model::{self, Kind, RequestId, UserId};
use crate::users;

/// The longest name of a call, in characters.
const LONGEST_CALL_ID: usize = 256;
/// How many friend requests are read at once.
const REQUESTS_AT_ONCE: i64 = 50;
const RULES: Rules = Rules {
    longest_bytes: 1 << 20,
    session_ended: 1008,
    shutdown: 1012,
    unreadable: None,
};

/// The socket of the user that the path names. The token stands in the query or in
/// `Authorization`; whatever is wrong is told with a status instead of the handshake.
#[get("/ws/<user_id>?<token>")]
pub(super) fn connect(
    app: &AppState,
    origin: FromAllowedOrigin,
    mut bearer: Bearer,
    ws: Option<WebSocket>,
    user_id: &str,
    token: Option<String>,
) -> Result<Upgrade, Failure> {
    bearer.0 = token.filter(|token| !token.is_empty()).or(bearer.0);
    let session = bearer.session(app)?;
    // As text: `+7` and `007` name nobody.
    if user_id != session.user.0.to_string() {
        return Err(Failure::new(
            Status::Forbidden,
            "AUTH_001",
            "令牌属于其他用户",
        ));
    }
    if !origin.0 {
        return Err(Failure::new(Status::Forbidden, "AUTH_001", "不允许的来源"));
    }
    let ws = ws.ok_or_else(|| Failure::unreadable("is not a WebSocket handshake"))?;
    let username = users::username_by_id(app, session.user)?;
    let subscription = socket::listen(app, &session, username, Channel::Chat8)?;
    let requests = waiting_requests(app, session.user)?;
    let encode = |event: &Event| encode(event).map(Ok);
    let its_app = (*app).clone();
    let react = move |text: Option<String>| {
        let answer = text
            .ok_or_else(|| "frames are UTF-8 text".to_owned())
            .and_then(|text| react(&its_app, session.user, &text))
            .unwrap_or_else(|problem| Some(error_frame(&problem)));
        std::future::ready(answer.into_iter().collect())
    };
    let upgrade = socket::open(app, &ws, RULES, subscription, requests, encode, react);
    Ok(upgrade)
}

/// The frames of the friend requests that wait for an answer by now, read some at a time. Published
/// clients know of no list of them, and those that came in their absence could be answered by nobody.
fn waiting_requests(
    app: &Arc<App>,
    user: UserId,
) -> Result<impl Iterator<Item = Result<String>> + Send + use<>> {
    let app = app.clone();
    // What comes from here on is heard of.
    let newest = contacts::newest_request_to(&app, user)?;
    let mut last = RequestId(0);
    let pieces = std::iter::from_fn(move || {
        let piece = contacts::list_requests_between(&app, user, last, newest?, REQUESTS_AT_ONCE);
        if let Ok(waiting) = &piece {
            last = waiting.last()?.0.id;
        }
        Some(piece)
    });
    Ok(pieces.flat_map(|piece| match piece {
        Ok(waiting) => waiting
            .iter()
            .map(|waits| Ok(waiting_frame(waits)))
            .collect(),
        Err(cause) => vec![Err(cause)],
    }))
}

fn waiting_frame((request, username): &(model::FriendRequest, String)) -> String {
    let data = FriendRequest {
        request_id: request.id.0,
        from_user_id: request.from_id.0,
        from_username: username,
        message: &request.message,
    };
    frame("friend_request", data, timestamp(request.created_at))
}

#[derive(Serialize)]
struct Frame<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    data: T,
    timestamp: String,
}

fn frame(kind: &'static str, data: impl Serialize, timestamp: String) -> String {
    let frame = Frame {
        kind,
        data,
        timestamp,
    };
    serde_json::to_string(&frame).expect("frames are made of plain data")
}

#[derive(Serialize)]
struct NewMessage<'a> {
    id: i64,
    sender_id: i64,
    sender_username: &'a str,
    content: &'a str,
    message_type: Kind,
    is_encrypted: bool,
}

#[derive(Serialize)]
struct UserStatus<'a> {
    user_id: i64,
    username: &'a str,
    status: model::Status,
}

#[derive(Serialize)]
struct FriendRequest<'a> {
    request_id: i64,
    from_user_id: i64,
    from_username: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct CallInvite<'a> {
    call_id: &'a str,
    from_user_id: i64,
    from_username: &'a str,
}

/// The frame of an event, if this API has one for it.
fn encode(event: &Event) -> Option<String> {
    Some(match event {
        Event::Sent { message, sender } => {
            let data = NewMessage {
                id: message.id.0,
                sender_id: message.sender_id.0,
                sender_username: sender,
                content: &message.content,
                message_type: message.kind,
                is_encrypted: message.is_encrypted,
            };
            frame("new_message", data, timestamp(message.sent_at))
        }
        Event::StatusChanged {
            user,
            username,
            status,
        } => frame(
            "user_status",
            UserStatus {
                user_id: user.0,
                username,
                status: *status,
            },
            now(),
        ),
        Event::FriendRequested {
            request,
            from,
            username,
            text,
        } => {
            let data = FriendRequest {
                request_id: request.0,
                from_user_id: from.0,
                from_username: username,
                message: text,
            };
            frame("friend_request", data, now())
        }
        Event::CallOffered {
            is_video,
            call_id,
            from,
            username,
        } => {
            let data = CallInvite {
                call_id,
                from_user_id: from.0,
                from_username: username,
            };
            frame(call_type(*is_video), data, now())
        }
        Event::Posted { .. }
        | Event::Shared { .. }
        | Event::Said { .. }
        | Event::KeyOffered { .. }
        | Event::Roster { .. }
        | Event::Joined { .. }
        | Event::Left { .. }
        | Event::Broadcast { .. } => return None,
    })
}

fn call_type(is_video: bool) -> &'static str {
    if is_video {
        "video_call_invite"
    } else {
        "voice_call_invite"
    }
}

#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Invitation {
    call_id: String,
    #[serde(deserialize_with = "user_id")]
    to_user_id: UserId,
}

#[derive(Serialize)]
struct Pong {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
}

#[derive(Serialize)]
struct Problem<'a> {
    message: &'a str,
}

fn error_frame(problem: &str) -> String {
    frame("error", Problem { message: problem }, now())
}

/// What a client's frame leads to: an answer, nothing, or what is wrong with it.
fn react(app: &App, user: UserId, text: &str) -> Result<Option<String>, String> {
    let Object(frame): Object<Incoming> = serde_json::from_str(text)
        .map_err(|_| "a frame must be a JSON object with a \"type\"".to_owned())?;
    match &*frame.kind {
        "ping" => {
            let pong = Pong {
                kind: "pong",
                timestamp: now(),
            };
            Ok(Some(
                serde_json::to_string(&pong).expect("frames are made of plain data"),
            ))
        }
        kind @ ("voice_call_invite" | "video_call_invite") => {
            let invitation = frame
                .data
                .and_then(|data| serde_json::from_str(data.get()).ok());
            let Object(invitation): Object<Invitation> =
                invitation.ok_or("data must have a call_id (text) and a to_user_id (integer)")?;
            invite(app, user, kind == "video_call_invite", invitation)?;
            Ok(None)
        }
        _ => Err("unknown type".to_owned()),
    }
}

/// Rings at every socket of the callee.
fn invite(app: &App, from: UserId, is_video: bool, invitation: Invitation) -> Result<(), String> {
    let Invitation {
        call_id,
        to_user_id,
    } = invitation;
    if call_id.is_empty() || call_id.chars().count() > LONGEST_CALL_ID {
        return Err(format!(
            "call_id must have 1 to {LONGEST_CALL_ID} characters"
        ));
    }
    let in_words = |error: Error| {
        log_if_internal(&error);
        wording(&error).2.to_owned()
    };
    users::username_by_id(app, to_user_id).map_err(in_words)?;
    let username = users::username_by_id(app, from).map_err(in_words)?;
    app.hub.to_user(
        to_user_id,
        Event::CallOffered {
            is_video,
            call_id,
            from,
            username,
        },
    );
    Ok(())
}
