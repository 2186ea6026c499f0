//! The id of a user in JSON: an integer, or one as text, which is what addresses and forms have.
//! Whatever else stands in its place is refused where it begins: a list that is taken in first
//! takes many times its length in memory.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

use super::http::is_integer;
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

    fn visit_str<E: Error>(self, text: &str) -> Result<UserId, E> {
        let id = Some(text).filter(|text| is_integer(text));
        let id = id.and_then(|digits| digits.parse().ok()).map(UserId);
        id.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}
