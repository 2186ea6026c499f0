//! The SQLite file: how it is opened, checked and closed.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::migrations::run_migrations;
use super::{Conn, log_file, origin};
use crate::error::{Error, Result};

pub(super) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Older ones can corrupt a WAL database that several connections use.
const OLDEST_SAFE_VERSION: i32 = 3_051_003;

/// A send changes a little on each of several pages, and each is written whole: pages of 2 KiB
/// instead of 4 take a fifth off its cost. An existing file keeps its page size.
///
/// Checkpoints are made by [`checkpoints`](super::checkpoints): SQLite's own would not tell of a
/// sync that failed.
const WRITER_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA page_size = 2048;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -8192;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 134217728;
";

pub(super) const READER_PRAGMAS: &str = "
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

/// The writing connection, with the schema up to date.
///
/// Errors: a SQLite too old to be safe; a database of a newer sealpost or of another program,
/// which stays as it was.
pub(super) fn open_for_writing(path: &Path) -> Result<SqliteConnection> {
    origin::check_may_be_opened(path)?;
    match make_private(path) {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => {
            let problem = format!("cannot make the database {}: {cause}", path.display());
            return Err(Error::Internal(problem));
        }
        _ => {}
    }
    let mut connection = log_file::uri(path)
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

/// A new, empty file that only its owner may read: verifiers and letters will be in it. SQLite
/// makes its log like it.
pub(super) fn make_private(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600).open(path)
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

pub(super) fn name_of(path: &Path) -> ConnectionResult<&str> {
    path.to_str()
        .ok_or_else(|| ConnectionError::BadConnection("path is not UTF-8".into()))
}

/// The URI by which SQLite opens `path` with these parameters.
pub(super) fn uri(path: &Path, parameters: &str) -> ConnectionResult<String> {
    let name = name_of(path)?;
    let mut uri = String::from("file:");
    // After `//` SQLite would look for the name of a host.
    if name.starts_with('/') {
        uri.push_str("//");
    }
    for character in name.chars() {
        match character {
            '%' => uri.push_str("%25"),
            '?' => uri.push_str("%3f"),
            '#' => uri.push_str("%23"),
            other => uri.push(other),
        }
    }
    Ok(uri + "?" + parameters)
}

pub(super) fn open(name: &str, pragmas: &str) -> ConnectionResult<SqliteConnection> {
    let mut connection = SqliteConnection::establish(name)?;
    connection
        .batch_execute(pragmas)
        .map_err(|cause| ConnectionError::BadConnection(cause.to_string()))?;
    Ok(connection)
}

pub(super) fn cannot_open(path: &Path, cause: &dyn Display) -> Error {
    Error::Internal(format!(
        "cannot open the database {}: {cause}",
        path.display()
    ))
}

/// Says of what kept the file at `path` from being opened what to do, where that can be told.
pub(super) fn with_advice(path: &Path, error: Error) -> Error {
    let cause = error.to_string();
    let is_said = |words: [&str; 2]| words.iter().any(|words| cause.contains(words));
    let place = path.display();
    // A file whose beginning is damaged is none to SQLite.
    if is_said([MALFORMED, "file is not a database"]) {
        Error::Internal(format!(
            "the database is damaged: {cause}; keep {place} and what is beside it, and \
             `sealpost restore` the last backup"
        ))
    } else if is_said(["disk I/O error", "disk is full"]) && is_disk_full(path) {
        Error::Internal(format!(
            "the disk of {place} is full: free some space ({cause})"
        ))
    } else {
        error
    }
}

/// Whether there is less than a start needs for the log and its index.
fn is_disk_full(path: &Path) -> bool {
    let stat = rustix::fs::statvfs(path.parent().unwrap_or(path));
    stat.is_ok_and(|stat| stat.f_bavail * stat.f_frsize < 1 << 20)
}

/// The last things before the writer's connection goes: one file holds everything again.
pub(super) fn close(mut connection: Conn) -> Result<()> {
    let outcome = connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE);");
    if outcome.is_err() {
        leave_open(connection);
    }
    Ok(outcome?)
}

/// Lets a connection go without closing it. The last one that closes makes a checkpoint and removes
/// the log, which the next start has to read.
pub(super) fn leave_open(connection: Conn) {
    std::mem::forget(connection);
}

/// The file and its write-ahead log together.
pub(super) fn size_bytes(path: &Path) -> io::Result<u64> {
    let length = |path: &Path| std::fs::metadata(path).map(|meta| meta.len());
    let log = match length(&with_suffix(path, "-wal")) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => 0,
        length => length?,
    };
    Ok(length(path)? + log)
}

/// The name of a file beside `path`: SQLite's log has `-wal`.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
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

/// What SQLite says of a file that it cannot make sense of.
const MALFORMED: &str = "database disk image is malformed";

#[derive(QueryableByName)]
struct Finding {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

/// What SQLite's integrity check finds wrong with a database file; empty if it is sound.
/// Changes nothing.
pub fn integrity_problems(path: &Path) -> Result<Vec<String>> {
    let mut connection = origin::open_unchanging(path)?;
    let checked = diesel::sql_query("PRAGMA integrity_check").load::<Finding>(&mut connection);
    let findings = match checked {
        // Where it cannot go on it gives up, and says nothing of what it has found before.
        Err(cause) if cause.to_string() == MALFORMED => return Ok(vec![MALFORMED.to_owned()]),
        checked => checked?,
    };
    Ok(findings
        .into_iter()
        .map(|row| row.integrity_check)
        .filter(|text| text != "ok")
        .collect())
}
