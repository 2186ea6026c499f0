//! PostgreSQL: each write is a transaction on a pooled connection; the engine groups commits.

use diesel::connection::SimpleConnection;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::Conn;
use super::migrations::{known_versions, not_brought_up, run_migrations};
use super::origin::{Origin, newer};
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

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// Whose database a server has at this URL. Changes nothing.
///
/// Errors: no server answers.
pub fn server_origin(url: &str) -> Result<Origin> {
    let mut connection =
        PgConnection::establish(url).map_err(|cause| Error::Internal(cause.to_string()))?;
    // Diesel would make the table to look into it.
    let is_there =
        diesel::dsl::sql::<Bool>("to_regclass('__diesel_schema_migrations') IS NOT NULL");
    if !diesel::select(is_there).get_result::<bool>(&mut connection)? {
        return Ok(Origin::Empty);
    }
    let applied: Vec<Applied> =
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations ORDER BY version")
            .load(&mut connection)?;
    let known = known_versions::<Pg>(&MIGRATIONS);
    let is_newer = |found: &&Applied| !known.contains(&found.version.as_str().into());
    Ok(match applied.iter().find(is_newer) {
        Some(found) => Origin::NewerSealpost(found.version.clone()),
        None => Origin::Sealpost,
    })
}

/// See [`super::Db::write_then`].
pub(super) fn write<T>(
    connection: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T>,
    after: impl FnOnce(&T),
) -> Result<T> {
    let mut is_done = false;
    let outcome = connection.transaction(|connection| {
        let value = work(connection)?;
        is_done = true;
        Ok(value)
    });
    match outcome {
        Ok(value) => {
            after(&value);
            Ok(value)
        }
        // Lost while it committed: to say that it may be tried again would double it.
        Err(Error::Busy { .. }) if is_done => Err(Error::Internal(
            "the connection was lost during a commit; it may be on disk".into(),
        )),
        Err(cause) => Err(cause),
    }
}

/// What writes take turns at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turns {
    /// To write into these users' mailboxes.
    Mailboxes = 0,
    /// To write into a room.
    Rooms = 1,
    /// To change who is whose contact.
    Contacts = 2,
    /// To change a message, or who may see it.
    Messages = 3,
}

/// Has a write wait for those that write to the same, until they are committed and can be seen, so
/// that ids and commits have one order there. The one writer of SQLite sees to that by itself.
pub(crate) fn take_turns(conn: &mut Conn, at: Turns, ids: &[i64]) -> Result<()> {
    let Conn::Postgres(inner) = conn else {
        return Ok(());
    };
    // In one order, lest two wait for each other. Locks of two numbers have 32 bits for each; what
    // share the lower bits of their ids wait for each other in vain.
    diesel::sql_query(
        "SELECT pg_advisory_xact_lock($1, id) \
         FROM (SELECT DISTINCT (unnest & 2147483647)::int4 AS id FROM unnest($2) ORDER BY id) AS ids",
    )
    .bind::<Integer, _>(at as i32)
    .bind::<Array<BigInt>, _>(ids)
    .execute(inner)?;
    Ok(())
}

/// Has a connection that is lost known as such, so that the pool lets it go: diesel does not see it
/// when a statement cannot be prepared.
pub(super) fn notice_loss(connection: &mut PgConnection) {
    let _ = connection.batch_execute("SELECT 1");
}

pub(super) fn size_bytes(connection: &mut Conn) -> Result<u64> {
    let Conn::Postgres(inner) = connection else {
        return Ok(0);
    };
    let size: i64 = diesel::select(diesel::dsl::sql::<BigInt>(
        "pg_database_size(current_database())",
    ))
    .get_result(inner)?;
    Ok(size.unsigned_abs())
}
