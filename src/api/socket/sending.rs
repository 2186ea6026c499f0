//! What goes out over a socket: one after the other, and a long one only where there is room.

use rocket::futures::SinkExt;
use rocket_ws::Message;
use rocket_ws::frame::Frame;
use rocket_ws::result::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::Socket;
use super::parting::{Farewell, NO_ROOM, TRY_LATER};
use crate::api::http::log_if_internal;
use crate::error::Result;
use crate::outgoing::{Held, Outgoing, TooSlow};

/// A longer text goes out in several frames. The library keeps what the longest frame has taken for
/// as long as the socket is open, and moves all that is left of a frame after each write.
const LONGEST_FRAME_BYTES: usize = 1 << 20;

/// What is to be sent; an error is what could not be had.
pub(super) type Waiting = Box<dyn Iterator<Item = Result<Message>> + Send>;

/// Texts, one by one.
pub(super) fn texts<T>(texts: T) -> Waiting
where
    T: IntoIterator<Item = Result<String>, IntoIter: Send + 'static>,
{
    Box::new(texts.into_iter().map(|text| text.map(Message::Text)))
}

/// Sends all of it. What is being written is `held`, until it is taken or the socket is gone: a reader
/// who stops in the middle leaves the rest of it in memory. An error is how to part.
pub(super) async fn send_all(
    socket: &mut Socket,
    messages: Waiting,
    outgoing: &Outgoing,
    held: &mut Option<Held>,
) -> Result<(), Option<Farewell>> {
    for message in messages {
        let message = message.map_err(|cause| {
            log_if_internal(&cause);
            Some(Farewell::new(TRY_LATER, "the store does not answer"))
        })?;
        if !outgoing.takes(message.len()) {
            return Err(Some(NO_ROOM));
        }
        let its_room = held.insert(outgoing.hold(message.len()));
        let sent = its_room.during(send(socket, message)).await;
        sent.map_err(|TooSlow| None)?.map_err(|_| None)?;
        *held = None;
    }
    Ok(())
}

async fn send(socket: &mut Socket, message: Message) -> Result<(), WsError> {
    let text = match message {
        Message::Text(text) if text.len() > LONGEST_FRAME_BYTES => text,
        short => return socket.send(short).await,
    };
    let mut kind = Data::Text;
    let mut pieces = text.as_bytes().chunks(LONGEST_FRAME_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        let is_last = pieces.peek().is_none();
        let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), is_last);
        socket.send(Message::Frame(frame)).await?;
        kind = Data::Continue;
    }
    Ok(())
}
