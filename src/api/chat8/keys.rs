//! `/encryption`: the key directory, and the caller's own pair for a new device.

use rocket::{get, post};
use serde::{Deserialize, Serialize};

use super::wording::Failure;
use super::{Answer, done, id_in_path, success};
use crate::api::http::{AppState, Bearer, Body};
use crate::model::UserId;
use crate::users::keys::{self, KeyPair};

#[derive(Serialize)]
struct PublicKey {
    user_id: i64,
    public_key: String,
}

/// Anybody's public key.
#[get("/encryption/public-key/<user_id>")]
pub(super) fn public_key(app: &AppState, bearer: Bearer, user_id: &str) -> Answer {
    bearer.session(app)?;
    let user_id = id_in_path("user_id", user_id)?;
    Ok(success(PublicKey {
        user_id,
        public_key: keys::public_key(app, UserId(user_id))?,
    }))
}

#[derive(Deserialize, Serialize)]
struct Pair {
    public_key: String,
    private_key_encrypted: Option<String>,
}

/// The caller's own pair, as it was stored.
#[get("/encryption/keys")]
pub(super) fn show(app: &AppState, bearer: Bearer) -> Answer {
    let session = bearer.session(app)?;
    let pair = keys::key_pair(app, session.user)?;
    Ok(success(Pair {
        public_key: pair.public_key,
        private_key_encrypted: pair.sealed_private_key,
    }))
}

/// Replaces the caller's pair. The private key comes sealed; the server cannot open it.
#[post("/encryption/keys", data = "<body>")]
pub(super) async fn store(app: &AppState, bearer: Bearer, mut body: Body) -> Answer {
    let session = bearer.session(app)?;
    let Pair {
        public_key,
        private_key_encrypted,
    } = body.json()?;
    let sealed = private_key_encrypted
        .ok_or_else(|| Failure::invalid("private_key_encrypted", "is missing"))?;
    keys::store(
        app,
        session.user,
        KeyPair {
            public_key,
            sealed_private_key: Some(sealed),
        },
    )
    .await?;
    Ok(done("密钥对已更新"))
}
