//! Bringing a schema up to date, whatever the back end.

use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

use crate::error::{Error, Result};

/// Runs what is missing. That the database is not newer has been found out before.
pub(super) fn run_migrations<C, DB>(connection: &mut C, ours: EmbeddedMigrations) -> Result<()>
where
    DB: diesel::backend::Backend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    connection
        .run_pending_migrations(ours)
        .map_err(not_brought_up)?;
    Ok(())
}

/// Says what kept the schema from being brought up to date.
fn not_brought_up(cause: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Internal(format!(
        "the database could not be brought up to date: {cause}"
    ))
}

/// The schema versions that this program knows.
pub(super) fn known_versions<DB>(ours: &EmbeddedMigrations) -> Vec<MigrationVersion<'static>>
where
    DB: diesel::backend::Backend,
    EmbeddedMigrations: MigrationSource<DB>,
{
    let ours: Vec<Box<dyn Migration<DB>>> = ours
        .migrations()
        .expect("the migrations were checked when they were compiled in");
    ours.iter()
        .map(|migration| migration.name().version().as_owned())
        .collect()
}
