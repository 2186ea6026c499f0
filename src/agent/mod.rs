//! `sealpost agent`: the local client that seals and opens messages and serves its own page.
//!
//! Everything that could open a message stays in this process: the server sees sealed texts,
//! the page sees clear ones, and only this machine's programs reach the page.
//!
//! ```text
//! routes     the local HTTP API and the pages, for this machine only
//! session    one logged-in user: token, history, sending
//! conversations   who is online, whose key is in doubt, what is on its way
//! arrivals   what has come and is unread
//! exchange   how two agents come to share a key        outbox   nothing lost, nothing doubled
//! journal    the outbox on disk
//! opening    sealed texts to clear ones                crypto   pure functions
//! link       the socket to the server                  relay    its HTTP API, wire its words
//! server     the server's pinned key                   keyring  keys at rest, files whole ones
//! home       whose keys are where                  lost_keys  looks for them elsewhere
//! publishing  shows the server's users a key where there is none
//! ```
//!
//! Source: encommunication. It is no server: one person's machine, a few users at once.

mod arrivals;
mod conversations;
mod crypto;
mod error;
mod events;
mod exchange;
mod files;
mod home;
mod journal;
mod keyring;
mod link;
mod lost_keys;
mod opening;
mod outbox;
mod publishing;
mod relay;
mod routes;
mod server;
mod session;
mod wire;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use error::{Error, Result};
use events::Events;
use home::Home;
use keyring::Keyring;
use relay::Relay;
use server::Server;
use session::Session;
use wire::UserId;

/// How long the start waits for the server's key, so that the first page can show it.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// How long a login waits for the link, so that a message right after it finds one.
const LINK_WITHIN: Duration = Duration::from_secs(2);

/// Where the agent finds its server, where it listens and where it keeps its keys.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The server's URL, `http://…` or `https://…`.
    pub server: String,
    /// The address to listen on; only a loopback address is accepted.
    pub address: IpAddr,
    /// The port to listen on; 0 takes any free one.
    pub port: u16,
    /// The directory of the key store, made if absent.
    pub data_dir: PathBuf,
}

/// Serves the agent until `shutdown`, then sends what waits and closes the links.
///
/// Prints `sealpost agent: open http://127.0.0.1:PORT` once it listens.
/// Errors: [`Error::Start`] if the address is not of this machine or taken, or the keys have no
/// place.
pub async fn serve(config: AgentConfig, shutdown: CancellationToken) -> Result<()> {
    if !config.address.is_loopback() {
        let text = "the agent opens messages: it listens on loopback addresses only";
        return Err(Error::Start(text.into()));
    }
    let agent = Arc::new(Agent::new(&config, shutdown.child_token())?);
    // A server that is away now, or does not answer, is asked again by each link.
    tokio::select! {
        _ = timeout(LOOK_WITHIN, agent.server.look()) => {}
        () = shutdown.cancelled() => {}
    }
    let served = routes::serve(&config, Arc::clone(&agent), shutdown).await;
    agent.finish().await;
    served
}

/// What the routes share: the server and who is logged in.
#[derive(Debug)]
struct Agent {
    server: Arc<Server>,
    events: Events,
    sessions: Mutex<BTreeMap<UserId, Arc<Session>>>,
    /// The newest of each user; it may have ended.
    links: Mutex<BTreeMap<UserId, JoinHandle<()>>>,
    /// One registration or login at a time: two for the same name would mix their keys.
    door: tokio::sync::Mutex<()>,
    stop: CancellationToken,
}

impl Agent {
    fn new(config: &AgentConfig, stop: CancellationToken) -> Result<Self> {
        let url = config.server.trim_end_matches('/');
        let relay = Relay::new(url)?;
        let home = Home::open(&config.data_dir, url)?;
        Ok(Self {
            server: Arc::new(Server::new(relay, home)?),
            events: Events::default(),
            sessions: Mutex::default(),
            links: Mutex::default(),
            door: tokio::sync::Mutex::default(),
            stop,
        })
    }

    /// Registers with keys of this machine, new unless the password opens some; what the server
    /// says of the new user.
    async fn register(&self, username: &str, password: &str, repassword: &str) -> Result<Value> {
        let _door = self.door.lock().await;
        let Server { relay, home, .. } = &*self.server;
        let register = async |keyring: &Keyring| {
            let pem = keyring.private().public().to_pem();
            let registered = relay.register(username, password, repassword, &pem);
            let registered = registered.await?;
            // Without an id in the answer the next login tells it.
            if let Some(id) = wire::read_id(&registered["id"]) {
                home.claim(keyring.dir(), id)?;
            }
            Ok(registered)
        };
        let dir = home.unclaimed(username)?;
        match open_keys(&dir, password).await {
            Ok(Some(keyring)) => return register(&keyring).await,
            Ok(None) | Err(Error::LockedKeys) => {}
            Err(error) => return Err(error),
        }
        // If they were registered after all, they are not to be overwritten by others.
        if let Some(earlier) = unconfirmed_keys(&dir, password).await? {
            let registered = register(&earlier).await?;
            earlier.settle()?;
            return Ok(registered);
        }
        let fresh = new_keys(&dir, password).await?;
        let registered = register(&fresh).await;
        match &registered {
            Ok(_) => fresh.settle()?,
            Err(Error::Refused(_)) => fresh.discard()?,
            // Whether the server has them is not known: the next login will see.
            Err(_) => {}
        }
        registered
    }

    /// Logs in and starts the user's link; a user logged in already keeps theirs. Keys that are
    /// still sealed under `old_password` are sealed under `password` from now on.
    async fn login(
        &self,
        username: &str,
        password: &str,
        old_password: Option<&str>,
    ) -> Result<(Arc<Session>, String)> {
        let _door = self.door.lock().await;
        let login = self.server.relay.login(username, password).await?;
        let token = login.token.clone();
        if let Some(session) = self.session(login.id) {
            session.logged_in_again(&token, username, password).await;
            return Ok((session, token));
        }
        // One that is still saying its last words would send what this one takes over.
        self.link_ended(login.id).await;
        let home = &self.server.home;
        let dir = home.user(login.id, username)?;
        let found = match open_keys(&dir, password).await {
            Err(Error::LockedKeys) => {
                let confirmed = self.confirmed_keys(&login, username, password).await?;
                match (confirmed, old_password) {
                    (None, Some(old)) => reseal_keys(&dir, old, password).await,
                    (None, None) => Err(Error::LockedKeys),
                    (confirmed, _) => Ok(confirmed),
                }
            }
            found => found,
        };
        let keyring = match found? {
            Some(keyring) => keyring,
            None => match self.keys_of_other_url(&login, username, password).await? {
                Some(keyring) => keyring,
                None => keys_elsewhere(&dir, password).await?,
            },
        };
        home.claim(keyring.dir(), login.id)?;
        // Before the link, so that the first roster shows it.
        self.publish_missing_key(&login, &keyring).await;
        let session = Arc::new(Session::new(
            login,
            (username, password),
            keyring,
            (Arc::clone(&self.server), self.events.clone()),
            self.stop.child_token(),
        )?);
        self.sessions().insert(session.id, Arc::clone(&session));
        let link = tokio::spawn(link::run(Arc::clone(&session)));
        self.links().insert(session.id, link);
        if !session.is_ready_within(LINK_WITHIN).await {
            session.tell_link();
        }
        Ok((session, token))
    }

    /// Ends the user's session here; their sealed keys stay.
    fn logout(&self, id: UserId) -> bool {
        let session = self.sessions().remove(&id);
        session.is_some_and(|session| {
            session.log_out();
            true
        })
    }

    /// The user logged in here under `id`.
    fn session(&self, id: UserId) -> Option<Arc<Session>> {
        let sessions = self.sessions();
        let session = sessions.get(&id)?;
        (!session.stop.is_cancelled()).then(|| Arc::clone(session))
    }

    /// Everybody logged in here, by id.
    fn everybody(&self) -> Vec<Arc<Session>> {
        let mut sessions = self.sessions();
        sessions.retain(|_, session| !session.stop.is_cancelled());
        sessions.values().cloned().collect()
    }

    /// Ends every link, letting what waits go out first.
    async fn finish(&self) {
        self.stop.cancel();
        let users: Vec<UserId> = self.links().keys().copied().collect();
        for user in users {
            self.link_ended(user).await;
        }
    }

    /// Waits for the last words of the link of `user`, who is not logged in any more.
    async fn link_ended(&self, user: UserId) {
        let link = self.links().remove(&user);
        if let Some(link) = link {
            // A link that panicked has ended, too.
            let _ = link.await;
        }
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<UserId, Arc<Session>>> {
        let guard = self.sessions.lock();
        guard.expect("nobody panics with the lock held")
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<UserId, JoinHandle<()>>> {
        let guard = self.links.lock();
        guard.expect("nobody panics with the lock held")
    }
}

async fn open_keys(dir: &Path, password: &str) -> Result<Option<Keyring>> {
    let (dir, password) = (dir.to_owned(), password.to_owned());
    blocking(move || Keyring::open(&dir, &password)).await
}

async fn unconfirmed_keys(dir: &Path, password: &str) -> Result<Option<Keyring>> {
    let (dir, password) = (dir.to_owned(), password.to_owned());
    blocking(move || Keyring::open_unconfirmed(&dir, &password)).await
}

/// The keys that `old` opens, sealed under `password` from now on.
async fn reseal_keys(dir: &Path, old: &str, password: &str) -> Result<Option<Keyring>> {
    let keyring = open_keys(dir, old).await?;
    let password = password.to_owned();
    blocking(move || {
        if let Some(keyring) = &keyring {
            keyring.reseal(&password)?;
        }
        Ok(keyring)
    })
    .await
}

async fn new_keys(dir: &Path, password: &str) -> Result<Keyring> {
    let (dir, password) = (dir.to_owned(), password.to_owned());
    blocking(move || Keyring::create(&dir, &password)).await
}

/// Keys for a user who registered with another client: they can write, and read what is answered
/// under the AES key they offer, but not what was sealed for their other key.
async fn keys_elsewhere(dir: &Path, password: &str) -> Result<Keyring> {
    let keyring = new_keys(dir, password).await?;
    keyring.settle()?;
    Ok(keyring)
}

/// Runs what takes long, such as deriving a key, away from the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("the work does not panic")
}
