//! A user's keys that are not where they are looked for first: those of a registration whose answer
//! was lost, and those that an agent with another spelling of the server's URL has kept.
//!
//! Neither is taken unless the server shows its public half for the user.

use std::path::Path;

use super::crypto::PublicKey;
use super::error::{Error, Result};
use super::keyring::Keyring;
use super::relay::Login;
use super::{Agent, open_keys, unconfirmed_keys};

impl Agent {
    /// Keys of a registration whose answer was lost, in place of others that the password does not
    /// open: if they are those that the server shows for the user. Without that they would displace
    /// good keys as soon as the account's password becomes the one of a failed registration.
    pub(super) async fn confirmed_keys(
        &self,
        login: &Login,
        username: &str,
        password: &str,
    ) -> Result<Option<Keyring>> {
        let dir = self.server.home.unclaimed(username)?;
        // A second try to register has taken them over where there were no others.
        let settled = keys_it_opens(&dir, password).await?;
        let is_settled = settled.is_some();
        let unconfirmed = match settled {
            Some(keyring) => Some(keyring),
            None => unconfirmed_keys(&dir, password).await?,
        };
        let Some(keyring) = unconfirmed else {
            return Ok(None);
        };
        if self.shown_key(login).await?.as_ref() != Some(&keyring.private().public()) {
            return Ok(None);
        }
        if !is_settled {
            keyring.settle()?;
        }
        Ok(Some(keyring))
    }

    /// The user's keys from the home of another URL of the same server, as `localhost` is one of
    /// `127.0.0.1`; they lie in this home from now on. Says in the log what was found, and that the
    /// user's earlier messages stay closed where nothing was.
    ///
    /// Whoever takes the server for another one because it is spelt otherwise would be given new
    /// keys, and be somebody else to everybody who knows them.
    pub(super) async fn keys_of_other_url(
        &self,
        login: &Login,
        username: &str,
        password: &str,
    ) -> Result<Option<Keyring>> {
        let Some(shown) = self.shown_key(login).await? else {
            return Ok(None);
        };
        for other in self.server.other_homes().await? {
            let Some(dir) = other.claimed(login.id)? else {
                continue;
            };
            let keyring = keys_it_opens(&dir, password).await?;
            if keyring.is_some_and(|keyring| keyring.private().public() == shown) {
                let moved = self.server.home.take_over(&dir, login.id, username)?;
                tracing::info!(
                    user = login.id,
                    from = other.url(),
                    "the keys have moved here"
                );
                return open_keys(&moved, password).await;
            }
        }
        tracing::warn!(
            user = login.id,
            "the server shows a key for this user that is not on this machine: new ones are made, \
             and what was sealed for the other stays closed"
        );
        Ok(None)
    }

    /// The public key that the server shows for the user who has just logged in, if it shows one.
    async fn shown_key(&self, login: &Login) -> Result<Option<PublicKey>> {
        let shown = self.shown_text(login).await?;
        Ok(shown.as_deref().and_then(PublicKey::from_pem))
    }

    /// What stands there as that key, which may be nothing or no key; none if the server does not
    /// tell.
    pub(super) async fn shown_text(&self, login: &Login) -> Result<Option<String>> {
        match self.server.relay.listed(&login.token, login.id).await {
            Err(Error::NotReady) => Ok(None),
            listed => Ok(Some(listed?.public_key.unwrap_or_default())),
        }
    }
}

/// The keys in `dir`, if there are any and the password opens them.
async fn keys_it_opens(dir: &Path, password: &str) -> Result<Option<Keyring>> {
    match open_keys(dir, password).await {
        Err(Error::LockedKeys) => Ok(None),
        found => found,
    }
}
