//! What the agent knows of its server: how to reach it, and which key it is known by.
//!
//! The key is pinned at first contact. Another one is never taken by itself: it is shown, and
//! [`Server::accept`] takes it.

use std::sync::{Mutex, MutexGuard};

use super::crypto::{self, PublicKey};
use super::error::{Error, Result};
use super::home::Home;
use super::relay::Relay;

/// The server of this agent.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) relay: Relay,
    pub(super) home: Home,
    keys: Mutex<Keys>,
}

#[derive(Debug, Clone, Default)]
struct Keys {
    pinned: Option<String>,
    /// What the server showed instead, until the user accepts it or it is gone again.
    changed: Option<String>,
}

/// Two fingerprints for a person to compare.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Change {
    pub(super) old: String,
    pub(super) new: String,
}

impl Change {
    /// The change between two PEM texts; one that is no key has an empty fingerprint.
    pub(super) fn between(old: &str, new: &str) -> Self {
        let print = |pem| crypto::fingerprint(pem).unwrap_or_default();
        Self {
            old: print(old),
            new: print(new),
        }
    }
}

impl Server {
    /// The server behind `relay`, with the key pinned in `home`.
    ///
    /// Errors: [`Error::Start`] if that cannot be read.
    pub(super) fn new(relay: Relay, home: Home) -> Result<Self> {
        let pinned = home.server_key().map_err(|error| match error {
            Error::Corrupt(path) => Error::Start(format!(
                "{} is damaged; bring it back from a copy, or move it away: the server's key is \
                 then pinned anew, so compare its fingerprint",
                path.display()
            )),
            other => Error::Start(format!("cannot read the key store: {other:?}")),
        })?;
        let keys = Mutex::new(Keys {
            pinned,
            changed: None,
        });
        Ok(Self { relay, home, keys })
    }

    /// Asks the server for its key: pins it at first contact. True if it has become another one.
    ///
    /// A server that shows none leaves everything as it is.
    pub(super) async fn look(&self) -> Result<bool> {
        let Some(shown) = self.relay.server_key().await? else {
            return Ok(false);
        };
        let Some(shown) = PublicKey::from_pem(&shown).map(|key| key.to_pem()) else {
            return Ok(false);
        };
        let mut keys = self.keys();
        if keys.pinned.is_none() {
            self.home.pin_server_key(&shown)?;
            keys.pinned = Some(shown);
            return Ok(false);
        }
        let other = (keys.pinned.as_ref() != Some(&shown)).then_some(shown);
        let news = other.is_some() && keys.changed != other;
        keys.changed = other;
        Ok(news)
    }

    /// The homes of other URLs that have pinned this server's key: it is the same server.
    ///
    /// Errors: [`Error::Unreachable`] if its key is not known here yet and cannot be asked for.
    pub(super) async fn other_homes(&self) -> Result<Vec<Home>> {
        if self.keys().pinned.is_none() {
            self.look().await?;
        }
        let pinned = self.keys().pinned.clone();
        pinned.map_or(Ok(Vec::new()), |key| self.home.others_of(&key))
    }

    /// Whether the pinned server key signed `pem`.
    ///
    /// With no key pinned (the server shows none) every user's key counts as vouched for; it is
    /// pinned at first sight all the same.
    pub(super) fn vouches(&self, pem: &str, signature: Option<&str>) -> bool {
        let pinned = self.keys().pinned.clone();
        let Some(server) = pinned.and_then(|pinned| PublicKey::from_pem(&pinned)) else {
            return true;
        };
        signature.is_some_and(|signature| server.verifies(pem, signature))
    }

    /// The fingerprint of the pinned key.
    pub(super) fn fingerprint(&self) -> Option<String> {
        crypto::fingerprint(self.keys().pinned.as_deref()?)
    }

    /// The change that waits for the user.
    pub(super) fn changed(&self) -> Option<Change> {
        let keys = self.keys();
        let (old, new) = (keys.pinned.as_ref()?, keys.changed.as_ref()?);
        Some(Change::between(old, new))
    }

    /// The user accepts the changed key, naming its fingerprint.
    pub(super) fn accept(&self, fingerprint: &str) -> Result<()> {
        let mut keys = self.keys();
        let changed = keys.changed.clone();
        let named = changed.filter(|pem| crypto::fingerprint(pem).as_deref() == Some(fingerprint));
        let pem = named.ok_or(Error::Invalid("指纹不符"))?;
        self.home.pin_server_key(&pem)?;
        *keys = Keys {
            pinned: Some(pem),
            changed: None,
        };
        Ok(())
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().expect("nobody panics with the lock held")
    }
}
