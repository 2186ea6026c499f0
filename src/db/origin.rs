//! Whose a database is; of a file found out without changing it or anything beside it.
//!
//! Asked before a file is opened for writing: the first thing that would do is switch it to a
//! write-ahead log, and a file that is refused must stay as it was.

use std::path::Path;

use diesel::migration::MigrationVersion;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use rustix::fs::Access;

use super::migrations::known_versions;
use super::sqlite::{MIGRATIONS, READER_PRAGMAS, cannot_open, open, uri, with_suffix};
use crate::data_dir::cannot;
use crate::error::{Error, Result};

/// Our first migration. Every sealpost database has it; another program that uses Diesel has
/// versions of its own in a table of the same name.
const FIRST_VERSION: &str = "00000000000001";

/// Where Diesel keeps which migrations have run.
const VERSIONS_TABLE: &str = "__diesel_schema_migrations";

/// Whose a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody's: there is no file, or nothing in it.
    Empty,
    /// Of a sealpost of this version or older.
    Sealpost,
    /// Of a sealpost that knows this schema version; this one does not.
    NewerSealpost(String),
    /// Of another program.
    Foreign,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Whose database the file at `path` is.
///
/// Errors: it cannot be read, is no database, or is damaged where it would say.
pub fn origin(path: &Path) -> Result<Origin> {
    let is_there = path.try_exists();
    if !is_there.map_err(|cause| cannot_open(path, &cause))? {
        return Ok(Origin::Empty);
    }
    let mut connection = open_unchanging(path)?;
    read_origin(&mut connection).map_err(|cause| cannot_open(path, &cause))
}

fn read_origin(connection: &mut SqliteConnection) -> QueryResult<Origin> {
    let mut names = |sql: &str| -> QueryResult<Vec<String>> {
        let rows: Vec<Row> = diesel::sql_query(sql).load(connection)?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    };
    let made =
        names("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")?;
    let versions = if made.iter().any(|name| name == VERSIONS_TABLE) {
        names("SELECT version AS name FROM __diesel_schema_migrations ORDER BY version")?
    } else {
        Vec::new()
    };
    Ok(
        match of_versions(versions, &known_versions::<Sqlite>(&MIGRATIONS)) {
            // With the table of versions alone, a first start was cut short.
            Origin::Empty if made.iter().any(|name| name != VERSIONS_TABLE) => Origin::Foreign,
            origin => origin,
        },
    )
}

/// Whose a database is by the schema versions that were noted in it. This program knows `known`.
pub(super) fn of_versions(versions: Vec<String>, known: &[MigrationVersion<'_>]) -> Origin {
    if versions.is_empty() {
        return Origin::Empty;
    }
    if !versions.iter().any(|version| version == FIRST_VERSION) {
        return Origin::Foreign;
    }
    let is_known = |version: &String| known.contains(&version.as_str().into());
    match versions.into_iter().find(|version| !is_known(version)) {
        Some(newer) => Origin::NewerSealpost(newer),
        None => Origin::Sealpost,
    }
}

/// A connection that leaves the file, its log and the directory as they are.
pub(super) fn open_unchanging(path: &Path) -> Result<SqliteConnection> {
    check_is(path, "read", Access::READ_OK)?;
    // Even a reader would make a log beside the file, and fold one that was left into it when it
    // goes. Without a log the file is all there is; a log that is there has to be read with it.
    let log = with_suffix(path, "-wal");
    let mode = if log.exists() {
        "mode=ro"
    } else {
        "mode=ro&immutable=1"
    };
    uri(path, mode)
        .and_then(|uri| open(&uri, READER_PRAGMAS))
        .map_err(|cause| cannot_open(path, &cause))
}

/// Refuses a database that this user may only read, with its log: SQLite would open it all the
/// same, and then take no write. A disk that is full is no reason.
pub fn check_is_writable(path: &Path) -> Result<()> {
    check_is(path, "write to", Access::WRITE_OK)?;
    // SQLite makes its log beside the file that a link leads to.
    let whole = path.canonicalize().or_else(|_| std::path::absolute(path))?;
    let directory = whole.parent().unwrap_or(&whole);
    let needed = Access::WRITE_OK | Access::EXEC_OK;
    check_access(directory, "write to the directory", needed)
}

/// Whether this user may `access` the database and its log.
fn check_is(path: &Path, verb: &str, access: Access) -> Result<()> {
    let files = ["", "-wal", "-shm"].map(|suffix| with_suffix(path, suffix));
    let mut files = files.iter().filter(|file| file.exists());
    files.try_for_each(|file| check_access(file, verb, access))
}

/// SQLite would not say whose it is.
fn check_access(path: &Path, verb: &str, access: Access) -> Result<()> {
    rustix::fs::access(path, access).map_err(|cause| cannot(verb, path)(cause.into()))
}

/// Refuses what this program would spoil by writing to it, and what it may not write.
pub(super) fn check_may_be_opened(path: &Path) -> Result<()> {
    match origin(path)? {
        Origin::Empty | Origin::Sealpost => check_is_writable(path),
        Origin::NewerSealpost(version) => Err(newer(&version)),
        Origin::Foreign => Err(foreign(path)),
    }
}

/// Says that only a later program may open the database.
pub(super) fn newer(version: &str) -> Error {
    Error::Internal(format!(
        "the database was written by a newer sealpost (schema {version}); use that version or later"
    ))
}

/// Says that a database is not ours to open or to replace.
pub(super) fn foreign(path: &Path) -> Error {
    Error::Internal(format!(
        "{} is the database of another program; move it away, or name another --data-dir",
        path.display()
    ))
}
