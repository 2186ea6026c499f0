//! Ids in JSON: integers, however they are written. A user's may also be text, which is what addresses
//! and forms have. Whatever else stands in its place is refused where it begins: a list that is taken
//! in first takes many times its length in memory.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

use crate::integer::{is_integer, whole};
use crate::model::UserId;

/// For `#[serde(deserialize_with = "user_id")]`.
pub(crate) fn user_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UserId, D::Error> {
    deserializer.deserialize_any(IdVisitor)
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = UserId;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an integer")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<UserId, E> {
        Ok(UserId(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<UserId, E> {
        let id = i64::try_from(number).map(UserId);
        id.map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<UserId, E> {
        let id = whole(number).map(UserId);
        id.ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<UserId, E> {
        let id = Some(text).filter(|text| is_integer(text));
        let id = id.and_then(|digits| digits.parse().ok()).map(UserId);
        id.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_integer_or_its_digits() {
        for (text, expected) in [
            ("2", Some(2)),
            ("2.0", Some(2)),
            ("\"2\"", Some(2)),
            ("2.5", None),
            ("9223372036854775808", None),
            ("1e300", None),
            ("NaN", None),
            ("\"2.0\"", None),
            ("\"NaN\"", None),
            ("true", None),
            ("[2]", None),
        ] {
            let mut from = serde_json::Deserializer::from_str(text);
            assert_eq!(user_id(&mut from).ok(), expected.map(UserId), "{text}");
        }
    }
}
