//! The bytes under a socket: what has come of a message that has not ended, and whether the peer
//! takes anything.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What one connection may always hold of a message that has not ended.
const ALWAYS_TAKEN_BYTES: usize = 64 << 10;
/// What all of them may, as large bodies may.
const ALLOWANCE_BYTES: usize = 256 << 20;

/// How many bytes of messages that have not ended all sockets hold.
#[derive(Clone, Default)]
pub(crate) struct Allowance(Arc<AtomicUsize>);

/// A connection whose writes fail when the peer has taken nothing for too long, and whose reads
/// fail, as [`io::ErrorKind::QuotaExceeded`], where there is no room for a long message.
pub(crate) struct Connection<S> {
    stream: S,
    allowance: Allowance,
    unfinished_bytes: usize,
    /// How long the peer may go on taking nothing.
    patience: Duration,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Connection<S> {
    /// A connection whose peer may take nothing for as long as `patience`.
    pub(super) fn new(stream: S, allowance: Allowance, patience: Duration) -> Self {
        Connection {
            stream,
            allowance,
            unfinished_bytes: 0,
            patience,
            stuck: None,
        }
    }

    /// What is below, to be read from without counting.
    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// How many bytes have come that belong to nothing complete.
    pub(super) fn unfinished_bytes(&self) -> usize {
        self.unfinished_bytes
    }

    /// Says that so many bytes are dealt with.
    pub(super) fn settle(&mut self, bytes: usize) {
        let bytes = bytes.min(self.unfinished_bytes);
        self.unfinished_bytes -= bytes;
        self.allowance.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn take_in(&mut self, bytes: usize) -> io::Result<()> {
        self.unfinished_bytes += bytes;
        let held = self.allowance.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if held > ALLOWANCE_BYTES && self.unfinished_bytes > ALWAYS_TAKEN_BYTES {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(())
    }

    /// Runs out when nothing could be written for too long.
    fn wait_for_peer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(patience)));
        let too_long = stuck.as_mut().poll(context);
        too_long.map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.settle(self.unfinished_bytes);
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
        let taken = self.take_in(into.filled().len() - before);
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

    const BRIEFLY: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn a_write_fails_when_the_peer_takes_nothing_and_waits_for_one_who_does() {
        let connect = |patience| {
            let (ours, peer) = duplex(1);
            (Connection::new(ours, Allowance::default(), patience), peer)
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

    #[tokio::test]
    async fn where_there_is_no_room_for_long_messages_there_is_some_for_short_ones() {
        let allowance = Allowance::default();
        let connect = || {
            let (ours, peer) = duplex(1 << 20);
            (Connection::new(ours, allowance.clone(), BRIEFLY), peer)
        };
        let (mut hog, _) = connect();
        hog.take_in(ALLOWANCE_BYTES).expect("there is room");
        for (bytes, is_taken) in [(ALWAYS_TAKEN_BYTES, true), (ALWAYS_TAKEN_BYTES + 1, false)] {
            let (mut connection, mut peer) = connect();
            peer.write_all(&vec![0; bytes]).await.expect("it has room");
            let read = connection.read_exact(&mut vec![0; bytes]).await;
            assert_eq!(read.is_ok(), is_taken, "{bytes}");
        }
        drop(hog);
        assert_eq!(allowance.0.load(Ordering::Relaxed), 0);
    }
}
