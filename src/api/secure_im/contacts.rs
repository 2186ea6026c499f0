//! `/me/contacts`: added at once by name, or asked by id; the friendships are everybody's.

use std::collections::HashMap;

use rocket::http::Status;
use rocket::{delete, get, post, put};
use serde::Serialize;

use super::fields::{Fields, id_in_path};
use super::whereabouts::{Reachable, reachable};
use super::{Answer, Failure};
use crate::api::http::{AppState, Bearer, Body, Reply, WRITE_BYTES};
use crate::api::listing::{Array, Listing};
use crate::app::App;
use crate::config::ConnectionInfo;
use crate::contacts::{self, Contact};
use crate::error::Error;
use crate::model::{FriendRequest, Instant, Session, User, UserId};
use crate::users;

/// How many users of a list are looked up at once: the public key of each may have 64 KiB.
const ROWS_AT_ONCE: usize = 16;

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

/// What a list shows of a contact or a request beside the other's own row.
struct Tie {
    user: UserId,
    friend: UserId,
    status: &'static str,
    created_at: Instant,
}

impl Tie {
    /// With one who was added by `user`.
    fn accepted(user: UserId, contact: &Contact) -> Self {
        Tie {
            user,
            friend: contact.id,
            status: "accepted",
            created_at: contact.created_at,
        }
    }

    /// With one who asks, or who is asked.
    fn pending(request: &FriendRequest) -> Self {
        Tie {
            user: request.from_id,
            friend: request.to_id,
            status: "pending",
            created_at: request.created_at,
        }
    }

    fn shown(self, app: &App, other: User) -> Shown {
        Shown {
            is_online: app.presence.is_online(other.id),
            id: other.id,
            username: other.username,
            public_key: other.public_key,
            friend_id: self.friend,
            user_id: self.user,
            status: self.status,
            created_at: self.created_at.to_seconds_text(),
        }
    }
}

/// A list of users, each shown with what is known of them already.
fn listing<T: Send + 'static, S: Serialize>(
    app: &AppState,
    session: Session,
    others: Vec<(UserId, T)>,
    show: impl Fn(T, &App, User) -> S + Send + 'static,
) -> Result<Listing, Failure> {
    app.outgoing.check()?;
    let mut others = others.into_iter();
    let mut list = Array::default();
    let listing = Listing::new(app, Some(session), move |app, out| {
        while out.len() < WRITE_BYTES && others.len() > 0 {
            let some: Vec<(UserId, T)> = others.by_ref().take(ROWS_AT_ONCE).collect();
            let ids: Vec<UserId> = some.iter().map(|(id, _)| *id).collect();
            let rows = users::list_users(app, &ids)?;
            let keys = rows.iter().filter_map(|row| row.public_key.as_ref());
            let _made = app.outgoing.make(keys.map(String::len).sum())?;
            let rows = rows.into_iter();
            let mut rows: HashMap<UserId, User> = rows.map(|row| (row.id, row)).collect();
            for (id, known) in some {
                let Some(row) = rows.remove(&id) else {
                    continue;
                };
                list.put(out, &show(known, app, row));
            }
        }
        let has_more = others.len() > 0;
        if !has_more {
            list.end(out);
        }
        Ok(has_more)
    });
    Ok(listing?)
}

/// secure_im §2.1: by name, at once and one way. By id, a request that waits for its answer.
#[post("/me/contacts", data = "<body>")]
pub(super) async fn add(app: &AppState, bearer: Bearer, mut body: Body) -> Answer {
    let user = bearer.session(app)?.user;
    let mut fields = Fields::of_json(&mut body)?;
    if fields.has("friend_id") && !fields.has("friend_username") {
        let friend = UserId(fields.integer("friend_id"));
        fields.check()?;
        let request = contacts::ask(app, user, friend, String::new()).await?;
        let asked = Tie::pending(&request).shown(app, users::user_by_id(app, friend)?);
        return Ok(Reply::json(Status::Accepted, &asked));
    }
    let friend = fields.text("friend_username");
    fields.check()?;
    let friend = users::parse_username(&friend).map_err(|_| Error::UnknownUser)?;
    let friend = users::id_by_username(app, &friend)?;
    let contact = contacts::add(app, user, friend).await?;
    accepted(app, user, &contact)
}

/// A contact of `user`'s, as an answer.
fn accepted(app: &App, user: UserId, contact: &Contact) -> Answer {
    let other = users::user_by_id(app, contact.id)?;
    let shown = Tie::accepted(user, contact).shown(app, other);
    Ok(Reply::json(Status::Ok, &shown))
}

/// secure_im §2.2: everybody whom the caller has added, in that order.
#[get("/me/contacts")]
pub(super) fn list(app: &AppState, bearer: Bearer) -> Result<Listing, Failure> {
    let session = bearer.session(app)?;
    let contacts = contacts::list_contacts(app, session.user)?.into_iter();
    let ties = contacts.map(|contact| (contact.id, Tie::accepted(session.user, &contact)));
    listing(app, session, ties.collect(), Tie::shown)
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
pub(super) fn list_online(app: &AppState, bearer: Bearer) -> Result<Listing, Failure> {
    let session = bearer.session(app)?;
    let contacts = contacts::list_contacts(app, session.user)?.into_iter();
    let online = contacts.filter(|contact| app.presence.is_online(contact.id));
    // Somebody added one way has not agreed to be found.
    let is_for_everyone = app.config.connection_info == ConnectionInfo::Everyone;
    let online = online.map(|contact| (contact.id, contact.is_mutual || is_for_everyone));
    listing(app, session, online.collect(), |may_see, app, user| {
        Online {
            username: user.username.clone(),
            reachable: reachable(app, user, may_see),
        }
    })
}

/// The requests that wait for the caller's answer, oldest first.
#[get("/me/contacts/pending")]
pub(super) fn list_pending(app: &AppState, bearer: Bearer) -> Result<Listing, Failure> {
    let session = bearer.session(app)?;
    let requests = contacts::list_requests_to(app, session.user)?.into_iter();
    let ties = requests.map(|(request, _)| (request.from_id, Tie::pending(&request)));
    listing(app, session, ties.collect(), Tie::shown)
}

/// Accepts the request of the user with this id.
#[put("/me/contacts/<friend_id>")]
pub(super) async fn accept(app: &AppState, bearer: Bearer, friend_id: &str) -> Answer {
    let user = bearer.session(app)?.user;
    let friend = UserId(id_in_path("friend_id", friend_id)?);
    let contact = contacts::accept_from(app, user, friend).await?;
    accepted(app, user, &contact)
}

/// Ends what there is between the caller and another: contacts both ways, requests either way.
#[delete("/me/contacts/<friend_id>")]
pub(super) async fn remove(app: &AppState, bearer: Bearer, friend_id: &str) -> Answer {
    let user = bearer.session(app)?.user;
    let friend = UserId(id_in_path("friend_id", friend_id)?);
    contacts::remove_both(app, user, friend).await?;
    Ok(Reply::empty(Status::NoContent))
}
