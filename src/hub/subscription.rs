//! One listener's end of the hub. What is delivered to it is decided in the parent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::{
    End, Ending, Entry, Event, Expiry, Hub, Listeners, Queued, Subscriber, Waiting, remove,
};
use crate::model::RoomId;

/// A place in the hub; leaves it when dropped.
pub struct Subscription {
    pub(super) id: u64,
    pub(super) hub: Hub,
    pub(super) events: mpsc::Receiver<Queued>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) ending: Arc<Ending>,
    pub(super) expiry: Expiry,
}

impl Subscription {
    /// The next event, or why there are no more.
    pub async fn next(&mut self) -> Result<Arc<Event>, End> {
        tokio::select! {
            biased;
            () = self.ending.signal.cancelled() => Err(self.end()),
            () = self.expiry.passed() => Err(End::Expired),
            event = self.events.recv() => {
                Ok(self.waiting.take(event.ok_or_else(|| self.end())?))
            }
        }
    }

    /// [`Subscription::ended`], to be waited for only while a write to the reader makes no progress:
    /// meanwhile the reader counts as stuck, and fewer events are kept for it.
    pub async fn ended_while_stuck(&mut self) -> End {
        let waiting = self.waiting.clone();
        let _stuck = Stuck::mark(&waiting.is_stuck);
        self.ended().await
    }

    /// Resolves when the subscription is over.
    pub async fn ended(&mut self) -> End {
        tokio::select! {
            () = self.ending.signal.cancelled() => self.end(),
            () = self.expiry.passed() => End::Expired,
        }
    }

    /// Whether it is over, for those who are shown what they did not wait for here.
    pub fn has_ended(&self) -> bool {
        self.check().is_err()
    }

    /// The same for those who are to say why.
    pub fn check(&self) -> Result<(), End> {
        if self.ending.signal.is_cancelled() {
            Err(self.end())
        } else if self.ending.is_time_up() {
            Err(End::Expired)
        } else {
            Ok(())
        }
    }

    /// Changes which room's events come, if any.
    pub fn enter(&self, room: Option<RoomId>) {
        let mut listeners = self.hub.listeners();
        let Listeners {
            entries, by_room, ..
        } = &mut *listeners;
        let Some(entry) = entries.get_mut(&self.id) else {
            return;
        };
        let before = std::mem::replace(&mut entry.subscriber.room, room);
        if let Some(before) = before {
            remove(by_room, before, self.id);
        }
        if let Some(room) = room {
            by_room.entry(room).or_default().insert(self.id);
        }
    }

    /// Ends the user's older subscriptions to the same channel: only the newest may live there.
    pub fn replace_older(&self) {
        let listeners = self.hub.listeners();
        let Some(Entry { subscriber, .. }) = listeners.entries.get(&self.id) else {
            return;
        };
        for (id, entry) in listeners.of(subscriber.user) {
            if id < self.id && entry.subscriber.channel == subscriber.channel {
                entry.ending.end(End::Replaced);
            }
        }
    }

    fn end(&self) -> End {
        self.ending.why.get().copied().unwrap_or(End::Shutdown)
    }
}

/// Marks a reader as stuck for as long as it lives.
struct Stuck<'a>(&'a AtomicBool);

impl<'a> Stuck<'a> {
    fn mark(is_stuck: &'a AtomicBool) -> Self {
        is_stuck.store(true, Ordering::Relaxed);
        Stuck(is_stuck)
    }
}

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut listeners = self.hub.listeners();
        let Some(entry) = listeners.entries.remove(&self.id) else {
            return;
        };
        let Subscriber {
            user,
            username,
            channel,
            room,
            ..
        } = entry.subscriber;
        remove(&mut listeners.by_user, user, self.id);
        remove(&mut listeners.by_channel, channel, self.id);
        if let Some(room) = room {
            remove(&mut listeners.by_room, room, self.id);
        }
        if channel.tells_who_comes() && !listeners.is_on(user, channel) {
            listeners.to_channel(
                channel,
                Some(user),
                &Arc::new(Event::Left { user, username }),
            );
        }
        listeners.note_change_on(channel);
        drop(listeners);
        if channel.is_presence() {
            self.hub.note_change(user);
        }
    }
}
