//! What a restored database must not repeat of the time that it has lost: ids, and logins that have
//! been ended since.
//!
//! Clients remember ids, and ask for what is new since one. Were they given out a second time,
//! what is new would hide below them.

use std::collections::HashMap;
use std::path::Path;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::origin::open_unchanging;
use crate::schema::sessions;

/// Ids left out beyond those that are known to have been given out: the database that would say
/// may be lost.
const MARGIN: i64 = 1_000_000;

/// The last id that a table has given out, 0 for none.
#[derive(QueryableByName)]
struct LastId {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

/// Of each table that never gives an id out twice.
fn read_last_ids(connection: &mut SqliteConnection) -> QueryResult<Vec<LastId>> {
    diesel::sql_query(
        "SELECT tables.name, coalesce(seq, 0) AS seq
         FROM sqlite_master AS tables LEFT JOIN sqlite_sequence USING (name)
         WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'",
    )
    .load(connection)
}

/// The last ids by table of the database at `path`, which stays as it is; none if it cannot be
/// read.
pub(super) fn last_ids(path: &Path) -> HashMap<String, i64> {
    let read = open_unchanging(path)
        .ok()
        .and_then(|mut connection| read_last_ids(&mut connection).ok());
    let rows = read.unwrap_or_default().into_iter();
    rows.map(|row| (row.name, row.seq)).collect()
}

/// Leaves out every id up to the last ones here and in `replaced`, and a million more; ends every
/// login.
pub(super) fn skip(
    connection: &mut SqliteConnection,
    replaced: &HashMap<String, i64>,
) -> QueryResult<()> {
    connection.transaction(|connection| {
        for LastId { name, seq } in read_last_ids(connection)? {
            let last = replaced.get(&name).map_or(seq, |&other| seq.max(other));
            diesel::sql_query("DELETE FROM sqlite_sequence WHERE name = ?")
                .bind::<Text, _>(&name)
                .execute(connection)?;
            diesel::sql_query("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)")
                .bind::<Text, _>(&name)
                .bind::<BigInt, _>(last.saturating_add(MARGIN))
                .execute(connection)?;
        }
        diesel::delete(sessions::table).execute(connection)?;
        Ok(())
    })
}
