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
use crate::api::http::Body;
use crate::integer::{id_of, integer};

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

/// How much of a form is looked at, in fields. Each costs far more than its bytes, and no client
/// sends as many.
const MOST_IN_A_FORM: usize = 1_000;

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
            if known(&name).is_none() {
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
    pub(super) fn of_json(body: &mut Body) -> Result<Self, Failure> {
        let Known(values) = body.json()?;
        Ok(Fields {
            values,
            problems: Vec::new(),
        })
    }

    /// Of a form, urlencoded or multipart. Anything else is a form without fields.
    pub(super) async fn of_form(body: &mut Body, kind: FormKind) -> Result<Self, Failure> {
        let bytes = body.bytes()?;
        let mut form = Form::default();
        match kind {
            FormKind::Urlencoded => form.read_urlencoded(&bytes),
            FormKind::Multipart { boundary } => form.read_multipart(bytes, boundary).await,
            FormKind::Other => {}
        }
        Ok(Fields {
            values: form.0,
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

    /// Takes an integer that has to be there, written as a number (`2.0` is one) or as its digits.
    pub(super) fn integer(&mut self, name: &str) -> i64 {
        let value = match self.values.remove(name) {
            Some(Value::Number(number)) => integer(&number),
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

/// An id in a path. What is no integer is malformed.
pub(super) fn id_in_path(name: &str, text: &str) -> Result<i64, Failure> {
    let at = ["path", name];
    let problem = || Failure::problem(&at, "Input should be a valid integer", "int_parsing");
    id_of(text).ok_or_else(|| Failure::invalid(vec![problem()]))
}

/// The fields of a form that some request has and that were filled in: an empty one was not.
#[derive(Default)]
struct Form(Map<String, Value>);

impl Form {
    /// Reads a urlencoded form; what is not UTF-8 is as if it were not there.
    fn read_urlencoded(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let decoded = |part| RawStr::new(part).url_decode().ok();
        for pair in text.split('&').take(MOST_IN_A_FORM) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let Some(name) = decoded(name).and_then(|name| known(&name))
                && let Some(value) = decoded(value)
            {
                self.put(name, value.into_owned());
            }
        }
    }

    /// Reads a multipart form, as far as it can be read.
    async fn read_multipart(&mut self, bytes: Vec<u8>, boundary: String) {
        let whole = stream::iter([Ok::<_, Infallible>(bytes)]);
        let mut parts = multer::Multipart::new(whole, boundary);
        for _ in 0..MOST_IN_A_FORM {
            let Ok(Some(part)) = parts.next_field().await else {
                return;
            };
            // A part that is not read is passed over: all of it is there.
            let Some(name) = part.name().and_then(known) else {
                continue;
            };
            match part.text().await {
                Ok(value) => self.put(name, value),
                Err(_) => return,
            }
        }
    }

    fn put(&mut self, name: &str, value: String) {
        if !value.is_empty() {
            self.0.insert(name.to_owned(), Value::String(value));
        }
    }
}

/// The name of a field, if some request has it.
fn known(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_urlencoded(text: &str) -> Value {
        let mut form = Form::default();
        form.read_urlencoded(text.as_bytes());
        Value::Object(form.0)
    }

    #[test]
    fn of_a_urlencoded_form_known_fields_that_are_filled_in_are_decoded_and_kept() {
        let text = "%75sername=%E5%B0%8F+a&password=p%26%3D&flag&x=y&port=&up_to=1&up_to=2&up_to=";
        let expected = serde_json::json!({ "username": "小 a", "password": "p&=", "up_to": "2" });
        assert_eq!(of_urlencoded(text), expected);
    }

    #[test]
    fn a_form_is_looked_at_up_to_a_thousand_fields() {
        let [within, beyond] = [999, 1_000].map(|others| "a&".repeat(others) + "port=1");
        assert_eq!(of_urlencoded(&within), serde_json::json!({ "port": "1" }));
        assert_eq!(of_urlencoded(&beyond), serde_json::json!({}));
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
