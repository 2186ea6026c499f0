//! Learning the keys and names of those whom no roster shows.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::MutexGuard;
use tokio::time::timeout;

use super::Session;
use crate::agent::error::{Error, Result};
use crate::agent::wire::{Listed, UserId};

/// How long a text waits for what the server says of its receiver's key.
const ASKED_WITHIN: Duration = Duration::from_secs(5);

impl Session {
    /// Learns the key of `to` where no roster tells it, before the first text of an absence. Who
    /// writes to them meanwhile waits for the same answer.
    ///
    /// Errors: those of asking, if no key is known to go on with.
    pub(super) async fn turn_to_write(&self, to: UserId) -> Result<Option<MutexGuard<'_, ()>>> {
        if !self.conversations().is_to_be_met(to) {
            return Ok(None);
        }
        let turn = self.meeting.lock().await;
        if !self.conversations().is_to_be_met(to) {
            return Ok(Some(turn));
        }
        let met = timeout(ASKED_WITHIN, self.meet(to)).await;
        let mut conversations = self.conversations();
        conversations.has_asked_for(to);
        if !conversations.may_write(to) {
            met.unwrap_or(Err(Error::Unreachable))?;
        }
        Ok(Some(turn))
    }

    /// Learns the key of `peer`, whom no roster shows.
    async fn meet(&self, peer: UserId) -> Result<()> {
        let listed = self.ask_for(peer).await?;
        self.conversations().meet(&[listed], Instant::now())
    }

    async fn ask_for(&self, peer: UserId) -> Result<Listed> {
        let relay = &self.server.relay;
        let ask = move |token: String| async move { relay.listed(&token, peer).await };
        self.with_token(ask).await
    }

    /// Asks again for whom the server vouches now: no roster tells that of those who are away.
    pub(in crate::agent) async fn meet_unvouched(&self) {
        let unvouched = self.conversations().unvouched();
        self.meet_all(unvouched).await;
    }

    /// Learns who those are that wrote without ever having been on a roster.
    pub(in crate::agent) async fn meet_strangers(&self) {
        let strangers = self.conversations().take_strangers();
        self.meet_all(strangers).await;
    }

    async fn meet_all(&self, peers: Vec<UserId>) {
        if peers.is_empty() {
            return;
        }
        let mut met = Vec::new();
        for peer in peers {
            match self.ask_for(peer).await {
                Ok(listed) => met.push(listed),
                Err(error) => {
                    tracing::debug!(user = self.id, peer, %error, "nothing new of a peer");
                }
            }
        }
        // All at once: hundreds may have written in an absence, and what is known of everybody is
        // written to the disk as a whole. Whether they have keys matters when they are written to.
        let _ = self.conversations().meet(&met, Instant::now());
        self.outgoing.notify_one();
        self.events
            .publish(&json!({"type": "online", "user": self.id}));
    }
}
