//! One user logged in on this agent: what the routes ask of them and what the link tells them.
//!
//! It holds the token, renews it, and guards the [`Conversations`]; it neither listens nor dials.

mod meeting;
mod own_key;
mod recovery;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::conversations::Conversations;
use super::crypto::PublicKey;
use super::error::{Error, Result};
use super::events::{Event, Events};
use super::keyring::Keyring;
use super::opening::{Opened, Opener};
use super::relay::{Login, Window};
use super::server::Server;
use super::wire::{self, Incoming, Record, UserId};

/// In the server's words for what it may take after all when asked later.
const LATER: &str = "稍后重试";

/// How long a message waits for a link that is just coming up.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// The longest text, in bytes: 6 MiB of a file in base64 and the words around it. Sealed it is
/// 11 MiB, within the 12 MiB the server takes per frame.
const TEXT_BYTES: usize = 8 * 1024 * 1024 + 64 * 1024;

/// One record, opened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OpenRecord {
    id: i64,
    from_id: UserId,
    to_id: UserId,
    chat: String,
    create_time: Value,
}

/// A part of a history, oldest first.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    records: Vec<OpenRecord>,
    /// What to ask `before` for the part before this one; nothing at the beginning.
    next: Option<i64>,
}

/// What the user logged in with last; both may be changed elsewhere.
#[derive(Clone)]
struct Credentials {
    username: String,
    password: String,
}

/// A user logged in on this agent.
pub(super) struct Session {
    pub(super) id: UserId,
    /// To renew the token, which lasts half an hour, for as long as the agent runs.
    credentials: Mutex<Credentials>,
    token: tokio::sync::Mutex<String>,
    pub(super) server: Arc<Server>,
    pub(super) events: Events,
    public_key: PublicKey,
    /// The fingerprint of the key that the server shows for the user, if it is another one.
    other_key: Mutex<Option<String>>,
    opener: Opener,
    conversations: Mutex<Conversations>,
    /// Held by who asks for the key of somebody absent before they write to them.
    meeting: tokio::sync::Mutex<()>,
    /// Something is to be written, or is due at another time than before.
    pub(super) outgoing: Notify,
    ready: watch::Sender<bool>,
    pub(super) stop: CancellationToken,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(
        login: Login,
        (username, password): (&str, &str),
        keyring: Keyring,
        (server, events): (Arc<Server>, Events),
        stop: CancellationToken,
    ) -> Result<Self> {
        let public_key = keyring.private().public();
        let opener = Opener::new(keyring.private().clone());
        let conversations =
            Conversations::new(login.id, keyring, Arc::clone(&server), events.clone())?;
        Ok(Self {
            id: login.id,
            credentials: Mutex::new(Credentials {
                username: username.to_owned(),
                password: password.to_owned(),
            }),
            token: tokio::sync::Mutex::new(login.token),
            server,
            events,
            public_key,
            other_key: Mutex::default(),
            opener,
            conversations: Mutex::new(conversations),
            meeting: tokio::sync::Mutex::default(),
            outgoing: Notify::new(),
            ready: watch::Sender::new(false),
            stop,
        })
    }

    /// The conversations, locked: never across an await.
    pub(super) fn conversations(&self) -> MutexGuard<'_, Conversations> {
        let guard = self.conversations.lock();
        guard.expect("nobody panics with the lock held")
    }

    /// The user logged in once more: the newer token, name and password are the better ones.
    pub(super) async fn logged_in_again(&self, token: &str, username: &str, password: &str) {
        token.clone_into(&mut *self.token.lock().await);
        *self.credentials() = Credentials {
            username: username.to_owned(),
            password: password.to_owned(),
        };
    }

    fn credentials(&self) -> MutexGuard<'_, Credentials> {
        let guard = self.credentials.lock();
        guard.expect("nobody panics with the lock held")
    }

    /// Ends the session. What waits for an answer goes with the last words of the link, if there
    /// is one, and else stays on disk.
    pub(super) fn log_out(&self) {
        if *self.ready.borrow() {
            self.conversations().finish();
        }
        self.end();
    }

    /// Ends the session for good and tells the pages. What waits on disk stays there.
    pub(super) fn end(&self) {
        self.conversations().leave();
        self.stop.cancel();
        self.events.tell(Event::link(self.id, "ended"));
    }

    /// The name that the user logged in with last.
    pub(super) fn username(&self) -> String {
        self.credentials().username.clone()
    }

    /// What `ask` answers to the token, or to another one if the server takes the first no longer.
    ///
    /// Errors: those of `ask`, and [`Error::Refused`] if the server does not take the password.
    pub(super) async fn with_token<T, Answer>(&self, ask: impl Fn(String) -> Answer) -> Result<T>
    where
        Answer: Future<Output = Result<T>>,
    {
        let token = self.token.lock().await.clone();
        match ask(token.clone()).await {
            Err(Error::TokenRefused) => ask(self.renewed_token(&token).await?).await,
            answer => answer,
        }
    }

    /// Another token than `refused`: one login for all who ask at once.
    async fn renewed_token(&self, refused: &str) -> Result<String> {
        let mut token = self.token.lock().await;
        if *token == refused {
            let Credentials { username, password } = self.credentials().clone();
            let login = self.server.relay.login(&username, &password).await?;
            *token = login.token;
        }
        Ok(token.clone())
    }

    /// Waits until the link is up, or not.
    pub(super) async fn is_ready_within(&self, limit: Duration) -> bool {
        let mut ready = self.ready.subscribe();
        let up = tokio::time::timeout(limit, ready.wait_for(|ready| *ready)).await;
        matches!(up, Ok(Ok(_)))
    }

    /// Sends `text` to `to`; see [`Conversations::send`]. Of somebody absent the key is asked for
    /// first, once in each absence. True if it is held until the user accepts a key.
    ///
    /// Errors: [`Error::NotReady`] without a link or such a user, [`Error::NoKey`] if they have no
    /// key, [`Error::Invalid`] if it is too long.
    pub(super) async fn send(&self, to: UserId, text: String) -> Result<bool> {
        if text.len() > TEXT_BYTES {
            return Err(Error::Invalid("消息过大：文件不能超过 6 MiB"));
        }
        if !self.is_ready_within(READY_WITHIN).await {
            return Err(Error::NotReady);
        }
        // Held until the text is on its way, so that those written meanwhile stay behind it.
        let _turn = self.turn_to_write(to).await?;
        let (sent, is_held) = {
            let mut conversations = self.conversations();
            let is_held = conversations.holds(to);
            let sent = Event::sent(self.id, to, &text, is_held);
            conversations.send(to, text, Instant::now())?;
            (sent, is_held)
        };
        self.outgoing.notify_one();
        self.events.tell(sent);
        Ok(is_held)
    }

    /// The history with `peer`, opened; marks it as seen.
    pub(super) async fn records(
        self: &Arc<Self>,
        peer: UserId,
        limit: Option<usize>,
        before: Option<i64>,
    ) -> Result<Page> {
        let window = Window { limit, before };
        let mut records = self.sealed_records(peer, window).await?;
        // A server may know neither `limit` nor `before`.
        records.retain(|record| before.is_none_or(|before| record.id < before));
        let is_full = limit.is_some_and(|limit| records.len() >= limit);
        let surplus = limit.map_or(0, |limit| records.len().saturating_sub(limit));
        records.drain(..surplus);
        let next = records.first().map(|oldest| oldest.id);
        let session = Arc::clone(self);
        let records = tokio::task::spawn_blocking(move || session.open_all(peer, records))
            .await
            .expect("opening does not panic");
        Ok(Page {
            records,
            next: next.filter(|_| is_full),
        })
    }

    fn open_all(&self, peer: UserId, records: Vec<Record>) -> Vec<OpenRecord> {
        let kept = {
            let mut conversations = self.conversations();
            let newest = records.iter().map(|record| record.id).max();
            conversations.arrivals.seen(peer, newest, Instant::now());
            conversations.keys_with(peer)
        };
        self.outgoing.notify_one();
        let mut used = Vec::new();
        let open = |record: Record| {
            let opened = self.opener.record(&record, self.id, &kept);
            if let Opened::Text(_, key) = &opened
                && !used.contains(key)
            {
                used.push(key.clone());
            }
            OpenRecord {
                id: record.id,
                from_id: record.from,
                to_id: record.to,
                chat: opened.shown(),
                create_time: record.created,
            }
        };
        let records = records.into_iter().map(open).collect();
        self.conversations().have_opened(peer, &used);
        records
    }

    async fn sealed_records(&self, peer: UserId, window: Window) -> Result<Vec<Record>> {
        let (relay, id) = (&self.server.relay, self.id);
        let ask = move |token: String| async move { relay.records(&token, id, peer, window).await };
        self.with_token(ask).await
    }

    /// A sealed message for this user is opened and delivered.
    fn message(&self, from: UserId, id: Option<i64>, content: &str, wrapped: Option<&str>) {
        let kept = self.conversations().keys_with(from);
        let opened = self.opener.message(content, wrapped, &kept);
        self.conversations()
            .message(from, id, opened, Instant::now());
    }

    /// A text frame came over the link.
    ///
    /// Errors: [`Error::Busy`] if the server could not take a frame just now. It has not said
    /// which, so the link is to be dialled anew: then what is missing is sent again.
    pub(super) fn received(&self, text: &str) -> Result<()> {
        let now = Instant::now();
        match wire::parse(text) {
            Some(Incoming::Roster(list)) => {
                self.note_own_key(&list);
                self.conversations().roster(list, now);
                self.ready();
            }
            Some(Incoming::Key { from, wrapped }) => {
                let key = self.opener.unwrap_key(&wrapped);
                let bare = wrapped.is_empty();
                self.conversations().key_frame(from, key, bare, now);
            }
            Some(Incoming::Message {
                id,
                from,
                content,
                wrapped,
            }) => {
                if id.is_none_or(|id| self.conversations().arrivals.came(id, now)) {
                    self.message(from, id, &content, wrapped.as_deref());
                }
            }
            Some(Incoming::Notice(notice)) => {
                tracing::warn!(user = self.id, notice, "the server refused a frame");
                if notice.contains(LATER) {
                    return Err(Error::Busy(notice));
                }
                let refused = json!({"type": "refused", "user": self.id, "notice": notice});
                self.events.publish(&refused);
            }
            None => tracing::warn!(user = self.id, "a frame that is none of the published ones"),
        }
        self.outgoing.notify_one();
        Ok(())
    }

    /// The link is up and the roster known.
    pub(super) fn ready(&self) {
        if !self.ready.send_replace(true) {
            self.tell_link();
        }
    }

    /// The link is gone.
    pub(super) fn link_lost(&self) {
        self.conversations().link_lost();
        if self.ready.send_replace(false) {
            // Nothing comes back to a session that has ended.
            if !self.stop.is_cancelled() {
                self.tell_link();
            }
            self.events
                .publish(&json!({"type": "online", "user": self.id}));
        }
    }

    /// The state of the link, for pages that have not heard of it.
    pub(super) fn link(&self) -> Event {
        link_event(self.id, *self.ready.borrow())
    }

    /// Tells every page the state of the link.
    pub(super) fn tell_link(&self) {
        // Held meanwhile, so that what changes now is told later.
        let is_ready = self.ready.borrow();
        self.events.tell(link_event(self.id, *is_ready));
    }
}

fn link_event(user: UserId, is_ready: bool) -> Event {
    let state = if is_ready {
        "connected"
    } else {
        "reconnecting"
    };
    Event::link(user, state)
}
