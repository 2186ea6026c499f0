//! What is on its way to the server: on disk before it is answered, until it has surely arrived.

use std::collections::HashSet;
use std::time::Instant;

use super::Conversations;
use crate::agent::crypto::{self, AesKey};
use crate::agent::error::Result;
use crate::agent::exchange::Step;
use crate::agent::journal::Line;
use crate::agent::outbox::{Message, Outgoing};
use crate::agent::wire::{self, UserId};

impl Conversations {
    /// Takes up what an earlier run has not seen arrive. The next link compares it with the
    /// history, since it may have.
    pub(super) fn restore_sending(&mut self, lines: Vec<Line<String>>) {
        let now = Instant::now();
        for (after, frame) in lines {
            if let Some((to, sealed)) = wire::addressed(&frame) {
                let digest = crypto::safe_name(&sealed);
                let message = Some(Message { to, digest, after });
                self.outbox.restore(Outgoing { frame, message }, now);
            }
        }
    }

    /// Sends what the exchange with `peer` says, the messages once they are on disk.
    ///
    /// Errors: [`crate::agent::Error::Io`] if they cannot be kept. Then they wait as before, and
    /// only what carries none goes out.
    pub(super) fn perform(&mut self, peer: UserId, steps: Vec<Step>) -> Result<()> {
        let outgoing = steps.iter();
        let outgoing: Vec<Outgoing> = outgoing
            .filter_map(|step| self.outgoing(peer, step))
            .collect();
        let lines: Vec<Line<&str>> = outgoing.iter().filter_map(line).collect();
        let kept = self.journal.append(&lines);
        for frame in outgoing {
            if kept.is_ok() || frame.message.is_none() {
                self.outbox.push(frame);
            }
        }
        if kept.is_err() {
            self.exchange(peer).put_back(steps);
        }
        kept
    }

    fn outgoing(&mut self, peer: UserId, step: &Step) -> Option<Outgoing> {
        match step {
            Step::Offer(key) => {
                // Without their public key there is nobody to answer.
                let wrapped = self.wrap(peer, key)?;
                let frame = wire::frame(self.own, peer, "", &wrapped);
                let message = None;
                Some(Outgoing { frame, message })
            }
            Step::Send(text, key) => {
                let wrapped = self.wrap(peer, key).unwrap_or_default();
                let sealed = crypto::seal(key, text.as_bytes());
                let frame = wire::frame(self.own, peer, &sealed, &wrapped);
                let message = Some(Message {
                    to: peer,
                    digest: crypto::safe_name(&sealed),
                    after: self.arrivals.last(),
                });
                Some(Outgoing { frame, message })
            }
        }
    }

    /// `key` wrapped for `peer`; the same text as long as the key is the same, so that the
    /// peer unwraps it once.
    fn wrap(&mut self, peer: UserId, key: &AesKey) -> Option<String> {
        if let Some((known, wrapped)) = self.wrapped.get(&peer)
            && known == key
        {
            return Some(wrapped.clone());
        }
        let wrapped = self.public_key(peer)?.wrap_key(key);
        self.wrapped.insert(peer, (key.clone(), wrapped.clone()));
        Some(wrapped)
    }

    /// The server answered the ping with this mark.
    pub(in crate::agent) fn answered(&mut self, mark: u64, now: Instant) {
        self.outbox.answered(mark, now);
        self.forget_arrived();
    }

    /// There is a new link, and the history has `kept`.
    pub(in crate::agent) fn repeat_missing(&mut self, kept: &HashSet<String>) {
        self.outbox.repeat_missing(kept);
        self.forget_arrived();
    }

    fn forget_arrived(&mut self) {
        let left: Vec<Line<&str>> = self.outbox.messages().filter_map(line).collect();
        if let Err(error) = self.journal.forget_all_but(&left) {
            tracing::error!(user = self.own, %error, "what has arrived is still kept");
        }
    }
}

fn line(outgoing: &Outgoing) -> Option<Line<&str>> {
    let message = outgoing.message.as_ref()?;
    Some((message.after, outgoing.frame.as_str()))
}
