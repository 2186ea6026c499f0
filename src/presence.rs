//! Who is online: whoever has a live subscription, or has shown up lately. In memory only.
//!
//! Telling others of a change needs their names, so the nouns do that (see `contacts`).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::hub::Hub;
use crate::model::{SessionId, Status, User, UserId};

/// How long a login or heartbeat of secure_im keeps its user online.
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
    endpoint: Endpoint,
    session: SessionId,
}

/// Recent logins and heartbeats.
#[derive(Default)]
pub struct Presence(Mutex<HashMap<UserId, Seen>>);

impl Presence {
    /// Notes a login or heartbeat; watchers of the hub hear of it.
    pub fn note(&self, hub: &Hub, user: UserId, session: SessionId, endpoint: Endpoint) {
        self.seen().insert(
            user,
            Seen {
                at: Instant::now(),
                endpoint,
                session,
            },
        );
        hub.note_change(user);
    }

    /// Forgets a user's address and recent login; of one session only, if one is named. Watchers
    /// of the hub hear of it.
    pub fn forget(&self, hub: &Hub, user: UserId, session: Option<SessionId>) {
        let mut seen = self.seen();
        let is_meant = |seen: &Seen| session.is_none_or(|session| seen.session == session);
        if seen.get(&user).is_some_and(is_meant) {
            seen.remove(&user);
        }
        drop(seen);
        hub.note_change(user);
    }

    /// Keeps what is known by one login of a user's as known by another, which takes its place.
    pub fn move_session(&self, user: UserId, old: SessionId, new: SessionId) {
        if let Some(seen) = self.seen().get_mut(&user)
            && seen.session == old
        {
            seen.session = new;
        }
    }

    /// Forgets the addresses of all who are not online any more.
    pub fn forget_absent(&self, hub: &Hub) {
        self.seen()
            .retain(|user, seen| seen.at.elapsed() < RECENT || hub.is_live(*user));
    }

    /// Where a user was last seen, if not forgotten since.
    pub fn endpoint(&self, user: UserId) -> Option<Endpoint> {
        self.seen().get(&user).map(|seen| seen.endpoint)
    }

    /// Whether a user is online.
    pub fn is_online(&self, hub: &Hub, user: UserId) -> bool {
        hub.is_live(user)
            || self
                .seen()
                .get(&user)
                .is_some_and(|seen| seen.at.elapsed() < RECENT)
    }

    /// Everybody who is online.
    pub fn online_users(&self, hub: &Hub) -> HashSet<UserId> {
        let mut online = hub.live_users();
        let seen = self.seen();
        let recent = seen.iter().filter(|(_, seen)| seen.at.elapsed() < RECENT);
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

    fn seen(&self) -> MutexGuard<'_, HashMap<UserId, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
