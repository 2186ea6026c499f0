//! What is on its way to the server: written in order, kept until the server surely has it.
//!
//! A pure structure. The server acknowledges nothing, so a message counts as kept when it shows
//! in the history, or when the link has lived on for [`SETTLED_AFTER`] after the server
//! demonstrably read past it (it answered a later ping). After a lost link what is left is
//! compared with the history, and only what is missing is sent again: nothing is lost, nothing
//! is doubled.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::wire::UserId;

/// How long a message that was read is still doubted, in case the server stops before storing it.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// One frame for the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// The JSON text.
    pub(super) frame: String,
    /// Key frames have none and are not repeated: the exchange offers again by itself.
    pub(super) message: Option<Message>,
}

/// By what a message is found in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) to: UserId,
    /// Of the sealed text, unique by its random IV.
    pub(super) digest: String,
    /// The newest record that was known when it was sealed: its own comes later.
    pub(super) after: Option<i64>,
}

#[derive(Debug)]
struct InFlight {
    outgoing: Outgoing,
    at: Instant,
    number: u64,
}

/// The frames of one link.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Outgoing>,
    flying: VecDeque<InFlight>,
    written: u64,
    read: u64,
}

impl Outbox {
    /// Adds a frame behind all others.
    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.waiting.push_back(outgoing);
    }

    /// Adds a message of an earlier run, which may have arrived: nothing of it is written before
    /// [`Outbox::repeat_missing`].
    pub(super) fn restore(&mut self, outgoing: Outgoing, now: Instant) {
        self.flying.push_back(InFlight {
            outgoing,
            at: now,
            number: 0,
        });
    }

    /// The messages that are not surely kept, in order.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Outgoing> {
        let flying = self.flying.iter().map(|sent| &sent.outgoing);
        let all = flying.chain(&self.waiting);
        all.filter(|outgoing| outgoing.message.is_some())
    }

    /// The next frame to write; a message is in flight from now on.
    pub(super) fn next(&mut self, now: Instant) -> Option<String> {
        let outgoing = self.waiting.pop_front()?;
        let frame = outgoing.frame.clone();
        self.written += 1;
        if outgoing.message.is_some() {
            self.flying.push_back(InFlight {
                outgoing,
                at: now,
                number: self.written,
            });
        }
        Some(frame)
    }

    /// A mark for a ping: everything written so far comes before it.
    pub(super) fn mark(&self) -> u64 {
        self.written
    }

    /// The server answered the ping with this mark.
    pub(super) fn answered(&mut self, mark: u64, now: Instant) {
        self.read = self.read.max(mark.min(self.written));
        let read = self.read;
        self.flying
            .retain(|sent| sent.number > read || now < sent.at + SETTLED_AFTER);
    }

    /// Whether any message is not surely kept.
    pub(super) fn is_unsettled(&self) -> bool {
        !self.flying.is_empty()
    }

    /// To whom the messages go that are not surely kept, with their digests.
    pub(super) fn unsettled(&self) -> BTreeSet<(UserId, String)> {
        let message = |message: &Message| (message.to, message.digest.clone());
        self.in_flight().map(message).collect()
    }

    /// The record after which all of those for `peer` are, where that is known.
    pub(super) fn unsettled_after(&self, peer: UserId) -> Option<i64> {
        let of_peer = self.in_flight().filter(|message| message.to == peer);
        // What is not known is less than all that is.
        of_peer.map(|message| message.after).min().flatten()
    }

    fn in_flight(&self) -> impl Iterator<Item = &Message> {
        let messages = self.flying.iter();
        messages.filter_map(|sent| sent.outgoing.message.as_ref())
    }

    /// After a lost link: what the history does not hold is sent again, before all else, in order.
    pub(super) fn repeat_missing(&mut self, kept: &HashSet<String>) {
        while let Some(sent) = self.flying.pop_back() {
            let message = sent.outgoing.message.as_ref();
            if message.is_some_and(|message| !kept.contains(&message.digest)) {
                self.waiting.push_front(sent.outgoing);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Outgoing {
        Outgoing {
            frame: format!("frame {text}"),
            message: Some(Message {
                to: 2,
                digest: text.into(),
                after: Some(7),
            }),
        }
    }

    fn written(outbox: &mut Outbox, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| outbox.next(now)).collect()
    }

    #[test]
    fn after_a_lost_link_only_what_is_missing_goes_again_first_and_in_order() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        for text in ["a", "b", "c"] {
            outbox.push(message(text));
        }
        outbox.push(Outgoing {
            frame: "key".into(),
            message: None,
        });
        assert_eq!(
            written(&mut outbox, now),
            ["frame a", "frame b", "frame c", "key"]
        );
        outbox.push(message("d"));
        let unsettled: Vec<_> = outbox
            .unsettled()
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(unsettled, ["a", "b", "c"]);

        outbox.repeat_missing(&HashSet::from(["b".to_owned()]));
        assert_eq!(written(&mut outbox, now), ["frame a", "frame c", "frame d"]);
    }

    #[test]
    fn a_message_is_settled_when_it_was_read_and_the_link_lived_on() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        outbox.push(message("a"));
        written(&mut outbox, now);
        let mark = outbox.mark();
        outbox.push(message("b"));
        written(&mut outbox, now);

        outbox.answered(mark, now);
        assert_eq!(outbox.unsettled().len(), 2, "read, but not for long");
        outbox.answered(mark, now + SETTLED_AFTER);
        let left: Vec<_> = outbox.unsettled().into_iter().collect();
        assert_eq!(left, [(2, "b".to_owned())]);
        outbox.answered(outbox.mark(), now + SETTLED_AFTER);
        assert!(!outbox.is_unsettled());
    }
}
