//! `/auth`: register, log in, refresh and end a token.

use rocket::post;
use serde::{Deserialize, Serialize};

use super::wording::Failure;
use super::{Answer, done, success};
use crate::api::http::{AppState, Bearer, Body};
use crate::api::peer::Peer;
use crate::error::Error;
use crate::users::password::secret_of;
use crate::users::{self, Registration, tokens};

/// The longest username here, in characters.
const LONGEST_USERNAME: usize = 64;
/// Characters that take no room: with them a name looks like another.
const WITHOUT_WIDTH: [char; 5] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];
/// The shortest password, in characters.
const SHORTEST_PASSWORD: usize = 8;

#[derive(Deserialize)]
struct Register {
    username: String,
    email: String,
    password: String,
    confirm_password: String,
}

#[derive(Serialize)]
struct Registered {
    user_id: i64,
    username: String,
    email: Option<String>,
    access_token: String,
    token_type: &'static str,
}

/// A new account, logged in at once.
#[post("/auth/register", data = "<body>")]
pub(super) async fn register(app: &AppState, mut body: Body) -> Answer {
    let Register {
        username,
        email,
        password,
        confirm_password,
    } = body.json()?;
    check_username(&username)?;
    check_new_password("password", &password, &confirm_password)?;
    let secret = secret_of(&password);
    let registration = Registration {
        username,
        email: Some(email),
        secret,
        public_key: None,
    };
    let (user, token) = users::register_and_log_in(app, registration).await?;
    Ok(success(Registered {
        user_id: user.id.0,
        username: user.username,
        email: user.email,
        access_token: token.text,
        token_type: "bearer",
    }))
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

#[derive(Serialize)]
struct LoggedIn {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    user: Oneself,
}

#[derive(Serialize)]
struct Oneself {
    id: i64,
    username: String,
    email: Option<String>,
    avatar: Option<String>,
}

/// A token for a username and password.
#[post("/auth/login", data = "<body>")]
pub(super) async fn login(app: &AppState, peer: Peer, mut body: Body) -> Answer {
    let Login { username, password } = body.json()?;
    // A name that nobody can have fails like one that nobody has.
    let username = users::parse_username(&username).map_err(|_| Error::BadCredentials)?;
    let (user, token) = users::log_in(app, &username, secret_of(&password), peer.ip).await?;
    Ok(success(LoggedIn {
        access_token: token.text,
        token_type: "bearer",
        expires_in: token.expires_in_secs,
        user: Oneself {
            id: user.id.0,
            username: user.username,
            email: user.email,
            avatar: user.avatar,
        },
    }))
}

#[derive(Serialize)]
struct Refreshed {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
}

/// A new token for the one sent, which is ended.
#[post("/auth/refresh")]
pub(super) async fn refresh(app: &AppState, bearer: Bearer) -> Answer {
    let session = bearer.session(app)?;
    let token = tokens::replace(app, session).await?;
    Ok(success(Refreshed {
        access_token: token.text,
        token_type: "bearer",
        expires_in: token.expires_in_secs,
    }))
}

/// Ends the token and its sockets.
#[post("/auth/logout")]
pub(super) async fn logout(app: &AppState, bearer: Bearer) -> Answer {
    let session = bearer.session(app)?;
    tokens::end(app, session).await?;
    Ok(done("登出成功"))
}

/// Refuses usernames that this API finds too long, counted as they are kept, and those that look
/// like another's or like none.
pub(super) fn check_username(username: &str) -> Result<(), Failure> {
    if users::composed(username, LONGEST_USERNAME).is_none() {
        let problem = format!("must have at most {LONGEST_USERNAME} characters");
        return Err(Failure::invalid("username", problem));
    }
    let is_unseen = |c| users::turns_direction(c) || WITHOUT_WIDTH.contains(&c);
    if username != username.trim() || username.contains(is_unseen) {
        let problem = "must not begin or end with a space, nor have characters that are not seen";
        return Err(Failure::invalid("username", problem));
    }
    Ok(())
}

/// Refuses a new password that is too short or was not typed twice alike.
pub(super) fn check_new_password(field: &str, new: &str, confirmed: &str) -> Result<(), Failure> {
    if new.chars().count() < SHORTEST_PASSWORD {
        let problem = format!("must have at least {SHORTEST_PASSWORD} characters");
        return Err(Failure::invalid(field, problem));
    }
    if new != confirmed {
        return Err(Failure::invalid(
            "confirm_password",
            format!("is not the same as {field}"),
        ));
    }
    Ok(())
}
