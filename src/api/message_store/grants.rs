//! Granting and revoking (contract §Grants).

use rocket::http::Status;
use rocket::{delete, get, post};
use serde::{Deserialize, Serialize};

use super::caller::{Caller, named_user, stated_user};
use super::{Answer, Failure, done, optional, parse_message_id};
use crate::api::http::{AppState, Body, Reply};
use crate::messages::permissions::{self, Grant};
use crate::model::Access;
use crate::users;

/// The field that names whose permission is meant.
const TARGET: &str = "target_user_id";

#[derive(Deserialize)]
struct Granting {
    user_id: String,
    target_user_id: String,
    permission_type: String,
    encrypted_content: Option<String>,
}

/// message_store §8, with content sealed again for the grantee if there is some.
#[post("/messages/message/<message_id>/permission", data = "<body>")]
pub(super) async fn grant(
    app: &AppState,
    caller: Caller,
    message_id: &str,
    mut body: Body,
) -> Answer {
    let id = parse_message_id(message_id)?;
    let Granting {
        user_id,
        target_user_id,
        permission_type,
        encrypted_content,
    } = body.json()?;
    let access = Access::parse(&permission_type)
        .ok_or_else(|| Failure::bad_field("permission_type", "must be read, write or admin"))?;
    let granter = caller.acting_as(app, &user_id)?;
    permissions::check_may_share(app, granter.id, id)?;
    let grant = Grant {
        message: id,
        granter: granter.id,
        granter_name: granter.username,
        grantee: named_user(app, TARGET, &target_user_id)?,
        access,
        content: encrypted_content,
    };
    permissions::grant(app, grant).await?;
    Ok(done("Permission granted successfully"))
}

#[derive(Default, Deserialize)]
struct Revoking {
    user_id: Option<String>,
    target_user_id: Option<String>,
}

/// message_store §9; the fields may also stand in the query, since proxies drop `DELETE` bodies.
#[delete(
    "/messages/message/<message_id>/permission?<user_id>&<target_user_id>",
    data = "<body>"
)]
pub(super) async fn revoke(
    app: &AppState,
    caller: Caller,
    message_id: &str,
    user_id: Option<&str>,
    target_user_id: Option<&str>,
    mut body: Body,
) -> Answer {
    let id = parse_message_id(message_id)?;
    let in_body: Revoking = optional(&mut body, user_id.is_some() || target_user_id.is_some())?;
    let revoker = caller.acting_as(app, stated_user(in_body.user_id.as_deref().or(user_id))?)?;
    let holder = in_body.target_user_id.as_deref().or(target_user_id);
    let holder = holder.ok_or_else(|| Failure::bad_field(TARGET, "is missing"))?;
    let is_own = users::parse_username(holder).is_ok_and(|name| name == revoker.username);
    permissions::check_may_revoke(app, revoker.id, is_own, id)?;
    permissions::revoke(app, revoker.id, named_user(app, TARGET, holder)?, id).await?;
    Ok(done("Permission revoked successfully"))
}

#[derive(Serialize)]
struct Permissions {
    status: &'static str,
    permissions: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    user_id: String,
    permission_type: &'static str,
    /// Absent for the recipient, to whom it was sent rather than granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    granted_by: Option<String>,
    granted_at: String,
    received: bool,
}

/// Everybody's permissions on one message.
#[get("/messages/message/<message_id>/permissions?<user_id>")]
pub(super) fn list(
    app: &AppState,
    caller: Caller,
    message_id: &str,
    user_id: Option<&str>,
) -> Answer {
    let id = parse_message_id(message_id)?;
    let reader = caller.acting_as(app, stated_user(user_id)?)?;
    app.outgoing.check()?;
    let listed = permissions::list(app, reader.id, id)?
        .into_iter()
        .map(|named| Listed {
            user_id: named.holder,
            permission_type: named.permission.access.as_str(),
            granted_by: named.granted_by,
            granted_at: named.permission.granted_at.to_seconds_text(),
            received: named.permission.received,
        });
    Ok(Reply::json(
        Status::Ok,
        &Permissions {
            status: "success",
            permissions: listed.collect(),
        },
    ))
}
