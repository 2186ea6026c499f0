//! What has come to a user: up to which record, and what of it they have not looked at.
//!
//! It is kept on disk, so that what comes while no agent runs is unread when the next one does.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::wire::UserId;

/// How far the disk may be behind. What is lost with it is asked for again, and counted twice.
const SAVED_WITHIN: Duration = Duration::from_secs(1);

/// What has come, and when it is to be saved.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    kept: Kept,
    /// Records that were asked for: the new link may bring them as well.
    asked_for: HashSet<i64>,
    /// When the disk is to know what has changed since it was last written.
    save_at: Option<Instant>,
}

/// The part that outlives the agent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The greatest id of a record that came, once there is one to go on from.
    last: Option<i64>,
    /// How many messages of whom have not been looked at.
    unread: BTreeMap<UserId, u64>,
    /// The greatest id of a record of the conversation that was looked at, where it is above
    /// `last`: it comes again, and is no news.
    #[serde(default)]
    shown: BTreeMap<UserId, i64>,
}

impl From<Kept> for Arrivals {
    fn from(kept: Kept) -> Self {
        Self {
            kept,
            ..Self::default()
        }
    }
}

impl Arrivals {
    /// From where to ask the server on.
    pub(super) fn last(&self) -> Option<i64> {
        self.kept.last
    }

    /// There is a new link: what the old one may still have brought will not come any more.
    pub(super) fn linked_anew(&mut self) {
        self.asked_for.clear();
        let last = self.kept.last;
        self.kept.shown.retain(|_, shown| Some(*shown) > last);
    }

    /// The server answered with the records `ids`, and is to be asked on from `last`.
    pub(super) fn asked(&mut self, ids: impl Iterator<Item = i64>, last: i64, now: Instant) {
        self.asked_for.extend(ids);
        if Some(last) < self.kept.last {
            // The server gives out the same ids once more.
            self.kept.shown.clear();
        }
        if self.kept.last != Some(last) {
            self.kept.last = Some(last);
            self.changed(now);
        }
    }

    /// The record `id` came over the link. False if it has been delivered before.
    pub(super) fn came(&mut self, id: i64, now: Instant) -> bool {
        self.kept.last = self.kept.last.max(Some(id));
        self.changed(now);
        !self.asked_for.remove(&id)
    }

    /// One more message of `from` that nobody has looked at; how many there are.
    pub(super) fn count(&mut self, from: UserId, now: Instant) -> u64 {
        self.changed(now);
        let count = self.kept.unread.entry(from).or_default();
        *count += 1;
        *count
    }

    /// The user has looked at what `from` wrote, up to the record `newest` of the conversation.
    pub(super) fn seen(&mut self, from: UserId, newest: Option<i64>, now: Instant) {
        let newest = newest.filter(|newest| Some(*newest) > self.kept.last);
        let shown = self.kept.shown.get(&from).copied();
        let is_more = newest > shown;
        if is_more {
            self.kept.shown.extend(newest.map(|newest| (from, newest)));
        }
        if self.kept.unread.remove(&from).is_some() || is_more {
            self.changed(now);
        }
    }

    /// Whether the user has looked at the record `id` of `from` before it came.
    pub(super) fn is_shown(&self, from: UserId, id: i64) -> bool {
        let shown = self.kept.shown.get(&from);
        shown.is_some_and(|shown| id <= *shown)
    }

    /// How many messages of `from` nobody has looked at.
    pub(super) fn unread(&self, from: UserId) -> u64 {
        self.kept.unread.get(&from).copied().unwrap_or_default()
    }

    /// Those whose messages nobody has looked at.
    pub(super) fn senders(&self) -> impl Iterator<Item = UserId> {
        self.kept.unread.keys().copied()
    }

    fn changed(&mut self, now: Instant) {
        self.save_at.get_or_insert(now + SAVED_WITHIN);
    }

    /// When there is something to be saved.
    pub(super) fn due(&self) -> Option<Instant> {
        self.save_at
    }

    /// What is to be written, if anything has changed; from now on it counts as saved.
    pub(super) fn take_unsaved(&mut self) -> Option<&Kept> {
        self.save_at.take().map(|_| &self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_no_news_when_it_comes_and_everything_else_is() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        assert_eq!(arrivals.last(), None);
        arrivals.asked([].into_iter(), 4, now);
        assert!(
            arrivals.came(6, now) && arrivals.came(5, now),
            "whatever their order"
        );
        assert_eq!(arrivals.last(), Some(6));
        arrivals.linked_anew();
        arrivals.asked([7, 8].into_iter(), 8, now);
        assert!(!arrivals.came(7, now) && !arrivals.came(8, now));
        assert!(arrivals.came(9, now));
        assert_eq!(arrivals.last(), Some(9));
    }

    #[test]
    fn a_server_that_went_back_in_time_is_followed() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        arrivals.came(90, now);
        arrivals.asked([].into_iter(), 20, now);
        assert_eq!(arrivals.last(), Some(20));
    }

    #[test]
    fn what_was_looked_at_before_it_came_is_no_news_until_the_ids_begin_anew() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        arrivals.came(3, now);
        arrivals.seen(7, Some(3), now);
        assert!(!arrivals.is_shown(7, 4));
        arrivals.seen(7, Some(5), now);
        arrivals.seen(7, Some(4), now);
        arrivals.linked_anew();
        arrivals.asked([4, 5, 6].into_iter(), 6, now);
        assert!(arrivals.is_shown(7, 4) && arrivals.is_shown(7, 5));
        assert!(!arrivals.is_shown(7, 6) && !arrivals.is_shown(8, 4));
        arrivals.asked([].into_iter(), 2, now);
        assert!(!arrivals.is_shown(7, 4));
    }

    #[test]
    fn what_changes_is_saved_once_and_soon() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        arrivals.seen(7, None, now);
        assert_eq!(arrivals.due(), None, "nothing to look at, nothing to save");
        assert_eq!(arrivals.count(7, now), 1);
        assert_eq!(arrivals.count(7, now + SAVED_WITHIN / 2), 2);
        assert_eq!(arrivals.due(), Some(now + SAVED_WITHIN));
        let kept = arrivals.take_unsaved().expect("something to save").clone();
        assert!(arrivals.due().is_none() && arrivals.take_unsaved().is_none());
        assert_eq!(Arrivals::from(kept).unread(7), 2);
    }
}
