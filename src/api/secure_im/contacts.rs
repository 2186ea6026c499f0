//! `/me/contacts`: added at once by name, or asked by id; the friendships are everybody's.

use rocket::http::Status;
use rocket::{delete, get, post, put};
use serde::Serialize;

use super::Answer;
use super::fields::{Fields, id_in_path};
use super::whereabouts::{Reachable, reachable};
use crate::api::http::{AppState, Bearer, Body, Reply};
use crate::app::App;
use crate::config::ConnectionInfo;
use crate::contacts::{self, Contact};
use crate::error::Error;
use crate::model::{FriendRequest, Instant, User, UserId};
use crate::users;

/// A contact, or a request that may become one: `id` and `username` are the other's.
#[derive(Serialize)]
struct Shown {
    id: UserId,
    username: String,
    is_online: bool,
    public_key: Option<String>,
    friend_id: UserId,
    user_id: UserId,
    status: &'static str,
    created_at: String,
}

/// One who was added by `user`.
fn accepted(app: &App, user: UserId, contact: Contact) -> Shown {
    let other = contact.user.id;
    shown(
        app,
        contact.user,
        (user, other),
        "accepted",
        contact.created_at,
    )
}

/// A request, shown to one of the two; `other` is the other one.
fn pending(app: &App, request: &FriendRequest, other: User) -> Shown {
    let both = (request.from_id, request.to_id);
    shown(app, other, both, "pending", request.created_at)
}

fn shown(
    app: &App,
    other: User,
    (user_id, friend_id): (UserId, UserId),
    status: &'static str,
    created_at: Instant,
) -> Shown {
    Shown {
        is_online: app.presence.is_online(&app.hub, other.id),
        id: other.id,
        username: other.username,
        public_key: other.public_key,
        friend_id,
        user_id,
        status,
        created_at: created_at.to_seconds_text(),
    }
}

/// secure_im §2.1: by name, at once and one way. By id, a request that waits for its answer.
#[post("/me/contacts", data = "<body>")]
pub(super) async fn add(app: &AppState, bearer: Bearer, body: Body) -> Answer {
    let user = bearer.session(app)?.user;
    let mut fields = Fields::of_json(body)?;
    if fields.has("friend_id") && !fields.has("friend_username") {
        let friend = UserId(fields.integer("friend_id"));
        fields.check()?;
        let request = contacts::ask(app, user, friend, String::new()).await?;
        let asked = pending(app, &request, users::user_by_id(app, friend)?);
        return Ok(Reply::json(Status::Accepted, &asked));
    }
    let friend = fields.text("friend_username");
    fields.check()?;
    let friend = users::parse_username(&friend).map_err(|_| Error::UnknownUser)?;
    let friend = users::id_by_username(app, &friend)?;
    let contact = contacts::add(app, user, friend).await?;
    Ok(Reply::json(Status::Ok, &accepted(app, user, contact)))
}

/// secure_im §2.2: everybody whom the caller has added, in that order.
#[get("/me/contacts")]
pub(super) fn list(app: &AppState, bearer: Bearer) -> Answer {
    let user = bearer.session(app)?.user;
    let contacts = contacts::list_contacts(app, user)?;
    let shown = contacts
        .into_iter()
        .map(|contact| accepted(app, user, contact));
    Ok(Reply::json(Status::Ok, &shown.collect::<Vec<_>>()))
}

/// A contact who is online.
#[derive(Serialize)]
struct Online {
    username: String,
    #[serde(flatten)]
    reachable: Reachable,
}

/// secure_im §2.3: those of them who are online, and where.
#[get("/me/contacts/online")]
pub(super) fn list_online(app: &AppState, bearer: Bearer) -> Answer {
    let user = bearer.session(app)?.user;
    let contacts = contacts::list_contacts(app, user)?.into_iter();
    let online = contacts.filter(|contact| app.presence.is_online(&app.hub, contact.user.id));
    let shown = online.map(|contact| {
        // Somebody added one way has not agreed to be found.
        let may_see = contact.is_mutual || app.config.connection_info == ConnectionInfo::Everyone;
        Online {
            username: contact.user.username.clone(),
            reachable: reachable(app, contact.user, may_see),
        }
    });
    Ok(Reply::json(Status::Ok, &shown.collect::<Vec<_>>()))
}

/// The requests that wait for the caller's answer, oldest first.
#[get("/me/contacts/pending")]
pub(super) fn list_pending(app: &AppState, bearer: Bearer) -> Answer {
    let user = bearer.session(app)?.user;
    let asked = contacts::list_requests_to(app, user)?.into_iter();
    let shown = asked.map(|asked| pending(app, &asked.request, asked.from));
    Ok(Reply::json(Status::Ok, &shown.collect::<Vec<_>>()))
}

/// Accepts the request of the user with this id.
#[put("/me/contacts/<friend_id>")]
pub(super) async fn accept(app: &AppState, bearer: Bearer, friend_id: &str) -> Answer {
    let user = bearer.session(app)?.user;
    let friend = UserId(id_in_path("friend_id", friend_id)?);
    let contact = contacts::accept_from(app, user, friend).await?;
    Ok(Reply::json(Status::Ok, &accepted(app, user, contact)))
}

/// Ends what there is between the caller and another: contacts both ways, requests either way.
#[delete("/me/contacts/<friend_id>")]
pub(super) async fn remove(app: &AppState, bearer: Bearer, friend_id: &str) -> Answer {
    let user = bearer.session(app)?.user;
    let friend = UserId(id_in_path("friend_id", friend_id)?);
    contacts::remove_both(app, user, friend).await?;
    Ok(Reply::empty(Status::NoContent))
}
