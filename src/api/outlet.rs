//! A long answer's body, written by a task of its own: what it holds is dropped when the client
//! takes nothing of it, however long the connection stays open.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::http::WRITE_BYTES;
use crate::outgoing::{Held, Outgoing};

/// How long a client may take nothing of what is written to it. It is seen to take something only
/// when a third of the system's buffer is free, be that megabytes.
const STUCK: Duration = Duration::from_secs(300);

/// Where a body's bytes go in.
pub(crate) struct Outlet {
    into: DuplexStream,
    outgoing: Outgoing,
    /// What is to be written first.
    first: Option<Held>,
    /// How long the client may go on taking nothing.
    patience: Duration,
}

/// The client has left, takes nothing, or is slow while others need the room.
#[derive(Debug)]
pub(crate) struct Gone;

/// A body that `write` writes. It is cut where `write` ends early. The first `first_bytes` are there
/// already, and count from now on.
pub(crate) fn body<F>(
    outgoing: &Outgoing,
    first_bytes: usize,
    write: impl FnOnce(Outlet) -> F,
) -> DuplexStream
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let (into, body) = duplex(WRITE_BYTES);
    tokio::spawn(write(Outlet {
        into,
        outgoing: outgoing.clone(),
        first: Some(outgoing.hold(first_bytes)),
        patience: STUCK,
    }));
    body
}

impl Outlet {
    /// Resolves when nobody is there any more who could read. That a client has left is noticed when
    /// it is written to.
    pub(crate) async fn closed(&mut self) {
        // Nothing is ever written from the other side.
        let _ = self.into.read(&mut [0]).await;
    }

    /// Writes all of it; until then it counts as on its way.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let held = self.first.take();
        let held = held.unwrap_or_else(|| self.outgoing.hold(bytes.len()));
        let written = held.during(async {
            for piece in bytes.chunks(WRITE_BYTES) {
                let taken = timeout(self.patience, self.into.write_all(piece)).await;
                taken.map_err(|_| Gone)?.map_err(|_| Gone)?;
            }
            Ok(())
        });
        written.await.unwrap_or(Err(Gone))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const PIECES: usize = 8;
    const TIME: Duration = Duration::from_secs(1);

    /// A body of some pieces, with little patience.
    fn pieces() -> DuplexStream {
        let bytes = PIECES * WRITE_BYTES;
        body(&Outgoing::default(), bytes, async move |mut outlet| {
            outlet.patience = TIME;
            outlet.write(&vec![b' '; bytes]).await
        })
    }

    #[tokio::test]
    async fn who_reads_slowly_gets_all_and_of_who_does_not_read_nothing_is_kept() {
        let mut slow = pieces();
        for _ in 0..PIECES {
            sleep(TIME / 5).await;
            let mut piece = vec![0; WRITE_BYTES];
            slow.read_exact(&mut piece).await.expect("a piece");
        }
        assert_eq!(slow.read(&mut [0]).await.expect("the end"), 0);

        let mut stuck = pieces();
        sleep(TIME * 3 / 2).await;
        let mut rest = Vec::new();
        stuck
            .read_to_end(&mut rest)
            .await
            .expect("what was written");
        assert_eq!(rest.len(), WRITE_BYTES);
    }
}
