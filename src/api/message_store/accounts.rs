//! `/auth`: register, log in, look up a public key, change the password.

use rocket::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::caller::Caller;
use super::{Answer, Failure, done, success};
use crate::api::http::{AppState, Body};
use crate::error::Error;
use crate::users::{self, Registration, keys};

/// The longest `password_hash`, in bytes: any digest in any writing is shorter.
const LONGEST_HASH_BYTES: usize = 1_024;

#[derive(Deserialize)]
struct Register {
    user_id: String,
    password_hash: String,
    public_key: String,
}

/// message_store §1.
#[post("/auth/register", data = "<body>")]
pub(super) async fn register(app: &AppState, mut body: Body) -> Answer {
    let Register {
        user_id,
        password_hash,
        public_key,
    } = body.json()?;
    check_hash("password_hash", &password_hash)?;
    if public_key.is_empty() {
        return Err(Failure::bad_field("public_key", "must not be empty"));
    }
    let registration = Registration {
        username: user_id,
        email: None,
        secret: password_hash,
        public_key: Some(public_key),
    };
    let user = users::register(app, registration).await?;
    Ok(success(
        "Registration successful",
        json!({ "user_id": user.username }),
    ))
}

#[derive(Deserialize)]
struct Login {
    user_id: String,
    password_hash: String,
}

/// message_store §2; the reply holds a token besides.
#[post("/auth/login", data = "<body>")]
pub(super) async fn login(app: &AppState, caller: Caller, mut body: Body) -> Answer {
    let Login {
        user_id,
        password_hash,
    } = body.json()?;
    check_hash("password_hash", &password_hash)?;
    let username = users::parse_username(&user_id)?;
    let (user, token) = users::log_in(app, &username, password_hash, caller.peer.ip).await?;
    Ok(success(
        "Login successful",
        json!({ "user_id": user.username, "token": token.text, "expires_in": token.expires_in_secs }),
    ))
}

/// message_store §3.
#[get("/auth/public_key?<user_id>")]
pub(super) fn public_key(app: &AppState, user_id: Option<&str>) -> Answer {
    let user_id =
        user_id.ok_or_else(|| Failure::bad_field("user_id", "is missing in the query"))?;
    let username = users::parse_username(user_id)?;
    let public_key = keys::public_key(app, users::id_by_username(app, &username)?)?;
    Ok(success(
        "Public key retrieved successfully",
        json!({ "user_id": username, "public_key": public_key }),
    ))
}

#[derive(Deserialize)]
struct ChangePassword {
    user_id: String,
    current_password_hash: String,
    new_password_hash: String,
}

/// message_store §4.
#[post("/auth/change_password", data = "<body>")]
pub(super) async fn change_password(app: &AppState, caller: Caller, mut body: Body) -> Answer {
    let ChangePassword {
        user_id,
        current_password_hash,
        new_password_hash,
    } = body.json()?;
    check_hash("current_password_hash", &current_password_hash)?;
    check_hash("new_password_hash", &new_password_hash)?;
    let actor = caller.acting_as(app, &user_id)?;
    let changed = users::change_password(
        app,
        &actor.username,
        current_password_hash,
        new_password_hash,
        actor.session,
        caller.peer.ip,
    );
    match changed.await {
        Ok(()) => Ok(done("Password changed successfully")),
        Err(Error::BadCredentials) => Err(Failure::new(
            rocket::http::Status::Unauthorized,
            "Invalid password",
        )),
        Err(other) => Err(other.into()),
    }
}

fn check_hash(field: &str, hash: &str) -> Result<(), Failure> {
    if hash.is_empty() {
        return Err(Failure::bad_field(field, "must not be empty"));
    }
    if hash.len() > LONGEST_HASH_BYTES {
        return Err(Failure::bad_field(
            field,
            &format!("must have at most {LONGEST_HASH_BYTES} bytes"),
        ));
    }
    Ok(())
}
