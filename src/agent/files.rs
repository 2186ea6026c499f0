//! Private files, replaced as a whole. It knows nothing of what is in them.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};

/// The bytes of the file at `path`, or nothing if there is no file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The JSON in the file at `path`, or nothing if there is no file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let value = read(path)?.map(|bytes| serde_json::from_slice(&bytes));
    value
        .transpose()
        .map_err(|_| Error::Corrupt(path.to_owned()))
}

/// Renames a damaged file, so that another can take its place and nothing is lost of it.
pub(super) fn put_aside(path: &Path) -> Result<()> {
    let aside = chrono::Utc::now().timestamp_micros();
    let aside = path.with_extension(format!("{aside}.damaged"));
    fs::rename(path, &aside)?;
    tracing::warn!(file = %path.display(), kept = %aside.display(), "a damaged file is begun anew");
    Ok(())
}

/// [`write_whole`] of `value` as JSON.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(value).expect("plain values have a JSON form");
    write_whole(path, &bytes)
}

/// Replaces the file at `path` as a whole: a crash leaves the old one or the new one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes)?;
    sync_dir_of(path)
}

/// [`write_whole`] that leaves [`sync_dir_of`] to the caller, with the new file, open for writing.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<File> {
    let draft = path.with_extension("draft");
    found(fs::remove_file(&draft))?;
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(file)
}

/// The file at `path` keeps its name.
pub(super) fn sync_dir_of(path: &Path) -> Result<()> {
    sync_dir(path.parent().expect("every file of ours is in a directory"))
}

/// What was renamed in `dir` stays so.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    Ok(File::open(dir)?.sync_all()?)
}

/// Makes `dir`, which only its owner may enter, unless it is there.
pub(super) fn make_dir(dir: &Path) -> std::io::Result<()> {
    let mut made = fs::DirBuilder::new();
    made.recursive(true).mode(0o700).create(dir)
}

/// `done`, but a file that was not there is fine.
pub(super) fn found(done: std::io::Result<()>) -> Result<()> {
    match done {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
