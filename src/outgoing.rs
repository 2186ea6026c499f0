//! How much is in memory of long answers that clients have yet to take.
//!
//! A client that asks for much and reads nothing costs what it has asked for. All such together have
//! one allowance. Once half of it is used, the slow ones of those on their way end; while all of it
//! is, no long answer is begun.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::error::{Error, Result};

/// What is no longer than this is not counted: an HTTP connection has buffers larger than that.
pub(crate) const UNCOUNTED_BYTES: usize = 256 << 10;
/// Of what goes to a client unasked, what is no longer than this is always taken. No roster is longer.
const ALWAYS_TAKEN_BYTES: usize = 1 << 20;
/// 256 MiB, as for bodies that come in.
const ALLOWANCE_BYTES: usize = 256 << 20;
/// A control character takes six bytes in JSON.
pub(crate) const MOST_JSON_BYTES_PER_BYTE: usize = 6;
/// No answer counts for more than this while it is made.
pub(crate) const LARGEST_MADE_BYTES: usize = ALLOWANCE_BYTES / 2;
/// Up to here there is room for whatever may be made. Beyond it slow clients lose theirs.
const ROOMY_BYTES: usize = ALLOWANCE_BYTES - LARGEST_MADE_BYTES;
/// How long any client may take for an answer, and how much longer for each 64 KiB of it, once
/// others may need the room.
const PATIENCE: Duration = Duration::from_secs(10);
const PER_PIECE: Duration = Duration::from_millis(100);
const PIECE_BYTES: usize = 64 << 10;
/// How often those who wait for room, and those who write, look.
const LOOK_EVERY: Duration = Duration::from_millis(200);

const FULL: Error = Error::Busy {
    retry_after_secs: PATIENCE.as_secs(),
};

/// The bytes of all long answers that are on their way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outgoing(Arc<AtomicUsize>);

/// One answer's part of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    outgoing: Outgoing,
    bytes: usize,
    /// Until when it may take, whoever else needs the room.
    due: Instant,
}

/// An answer took too long, while others needed its room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooSlow;

impl Outgoing {
    /// Whether nothing long may be begun.
    pub(crate) fn is_full(&self) -> bool {
        self.held_bytes() >= ALLOWANCE_BYTES
    }

    fn held_bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether something so long may go to a client that has not asked for it.
    pub(crate) fn takes(&self, bytes: usize) -> bool {
        bytes <= ALWAYS_TAKEN_BYTES || !self.is_full()
    }

    /// To be asked before anything is done for what may become a long answer, where nothing tells
    /// how long. Errors: [`Error::Busy`].
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_full() {
            return Err(FULL);
        }
        Ok(())
    }

    /// Counts what so much content may take while it becomes JSON: on PostgreSQL many answers are
    /// made at once. Errors: [`Error::Busy`]; never for little.
    pub(crate) fn make(&self, content_bytes: usize) -> Result<Held> {
        let held = self.hold((content_bytes * MOST_JSON_BYTES_PER_BYTE).min(LARGEST_MADE_BYTES));
        if held.bytes > 0 && self.held_bytes() > ALLOWANCE_BYTES {
            return Err(FULL);
        }
        Ok(held)
    }

    /// Waits until there is room for so many bytes, or for whatever may be made if that is less:
    /// slow clients are let go until there is.
    pub(crate) async fn wait_for_room(&self, bytes: usize) {
        let bytes = bytes.min(LARGEST_MADE_BYTES);
        while self.held_bytes() > ALLOWANCE_BYTES - bytes {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Counts so many bytes, whether or not there is room.
    pub(crate) fn hold(&self, bytes: usize) -> Held {
        let bytes = if bytes > UNCOUNTED_BYTES { bytes } else { 0 };
        self.0.fetch_add(bytes, Ordering::Relaxed);
        let pieces = u32::try_from(bytes / PIECE_BYTES).unwrap_or(u32::MAX);
        Held {
            outgoing: self.clone(),
            bytes,
            due: Instant::now() + PATIENCE + PER_PIECE * pieces,
        }
    }
}

impl Held {
    /// Lets `write` go on for as long as it likes, unless others may need the room.
    pub(crate) async fn during<T>(&self, write: impl Future<Output = T>) -> Result<T, TooSlow> {
        if self.bytes == 0 {
            return Ok(write.await);
        }
        let mut write = std::pin::pin!(write);
        loop {
            if let Ok(written) = timeout(LOOK_EVERY, &mut write).await {
                return Ok(written);
            }
            let is_wanted = self.outgoing.held_bytes() > ROOMY_BYTES;
            if is_wanted && Instant::now() > self.due {
                return Err(TooSlow);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.outgoing.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const A_MOMENT: Duration = Duration::from_millis(450);

    #[tokio::test]
    async fn the_slow_end_where_others_need_the_room_and_only_then() {
        let outgoing = Outgoing::default();
        let mut slow = outgoing.hold(1 << 20);
        slow.due = Instant::now();
        let alone = timeout(A_MOMENT, slow.during(pending::<()>())).await;
        assert!(alone.is_err() && outgoing.check().is_ok());

        let other = outgoing.hold(ALLOWANCE_BYTES);
        assert!(outgoing.check().is_err());
        assert!(outgoing.make(UNCOUNTED_BYTES).is_err() && outgoing.make(1_000).is_ok());
        assert_eq!(slow.during(pending::<()>()).await, Err(TooSlow));
        assert_eq!(slow.during(ready(7)).await, Ok(7));
        let in_time = timeout(A_MOMENT, other.during(pending::<()>())).await;
        assert!(in_time.is_err());
        let mut short = outgoing.hold(UNCOUNTED_BYTES);
        short.due = Instant::now();
        let short = timeout(A_MOMENT, short.during(pending::<()>())).await;
        assert!(short.is_err(), "it takes no room");
    }

    #[tokio::test]
    async fn whoever_waits_for_room_goes_on_when_there_is_some() {
        let outgoing = Outgoing::default();
        let some = outgoing.hold(ROOMY_BYTES);
        let more = outgoing.hold(UNCOUNTED_BYTES + 1);
        let waited = timeout(A_MOMENT, outgoing.wait_for_room(LARGEST_MADE_BYTES)).await;
        assert!(waited.is_err());
        drop(more);
        let waited = timeout(A_MOMENT, outgoing.wait_for_room(LARGEST_MADE_BYTES)).await;
        assert!(waited.is_ok() && outgoing.make(LARGEST_MADE_BYTES).is_ok());
        drop(some);
        assert_eq!(outgoing.0.load(Ordering::Relaxed), 0);
    }
}
