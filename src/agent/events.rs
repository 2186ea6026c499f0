//! What the agent tells its pages live, in a queue for each of them. Whoever subscribes late has
//! missed it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::wire::UserId;

/// What may wait for a slow page before its stream ends and it starts anew. Hundreds of messages
/// come at once after an absence, so it is their size that counts and not their number.
const WAITING_BYTES: usize = 64 * 1024 * 1024;
/// What an event takes in a queue beside its line.
const QUEUED_BYTES: usize = 256;
/// What the line of an event takes beside the text in it.
const AROUND_BYTES: usize = 128;

/// A message to a user of this agent, as published.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Received<'a> {
    from_id: UserId,
    to_id: UserId,
    content: &'a str,
    /// Of its record, where the server has told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
}

/// What a user of this agent has written. In other words than the published ones: programs that
/// know only those take whatever has them for something that came.
#[derive(Serialize)]
#[serde(tag = "type", rename = "sent")]
struct Sent<'a> {
    user: UserId,
    peer: UserId,
    text: &'a str,
    /// It waits until the user accepts a key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    held: bool,
}

/// One event as it goes over every stream: a line of JSON in the form of server-sent events.
///
/// A picture is megabytes long, so all streams share one copy.
#[derive(Debug, Clone)]
pub(super) struct Event(Arc<Vec<u8>>);

impl Event {
    /// For the writer's pages: `user` has sent `text` to `peer`, be it that it is held.
    pub(super) fn sent(user: UserId, peer: UserId, text: &str, held: bool) -> Self {
        let sent = Sent {
            user,
            peer,
            text,
            held,
        };
        Self::new(&sent, text.len())
    }

    /// For the pages of `user`: how their link to the server is.
    pub(super) fn link(user: UserId, state: &str) -> Self {
        Self::new(&json!({"type": "link", "user": user, "state": state}), 0)
    }

    /// The event that `body` describes, with a text of about `text_bytes` in it.
    fn new(body: &impl Serialize, text_bytes: usize) -> Self {
        let mut block = Vec::with_capacity(text_bytes + AROUND_BYTES);
        block.extend_from_slice(b"data: ");
        serde_json::to_writer(&mut block, body).expect("plain data has a JSON form");
        block.extend_from_slice(b"\n\n");
        Self(Arc::new(block))
    }

    /// The event that somebody wrote as `json`, unchanged but for line breaks, which end an event.
    fn written(json: &RawValue) -> Self {
        // Inside strings JSON has none as they are, and elsewhere a space means the same.
        let line = json.get().replace(['\n', '\r'], " ");
        Self(Arc::new(format!("data: {line}\n\n").into_bytes()))
    }

    fn queued_bytes(&self) -> usize {
        self.0.len() + QUEUED_BYTES
    }
}

impl AsRef<[u8]> for Event {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The way to every page of this agent.
#[derive(Debug, Clone, Default)]
pub(super) struct Events(Arc<Mutex<Vec<Weak<Queue>>>>);

impl Events {
    /// Tells every open page. Nobody listening is fine.
    pub(super) fn publish(&self, body: &impl Serialize) {
        self.tell(Event::new(body, 0));
    }

    /// Tells every open page `json` as it was written.
    pub(super) fn publish_written(&self, json: &RawValue) {
        self.tell(Event::written(json));
    }

    /// Tells every open page that `from` wrote `content` to `to`, which is the record `id`.
    pub(super) fn publish_received(
        &self,
        (from_id, to_id): (UserId, UserId),
        content: &str,
        id: Option<i64>,
    ) {
        // A picture need not be written for nobody.
        if self.queues().iter().any(|queue| queue.strong_count() > 0) {
            let received = Received {
                from_id,
                to_id,
                content,
                id,
            };
            self.tell(Event::new(&received, content.len()));
        }
    }

    /// Tells every open page what was made before.
    pub(super) fn tell(&self, event: Event) {
        self.queues().retain(|queue| {
            let queue = queue.upgrade();
            queue.is_some_and(|queue| queue.push(&event))
        });
    }

    /// All events from now on.
    pub(super) fn subscribe(&self) -> Subscriber {
        let queue = Arc::new(Queue::default());
        let mut queues = self.queues();
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(&queue));
        Subscriber(queue)
    }

    fn queues(&self) -> MutexGuard<'_, Vec<Weak<Queue>>> {
        self.0.lock().expect("nobody panics with the lock held")
    }
}

/// What waits for one page, which alone keeps it.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Something waits, or nothing will any more.
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    bytes: usize,
    /// The page was too far behind: what waited is gone.
    has_ended: bool,
}

impl Queue {
    /// Adds `event` unless too much waits before it. False if nothing is to be added any more.
    fn push(&self, event: &Event) -> bool {
        let mut waiting = self.waiting();
        let bytes = waiting.bytes + event.queued_bytes();
        // A single event passes whatever its size: nobody could have read it any sooner.
        if waiting.events.is_empty() || bytes <= WAITING_BYTES {
            waiting.bytes = bytes;
            waiting.events.push_back(event.clone());
        } else {
            *waiting = Waiting {
                has_ended: true,
                ..Waiting::default()
            };
        }
        let goes_on = !waiting.has_ended;
        drop(waiting);
        self.more.notify_one();
        goes_on
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        let guard = self.waiting.lock();
        guard.expect("nobody panics with the lock held")
    }
}

/// The events of one page.
#[derive(Debug)]
pub(super) struct Subscriber(Arc<Queue>);

impl Subscriber {
    /// The next event, once there is one; nothing if this page was too far behind.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            {
                let mut waiting = self.0.waiting();
                if waiting.has_ended {
                    return None;
                }
                if let Some(event) = waiting.events.pop_front() {
                    waiting.bytes -= event.queued_bytes();
                    return Some(event);
                }
            }
            self.0.more.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        Event::new(&text, text.len())
    }

    async fn read(subscriber: &mut Subscriber) -> Option<String> {
        let event = subscriber.next().await?;
        Some(String::from_utf8(event.as_ref().to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn every_subscriber_gets_thousands_of_events_that_come_at_once() {
        let events = Events::default();
        let mut subscribers = [events.subscribe(), events.subscribe()];
        for number in 0..5_000 {
            events.publish(&number);
        }
        for subscriber in &mut subscribers {
            for number in 0..5_000 {
                let line = format!("data: {number}\n\n");
                assert_eq!(read(subscriber).await, Some(line));
            }
        }
    }

    #[tokio::test]
    async fn who_is_too_far_behind_is_ended_and_nobody_else() {
        let events = Events::default();
        let (mut quick, mut slow) = (events.subscribe(), events.subscribe());
        let large = event(&"x".repeat(WAITING_BYTES));
        for _ in 0..2 {
            events.tell(large.clone());
            assert!(quick.next().await.is_some(), "one of any size passes");
        }
        assert!(slow.next().await.is_none());
        events.publish(&1);
        assert_eq!(read(&mut quick).await.as_deref(), Some("data: 1\n\n"));
        assert!(slow.next().await.is_none(), "for good");
    }

    #[tokio::test]
    async fn what_small_events_take_besides_their_text_counts_too() {
        let events = Events::default();
        let mut subscriber = events.subscribe();
        for _ in 0..=WAITING_BYTES / QUEUED_BYTES {
            events.tell(event(""));
        }
        assert!(subscriber.next().await.is_none());
    }

    #[test]
    fn a_subscriber_that_is_gone_is_not_kept() {
        let events = Events::default();
        drop(events.subscribe());
        events.publish(&1);
        assert!(events.queues().is_empty());
        let queue = Arc::downgrade(&events.subscribe().0);
        assert!(queue.upgrade().is_none());
    }
}
