//! The data directory: that it is private, held by one process, and keeps the server's keys. The
//! database in it is [`crate::db`]'s, the uploads are [`crate::files`]'.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rand::RngCore;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::signer::Signer;

/// Makes a directory that only its owner may enter; one that is there already stays as it is.
pub fn make(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|cause| {
        if cause.kind() != ErrorKind::AlreadyExists {
            return cannot("make the directory", path)(cause);
        }
        Error::Internal(format!(
            "{} is not a directory; move it away, or name another --data-dir",
            path.display()
        ))
    })
}

/// Says what cannot be done with a file or directory, and whose it is if that is why.
pub(crate) fn cannot(verb: &str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |cause| {
        let cause = refused(path, &cause);
        Error::Internal(format!("cannot {verb} {}: {cause}", path.display()))
    }
}

/// Says why `path` cannot be used, and whether that is since it, or the directory in which it
/// cannot be seen or made, is another user's: after commands that root has run, some are.
pub(crate) fn refused(path: &Path, cause: &std::io::Error) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let seen = |place: &Path| Some((place.to_owned(), fs::metadata(place).ok()?.uid()));
    let own = rustix::process::geteuid().as_raw();
    match whole.ancestors().find_map(seen) {
        Some((place, owner)) if cause.kind() == ErrorKind::PermissionDenied && owner != own => {
            let place = if place == whole {
                "it".into()
            } else {
                place.display().to_string()
            };
            format!("{cause}; {place} belongs to another user (id {owner})")
        }
        _ => cause.to_string(),
    }
}

/// Holds a data directory for this process, until the file is dropped.
///
/// Errors: another process holds it, or it cannot be written.
pub fn lock(data_dir: &Path) -> Result<fs::File> {
    let path = data_dir.join("lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path);
    let file = file.map_err(|cause| {
        let place = if path.exists() { &path } else { data_dir };
        cannot("write to", place)(cause)
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
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(cause),
    };
    if !lock.metadata()?.is_file() {
        return Err(ErrorKind::IsADirectory.into());
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
pub fn find_secret(config: &Config) -> Result<Option<Vec<u8>>> {
    let path = config.key_file("token.key");
    match fs::read(&path) {
        Ok(secret) if secret.len() >= 32 => Ok(Some(secret)),
        Ok(_) => Err(unusable(&path, &"it has fewer than 32 bytes")),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(unusable(&path, &refused(&path, &cause))),
    }
}

/// 32 random bytes that stay the same from the first start on; only the owner may read them.
///
/// Errors: a file that cannot be read or written, or is too short; it is never replaced, since
/// that would end every login.
pub(crate) fn open_secret(config: &Config) -> Result<Vec<u8>> {
    if let Some(secret) = find_secret(config)? {
        return Ok(secret);
    }
    let mut secret = vec![0; 32];
    rand::rngs::OsRng.fill_bytes(&mut secret);
    write_private_file(&config.key_file("token.key"), &secret)?;
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
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(unusable(&path, &refused(&path, &cause))),
    };
    let signer = Signer::from_pem(&pem).map_err(|cause| unusable(&path, &cause))?;
    Ok(Some(signer))
}

/// Says which key file is of no use, and why.
fn unusable(path: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::Internal(format!("{} cannot be used: {cause}", path.display()))
}

/// Writes a file that only its owner may read, whole or not at all, and syncs it.
fn write_private_file(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes)
        .map_err(|cause| Error::Internal(format!("{} cannot be written: {cause}", path.display())))
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
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
