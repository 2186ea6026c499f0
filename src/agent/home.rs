//! One server's part of the data directory, and whose keys are where in it.
//!
//! ```text
//! <data dir>/<digest of the server's URL>/
//!     server.json           its URL and pinned public key
//!     users.json            which of the directories is whose, by user id
//!     lock                  held by the agent that uses all this: two would undo each other's writes
//!     <digest of a name>/   one user's keys: see `keyring`
//! ```
//!
//! Of two spellings of one server's URL each has a part; `lost_keys` finds what is in the other.
//!
//! Directories are 0700, files 0600 and replaced as a whole. Names of files are digests: no
//! username reaches the file system. Before the first answer of the server a user has no id, so a
//! directory is made by the name. From then on the id finds it: names change, and others take them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::crypto;
use super::error::{Error, Result};
use super::files::{make_dir, read_json, sync_dir_of, write_json};
use super::wire::UserId;

/// One server's part of the data directory, held for this agent as long as this lives.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    url: String,
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct ServerFile {
    url: String,
    public_key: String,
}

/// The name of the directory of each user.
type Users = BTreeMap<UserId, PathBuf>;

impl Home {
    /// Opens (and makes) the part for the server at `url`.
    ///
    /// Errors: [`Error::Start`] if it cannot be made or written to, or another agent holds it.
    pub(super) fn open(data_dir: &Path, url: &str) -> Result<Self> {
        let dir = data_dir.join(crypto::safe_name(url));
        let place = data_dir.display();
        let unusable = |cause| Error::Start(format!("cannot keep keys in {place}: {cause}"));
        make_dir(&dir).map_err(unusable)?;
        // Else the first login would be the one to fail, and could not say why.
        let access = rustix::fs::access(&dir, Access::WRITE_OK | Access::EXEC_OK);
        access.map_err(|cause| unusable(cause.into()))?;
        let lock = match lock(&dir.join("lock")) {
            Err(TryLockError::WouldBlock) => Err(Error::Start(format!(
                "another agent keeps its keys for {url} in {place}; stop it, or choose another \
                 --data-dir"
            ))),
            Err(TryLockError::Error(cause)) => Err(unusable(cause)),
            Ok(file) => Ok(file),
        };
        Ok(Self {
            dir,
            url: url.to_owned(),
            _lock: lock?,
        })
    }

    /// The parts of the same data directory that have pinned `server_key` for another URL. One that
    /// another agent holds, or that cannot be read, is left out; the log has it.
    pub(super) fn others_of(&self, server_key: &str) -> Result<Vec<Self>> {
        let data_dir = self.dir.parent().expect("it is below the data directory");
        let mut others = Vec::new();
        for entry in fs::read_dir(data_dir)? {
            let dir = entry?.path();
            let file: Option<ServerFile> = match read_json(&dir.join("server.json")) {
                _ if dir == self.dir => continue,
                Ok(file) => file,
                Err(error) => {
                    tracing::warn!(dir = %dir.display(), ?error, "no keys were looked for in it");
                    continue;
                }
            };
            let Some(file) = file.filter(|file| file.public_key == server_key) else {
                continue;
            };
            match Self::open(data_dir, &file.url) {
                Ok(other) => others.push(other),
                Err(error) => tracing::warn!(%error, "no keys were looked for there"),
            }
        }
        Ok(others)
    }

    /// The URL of the server.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The server's public key as pinned at first contact.
    pub(super) fn server_key(&self) -> Result<Option<String>> {
        let file: Option<ServerFile> = read_json(&self.dir.join("server.json"))?;
        Ok(file.map(|file| file.public_key))
    }

    /// Pins the server's public key.
    pub(super) fn pin_server_key(&self, pem: &str) -> Result<()> {
        let file = ServerFile {
            url: self.url.clone(),
            public_key: pem.to_owned(),
        };
        write_json(&self.dir.join("server.json"), &file)
    }

    /// The directory that is made for the first user of the name `username`.
    ///
    /// In NFC, as the server compares names: every spelling of a name has the same keys.
    fn named(&self, username: &str) -> PathBuf {
        let username: String = username.nfc().collect();
        self.dir.join(crypto::safe_name(&username))
    }

    /// The directory of `username` that is nobody's yet, be it there or not.
    pub(super) fn unclaimed(&self, username: &str) -> Result<PathBuf> {
        let users = self.users()?;
        let is_claimed = |dir: &PathBuf| users.values().any(|name| dir.ends_with(name));
        let mut dir = self.named(username);
        for number in 2.. {
            if !is_claimed(&dir) {
                break;
            }
            // No username has a line break and a number behind it.
            dir = self.named(&format!("{username}\n{number}"));
        }
        Ok(dir)
    }

    /// The directory of the user `id`; if there is none yet, the one they registered with by the
    /// name `username`.
    pub(super) fn user(&self, id: UserId, username: &str) -> Result<PathBuf> {
        match self.claimed(id)? {
            Some(dir) => Ok(dir),
            None => self.unclaimed(username),
        }
    }

    /// The directory that is known to be of the user `id`, be it there or not.
    pub(super) fn claimed(&self, id: UserId) -> Result<Option<PathBuf>> {
        Ok(self.users()?.get(&id).map(|name| self.dir.join(name)))
    }

    /// Moves `found`, a directory of another part, to where the user `id` is looked for here, and
    /// says where that is. What is there already is put aside, never deleted.
    pub(super) fn take_over(&self, found: &Path, id: UserId, username: &str) -> Result<PathBuf> {
        let dir = self.user(id, username)?;
        if dir.exists() {
            let aside = chrono::Utc::now().timestamp_micros();
            fs::rename(&dir, dir.with_extension(format!("{aside}.old")))?;
        }
        fs::rename(found, &dir)?;
        sync_dir_of(&dir)?;
        sync_dir_of(found)?;
        Ok(dir)
    }

    /// The keys in `dir` are those of the user `id` from now on, whatever their name.
    pub(super) fn claim(&self, dir: &Path, id: UserId) -> Result<()> {
        let mut users = self.users()?;
        let name = dir.file_name().expect("every directory of ours has a name");
        if users.insert(id, name.into()).as_deref() == Some(name.as_ref()) {
            return Ok(());
        }
        write_json(&self.dir.join("users.json"), &users)
    }

    fn users(&self) -> Result<Users> {
        Ok(read_json(&self.dir.join("users.json"))?.unwrap_or_default())
    }
}

/// Holds the file at `path` for this process, until it is dropped.
fn lock(path: &Path) -> std::result::Result<File, TryLockError> {
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).write(true);
    let file = options.mode(0o600).open(path);
    let file = file.map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_finds_its_directory_under_every_name_and_nobody_else_is_given_it() {
        let data = tempfile::tempdir().expect("a directory");
        let home = Home::open(data.path(), "http://a").expect("a home");
        let hers = home.unclaimed("alice").expect("readable");
        assert_eq!(home.user(1, "alice").expect("readable"), hers);
        home.claim(&hers, 1).expect("claimed");
        assert_eq!(home.user(1, "alicia").expect("readable"), hers);

        let next = home.user(7, "alice").expect("readable");
        assert_ne!(next, hers);
        assert_eq!(home.unclaimed("alice").expect("readable"), next);
        home.claim(&next, 7).expect("claimed");
        drop(home);
        let again = Home::open(data.path(), "http://a").expect("a home");
        assert_eq!(again.user(1, "alice").expect("readable"), hers);
        assert_eq!(again.user(7, "x").expect("readable"), next);
        let third = again.unclaimed("alice").expect("readable");
        assert!(third != hers && third != next);
    }
}
