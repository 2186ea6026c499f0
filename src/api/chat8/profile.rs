//! `/user`: what a user shows of themselves, and their password.

use rocket::{get, put};
use serde::{Deserialize, Deserializer, Serialize};

use super::accounts::{check_new_password, check_username};
use super::uploads::remove_avatar;
use super::wording::Failure;
use super::{Answer, done, success, timestamp};
use crate::api::http::{AppState, Bearer, Body};
use crate::api::peer::Peer;
use crate::model::Status;
use crate::users::password::secret_of;
use crate::users::{self, ProfileChange};

/// The longest path of an avatar, in bytes.
const LONGEST_AVATAR: usize = 2_048;

#[derive(Serialize)]
struct Shown {
    id: i64,
    username: String,
    email: Option<String>,
    avatar: Option<String>,
    status: Status,
    created_at: String,
    last_login: Option<String>,
}

/// The caller, as they see themselves: the status is the chosen one.
#[get("/user/profile")]
pub(super) fn show(app: &AppState, bearer: Bearer) -> Answer {
    let session = bearer.session(app)?;
    let user = users::user_by_id(app, session.user)?;
    Ok(success(Shown {
        id: user.id.0,
        username: user.username,
        email: user.email,
        avatar: user.avatar,
        status: user.status,
        created_at: timestamp(user.created_at),
        last_login: user.last_login_at.map(timestamp),
    }))
}

#[derive(Deserialize)]
struct Change {
    username: Option<String>,
    email: Option<String>,
    #[serde(default)]
    avatar: NewAvatar,
}

/// Absent stays, null removes, and so does an empty text, which is what a form has for it.
#[derive(Default)]
enum NewAvatar {
    #[default]
    Same,
    Other(Option<String>),
}

impl<'de> Deserialize<'de> for NewAvatar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = Option::<String>::deserialize(deserializer)?;
        Ok(NewAvatar::Other(path.filter(|path| !path.is_empty())))
    }
}

#[derive(Serialize)]
struct Changed {
    id: i64,
    username: String,
    email: Option<String>,
    avatar: Option<String>,
}

/// New values for whatever is named. Accounts of other APIs may have no e-mail address: a form shows
/// an empty one then, which stays.
#[put("/user/profile", data = "<body>")]
pub(super) async fn change(app: &AppState, bearer: Bearer, mut body: Body) -> Answer {
    let session = bearer.session(app)?;
    let Change {
        username,
        email,
        avatar,
    } = body.json()?;
    let own = users::user_by_id(app, session.user)?;
    if let Some(username) = &username
        // One that was taken in another API may be longer, and may stay.
        && users::parse_username(username)? != own.username
    {
        check_username(username)?;
    }
    let avatar = match avatar {
        NewAvatar::Same => None,
        NewAvatar::Other(path) => {
            path.as_deref().map_or(Ok(()), check_avatar)?;
            Some(path)
        }
    };
    let change = ProfileChange {
        username,
        email: email.filter(|email| !email.is_empty() || own.email.is_some()),
        avatar,
        status: None,
    };
    let (before, user) = users::change_profile(app, session.user, change).await?;
    let (before, present) = (before.avatar.as_deref(), user.avatar.as_deref());
    remove_avatar(app, session.user, before, present).await?;
    Ok(success(Changed {
        id: user.id.0,
        username: user.username,
        email: user.email,
        avatar: user.avatar,
    }))
}

/// An avatar is a path on this server: an address elsewhere would tell others' addresses there.
fn check_avatar(path: &str) -> Result<(), Failure> {
    let is_path = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && !path.contains(char::is_control)
        && path.len() <= LONGEST_AVATAR;
    if is_path {
        Ok(())
    } else {
        Err(Failure::invalid(
            "avatar",
            "must be a URL path that begins with one /",
        ))
    }
}

#[derive(Deserialize)]
struct ChangePassword {
    #[serde(rename = "current_password")]
    current: String,
    #[serde(rename = "new_password")]
    new: String,
    #[serde(rename = "confirm_password")]
    confirmed: String,
}

/// A new password. Every other login of the user ends.
#[put("/user/password", data = "<body>")]
pub(super) async fn change_password(
    app: &AppState,
    bearer: Bearer,
    peer: Peer,
    mut body: Body,
) -> Answer {
    let session = bearer.session(app)?;
    let ChangePassword {
        current,
        new,
        confirmed,
    } = body.json()?;
    check_new_password("new_password", &new, &confirmed)?;
    let username = users::username_by_id(app, session.user)?;
    let (current, new) = (secret_of(&current), secret_of(&new));
    users::change_password(app, &username, current, new, Some(session), peer.ip).await?;
    Ok(done("密码修改成功"))
}

#[derive(Deserialize)]
struct ChangeStatus {
    status: Status,
}

#[derive(Serialize)]
struct StatusShown {
    status: Status,
}

/// The status that friends see while the user is there. They hear of it.
#[put("/user/status", data = "<body>")]
pub(super) async fn change_status(app: &AppState, bearer: Bearer, mut body: Body) -> Answer {
    let session = bearer.session(app)?;
    let ChangeStatus { status } = body.json()?;
    let change = ProfileChange {
        status: Some(status),
        ..ProfileChange::default()
    };
    let (_, user) = users::change_profile(app, session.user, change).await?;
    Ok(success(StatusShown {
        status: user.status,
    }))
}
