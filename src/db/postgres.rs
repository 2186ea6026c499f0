//! PostgreSQL: each write is a transaction on a pooled connection; the engine groups commits.

use diesel::connection::SimpleConnection;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::Conn;
use super::migrations::{known_versions, not_brought_up, run_migrations};
use super::origin::newer;
use crate::error::{Error, Result};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Any number that nobody else on the server uses for an advisory lock.
const MIGRATION_LOCK: i64 = 0x5ea1_9057;

/// Brings the schema up to date; several nodes that start at once wait for one another.
///
/// Errors: a database that knows more than this program does.
pub(super) fn migrate(url: &str) -> Result<()> {
    let mut connection =
        PgConnection::establish(url).map_err(|cause| Error::Internal(cause.to_string()))?;
    connection.batch_execute(&format!("SELECT pg_advisory_lock({MIGRATION_LOCK})"))?;
    let known = known_versions::<Pg>(&MIGRATIONS);
    let applied = connection.applied_migrations().map_err(not_brought_up)?;
    if let Some(version) = applied.iter().find(|version| !known.contains(version)) {
        return Err(newer(&version.to_string()));
    }
    run_migrations(&mut connection, MIGRATIONS)
}

/// Whether a server answers at this URL.
pub fn is_reachable(url: &str) -> Result<()> {
    PgConnection::establish(url)
        .map(drop)
        .map_err(|cause| Error::Internal(cause.to_string()))
}

/// See [`super::Db::write_then`].
pub(super) fn write<T>(
    connection: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T>,
    after: impl FnOnce(&T),
) -> Result<T> {
    let value = connection.transaction(work)?;
    after(&value);
    Ok(value)
}

pub(super) fn size_bytes(connection: &mut Conn) -> Result<u64> {
    let Conn::Postgres(inner) = connection else {
        return Ok(0);
    };
    let size: i64 = diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(
        "pg_database_size(current_database())",
    ))
    .get_result(inner)?;
    Ok(size.unsigned_abs())
}
