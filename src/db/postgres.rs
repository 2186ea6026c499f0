//! PostgreSQL: each write is a transaction on a pooled connection; the engine groups commits.

use diesel::connection::SimpleConnection;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Bool, Integer, Text};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::Conn;
use super::migrations::{known_versions, run_migrations};
use super::origin::{Origin, newer, of_versions};
use crate::config::postgres_place;
use crate::error::{Error, Result};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Any number that nobody else on the server uses for an advisory lock.
const MIGRATION_LOCK: i64 = 0x5ea1_9057;

/// Has us notice a server that is gone: within half a minute, not hours.
const OUR_KEEPALIVES: &str =
    "keepalives_idle=15&keepalives_interval=5&keepalives_count=3&tcp_user_timeout=30000";
/// Has the server notice the same of us, so that it gives up the locks of what is gone.
const ITS_KEEPALIVES: &str = "
    SET tcp_keepalives_idle = 15;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 30000;
";
/// A write waits while it keeps a connection that others need; one of a node that hangs is undone.
const PATIENCE: &str = "
    SET lock_timeout = '2s';
    SET idle_in_transaction_session_timeout = '10s';
";

/// A connection for reads and writes: no statement on it waits for ever for another node's.
pub(super) fn connect(url: &str) -> ConnectionResult<PgConnection> {
    let mut connection = connect_patiently(url)?;
    connection
        .batch_execute(PATIENCE)
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// A connection that waits as long as it takes: a migration may take long.
fn connect_patiently(url: &str) -> ConnectionResult<PgConnection> {
    let mut connection = PgConnection::establish(&with_keepalives(url))?;
    // Not every system that PostgreSQL runs on has them.
    let _ = connection.batch_execute(ITS_KEEPALIVES);
    Ok(connection)
}

/// A URL with [`OUR_KEEPALIVES`]. What it says of them itself comes later, and so counts.
fn with_keepalives(url: &str) -> String {
    match postgres_place(url).split_once('?') {
        Some((_, parameters)) => {
            let address = url.strip_suffix(parameters).unwrap_or(url);
            format!("{address}{OUR_KEEPALIVES}&{parameters}")
        }
        None => format!("{url}?{OUR_KEEPALIVES}"),
    }
}

/// Brings the schema up to date; several nodes that start at once wait for one another.
///
/// Errors: a database that knows more than this program does, or that is another program's.
pub(super) fn migrate(url: &str) -> Result<()> {
    let mut connection =
        connect_patiently(url).map_err(|cause| Error::Internal(cause.to_string()))?;
    connection.batch_execute(&format!("SELECT pg_advisory_lock({MIGRATION_LOCK})"))?;
    match read_origin(&mut connection)? {
        Origin::Empty | Origin::Sealpost => run_migrations(&mut connection, MIGRATIONS),
        Origin::NewerSealpost(version) => Err(newer(&version)),
        Origin::Foreign => Err(Error::Internal(
            "the database is that of another program; name another --database-url".into(),
        )),
    }
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
    read_origin(&mut connection)
}

/// What is there beside Diesel's table is not looked at: several programs may share a database.
fn read_origin(connection: &mut PgConnection) -> Result<Origin> {
    // Diesel would make the table to look into it.
    let is_there =
        diesel::dsl::sql::<Bool>("to_regclass('__diesel_schema_migrations') IS NOT NULL");
    if !diesel::select(is_there).get_result::<bool>(connection)? {
        return Ok(Origin::Empty);
    }
    let applied: Vec<Applied> =
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations ORDER BY version")
            .load(connection)?;
    let versions = applied.into_iter().map(|row| row.version).collect();
    Ok(of_versions(versions, &known_versions::<Pg>(&MIGRATIONS)))
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
        Err(Error::Busy { .. }) if is_done => {
            tracing::error!("{}", Error::InDoubt);
            Err(Error::InDoubt)
        }
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
///
/// Errors: [`Error::Busy`] if its turn does not come in time, as behind a node that hangs.
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
    .execute(inner)
    .map_err(no_turn)?;
    Ok(())
}

/// What an error of waiting has come to. Diesel has no kind for a wait that took too long and keeps
/// its code to itself, and the server words it in a language of its own.
fn no_turn(cause: DieselError) -> Error {
    match cause {
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, _) => {
            tracing::warn!(%cause, "a write had no turn");
            Error::BUSY
        }
        _ => cause.into(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepalives_come_before_what_the_url_says_itself() {
        let check = |before: &str, after: &str| {
            let url = format!("{before}{after}");
            let expected = match after.strip_prefix('?') {
                Some(parameters) => format!("{before}?{OUR_KEEPALIVES}&{parameters}"),
                None => format!("{before}?{OUR_KEEPALIVES}"),
            };
            assert_eq!(with_keepalives(&url), expected);
        };
        check("postgres://host", "");
        check("postgres://user:a?b@host:5432/database", "");
        check("postgres://user:a?b@host/database", "?keepalives_idle=60");
        check("postgresql:///database", "?host=/run/postgresql&user=a@b");
        check("postgres://host", "?sslrootcert=/etc/ca.pem");
    }
}
