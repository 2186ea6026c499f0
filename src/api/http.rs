//! Mechanics that the HTTP APIs share. Holds no word that any API publishes.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use rocket::data::{Data, DataStream, FromData, Outcome as DataOutcome, ToByteUnit};
use rocket::http::{ContentType, Header, Method, Status};
use rocket::request::{FromRequest, Outcome, Request};
use rocket::response::{self, Responder, Response};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::io::AsyncReadExt;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::object::Object;
use crate::app::{App, BODY_PIECE_BYTES, BODY_PIECES};
use crate::error::{Error, Result};
use crate::model::Session;
use crate::users::tokens;

/// The application, as Rocket hands it to routes.
pub(crate) type AppState = rocket::State<Arc<App>>;

/// How much of a body is written at once. To be set after the body, which brings Rocket's own size
/// along: 4 KiB, of which an answer of some 10 KiB takes several writes and packets.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// A complete answer: status, headers, body.
#[derive(Debug)]
pub(crate) struct Reply {
    status: Status,
    content_type: ContentType,
    headers: Vec<Header<'static>>,
    body: Vec<u8>,
}

impl Reply {
    /// A JSON answer.
    pub(crate) fn json(status: Status, body: &impl Serialize) -> Self {
        let text = serde_json::to_vec(body).expect("replies are made of plain data");
        Reply::raw(status, ContentType::JSON, text)
    }

    /// Any answer.
    pub(crate) fn raw(status: Status, content_type: ContentType, body: Vec<u8>) -> Self {
        Reply {
            status,
            content_type,
            headers: Vec::new(),
            body,
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
}

impl<'r> Responder<'r, 'static> for Reply {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build();
        response.status(self.status);
        if self.status != Status::NoContent {
            response.header(self.content_type);
        }
        for header in self.headers {
            response.header(header);
        }
        let length = self.body.len();
        response
            .sized_body(length, Cursor::new(self.body))
            .max_chunk_size(length.clamp(1, CHUNK_BYTES))
            .ok()
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

/// A request body, whatever its Content-Type says; bounded.
pub(crate) struct Body(Result<Vec<u8>, BodyProblem>);

/// How long a client may be silent in the middle of a body.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyProblem {
    /// Larger than anything that could be valid.
    TooLarge {
        /// The most that is read.
        limit_bytes: u64,
    },
    /// It ended early, or did not go on.
    Broken,
    /// Too many other large ones were coming in.
    NoRoom,
    /// Not JSON, or not UTF-8; the text says where.
    Unreadable(String),
    /// JSON, but a field is missing or of a wrong type.
    Field {
        /// Its name, or a path into the document; empty for the document itself.
        field: String,
        /// What is wrong with it, to be read after the name.
        problem: String,
        /// It is not there at all.
        is_missing: bool,
    },
}

impl Body {
    /// The bytes as they came.
    pub(crate) fn bytes(self) -> Result<Vec<u8>, BodyProblem> {
        self.0
    }

    /// Reads JSON; unknown fields are ignored, of repeated ones none is taken.
    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<T, BodyProblem> {
        parse_json(&self.0?)
    }
}

#[rocket::async_trait]
impl<'r> FromData<'r> for Body {
    type Error = std::convert::Infallible;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> DataOutcome<'r, Self> {
        let app = request
            .rocket()
            .state::<Arc<App>>()
            .expect("every server has its App");
        // JSON may take six bytes for one and usually up to three (`\u4f60`).
        let limit_bytes = app.config.max_content_bytes * 3 + (64 << 10);
        // What is over the limit is read and dropped, up to as much again: a client that is cut off
        // while it writes never sees the answer.
        let mut stream = data.open((limit_bytes * 2).bytes());
        let length = request.headers().get_one("Content-Length");
        let announced = length.and_then(|length| length.parse().ok());
        let most_bytes = announced.map_or(limit_bytes, |bytes: u64| bytes.min(limit_bytes));
        let body = read_body(app, &mut stream, limit_bytes, most_bytes).await;
        DataOutcome::Success(Body(body))
    }
}

/// Reads a body of which `most_bytes` may come, and `limit_bytes` are taken.
async fn read_body(
    app: &App,
    stream: &mut DataStream<'_>,
    limit_bytes: u64,
    most_bytes: u64,
) -> Result<Vec<u8>, BodyProblem> {
    let most_at_first =
        usize::try_from(most_bytes).map_or(BODY_PIECE_BYTES, |bytes| bytes.min(BODY_PIECE_BYTES));
    // One byte more, so that the end is seen without another allocation.
    let mut bytes = Vec::with_capacity(most_at_first + 1);
    let mut room = None;
    let mut first = stream.take(limit_bytes + 1);
    loop {
        match timeout(PATIENCE, first.read_buf(&mut bytes)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return Err(BodyProblem::Broken),
        }
        if bytes.len() > BODY_PIECE_BYTES && room.is_none() {
            room = Some(room_for(app, most_bytes).await?);
        }
    }
    if bytes.len() as u64 <= limit_bytes {
        return Ok(bytes);
    }
    // Whether it goes on or breaks off, the answer is the same.
    let mut nowhere = tokio::io::sink();
    let _ = timeout(PATIENCE, tokio::io::copy(stream, &mut nowhere)).await;
    Err(BodyProblem::TooLarge { limit_bytes })
}

/// Waits for room for a body, for as long as a client may be silent.
async fn room_for(app: &App, most_bytes: u64) -> Result<SemaphorePermit<'_>, BodyProblem> {
    let pieces = usize::try_from(most_bytes).map_or(BODY_PIECES, |bytes| bytes / BODY_PIECE_BYTES);
    let pieces = u32::try_from(pieces.min(BODY_PIECES)).unwrap_or(u32::MAX);
    match timeout(PATIENCE, app.body_room.acquire_many(pieces)).await {
        Ok(Ok(room)) => Ok(room),
        Ok(Err(_)) | Err(_) => Err(BodyProblem::NoRoom),
    }
}

/// Reads a JSON object and says which field is wrong.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyProblem> {
    // The plain way first: finding the field costs a second reading, and few requests need it.
    let cause = match serde_json::from_slice(bytes) {
        Ok(Object(value)) => return Ok(value),
        Err(cause) => cause,
    };
    if !cause.is_data() {
        return Err(BodyProblem::Unreadable(cause.to_string()));
    }
    // The reading stopped at the field: what follows may be no JSON at all.
    if let Err(cause) = serde_json::from_slice::<IgnoredAny>(bytes) {
        return Err(BodyProblem::Unreadable(cause.to_string()));
    }
    let deserializer = &mut serde_json::Deserializer::from_slice(bytes);
    let Err(located) = serde_path_to_error::deserialize::<_, Object<T>>(deserializer) else {
        return Err(BodyProblem::Unreadable(cause.to_string()));
    };
    let path = located.path().to_string();
    let text = located.inner().to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    Err(
        match text
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split_once('`'))
        {
            Some((field, _)) => BodyProblem::Field {
                field: field.into(),
                problem: "is missing".into(),
                is_missing: true,
            },
            None => BodyProblem::Field {
                field: if path == "." { String::new() } else { path },
                problem: format!("has a wrong value: {text}"),
                is_missing: false,
            },
        },
    )
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

/// A token as it was sent, not yet checked.
#[derive(Clone, Debug)]
pub(crate) struct Bearer(pub(crate) Option<String>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Bearer {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let header = request.headers().get_one("Authorization");
        let token = header.map(|header| match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                token.trim().to_owned()
            }
            // Any other scheme is a credential that is not ours: sent, hence checked, hence refused.
            _ => String::new(),
        });
        Outcome::Success(Bearer(token))
    }
}

impl Bearer {
    /// The session behind the token. Errors: [`Error::NoToken`] and those of [`tokens::check`].
    pub(crate) fn session(&self, app: &App) -> Result<Session> {
        tokens::check(app, self.0.as_deref().ok_or(Error::NoToken)?)
    }
}

/// The other methods that some route has for the path of a request that no route took.
pub(crate) fn other_methods(request: &Request<'_>) -> Vec<Method> {
    let path: Vec<&str> = request
        .uri()
        .path()
        .as_str()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let mut methods: Vec<Method> = request
        .rocket()
        .routes()
        .filter(|route| route.method != request.method() && is_match(route.uri.path(), &path))
        .map(|route| route.method)
        .collect();
    methods.sort_by_key(|method| method.as_str());
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

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Letter {
        to: String,
        text: String,
    }

    fn problem(json: &str) -> BodyProblem {
        parse_json::<Letter>(json.as_bytes()).expect_err("it is wrong")
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        let missing = problem(r#"{"to": "bob"}"#);
        assert!(
            matches!(missing, BodyProblem::Field { field, is_missing: true, .. } if field == "text")
        );
        let mistyped = problem(r#"{"to": 5, "text": "hi"}"#);
        assert!(
            matches!(mistyped, BodyProblem::Field { field, is_missing: false, .. } if field == "to")
        );
        assert!(matches!(problem("[1]"), BodyProblem::Field { .. }));
        assert!(matches!(
            problem(r#"["bob", "hi"]"#),
            BodyProblem::Field { .. }
        ));
        assert!(matches!(problem(r#"{"to""#), BodyProblem::Unreadable(_)));
        assert!(matches!(problem("\u{0}"), BodyProblem::Unreadable(_)));
    }

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
