//! The SQLite file: how it is opened, checked, copied and closed.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Conn, log_file};
use crate::error::{Error, Result};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Older ones can corrupt a WAL database that several connections use.
const OLDEST_SAFE_VERSION: i32 = 3_051_003;

/// A send changes a little on each of several pages, and each is written whole: pages of 2 KiB
/// instead of 4 take a fifth off its cost. An existing file keeps its page size.
///
/// A commit that finds a log of 96,000 pages (192 MiB) makes a checkpoint: only if those that
/// [`checkpoints`](super::checkpoints) makes beside the writer do not keep up.
const WRITER_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA page_size = 2048;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -8192;
    PRAGMA wal_autocheckpoint = 96000;
    PRAGMA journal_size_limit = 134217728;
";

const READER_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA query_only = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -2048;
";

const CHECKPOINT_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA synchronous = FULL;
    PRAGMA trusted_schema = OFF;
    PRAGMA wal_autocheckpoint = 0;
";

/// A query-only connection may not write the copy either.
const BACKUP_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA trusted_schema = OFF;
";

/// The writing connection, with the schema up to date.
///
/// Errors: a SQLite too old to be safe, a database that a newer sealpost has written.
pub(super) fn open_for_writing(path: &Path) -> Result<SqliteConnection> {
    let mut connection = log_file::uri(path)
        .map_err(|problem| ConnectionError::BadConnection(problem.into()))
        .and_then(|uri| open(&uri, WRITER_PRAGMAS))
        .map_err(|cause| cannot_open(path, &cause))?;
    let version = sqlite_version_number(&mut connection)?;
    if version < OLDEST_SAFE_VERSION {
        return Err(Error::Internal(format!(
            "SQLite {version} is too old to be safe"
        )));
    }
    run_migrations(&mut connection, MIGRATIONS)?;
    Ok(connection)
}

pub(super) fn open_for_reading(path: &Path) -> ConnectionResult<SqliteConnection> {
    open(name_of(path)?, READER_PRAGMAS)
}

/// A connection that copies the log into the file and writes nothing else.
pub(super) fn open_for_checkpoints(path: &Path) -> Result<SqliteConnection> {
    name_of(path)
        .and_then(|name| open(name, CHECKPOINT_PRAGMAS))
        .map_err(|cause| cannot_open(path, &cause))
}

fn name_of(path: &Path) -> ConnectionResult<&str> {
    path.to_str()
        .ok_or_else(|| ConnectionError::BadConnection("path is not UTF-8".into()))
}

fn open(name: &str, pragmas: &str) -> ConnectionResult<SqliteConnection> {
    let mut connection = SqliteConnection::establish(name)?;
    connection
        .batch_execute(pragmas)
        .map_err(|cause| ConnectionError::BadConnection(cause.to_string()))?;
    Ok(connection)
}

fn cannot_open(path: &Path, cause: &ConnectionError) -> Error {
    Error::Internal(format!(
        "cannot open the database {}: {cause}",
        path.display()
    ))
}

/// Runs what is missing; refuses a database that knows more than we do.
pub(super) fn run_migrations<C, DB>(connection: &mut C, ours: EmbeddedMigrations) -> Result<()>
where
    DB: diesel::backend::Backend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    if let Some(newer) = newer_version(connection, &ours).map_err(not_brought_up)? {
        return Err(Error::Internal(format!(
            "the database was written by a newer sealpost (schema {newer}); use that version or later"
        )));
    }
    connection
        .run_pending_migrations(ours)
        .map_err(not_brought_up)?;
    Ok(())
}

type MigrationProblem = Box<dyn std::error::Error + Send + Sync>;

fn not_brought_up(cause: MigrationProblem) -> Error {
    Error::Internal(format!(
        "the database could not be brought up to date: {cause}"
    ))
}

/// A schema version in the database that this program does not know.
fn newer_version<C, DB>(
    connection: &mut C,
    ours: &EmbeddedMigrations,
) -> Result<Option<MigrationVersion<'static>>, MigrationProblem>
where
    DB: diesel::backend::Backend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    let known: Vec<Box<dyn Migration<DB>>> = ours.migrations()?;
    let known: Vec<MigrationVersion<'static>> = known
        .iter()
        .map(|migration| migration.name().version().as_owned())
        .collect();
    let applied = connection.applied_migrations()?;
    Ok(applied.into_iter().find(|version| !known.contains(version)))
}

/// The schema version of a database file, if it is one that this program does not know.
pub fn unknown_version(path: &Path) -> Result<Option<String>> {
    let mut connection = open_for_reading(path).map_err(|cause| cannot_open(path, &cause))?;
    // Asking for the versions would make the table that holds them; this connection may not.
    let newer = newer_version(&mut connection, &MIGRATIONS).map_err(not_brought_up)?;
    Ok(newer.map(|version| version.to_string()))
}

/// The last things before the writer's connection goes: one file holds everything again.
pub(super) fn close(connection: Conn) {
    if let Conn::Sqlite(mut inner) = connection {
        let outcome = inner.batch_execute("PRAGMA wal_checkpoint(TRUNCATE);");
        if let Err(cause) = outcome {
            tracing::warn!(%cause, "the last checkpoint failed; the log beside the database keeps all");
        }
    }
}

/// The file and its write-ahead log together.
pub(super) fn size_bytes(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    length(path) + length(Path::new(&log))
}

diesel::define_sql_function! {
    /// SQLite's own version, as text.
    fn sqlite_version() -> Text;
}

diesel::define_sql_function! {
    /// The id of the row that this connection inserted last.
    fn last_insert_rowid() -> BigInt;
}

/// The id of the row that was inserted last. `RETURNING` says it too, but builds a table in memory
/// for its one row, which costs as much as another index.
pub(crate) fn last_inserted(connection: &mut SqliteConnection) -> QueryResult<i64> {
    diesel::select(last_insert_rowid()).get_result(connection)
}

fn sqlite_version_number(connection: &mut SqliteConnection) -> Result<i32> {
    let text: String = diesel::select(sqlite_version()).get_result(connection)?;
    let mut parts = text.split('.').map(|part| part.parse::<i32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    Ok(next() * 1_000_000 + next() * 1_000 + next())
}

#[derive(QueryableByName)]
struct Finding {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

/// What SQLite's integrity check finds wrong with a database file; empty if it is sound.
pub fn integrity_problems(path: &Path) -> Result<Vec<String>> {
    let mut connection = open_for_reading(path).map_err(|cause| cannot_open(path, &cause))?;
    let findings: Vec<Finding> =
        diesel::sql_query("PRAGMA integrity_check").load(&mut connection)?;
    Ok(findings
        .into_iter()
        .map(|row| row.integrity_check)
        .filter(|text| text != "ok")
        .collect())
}

/// Copies a database that may be in use into `target`, which appears only once the copy is
/// complete, checked and on disk.
pub fn backup(source: &Path, target: &Path) -> Result<()> {
    if !source.is_file() {
        return Err(Error::Internal(format!(
            "there is no database at {}",
            source.display()
        )));
    }
    check_are_two(source, target)?;
    check_may_be_replaced(target)?;
    let partial = partial_beside(target);
    remove_if_there(&partial)?;
    let mut connection = name_of(source)
        .and_then(|name| open(name, BACKUP_PRAGMAS))
        .map_err(|cause| cannot_open(source, &cause))?;
    let into = partial
        .to_str()
        .ok_or_else(|| Error::Internal("path is not UTF-8".into()))?;
    make_private(&partial)?;
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

/// Puts a backup in the place of the database file `target`. The server must not be running:
/// the caller holds the directory's lock.
pub fn restore(source: &Path, target: &Path) -> Result<()> {
    if !source.is_file() {
        return Err(Error::Internal(format!(
            "there is no backup at {}",
            source.display()
        )));
    }
    check_are_two(source, target)?;
    if std::fs::metadata(with_suffix(source, "-wal")).is_ok_and(|log| log.len() > 0) {
        return Err(Error::Internal(format!(
            "{} has a log beside it, so it is a database in use and not all of it; copy it with `sealpost backup`",
            source.display()
        )));
    }
    let partial = partial_beside(target);
    remove_if_there(&partial)?;
    let mut backup = std::fs::File::open(source).map_err(at(source))?;
    std::io::copy(&mut backup, &mut make_private(&partial)?).map_err(at(&partial))?;
    let finished = check_is_ours(&partial, source)
        // Opening it proves that it is not newer, and brings it up to date.
        .and_then(|()| open_for_writing(&partial))
        .map(|connection| close(Conn::Sqlite(connection)))
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
        Ok(meta) if meta.is_file() => check_is_ours(target, target),
        Ok(_) => Err(Error::Internal(format!(
            "{} is there already and is no file",
            target.display()
        ))),
        Err(_) => Ok(()),
    }
}

/// Refuses what some sealpost has not made; an empty file would pass for a database otherwise.
fn check_is_ours(copy: &Path, source: &Path) -> Result<()> {
    let problem = || Error::Internal(format!("{} is not a backup of sealpost", source.display()));
    let mut connection = open_for_reading(copy).map_err(|_| problem())?;
    let asked = diesel::sql_query("SELECT username, verifier FROM users LIMIT 1");
    asked
        .execute(&mut connection)
        .map(drop)
        .map_err(|_| problem())
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

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A new, empty file that only its owner may read: verifiers and letters will be in it.
fn make_private(path: &Path) -> Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(at(path))
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(at(path)(cause)),
        _ => Ok(()),
    }
}
