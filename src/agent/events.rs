//! What the agent tells its pages live. It keeps nothing: who subscribes late has missed it.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::broadcast;

/// Events a slow page may be behind before its stream ends and it starts anew.
const BACKLOG: usize = 256;

/// The one channel to every page of this agent.
#[derive(Debug, Clone)]
pub(super) struct Events(broadcast::Sender<Arc<str>>);

impl Events {
    pub(super) fn new() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }

    /// Tells every open page. Nobody listening is fine.
    pub(super) fn publish(&self, event: &Value) {
        let _ = self.0.send(event.to_string().into());
    }

    /// All events from now on, each as one line of JSON.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.subscribe()
    }
}
