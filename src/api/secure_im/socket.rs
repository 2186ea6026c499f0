//! `/ws`: what anybody says goes to everybody else. Live only, nothing is stored.

use rocket::get;
use rocket::http::Status;
use rocket_ws::WebSocket;

use super::Failure;
use crate::api::http::{AppState, Bearer, log_if_internal};
use crate::api::peer::FromAllowedOrigin;
use crate::api::socket::{self, Answers, Rules, Upgrade};
use crate::app::App;
use crate::error::Error;
use crate::hub::{Channel, Event};
use crate::model::{Session, UserId};
use crate::users;

const RULES: Rules = Rules {
    longest_bytes: 64 << 10,
    session_ended: 1008,
    shutdown: 1012,
    unreadable: None,
};

/// secure_im §3.2. Refused at the handshake without a token that is valid now.
#[get("/ws?<token>")]
pub(super) fn open(
    app: &AppState,
    token: Option<String>,
    origin: FromAllowedOrigin,
    handshake: Option<WebSocket>,
) -> Result<Upgrade, Failure> {
    let bearer = Bearer(token);
    let (session, username) = admit(app, &bearer, &origin).map_err(refusal)?;
    let handshake =
        handshake.ok_or_else(|| Failure::new(Status::UpgradeRequired, "Upgrade Required"))?;
    let subscription =
        socket::listen(app, &session, username.clone(), Channel::SecureIm).map_err(refusal)?;
    let its_app = (*app).clone();
    let say = move |text| {
        say(&its_app, session.user, &username, text);
        // A burst of frames would otherwise overrun the queues of readers that could keep up.
        async {
            tokio::task::yield_now().await;
            Answers::new()
        }
    };
    let encode = |event: &Event| encode(event).map(Ok);
    let nothing = std::iter::empty();
    let upgrade = socket::open(app, &handshake, RULES, subscription, nothing, encode, say);
    Ok(upgrade)
}

/// Whatever is wrong with the token, the handshake is forbidden; that the token could not be looked
/// at is nothing wrong with it.
fn refusal(error: Error) -> Failure {
    if error.is_internal() || error.retry_after_secs().is_some() {
        return error.into();
    }
    Failure::new(Status::Forbidden, "Forbidden")
}

fn admit(
    app: &App,
    bearer: &Bearer,
    origin: &FromAllowedOrigin,
) -> Result<(Session, String), Error> {
    if !origin.0 {
        return Err(Error::Forbidden);
    }
    let session = bearer.session(app)?;
    Ok((session, users::username_by_id(app, session.user)?))
}

/// Passes a text on to all others; bytes that are none go to nobody. `name` is the sender's of the
/// handshake.
fn say(app: &App, user: UserId, name: &str, text: Option<String>) {
    let Some(text) = text else { return };
    // They may have another by now.
    let username = users::username_by_id(app, user).unwrap_or_else(|error| {
        log_if_internal(&error);
        name.to_owned()
    });
    let event = Event::Broadcast {
        user,
        username,
        text,
    };
    app.hub.to_channel(Channel::SecureIm, Some(user), event);
}

/// The published text of an event; what is no part of the broadcast is not told here.
fn encode(event: &Event) -> Option<String> {
    match event {
        Event::Joined { username, .. } => Some(format!("用户 {username} 加入了聊天")),
        Event::Left { username, .. } => Some(format!("用户 {username} 已离开")),
        Event::Broadcast { username, text, .. } => Some(format!("{username}: {text}")),
        Event::Sent { .. }
        | Event::Posted { .. }
        | Event::Shared { .. }
        | Event::Said { .. }
        | Event::StatusChanged { .. }
        | Event::FriendRequested { .. }
        | Event::CallOffered { .. }
        | Event::KeyOffered { .. }
        | Event::Roster { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_does_not_answer_is_no_wrong_token() {
        for (error, status) in [
            (Error::NoToken, Status::Forbidden),
            (Error::ExpiredToken, Status::Forbidden),
            (Error::BUSY, Status::ServiceUnavailable),
            (Error::ReadOnly, Status::ServiceUnavailable),
        ] {
            assert_eq!(refusal(error).status, status);
        }
    }
}
