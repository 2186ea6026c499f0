//! Mechanics that the HTTP APIs share. Holds no word that any API publishes.

use std::borrow::Cow;
use std::io::Cursor;
use std::sync::Arc;

use rocket::http::{ContentType, Header, Status};
use rocket::request::{FromRequest, Outcome, Request};
use rocket::response::{self, Responder, Response};
use serde::Serialize;

pub(crate) use super::body::{Body, BodyProblem, PATIENCE, parse_json};
use super::outlet;
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::Session;
use crate::outgoing::UNCOUNTED_BYTES;
use crate::users::tokens;

/// The application, as Rocket hands it to routes.
pub(crate) type AppState = rocket::State<Arc<App>>;

/// How much of a body is written at once. To be set after the body, which brings Rocket's own size
/// along: 4 KiB, of which an answer of some 10 KiB takes several writes and packets.
pub(crate) const WRITE_BYTES: usize = 64 << 10;

/// A complete answer: status, headers, body. It is its receiver's alone unless it says otherwise:
/// not every API has its tokens where caches look for them.
#[derive(Debug)]
pub(crate) struct Reply {
    status: Status,
    content_type: ContentType,
    headers: Vec<Header<'static>>,
    body: Cow<'static, [u8]>,
}

impl Reply {
    /// A JSON answer.
    pub(crate) fn json(status: Status, body: &impl Serialize) -> Self {
        let text = serde_json::to_vec(body).expect("replies are made of plain data");
        Reply::raw(status, ContentType::JSON, text)
    }

    /// The same of what is made of messages: see [`put_json`].
    pub(crate) fn of_messages(status: Status, body: &impl Serialize) -> Self {
        let mut text = Vec::new();
        put_json(&mut text, body);
        Reply::raw(status, ContentType::JSON, text)
    }

    /// Any answer.
    pub(crate) fn raw(
        status: Status,
        content_type: ContentType,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Reply {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: Status) -> Self {
        Reply::raw(status, ContentType::JSON, Vec::new())
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push(Header::new(name, value.into()));
        self
    }

    /// Says when to try again, if that is known.
    #[must_use]
    pub(crate) fn with_retry_after(self, secs: Option<u64>) -> Self {
        match secs {
            Some(secs) => self.with_header("Retry-After", secs.to_string()),
            None => self,
        }
    }
}

impl<'r> Responder<'r, 'static> for Reply {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build();
        response.status(self.status);
        if self.status != Status::NoContent {
            response.header(self.content_type);
        }
        let mut may_be_kept = false;
        for header in self.headers {
            may_be_kept |= header.name() == "Cache-Control";
            response.header(header);
        }
        if !may_be_kept {
            response.header(Header::new("Cache-Control", "no-store"));
        }
        let length = self.body.len();
        match self.body {
            Cow::Owned(body) if length > UNCOUNTED_BYTES => {
                let app = request.rocket().state::<Arc<App>>();
                let app = app.expect("every server has its App");
                let body = outlet::body(&app.outgoing, length, async move |mut outlet| {
                    outlet.write(&body).await
                });
                response
                    .raw_header("Content-Length", length.to_string())
                    .streamed_body(body);
            }
            body => {
                response.sized_body(length, Cursor::new(body));
            }
        }
        response.max_chunk_size(length.clamp(1, WRITE_BYTES)).ok()
    }
}

/// Appends JSON, for what is made of messages: text is looked through for what needs an escape by
/// 32 bytes at a time, where `serde_json` goes byte by byte. It knows no `RawValue`.
pub(crate) fn put_json(out: &mut Vec<u8>, value: &impl Serialize) {
    sonic_rs::to_writer(out, value).expect("answers are made of plain data");
}

/// Logs what is our fault, once, where the reply is made.
pub(crate) fn log_if_internal(error: &Error) {
    if error.is_internal() {
        tracing::error!(cause = %error, "a request failed");
    }
}

/// Whether a browser's page of this origin may call: it is our own, or configured. Requests
/// without `Origin` come from no page.
pub(crate) fn is_origin_allowed(app: &App, request: &Request<'_>) -> bool {
    let Some(origin) = request.headers().get_one("Origin") else {
        return true;
    };
    let is_own = request.headers().get_one("Host").is_some_and(|host| {
        origin
            .split_once("://")
            .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    is_own
        || app
            .config
            .allowed_origins
            .iter()
            .any(|allowed| allowed == "*" || allowed == origin)
}

/// A token as it was sent, not yet checked; empty if it was a credential of another scheme. Never
/// shown.
#[derive(Clone)]
pub(crate) struct Bearer(pub(crate) Option<String>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Bearer {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let mut headers = request.headers().get("Authorization");
        let token = headers.next().map(|header| match header.split_once(' ') {
            Some((scheme, token))
                if scheme.eq_ignore_ascii_case("bearer") && headers.next().is_none() =>
            {
                token.trim().to_owned()
            }
            // Any other scheme is a credential that is not ours, and two are one too many: sent,
            // hence checked, hence refused.
            _ => String::new(),
        });
        Outcome::Success(Bearer(token))
    }
}

impl Bearer {
    /// The session behind the token. Errors: [`Error::NoToken`], also for a credential that is
    /// none, and those of [`tokens::check`].
    pub(crate) fn session(&self, app: &App) -> Result<Session> {
        let token = self.0.as_deref().filter(|token| !token.is_empty());
        tokens::check(app, token.ok_or(Error::NoToken)?)
    }
}

/// The other methods that some route has for the path of a request that no route took.
pub(crate) fn other_methods(request: &Request<'_>) -> Vec<&'static str> {
    let path: Vec<&str> = request
        .uri()
        .path()
        .as_str()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let mut methods: Vec<&str> = request
        .rocket()
        .routes()
        .filter(|route| route.method != request.method() && is_match(route.uri.path(), &path))
        .map(|route| route.method.as_str())
        .collect();
    methods.sort_unstable();
    methods.dedup();
    methods
}

/// Whether a route's path, with `<parameters>`, matches a path's segments.
fn is_match(route: &str, path: &[&str]) -> bool {
    let route: Vec<&str> = route.split('/').filter(|part| !part.is_empty()).collect();
    let takes_rest = route.last().is_some_and(|last| last.ends_with("..>"));
    let has_length = if takes_rest {
        path.len() + 1 >= route.len()
    } else {
        path.len() == route.len()
    };
    let mut parts = route.iter().zip(path);
    has_length && parts.all(|(wanted, part)| wanted.starts_with('<') || wanted == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_writes_it(text in "(?s)[\x00-\x7f]{0,80}.{0,8}") {
            let mut out = Vec::new();
            put_json(&mut out, &text);
            proptest::prop_assert_eq!(out, serde_json::to_vec(&text).expect("text"));
        }
    }

    #[test]
    fn a_route_matches_by_its_segments() {
        assert!(is_match(
            "/messages/message/<id>",
            &["messages", "message", "7"]
        ));
        assert!(!is_match(
            "/messages/message/<id>",
            &["messages", "message"]
        ));
        assert!(is_match("/docs/<path..>", &["docs", "a", "b"]));
    }
}
