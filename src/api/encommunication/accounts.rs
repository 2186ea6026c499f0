//! Registering, logging in, publishing a public key, and the server's own.

use rocket::http::{ContentType, Status};
use rocket::{get, post, put};
use serde::Deserialize;
use serde_json::json;

use super::caller::Caller;
use super::wording::Failure;
use super::{Answer, success};
use crate::api::http::{AppState, Body, Reply};
use crate::api::peer::Peer;
use crate::error::Error;
use crate::users::keys::{self, KeyPair};
use crate::users::{self, Registration, password::secret_of};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Register {
    username: String,
    password: String,
    repassword: String,
    public_key: String,
}

/// The public key is kept byte for byte.
#[post("/register", data = "<body>")]
pub(super) async fn register(app: &AppState, mut body: Body) -> Answer {
    let Register {
        username,
        password,
        repassword,
        public_key,
    } = body.json()?;
    if password.is_empty() {
        return Err(Failure::bad_request("密码不能为空"));
    }
    if password != repassword {
        return Err(Failure::bad_request("两次输入的密码不一致"));
    }
    not_empty(&public_key)?;
    let secret = secret_of(&password);
    let public_key = Some(public_key);
    let registration = Registration {
        username,
        email: None,
        secret,
        public_key,
    };
    let user = users::register(app, registration).await?;
    let data = json!({ "id": user.id, "username": user.username });
    Ok(success("注册成功", data))
}

fn not_empty(public_key: &str) -> Result<(), Failure> {
    if public_key.is_empty() {
        return Err(Failure::bad_request("publicKey 不能为空"));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Publish {
    public_key: String,
}

/// The caller's own public key, for accounts that were made without one that others can seal for.
#[put("/publicKey", data = "<body>")]
pub(super) async fn publish_key(app: &AppState, caller: Caller, mut body: Body) -> Answer {
    let session = caller.session(app)?;
    let Publish { public_key } = body.json()?;
    not_empty(&public_key)?;
    let public_half = KeyPair {
        public_key,
        sealed_private_key: None,
    };
    keys::store(app, session.user, public_half).await?;
    Ok(success("公钥更新成功", ()))
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

#[post("/login", data = "<body>")]
pub(super) async fn login(app: &AppState, peer: Peer, mut body: Body) -> Answer {
    let Login { username, password } = body.json()?;
    // A name that nobody can have fails like one that nobody has.
    let username = users::parse_username(&username).map_err(|_| Error::BadCredentials)?;
    let (user, token) = users::log_in(app, &username, secret_of(&password), peer.ip).await?;
    let data = json!({ "id": user.id, "token": token.text, "username": user.username });
    Ok(success("登录成功", data))
}

/// What clients pin at first contact.
#[get("/server_public.pem")]
pub(super) fn server_public_key(app: &AppState) -> Reply {
    let pem = app.signer.public_pem().as_bytes().to_vec();
    Reply::raw(
        Status::Ok,
        ContentType::new("application", "x-pem-file"),
        pem,
    )
}
