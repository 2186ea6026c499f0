//! Who calls, as whom they may act (contract §Who may call), and whom else they name.

use rocket::http::Status;
use rocket::request::{FromRequest, Outcome, Request};

use super::Failure;
use crate::api::http::Bearer;
use crate::api::peer::Peer;
use crate::api::socket;
use crate::app::App;
use crate::error::{Error, Result};
use crate::hub::{Channel, Subscriber, Subscription};
use crate::model::{Session, UserId};
use crate::users;
use crate::users::tokens;

/// What a request says of its sender; nothing is checked yet. Never shown: it holds a token.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) peer: Peer,
    pub(super) token: Option<String>,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Caller {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let (Outcome::Success(peer), Outcome::Success(Bearer(token))) = (
            request.guard::<Peer>().await,
            request.guard::<Bearer>().await,
        ) else {
            return Outcome::Forward(Status::InternalServerError);
        };
        Outcome::Success(Caller { peer, token })
    }
}

/// A user on whose behalf a call may be made.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) id: UserId,
    pub(super) username: String,
    /// Absent where no token was needed.
    pub(super) session: Option<Session>,
}

impl Actor {
    /// Begins to listen for the user, for as long as their token is good.
    ///
    /// Errors: [`Error::InvalidToken`] if it was ended meanwhile.
    pub(super) fn listen(&self, app: &App, channel: Channel) -> Result<Subscription> {
        let username = self.username.clone();
        match &self.session {
            Some(session) => socket::listen(app, session, username, channel),
            None => Ok(app.hub.subscribe(Subscriber {
                user: self.id,
                username,
                session: None,
                channel,
                room: None,
            })),
        }
    }
}

impl Caller {
    /// The session of the token, if one was sent; it is always checked.
    pub(super) fn session(&self, app: &App) -> Result<Option<Session>> {
        self.token
            .as_deref()
            .map(|token| tokens::check(app, token))
            .transpose()
    }

    /// The user that the call names, if the caller may act as that user.
    ///
    /// Errors: [`Error::NoToken`] and those of [`tokens::check`], [`Error::UnknownUser`],
    /// [`Error::Forbidden`] for another user's token.
    pub(super) fn acting_as(&self, app: &App, user_id: &str) -> Result<Actor, Failure> {
        let username = users::parse_username(user_id)?;
        let session = self.session(app)?;
        if session.is_none() && !self.peer.is_trusted(app.config.auth) {
            return Err(Error::NoToken.into());
        }
        let id = users::id_by_username(app, &username)?;
        if session.is_some_and(|session| session.user != id) {
            return Err(Error::Forbidden.into());
        }
        Ok(Actor {
            id,
            username,
            session,
        })
    }
}

/// The acting user that a call names, in its body or in the query.
pub(super) fn stated_user(user_id: Option<&str>) -> Result<&str, Failure> {
    user_id.ok_or_else(|| Failure::bad_field("user_id", "is missing"))
}

/// Another user whom a call names in `field`.
pub(super) fn named_user(app: &App, field: &str, user_id: &str) -> Result<UserId, Failure> {
    let username = users::parse_username(user_id).map_err(|cause| match cause {
        Error::Invalid { problem, .. } => Failure::bad_field(field, &problem),
        other => other.into(),
    })?;
    Ok(users::id_by_username(app, &username)?)
}
