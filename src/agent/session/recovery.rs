//! After a lost link: what the server did not keep is sent again, and what came to the user
//! meanwhile is delivered; neither is doubled.

use std::collections::HashSet;
use std::sync::MutexGuard;

use super::Session;
use crate::agent::crypto;
use crate::agent::error::{Error, Result};
use crate::agent::relay::{Received, Window};
use crate::agent::wire::UserId;

/// Records looked through per request, and requests, to find what a lost link may have delivered.
const RECORDS_COMPARED: usize = 50;
const COMPARISONS: usize = 20;

/// Up to which record a session has heard what was sent to it.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The greatest id, once there is one to go on from.
    last: Option<i64>,
    /// Ids that were asked for: the new link may bring them as well.
    asked_for: HashSet<i64>,
}

impl Heard {
    /// From where to ask the server on.
    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    /// There is a new link: what the old one may still have brought will not come any more.
    pub(super) fn linked_anew(&mut self) {
        self.asked_for.clear();
    }

    /// The server answered with the records `ids`, and is to be asked on from `last`.
    pub(super) fn asked(&mut self, ids: impl Iterator<Item = i64>, last: i64) {
        self.asked_for.extend(ids);
        self.last = Some(last);
    }

    /// A message came over the link. False if it has been delivered before.
    pub(super) fn came(&mut self, id: i64) -> bool {
        self.last = self.last.max(Some(id));
        !self.asked_for.remove(&id)
    }
}

impl Session {
    /// What the server did not keep goes to be sent again.
    ///
    /// Errors: [`Error::Unreachable`] if the server cannot be asked now.
    pub(in crate::agent) async fn repeat_missing(&self) -> Result<()> {
        let unsettled = self.conversations().outbox.unsettled();
        let mut kept = HashSet::new();
        let peers: HashSet<UserId> = unsettled.iter().map(|(peer, _)| *peer).collect();
        for peer in peers {
            let mut missing: HashSet<&str> = unsettled
                .iter()
                .filter(|(to, _)| *to == peer)
                .map(|(_, digest)| digest.as_str())
                .collect();
            let mut before = None;
            for _ in 0..COMPARISONS {
                let limit = Some(RECORDS_COMPARED);
                let window = Window { limit, before };
                let records = match self.sealed_records(peer, window).await {
                    Err(Error::Refused(_)) => break,
                    answer => answer?,
                };
                for record in &records {
                    let sealed = record.message.as_deref().unwrap_or_default();
                    let digest = crypto::safe_name(sealed);
                    missing.remove(digest.as_str());
                    kept.insert(digest);
                }
                before = records.first().map(|oldest| oldest.id);
                if missing.is_empty() || records.len() != RECORDS_COMPARED {
                    break;
                }
            }
        }
        self.conversations().outbox.repeat_missing(&kept);
        Ok(())
    }

    /// What came to the user since the last link is delivered as if it came live. The first link
    /// has missed nothing, and only learns from where to ask on.
    ///
    /// Errors: [`Error::Unreachable`] if the server cannot be asked now; the next link goes on from
    /// what was delivered.
    pub(in crate::agent) async fn deliver_missed(&self) -> Result<()> {
        self.heard().linked_anew();
        loop {
            let after = self.heard().last();
            let Some(received) = self.received_after(after).await? else {
                return Ok(());
            };
            let ids = received.records.iter().map(|record| record.id);
            self.heard().asked(ids, received.last);
            // A server that does not go on would be asked for ever.
            if received.records.is_empty() || Some(received.last) <= after {
                return Ok(());
            }
            for record in received.records {
                let content = record.message.unwrap_or_default();
                let wrapped = record.from_key.filter(|wrapped| !wrapped.is_empty());
                self.message(record.from, &content, wrapped.as_deref());
            }
        }
    }

    async fn received_after(&self, after: Option<i64>) -> Result<Option<Received>> {
        let relay = &self.server.relay;
        let token = self.token().await;
        match relay.received(&token, after).await {
            Err(Error::TokenRefused) => {
                let token = self.renewed_token(&token).await?;
                relay.received(&token, after).await
            }
            answer => answer,
        }
    }

    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("nobody panics with the lock held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_no_news_when_it_comes_and_everything_else_is() {
        let mut heard = Heard::default();
        assert_eq!(heard.last(), None);
        heard.asked([].into_iter(), 4);
        assert!(heard.came(6) && heard.came(5), "whatever their order");
        assert_eq!(heard.last(), Some(6));
        heard.linked_anew();
        heard.asked([7, 8].into_iter(), 8);
        assert!(!heard.came(7) && !heard.came(8));
        assert!(heard.came(9));
        assert_eq!(heard.last(), Some(9));
    }

    #[test]
    fn a_server_that_went_back_in_time_is_followed() {
        let mut heard = Heard::default();
        heard.came(90);
        heard.asked([].into_iter(), 20);
        assert_eq!(heard.last(), Some(20));
    }
}
