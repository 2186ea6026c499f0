//! Finding people, and where they can be reached directly.

use std::net::IpAddr;

use rocket::http::Status;
use rocket::{get, put};
use serde::Serialize;

use super::fields::Fields;
use super::{Answer, Failure};
use crate::api::http::{AppState, Bearer, Body, Reply};
use crate::api::peer::Peer;
use crate::app::App;
use crate::config::ConnectionInfo;
use crate::contacts;
use crate::error::Error;
use crate::model::{Profile, Session, User, UserId};
use crate::presence::Endpoint;
use crate::users::{self, By, tokens};

/// The most that a search finds.
const MOST_FOUND: i64 = 10;

/// The endpoint of a peer who says which port to use, or says nothing of it.
pub(super) fn endpoint(peer: &Peer, port: Option<u16>) -> Option<Endpoint> {
    Some(Endpoint {
        ip: peer.ip?.to_canonical(),
        port: port.or(peer.port)?,
    })
}

/// How to reach a user who is online. Address and port are null as long as they are known by no
/// login or heartbeat of this API.
#[derive(Serialize)]
pub(super) struct Reachable {
    public_key: Option<String>,
    ip_address: Option<String>,
    port: Option<u16>,
}

/// How to reach a user; unless the reader `may_see` it, their key alone.
pub(super) fn reachable(app: &App, user: User, may_see: bool) -> Reachable {
    let endpoint = app.presence.endpoint(user.id).filter(|_| may_see);
    Reachable {
        public_key: user.public_key,
        ip_address: endpoint.map(|endpoint| endpoint.ip.to_string()),
        port: endpoint.map(|endpoint| endpoint.port),
    }
}

/// secure_im §3.1.
#[get("/users/<username>/connection-info", rank = 2)]
pub(super) fn connection_info(app: &AppState, bearer: Bearer, username: &str) -> Answer {
    let asker = bearer.session(app)?.user;
    let username = users::parse_username(username).map_err(|_| Error::UnknownUser)?;
    let user = users::user_by_username(app, &username)?;
    if !app.presence.is_online(user.id) || !may_know(app, asker, user.id)? {
        return Err(Failure::new(Status::NotFound, "用户不在线"));
    }
    Ok(Reply::json(Status::Ok, &reachable(app, user, true)))
}

/// Whether the settings let `asker` know where `user` is.
fn may_know(app: &App, asker: UserId, user: UserId) -> Result<bool, Error> {
    match app.config.connection_info {
        ConnectionInfo::Everyone => Ok(true),
        // Friends have added each other.
        ConnectionInfo::Contacts => Ok(asker == user || contacts::is_contact(app, user, asker)?),
    }
}

/// Notes where a user can be reached by a login, unless that has been ended meanwhile.
pub(super) fn note(app: &App, session: Session, endpoint: Option<Endpoint>) -> Result<(), Error> {
    let Some(endpoint) = endpoint else {
        return Ok(());
    };
    app.presence.note(session, endpoint);
    // An end that came before had nothing to forget yet.
    tokens::check_again(app, &session).inspect_err(|_| {
        app.presence.forget(session.user, Some(session.id));
    })
}

/// Where the sender of a heartbeat is taken to be.
#[derive(Serialize)]
struct Noted {
    id: UserId,
    username: String,
    is_online: bool,
    ip_address: Option<IpAddr>,
    port: Option<u16>,
}

/// Keeps its sender online for two minutes more, at this port.
#[put("/me/connection-info", data = "<body>")]
pub(super) fn heartbeat(app: &AppState, bearer: Bearer, peer: Peer, mut body: Body) -> Answer {
    let session = bearer.session(app)?;
    let mut fields = Fields::of_json(&mut body)?;
    let port = fields.port("port");
    fields.check()?;
    let username = users::username_by_id(app, session.user)?;
    let endpoint = endpoint(&peer, port);
    note(app, session, endpoint)?;
    let noted = Noted {
        id: session.user,
        username,
        is_online: app.presence.is_online(session.user),
        ip_address: endpoint.map(|endpoint| endpoint.ip),
        port: endpoint.map(|endpoint| endpoint.port),
    };
    Ok(Reply::json(Status::Ok, &noted))
}

/// Somebody whom a search has found.
#[derive(Serialize)]
struct Found {
    id: UserId,
    username: String,
    is_online: bool,
}

/// Users whose name contains a text, whatever the case.
#[get("/users/search/<q>")]
pub(super) fn search(app: &AppState, bearer: Bearer, q: &str) -> Answer {
    bearer.session(app)?;
    let found = users::search(app, q, By::Name, None, MOST_FOUND)?;
    let shown = |user: Profile| Found {
        is_online: app.presence.is_online(user.id),
        id: user.id,
        username: user.username,
    };
    let shown: Vec<_> = found.into_iter().map(shown).collect();
    Ok(Reply::json(Status::Ok, &shown))
}
