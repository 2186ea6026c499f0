//! Whether a peer is still there: it answers pings, or a long message goes on coming from it.

use std::time::Duration;

use tokio::time::Instant;

/// How long a peer may show no life.
const SILENCE: Duration = Duration::from_secs(90);
/// How much more of a message must have come at each look to show life: 1 KiB a second. Inside a
/// frame no ping can be answered.
const LEAST_BYTES: usize = 30 << 10;
/// How long a peer may send nothing whole.
const LONGEST: Duration = Duration::from_secs(600);

/// The signs of life of one peer.
pub(super) struct Life {
    /// When something whole came last.
    shown_at: Instant,
    /// When enough of something unfinished had come.
    coming_at: Instant,
    /// How much of it there was at the last look.
    unfinished_bytes: usize,
}

impl Life {
    /// Of somebody who has just connected.
    pub(super) fn new(now: Instant) -> Self {
        Life {
            shown_at: now,
            coming_at: now,
            unfinished_bytes: 0,
        }
    }

    /// Something whole has come.
    pub(super) fn shown(&mut self, now: Instant) {
        self.shown_at = now;
    }

    /// Looks whether the peer is to be given up; to be asked with each ping.
    pub(super) fn has_ended(&mut self, unfinished_bytes: usize, now: Instant) -> bool {
        if unfinished_bytes >= self.unfinished_bytes + LEAST_BYTES {
            self.coming_at = now;
        }
        self.unfinished_bytes = unfinished_bytes;
        let alive_at = self.shown_at.max(self.coming_at);
        now - alive_at > SILENCE || now - self.shown_at > LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many seconds a peer is given up that sends so many bytes of one message a second,
    /// the last after `sends_secs`; pings are 30 s apart.
    fn given_up_after(bytes_a_sec: usize, sends_secs: usize) -> usize {
        let begin = Instant::now();
        let mut life = Life::new(begin);
        let ended = (30..).step_by(30).find(|secs: &usize| {
            let now = begin + Duration::from_secs(*secs as u64);
            life.has_ended(bytes_a_sec * secs.min(&sends_secs), now)
        });
        ended.expect("it ends")
    }

    #[test]
    fn a_message_shows_life_while_it_keeps_coming_but_not_for_ever() {
        assert_eq!(given_up_after(0, 0), 120);
        assert_eq!(given_up_after(1_000, 9_999), 120, "too slow");
        assert_eq!(given_up_after(1_024, 9_999), 630);
        assert_eq!(given_up_after(20_000, 9_999), 630);
        assert_eq!(given_up_after(20_000, 300), 420, "it stopped coming");
    }

    #[test]
    fn whatever_is_whole_shows_life() {
        let begin = Instant::now();
        let mut life = Life::new(begin);
        for secs in (30..3_000).step_by(30) {
            let now = begin + Duration::from_secs(secs);
            life.shown(now);
            assert!(!life.has_ended(0, now));
        }
    }
}
