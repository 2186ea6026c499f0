//! Showing others a key to write to, where the server has none of a user that agents can seal for:
//! their account was made through another API.
//!
//! A key that others may have pinned is never replaced here.

use super::Agent;
use super::crypto::PublicKey;
use super::error::{Error, Result};
use super::keyring::Keyring;
use super::relay::Login;

impl Agent {
    /// Publishes the key in `keyring` if the server shows no usable one for the user who has just
    /// logged in. Who cannot be written to can still log in: a failure goes to the log, and the next
    /// login tries again.
    pub(super) async fn publish_missing_key(&self, login: &Login, keyring: &Keyring) {
        if let Err(error) = self.try_publish(login, keyring).await {
            tracing::warn!(
                user = login.id,
                %error,
                "the server shows no key of this user, and theirs could not be published: nobody \
                 can write to them"
            );
        }
    }

    async fn try_publish(&self, login: &Login, keyring: &Keyring) -> Result<()> {
        let relay = &self.server.relay;
        let shown = match relay.listed(&login.token, login.id).await {
            // A server that does not tell may show one all the same.
            Err(Error::NotReady) => return Ok(()),
            listed => listed?.public_key.unwrap_or_default(),
        };
        if PublicKey::from_pem(&shown).is_some() {
            return Ok(());
        }
        let pem = keyring.private().public().to_pem();
        relay.publish_key(&login.token, &pem).await?;
        let replaced = !shown.is_empty();
        tracing::info!(user = login.id, replaced, "the user's key is published");
        Ok(())
    }
}
