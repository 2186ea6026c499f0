//! Who is online: whoever has a live subscription, or has shown up lately. In memory only.
//!
//! Telling others of a change needs their names, so the nouns do that (see `contacts`).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::hub::Hub;
use crate::model::{self, Session, SessionId, Status, UserId};

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
    session: Session,
}

/// Whom the hub has live, and recent logins and heartbeats.
pub struct Presence {
    hub: Hub,
    seen: Mutex<HashMap<UserId, Seen>>,
}

impl Presence {
    /// Nobody has shown up yet.
    pub fn new(hub: Hub) -> Self {
        Presence {
            hub,
            seen: Mutex::default(),
        }
    }

    /// Notes a login or heartbeat; watchers of the hub hear of it. The address is kept for as long
    /// as the session lives: its user may be silent for a while and open a socket then.
    pub fn note(&self, session: Session, endpoint: Endpoint) {
        self.seen().insert(
            session.user,
            Seen {
                at: Instant::now(),
                endpoint,
                session,
            },
        );
        self.hub.note_change(session.user);
    }

    /// Forgets a user's address and recent login; of one session only, if one is named. Watchers
    /// of the hub hear of it.
    pub fn forget(&self, user: UserId, session: Option<SessionId>) {
        let mut seen = self.seen();
        let is_meant = |seen: &Seen| session.is_none_or(|session| seen.session.id == session);
        if seen.get(&user).is_some_and(is_meant) {
            seen.remove(&user);
        }
        drop(seen);
        self.hub.note_change(user);
    }

    /// Keeps what is known by one login of a user's as known by another, which takes its place.
    pub fn move_session(&self, old: SessionId, new: Session) {
        if let Some(seen) = self.seen().get_mut(&new.user)
            && seen.session.id == old
        {
            seen.session = new;
        }
    }

    /// Forgets the addresses of all whose sessions are over.
    pub fn forget_expired(&self) {
        let now = model::Instant::now();
        self.seen().retain(|_, seen| seen.session.expires_at > now);
    }

    /// Where a user was last seen, if not forgotten since.
    pub fn endpoint(&self, user: UserId) -> Option<Endpoint> {
        self.seen().get(&user).map(|seen| seen.endpoint)
    }

    /// Whether a user is online.
    pub fn is_online(&self, user: UserId) -> bool {
        self.hub.is_live(user)
            || self
                .seen()
                .get(&user)
                .is_some_and(|seen| seen.at.elapsed() < RECENT)
    }

    /// Everybody who is online.
    pub fn online_users(&self) -> HashSet<UserId> {
        let mut online = self.hub.live_users();
        let seen = self.seen();
        let recent = seen.iter().filter(|(_, seen)| seen.at.elapsed() < RECENT);
        online.extend(recent.map(|(user, _)| *user));
        online
    }

    /// What others see of a user: the `chosen` status while online, `Offline` otherwise.
    pub fn visible_status(&self, user: UserId, chosen: Status) -> Status {
        if self.is_online(user) {
            chosen
        } else {
            Status::Offline
        }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<UserId, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether somebody counts as online who has logged in so long ago and is connected to nothing.
    fn is_online_after(secs: u64) -> bool {
        let presence = Presence::new(Hub::default());
        let user = UserId(1);
        let session = Session {
            id: SessionId(1),
            user,
            expires_at: model::Instant::now().plus_secs(3_600),
        };
        let endpoint = Endpoint {
            ip: IpAddr::from([127, 0, 0, 1]),
            port: 7_000,
        };
        presence.note(session, endpoint);
        let passed = Duration::from_secs(secs);
        for seen in presence.seen().values_mut() {
            seen.at = seen
                .at
                .checked_sub(passed)
                .expect("the machine is up that long");
        }
        assert_eq!(
            presence.online_users().contains(&user),
            presence.is_online(user)
        );
        presence.is_online(user)
    }

    #[test]
    fn a_login_or_heartbeat_keeps_its_user_online_for_two_minutes() {
        assert!(is_online_after(0));
        assert!(is_online_after(110));
        assert!(!is_online_after(121));
    }

    #[test]
    fn an_address_is_kept_while_its_session_lives_and_no_longer() {
        let presence = Presence::new(Hub::default());
        let endpoint = Endpoint {
            ip: IpAddr::from([127, 0, 0, 1]),
            port: 7_000,
        };
        let session = |id, secs| Session {
            id: SessionId(id),
            user: UserId(1),
            expires_at: model::Instant::now().plus_secs(secs),
        };
        presence.note(session(1, 60), endpoint);
        presence.forget_expired();
        assert_eq!(presence.endpoint(UserId(1)), Some(endpoint));
        presence.move_session(SessionId(1), session(2, -60));
        presence.forget(UserId(1), Some(SessionId(1)));
        assert_eq!(
            presence.endpoint(UserId(1)),
            Some(endpoint),
            "it is the other's"
        );
        presence.forget_expired();
        assert_eq!(presence.endpoint(UserId(1)), None);
    }
}
