//! How much is in memory of messages that sockets have begun to send and not ended.
//!
//! All sockets together have one allowance. While it is used up, no long message is taken; a short one
//! always is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What any message may always take.
const SHORT_BYTES: usize = 64 << 10;
/// 256 MiB, as for large bodies.
const ALLOWANCE_BYTES: usize = 256 << 20;

/// The bytes of all such messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incoming(Arc<AtomicUsize>);

/// One socket's part of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Unfinished {
    incoming: Incoming,
    bytes: usize,
}

/// A long message has come to where there is no room for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Incoming {
    /// The part of a socket that is new.
    pub(crate) fn part(&self) -> Unfinished {
        Unfinished {
            incoming: self.clone(),
            bytes: 0,
        }
    }
}

impl Unfinished {
    /// How many bytes have come that belong to nothing complete.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts bytes that have come, whether or not there is room.
    pub(crate) fn take_in(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.bytes += bytes;
        let all = self.incoming.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if all > ALLOWANCE_BYTES && self.bytes > SHORT_BYTES {
            return Err(NoRoom);
        }
        Ok(())
    }

    /// Says that so many bytes are dealt with.
    pub(crate) fn settle(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.incoming.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.settle(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_room_for_long_messages_there_is_some_for_short_ones() {
        let incoming = Incoming::default();
        let mut hog = incoming.part();
        assert_eq!(hog.take_in(ALLOWANCE_BYTES), Ok(()));
        let mut part = incoming.part();
        assert_eq!(part.take_in(SHORT_BYTES), Ok(()));
        assert_eq!(part.take_in(1), Err(NoRoom));
        drop((hog, part));
        assert_eq!(incoming.0.load(Ordering::Relaxed), 0);
    }
}
