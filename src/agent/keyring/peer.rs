//! What is kept of one peer: their public key, and the AES keys shared with them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::agent::crypto::AesKey;

/// AES keys kept per peer: enough for years of restarts, and a bound for a peer who floods. Where
/// one has to go, it is one that never served, as those of a flood.
pub(super) const KEYS_KEPT: usize = 1_000;
/// As many of them may be such as never served: an offer that nothing followed is soon worthless,
/// and each is tried on whatever does not open.
pub(super) const UNUSED_KEPT: usize = 20;

/// What is known of one peer.
#[derive(Debug, Clone, Default)]
pub(in crate::agent) struct Peer {
    /// Their name when they were last seen.
    pub(in crate::agent) username: String,
    /// Their pinned public key.
    pub(in crate::agent) public_key: Option<String>,
    /// The one they came with since, until the user accepts it.
    pub(in crate::agent) changed: Option<String>,
    /// Every AES key shared with them, the newest last.
    keys: Vec<Kept>,
    /// What the newest of them is good for.
    pub(in crate::agent) newest: Use,
}

/// An AES key shared with a peer.
#[derive(Debug, Clone)]
struct Kept {
    key: AesKey,
    /// Whether it has sealed or opened anything: such a key may be the only one for a text.
    is_used: bool,
}

/// What a key is good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::agent) enum Use {
    /// To read old messages.
    #[default]
    Reading,
    /// To write; the peer may not have it yet.
    Chosen,
    /// To write; the peer has it.
    Agreed,
}

impl Peer {
    /// The AES key that came last.
    pub(in crate::agent) fn newest_key(&self) -> Option<&AesKey> {
        self.keys.last().map(|kept| &kept.key)
    }

    /// Every AES key shared with them: the newest, then those that have sealed or opened anything,
    /// then the others, each from the newest on.
    pub(super) fn keys(&self) -> impl Iterator<Item = &AesKey> {
        let older = self.keys.iter().rev().skip(1);
        let used = older.clone().filter(|kept| kept.is_used);
        let unused = older.filter(|kept| !kept.is_used);
        let keys = self.keys.last().into_iter().chain(used).chain(unused);
        keys.map(|kept| &kept.key)
    }

    /// Keeps `key` as the newest one. True if that is news.
    pub(super) fn use_key(&mut self, key: &AesKey, newest: Use) -> bool {
        if self.newest_key() == Some(key) && self.newest == newest {
            return false;
        }
        let earlier = self.keys.iter().position(|kept| kept.key == *key);
        let is_used = earlier.is_some_and(|at| self.keys.remove(at).is_used);
        let key = key.clone();
        self.keys.push(Kept { key, is_used });
        self.newest = newest;
        while self.unused().count() > UNUSED_KEPT {
            self.drop_unused();
        }
        if self.keys.len() > KEYS_KEPT && !self.drop_unused() {
            self.keys.remove(0);
        }
        true
    }

    /// `key` has sealed or opened something: it is not dropped while there are others to drop.
    /// True if it is kept and that is news.
    pub(super) fn mark_used(&mut self, key: &AesKey) -> bool {
        let mut keys = self.keys.iter_mut();
        let kept = keys.find(|kept| !kept.is_used && kept.key == *key);
        kept.map(|kept| kept.is_used = true).is_some()
    }

    /// Keeps `key` for reading; `is_used` says whether it has opened a message. True if that is
    /// news.
    pub(super) fn keep_key(&mut self, key: &AesKey, is_used: bool) -> bool {
        if is_used && self.mark_used(key) {
            return true;
        }
        if self.keys.iter().any(|kept| kept.key == *key) {
            return false;
        }
        let is_crowded = !is_used && self.unused().count() >= UNUSED_KEPT;
        if (is_crowded || self.keys.len() >= KEYS_KEPT) && !self.drop_unused() {
            return false;
        }
        let key = key.clone();
        self.keys.insert(0, Kept { key, is_used });
        true
    }

    /// Drops the oldest key that has neither sealed nor opened anything, but never the newest.
    /// False if there is none.
    fn drop_unused(&mut self) -> bool {
        let older = self.keys.len().saturating_sub(1);
        let unused = self.keys[..older].iter().position(|kept| !kept.is_used);
        unused.map(|at| self.keys.remove(at)).is_some()
    }

    /// The places of the keys that have neither sealed nor opened anything.
    fn unused(&self) -> impl Iterator<Item = usize> {
        let places = self.keys.iter().enumerate();
        places.filter_map(|(at, kept)| (!kept.is_used).then_some(at))
    }
}

/// A [`Peer`] on disk.
#[derive(Serialize, Deserialize)]
pub(super) struct PeerFile {
    username: String,
    public_key: Option<String>,
    #[serde(default)]
    changed: Option<String>,
    keys: Vec<String>,
    /// The places of those that have neither sealed nor opened anything.
    #[serde(default)]
    unused: BTreeSet<usize>,
    newest: Use,
}

impl From<&Peer> for PeerFile {
    fn from(peer: &Peer) -> Self {
        Self {
            username: peer.username.clone(),
            public_key: peer.public_key.clone(),
            changed: peer.changed.clone(),
            keys: peer.keys.iter().map(|kept| kept.key.to_base64()).collect(),
            unused: peer.unused().collect(),
            newest: peer.newest,
        }
    }
}

impl PeerFile {
    /// Nothing if one of the keys is none.
    pub(super) fn peer(self) -> Option<Peer> {
        let kept = |(at, key): (usize, &String)| {
            let is_used = !self.unused.contains(&at);
            AesKey::from_base64(key).map(|key| Kept { key, is_used })
        };
        let keys = self.keys.iter().enumerate().map(kept);
        Some(Peer {
            keys: keys.collect::<Option<_>>()?,
            username: self.username,
            public_key: self.public_key,
            changed: self.changed,
            newest: self.newest,
        })
    }
}
