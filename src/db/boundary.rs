//! Where the writer's transactions begin and end, as statements that stay prepared.

use diesel::prelude::*;

use super::Conn;

pub(super) const BEGIN: u8 = 0;
pub(super) const COMMIT: u8 = 1;
pub(super) const SAVEPOINT: u8 = 2;
pub(super) const UNDO: u8 = 3;
pub(super) const RELEASE: u8 = 4;
const SQL: [&str; 5] = [
    "BEGIN IMMEDIATE",
    "COMMIT",
    "SAVEPOINT job",
    "ROLLBACK TO job",
    "RELEASE job",
];

/// A transaction boundary as a query of its own type, so that Diesel keeps its prepared statement;
/// it would prepare the plain text anew each time, which costs more than running it.
#[derive(diesel::query_builder::QueryId)]
pub(super) struct Boundary<const STEP: u8>;

impl<const STEP: u8> diesel::query_builder::QueryFragment<diesel::sqlite::Sqlite>
    for Boundary<STEP>
{
    fn walk_ast<'b>(
        &'b self,
        mut out: diesel::query_builder::AstPass<'_, 'b, diesel::sqlite::Sqlite>,
    ) -> QueryResult<()> {
        out.push_sql(SQL[STEP as usize]);
        Ok(())
    }
}

pub(super) fn execute<const STEP: u8>(
    connection: &mut Conn,
    step: Boundary<STEP>,
) -> QueryResult<()> {
    match connection {
        Conn::Sqlite(inner) => inner.execute_returning_count(&step).map(drop),
        Conn::Postgres(_) => Ok(()),
    }
}
