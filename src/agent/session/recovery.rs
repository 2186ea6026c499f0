//! With a new link: what the server did not keep is sent again, and what came to the user
//! meanwhile is delivered; neither is doubled.

use std::collections::HashSet;
use std::time::Instant;

use super::Session;
use crate::agent::crypto;
use crate::agent::error::{Error, Result};
use crate::agent::relay::{Received, Window};
use crate::agent::wire::{Record, UserId};

/// Records looked through first to find what a lost link may have delivered, and where it is not
/// known how far back that may be, in all.
const FIRST_COMPARED: usize = 4;
const MOST_COMPARED: usize = 1_000;
/// The most records of a further answer, and about what it may weigh: they may hold pictures.
const WINDOW: usize = 50;
const WINDOW_BYTES: usize = 8 * 1024 * 1024;

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
            let (mut limit, mut before, mut compared) = (FIRST_COMPARED, None, 0);
            while let Some(records) = self.compared(peer, limit, before).await? {
                let mut bytes = 0;
                for record in &records {
                    let sealed = record.message.as_deref().unwrap_or_default();
                    bytes += sealed.len();
                    let digest = crypto::safe_name(sealed);
                    missing.remove(digest.as_str());
                    kept.insert(digest);
                }
                let oldest = records.first().map(|oldest| oldest.id);
                compared += records.len();
                let is_far_enough = match after {
                    Some(_) => oldest <= after,
                    None => compared >= MOST_COMPARED,
                };
                // A server that knows no `before` would be asked for ever.
                let is_older = before.is_none() || oldest < before;
                if missing.is_empty() || records.len() != limit || is_far_enough || !is_older {
                    break;
                }
                before = oldest;
                limit = next_window(bytes / records.len());
            }
        }
        self.conversations().repeat_missing(&kept);
        Ok(())
    }

    /// A part of the history with `peer`; nothing if the server does not show it.
    async fn compared(
        &self,
        peer: UserId,
        limit: usize,
        before: Option<i64>,
    ) -> Result<Option<Vec<Record>>> {
        let (relay, id) = (&self.server.relay, self.id);
        let limit = Some(limit);
        let window = Window { limit, before };
        let ask = move |token: String| async move {
            match relay.records(&token, id, peer, window).await {
                // Of the records only: that of a login ends the session.
                Err(Error::Refused(_)) => Ok(None),
                answer => answer.map(Some),
            }
        };
        self.with_token(ask).await
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

/// How many records to ask for next where one weighs so much on average.
fn next_window(average_bytes: usize) -> usize {
    (WINDOW_BYTES / average_bytes.max(1)).clamp(1, WINDOW)
}
