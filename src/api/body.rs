//! Request bodies: read whole, in bounded memory and time, and parsed.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rocket::data::{Data, DataStream, FromData, Outcome as DataOutcome, ToByteUnit};
use rocket::request::Request;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::http::Bearer;
use super::object::Object;
use super::peer::Peer;
use crate::app::{App, BODY_PIECE_BYTES, BODY_PIECES, STRANGERS_PIECES};
use crate::error::Result;

/// A request body, whatever its Content-Type says; bounded. A large one has its part of an allowance
/// until it is dropped: what a handler has parsed from it takes as much while it waits for the disk.
pub(crate) struct Body(Result<Received, BodyProblem>);

/// The bytes, and what they take of an allowance.
struct Received {
    bytes: Vec<u8>,
    _taken: Option<Taken>,
}

/// A part of an allowance.
struct Taken {
    _pieces: OwnedSemaphorePermit,
    allowance: Arc<Semaphore>,
    /// Until when it is had, whoever else waits.
    due: Instant,
}

impl Taken {
    /// Whether others need it who have waited for long enough. Nothing is left while anybody waits.
    fn is_overdue(&self) -> bool {
        Instant::now() > self.due && self.allowance.available_permits() == 0
    }
}

/// How long a client may be silent in the middle of a body.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a piece of a large body may take beyond that, be the client ever so talkative, once
/// others wait.
const PER_PIECE: Duration = Duration::from_secs(1);

/// What UTF-8 text may begin with.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// How much is said of a wrong value, at its beginning and at its end.
const SHOWN_CHARACTERS: usize = 100;

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
    /// Too many other large ones are coming in, or waited for it to end.
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
    /// Takes the bytes as they came.
    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, BodyProblem> {
        match &mut self.0 {
            Ok(received) => Ok(std::mem::take(&mut received.bytes)),
            Err(problem) => Err(problem.clone()),
        }
    }

    /// Reads JSON; unknown fields are ignored, of repeated ones none is taken.
    pub(crate) fn json<T: DeserializeOwned>(&mut self) -> Result<T, BodyProblem> {
        parse_json(&self.bytes()?)
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
        let stream = data.open((limit_bytes * 2).bytes());
        DataOutcome::Success(Body(receive(app, request, stream, limit_bytes).await))
    }
}

/// Reads a body of which `limit_bytes` are taken.
async fn receive(
    app: &App,
    request: &Request<'_>,
    mut stream: DataStream<'_>,
    limit_bytes: u64,
) -> Result<Received, BodyProblem> {
    let length = request.headers().get_one("Content-Length");
    let announced = length.and_then(|length| length.parse().ok());
    let most_bytes = announced.map_or(limit_bytes, |bytes: u64| bytes.min(limit_bytes));
    let most_bytes = usize::try_from(most_bytes).unwrap_or(usize::MAX);
    // One byte more, so that the end is seen without another allocation.
    let mut bytes = Vec::with_capacity(most_bytes.min(BODY_PIECE_BYTES) + 1);
    let mut taken: Option<Taken> = None;
    let mut first = (&mut stream).take(limit_bytes + 1);
    loop {
        match timeout(PATIENCE, first.read_buf(&mut bytes)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return Err(BodyProblem::Broken),
        }
        match &taken {
            Some(taken) if taken.is_overdue() => return Err(BodyProblem::NoRoom),
            None if bytes.len() > BODY_PIECE_BYTES => {
                let pieces = most_bytes.div_ceil(BODY_PIECE_BYTES);
                let pieces = u32::try_from(pieces).unwrap_or(BODY_PIECES);
                taken = Some(take(app, request, pieces).await?);
            }
            _ => {}
        }
    }
    if bytes.len() as u64 <= limit_bytes {
        return Ok(Received {
            bytes,
            _taken: taken,
        });
    }
    drop((bytes, taken));
    // Whether it goes on or breaks off, the answer is the same.
    let mut nowhere = tokio::io::sink();
    let _ = timeout(PATIENCE, tokio::io::copy(&mut stream, &mut nowhere)).await;
    Err(BodyProblem::TooLarge { limit_bytes })
}

/// Waits until the allowance for large bodies has so many pieces left, for as long as a client may
/// be silent. Whoever has not said who they are shares a smaller one with others such, and takes
/// nothing from those who have.
async fn take(app: &App, request: &Request<'_>, pieces: u32) -> Result<Taken, BodyProblem> {
    let (allowance, most) = if is_known(app, request).await {
        (&app.body_allowance, BODY_PIECES)
    } else {
        (&app.strangers_allowance, STRANGERS_PIECES)
    };
    let pieces = pieces.min(most);
    let room = async {
        // The answer may say all of it back.
        app.outgoing
            .wait_for_room(pieces as usize * BODY_PIECE_BYTES)
            .await;
        allowance.clone().acquire_many_owned(pieces).await
    };
    match timeout(PATIENCE, room).await {
        Ok(Ok(taken)) => Ok(Taken {
            _pieces: taken,
            allowance: allowance.clone(),
            due: Instant::now() + PATIENCE + PER_PIECE * pieces,
        }),
        Ok(Err(_)) | Err(_) => Err(BodyProblem::NoRoom),
    }
}

/// Whether a request has a good token, or comes from where none is needed.
async fn is_known(app: &App, request: &Request<'_>) -> bool {
    let peer = request.guard::<Peer>().await.succeeded();
    let bearer = request.guard::<Bearer>().await.succeeded();
    peer.is_some_and(|peer| peer.is_trusted(app.config.auth))
        || bearer.is_some_and(|bearer| bearer.session(app).is_ok())
}

/// Reads a JSON object and says which field is wrong. A byte order mark, with which editors and
/// shells of Windows begin a file, is passed over.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyProblem> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
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
                problem: format!("has a wrong value: {}", shortened(text)),
                is_missing: false,
            },
        },
    )
}

/// What is wrong with a value, without the middle of it if that is long: the value itself is said
/// back, and what was expected comes behind it.
fn shortened(text: &str) -> Cow<'_, str> {
    let head = text.char_indices().nth(SHOWN_CHARACTERS);
    let tail = text.char_indices().nth_back(SHOWN_CHARACTERS - 1);
    match (head, tail) {
        (Some((head, _)), Some((tail, _))) if head < tail => {
            format!("{}…{}", &text[..head], &text[tail..]).into()
        }
        _ => text.into(),
    }
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

    #[test]
    fn a_long_value_is_said_back_without_its_middle() {
        for (text, shown) in [
            ("é".repeat(200), "é".repeat(200)),
            (
                format!("{}12{}", "é".repeat(99), "中".repeat(100)),
                format!("{}1…{}", "é".repeat(99), "中".repeat(100)),
            ),
        ] {
            assert_eq!(shortened(&text), shown);
        }
    }
}
