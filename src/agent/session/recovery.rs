//! With a new link: what the server did not keep is sent again, and what came to the user
//! meanwhile is delivered; neither is doubled.

use std::collections::HashSet;
use std::time::Instant;

use super::Session;
use crate::agent::crypto;
use crate::agent::error::{Error, Result};
use crate::agent::relay::{Received, Window};
use crate::agent::wire::UserId;

/// Records looked through per request to find what a lost link may have delivered, and requests
/// where it is not known how far back that may be.
const RECORDS_COMPARED: usize = 50;
const COMPARISONS: usize = 20;

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
            let after = self.conversations().outbox.unsettled_after(peer);
            let mut before = None;
            for compared in 1.. {
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
                let is_far_enough = match after {
                    Some(_) => before <= after,
                    None => compared == COMPARISONS,
                };
                if missing.is_empty() || records.len() != RECORDS_COMPARED || is_far_enough {
                    break;
                }
            }
        }
        self.conversations().repeat_missing(&kept);
        Ok(())
    }

    /// What came to the user since the last link, be it of an earlier run, is delivered as if it
    /// came live. The very first link only learns from where to ask on.
    ///
    /// Errors: [`Error::Unreachable`] if the server cannot be asked now; the next link goes on from
    /// what was delivered.
    pub(in crate::agent) async fn deliver_missed(&self) -> Result<()> {
        self.conversations().arrivals.linked_anew();
        loop {
            let after = self.conversations().arrivals.last();
            let Some(received) = self.received_after(after).await? else {
                return Ok(());
            };
            let ids = received.records.iter().map(|record| record.id);
            self.conversations()
                .arrivals
                .asked(ids, received.last, Instant::now());
            // A server that does not go on would be asked for ever.
            if received.records.is_empty() || Some(received.last) <= after {
                return Ok(());
            }
            for record in received.records {
                let content = record.message.unwrap_or_default();
                let wrapped = record.from_key.filter(|wrapped| !wrapped.is_empty());
                self.message(record.from, Some(record.id), &content, wrapped.as_deref());
            }
        }
    }

    async fn received_after(&self, after: Option<i64>) -> Result<Option<Received>> {
        let relay = &self.server.relay;
        let ask = move |token: String| async move { relay.received(&token, after).await };
        self.with_token(ask).await
    }
}
