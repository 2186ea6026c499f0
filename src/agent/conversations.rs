//! One user's conversations: who is online, whose key is in doubt, which AES key each peer
//! shares, what is on its way.
//!
//! Everything here is synchronous and under one lock (`session` holds it): an event goes in,
//! frames go to the outbox and news to the pages. It talks to no socket.

mod held;
mod sending;
mod trust;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;

use super::arrivals::Arrivals;
use super::crypto::{self, AesKey, PublicKey};
use super::error::{Error, Result};
use super::events::Events;
use super::exchange::{Exchange, Step};
use super::journal::Journal;
use super::keyring::{Keyring, Use};
use super::opening::Opened;
use super::outbox::Outbox;
use super::server::{Change, Server};
use super::wire::{Listed, UserId};
use trust::Doubt;

/// The conversations of one user.
pub(super) struct Conversations {
    own: UserId,
    server: Arc<Server>,
    events: Events,
    keyring: Keyring,
    /// A key that came with a message, or in an exchange, is not on disk yet.
    is_unsaved: bool,
    roster: BTreeMap<UserId, Listed>,
    doubts: HashMap<UserId, Doubt>,
    exchanges: HashMap<UserId, Exchange>,
    /// How many texts for each peer are on disk: as many as wait.
    kept: BTreeMap<UserId, usize>,
    wrapped: HashMap<UserId, (AesKey, String)>,
    pub(super) arrivals: Arrivals,
    /// Those absent whose key the server was asked for over this link.
    asked: HashSet<UserId>,
    /// Those who wrote and whose names are not known yet.
    strangers: HashSet<UserId>,
    /// No roster since the last link was lost: nobody is known to be online, and offers that may
    /// be lost are repeated with the first.
    awaits_roster: bool,
    pub(super) outbox: Outbox,
    /// The messages of the outbox, on disk.
    journal: Journal,
    /// The user has logged out: what waits is theirs who log in next.
    has_left: bool,
}

/// A peer as the pages show them.
#[derive(Debug, Serialize)]
pub(super) struct PeerView {
    id: UserId,
    username: String,
    online: bool,
    fingerprint: Option<String>,
    changed: Option<Change>,
    unread: u64,
    /// How many texts for them are held.
    held: usize,
}

impl Conversations {
    /// Errors: [`Error::Corrupt`] if what an earlier run has kept is not to be read.
    pub(super) fn new(
        own: UserId,
        keyring: Keyring,
        server: Arc<Server>,
        events: Events,
    ) -> Result<Self> {
        let arrivals = Arrivals::from(keyring.arrivals()?);
        let (journal, sending) = Journal::open(&keyring.dir().join("sending.jsonl"))?;
        let mut conversations = Self {
            own,
            server,
            events,
            keyring,
            is_unsaved: false,
            roster: BTreeMap::new(),
            doubts: HashMap::new(),
            exchanges: HashMap::new(),
            kept: BTreeMap::new(),
            wrapped: HashMap::new(),
            asked: HashSet::new(),
            strangers: arrivals.senders().collect(),
            arrivals,
            awaits_roster: true,
            outbox: Outbox::default(),
            journal,
            has_left: false,
        };
        conversations.restore_held()?;
        conversations.restore_sending(sending);
        Ok(conversations)
    }

    /// Everybody online, with their names; nobody while the link is down.
    pub(super) fn online(&self) -> impl Iterator<Item = (UserId, &str)> {
        let current = self.roster.iter().filter(|_| !self.awaits_roster);
        current.map(|(id, listed)| (*id, listed.username.as_str()))
    }

    /// Everybody online or known, and who wrote, without oneself.
    pub(super) fn peers(&self) -> Vec<PeerView> {
        let known = self.keyring.peers().iter();
        let mut names: BTreeMap<UserId, &str> =
            self.arrivals.senders().map(|id| (id, "")).collect();
        names.extend(known.map(|(id, peer)| (*id, peer.username.as_str())));
        names.extend(self.online());
        names.remove(&self.own);
        names
            .into_iter()
            .map(|(id, username)| self.peer(id, username))
            .collect()
    }

    fn peer(&self, id: UserId, username: &str) -> PeerView {
        let pinned = self.pinned(id);
        let changed = match (self.doubts.get(&id), pinned) {
            (Some(Doubt::Changed(new)), Some(old)) => Some(Change::between(old, new)),
            _ => None,
        };
        PeerView {
            id,
            username: username.to_owned(),
            online: !self.awaits_roster && self.roster.contains_key(&id),
            fingerprint: pinned.and_then(crypto::fingerprint),
            changed,
            unread: self.arrivals.unread(id),
            held: self.held(id),
        }
    }

    /// The AES keys of a conversation: the newest, then the likeliest to open something.
    pub(super) fn keys_with(&self, peer: UserId) -> Vec<AesKey> {
        self.keyring.keys_with(peer)
    }

    /// These keys have opened records of the conversation with `peer`.
    pub(super) fn have_opened(&mut self, peer: UserId, keys: &[AesKey]) {
        let mark = |news, key| self.keyring.mark_used(peer, key) | news;
        if keys.iter().fold(false, mark) {
            self.save();
        }
    }

    /// Those who wrote and whose names are not known; each is handed out once.
    pub(super) fn take_strangers(&mut self) -> Vec<UserId> {
        let strangers = std::mem::take(&mut self.strangers).into_iter();
        strangers.filter(|id| !self.is_named(*id)).collect()
    }

    fn is_named(&self, id: UserId) -> bool {
        let known = self.keyring.peers().get(&id);
        self.roster.contains_key(&id) || known.is_some_and(|peer| !peer.username.is_empty())
    }

    /// The link is gone: nothing of its offers can be relied on, nor who is online.
    pub(super) fn link_lost(&mut self) {
        self.save_news();
        self.awaits_roster = true;
        self.asked.clear();
    }

    /// Everybody who is online now.
    pub(super) fn roster(&mut self, list: Vec<Listed>, now: Instant) {
        self.judge_all(&list);
        self.roster = list.into_iter().map(|listed| (listed.id, listed)).collect();
        self.asked.retain(|peer| !self.roster.contains_key(peer));
        let is_first = std::mem::take(&mut self.awaits_roster);
        let peers: Vec<UserId> = self.exchanges.keys().copied().collect();
        for peer in peers {
            self.settle_doubt(peer, now);
            let online = self.roster.contains_key(&peer);
            self.step(peer, |exchange| match online {
                false => exchange.left(),
                true if is_first => exchange.reconnected(now),
                true => Vec::new(),
            });
        }
        self.events
            .publish(&json!({"type": "online", "user": self.own}));
    }

    /// The user writes `text` to `to`.
    ///
    /// It is on disk when this returns, and until it has arrived; it waits there while a key exchange
    /// runs or a changed key is not accepted.
    /// Errors: [`Error::NotReady`] if no trustworthy key of theirs is known or the user has left,
    /// [`Error::Io`] if it cannot be kept. Then it is not sent.
    pub(super) fn send(&mut self, to: UserId, text: String, now: Instant) -> Result<()> {
        if self.has_left || !self.may_write(to) {
            return Err(Error::NotReady);
        }
        self.settle_doubt(to, now);
        let online = self.roster.contains_key(&to);
        if self.exchange(to).makes_wait(online) {
            self.keep_held(Some((to, &text)))?;
        }
        let kept = self.try_step(to, |exchange| exchange.send(text, online, now));
        if kept.is_err() {
            self.exchange(to).take_back();
        }
        kept
    }

    /// A key frame of `from`; `key` is nothing if it was not wrapped for us.
    pub(super) fn key_frame(
        &mut self,
        from: UserId,
        key: Option<AesKey>,
        bare: bool,
        now: Instant,
    ) {
        match key {
            Some(key) => {
                self.settle_doubt(from, now);
                if self.doubts.contains_key(&from) {
                    self.is_unsaved |= self.keyring.keep_key(from, &key, false);
                }
                self.step(from, |exchange| exchange.key_frame(key, now));
            }
            None if bare => self.step(from, Exchange::bare_confirmation),
            None => self.step(from, |exchange| exchange.unopened(now)),
        }
    }

    /// A message of `from`, opened or not; it is the record `id`, where the server tells.
    pub(super) fn message(&mut self, from: UserId, id: Option<i64>, opened: Opened, now: Instant) {
        match &opened {
            Opened::Text(_, key) => {
                self.step(from, |exchange| exchange.opened(key));
                // Until the next tick it stands in the message alone: hundreds may come at once.
                self.is_unsaved |= self.keyring.keep_key(from, key, true);
            }
            Opened::NoKey if self.roster.contains_key(&from) => {
                self.step(from, |exchange| exchange.unopened(now));
            }
            Opened::NoKey | Opened::Altered => {}
        }
        let is_shown = id.is_some_and(|id| self.arrivals.is_shown(from, id));
        if from != self.own && !is_shown && self.arrivals.count(from, now) == 1 {
            self.strangers.insert(from);
        }
        let content = opened.shown();
        let pair = (from, self.own);
        self.events.publish_received(pair, &content, id);
    }

    /// Does what is due and tells when something is due next.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Instant> {
        let peers: Vec<UserId> = self.exchanges.keys().copied().collect();
        for peer in peers {
            self.step(peer, |exchange| exchange.tick(now));
        }
        self.save_news();
        if self.arrivals.due().is_some_and(|due| due <= now) {
            self.save_arrivals();
        }
        let exchanges = self.exchanges.values().filter_map(Exchange::due);
        exchanges.chain(self.arrivals.due()).min()
    }

    /// What came and is unread goes to disk, if that has changed.
    pub(super) fn save_arrivals(&mut self) {
        if let Some(arrivals) = self.arrivals.take_unsaved()
            && let Err(error) = self.keyring.save_arrivals(arrivals)
        {
            tracing::error!(user = self.own, %error, "what is unread was not saved");
        }
    }

    /// The agent stops: what waits goes to the outbox.
    pub(super) fn finish(&mut self) {
        let peers: Vec<UserId> = self.exchanges.keys().copied().collect();
        for peer in peers {
            self.step(peer, Exchange::finish);
        }
        self.save_news();
    }

    /// The user logs out: what waits on disk is left to their next login, which may come before
    /// the link has ended.
    pub(super) fn leave(&mut self) {
        self.save_news();
        self.has_left = true;
        self.exchanges.clear();
        self.kept.clear();
        self.save_arrivals();
    }

    fn settle_doubt(&mut self, peer: UserId, now: Instant) {
        let online = self.roster.contains_key(&peer);
        let doubted = self.doubts.contains_key(&peer);
        self.step(peer, |exchange| {
            if doubted {
                exchange.hold();
                return Vec::new();
            }
            exchange.release(online, now)
        });
    }

    fn exchange(&mut self, peer: UserId) -> &mut Exchange {
        let higher = self.own > peer;
        let known = self.keyring.peers().get(&peer);
        let restored = || match known.and_then(|known| Some((known.newest_key()?, known.newest))) {
            Some((key, newest @ (Use::Chosen | Use::Agreed))) => {
                Exchange::restored(higher, key.clone(), newest == Use::Agreed)
            }
            _ => Exchange::new(higher),
        };
        self.exchanges.entry(peer).or_insert_with(restored)
    }

    /// [`Conversations::try_step`] for what nobody waits for.
    fn step(&mut self, peer: UserId, movement: impl FnOnce(&mut Exchange) -> Vec<Step>) {
        if let Err(error) = self.try_step(peer, movement) {
            tracing::error!(user = self.own, %error, "what is on its way was not saved");
        }
    }

    /// Moves the exchange with `peer`, keeps the key it comes to and does what it says.
    ///
    /// Errors: those of [`Conversations::perform`].
    fn try_step(
        &mut self,
        peer: UserId,
        movement: impl FnOnce(&mut Exchange) -> Vec<Step>,
    ) -> Result<()> {
        let exchange = self.exchange(peer);
        let steps = movement(exchange);
        let key = exchange.key().map(|(key, agreed)| (key.clone(), agreed));
        if let Some((key, agreed)) = key {
            let newest = if agreed { Use::Agreed } else { Use::Chosen };
            self.is_unsaved |= self.keyring.use_key(peer, &key, newest);
            if steps.iter().any(|step| matches!(step, Step::Send(..))) {
                self.is_unsaved |= self.keyring.mark_used(peer, &key);
                // First: what the user writes must stay readable to them.
                self.save_news();
            }
        }
        self.perform(peer, steps)?;
        // Not before: a crash in between doubles what waited, and does not lose it.
        self.follow_held(peer);
        Ok(())
    }

    fn public_key(&self, peer: UserId) -> Option<PublicKey> {
        if peer == self.own {
            return Some(self.keyring.private().public());
        }
        self.pinned(peer).and_then(PublicKey::from_pem)
    }

    fn pinned(&self, peer: UserId) -> Option<&str> {
        let known = self.keyring.peers().get(&peer)?;
        known.public_key.as_deref()
    }

    fn save_news(&mut self) {
        if std::mem::take(&mut self.is_unsaved) {
            self.save();
        }
    }

    /// Keys that cannot be kept still serve until the agent stops. Of a user who has left the file
    /// is that of their next login.
    fn save(&self) {
        if self.has_left {
            return;
        }
        if let Err(error) = self.keyring.save() {
            tracing::error!(user = self.own, %error, "keys of peers were not saved");
        }
    }
}

#[cfg(test)]
#[path = "conversations_tests.rs"]
mod tests;
