//! What the agent tells its pages live. It keeps nothing: who subscribes late has missed it.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::broadcast;

use super::wire::UserId;

/// Events a slow page may be behind before its stream ends and it starts anew.
const BACKLOG: usize = 256;
/// What an event takes beside the text in it.
const AROUND_BYTES: usize = 128;

/// A message as pages hear of it; those that a user of this agent sent have a type.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    from_id: UserId,
    to_id: UserId,
    content: &'a str,
}

/// One event as it goes over every stream: a line of JSON in the form of server-sent events.
///
/// A picture is megabytes long, so all streams share one copy.
#[derive(Debug, Clone)]
pub(super) struct Event(Arc<Vec<u8>>);

impl Event {
    /// For the writer's pages: `from` has sent `content` to `to`.
    pub(super) fn sent(from_id: UserId, to_id: UserId, content: &str) -> Self {
        let kind = Some("sent");
        Self::message(&Message {
            kind,
            from_id,
            to_id,
            content,
        })
    }

    fn message(message: &Message<'_>) -> Self {
        Self::new(message, message.content.len())
    }

    /// The event that `body` describes, with a text of about `text_bytes` in it.
    fn new(body: &impl Serialize, text_bytes: usize) -> Self {
        let mut block = Vec::with_capacity(text_bytes + AROUND_BYTES);
        block.extend_from_slice(b"data: ");
        serde_json::to_writer(&mut block, body).expect("plain data has a JSON form");
        block.extend_from_slice(b"\n\n");
        Self(Arc::new(block))
    }
}

impl AsRef<[u8]> for Event {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The one channel to every page of this agent.
#[derive(Debug, Clone)]
pub(super) struct Events(broadcast::Sender<Event>);

impl Events {
    pub(super) fn new() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }

    /// Tells every open page. Nobody listening is fine.
    pub(super) fn publish(&self, body: &impl Serialize) {
        self.tell(Event::new(body, 0));
    }

    /// Tells every open page that `from` wrote `content` to `to`.
    pub(super) fn publish_received(&self, from_id: UserId, to_id: UserId, content: &str) {
        // A picture need not be written for nobody.
        if self.0.receiver_count() > 0 {
            let kind = None;
            self.tell(Event::message(&Message {
                kind,
                from_id,
                to_id,
                content,
            }));
        }
    }

    /// Tells every open page what was made before.
    pub(super) fn tell(&self, event: Event) {
        let _ = self.0.send(event);
    }

    /// All events from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}
