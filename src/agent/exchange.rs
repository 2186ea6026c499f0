//! How two agents come to share one AES key, and come back to it when one of them lost it.
//!
//! A pure state machine for one peer: it is told what happened and when, and answers with the
//! steps to take. It neither seals nor sends, and reads no clock.
//!
//! | state | a message to send | their key, the same | their key, another |
//! |---|---|---|---|
//! | nothing, chosen | offer, queue (absent peer: send) | agreed, send queue | adopt, answer, send queue |
//! | offered | queue | agreed, send queue | higher id: adopt now; lower: in 1 s, if unconfirmed |
//! | agreed | send | answer if they seem to have restarted | adopt, answer, send queue |
//!
//! Every message carries its own key wrapped for the peer, so a queue may go out unconfirmed
//! when nobody answers: a peer that reads the frame's key can open it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::crypto::AesKey;

/// How long the lower id waits for its own offer to be confirmed before it takes the rival one.
pub(super) const YIELD_AFTER: Duration = Duration::from_secs(1);
/// How long messages wait for an online peer who answers nothing at all.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// The least time between two answers to a key that is agreed already, so that two agents
/// never answer each other for ever.
pub(super) const ANSWER_EVERY: Duration = Duration::from_secs(2);

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send a key frame with this key.
    Offer(AesKey),
    /// Seal this text under this key and send it.
    Send(String, AesKey),
}

#[derive(Debug)]
enum State {
    Nothing,
    /// Ours, used for stored messages or taken from an offer nobody was there to answer.
    Chosen(AesKey),
    /// Ours, sent to an online peer who has not confirmed it.
    Offered {
        key: AesKey,
        since: Instant,
        rival: Option<(AesKey, Instant)>,
    },
    Agreed(AesKey),
}

/// The exchange with one peer, and the messages that wait for it.
pub(super) struct Exchange {
    higher: bool,
    state: State,
    queue: VecDeque<String>,
    /// The peer's public key is in doubt: nothing goes out until [`Exchange::release`].
    held: bool,
    last_offer: Option<Instant>,
}

impl Exchange {
    /// A new exchange; `higher` says whether our user id is above the peer's.
    pub(super) fn new(higher: bool) -> Self {
        Self {
            higher,
            state: State::Nothing,
            queue: VecDeque::new(),
            held: false,
            last_offer: None,
        }
    }

    /// An exchange that continues with the key from an earlier run.
    pub(super) fn restored(higher: bool, key: AesKey, agreed: bool) -> Self {
        let state = if agreed {
            State::Agreed(key)
        } else {
            State::Chosen(key)
        };
        Self {
            state,
            ..Self::new(higher)
        }
    }

    /// The key in use and whether the peer is known to have it.
    pub(super) fn key(&self) -> Option<(&AesKey, bool)> {
        match &self.state {
            State::Nothing => None,
            State::Chosen(key) | State::Offered { key, .. } => Some((key, false)),
            State::Agreed(key) => Some((key, true)),
        }
    }

    /// Whether a text that is sent now waits.
    pub(super) fn makes_wait(&self, online: bool) -> bool {
        self.held || (online && !matches!(self.state, State::Agreed(_)))
    }

    /// The user sends `text`.
    pub(super) fn send(&mut self, text: String, online: bool, now: Instant) -> Vec<Step> {
        self.queue.push_back(text);
        if self.held {
            return Vec::new();
        }
        match (&self.state, online) {
            (State::Agreed(_), _) => self.flush(),
            (State::Offered { .. }, true) => Vec::new(),
            (_, true) => self.offer(now),
            (_, false) => self.without_peer(),
        }
    }

    /// The peer's key frame arrived with `key`.
    pub(super) fn key_frame(&mut self, key: AesKey, now: Instant) -> Vec<Step> {
        if self.held {
            return Vec::new();
        }
        let same = self.key().is_some_and(|(ours, _)| *ours == key);
        match &mut self.state {
            State::Agreed(_) if same => self.answer_again(key, now),
            _ if same => self.agree(key),
            State::Offered { rival, .. } if !self.higher => {
                let until = rival.take().map_or(now + YIELD_AFTER, |(_, until)| until);
                *rival = Some((key, until));
                Vec::new()
            }
            _ => self.adopt(key, now),
        }
    }

    /// The peer confirmed with a key frame that names no key.
    pub(super) fn bare_confirmation(&mut self) -> Vec<Step> {
        match &self.state {
            State::Offered { key, .. } if !self.held => {
                let key = key.clone();
                self.agree(key)
            }
            _ => Vec::new(),
        }
    }

    /// A message of the peer opened with `key`: they have it.
    pub(super) fn opened(&mut self, key: &AesKey) -> Vec<Step> {
        let theirs = match &self.state {
            State::Nothing => true,
            State::Chosen(ours) | State::Offered { key: ours, .. } => ours == key,
            State::Agreed(_) => false,
        };
        if theirs && !self.held {
            self.agree(key.clone())
        } else {
            Vec::new()
        }
    }

    /// A message of the online peer opened with no key we have: offer ours, so that the next does.
    pub(super) fn unopened(&mut self, now: Instant) -> Vec<Step> {
        let waiting = matches!(self.state, State::Offered { .. });
        if self.held || waiting || self.answered_lately(now) {
            return Vec::new();
        }
        self.offer(now)
    }

    /// The peer has gone: what waited for an answer goes out with its key attached.
    pub(super) fn left(&mut self) -> Vec<Step> {
        if !matches!(self.state, State::Offered { .. }) || self.held {
            return Vec::new();
        }
        self.without_peer()
    }

    /// The link is new and the peer is there: an offer may have been lost with the old one.
    pub(super) fn reconnected(&mut self, now: Instant) -> Vec<Step> {
        if self.held || !matches!(self.state, State::Offered { .. }) {
            return Vec::new();
        }
        self.offer(now)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Step> {
        if self.held {
            return Vec::new();
        }
        let State::Offered { key, since, rival } = &self.state else {
            // Only what was put back waits here.
            return self.flush();
        };
        match rival {
            Some((rival, until)) if *until <= now => {
                let rival = rival.clone();
                self.adopt(rival, now)
            }
            None if *since + PATIENCE <= now => {
                let key = key.clone();
                self.agree(key)
            }
            _ => Vec::new(),
        }
    }

    /// The texts of `steps` could not go out: they wait again, before all others.
    pub(super) fn put_back(&mut self, steps: Vec<Step>) {
        for step in steps.into_iter().rev() {
            if let Step::Send(text, _) = step {
                self.queue.push_front(text);
            }
        }
    }

    /// The newest text that waits is not to be sent.
    pub(super) fn take_back(&mut self) {
        self.queue.pop_back();
    }

    /// When [`Exchange::tick`] has something to do next.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Offered { rival, since, .. } if !self.held => Some(
                rival
                    .as_ref()
                    .map_or(*since + PATIENCE, |(_, until)| *until),
            ),
            _ => None,
        }
    }

    /// The peer's public key is in doubt: hold everything.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// The texts that have not gone out, the oldest first.
    pub(super) fn waiting(&self) -> impl ExactSizeIterator<Item = &str> {
        self.queue.iter().map(String::as_str)
    }

    /// The user accepted another public key: whoever held the old one may know the old AES key.
    pub(super) fn forget(&mut self) {
        self.state = State::Nothing;
        self.last_offer = None;
    }

    /// The peer's public key is in order (again).
    pub(super) fn release(&mut self, online: bool, now: Instant) -> Vec<Step> {
        self.held = false;
        match (&self.state, online) {
            _ if self.queue.is_empty() => Vec::new(),
            (State::Agreed(_), _) => self.flush(),
            (State::Offered { .. }, true) => Vec::new(),
            (_, true) => self.offer(now),
            (_, false) => self.without_peer(),
        }
    }

    /// The agent stops: everything that waits goes out now, except what is held.
    pub(super) fn finish(&mut self) -> Vec<Step> {
        if self.held || self.queue.is_empty() {
            return Vec::new();
        }
        self.without_peer()
    }

    fn offer(&mut self, now: Instant) -> Vec<Step> {
        let key = self
            .key()
            .map_or_else(AesKey::generate, |(key, _)| key.clone());
        self.last_offer = Some(now);
        self.state = State::Offered {
            key: key.clone(),
            since: now,
            rival: None,
        };
        vec![Step::Offer(key)]
    }

    fn adopt(&mut self, key: AesKey, now: Instant) -> Vec<Step> {
        self.last_offer = Some(now);
        let mut steps = vec![Step::Offer(key.clone())];
        steps.extend(self.agree(key));
        steps
    }

    fn agree(&mut self, key: AesKey) -> Vec<Step> {
        self.state = State::Agreed(key);
        self.flush()
    }

    fn answer_again(&mut self, key: AesKey, now: Instant) -> Vec<Step> {
        if self.answered_lately(now) {
            return Vec::new();
        }
        self.last_offer = Some(now);
        vec![Step::Offer(key)]
    }

    fn answered_lately(&self, now: Instant) -> bool {
        self.last_offer.is_some_and(|at| now < at + ANSWER_EVERY)
    }

    fn without_peer(&mut self) -> Vec<Step> {
        if !matches!(self.state, State::Agreed(_)) {
            let key = self
                .key()
                .map_or_else(AesKey::generate, |(key, _)| key.clone());
            self.state = State::Chosen(key);
        }
        self.flush()
    }

    fn flush(&mut self) -> Vec<Step> {
        let Some((key, _)) = self.key() else {
            return Vec::new();
        };
        let key = key.clone();
        self.queue
            .drain(..)
            .map(|text| Step::Send(text, key.clone()))
            .collect()
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
