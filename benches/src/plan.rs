//! The plan: requests prepared in full beforehand, so that sending one costs no thought.
//!
//! A plan file is a sequence of entries `<kind> <length>\n<length bytes>`. The bytes go to the
//! socket as they are; the kind (a word such as `send`) only groups what is reported.

use std::path::Path;
use std::{fs, io};

/// One prepared request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// Index into [`Plan::kinds`].
    pub kind: usize,
    /// The request from its first to its last byte.
    pub bytes: Vec<u8>,
}

/// All requests of a load, replayed from the first to the last and over again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Each kind that occurs, once, in order of appearance.
    pub kinds: Vec<String>,
    /// Never empty in a plan that was read.
    pub requests: Vec<Request>,
}

impl Plan {
    /// Reads a plan file; an empty or broken one is `InvalidData`.
    pub fn read(path: &Path) -> io::Result<Self> {
        parse(&fs::read(path)?).ok_or_else(|| {
            let text = format!("{}: not a plan of requests", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }
}

fn parse(mut rest: &[u8]) -> Option<Plan> {
    let mut plan = Plan::default();
    while !rest.is_empty() {
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        let (kind, length) = std::str::from_utf8(&rest[..end]).ok()?.split_once(' ')?;
        let (bytes, after) = rest[end + 1..].split_at_checked(length.parse().ok()?)?;
        let known = plan.kinds.iter().position(|name| name == kind);
        let kind = known.unwrap_or_else(|| {
            plan.kinds.push(kind.to_owned());
            plan.kinds.len() - 1
        });
        plan.requests.push(Request {
            kind,
            bytes: bytes.to_vec(),
        });
        rest = after;
    }
    (!plan.requests.is_empty()).then_some(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_in_order_and_kinds_once() {
        let plan = parse(b"send 3\na\nbinbox 1\ncsend 0\n").expect("a plan");
        assert_eq!(plan.kinds, ["send", "inbox"]);
        let seen: Vec<_> = plan
            .requests
            .iter()
            .map(|request| (request.kind, request.bytes.as_slice()))
            .collect();
        assert_eq!(seen, [(0, &b"a\nb"[..]), (1, b"c"), (0, b"")]);
    }

    #[test]
    fn empty_and_cut_plans_are_refused() {
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"send 4\nabc"), None);
        assert_eq!(parse(b"send\n"), None);
    }
}
