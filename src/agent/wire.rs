//! The frames of the relay's socket and the records of its history, as they are on the wire.
//!
//! It decides nothing: what a frame means to a conversation is `session`'s and `exchange`'s.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::integer::integer;

/// A user's id, as the server gives it out.
pub(super) type UserId = i64;

/// One user of a roster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Listed {
    #[serde(deserialize_with = "id")]
    pub(super) id: UserId,
    pub(super) username: String,
    /// PEM; absent for users who registered without a key.
    #[serde(default, rename = "publicKey")]
    pub(super) public_key: Option<String>,
    /// Despite its name the server's signature over the PEM text, in base64.
    #[serde(default, rename = "enpublicKey")]
    pub(super) signature: Option<String>,
}

/// What a frame from the server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// Who is online now; replaces what was known.
    Roster(Vec<Listed>),
    /// `from` offers or confirms a wrapped AES key (empty from peers who confirm without one).
    Key { from: UserId, wrapped: String },
    /// A sealed message and the key it came with, if any. Not every server tells its record's id.
    Message {
        id: Option<i64>,
        from: UserId,
        content: String,
        wrapped: Option<String>,
    },
    /// Words of the server to this client.
    Notice(String),
}

#[derive(Deserialize)]
struct Frame {
    #[serde(default, rename = "systemMessage")]
    system: bool,
    message: Body,
    #[serde(default)]
    id: Value,
    #[serde(default, rename = "fromId")]
    from: Value,
    #[serde(default, rename = "aesKey")]
    wrapped: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Text(String),
    List(Vec<Value>),
}

/// The frame in `text`, or nothing if it is none of the published ones.
pub(super) fn parse(text: &str) -> Option<Incoming> {
    let frame: Frame = serde_json::from_str(text).ok()?;
    match frame.message {
        // One entry that cannot be read must not hide the others.
        Body::List(list) => Some(Incoming::Roster(
            list.into_iter()
                .filter_map(|entry| serde_json::from_value(entry).ok())
                .collect(),
        )),
        Body::Text(notice) if frame.system => Some(Incoming::Notice(notice)),
        Body::Text(content) => {
            let from = read_id(&frame.from)?;
            Some(if content.is_empty() {
                let wrapped = frame.wrapped.unwrap_or_default();
                Incoming::Key { from, wrapped }
            } else {
                Incoming::Message {
                    id: read_id(&frame.id),
                    from,
                    content,
                    wrapped: frame.wrapped.filter(|wrapped| !wrapped.is_empty()),
                }
            })
        }
    }
}

/// A frame to the server. An empty `message` makes it a key frame.
pub(super) fn frame(from: UserId, to: UserId, message: &str, wrapped: &str) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Outgoing<'a> {
        from_id: UserId,
        to_id: UserId,
        message: &'a str,
        aes_key: &'a str,
    }
    let outgoing = Outgoing {
        from_id: from,
        to_id: to,
        message,
        aes_key: wrapped,
    };
    // Of a picture this is megabytes: one allocation, with room for the words and ids around it.
    let mut bytes = Vec::with_capacity(message.len() + wrapped.len() + 128);
    serde_json::to_writer(&mut bytes, &outgoing).expect("numbers and strings have a JSON form");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

/// To whom a [`frame`] goes, and its message.
pub(super) fn addressed(frame: &str) -> Option<(UserId, String)> {
    #[derive(Deserialize)]
    struct Addressed {
        #[serde(rename = "toId")]
        to: UserId,
        message: String,
    }
    let addressed: Addressed = serde_json::from_str(frame).ok()?;
    Some((addressed.to, addressed.message))
}

/// One record of the history, still sealed.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    #[serde(deserialize_with = "id")]
    pub(super) id: i64,
    #[serde(rename = "fromId", deserialize_with = "id")]
    pub(super) from: UserId,
    #[serde(rename = "toId", deserialize_with = "id")]
    pub(super) to: UserId,
    #[serde(default)]
    pub(super) message: Option<String>,
    /// As sent by `from`: wrapped for `to`.
    #[serde(default, rename = "fromAesKey")]
    pub(super) from_key: Option<String>,
    /// As sent by `to`: wrapped for `from`.
    #[serde(default, rename = "toAesKey")]
    pub(super) to_key: Option<String>,
    #[serde(default, rename = "createTime")]
    pub(super) created: Value,
}

/// An id that is a number or a numeric string, or nothing.
pub(super) fn read_id(value: &Value) -> Option<UserId> {
    match value {
        Value::Number(number) => integer(number),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// [`read_id`] for serde.
pub(super) fn id<'de, D: Deserializer<'de>>(from: D) -> Result<UserId, D::Error> {
    let value = Value::deserialize(from)?;
    read_id(&value).ok_or_else(|| serde::de::Error::custom("an id is a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_frames_are_read() {
        let check = |text: &str, expected: Option<Incoming>| assert_eq!(parse(text), expected);
        check(
            r#"{"message":[{"id":1,"publicKey":"12345","enpublicKey":"12345en","username":"张三"},{"bad":1}],"systemMessage":true}"#,
            Some(Incoming::Roster(vec![Listed {
                id: 1,
                username: "张三".into(),
                public_key: Some("12345".into()),
                signature: Some("12345en".into()),
            }])),
        );
        check(
            r#"{"fromId":1,"message":"你好","aesKey":"123","systemMessage":false}"#,
            Some(Incoming::Message {
                id: None,
                from: 1,
                content: "你好".into(),
                wrapped: Some("123".into()),
            }),
        );
        check(
            r#"{"id":5,"fromId":"7","message":"x","aesKey":""}"#,
            Some(Incoming::Message {
                id: Some(5),
                from: 7,
                content: "x".into(),
                wrapped: None,
            }),
        );
        check(
            r#"{"fromId":1,"message":"","aesKey":"123","systemMessage":false}"#,
            Some(Incoming::Key {
                from: 1,
                wrapped: "123".into(),
            }),
        );
        check(
            r#"{"systemMessage":true,"message":"no"}"#,
            Some(Incoming::Notice("no".into())),
        );
        for broken in ["", "[]", "{}", r#"{"message":"x"}"#, r#"{"message":5}"#] {
            check(broken, None);
        }
    }

    #[test]
    fn an_id_is_an_integer_however_it_is_written() {
        for (text, expected) in [
            ("2", Some(2)),
            ("2.0", Some(2)),
            ("\" 2\"", Some(2)),
            ("1125899906842623.0", Some(1_125_899_906_842_623)),
            ("1125899906842624.0", None),
            ("2.5", None),
            ("1e300", None),
            ("\"2.0\"", None),
            ("\"NaN\"", None),
            ("null", None),
        ] {
            let value = serde_json::from_str(text).expect("JSON");
            assert_eq!(read_id(&value), expected, "{text}");
        }
    }

    #[test]
    fn a_frame_is_written_as_published() {
        assert_eq!(
            frame(1, 3, "你好", "123"),
            r#"{"fromId":1,"toId":3,"message":"你好","aesKey":"123"}"#
        );
        assert_eq!(
            addressed(&frame(1, 3, "你好", "123")),
            Some((3, "你好".to_owned()))
        );
        assert_eq!(addressed("{"), None);
    }
}
