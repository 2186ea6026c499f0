//! What waits for a key that the peer has, and that is trusted: on disk before it is answered, and
//! until it is on its way. People may take days to compare fingerprints, and an agent that is
//! killed must not take with it what it has accepted.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Conversations;
use super::trust::Doubt;
use crate::agent::error::Result;
use crate::agent::wire::UserId;

impl Conversations {
    /// Takes up what an earlier run has kept: the texts, and which changed keys are not accepted.
    pub(super) fn restore_held(&mut self) -> Result<()> {
        for (id, peer) in self.keyring.peers() {
            let changed = peer.changed.clone().map(Doubt::Changed);
            self.doubts.extend(changed.map(|doubt| (*id, doubt)));
        }
        for (peer, texts) in self.keyring.held()? {
            // Whether the server vouches for them is known when they are listed. The user's own
            // key is never judged.
            if peer != self.own {
                self.doubts.entry(peer).or_insert(Doubt::Unvouched);
            }
            self.kept.insert(peer, texts.len());
            let exchange = self.exchange(peer);
            exchange.hold();
            for text in texts {
                exchange.send(text, false, Instant::now());
            }
        }
        Ok(())
    }

    /// Writes what waits, with `newest` behind what its receiver already waits for.
    pub(super) fn keep_held(&mut self, newest: Option<(UserId, &str)>) -> Result<()> {
        let mut held = BTreeMap::<UserId, Vec<&str>>::new();
        for (peer, exchange) in &self.exchanges {
            held.insert(*peer, exchange.waiting().collect());
        }
        if let Some((peer, text)) = newest {
            held.entry(peer).or_default().push(text);
        }
        held.retain(|_, texts| !texts.is_empty());
        self.keyring.save_held(&held)?;
        self.kept = held
            .iter()
            .map(|(peer, texts)| (*peer, texts.len()))
            .collect();
        Ok(())
    }

    /// How many texts for `peer` wait until the user accepts a key.
    pub(super) fn held(&self, peer: UserId) -> usize {
        let kept = self.kept.get(&peer).filter(|_| self.holds(peer));
        kept.copied().unwrap_or_default()
    }

    /// The exchange with `peer` has moved: what is on disk follows.
    pub(super) fn follow_held(&mut self, peer: UserId) {
        let Some(exchange) = self.exchanges.get(&peer) else {
            return;
        };
        let kept = self.kept.get(&peer).copied().unwrap_or_default();
        if exchange.waiting().len() != kept
            && let Err(error) = self.keep_held(None)
        {
            tracing::error!(user = self.own, %error, "what waits for a key was not saved");
        }
    }
}
