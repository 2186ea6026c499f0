//! Tests that cannot tell anything where they run: a test that returns counts as passed, so each
//! says here that it was skipped, and why. `tests/run` reads it.

use std::fs::File;
use std::io::Write as _;

use super::postgres::asked_for;

/// Names the file to which skipped tests are added, a line each.
const FILE: &str = "SEALPOST_SKIPPED";

/// Whether this run is on PostgreSQL, so that a test about the SQLite file is skipped.
pub(crate) fn skips_sqlite_test() -> bool {
    let skips = asked_for().is_some();
    if skips {
        // `tests/run` knows the other database, which has its turn, by these words.
        skipped("about SQLite alone");
    }
    skips
}

/// Whether this run is on SQLite, so that a test about PostgreSQL is skipped.
pub(crate) fn skips_postgres_test() -> bool {
    let skips = asked_for().is_none();
    if skips {
        skipped("about PostgreSQL alone");
    }
    skips
}

/// Notes that the calling test is skipped, and `why`; it returns next.
pub(crate) fn skipped(why: &str) {
    // The thread of a test has its name.
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    eprint!("skipped {line}");
    if let Some(path) = std::env::var_os(FILE) {
        let file = File::options().append(true).create(true).open(path);
        // In one write, since others write too.
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.expect("what is skipped can be noted");
    }
}
