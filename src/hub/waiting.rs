//! What waits for one reader, beside its queue: how much it is, the newest of what needs no queue,
//! and whether it waits in vain.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Event;

/// A place in a reader's queue.
pub(super) enum Queued {
    Event(Arc<Event>),
    /// Whatever is the newest when the reader comes to it.
    Newest,
}

#[derive(Default)]
pub(super) struct Waiting {
    /// The reader does not take what is being written to it.
    pub(super) is_stuck: AtomicBool,
    bytes: AtomicUsize,
    /// The newest of the events that replace older ones. As long as there is one, the queue has
    /// one place for it.
    newest: Mutex<Option<Arc<Event>>>,
}

impl Waiting {
    /// Takes an event in; returns its place, unless there is one for it already, and how many bytes
    /// had been waiting before.
    pub(super) fn put(&self, event: &Arc<Event>) -> Option<(Queued, usize)> {
        let queued = if event.replaces_older() {
            if self.newest().replace(event.clone()).is_some() {
                return None;
            }
            Queued::Newest
        } else {
            Queued::Event(event.clone())
        };
        let before = self.bytes.fetch_add(event.bytes(), Ordering::Relaxed);
        Some((queued, before))
    }

    /// The event of a place that its reader has come to.
    pub(super) fn take(&self, queued: Queued) -> Arc<Event> {
        let event = match queued {
            Queued::Event(event) => event,
            Queued::Newest => (self.newest().take()).expect("its place is there only with it"),
        };
        self.bytes.fetch_sub(event.bytes(), Ordering::Relaxed);
        event
    }

    fn newest(&self) -> MutexGuard<'_, Option<Arc<Event>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
