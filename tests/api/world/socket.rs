//! Connections that block, WebSockets above all: opened, read with the patience of all waiting,
//! and ended. What a frame means is the tests' part.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;

use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::client::client_with_config;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, HandshakeError, Message, WebSocket};

use super::waiting::PATIENCE;

/// The answer to a handshake that was refused.
pub(crate) type Refusal = Box<Response<Option<Vec<u8>>>>;

/// Opens `path` on a port of this machine. Frames of any length are read.
pub(crate) fn dial(
    port: u16,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<WebSocket<TcpStream>, Refusal> {
    let url = format!("ws://127.0.0.1:{port}{path}");
    let mut request = url.into_client_request().expect("a URL");
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a header name");
        let value = HeaderValue::from_str(value).expect("a header value");
        request.headers_mut().insert(name, value);
    }
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let patience = Some(PATIENCE);
    stream.set_read_timeout(patience).expect("a timeout");
    let config = WebSocketConfig {
        max_message_size: None,
        max_frame_size: None,
        ..WebSocketConfig::default()
    };
    match client_with_config(request, stream, Some(config)) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(Error::Http(answer))) => Err(Box::new(answer)),
        Err(other) => panic!("no handshake: {other}"),
    }
}

/// The next text; panics at the end of the socket.
pub(crate) fn next_text(socket: &mut WebSocket<TcpStream>) -> String {
    loop {
        match socket.read().expect("a frame comes") {
            Message::Text(text) => return text,
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("not a text: {other:?}"),
        }
    }
}

/// The texts that come before the answer to a ping of now: what was sent before has been dealt with.
pub(crate) fn texts_so_far(socket: &mut WebSocket<TcpStream>) -> Vec<String> {
    let mark = b"so far".to_vec();
    let ping = Message::Ping(mark.clone());
    socket.send(ping).expect("the socket takes it");
    let mut texts = Vec::new();
    loop {
        match socket.read().expect("a frame comes") {
            Message::Pong(payload) if payload == mark => return texts,
            Message::Text(text) => texts.push(text),
            _ => {}
        }
    }
}

/// The code of the close frame that ends the socket, whatever comes before it; `None` if there is
/// none. Panics if the socket goes on.
pub(crate) fn close_code(socket: &mut WebSocket<TcpStream>) -> Option<u16> {
    loop {
        match socket.read() {
            Ok(Message::Close(close)) => return close.map(|close| close.code.into()),
            Ok(_) => {}
            Err(Error::Io(cause)) if is_over_time(&cause) => panic!("the socket goes on"),
            Err(_) => return None,
        }
    }
}

/// All bytes up to the end, or until the connection is reset. Panics if it goes on.
pub(crate) fn rest_of(stream: &mut TcpStream) -> Vec<u8> {
    let patience = Some(PATIENCE);
    stream.set_read_timeout(patience).expect("a timeout");
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    let goes_on = read.is_err_and(|cause| is_over_time(&cause));
    assert!(!goes_on, "the connection goes on: {}", rest.escape_ascii());
    rest
}

fn is_over_time(cause: &std::io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
