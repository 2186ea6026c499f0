//! Lists of any length: complete if they fit into one piece, streamed otherwise. Memory stays
//! bounded either way, and no database connection is held between two pieces. A slow reader is still
//! here long after: no piece but the first is made without asking whether the login is still good.

use std::future::{Future, ready};
use std::sync::Arc;

use rocket::http::{ContentType, Header, Status};
use rocket::request::Request;
use rocket::response::{self, Responder, Response};
use serde::Serialize;
use tokio::io::DuplexStream;

use super::http::{Reply, WRITE_BYTES, log_if_internal, put_json};
use super::outlet::{self, Gone};
use crate::app::App;
use crate::error::Result;
use crate::messages::lists::Chunk;
use crate::model::Session;
use crate::outgoing::{LARGEST_MADE_BYTES, MOST_JSON_BYTES_PER_BYTE, Outgoing};
use crate::users::tokens;

/// A piece, and what is left to be written behind it, if anything is.
pub(crate) type Piece<R> = (Vec<u8>, Option<R>);

/// A JSON answer, written piece by piece.
pub(crate) enum Listing {
    /// It fitted into the first piece.
    Whole(Box<Reply>),
    /// The pieces.
    Streamed(DuplexStream),
}

impl Listing {
    /// Lets `write` write the first piece, and the others while they are sent, each only while the
    /// login is good, if the reader has one.
    ///
    /// It returns whether there is more to write. An error in the first piece is returned; one
    /// before or in a later piece can only end the answer early, as invalid JSON. So does a client
    /// that does not read on. `write` has to [count](Outgoing::make) what it makes.
    pub(crate) fn new(
        app: &Arc<App>,
        session: Option<Session>,
        mut write: impl FnMut(&App, &mut Vec<u8>) -> Result<bool> + Send + 'static,
    ) -> Result<Self> {
        let check = tokens::watch(app, session);
        let its_app = app.clone();
        let mut next = move |()| {
            let mut piece = Vec::new();
            let has_more = write(&its_app, &mut piece)?;
            Ok((piece, has_more.then_some(())))
        };
        let first = next(())?;
        let next = move |rest| ready(check().and_then(|()| next(rest)));
        Ok(Listing::behind(&app.outgoing, first, next))
    }

    /// The same of pieces that have to be waited for: each is made of what the one before has left,
    /// once that one is sent. `next` itself asks whether there may be another, and counts what it
    /// makes.
    pub(crate) async fn awaited<R: Send + 'static, F>(
        outgoing: &Outgoing,
        all: R,
        mut next: impl FnMut(R) -> F + Send + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = Result<Piece<R>>> + Send + 'static,
    {
        outgoing.check()?;
        let first = next(all).await?;
        Ok(Listing::behind(outgoing, first, next))
    }

    fn behind<R: Send + 'static, F>(
        outgoing: &Outgoing,
        (mut piece, mut rest): Piece<R>,
        mut next: impl FnMut(R) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Piece<R>>> + Send + 'static,
    {
        if rest.is_none() {
            let reply = Reply::raw(Status::Ok, ContentType::JSON, piece);
            return Listing::Whole(Box::new(reply));
        }
        let its_outgoing = outgoing.clone();
        let first_bytes = piece.len();
        Listing::Streamed(outlet::body(
            outgoing,
            first_bytes,
            async move |mut outlet| {
                loop {
                    outlet.write(&piece).await?;
                    let Some(left) = rest else { return Ok(()) };
                    drop(piece);
                    // A peer that reads as fast as we write would have this thread to itself.
                    tokio::task::yield_now().await;
                    its_outgoing.wait_for_room(LARGEST_MADE_BYTES).await;
                    (piece, rest) = next(left).await.map_err(|cause| {
                        log_if_internal(&cause);
                        Gone
                    })?;
                }
            },
        ))
    }
}

impl<'r> Responder<'r, 'static> for Listing {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        match self {
            Listing::Whole(reply) => reply.respond_to(request),
            Listing::Streamed(pieces) => Response::build()
                .header(ContentType::JSON)
                .header(Header::new("Cache-Control", "no-store"))
                .streamed_body(pieces)
                .max_chunk_size(WRITE_BYTES)
                .ok(),
        }
    }
}

/// A JSON array, written item by item over any number of pieces.
#[derive(Default)]
pub(crate) struct Array {
    /// It has an item.
    pub(crate) is_begun: bool,
}

impl Array {
    /// Writes one more item.
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, item: &impl Serialize) {
        out.push(if self.is_begun { b',' } else { b'[' });
        self.is_begun = true;
        put_json(out, item);
    }

    /// Writes the end.
    pub(crate) fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_begun { b"]" } else { b"[]" });
    }
}

/// Makes room at once for what a chunk becomes; about `around` bytes surround each content.
pub(crate) fn make_room<T>(out: &mut Vec<u8>, chunk: &Chunk<T>, around: usize) {
    let (count, bytes) = (chunk.rows.len(), chunk.bytes);
    // The writer of JSON asks for room for a text that is all escapes before it writes the text.
    out.reserve(bytes + count * around + MOST_JSON_BYTES_PER_BYTE * bytes / count.max(1));
}

#[cfg(test)]
mod tests {
    use rocket::local::asynchronous::Client;

    use super::*;

    const PIECE: [u8; 10_000] = [b' '; 10_000];

    /// How much of a list that fits into a piece, or does not, is written at once.
    async fn write_bytes(rest: Option<()>) -> usize {
        let next = |()| ready(Ok((PIECE.to_vec(), None)));
        let list = Listing::behind(&Outgoing::default(), (PIECE.to_vec(), rest), next);
        let rocket = rocket::custom(rocket::Config::debug_default());
        let client = Client::untracked(rocket).await.expect("an empty server");
        let response = list.respond_to(client.get("/").inner());
        response.expect("an answer").body().max_chunk_size()
    }

    #[tokio::test]
    async fn a_list_is_written_in_large_pieces() {
        assert_eq!(write_bytes(None).await, PIECE.len());
        assert_eq!(write_bytes(Some(())).await, WRITE_BYTES);
    }
}
