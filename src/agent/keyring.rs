//! One user's keys at rest, in a directory that `home` finds.
//!
//! ```text
//!     key.json        PKCS#8, sealed under the vault key, which is sealed under Argon2id of the
//!                     password: another password changes this one file
//!     key.new.json    the same, while a registration is under way
//!     peers.sealed    pinned keys and AES keys of peers, sealed under the vault key
//!     held.sealed     texts that wait for a key of their receiver, sealed under the vault key
//!     arrivals.sealed what has come and is unread, sealed under the vault key
//!     sending.jsonl   frames that may not have arrived yet: see `journal`
//! ```
//!
//! Nothing here talks to anybody.

mod peer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::arrivals;
use super::crypto::{self, AesKey, KdfCost, PrivateKey};
use super::error::{Error, Result};
use super::files::{self, found, make_dir, read_json, sync_dir, write_json, write_whole};
use super::wire::UserId;
use peer::PeerFile;
pub(super) use peer::{Peer, Use};

#[derive(Serialize, Deserialize)]
struct KeyFile {
    kdf: String,
    cost: KdfCost,
    salt: String,
    /// The sealed vault key; where it is missing, the password's own key is the vault key.
    #[serde(default)]
    vault: Option<String>,
    sealed: String,
}

/// One user's keys, opened.
#[derive(Debug)]
pub(super) struct Keyring {
    dir: PathBuf,
    vault: AesKey,
    private: PrivateKey,
    peers: BTreeMap<UserId, Peer>,
}

impl Keyring {
    /// The user's keys from disk, or nothing if there are none.
    ///
    /// Keys of a registration whose answer was lost are taken over here where there are no others.
    /// Slow: derives a key. Errors: [`Error::LockedKeys`] if the password does not open them.
    pub(super) fn open(dir: &Path, password: &str) -> Result<Option<Self>> {
        let settled = Self::read(dir, "key.json", password)?;
        if settled.is_some() {
            return Ok(settled);
        }
        let Ok(Some(fresh)) = Self::read(dir, "key.new.json", password) else {
            return Ok(None);
        };
        fresh.settle()?;
        Ok(Some(fresh))
    }

    /// Keys of a registration whose answer was lost, if the password opens some. They may be
    /// nobody's: only who knows that the server has them may [`Keyring::settle`] them.
    ///
    /// Slow: derives a key.
    pub(super) fn open_unconfirmed(dir: &Path, password: &str) -> Result<Option<Self>> {
        match Self::read(dir, "key.new.json", password) {
            Err(Error::LockedKeys) => Ok(None),
            found => found,
        }
    }

    /// New keys, on disk but not yet the user's: [`Keyring::settle`] or [`Keyring::discard`] them.
    ///
    /// Slow: makes an RSA key and derives another.
    pub(super) fn create(dir: &Path, password: &str) -> Result<Self> {
        make_dir(dir)?;
        let keyring = Self {
            dir: dir.to_owned(),
            vault: AesKey::generate(),
            private: PrivateKey::generate(),
            peers: BTreeMap::new(),
        };
        keyring.write_keys("key.new.json", password)?;
        Ok(keyring)
    }

    /// Seals the keys under `password` from now on; no other opens them any longer.
    ///
    /// Slow: derives a key.
    pub(super) fn reseal(&self, password: &str) -> Result<()> {
        self.write_keys("key.json", password)
    }

    fn write_keys(&self, name: &str, password: &str) -> Result<()> {
        let (salt, cost) = (crypto::salt(), KdfCost::NEW);
        let derived = crypto::derive(password, &salt, cost).expect("the cost of ours can be paid");
        let file = KeyFile {
            kdf: "argon2id".into(),
            cost,
            salt: BASE64_STANDARD.encode(salt),
            vault: Some(crypto::seal(&derived, self.vault.to_base64().as_bytes())),
            sealed: crypto::seal(&self.vault, &self.private.to_der()),
        };
        write_json(&self.dir.join(name), &file)
    }

    /// Makes keys from [`Keyring::create`] the user's. Older ones are put aside, never deleted.
    pub(super) fn settle(&self) -> Result<()> {
        let aside = chrono::Utc::now().timestamp_micros();
        let names = [
            ("key.json", "key"),
            ("peers.sealed", "peers"),
            ("held.sealed", "held"),
            ("arrivals.sealed", "arrivals"),
            ("sending.jsonl", "sending"),
        ];
        for (name, old) in names {
            let kept = self.dir.join(format!("{old}.{aside}.old"));
            found(fs::rename(self.dir.join(name), kept))?;
        }
        fs::rename(self.dir.join("key.new.json"), self.dir.join("key.json"))?;
        sync_dir(&self.dir)
    }

    /// Removes keys from [`Keyring::create`] after a refused registration.
    pub(super) fn discard(self) -> Result<()> {
        found(fs::remove_file(self.dir.join("key.new.json")))?;
        // Fails, rightly, when the directory holds older keys.
        let _ = fs::remove_dir(&self.dir);
        Ok(())
    }

    fn read(dir: &Path, name: &str, password: &str) -> Result<Option<Self>> {
        let path = dir.join(name);
        let Some(file) = read_json::<KeyFile>(&path)? else {
            return Ok(None);
        };
        let corrupt = || Error::Corrupt(path.clone());
        let salt = BASE64_STANDARD.decode(&file.salt).map_err(|_| corrupt())?;
        let derived = crypto::derive(password, &salt, file.cost).ok_or_else(corrupt)?;
        let vault = match &file.vault {
            Some(sealed) => {
                let vault = crypto::open(&derived, sealed).ok_or(Error::LockedKeys)?;
                let vault = String::from_utf8(vault).ok();
                let vault = vault.and_then(|vault| AesKey::from_base64(&vault));
                vault.ok_or_else(corrupt)?
            }
            None => derived,
        };
        let der = crypto::open(&vault, &file.sealed).ok_or(Error::LockedKeys)?;
        let private = PrivateKey::from_der(&der).ok_or_else(corrupt)?;
        let peers = match name {
            "key.json" => read_peers(dir, &vault).map_err(Error::of_peers)?,
            _ => BTreeMap::new(),
        };
        Ok(Some(Self {
            dir: dir.to_owned(),
            vault,
            private,
            peers,
        }))
    }

    /// Where the keys are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The user's private key.
    pub(super) fn private(&self) -> &PrivateKey {
        &self.private
    }

    /// Everybody known, by id.
    pub(super) fn peers(&self) -> &BTreeMap<UserId, Peer> {
        &self.peers
    }

    /// Every AES key shared with `peer`, the likeliest first.
    pub(super) fn keys_with(&self, peer: UserId) -> Vec<AesKey> {
        let keys = self.peers.get(&peer).into_iter().flat_map(Peer::keys);
        keys.cloned().collect()
    }

    /// Changes what is known of `peer` in memory; [`Keyring::save`] writes it.
    pub(super) fn peer_mut(&mut self, peer: UserId) -> &mut Peer {
        self.peers.entry(peer).or_default()
    }

    /// Keeps `key` as the newest one with `peer`. True if that is news.
    pub(super) fn use_key(&mut self, peer: UserId, key: &AesKey, newest: Use) -> bool {
        self.peer_mut(peer).use_key(key, newest)
    }

    /// `key` has sealed or opened something: it is not dropped while there are others to drop.
    /// True if it is kept and that is news.
    pub(super) fn mark_used(&mut self, peer: UserId, key: &AesKey) -> bool {
        self.peer_mut(peer).mark_used(key)
    }

    /// Keeps `key` of `peer` for reading; `is_used` says whether it has opened a message. True if
    /// that is news.
    pub(super) fn keep_key(&mut self, peer: UserId, key: &AesKey, is_used: bool) -> bool {
        self.peer_mut(peer).keep_key(key, is_used)
    }

    /// Writes what is known of peers, sealed.
    pub(super) fn save(&self) -> Result<()> {
        let peers = self.peers.iter();
        let files: BTreeMap<UserId, PeerFile> =
            peers.map(|(id, peer)| (*id, peer.into())).collect();
        self.write_sealed("peers.sealed", &files)
    }

    /// Writes the texts that wait for a key of their receiver, sealed.
    pub(super) fn save_held(&self, held: &BTreeMap<UserId, Vec<&str>>) -> Result<()> {
        self.write_sealed("held.sealed", held)
    }

    /// What [`Keyring::save_held`] wrote last.
    pub(super) fn held(&self) -> Result<BTreeMap<UserId, Vec<String>>> {
        read_sealed(&self.dir.join("held.sealed"), &self.vault)
    }

    /// Writes what has come and is unread, sealed.
    pub(super) fn save_arrivals(&self, arrivals: &arrivals::Kept) -> Result<()> {
        self.write_sealed("arrivals.sealed", arrivals)
    }

    /// What [`Keyring::save_arrivals`] wrote last. What cannot be read is put aside: nobody is to
    /// be kept from their messages by the count of those.
    pub(super) fn arrivals(&self) -> Result<arrivals::Kept> {
        let path = self.dir.join("arrivals.sealed");
        match read_sealed(&path, &self.vault) {
            Err(Error::Corrupt(_)) => files::put_aside(&path).map(|()| arrivals::Kept::default()),
            kept => kept,
        }
    }

    fn write_sealed(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let plain = serde_json::to_vec(value).expect("plain values have a JSON form");
        let sealed = crypto::seal(&self.vault, &plain);
        write_whole(&self.dir.join(name), sealed.as_bytes())
    }
}

/// The JSON that is sealed in the file at `path`; its default if there is no file.
fn read_sealed<T: DeserializeOwned + Default>(path: &Path, vault: &AesKey) -> Result<T> {
    let Some(sealed) = files::read(path)? else {
        return Ok(T::default());
    };
    let sealed = String::from_utf8(sealed).ok();
    let plain = sealed.and_then(|sealed| crypto::open(vault, &sealed));
    let value = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
    value.ok_or_else(|| Error::Corrupt(path.to_owned()))
}

fn read_peers(dir: &Path, vault: &AesKey) -> Result<BTreeMap<UserId, Peer>> {
    let path = dir.join("peers.sealed");
    let files: BTreeMap<UserId, PeerFile> = read_sealed(&path, vault)?;
    let peers = files.into_iter().map(|(id, file)| Some((id, file.peer()?)));
    peers.collect::<Option<_>>().ok_or(Error::Corrupt(path))
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
