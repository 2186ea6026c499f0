//! What can go wrong on a relay, at the test's word.

use super::{Links, Relay, new_key};

impl Relay {
    /// From now on messages are read and then lost, or not.
    pub(crate) fn lose_messages(&self, lose: bool) {
        self.inner().lose_messages = lose;
    }

    /// The next registration succeeds, but its answer does not say so.
    pub(crate) fn lose_answer(&self) {
        self.inner().answers_to_lose += 1;
    }

    /// There is no such user any longer.
    pub(crate) fn forget(&self, username: &str) {
        self.inner().users.remove(username);
    }

    /// The next message is answered with these words and not stored.
    pub(crate) fn refuse_message(&self, words: &'static str) {
        self.inner().refusal = Some(words);
    }

    /// The link breaks when the next message has been read.
    pub(crate) fn break_after_message(&self) {
        self.inner().break_after_message = true;
    }

    /// Breaks every link and refuses everything while down.
    pub(crate) fn set_down(&self, is_down: bool) {
        let mut inner = self.inner();
        inner.is_down = is_down;
        inner.break_links();
    }

    /// Breaks every link and takes no other, or takes them again; all else goes on.
    pub(crate) fn take_no_links(&self, none: bool) {
        let mut inner = self.inner();
        inner.links = if none { Links::Refused } else { Links::Served };
        inner.break_links();
    }

    /// Reads nothing from any link that has said something since.
    pub(crate) fn stand_still(&self) {
        self.inner().links = Links::Still;
    }

    /// No token given so far is taken any longer.
    pub(crate) fn expire_tokens(&self) {
        self.inner().tokens += 1;
    }

    /// The relay has another key, and so other signatures.
    pub(crate) fn change_server_key(&self) {
        let mut inner = self.inner();
        inner.server_key = new_key();
        inner.break_links();
    }
}
