//! Integers in JSON, for the server and the agent: clients that keep every number as a float write
//! `2.0` for `2`. And integers in text, as ids in paths are.

use serde_json::Number;

/// The integer that a number is, if it is one.
pub(crate) fn integer(number: &Number) -> Option<i64> {
    let float = || number.as_f64().and_then(whole);
    number.as_i64().or_else(float)
}

/// The integer that a float is, if it is one. `serde_json` may misread the last bits of a float.
/// Below 2^50 that makes a fraction, which is refused, and never another integer.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it has no fraction and fits"
)]
pub(crate) fn whole(float: f64) -> Option<i64> {
    let is_exact = float.fract() == 0.0 && float.abs() < 2_f64.powi(50);
    is_exact.then_some(float as i64)
}

/// Whether text is an integer, however large: digits with or without a minus.
pub(crate) fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The id that text is, if it is an integer. One too large for any id is one that nothing has.
pub(crate) fn id_of(text: &str) -> Option<i64> {
    is_integer(text).then(|| text.parse().unwrap_or(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_text_is_digits_with_or_without_a_minus() {
        for (text, expected) in [
            ("0", 0),
            ("-7", -7),
            ("007", 7),
            ("99999999999999999999", -1),
        ] {
            assert_eq!(id_of(text), Some(expected), "{text}");
        }
        for text in ["", "-", "--7", "+7", " 7", "7.0", "٧"] {
            assert_eq!(id_of(text), None, "{text}");
        }
    }

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
        }
    }
}
