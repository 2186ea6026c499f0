//! `/friends`: friends, search, and friend requests.

use std::collections::HashSet;

use rocket::{delete, get, post, put};
use serde::{Deserialize, Serialize};

use super::wording::Failure;
use super::{Answer, done, id_in_path, success, timestamp};
use crate::api::http::{AppState, Bearer, Body};
use crate::api::user_id::user_id;
use crate::contacts;
use crate::model::{Profile, RequestId, Status, UserId};
use crate::users::{self, By};

/// How many users a search finds at most.
const MOST_FOUND: i64 = 50;

#[derive(Serialize)]
struct Friend {
    id: i64,
    username: String,
    avatar: Option<String>,
    status: Status,
    last_seen: Option<String>,
}

/// The caller's friends, as they may be seen now.
#[get("/friends")]
pub(super) fn list(app: &AppState, bearer: Bearer) -> Answer {
    let session = bearer.session(app)?;
    let shown = |friend: Profile| Friend {
        status: app.presence.visible_status(friend.id, friend.status),
        id: friend.id.0,
        username: friend.username,
        avatar: friend.avatar,
        last_seen: friend.last_login_at.map(timestamp),
    };
    app.outgoing.check()?;
    let friends = contacts::list_friends(app, session.user)?;
    Ok(success(friends.into_iter().map(shown).collect::<Vec<_>>()))
}

#[derive(Serialize)]
struct Found {
    id: i64,
    username: String,
    avatar: Option<String>,
    is_friend: bool,
}

/// Users by part of the name, or by the whole e-mail address.
#[get("/friends/search?<q>")]
pub(super) fn search(app: &AppState, bearer: Bearer, q: Option<&str>) -> Answer {
    let session = bearer.session(app)?;
    let text = q
        .map(str::trim)
        .filter(|text| !text.is_empty() && !text.contains('\0'));
    let text =
        text.ok_or_else(|| Failure::invalid("q", "must not be empty or have NUL characters"))?;
    let friends: HashSet<UserId> = contacts::list_friend_ids(app, session.user)?
        .into_iter()
        .collect();
    let found = users::search(app, text, By::NameOrAddress, Some(session.user), MOST_FOUND)?
        .into_iter()
        .map(|user| Found {
            id: user.id.0,
            is_friend: friends.contains(&user.id),
            username: user.username,
            avatar: user.avatar,
        });
    Ok(success(found.collect::<Vec<_>>()))
}

#[derive(Serialize)]
struct Pending {
    request_id: i64,
    from_user_id: i64,
    from_username: String,
    message: String,
    created_at: String,
}

/// The requests that wait for the caller's answer, oldest first.
#[get("/friends/requests")]
pub(super) fn requests(app: &AppState, bearer: Bearer) -> Answer {
    let session = bearer.session(app)?;
    app.outgoing.check()?;
    let pending = contacts::list_requests_to(app, session.user)?
        .into_iter()
        .map(|(request, from)| Pending {
            request_id: request.id.0,
            from_user_id: request.from_id.0,
            from_username: from,
            message: request.message,
            created_at: timestamp(request.created_at),
        });
    Ok(success(pending.collect::<Vec<_>>()))
}

#[derive(Deserialize)]
struct Ask {
    #[serde(deserialize_with = "user_id")]
    user_id: UserId,
    message: Option<String>,
}

/// Asks somebody to be a friend; they hear of it at once if they are there.
#[post("/friends/request", data = "<body>")]
pub(super) async fn ask(app: &AppState, bearer: Bearer, mut body: Body) -> Answer {
    let session = bearer.session(app)?;
    let Ask { user_id, message } = body.json()?;
    contacts::ask(app, session.user, user_id, message.unwrap_or_default()).await?;
    Ok(done("好友请求已发送"))
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
enum Decision {
    Accept,
    Reject,
}

impl TryFrom<String> for Decision {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "accept" => Ok(Decision::Accept),
            "reject" => Ok(Decision::Reject),
            _ => Err(format!("`{word}` is none of accept, reject")),
        }
    }
}

#[derive(Deserialize)]
struct AnswerBody {
    action: Decision,
}

/// Accepts or rejects a request; its addressee only.
#[put("/friends/request/<request_id>", data = "<body>")]
pub(super) async fn answer(
    app: &AppState,
    bearer: Bearer,
    request_id: &str,
    mut body: Body,
) -> Answer {
    let session = bearer.session(app)?;
    let request = RequestId(id_in_path("request_id", request_id)?);
    let AnswerBody { action } = body.json()?;
    contacts::answer(app, session.user, request, action == Decision::Accept).await?;
    Ok(done("好友请求已处理"))
}

/// Ends a friendship, for both.
#[delete("/friends/<friend_id>")]
pub(super) async fn remove(app: &AppState, bearer: Bearer, friend_id: &str) -> Answer {
    let session = bearer.session(app)?;
    let friend = UserId(id_in_path("friend_id", friend_id)?);
    contacts::unfriend(app, session.user, friend).await?;
    Ok(done("好友已删除"))
}
