//! A file as an answer: whole, or the one range that was asked for, or nothing to whoever has it.
//!
//! The bytes are streamed; whoever they belong to has been asked before. Nothing that is served
//! here is ever run by a browser: the type is not guessed from the content, and scripts in it
//! would have no rights.

use std::io::SeekFrom;

use rocket::http::{Header, Status};
use rocket::request::{FromRequest, Outcome, Request};
use rocket::response::{self, Responder, Response};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::http::WRITE_BYTES;

/// The range that a request asks for and what its client has already, as they were sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    range: Option<String>,
    if_range: Option<String>,
    if_none_match: Vec<String>,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Wanted {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let header = |name| request.headers().get_one(name).map(str::to_owned);
        Outcome::Success(Wanted {
            range: header("Range"),
            if_range: header("If-Range"),
            if_none_match: request
                .headers()
                .get("If-None-Match")
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// Which bytes to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// From the first to the last, both included.
    Bytes(u64, u64),
    /// A range that lies behind the end.
    Nowhere,
}

impl Wanted {
    /// Whether the client has what bears this `etag`, be it by a weak tag (RFC 9110 §13.1.2).
    fn is_had(&self, etag: &str) -> bool {
        let named = self.if_none_match.iter().flat_map(|tags| tags.split(','));
        named
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
    }

    /// What is meant, of a file of `size` bytes with this `etag`. Several ranges at once, units
    /// other than bytes and whatever cannot be read are answered with the whole.
    fn part_of(&self, size: u64, etag: &str) -> Part {
        let is_current = self
            .if_range
            .as_deref()
            .is_none_or(|condition| condition == etag);
        let asked = self
            .range
            .as_deref()
            .filter(|_| is_current)
            .and_then(|range| range.split_once('='))
            .filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
        let Some((first, last)) = asked.and_then(|(_, range)| range.split_once('-')) else {
            return Part::Whole;
        };
        match (number(first), number(last)) {
            (None, Some(count)) if first.trim().is_empty() => match count.min(size) {
                0 => Part::Nowhere,
                count => Part::Bytes(size - count, size - 1),
            },
            (Some(first), _) if last.trim().is_empty() => Part::between(first, u64::MAX, size),
            (Some(first), Some(last)) if first <= last => Part::between(first, last, size),
            _ => Part::Whole,
        }
    }
}

/// A number in digits. One that is too large lies behind the end of any file.
fn number(text: &str) -> Option<u64> {
    let digits = text.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

impl Part {
    fn between(first: u64, last: u64, size: u64) -> Part {
        if first < size {
            Part::Bytes(first, last.min(size - 1))
        } else {
            Part::Nowhere
        }
    }
}

/// An open file, ready to be sent.
#[derive(Debug)]
pub(crate) struct Download {
    status: Status,
    file: File,
    length: u64,
    headers: Vec<Header<'static>>,
}

impl Download {
    /// Answers with `file`, or the part of it that was asked for; `None` if there is no such part.
    /// `tag` names this content for ever, and whoever has it by that is sent none of it.
    pub(crate) async fn new(
        mut file: File,
        size: u64,
        media_type: &str,
        tag: &str,
        wanted: Wanted,
    ) -> std::io::Result<Option<Self>> {
        let etag = format!("\"{tag}\"");
        if wanted.is_had(&etag) {
            return Ok(Some(Download {
                status: Status::NotModified,
                file,
                length: 0,
                headers: vec![Header::new("ETag", etag)],
            }));
        }
        let part = wanted.part_of(size, &etag);
        let mut headers = vec![
            Header::new("Content-Type", media_type.to_owned()),
            Header::new("Accept-Ranges", "bytes"),
            Header::new("ETag", etag),
            Header::new("X-Content-Type-Options", "nosniff"),
            Header::new("Content-Security-Policy", "default-src 'none'; sandbox"),
        ];
        let (status, length) = match part {
            Part::Whole => (Status::Ok, size),
            Part::Nowhere => return Ok(None),
            Part::Bytes(first, last) => {
                file.seek(SeekFrom::Start(first)).await?;
                headers.push(Header::new(
                    "Content-Range",
                    format!("bytes {first}-{last}/{size}"),
                ));
                (Status::PartialContent, last - first + 1)
            }
        };
        headers.push(Header::new("Content-Length", length.to_string()));
        Ok(Some(Download {
            status,
            file,
            length,
            headers,
        }))
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push(Header::new(name, value.into()));
        self
    }

    /// Has browsers save it under `file_name` instead of showing it.
    #[must_use]
    pub(crate) fn attached_as(self, file_name: &str) -> Self {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || " ._-()".contains(c);
        let plain: String = file_name
            .chars()
            .map(|c| if is_plain(c) { c } else { '_' })
            .collect();
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte);
        let encoded: String = file_name
            .bytes()
            .map(|byte| {
                if is_unreserved(byte) {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
        let value = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
        self.with_header("Content-Disposition", value)
    }
}

impl<'r> Responder<'r, 'static> for Download {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build();
        response.status(self.status);
        for header in self.headers {
            response.header(header);
        }
        response
            .streamed_body(self.file.take(self.length))
            .max_chunk_size(WRITE_BYTES)
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &str, expected: Part) {
        let wanted = Wanted {
            range: Some(range.into()),
            ..Wanted::default()
        };
        assert_eq!(wanted.part_of(100, "\"a\""), expected, "{wanted:?}");
    }

    #[test]
    fn one_range_is_served_and_anything_unreadable_is_the_whole() {
        check("bytes=0-9", Part::Bytes(0, 9));
        check("bytes=90-", Part::Bytes(90, 99));
        check("bytes=-10", Part::Bytes(90, 99));
        check("bytes=-1000", Part::Bytes(0, 99));
        check("bytes=50-1000", Part::Bytes(50, 99));
        check("bytes=100-", Part::Nowhere);
        check("bytes=-0", Part::Nowhere);
        for unreadable in [
            "bytes=9-0",
            "bytes=0-1,5-6",
            "bytes=-",
            "bytes=a-b",
            "lines=0-9",
            "bytes=+1-2-3",
        ] {
            check(unreadable, Part::Whole);
        }
    }

    #[test]
    fn a_range_of_something_else_is_the_whole() {
        let wanted = |etag: &str| Wanted {
            range: Some("bytes=0-0".into()),
            if_range: Some(etag.into()),
            ..Wanted::default()
        };
        assert_eq!(wanted("\"a\"").part_of(100, "\"a\""), Part::Bytes(0, 0));
        assert_eq!(wanted("\"b\"").part_of(100, "\"a\""), Part::Whole);
        assert_eq!(Wanted::default().part_of(0, "\"a\""), Part::Whole);
    }

    #[test]
    fn what_the_client_has_is_told_by_any_of_its_tags() {
        let is_had = |tags: &[&str]| {
            let if_none_match = tags.iter().copied().map(str::to_owned).collect();
            let wanted = Wanted {
                if_none_match,
                ..Wanted::default()
            };
            wanted.is_had("\"a\"")
        };
        for tags in [
            &["\"a\""][..],
            &["W/\"a\""],
            &["*"],
            &["\"b\" , \"a\""],
            &["\"b\"", "\"a\""],
        ] {
            assert!(is_had(tags), "{tags:?}");
        }
        for tags in [&[][..], &[""], &["\"b\""], &["a"], &["\"ab\", W/\"b\""]] {
            assert!(!is_had(tags), "{tags:?}");
        }
    }
}
