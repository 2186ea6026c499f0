//! Who calls: the token, in the header `token`, as a bearer token, or in the query.

use rocket::http::Status;
use rocket::request::{FromRequest, Outcome, Request};

use crate::api::http::{self, AppState, Bearer};
use crate::error::{Error, Result};
use crate::model::Session;
use crate::users::tokens;

/// What a request says of its sender; nothing is checked yet. Never shown: it holds a token.
#[derive(Clone)]
pub(super) struct Caller {
    token: Option<String>,
    is_origin_allowed: bool,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Caller {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let (Outcome::Success(app), Outcome::Success(Bearer(bearer))) = (
            request.guard::<&AppState>().await,
            request.guard::<Bearer>().await,
        ) else {
            return Outcome::Forward(Status::InternalServerError);
        };
        let header = request.headers().get_one("token").map(str::to_owned);
        let query = || request.query_value::<String>("token").and_then(Result::ok);
        Outcome::Success(Caller {
            token: header.or(bearer).or_else(query),
            is_origin_allowed: http::is_origin_allowed(app, request),
        })
    }
}

impl Caller {
    /// The session behind the token. Errors: [`Error::NoToken`] and those of [`tokens::check`].
    pub(super) fn session(&self, app: &AppState) -> Result<Session> {
        tokens::check(app, self.token.as_deref().ok_or(Error::NoToken)?)
    }

    /// The same for a socket, which pages of foreign origins may not open.
    pub(super) fn session_for_socket(&self, app: &AppState) -> Result<Session> {
        let session = self.session(app)?;
        if self.is_origin_allowed {
            Ok(session)
        } else {
            Err(Error::Forbidden)
        }
    }
}
