//! The user's own key on this machine, and the one that the server shows others as theirs.

use std::sync::MutexGuard;

use serde_json::json;

use super::Session;
use crate::agent::crypto;
use crate::agent::error::{Error, Result};
use crate::agent::wire::Listed;

impl Session {
    /// The fingerprint of the user's key on this machine.
    pub(in crate::agent) fn fingerprint(&self) -> String {
        self.public_key.fingerprint()
    }

    /// The fingerprint of the key that others see of the user, if it is not the one of this agent.
    pub(in crate::agent) fn other_key(&self) -> Option<String> {
        self.seen_key().clone()
    }

    /// Has the server show the key of this machine from now on. `fingerprint` is that of the key
    /// which it replaces: what is sealed for that one opens here as little as before, and what
    /// comes from now on no longer opens where that one is.
    ///
    /// Errors: [`Error::Invalid`] if others see another key than that, or this one.
    pub(in crate::agent) async fn publish_own_key(&self, fingerprint: &str) -> Result<()> {
        if self.other_key().as_deref() != Some(fingerprint) {
            return Err(Error::Invalid("指纹不符"));
        }
        let (relay, pem) = (&self.server.relay, self.public_key.to_pem());
        let pem = pem.as_str();
        let publish = move |token: String| async move { relay.publish_key(&token, pem).await };
        self.with_token(publish).await?;
        tracing::info!(
            user = self.id,
            "the user's key is published in place of another"
        );
        // The next roster says the same, if there is a link.
        self.note_other_key(None);
        Ok(())
    }

    /// Another key under our name means that what is sealed for it stays closed here.
    pub(super) fn note_own_key(&self, list: &[Listed]) {
        let own = list.iter().find(|listed| listed.id == self.id);
        let shown = own.and_then(|listed| listed.public_key.as_deref());
        let shown = shown.and_then(crypto::fingerprint);
        self.note_other_key(shown.filter(|shown| *shown != self.fingerprint()));
    }

    fn note_other_key(&self, other: Option<String>) {
        let mut seen = self.seen_key();
        if *seen == other {
            return;
        }
        if other.is_some() {
            tracing::warn!(user = self.id, "the server shows another key for this user");
        }
        *seen = other;
        self.events
            .publish(&json!({"type": "own_key_changed", "user": self.id}));
    }

    fn seen_key(&self) -> MutexGuard<'_, Option<String>> {
        let guard = self.other_key.lock();
        guard.expect("nobody panics with the lock held")
    }
}
