//! The fields of a request: of a JSON object, or of a form in either encoding.
//!
//! All that is wrong with them is told at once, as clients of a FastAPI server expect.

use std::convert::Infallible;
use std::fmt;

use rocket::futures::stream;
use rocket::http::RawStr;
use rocket::request::{FromRequest, Outcome, Request};
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Failure;
use crate::api::http::{self, Body};

/// How a form is written, as its `Content-Type` says.
pub(super) enum FormKind {
    Urlencoded,
    Multipart { boundary: String },
    Other,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for FormKind {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        // Of a boundary in quotes, Rocket's own reading of the header leaves the quotes out.
        let header = request.headers().get_one("Content-Type");
        let boundary = header.and_then(|header| multer::parse_boundary(header).ok());
        Outcome::Success(match boundary {
            Some(boundary) => FormKind::Multipart { boundary },
            None if request.content_type().is_some_and(|kind| kind.is_form()) => {
                FormKind::Urlencoded
            }
            None => FormKind::Other,
        })
    }
}

/// Every field that some request has. Others are not kept: anybody may send any number of them.
const NAMES: [&str; 10] = [
    "email",
    "encrypted_content",
    "friend_id",
    "friend_username",
    "password",
    "port",
    "public_key",
    "recipient_username",
    "up_to",
    "username",
];

/// The fields of an object that some request has. A list or an object, which no field is, takes
/// many times its length in memory: `false` stands for it.
struct Known(Map<String, Value>);

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KnownVisitor)
    }
}

struct KnownVisitor;

impl<'de> Visitor<'de> for KnownVisitor {
    type Value = Known;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Known, A::Error> {
        let mut values = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if !NAMES.contains(&name.as_str()) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let written = map.next_value::<Box<RawValue>>()?;
            let value = if written.get().starts_with(['[', '{']) {
                Value::Bool(false)
            } else {
                serde_json::from_str(written.get()).map_err(A::Error::custom)?
            };
            values.insert(name, value);
        }
        Ok(Known(values))
    }
}

/// Fields not yet taken, and what was wrong with those that were.
pub(super) struct Fields {
    values: Map<String, Value>,
    problems: Vec<Value>,
}

impl Fields {
    /// Of a JSON object; unknown ones are ignored.
    pub(super) fn of_json(body: Body) -> Result<Self, Failure> {
        let Known(values) = body.json()?;
        Ok(Fields {
            values,
            problems: Vec::new(),
        })
    }

    /// Of a form, urlencoded or multipart. Anything else is a form without fields.
    pub(super) async fn of_form(body: Body, kind: FormKind) -> Result<Self, Failure> {
        let bytes = body.bytes()?;
        let pairs = match kind {
            FormKind::Urlencoded => urlencoded(&bytes),
            FormKind::Multipart { boundary } => multipart(bytes, boundary).await,
            FormKind::Other => Vec::new(),
        };
        // An empty field of a form is one that was not filled in.
        let filled = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let values = filled.map(|(name, value)| (name, Value::String(value)));
        Ok(Fields {
            values: values.collect(),
            problems: Vec::new(),
        })
    }

    /// Whether a field was sent.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes a text that has to be there; an empty one stands in for it if it is wrong.
    pub(super) fn text(&mut self, name: &str) -> String {
        match self.values.remove(name) {
            Some(Value::String(text)) => text,
            Some(_) => self.note(name, "Input should be a valid string", "string_type"),
            None => self.note(name, "Field required", "missing"),
        }
    }

    /// Takes a text that has to be there and must not be empty.
    pub(super) fn filled_text(&mut self, name: &str) -> String {
        let before = self.problems.len();
        let text = self.text(name);
        if text.is_empty() && self.problems.len() == before {
            return self.note(name, "must not be empty", "string_too_short");
        }
        text
    }

    /// Takes an integer that has to be there, written as a number or as its digits.
    pub(super) fn integer(&mut self, name: &str) -> i64 {
        let value = match self.values.remove(name) {
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(digits)) => digits.trim().parse().ok(),
            Some(_) => None,
            None => return self.note(name, "Field required", "missing"),
        };
        value.unwrap_or_else(|| self.note(name, "Input should be a valid integer", "int_type"))
    }

    /// Takes a TCP port that has to be there; 0 says that the client has none to offer.
    pub(super) fn port(&mut self, name: &str) -> Option<u16> {
        let before = self.problems.len();
        let number = self.integer(name);
        if self.problems.len() > before {
            return None;
        }
        match u16::try_from(number) {
            Ok(0) => None,
            Ok(port) => Some(port),
            Err(_) => self.note(name, "is not a port: 0 to 65535", "value_error"),
        }
    }

    /// Refuses the request if anything taken so far was wrong.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        match std::mem::take(&mut self.problems) {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Failure::invalid(problems)),
        }
    }

    fn note<T: Default>(&mut self, name: &str, text: &str, kind: &str) -> T {
        self.problems
            .push(Failure::problem(&["body", name], text, kind));
        T::default()
    }
}

/// An id in a path. What is no integer is malformed; an integer too large for any id is one that
/// nobody has.
pub(super) fn id_in_path(name: &str, text: &str) -> Result<i64, Failure> {
    if !http::is_integer(text) {
        let problem = Failure::problem(
            &["path", name],
            "Input should be a valid integer",
            "int_parsing",
        );
        return Err(Failure::invalid(vec![problem]));
    }
    Ok(text.parse().unwrap_or(-1))
}

/// The pairs of a urlencoded form; what is not UTF-8 is as if it were not there.
fn urlencoded(bytes: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let decoded = |part: &str| {
        let text = RawStr::new(part).url_decode();
        text.ok().map(std::borrow::Cow::into_owned)
    };
    text.split('&')
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// The pairs of a multipart form, as far as it can be read.
async fn multipart(bytes: Vec<u8>, boundary: String) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let whole = stream::iter([Ok::<_, Infallible>(bytes)]);
    let mut form = multer::Multipart::new(whole, boundary);
    while let Ok(Some(field)) = form.next_field().await {
        let name = field.name().unwrap_or_default().to_owned();
        match field.text().await {
            Ok(text) => pairs.push((name, text)),
            Err(_) => break,
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_urlencoded_form_is_decoded() {
        let pairs = urlencoded("username=%E5%B0%8F+a&password=p%26%3D&flag".as_bytes());
        let expected = [("username", "小 a"), ("password", "p&="), ("flag", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs, expected);
    }

    #[test]
    fn of_an_object_only_plain_values_of_known_fields_are_kept() {
        let text = r#"{"username":"a","x":"b","password":[[1],2],"port":{"a":1},"up_to":7}"#;
        let Known(values) = serde_json::from_str(text).expect("an object");
        let expected = serde_json::json!({
            "username": "a", "password": false, "port": false, "up_to": 7,
        });
        assert_eq!(Value::Object(values), expected);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let values = serde_json::json!({ "name": 5, "port": 70_000 });
        let mut fields = Fields {
            values: values.as_object().expect("an object").clone(),
            problems: Vec::new(),
        };
        assert!(fields.text("name").is_empty() && fields.text("password").is_empty());
        assert_eq!(fields.port("port"), None);
        let failure = fields.check().expect_err("three problems");
        assert_eq!(failure.detail.as_array().map(Vec::len), Some(3));
        assert_eq!(failure.detail[1]["type"], "missing");
        assert!(fields.check().is_ok());
    }
}
