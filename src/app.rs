//! The application: everything that is opened once and shared. `&App` comes first everywhere.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quick_cache::sync::Cache;
use rand::RngCore;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::db::{self, Db, Location};
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::model::{Clock, Instant, MessageId, Name, SessionId, UserId};
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
    /// What is asked for with each request; empty where another node could change it.
    pub(crate) caches: Arc<Caches>,
    /// Cancelled once, when the server is to stop.
    pub shutdown: CancellationToken,
    /// Holds the data directory for this process.
    _lock: fs::File,
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

/// Small memories of rows that hardly ever change. Writers forget what they change.
pub(crate) struct Caches {
    /// Ids by username.
    pub(crate) ids: Cache<String, UserId>,
    /// Usernames by id.
    pub(crate) names: Cache<UserId, Name>,
    /// Live sessions.
    pub(crate) sessions: Cache<SessionId, (UserId, Instant)>,
    /// Pairs known to be in `correspondents`.
    pub(crate) correspondents: Cache<(UserId, UserId), ()>,
    /// How many messages a pair has exchanged, up to and including one; a deletion forgets it.
    pub(crate) totals: Cache<i64, (i64, MessageId)>,
    /// Messages known to be read; none becomes unread again.
    pub(crate) read: Cache<MessageId, ()>,
}

/// Looks something up and remembers it in `cache`, unless nothing is remembered here.
///
/// A change that was made between look-up and remembering would be missed, so it is looked up once
/// more after it has been remembered.
pub(crate) fn remembered<K, V>(
    cache: &Cache<K, V>,
    key: K,
    look_up: impl Fn() -> Result<Option<V>>,
) -> Result<Option<V>>
where
    K: Clone + Eq + std::hash::Hash,
    V: Clone + PartialEq,
{
    let found = look_up()?;
    let Some(value) = found.clone().filter(|_| cache.capacity() > 0) else {
        return Ok(found);
    };
    cache.insert(key.clone(), value);
    let found_again = look_up()?;
    if found_again != found {
        cache.remove(&key);
    }
    Ok(found_again)
}

impl App {
    /// Opens everything that `config` names, making what is missing.
    ///
    /// Errors: a directory that cannot be written, data in use by another process, a database
    /// that is newer than this program.
    pub fn open(config: Config) -> Result<Arc<App>> {
        make_private_dir(&config.data_dir)?;
        make_private_dir(&config.uploads_dir())?;
        let lock = lock_directory(&config.data_dir)?;
        let location = match &config.database_url {
            Some(url) => Location::Server(url.clone()),
            None => Location::File(db::file_in(&config.data_dir)),
        };
        let entries = if config.database_url.is_some() {
            0
        } else {
            CACHE_ENTRIES
        };
        let settings = db::Settings {
            location,
            readers: u32::try_from(config.workers + 4).unwrap_or(16),
            queue_capacity: config.queue_capacity,
        };
        let db = Db::open(&settings)?;
        let secret = match &config.secret_key {
            Some(key) => key.clone().into_bytes(),
            None => read_or_make_secret(&config.key_file("token.key"))?,
        };
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        let allowance = |pieces: u32| Arc::new(Semaphore::new(pieces as usize));
        Ok(Arc::new(App {
            db,
            secret,
            signer: open_signer(&config)?,
            hub: Hub::default(),
            presence: Presence::default(),
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
            caches: Arc::new(Caches {
                ids: Cache::new(entries),
                names: Cache::new(entries),
                sessions: Cache::new(entries),
                correspondents: Cache::new(entries),
                totals: Cache::new(entries),
                read: Cache::new(entries),
            }),
            shutdown: CancellationToken::new(),
            config,
            _lock: lock,
        }))
    }
}

/// Makes a directory that only its owner may enter; one that is there already stays as it is.
pub fn make_private_dir(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|cause| {
        Error::Internal(format!(
            "cannot make the directory {}: {cause}",
            path.display()
        ))
    })
}

/// Holds a data directory for this process, until the file is dropped.
///
/// Errors: another process holds it, or it cannot be written.
pub fn lock_directory(data_dir: &Path) -> Result<fs::File> {
    let path = data_dir.join("lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path);
    let file = file.map_err(|cause| {
        Error::Internal(format!(
            "cannot write to the data directory {}: {cause}",
            data_dir.display()
        ))
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Internal(format!(
            "another process uses the data directory {}; stop it, or name another --data-dir",
            data_dir.display()
        ))),
        Err(fs::TryLockError::Error(cause)) => Err(cause.into()),
    }
}

/// Whether some process holds a data directory. Nothing is made: without a lock file nobody does.
pub fn is_in_use(data_dir: &Path) -> std::io::Result<bool> {
    let lock = match fs::File::open(data_dir.join("lock")) {
        Ok(lock) => lock,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(cause),
    };
    if !lock.metadata()?.is_file() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(fs::TryLockError::WouldBlock) => Ok(true),
        Err(fs::TryLockError::Error(cause)) => Err(cause),
    }
}

/// What signs tokens, from its file; absent before the first start.
///
/// Errors: a file that cannot be read, or is too short; nothing is changed.
pub fn find_secret(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(secret) if secret.len() >= 32 => Ok(Some(secret)),
        Ok(_) => Err(unusable(path, &"it has fewer than 32 bytes")),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(unusable(path, &cause)),
    }
}

/// 32 random bytes that stay the same from the first start on; only the owner may read them.
///
/// Errors: a file that cannot be read or written, or is too short; it is never replaced, since
/// that would end every login.
fn read_or_make_secret(path: &Path) -> Result<Vec<u8>> {
    if let Some(secret) = find_secret(path)? {
        return Ok(secret);
    }
    let mut secret = vec![0; 32];
    rand::rngs::OsRng.fill_bytes(&mut secret);
    write_private_file(path, &secret)?;
    Ok(secret)
}

/// The server's key pair from its file in the data directory, made at the first start.
///
/// Errors: a file that cannot be read or written, or holds no such key; it is never replaced.
pub fn open_signer(config: &Config) -> Result<Signer> {
    if let Some(signer) = find_signer(config)? {
        return Ok(signer);
    }
    let pem = Signer::new_key()?;
    write_private_file(&config.key_file("server.key"), pem.as_bytes())?;
    Signer::from_pem(&pem)
}

/// The server's key pair from its file; absent before the first start.
///
/// Errors: a file that cannot be read, or holds no such key; nothing is changed.
pub fn find_signer(config: &Config) -> Result<Option<Signer>> {
    let path = config.key_file("server.key");
    let pem = match fs::read_to_string(&path) {
        Ok(pem) => pem,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(unusable(&path, &cause)),
    };
    let signer = Signer::from_pem(&pem).map_err(|cause| unusable(&path, &cause))?;
    Ok(Some(signer))
}

/// Says which key file is of no use, and why.
fn unusable(path: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::Internal(format!("{} cannot be used: {cause}", path.display()))
}

/// Writes a file that only its owner may read, whole or not at all, and syncs it.
pub(crate) fn write_private_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    if let Some(parent) = path.parent() {
        fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}
