//! What a whole stream comes to, for the unit tests and the fuzzer, which compare it with the same
//! stream cut in other places.

use super::frame::{Lines, Offer, Parsed, Request, TooLong, parse};

/// What comes out of a stream of bytes.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Parsed(Parsed),
    File(Vec<u8>),
    TooLong,
}

/// Feeds pieces one after the other; an upload's bytes are taken as they come.
pub(super) fn outcomes<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Outcome> {
    let mut lines = Lines::default();
    let mut outcomes = Vec::new();
    let mut file: Option<(usize, Vec<u8>)> = None;
    for piece in pieces {
        lines.space().extend_from_slice(piece);
        loop {
            if let Some((left, mut bytes)) = file.take() {
                let taken = lines.take(left);
                let left = left - taken.len();
                bytes.extend(taken);
                if left > 0 {
                    file = Some((left, bytes));
                    break;
                }
                outcomes.push(Outcome::File(bytes));
            }
            let parsed = match lines.next_line() {
                None => break,
                Some(Ok(line)) => parse(line),
                Some(Err(TooLong)) => {
                    outcomes.push(Outcome::TooLong);
                    return outcomes;
                }
            };
            if let Ok(Request::Upload(Offer {
                file_size: Some(size @ 1..=1_000),
                ..
            })) = parsed.request
            {
                file = Some((usize::try_from(size).expect("it is small"), Vec::new()));
            }
            outcomes.push(Outcome::Parsed(parsed));
        }
    }
    outcomes.extend(file.map(|(_, bytes)| Outcome::File(bytes)));
    outcomes
}
