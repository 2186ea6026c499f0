//! Just enough WebSocket for a client that listens: the handshake, where a frame ends, pongs.
//!
//! Fragmented messages come as their frames; extensions are not asked for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// What a frame is, as far as a listener cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text or binary.
    Data,
    /// To be answered with a pong of the same payload.
    Ping,
    /// The peer ends the connection.
    Close,
    /// Anything else, of no interest.
    Other,
}

/// Asks for a WebSocket at `path` and waits for it; the bytes that came behind the answer.
pub fn handshake(stream: &mut TcpStream, path: &str) -> io::Result<Vec<u8>> {
    // The key proves nothing here: the benchmark trusts its server.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..count]);
        let end = head.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let Some(end) = end else { continue };
        if !head.starts_with(b"HTTP/1.1 101") {
            let text = String::from_utf8_lossy(&head).into_owned();
            return Err(io::Error::new(ErrorKind::ConnectionRefused, text));
        }
        return Ok(head.split_off(end + 4));
    }
}

/// The first frame of `bytes`: its kind, its payload, and its length with the header.
///
/// `None` if it is not whole yet. Servers do not mask.
pub fn frame(bytes: &[u8]) -> Option<(Kind, &[u8], usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (length, start) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    let end = start + usize::try_from(length).ok()?;
    let kind = match first & 0x0f {
        0..=2 => Kind::Data,
        8 => Kind::Close,
        9 => Kind::Ping,
        _ => Kind::Other,
    };
    Some((kind, bytes.get(start..end)?, end))
}

/// A pong for a ping's `payload` (at most 125 bytes, as in every control frame).
///
/// Masked, as clients must, with zeros: nothing here is hidden from anybody.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or(125).min(125);
    let mut frame = vec![0x8a, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(&payload[..usize::from(length)]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_each_length_are_found_once_they_are_whole() {
        for (header, length) in [
            (&[0x81, 5][..], 5),
            (&[0x81, 126, 1, 0], 256),
            (&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536),
        ] {
            let mut bytes = header.to_vec();
            bytes.resize(header.len() + length, b'x');
            let whole = bytes.len();
            bytes.extend_from_slice(b"next");
            let (kind, payload, end) = frame(&bytes).expect("whole");
            assert_eq!((kind, payload.len(), end), (Kind::Data, length, whole));
            assert_eq!(frame(&bytes[..whole - 1]), None);
        }
    }

    #[test]
    fn a_pong_repeats_the_ping() {
        assert_eq!(pong(b"hi"), [0x8a, 0x82, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(frame(&[0x89, 0]), Some((Kind::Ping, &[][..], 2)));
    }
}
