//! The application: everything that is opened once and shared. `&App` comes first everywhere.

use std::fs::File;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::caches::Caches;
use crate::config::Config;
use crate::data_dir;
use crate::db::{self, Db, Location};
use crate::error::Result;
use crate::hub::Hub;
use crate::incoming::Incoming;
use crate::model::Clock;
use crate::outgoing::Outgoing;
use crate::presence::Presence;
use crate::signer::Signer;
use crate::throttle::Throttle;

/// Bodies of at most this size need no room of their own; larger ones count in such pieces.
pub(crate) const BODY_PIECE_BYTES: usize = 64 << 10;
/// 256 MiB: what clients who say who they are can have the server hold at once.
pub(crate) const BODY_PIECES: u32 = 4_096;
/// 64 MiB, for all others.
pub(crate) const STRANGERS_PIECES: u32 = 1_024;
/// How many usernames, sessions and pairs are remembered, each.
const CACHE_ENTRIES: usize = 100_000;

/// What every part of the server works with.
pub struct App {
    /// The settings, checked.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// Live delivery.
    pub hub: Hub,
    /// Who is online.
    pub presence: Presence,
    /// Gives out the instants of messages.
    pub(crate) clock: Clock,
    /// Signs tokens.
    pub(crate) secret: Vec<u8>,
    /// Vouches for public keys.
    pub(crate) signer: Signer,
    /// Password hashing.
    pub(crate) hashing: Hashing,
    /// Failed logins by account.
    pub(crate) account_throttle: Throttle<String>,
    /// Failed logins by address.
    pub(crate) address_throttle: Throttle<IpAddr>,
    /// How much of large bodies may be in memory while they come in, in pieces of [`BODY_PIECE_BYTES`].
    pub(crate) body_allowance: Arc<Semaphore>,
    /// The same, for those who have not said who they are.
    pub(crate) strangers_allowance: Arc<Semaphore>,
    /// How much has come of messages that sockets have not ended.
    pub(crate) incoming: Incoming,
    /// How much of long answers is on its way.
    pub(crate) outgoing: Outgoing,
    /// What is asked for with each request; empty where another node could change it.
    pub(crate) caches: Arc<Caches>,
    /// Cancelled once, when the server is to stop.
    pub shutdown: CancellationToken,
    /// Holds the data directory for this process.
    _lock: File,
}

/// What password hashes share: each takes 19 MiB and a whole processor.
pub(crate) struct Hashing {
    /// As many as there are processors.
    pub(crate) turns: Arc<Semaphore>,
    /// How many turns there are.
    pub(crate) most: usize,
    /// Of those who hashed before; empty while nobody hashes.
    pub(crate) memory: Mutex<Vec<Vec<argon2::Block>>>,
}

impl App {
    /// Opens everything that `config` names, making what is missing.
    ///
    /// Errors: a directory that cannot be written, data in use by another process, a database
    /// that is newer than this program.
    pub fn open(config: Config) -> Result<Arc<App>> {
        data_dir::make(&config.data_dir)?;
        let lock = data_dir::lock(&config.data_dir)?;
        data_dir::make(&config.uploads_dir())?;
        let location = match &config.database_url {
            Some(url) => Location::Server(url.clone()),
            None => Location::File(db::file_in(&config.data_dir)),
        };
        let caches = match config.database_url {
            Some(_) => Caches::of(0),
            None => Caches::of(CACHE_ENTRIES),
        };
        let settings = db::Settings {
            location,
            readers: u32::try_from(config.workers + 4).unwrap_or(16),
            queue_capacity: config.queue_capacity,
        };
        let db = Db::open(&settings)?;
        let secret = match &config.secret_key {
            Some(key) => key.clone().into_bytes(),
            None => data_dir::open_secret(&config)?,
        };
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        let hub = Hub::default();
        let allowance = |pieces: u32| Arc::new(Semaphore::new(pieces as usize));
        Ok(Arc::new(App {
            db,
            secret,
            signer: data_dir::open_signer(&config)?,
            presence: Presence::new(hub.clone()),
            hub,
            clock: Clock::default(),
            hashing: Hashing {
                turns: Arc::new(Semaphore::new(processors)),
                most: processors,
                memory: Mutex::default(),
            },
            account_throttle: Throttle::new(
                config.login_failures_per_account,
                Duration::from_secs(6),
            ),
            address_throttle: Throttle::new(
                config.login_failures_per_address,
                Duration::from_secs(1),
            ),
            body_allowance: allowance(BODY_PIECES),
            strangers_allowance: allowance(STRANGERS_PIECES),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            caches: Arc::new(caches),
            shutdown: CancellationToken::new(),
            config,
            _lock: lock,
        }))
    }
}
