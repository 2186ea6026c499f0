//! Databases that are refused: those of a newer sealpost, of another program, or of none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use crate::operations_start::{assert_one_line, serve};
use crate::world::{Setup, World, ended, program, skips_sqlite_test};

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_as_it_was() {
    let mut world = World::start();
    world.people(["alice", "bob"]);
    world.person("alice").try_send("bob", "sealed").ok();
    assert!(world.server.stop().success());
    let version = "'99991231235959'";
    change_database(
        &world,
        &format!("INSERT INTO __diesel_schema_migrations (version) VALUES ({version})"),
    );
    let url = world.database().map(crate::world::OwnDatabase::url);
    assert_one_line(&serve(world.data_dir(), "0", url), "newer");
    change_database(
        &world,
        &format!("DELETE FROM __diesel_schema_migrations WHERE version = {version}"),
    );
    world.restart();
    assert_eq!(world.person("bob").inbox().len(), 1);
}

/// Runs `sql` in the database of a world.
pub(crate) fn change_database(world: &World, sql: &str) {
    if let Some(database) = world.database() {
        return database.run(sql);
    }
    run_sql(Path::new(&sqlite_file(world.data_dir())), sql);
}

/// Runs `sql` in the SQLite file at `path`, which is made if it is missing.
fn run_sql(path: &Path, sql: &str) {
    let path = path.to_str().expect("UTF-8");
    let mut db = SqliteConnection::establish(path).expect("the database opens");
    db.batch_execute(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The database file in a data directory: the one that begins as SQLite's do.
fn sqlite_file(data_dir: &Path) -> String {
    let files = std::fs::read_dir(data_dir).expect("the data directory is readable");
    let paths = files.map(|entry| entry.expect("an entry").path());
    let is_sqlite = |path: &std::path::PathBuf| {
        std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"))
    };
    paths
        .into_iter()
        .find(is_sqlite)
        .expect("a database file")
        .display()
        .to_string()
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_was() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    assert!(world.server.stop().success());
    let path = sqlite_file(world.data_dir());
    let text = "this is not a database\n".repeat(1000);
    std::fs::write(&path, &text).expect("written");
    let output = serve(world.data_dir(), "0", None);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), text);
}

#[test]
fn a_damaged_database_is_said_in_one_line_with_what_to_do() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    assert!(world.server.stop().success());
    let path = sqlite_file(world.data_dir());
    let sound = std::fs::read(&path).expect("readable");
    for damaged in [100..2_048, 2_048..sound.len(), 0..100] {
        let mut bytes = sound.clone();
        bytes[damaged].fill(0xa5);
        std::fs::write(&path, bytes).expect("written");
        let output = serve(world.data_dir(), "0", None);
        assert_one_line(&output, "the database is damaged");
        assert_one_line(&output, "`sealpost restore` the last backup");
    }
}

/// Every file in a directory with its bytes.
pub(crate) fn files_in(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(directory).expect("readable");
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(&path).expect("readable")))
        .collect()
}

/// A database as another program leaves it: Diesel's table of versions is no mark of ours.
const OF_ANOTHER_PROGRAM: &str = "
    CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL);
    INSERT INTO __diesel_schema_migrations VALUES ('20230101000000');
    CREATE TABLE users (username TEXT, verifier TEXT);
";

/// A data directory whose database is of another program.
fn foreign_data_dir(home: &TempDir) -> PathBuf {
    let data_dir = home.path().join("data");
    std::fs::create_dir(&data_dir).expect("made");
    run_sql(&data_dir.join("sealpost.db"), OF_ANOTHER_PROGRAM);
    data_dir
}

#[test]
fn a_newer_database_keeps_every_byte_when_it_is_refused() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    assert!(world.server.stop().success());
    // As a backup has it: opening it for writing would switch it to a log.
    change_database(
        &world,
        "PRAGMA journal_mode = DELETE;
         INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231235959')",
    );
    let before = files_in(world.data_dir());
    assert_one_line(&serve(world.data_dir(), "0", None), "newer");
    assert!(files_in(world.data_dir()) == before, "nothing has changed");
}

#[test]
fn a_database_of_another_program_is_refused_and_keeps_every_byte() {
    if skips_sqlite_test() {
        return;
    }
    let home = TempDir::new().expect("a temporary directory");
    let data_dir = foreign_data_dir(&home);
    let database = data_dir.join("sealpost.db");
    let before = std::fs::read(&database).expect("readable");
    assert_one_line(&serve(&data_dir, "0", None), "another program");
    assert!(std::fs::read(&database).expect("still there") == before);
    assert!(!data_dir.join("sealpost.db-wal").exists());
}

#[test]
fn a_database_of_another_program_is_neither_replaced_nor_restored_nor_backed_up() {
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    let home = TempDir::new().expect("a temporary directory");
    let data_dir = foreign_data_dir(&home);
    let foreign = data_dir.join("sealpost.db");
    let before = std::fs::read(&foreign).expect("readable");
    let backup = home.path().join("backup.db");
    let run = |command: &str, data_dir: &Path, file: &Path| {
        ended(
            program()
                .args([command, "--data-dir"])
                .args([data_dir, file]),
        )
    };
    assert!(run("backup", world.data_dir(), &backup).status.success());
    assert_one_line(&run("restore", &data_dir, &backup), "another program");
    assert_one_line(
        &run("restore", &home.path().join("new"), &foreign),
        "not a backup",
    );
    let copy = home.path().join("copy.db");
    assert_one_line(&run("backup", &data_dir, &copy), "another program");
    assert_one_line(&run("backup", world.data_dir(), &foreign), "not a backup");
    assert!(std::fs::read(&foreign).expect("still there") == before);
}

#[test]
fn an_empty_file_becomes_a_database() {
    if skips_sqlite_test() {
        return;
    }
    let home = TempDir::new().expect("a temporary directory");
    let data_dir = home.path().join("data");
    std::fs::create_dir(&data_dir).expect("made");
    std::fs::write(data_dir.join("sealpost.db"), "").expect("written");
    let world = Setup::new().start_on(home, data_dir);
    world.register("alice");
}

#[test]
fn check_says_that_a_database_is_of_another_program() {
    if skips_sqlite_test() {
        return;
    }
    let home = TempDir::new().expect("a temporary directory");
    let output = check(&foreign_data_dir(&home), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("another program"), "{said}");
}

#[test]
fn check_changes_nothing_even_of_what_a_killed_server_has_left() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    alice.send(&bob, "in the log");
    world.server.kill();
    assert_check_changes_nothing(world.data_dir());
    world.restart();
    assert!(world.server.stop().success());
    assert_check_changes_nothing(world.data_dir());
}

fn assert_check_changes_nothing(data_dir: &Path) {
    std::fs::remove_file(data_dir.join("lock")).expect("a lock is left");
    let mut before = files_in(data_dir);
    let output = check(data_dir, &[]);
    assert!(output.status.success(), "{output:?}");
    let mut after = files_in(data_dir);
    // The index of the log is no data: any reader makes it from the log.
    let index = data_dir.join("sealpost.db-shm");
    assert_eq!(
        before.remove(&index).is_some(),
        after.remove(&index).is_some()
    );
    assert!(before == after, "{:?} {:?}", before.keys(), after.keys());
}

#[test]
fn check_says_in_one_line_that_postgresql_does_not_answer() {
    let home = TempDir::new().expect("a temporary directory");
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    for data_dir in [home.path(), &home.path().join("not-yet")] {
        let output = check(data_dir, &["--database-url", url]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        let mut lines = said.lines();
        assert!(
            lines.any(|line| line.starts_with("PROBLEM PostgreSQL")),
            "{said}"
        );
        let next = lines.next().expect("what to do");
        assert!(next.trim().starts_with("->"), "{said}");
    }
}

#[test]
fn check_says_that_a_data_directory_cannot_be_made() {
    let home = TempDir::new().expect("a temporary directory");
    let file = home.path().join("file");
    std::fs::write(&file, "").expect("written");
    let output = check(&file.join("data"), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("it is not a directory"), "{said}");
}

fn check(data_dir: &Path, more: &[&str]) -> std::process::Output {
    let mut command = program();
    command.args(["check", "--port", "0", "--no-chat-room"]);
    command.args(more).arg("--data-dir").arg(data_dir);
    ended(&mut command)
}
