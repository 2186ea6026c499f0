//! `GET /chat`: the WebSocket. Key frames and message frames come in and go on to one receiver;
//! rosters are made in `roster`.
//!
//! Whatever is wrong with a frame, its sender gets a system frame whose `message` is a text, and
//! the socket lives on. It is never closed with 1000 or 1001, at which old clients reconnect
//! without pause, unless the client has closed with it: 1008 when the token has ended or a frame
//! cannot be read at all, 1011 when the client shows no sign of life, 1013 when the reader fell
//! behind or the server stops.

use std::sync::Arc;

use rocket::http::Status;
use rocket::{State, get};
use rocket_ws::WebSocket;
use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::roster;
use super::turns::Turns;
use super::wording::{Failure, wording};
use crate::api::http::{AppState, log_if_internal, parse_json};
use crate::api::socket::{self, Answers, Rules, Upgrade};
use crate::api::user_id::user_id;
use crate::app::App;
use crate::config::USUAL_CONTENT_BYTES;
use crate::error::Result;
use crate::hub::{Channel, Event};
use crate::messages::{self, Draft, history, lists, pair_keys};
use crate::model::{Message, MessageId, UserId};
use crate::users;

/// The most bytes of one message: a picture of 5 MiB, sealed, in base64 twice, with room to spare.
const LARGEST_MESSAGE_BYTES: u64 = 12 << 20;
/// How many records are read at once, if they are small.
const ROWS_AT_ONCE: i64 = 100;

const RULES: Rules = Rules {
    // Above the largest message: between the two there is an error frame.
    longest_bytes: 16 << 20,
    session_ended: 1008,
    shutdown: 1013,
    unreadable: Some(1008),
};

/// The user of a socket.
#[derive(Clone)]
struct Sender {
    app: Arc<App>,
    turns: Turns,
    id: UserId,
}

/// With `ids=true` messages come with the ids of their records; the published frames have none.
#[get("/chat?<ids>")]
pub(super) async fn chat(
    app: &AppState,
    turns: &State<Turns>,
    caller: Caller,
    ids: Option<&str>,
    handshake: Option<WebSocket>,
) -> Result<Upgrade, Failure> {
    let session = caller.session_for_socket(app)?;
    let handshake = handshake.ok_or_else(not_a_socket)?;
    turns.begin(session.user).await?;
    let username = users::username_by_id(app, session.user)?;
    let sender = Sender {
        app: (*app).clone(),
        turns: (*turns).clone(),
        id: session.user,
    };
    let mut receiver = Receiver::new(app, session.user, ids == Some("true"))?;
    let subscription = socket::listen(app, &session, username, Channel::Relay)?;
    let encode = move |event: &Event| frames(&mut receiver, event);
    let react = move |text| react(sender.clone(), text);
    let nothing = std::iter::empty();
    let upgrade = socket::open(app, &handshake, RULES, subscription, nothing, encode, react);
    Ok(upgrade)
}

fn not_a_socket() -> Failure {
    Failure::new(Status::UpgradeRequired, "请使用 WebSocket 连接")
}

/// Whoever reads a socket.
struct Receiver {
    app: Arc<App>,
    id: UserId,
    with_ids: bool,
    /// The newest record they have been sent, where they want ids and events may overtake each other.
    last: Option<MessageId>,
}

impl Receiver {
    /// To be made before one listens: what comes in between is sent with what comes next.
    fn new(app: &Arc<App>, id: UserId, with_ids: bool) -> Result<Self> {
        let reads_on = with_ids && !app.db.tells_in_order();
        let last = reads_on.then(|| lists::newest_for(app, id)).transpose()?;
        Ok(Receiver {
            app: app.clone(),
            id,
            with_ids,
            last,
        })
    }
}

/// What a client hears of an event.
///
/// With ids it must not hear of a message before an older one: what it misses it asks for from the
/// greatest id on. So where events may overtake each other, or a message have none since its commit
/// was in doubt, an event stands for whatever has come up to its message.
fn frames(
    receiver: &mut Receiver,
    event: &Event,
) -> impl Iterator<Item = Result<String>> + Send + use<> {
    let (mut told, mut came) = (None, None);
    match (event, receiver.last) {
        (Event::Sent { message, .. }, Some(last)) if message.id <= last => {}
        (Event::Sent { message, .. }, Some(last)) => {
            receiver.last = Some(message.id);
            came = Some(came_after(&receiver.app, receiver.id, last, message.id));
        }
        _ => told = encode(&receiver.app, receiver.id, receiver.with_ids, event),
    }
    told.map(Ok).into_iter().chain(came.into_iter().flatten())
}

/// The frames of what has come after `last`, up to and including `newest`, read piece by piece.
fn came_after(
    app: &Arc<App>,
    reader: UserId,
    mut last: MessageId,
    newest: MessageId,
) -> impl Iterator<Item = Result<String>> + Send + use<> {
    let app = app.clone();
    let mut asked = ROWS_AT_ONCE;
    let pieces = std::iter::from_fn(move || {
        if last >= newest {
            return None;
        }
        let piece = history::received_after(&app, reader, last, newest, asked);
        // After an error all is over.
        last = newest;
        Some(piece.map(|(piece, reached)| {
            last = reached;
            asked = piece.next_limit(ROWS_AT_ONCE);
            piece.rows
        }))
    });
    pieces.flat_map(|piece| match piece {
        Ok(rows) => rows
            .iter()
            .map(|message| Ok(relayed(message, true)))
            .collect(),
        Err(cause) => vec![Err(cause)],
    })
}

/// A frame to a client.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relayed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<MessageId>,
    from_id: UserId,
    message: &'a str,
    aes_key: &'a str,
    system_message: bool,
}

/// The frame of an event by itself.
fn encode(app: &App, receiver: UserId, with_ids: bool, event: &Event) -> Option<String> {
    match event {
        Event::Roster { entries, frame } => {
            roster::for_receiver(app, receiver, entries, frame.as_ref())
        }
        Event::Sent { message, .. } => Some(relayed(message, with_ids)),
        Event::KeyOffered { from, aes_key } => Some(frame(None, *from, "", aes_key)),
        Event::Posted { .. }
        | Event::Shared { .. }
        | Event::Said { .. }
        | Event::StatusChanged { .. }
        | Event::FriendRequested { .. }
        | Event::CallOffered { .. }
        | Event::Joined { .. }
        | Event::Left { .. }
        | Event::Broadcast { .. } => None,
    }
}

/// The frame of a message. What was sent through another API comes without a key.
fn relayed(message: &Message, with_ids: bool) -> String {
    let aes_key = message.sender_key.as_deref().unwrap_or_default();
    let id = with_ids.then_some(message.id);
    frame(id, message.sender_id, &message.content, aes_key)
}

fn frame(id: Option<MessageId>, from_id: UserId, message: &str, aes_key: &str) -> String {
    let relayed = Relayed {
        id,
        from_id,
        message,
        aes_key,
        system_message: false,
    };
    // Of a picture this is megabytes: one allocation, with room for the words and ids around it.
    let mut bytes = Vec::with_capacity(message.len() + aes_key.len() + 128);
    serde_json::to_writer(&mut bytes, &relayed).expect("a frame is plain data");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

/// A frame from a client.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    #[serde(deserialize_with = "user_id")]
    from_id: UserId,
    #[serde(deserialize_with = "user_id")]
    to_id: UserId,
    message: String,
    aes_key: Option<String>,
}

async fn react(sender: Sender, text: Option<String>) -> Answers {
    match take(&sender, text).await {
        Ok(()) => Vec::new(),
        Err(words) => {
            let frame = serde_json::json!({ "systemMessage": true, "message": words });
            vec![frame.to_string()]
        }
    }
}

/// Takes one frame; an error is what to tell its sender.
async fn take(sender: &Sender, text: Option<String>) -> Result<(), String> {
    let frame = text.and_then(|text| parse_json::<Frame>(text.as_bytes()).ok());
    let frame = frame.ok_or_else(|| "消息格式错误".to_owned())?;
    if frame.from_id != sender.id {
        return Err("fromId 不是当前用户".to_owned());
    }
    pass_on(sender, frame).await.map_err(|cause| {
        log_if_internal(&cause);
        wording(&cause).1
    })
}

/// The relay's own limit is above the usual one for contents. One that was lowered binds it too.
fn largest_message_bytes(max_content_bytes: u64) -> u64 {
    if max_content_bytes < USUAL_CONTENT_BYTES {
        max_content_bytes
    } else {
        LARGEST_MESSAGE_BYTES
    }
}

/// An empty message makes it a key frame, which is no record; everything else is stored.
async fn pass_on(sender: &Sender, frame: Frame) -> Result<()> {
    let (app, to) = (&sender.app, frame.to_id);
    let _turn = sender.turns.store(sender.id).await;
    let aes_key = frame.aes_key.unwrap_or_default();
    users::username_by_id(app, to)?;
    if frame.message.is_empty() {
        return pair_keys::offer(app, sender.id, to, aes_key).await;
    }
    // Asked each time: it may have changed since the socket was opened.
    let sender_name = users::username_by_id(app, sender.id)?;
    let draft = Draft {
        sender_key: Some(aes_key),
        limit_bytes: largest_message_bytes(app.config.max_content_bytes),
        ..Draft::direct(app, sender.id, sender_name, to, frame.message)
    };
    messages::send(app, draft).await.map(drop)
}
