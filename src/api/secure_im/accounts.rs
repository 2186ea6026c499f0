//! Register, log in, log out.

use rocket::http::Status;
use rocket::post;
use serde::Serialize;
use serde_json::json;

use super::fields::{Fields, FormKind};
use super::whereabouts::{endpoint, note};
use super::{Answer, Failure};
use crate::api::http::{AppState, Bearer, Body, Reply};
use crate::api::peer::Peer;
use crate::error::Error;
use crate::model::UserId;
use crate::users::password::secret_of;
use crate::users::{self, Registration, tokens};

/// An account, to whoever has just made it.
#[derive(Serialize)]
struct Registered {
    id: UserId,
    username: String,
    email: Option<String>,
    public_key: Option<String>,
    is_online: bool,
    created_at: String,
}

/// secure_im §1.1. Answers with the account, never with anything of the password.
#[post("/users", data = "<body>")]
pub(super) async fn register(app: &AppState, mut body: Body) -> Answer {
    let mut fields = Fields::of_json(&mut body)?;
    let username = fields.filled_text("username");
    let email = fields.filled_text("email");
    let password = fields.filled_text("password");
    let public_key = fields.text("public_key");
    fields.check()?;
    let registration = Registration {
        username,
        email: Some(email),
        secret: secret_of(&password),
        public_key: Some(public_key),
    };
    let user = users::register(app, registration).await?;
    let shown = Registered {
        id: user.id,
        username: user.username,
        email: user.email,
        public_key: user.public_key,
        is_online: app.presence.is_online(user.id),
        created_at: user.created_at.to_seconds_text(),
    };
    Ok(Reply::json(Status::Ok, &shown))
}

#[derive(Serialize)]
struct Granted {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
}

/// secure_im §1.2. Notes where the user can be reached, and that they are online.
#[post("/token", data = "<body>")]
pub(super) async fn log_in(app: &AppState, peer: Peer, kind: FormKind, mut body: Body) -> Answer {
    let mut fields = Fields::of_form(&mut body, kind).await?;
    let username = fields.text("username");
    let password = fields.text("password");
    let port = if fields.has("port") {
        fields.port("port")
    } else {
        None
    };
    fields.check()?;
    // A name that nobody could have is nobody's.
    let username = users::parse_username(&username).map_err(|_| Error::BadCredentials)?;
    let (_, token) = users::log_in(app, &username, secret_of(&password), peer.ip).await?;
    note(app, token.session, endpoint(&peer, port))?;
    let granted = Granted {
        access_token: token.text,
        token_type: "bearer",
        expires_in: token.expires_in_secs,
    };
    Ok(Reply::json(Status::Ok, &granted))
}

/// secure_im §1.3. The token is dead, its sockets are closed, the address is forgotten.
#[post("/logout")]
pub(super) async fn log_out(app: &AppState, bearer: Bearer) -> Result<Reply, Failure> {
    let session = bearer.session(app)?;
    tokens::end(app, session).await?;
    app.presence.forget(session.user, None);
    let done = json!({ "detail": "Logged out successfully" });
    Ok(Reply::json(Status::Ok, &done))
}
