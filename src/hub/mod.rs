//! Live delivery, in memory: who listens, and what just happened.
//!
//! Nouns publish after the commit; each API encodes what its own clients understand. Queues are
//! bounded in number and bytes: a reader that falls behind is dropped, and nobody waits for it. What
//! a channel's clients are not told is not queued for them, and of what tells a whole state only the
//! newest waits.

mod ending;
mod event;
mod subscription;
mod waiting;

use ending::{Ending, Expiry};
pub use event::{Channel, End, Event};
pub use subscription::Subscription;
use waiting::{Queued, Waiting};

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, mpsc};

use crate::model::{RoomId, Session, SessionId, UserId};

/// How many events may wait for a reader who is being written to and does not read.
const STUCK_EVENTS: usize = 256;
/// How many events may wait for any other. A commit brings hundreds at once: when many speak at the
/// same moment, the task of a reader who does read may have had no turn yet.
const QUEUE_EVENTS: usize = 4_096;
/// How many bytes of content may wait for one reader; a single larger message still passes.
const QUEUE_BYTES: usize = 16 << 20;

/// Who is about to listen.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// Whose events.
    pub user: UserId,
    /// Their name, for [`Event::Joined`] and [`Event::Left`]; see [`Hub::rename`].
    pub username: String,
    /// The login it depends on, if there is one: it ends with it, or when its time is up.
    pub session: Option<Session>,
    /// Which API's.
    pub channel: Channel,
    /// The room whose events it wants, if any (chat_room); see [`Hub::enter`].
    pub room: Option<RoomId>,
}

impl Subscriber {
    fn session_id(&self) -> Option<SessionId> {
        self.session.map(|session| session.id)
    }
}

struct Entry {
    subscriber: Subscriber,
    events: mpsc::Sender<Queued>,
    waiting: Arc<Waiting>,
    ending: Arc<Ending>,
}

/// The way to all who listen. Cheap to clone.
#[derive(Clone, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Default)]
struct Shared {
    listeners: Mutex<Listeners>,
    next: AtomicU64,
    changes: OnceLock<mpsc::UnboundedSender<UserId>>,
}

#[derive(Default)]
struct Listeners {
    entries: HashMap<u64, Entry>,
    by_user: HashMap<UserId, HashSet<u64>>,
    by_room: HashMap<RoomId, HashSet<u64>>,
    by_channel: HashMap<Channel, HashSet<u64>>,
    watched: HashMap<Channel, Arc<Notify>>,
}

impl Hub {
    /// Begins to listen. Where the channel tells who comes, announces [`Event::Joined`] to its
    /// others if it is the user's first there.
    pub fn subscribe(&self, subscriber: Subscriber) -> Subscription {
        let (sender, events) = mpsc::channel(QUEUE_EVENTS);
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let Subscriber {
            user,
            ref username,
            session,
            channel,
            room,
        } = subscriber;
        let waiting = Arc::<Waiting>::default();
        let ending = Arc::new(Ending::new(session));
        let username = username.clone();
        let entry = Entry {
            subscriber,
            events: sender,
            waiting: waiting.clone(),
            ending: ending.clone(),
        };
        let mut listeners = self.listeners();
        let is_first = channel.tells_who_comes() && !listeners.is_on(user, channel);
        listeners.by_user.entry(user).or_default().insert(id);
        listeners.by_channel.entry(channel).or_default().insert(id);
        if let Some(room) = room {
            listeners.by_room.entry(room).or_default().insert(id);
        }
        listeners.entries.insert(id, entry);
        if is_first {
            listeners.to_channel(
                channel,
                Some(user),
                &Arc::new(Event::Joined { user, username }),
            );
        }
        listeners.note_change_on(channel);
        drop(listeners);
        if channel.is_presence() {
            self.note_change(user);
        }
        Subscription {
            id,
            hub: self.clone(),
            events,
            waiting,
            expiry: Expiry::new(session, ending.clone()),
            ending,
        }
    }

    /// To every subscription of a user that hears such events; of their relay sockets, to the newest
    /// alone.
    pub fn to_user(&self, user: UserId, event: Event) {
        self.to_each([(user, event)]);
    }

    /// Each of these to its user, as [`Hub::to_user`], in one go. What nobody hears costs a look-up.
    pub fn to_each<const N: usize>(&self, told: [(UserId, Event); N]) {
        let listeners = self.listeners();
        for (user, event) in told {
            if listeners.of(user).any(|(_, entry)| entry.hears(&event)) {
                listeners.deliver_to(user, &Arc::new(event));
            }
        }
    }

    /// To every subscription of several users, as [`Hub::to_user`].
    pub fn to_users(&self, users: &[UserId], event: Event) {
        let listeners = self.listeners();
        let event = Arc::new(event);
        for user in users {
            listeners.deliver_to(*user, &event);
        }
    }

    /// To every subscription whose current room it is.
    pub fn to_room(&self, room: RoomId, event: Event) {
        let listeners = self.listeners();
        if let Some(ids) = listeners.by_room.get(&room) {
            let event = Arc::new(event);
            for (_, entry) in listeners.among(Some(ids)) {
                entry.push(&event);
            }
        }
    }

    /// To everybody on a channel, but not to `except`, if that is anybody.
    pub fn to_channel(&self, channel: Channel, except: Option<UserId>, event: Event) {
        self.listeners()
            .to_channel(channel, except, &Arc::new(event));
    }

    /// Whether a user is online by what lives on some channel. What has been ended counts no more,
    /// even if its reader has not left yet.
    pub fn is_live(&self, user: UserId) -> bool {
        let listeners = self.listeners();
        listeners.of(user).any(|(_, entry)| entry.is_live())
    }

    /// Everybody who is online in this way.
    pub fn live_users(&self) -> HashSet<UserId> {
        let listeners = self.listeners();
        let live = listeners.entries.values().filter(|entry| entry.is_live());
        live.map(|entry| entry.subscriber.user).collect()
    }

    /// Everybody who listens on a channel, each once, by id.
    pub fn users_on(&self, channel: Channel) -> Vec<UserId> {
        let listeners = self.listeners();
        let there = listeners.among(listeners.by_channel.get(&channel));
        let mut users: Vec<_> = there.map(|(_, entry)| entry.subscriber.user).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Is notified when anybody begins or ends to listen on a channel, or what is shown of somebody
    /// there is to be looked up anew; for one watcher.
    pub fn watch(&self, channel: Channel) -> Arc<Notify> {
        self.listeners().watched.entry(channel).or_default().clone()
    }

    /// How many subscriptions there are on each channel.
    pub fn counts(&self) -> Vec<(Channel, usize)> {
        self.listeners()
            .by_channel
            .iter()
            .map(|(channel, ids)| (*channel, ids.len()))
            .collect()
    }

    /// Gives a user's subscriptions their present name.
    pub fn rename(&self, user: UserId, username: &str) {
        let mut listeners = self.listeners();
        listeners.change(user, |entry| {
            username.clone_into(&mut entry.subscriber.username);
        });
        listeners.note_change_of(user);
    }

    /// Says that a user's public key is another one now.
    pub fn note_key(&self, user: UserId) {
        self.listeners().note_change_of(user);
    }

    /// Lets what depends on one login depend on another of the same user, which takes its place and
    /// lasts longer.
    pub fn move_session(&self, old: SessionId, new: Session) {
        self.listeners().change(new.user, |entry| {
            if entry.subscriber.session_id() == Some(old) {
                entry.subscriber.session = Some(new);
                entry.ending.put_off(new.expires_at);
            }
        });
    }

    /// Ends what depends on one login.
    pub fn end_session(&self, session: Session) {
        self.end_of(session.user, |its| its == Some(session.id));
    }

    /// Ends all of a user's subscriptions but those of one login.
    pub fn end_user(&self, user: UserId, except: Option<SessionId>) {
        self.end_of(user, |its| except.is_none() || its != except);
    }

    /// Ends everything, at the server's end.
    pub fn shut_down(&self) {
        for entry in self.listeners().entries.values() {
            entry.ending.end(End::Shutdown);
        }
    }

    /// Where the ids of users go whose presence may have changed; set once, at the start.
    pub fn watch_changes(&self) -> Option<mpsc::UnboundedReceiver<UserId>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.changes.set(sender).ok().map(|()| receiver)
    }

    /// Says that a user's presence may have changed.
    pub fn note_change(&self, user: UserId) {
        if let Some(changes) = self.0.changes.get() {
            // Nobody watches any more at the server's end.
            let _ = changes.send(user);
        }
    }

    /// Ends those of a user's subscriptions whose login is meant.
    fn end_of(&self, user: UserId, is_meant: impl Fn(Option<SessionId>) -> bool) {
        for (_, entry) in self.listeners().of(user) {
            if is_meant(entry.subscriber.session_id()) {
                entry.ending.end(End::SessionEnded);
            }
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.0
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listeners {
    /// The entries that an index names, each with its number.
    fn among(&self, ids: Option<&HashSet<u64>>) -> impl Iterator<Item = (u64, &Entry)> {
        let ids = ids.into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.entries.get(id)?)))
    }

    /// A user's entries.
    fn of(&self, user: UserId) -> impl Iterator<Item = (u64, &Entry)> {
        self.among(self.by_user.get(&user))
    }

    fn change(&mut self, user: UserId, mut change: impl FnMut(&mut Entry)) {
        for id in self.by_user.get(&user).into_iter().flatten() {
            self.entries.get_mut(id).into_iter().for_each(&mut change);
        }
    }

    fn is_on(&self, user: UserId, channel: Channel) -> bool {
        self.of(user)
            .any(|(_, entry)| entry.subscriber.channel == channel)
    }

    /// To one user's subscriptions. Clients of the relay take a message once however many sockets
    /// they hold, so that only the newest of these gets it.
    fn deliver_to(&self, user: UserId, event: &Arc<Event>) {
        let is_on_relay = |entry: &Entry| entry.subscriber.channel == Channel::Relay;
        let live_there = (self.of(user)).filter(|(_, entry)| is_on_relay(entry) && entry.is_live());
        let newest = live_there.map(|(id, _)| id).max();
        for (id, entry) in self.of(user) {
            if !is_on_relay(entry) || Some(id) == newest {
                entry.push(event);
            }
        }
    }

    fn note_change_on(&self, channel: Channel) {
        if let Some(watcher) = self.watched.get(&channel) {
            watcher.notify_one();
        }
    }

    /// Whoever watches a channel on which the user is has to look them up anew.
    fn note_change_of(&self, user: UserId) {
        for channel in self.watched.keys() {
            if self.is_on(user, *channel) {
                self.note_change_on(*channel);
            }
        }
    }

    fn to_channel(&self, channel: Channel, except: Option<UserId>, event: &Arc<Event>) {
        for (_, entry) in self.among(self.by_channel.get(&channel)) {
            if Some(entry.subscriber.user) != except {
                entry.push(event);
            }
        }
    }
}

impl Entry {
    fn is_live(&self) -> bool {
        self.subscriber.channel.is_presence() && !self.ending.signal.is_cancelled()
    }

    fn hears(&self, event: &Event) -> bool {
        self.subscriber.channel.hears(event)
    }

    fn push(&self, event: &Arc<Event>) {
        if !self.hears(event) {
            return;
        }
        let Some((queued, waiting)) = self.waiting.put(event) else {
            return;
        };
        let is_stuck = self.waiting.is_stuck.load(Ordering::Relaxed);
        let is_over = waiting > 0 && waiting + event.bytes() > QUEUE_BYTES
            || is_stuck && self.events.max_capacity() - self.events.capacity() >= STUCK_EVENTS;
        if is_over || self.events.try_send(queued).is_err() {
            self.ending.end(End::Lagged);
        }
    }
}

fn remove<K: std::hash::Hash + Eq>(index: &mut HashMap<K, HashSet<u64>>, key: K, id: u64) {
    if let Some(ids) = index.get_mut(&key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
