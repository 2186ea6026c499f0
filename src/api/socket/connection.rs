//! The bytes under a socket: what has come of a message that has not ended, and whether the peer
//! takes anything.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::incoming::{NoRoom, Unfinished};

/// A connection whose writes fail when the peer has taken nothing for too long, and whose reads
/// fail, as [`io::ErrorKind::QuotaExceeded`], where there is no room for a long message.
pub(crate) struct Connection<S> {
    stream: S,
    /// What has come of a message that has not ended.
    pub(super) unfinished: Unfinished,
    /// How long the peer may go on taking nothing.
    patience: Duration,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Connection<S> {
    /// A connection whose peer may take nothing for as long as `patience`.
    pub(super) fn new(stream: S, unfinished: Unfinished, patience: Duration) -> Self {
        Connection {
            stream,
            unfinished,
            patience,
            stuck: None,
        }
    }

    /// What is below, to be read from without counting.
    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Runs out when nothing could be written for too long.
    fn wait_for_peer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(patience)));
        let too_long = stuck.as_mut().poll(context);
        too_long.map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        let taken = self.unfinished.take_in(into.filled().len() - before);
        let taken = taken.map_err(|NoRoom| io::ErrorKind::QuotaExceeded.into());
        polled.map(|read| read.and(taken))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(written) => {
                self.stuck = None;
                Poll::Ready(written)
            }
            Poll::Pending => self.wait_for_peer(context),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::incoming::Incoming;

    const BRIEFLY: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn a_write_fails_when_the_peer_takes_nothing_and_waits_for_one_who_does() {
        let connect = |patience| {
            let (ours, peer) = duplex(1);
            let unfinished = Incoming::default().part();
            (Connection::new(ours, unfinished, patience), peer)
        };
        let (mut connection, _peer) = connect(BRIEFLY);
        let stuck = connection.write_all(b"more than one").await;
        let cause = stuck.expect_err("there is room for one");
        assert_eq!(cause.kind(), io::ErrorKind::TimedOut);
        let (mut connection, mut peer) = connect(Duration::from_secs(60));
        let mut taken = [0; 4];
        let both = tokio::join!(connection.write_all(b"more"), peer.read_exact(&mut taken));
        assert!(both.0.is_ok() && both.1.is_ok());
        assert!(connection.stuck.is_none());
    }
}
