//! Ids in JSON: integers, however they are written. A user's may also be text, which is what addresses
//! and forms have. Whatever else stands in its place is refused where it begins: a list that is taken
//! in first takes many times its length in memory.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};
use serde_json::Number;

use super::http::is_integer;
use crate::model::UserId;

/// The integer that a number is, if it is one: `2`, and `2.0` from clients that keep every number as a
/// float.
pub(crate) fn integer(number: &Number) -> Option<i64> {
    let float = || number.as_f64().and_then(whole);
    number.as_i64().or_else(float)
}

/// `serde_json` may misread the last bits of a float. Below 2^50 that makes a fraction, which is refused,
/// and never another integer.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it has no fraction and fits"
)]
fn whole(float: f64) -> Option<i64> {
    let is_exact = float.fract() == 0.0 && float.abs() < 2_f64.powi(50);
    is_exact.then_some(float as i64)
}

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
    fn a_float_is_an_integer_if_it_is_whole_and_exact() {
        for (text, expected) in [
            ("2", Some(2)),
            ("2.0", Some(2)),
            ("2e0", Some(2)),
            ("-0.0", Some(0)),
            ("1125899906842623.0", Some(1_125_899_906_842_623)),
            ("9223372036854775807", Some(i64::MAX)),
            ("1125899906842624.0", None),
            ("9007199254740991.0", None),
            ("9223372036854775808", None),
            ("2.5", None),
            ("1e-300", None),
            ("1e300", None),
        ] {
            let number = serde_json::from_str(text).expect("a number");
            assert_eq!(integer(&number), expected, "{text}");
            let mut from = serde_json::Deserializer::from_str(text);
            assert_eq!(user_id(&mut from).ok(), expected.map(UserId), "{text}");
        }
        for text in ["NaN", "Infinity", "\"2.0\"", "\"NaN\"", "true", "[2]"] {
            let mut from = serde_json::Deserializer::from_str(text);
            assert!(user_id(&mut from).is_err(), "{text}");
        }
    }
}
