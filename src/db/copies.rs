//! Copies of the SQLite file: a backup of one that may be in use, and the way back.
//!
//! A copy appears under its name only once it is complete, checked and on disk; until then what
//! was there before stays as it was.

use std::path::{Path, PathBuf};

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::Conn;
use super::origin::{Origin, foreign, newer, origin};
use super::sqlite::{
    cannot_open, close, integrity_problems, make_private, name_of, open, open_for_writing,
    with_suffix,
};
use crate::error::{Error, Result};

/// A query-only connection may not write the copy either.
const BACKUP_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA trusted_schema = OFF;
";

/// Copies a database that may be in use into `target`.
pub fn backup(source: &Path, target: &Path) -> Result<()> {
    if !source.is_file() {
        return Err(Error::Internal(format!(
            "there is no database at {}",
            source.display()
        )));
    }
    check_are_two(source, target)?;
    if origin(source)? == Origin::Foreign {
        return Err(foreign(source));
    }
    check_may_be_replaced(target)?;
    let partial = partial_beside(target);
    remove_if_there(&partial)?;
    let mut connection = name_of(source)
        .and_then(|name| open(name, BACKUP_PRAGMAS))
        .map_err(|cause| cannot_open(source, &cause))?;
    let into = partial
        .to_str()
        .ok_or_else(|| Error::Internal("path is not UTF-8".into()))?;
    make_private(&partial).map_err(at(&partial))?;
    let copied = diesel::sql_query("VACUUM INTO ?")
        .bind::<Text, _>(into)
        .execute(&mut connection);
    let finished = copied
        .map_err(Error::from)
        .and_then(|_| put_in_place(&partial, target));
    if finished.is_err() {
        remove_if_there(&partial)?;
    }
    finished
}

/// Refuses, before anything is changed, what cannot be restored: anything but a whole database of
/// this version or older.
pub fn check_is_backup(source: &Path) -> Result<()> {
    if !source.is_file() {
        return Err(Error::Internal(format!(
            "there is no backup at {}",
            source.display()
        )));
    }
    if std::fs::metadata(with_suffix(source, "-wal")).is_ok_and(|log| log.len() > 0) {
        return Err(Error::Internal(format!(
            "{} has a log beside it, so it is a database in use and not all of it; copy it with `sealpost backup`",
            source.display()
        )));
    }
    match check_is_ours(source)? {
        Some(version) => Err(newer(&version)),
        None => Ok(()),
    }
}

/// Puts a backup in the place of the database file `target`. The server must not be running:
/// the caller holds the directory's lock, and has asked [`check_is_backup`].
pub fn restore(source: &Path, target: &Path) -> Result<()> {
    check_are_two(source, target)?;
    // A damaged database says nothing of whose it is; to replace it is what backups are for.
    if origin(target).is_ok_and(|found| found == Origin::Foreign) {
        return Err(foreign(target));
    }
    let partial = partial_beside(target);
    remove_if_there(&partial)?;
    let mut backup = std::fs::File::open(source).map_err(at(source))?;
    let finished = make_private(&partial)
        .map_err(at(&partial))
        .and_then(|mut copy| std::io::copy(&mut backup, &mut copy).map_err(at(&partial)))
        // Opening it brings it up to date.
        .and_then(|_| open_for_writing(&partial))
        .and_then(|connection| close(Conn::Sqlite(connection)))
        .and_then(|()| put_in_place(&partial, target));
    if finished.is_err() {
        remove_log_of(&partial)?;
        remove_if_there(&partial)?;
    }
    finished
}

/// A copy over itself would lose what only its log holds.
fn check_are_two(source: &Path, target: &Path) -> Result<()> {
    let is_one = source
        .canonicalize()
        .is_ok_and(|source| target.canonicalize().is_ok_and(|target| source == target));
    if is_one {
        return Err(Error::Internal(
            "the backup must be another file than the database".into(),
        ));
    }
    Ok(())
}

/// An older backup is replaced, and nothing else: not a key, nor a device.
fn check_may_be_replaced(target: &Path) -> Result<()> {
    match std::fs::metadata(target) {
        Ok(meta) if meta.is_file() && meta.len() == 0 => Ok(()),
        Ok(meta) if meta.is_file() => check_is_ours(target).map(drop),
        Ok(_) => Err(Error::Internal(format!(
            "{} is there already and is no file",
            target.display()
        ))),
        Err(_) => Ok(()),
    }
}

/// Refuses what no sealpost has made; an empty file would pass for a database otherwise.
/// What is returned is the version of a newer one.
fn check_is_ours(path: &Path) -> Result<Option<String>> {
    match origin(path) {
        Ok(Origin::Sealpost) => Ok(None),
        Ok(Origin::NewerSealpost(version)) => Ok(Some(version)),
        Ok(Origin::Empty | Origin::Foreign) | Err(_) => Err(Error::Internal(format!(
            "{} is not a backup of sealpost",
            path.display()
        ))),
    }
}

fn put_in_place(partial: &Path, target: &Path) -> Result<()> {
    let problems = integrity_problems(partial)?;
    if !problems.is_empty() {
        return Err(Error::Internal(format!(
            "the copy is damaged: {}",
            problems.join("; ")
        )));
    }
    remove_log_of(partial)?;
    sync(partial)?;
    // Only now: until here what was there before has stayed as it was.
    remove_log_of(target)?;
    std::fs::rename(partial, target).map_err(at(target))?;
    let directory = target
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    sync(directory.unwrap_or(Path::new(".")))
}

fn sync(path: &Path) -> Result<()> {
    let opened = std::fs::File::open(path);
    opened.and_then(|file| file.sync_all()).map_err(at(path))
}

/// Says with which file something went wrong.
fn at(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |cause| Error::Internal(format!("{}: {cause}", path.display()))
}

/// A log that is left beside a file would be taken for that file's own.
fn remove_log_of(path: &Path) -> Result<()> {
    remove_if_there(&with_suffix(path, "-wal"))?;
    remove_if_there(&with_suffix(path, "-shm"))
}

fn partial_beside(target: &Path) -> PathBuf {
    with_suffix(target, ".partial")
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(at(path)(cause)),
        _ => Ok(()),
    }
}
