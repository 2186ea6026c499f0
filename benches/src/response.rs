//! Just enough HTTP/1.1 to follow a stream of responses: where each ends and what its status is.
//!
//! Bodies are skipped, sized or chunked; nothing but the status line and three headers is looked
//! at. Responses without either length (ended by closing) are not understood: no peer sends them.

/// The end of one response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Status code of the status line.
    pub status: u16,
    /// Whether the peer is about to close the connection.
    pub close: bool,
}

/// The bytes are not a response this parser understands.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// Follows the responses of one connection, however their bytes are cut.
#[derive(Debug)]
pub struct Parser {
    state: State,
    answer: Answer,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    Sized(usize),
    ChunkLength,
    Chunk(usize),
    /// After the last chunk: lines up to an empty one.
    Trailer,
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            state: State::Head,
            answer: Answer {
                status: 0,
                close: false,
            },
        }
    }
}

impl Parser {
    /// Takes what it can of `input`: the bytes used, and the answer if it ends there.
    ///
    /// Bytes left unused (a head or chunk length not yet whole) are to be given again with more
    /// behind them; with an answer, they belong to the next response.
    pub fn advance(&mut self, input: &[u8]) -> Result<(usize, Option<Answer>), Malformed> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let (taken, next) = match self.state {
                State::Head => match find(rest, b"\r\n\r\n") {
                    Some(end) => (end + 4, self.read_head(&rest[..end])?),
                    None => return Ok((used, None)),
                },
                State::ChunkLength => match find(rest, b"\r\n") {
                    Some(end) => (end + 2, chunk(&rest[..end])?),
                    None => return Ok((used, None)),
                },
                State::Trailer => match find(rest, b"\r\n") {
                    Some(0) => (2, State::Sized(0)),
                    Some(end) => (end + 2, State::Trailer),
                    None => return Ok((used, None)),
                },
                State::Sized(left) => {
                    let taken = left.min(rest.len());
                    (taken, State::Sized(left - taken))
                }
                State::Chunk(left) => {
                    let taken = left.min(rest.len());
                    let whole = taken == left;
                    let inside = State::Chunk(left - taken);
                    (taken, if whole { State::ChunkLength } else { inside })
                }
            };
            used += taken;
            self.state = next;
            match next {
                State::Sized(0) => {
                    self.state = State::Head;
                    return Ok((used, Some(self.answer)));
                }
                State::Sized(_) | State::Chunk(_) if used == input.len() => {
                    return Ok((used, None));
                }
                _ => {}
            }
        }
    }

    /// Notes the status and whether the connection ends; the state in which the body is read.
    fn read_head(&mut self, head: &[u8]) -> Result<State, Malformed> {
        let mut lines = head.split(|&byte| byte == b'\n');
        let status = lines.next().and_then(|line| line.get(9..12));
        self.answer.status = status.and_then(number).ok_or(Malformed)?;
        self.answer.close = false;
        let mut body = None;
        for line in lines {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                body = Some(State::Sized(number(value).ok_or(Malformed)?));
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                body = Some(State::ChunkLength);
            } else if name.eq_ignore_ascii_case(b"connection") {
                self.answer.close = value.eq_ignore_ascii_case(b"close");
            }
        }
        // Statuses that never have a body carry neither header.
        if matches!(self.answer.status, 100..=199 | 204 | 304) {
            body = Some(State::Sized(0));
        }
        body.ok_or(Malformed)
    }
}

/// The state behind a chunk's length line; the two bytes that end the chunk are part of it.
fn chunk(line: &[u8]) -> Result<State, Malformed> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or(line);
    let text = std::str::from_utf8(digits.trim_ascii()).map_err(|_| Malformed)?;
    match usize::from_str_radix(text, 16).map_err(|_| Malformed)? {
        0 => Ok(State::Trailer),
        length => Ok(State::Chunk(length + 2)),
    }
}

fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in pieces of `size` bytes and collects status and close of each answer.
    fn answers(stream: &[u8], size: usize) -> Vec<(u16, bool)> {
        let mut parser = Parser::default();
        let (mut held, mut seen) = (Vec::new(), Vec::new());
        for piece in stream.chunks(size) {
            held.extend_from_slice(piece);
            loop {
                let (used, answer) = parser.advance(&held).expect("well-formed");
                held.drain(..used);
                match answer {
                    Some(answer) => seen.push((answer.status, answer.close)),
                    None => break,
                }
            }
        }
        assert!(held.is_empty(), "left over: {held:?}");
        seen
    }

    #[test]
    fn answers_are_the_same_however_the_bytes_are_cut() {
        let stream = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n\
            HTTP/1.1 204 No Content\r\n\r\n\
            HTTP/1.1 503 Busy\r\nConnection: close\r\ncontent-length: 0\r\n\r\n";
        let expected = [(200, false), (201, false), (204, false), (503, true)];
        for size in 1..stream.len() {
            assert_eq!(answers(stream, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_not_a_response_is_refused() {
        for bytes in [
            &b"SSH-2.0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n",
        ] {
            assert_eq!(Parser::default().advance(bytes), Err(Malformed));
        }
    }
}
