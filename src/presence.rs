//! Who is online: whoever has a live subscription, or has shown up lately. In memory only.
//!
//! Telling others of a change needs their names, so the nouns do that (see `contacts`).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::hub::Hub;
use crate::model::{SessionId, Status, User, UserId};

/// How long a login of secure_im or chat8, or a heartbeat, keeps its user online.
const RECENT: Duration = Duration::from_secs(120);

/// Where a user can be reached directly, peer to peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As the server saw it.
    pub ip: IpAddr,
    /// As the client said, or its TCP source port.
    pub port: u16,
}

struct Seen {
    at: Instant,
    /// If the API of the login asks for it: secure_im does.
    endpoint: Option<Endpoint>,
    session: SessionId,
}

impl Seen {
    fn is_recent(&self) -> bool {
        self.at.elapsed() < RECENT
    }
}

/// Recent logins and heartbeats, each user's by session, the latest last.
#[derive(Default)]
pub struct Presence(Mutex<HashMap<UserId, Vec<Seen>>>);

impl Presence {
    /// Notes a login or heartbeat; watchers of the hub hear of it.
    pub fn note(&self, hub: &Hub, user: UserId, session: SessionId, endpoint: Option<Endpoint>) {
        let mut seen = self.seen();
        let of_user = seen.entry(user).or_default();
        // What is not recent is kept for its address only, until there is a newer one.
        let is_last_address = |other: &Seen| other.endpoint.is_some() && endpoint.is_none();
        of_user.retain(|other| {
            other.session != session && (other.is_recent() || is_last_address(other))
        });
        of_user.push(Seen {
            at: Instant::now(),
            endpoint,
            session,
        });
        drop(seen);
        hub.note_change(user);
    }

    /// Forgets a user's addresses and recent logins; of one session only, if one is named.
    /// Watchers of the hub hear of it.
    pub fn forget(&self, hub: &Hub, user: UserId, session: Option<SessionId>) {
        if let Some(of_user) = self.seen().get_mut(&user) {
            of_user.retain(|seen| session.is_some_and(|session| seen.session != session));
        }
        hub.note_change(user);
    }

    /// Keeps what is known by one login of a user's as known by another, which takes its place.
    pub fn move_session(&self, user: UserId, old: SessionId, new: SessionId) {
        for seen in self.seen().get_mut(&user).into_iter().flatten() {
            if seen.session == old {
                seen.session = new;
            }
        }
    }

    /// Forgets logins that count no more, and the addresses of all who are not online any more.
    pub fn forget_absent(&self, hub: &Hub) {
        self.seen().retain(|user, of_user| {
            let is_live = hub.is_live(*user);
            of_user.retain(|seen| seen.is_recent() || seen.endpoint.is_some() && is_live);
            !of_user.is_empty()
        });
    }

    /// Where a user was last seen, if not forgotten since.
    pub fn endpoint(&self, user: UserId) -> Option<Endpoint> {
        let seen = self.seen();
        seen.get(&user)?.iter().rev().find_map(|seen| seen.endpoint)
    }

    /// Whether a user is online.
    pub fn is_online(&self, hub: &Hub, user: UserId) -> bool {
        hub.is_live(user)
            || self
                .seen()
                .get(&user)
                .is_some_and(|of_user| of_user.iter().any(Seen::is_recent))
    }

    /// Everybody who is online.
    pub fn online_users(&self, hub: &Hub) -> HashSet<UserId> {
        let mut online = hub.live_users();
        let seen = self.seen();
        let recent = seen
            .iter()
            .filter(|(_, of_user)| of_user.iter().any(Seen::is_recent));
        online.extend(recent.map(|(user, _)| *user));
        online
    }

    /// What others see: the chosen status while online, `Offline` otherwise.
    pub fn visible_status(&self, hub: &Hub, user: &User) -> Status {
        if self.is_online(hub, user.id) {
            user.status
        } else {
            Status::Offline
        }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Seen>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
