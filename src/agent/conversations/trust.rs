//! Whose keys are taken: the first that is vouched for, and another only when the user accepts it.

use std::time::Instant;

use serde_json::json;

use super::Conversations;
use crate::agent::crypto::{self, PublicKey};
use crate::agent::error::{Error, Result};
use crate::agent::keyring::Use;
use crate::agent::wire::{Listed, UserId};

/// Why the key a peer shows now is not the one to write to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is another one than the pinned; the user may accept it.
    Changed(String),
    /// The pinned server key did not sign it.
    Unvouched,
}

impl Conversations {
    /// Takes a listed user's key, or doubts it. True if something is to be saved.
    pub(super) fn judge(&mut self, listed: &Listed) -> bool {
        let id = listed.id;
        let shown = listed.public_key.as_deref();
        let renamed = self.rename(listed);
        let Some((pem, key)) = shown.and_then(|pem| Some((pem, PublicKey::from_pem(pem)?))) else {
            return renamed;
        };
        let pinned = self.pinned(id).map(str::to_owned);
        let same = |old: &String| old == pem || PublicKey::from_pem(old).as_ref() == Some(&key);
        if pinned.as_ref().is_some_and(same) {
            return self.clear_doubt(id) | renamed;
        }
        if !self.server.vouches(pem, listed.signature.as_deref()) {
            self.doubts.insert(id, Doubt::Unvouched);
            return renamed;
        }
        if pinned.is_none() {
            self.doubts.remove(&id);
            self.keyring.peer_mut(id).public_key = Some(pem.to_owned());
            return true;
        }
        let doubt = Doubt::Changed(pem.to_owned());
        if self.doubts.get(&id) != Some(&doubt) {
            self.doubts.insert(id, doubt);
            self.keyring.peer_mut(id).changed = Some(pem.to_owned());
            self.events
                .publish(&json!({"type": "key_changed", "user": self.own, "peer": id}));
            return true;
        }
        renamed
    }

    /// [`Conversations::judge`] for everybody listed but the user.
    pub(super) fn judge_all(&mut self, list: &[Listed]) {
        let mut news = false;
        for listed in list {
            if listed.id != self.own {
                news |= self.judge(listed);
            }
        }
        if news {
            self.save();
        }
    }

    /// Nothing is in doubt about the key of `id` any longer. True if something is to be saved.
    fn clear_doubt(&mut self, id: UserId) -> bool {
        self.doubts.remove(&id);
        self.keyring.peer_mut(id).changed.take().is_some()
    }

    /// Whether `to` can be written to, be it that the text waits until the user accepts a key.
    pub(in crate::agent) fn may_write(&self, to: UserId) -> bool {
        match self.doubts.get(&to) {
            None => self.public_key(to).is_some(),
            Some(Doubt::Changed(_)) => true,
            Some(Doubt::Unvouched) => self.server.changed().is_some(),
        }
    }

    /// Whether what is written to `to` is held: their key is in doubt.
    pub(in crate::agent) fn holds(&self, to: UserId) -> bool {
        self.doubts.contains_key(&to)
    }

    /// Whether the server is to be asked for the key of `to` before they are written to: the key
    /// of somebody absent may have changed since they were listed. Once for each absence.
    pub(in crate::agent) fn is_to_be_met(&self, to: UserId) -> bool {
        let is_absent = to != self.own && !self.roster.contains_key(&to);
        !self.may_write(to) || (is_absent && !self.asked.contains(&to))
    }

    /// The server was asked for the key of `peer`, whatever it said.
    pub(in crate::agent) fn has_asked_for(&mut self, peer: UserId) {
        self.asked.insert(peer);
    }

    /// Those whose texts wait since the server does not vouch for their key.
    pub(in crate::agent) fn unvouched(&self) -> Vec<UserId> {
        let is_unvouched = |peer: &&UserId| self.doubts.get(peer) == Some(&Doubt::Unvouched);
        self.kept.keys().filter(is_unvouched).copied().collect()
    }

    /// Takes the keys of those who are not on the roster, or doubts them. Where one is in order,
    /// what waited for that goes to the outbox.
    ///
    /// Errors: [`Error::NoKey`] if one of them has none that is of use; all are known then all the
    /// same.
    pub(in crate::agent) fn meet(&mut self, list: &[Listed], now: Instant) -> Result<()> {
        self.judge_all(list);
        for listed in list {
            self.settle_doubt(listed.id, now);
        }
        let has_key = |listed: &Listed| {
            let shown = listed.public_key.as_deref();
            shown.and_then(PublicKey::from_pem).is_some()
        };
        list.iter().all(has_key).then_some(()).ok_or(Error::NoKey)
    }

    fn rename(&mut self, listed: &Listed) -> bool {
        let peer = self.keyring.peer_mut(listed.id);
        let news = peer.username != listed.username;
        peer.username.clone_from(&listed.username);
        news
    }

    /// Judges everybody on the roster again after the server's key was accepted.
    pub(in crate::agent) fn judge_again(&mut self, now: Instant) {
        let list: Vec<Listed> = self.roster.values().cloned().collect();
        self.judge_all(&list);
        for listed in list {
            self.settle_doubt(listed.id, now);
        }
        self.events
            .publish(&json!({"type": "online", "user": self.own}));
    }

    /// The user accepts the changed key of `peer`, naming its fingerprint.
    pub(in crate::agent) fn accept(
        &mut self,
        peer: UserId,
        fingerprint: &str,
        now: Instant,
    ) -> Result<()> {
        let Some(Doubt::Changed(pem)) = self.doubts.get(&peer) else {
            return Err(Error::Invalid("对方的密钥没有变化"));
        };
        if crypto::fingerprint(pem).as_deref() != Some(fingerprint) {
            return Err(Error::Invalid("指纹不符"));
        }
        let known = self.keyring.peer_mut(peer);
        known.public_key = Some(pem.clone());
        known.newest = Use::Reading;
        known.changed = None;
        self.doubts.remove(&peer);
        self.wrapped.remove(&peer);
        self.save();
        self.exchange(peer).forget();
        self.settle_doubt(peer, now);
        self.events
            .publish(&json!({"type": "online", "user": self.own}));
        Ok(())
    }
}
