//! What a server answered, and the checks every test makes of it.

use reqwest::blocking::RequestBuilder;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// An id as clients write it that keep every number as a float.
pub(crate) fn as_float(id: i64) -> Value {
    serde_json::from_str(&format!("{id}.0")).expect("a number")
}

impl Reply {
    /// Sends `request` and reads the answer; panics when there is none.
    pub(crate) fn to(request: RequestBuilder) -> Self {
        Self::try_to(request).expect("the server answers")
    }

    /// Sends `request` to a server that may be gone.
    pub(crate) fn try_to(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send()?;
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text()?,
        })
    }

    /// The body as JSON, whatever the status; panics when it is not JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// Whether the names of the body's fields stand in it in this order.
    pub(crate) fn has_in_order(&self, names: &[&str]) -> bool {
        let places = names
            .iter()
            .map(|name| self.text.find(&format!("\"{name}\":")));
        let places: Option<Vec<usize>> = places.collect();
        places.is_some_and(|places| places.is_sorted())
    }

    /// The value of a header, if it was sent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header in ASCII"))
    }

    /// The body of a success: 200 and JSON whose `status` says so.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.assert_is_json();
        let body = self.json();
        assert_eq!(body["status"], "success", "{self:?}");
        body
    }

    /// The text of an error: `status`, and message_store's error shape with nothing internal in it.
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.assert_is_json();
        let body = self.json();
        let message = body["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            body,
            json!({"status": "error", "message": message}),
            "{self:?}"
        );
        assert!(
            !message.is_empty(),
            "an error says what was wrong: {self:?}"
        );
        for internal in ["diesel", "sqlite", "SELECT", "INSERT", "panicked", ".rs:"] {
            assert!(!message.contains(internal), "shows its inside: {message}");
        }
        message
    }

    /// The `messages` of a mailbox.
    pub(crate) fn messages(&self) -> Vec<Value> {
        let body = self.ok();
        body["messages"]
            .as_array()
            .unwrap_or_else(|| panic!("no messages in {body}"))
            .clone()
    }

    fn assert_is_json(&self) {
        let content_type = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let is_json = content_type.is_some_and(|value| value.starts_with("application/json"));
        assert!(is_json, "the type of every answer is JSON: {self:?}");
    }
}

/// `value` with what differs from run to run replaced by what the published examples show.
///
/// Ids become 123, instants 2024-01-01T12:00:00, tokens "token", each only if it has the right form.
pub(crate) fn redacted(mut value: Value) -> Value {
    redact(&mut value);
    value
}

fn redact(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Object(fields) => {
            for (name, field) in fields {
                match name.as_str() {
                    "id" | "message_id" if is_id(field) => *field = json!(123),
                    "timestamp" | "edited_at" | "granted_at" if is_instant(field) => {
                        *field = json!("2024-01-01T12:00:00");
                    }
                    "token" if field.as_str().is_some_and(|token| token.len() >= 32) => {
                        *field = json!("token");
                    }
                    "expires_in" if field.as_u64().is_some_and(|secs| secs > 0) => {
                        *field = json!(1800);
                    }
                    _ => redact(field),
                }
            }
        }
        _ => {}
    }
}

fn is_id(value: &Value) -> bool {
    value.as_i64().is_some_and(|id| 0 < id && id < 1 << 53)
}

fn is_instant(value: &Value) -> bool {
    let Some(text) = value.as_str() else {
        return false;
    };
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").is_ok() && text.len() == 19
}
