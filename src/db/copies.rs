//! Copies of the SQLite file: a backup of one that may be in use, and the way back.
//!
//! A copy appears under its name only once it is complete, checked and on disk; until then what
//! was there before stays as it was.

use std::fmt::Display;
use std::fs::{File, Metadata, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::origin::{Origin, foreign, newer, origin};
use super::sqlite::{
    cannot_open, integrity_problems, make_private, name_of, open, open_for_writing, with_suffix,
};
use super::{file_in, lost_time};
use crate::data_dir::cannot;
use crate::error::{Error, Result};

/// A query-only connection may not write the copy either.
const BACKUP_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA trusted_schema = OFF;
";

/// What stands in a data directory beside the database.
const OTHER_FILES: [&str; 6] = [
    "lock",
    "token.key",
    "token.partial",
    "server.key",
    "server.partial",
    "uploads",
];

/// What SQLite keeps beside a file that it writes.
const LOG_SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Copies the database in `data_dir`, which may be in use, into `target`.
///
/// Errors: no database; a target that is no backup, or has the name of a file of the data
/// directory's; another backup into it that is under way; no room.
pub fn backup(data_dir: &Path, target: &Path) -> Result<()> {
    let source = file_in(data_dir);
    if !is_file(&source)? {
        return Err(Error::Internal(format!(
            "there is no database at {}",
            source.display()
        )));
    }
    check_are_two(&source, target)?;
    check_has_own_name(data_dir, &source, target)?;
    if origin(&source)? == Origin::Foreign {
        return Err(foreign(&source));
    }
    check_directory_is_there(target)?;
    check_may_be_replaced(target)?;
    let partial = partial_beside(target);
    let _claim = Claim::of(target)?;
    remove_with_log(&partial)?;
    let finished = copy(&source, &partial).and_then(|()| put_in_place(&source, &partial, target));
    if finished.is_err() {
        remove_with_log(&partial)?;
    }
    finished
}

/// Makes no directory: a name with a slip in it, or a disk that is not mounted, would take the
/// backup where nobody looks for it.
fn check_directory_is_there(target: &Path) -> Result<()> {
    let parent = parent_of(target);
    if look_at(parent)?.is_some_and(|meta| meta.is_dir()) {
        return Ok(());
    }
    let problem = format!("there is no directory {}; make it first", parent.display());
    Err(Error::Internal(problem))
}

fn copy(source: &Path, partial: &Path) -> Result<()> {
    let mut connection = name_of(source)
        .and_then(|name| open(name, BACKUP_PRAGMAS))
        .map_err(|cause| cannot_open(source, &cause))?;
    let into = name_of(partial).map_err(at(partial))?;
    make_private(partial).map_err(at(partial))?;
    diesel::sql_query("VACUUM INTO ?")
        .bind::<Text, _>(into)
        .execute(&mut connection)
        .map_err(at(partial))?;
    Ok(())
}

/// Refuses, before anything is changed, what cannot be restored: anything but a whole database of
/// this version or older.
pub fn check_is_backup(source: &Path) -> Result<()> {
    if !is_file(source)? {
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
    remove_with_log(&partial)?;
    let finished =
        renew(source, &partial, target).and_then(|()| put_in_place(source, &partial, target));
    if finished.is_err() {
        remove_with_log(&partial)?;
    }
    finished
}

/// Copies a backup, brings it up to date, and has it go on where what it replaces has come to.
fn renew(source: &Path, partial: &Path, replaced: &Path) -> Result<()> {
    let mut backup = File::open(source).map_err(cannot("read", source))?;
    let mut copy = make_private(partial).map_err(cannot("make", partial))?;
    std::io::copy(&mut backup, &mut copy).map_err(at(partial))?;
    let mut connection = open_for_writing(partial)?;
    lost_time::skip(&mut connection, &lost_time::last_ids(replaced)).map_err(at(partial))?;
    let folded = connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)");
    folded.map_err(at(partial))
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

/// Refuses a target that the server, or SQLite, would take for a file of its own.
fn check_has_own_name(data_dir: &Path, source: &Path, target: &Path) -> Result<()> {
    let directory = parent_of(target).canonicalize().ok();
    let is_in = |other: &Path| directory.is_some() && other.canonicalize().ok() == directory;
    let is_a_log = |other: &Path| {
        let suffixes = LOG_SUFFIXES.iter().chain(&[PARTIAL]);
        let mut logs = suffixes.map(|suffix| with_suffix(other, suffix));
        logs.any(|log| log.file_name() == target.file_name())
    };
    let is_other = || {
        let mut names = OTHER_FILES.iter();
        names.any(|name| target.file_name().is_some_and(|own| own == *name))
    };
    let is_taken =
        (is_in(parent_of(source)) && is_a_log(source)) || (is_in(data_dir) && is_other());
    if is_taken {
        return Err(Error::Internal(format!(
            "{} is the name of a file of the server's own; name another",
            target.display()
        )));
    }
    Ok(())
}

/// Keeps others from copying to the same target, until it is dropped.
struct Claim {
    /// Held open for its lock. Not the copy itself: on network file systems this lock would keep
    /// SQLite out as well.
    _lock: File,
    path: PathBuf,
}

impl Claim {
    fn of(target: &Path) -> Result<Claim> {
        let path = with_suffix(target, ".partial-lock");
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(&path).map_err(cannot("write", target))?;
        let is_free = match lock.try_lock() {
            Ok(()) => is_still_at(&lock, &path),
            Err(TryLockError::WouldBlock) => false,
            // There are file systems without locks; a backup to one is better than none.
            Err(TryLockError::Error(_)) => true,
        };
        if is_free {
            return Ok(Claim { _lock: lock, path });
        }
        Err(Error::Internal(format!(
            "another backup to {} is under way",
            target.display()
        )))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // One that stays is taken by the next.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether a file has not been removed since it was opened, as the one before removes its lock.
fn is_still_at(file: &File, path: &Path) -> bool {
    let identity = |meta: Metadata| (meta.dev(), meta.ino());
    let (opened, there) = (file.metadata(), std::fs::metadata(path));
    opened.is_ok_and(|opened| there.is_ok_and(|there| identity(opened) == identity(there)))
}

/// An older backup is replaced, and nothing else: not a key, nor a device.
fn check_may_be_replaced(target: &Path) -> Result<()> {
    match look_at(target)? {
        Some(meta) if meta.is_file() && meta.len() == 0 => Ok(()),
        Some(meta) if meta.is_file() => check_is_ours(target).map(drop),
        Some(_) => Err(Error::Internal(format!(
            "{} exists and is not a regular file",
            target.display()
        ))),
        None => Ok(()),
    }
}

/// Refuses what no sealpost has made; an empty file would pass for a database otherwise.
/// What is returned is the version of a newer one.
fn check_is_ours(path: &Path) -> Result<Option<String>> {
    // SQLite tells a file that may not be read and one that is no database in the same words.
    File::open(path).map_err(cannot("read", path))?;
    match origin(path) {
        Ok(Origin::Sealpost) => Ok(None),
        Ok(Origin::NewerSealpost(version)) => Ok(Some(version)),
        Ok(Origin::Empty | Origin::Foreign) | Err(_) => Err(Error::Internal(format!(
            "{} is not a backup of sealpost",
            path.display()
        ))),
    }
}

/// Gives the copy of `source` its name, if it is sound.
fn put_in_place(source: &Path, partial: &Path, target: &Path) -> Result<()> {
    let problems = integrity_problems(partial)?;
    if !problems.is_empty() {
        return Err(Error::Internal(format!(
            "the copy of {} is damaged: {}",
            source.display(),
            problems.join("; ")
        )));
    }
    remove_log_of(partial)?;
    sync(partial)?;
    // Only now: until here what was there before has stayed as it was.
    remove_log_of(target)?;
    std::fs::rename(partial, target).map_err(at(target))?;
    sync(parent_of(target))
}

/// What is at `path`; `None` if nothing is. Errors: whatever keeps one from looking.
fn look_at(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cannot("read", path)(cause)),
    }
}

fn is_file(path: &Path) -> Result<bool> {
    Ok(look_at(path)?.is_some_and(|meta| meta.is_file()))
}

fn parent_of(path: &Path) -> &Path {
    let parent = path.parent();
    let named = parent.filter(|parent| !parent.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

fn sync(path: &Path) -> Result<()> {
    let opened = File::open(path);
    opened.and_then(|file| file.sync_all()).map_err(at(path))
}

/// Says with which file something went wrong.
fn at<E: Display>(path: &Path) -> impl Fn(E) -> Error {
    move |cause| Error::Internal(format!("{}: {cause}", path.display()))
}

/// A log that is left beside a file would be taken for that file's own.
fn remove_log_of(path: &Path) -> Result<()> {
    let mut logs = LOG_SUFFIXES
        .map(|suffix| with_suffix(path, suffix))
        .into_iter();
    logs.try_for_each(|log| remove_if_there(&log))
}

fn remove_with_log(path: &Path) -> Result<()> {
    remove_log_of(path)?;
    remove_if_there(path)
}

/// The end of the name of a copy that is being made.
const PARTIAL: &str = ".partial";

fn partial_beside(target: &Path) -> PathBuf {
    with_suffix(target, PARTIAL)
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(at(path)(cause)),
        _ => Ok(()),
    }
}
