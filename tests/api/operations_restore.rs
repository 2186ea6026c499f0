//! What a restore leaves behind it: ids that are given out once, logins that are over, and nothing of
//! what was cut short.

use std::os::unix::fs::symlink;
use std::path::Path;

use reqwest::Method;
use tempfile::TempDir;

use crate::operations_backup::command;
use crate::operations_refused::files_in;
use crate::operations_start::assert_one_line;
use crate::world::{Reply, Setup, World, ended, program, skips_sqlite_test};

fn send_some(world: &World) -> i64 {
    let [alice, bob] = ["alice", "bob"].map(|name| world.person(name));
    let ids = (0..5).map(|_| alice.send(&bob, "sealed"));
    ids.max().expect("five")
}

#[test]
fn an_id_that_was_given_out_after_the_backup_is_not_given_out_again() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    world.people(["alice", "bob"]);
    let backup = world.home().join("backup.db");
    let before_any = world.home().join("before any.db");
    assert_done(command("backup", world.data_dir(), &before_any));
    send_some(&world);
    assert_done(command("backup", world.data_dir(), &backup));
    let last = send_some(&world);
    assert!(world.server.stop().success());
    for file in [&backup, &before_any] {
        // In the place of the database that knows, and where that is lost.
        let home = TempDir::new().expect("a temporary directory");
        let elsewhere = home.path().join("data");
        assert_done(command("restore", &elsewhere, file));
        assert_goes_on_after(last, &Setup::new().start_on(home, elsewhere));
        assert_done(command("restore", world.data_dir(), file));
        world.restart();
        assert_goes_on_after(last, &world);
        assert!(world.server.stop().success());
    }
}

/// A client that had everything up to `last` hears of what comes now.
fn assert_goes_on_after(last: i64, world: &World) {
    let [alice, bob] = ["alice", "bob"].map(|name| world.person(name));
    let id = alice.send(&bob, "after the restore");
    assert!(id > last, "{id} follows {last}");
    let new = bob.list("/messages/inbox", &[("after", &last.to_string())]);
    assert_eq!(new.messages().len(), 1);
}

fn assert_done(output: std::process::Output) {
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_login_that_was_ended_after_the_backup_stays_ended() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    let token = world.register("alice").log_in();
    let backup = world.home().join("backup.db");
    let status = |world: &World, method: Method, path: &str| {
        Reply::to(world.request(method, path).bearer_auth(&token)).status
    };
    assert_done(command("backup", world.data_dir(), &backup));
    assert_eq!(status(&world, Method::GET, "/me/contacts/"), 200);
    assert_eq!(status(&world, Method::POST, "/logout"), 200);
    assert!(world.server.stop().success());
    assert_done(command("restore", world.data_dir(), &backup));
    world.restart();
    assert_eq!(status(&world, Method::GET, "/me/contacts/"), 401);
    world.person("alice").log_in();
}

#[test]
fn what_a_restore_that_was_cut_short_has_left_is_no_part_of_the_next() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    world.people(["alice", "bob"]);
    world.person("alice").try_send("bob", "before").ok();
    let backup = world.home().join("backup.db");
    assert_done(command("backup", world.data_dir(), &backup));
    send_some(&world);
    world.server.kill();
    let home = TempDir::new().expect("a temporary directory");
    let data_dir = home.path().join("data");
    std::fs::create_dir(&data_dir).expect("made");
    let log = world.data_dir().join("sealpost.db-wal");
    for left in ["sealpost.db.partial-wal", "sealpost.db.partial-journal"] {
        std::fs::copy(&log, data_dir.join(left)).expect("a log is left");
    }
    assert_done(command("restore", &data_dir, &backup));
    let restored = Setup::new().start_on(home, data_dir);
    assert_eq!(restored.person("bob").inbox().len(), 1);
    let names = std::fs::read_dir(restored.data_dir()).expect("readable");
    for name in names.map(|entry| entry.expect("an entry").file_name()) {
        assert!(!name.to_string_lossy().contains("partial"), "{name:?}");
    }
}

#[test]
fn a_database_behind_a_link_is_read_with_its_log_and_the_link_stays() {
    if skips_sqlite_test() {
        return;
    }
    let home = TempDir::new().expect("a temporary directory");
    let data_dir = home.path().join("data");
    std::fs::create_dir(&data_dir).expect("made");
    let link = data_dir.join("sealpost.db");
    symlink("../the store.db", &link).expect("made");
    let mut world = Setup::new().start_on(home, data_dir.clone());
    world.people(["alice", "bob"]);
    let last = send_some(&world);
    world.server.kill();
    assert_done(check(&data_dir));
    let backup = world.home().join("backup.db");
    assert_done(command("backup", &data_dir, &backup));
    world.restart();
    assert_eq!(world.person("bob").inbox().len(), 5);
    world.server.kill();
    assert_done(command("restore", &data_dir, &backup));
    assert!(link.is_symlink());
    world.restart();
    assert_eq!(world.person("bob").inbox().len(), 5);
    assert_goes_on_after(last, &world);
}

fn check(data_dir: &Path) -> std::process::Output {
    let mut command = program();
    command.args(["check", "--port", "0", "--no-chat-room", "--data-dir"]);
    ended(command.arg(data_dir))
}

#[test]
fn a_backup_does_not_take_the_name_of_a_file_of_the_servers_own() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    world.people(["alice", "bob"]);
    world.person("alice").try_send("bob", "sealed").ok();
    assert!(world.server.stop().success());
    std::fs::remove_file(world.data_dir().join("token.key")).expect("it was there");
    for name in [
        "lock",
        "token.key",
        "server.key",
        "sealpost.db-wal",
        "sealpost.db-shm",
        "sealpost.db-journal",
        "sealpost.db.partial",
    ] {
        let target = world.data_dir().join(name);
        let before = std::fs::read(&target).ok();
        assert_one_line(&command("backup", world.data_dir(), &target), name);
        assert_eq!(std::fs::read(&target).ok(), before);
    }
    world.restart();
    assert_eq!(world.person("bob").inbox().len(), 1);
    // Anywhere else it is a name like any other.
    assert_done(command(
        "backup",
        world.data_dir(),
        &world.home().join("lock"),
    ));
}

#[test]
fn of_two_backups_into_one_file_at_once_one_is_told_so() {
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    world.people(["alice", "bob"]);
    let file = world.home().join("backup.db");
    let lock = world.home().join("backup.db.partial-lock");
    let other = std::fs::File::create(&lock).expect("made");
    other.lock().expect("nobody has it");
    let output = command("backup", world.data_dir(), &file);
    assert_one_line(&output, "another backup");
    assert!(!file.exists());
    drop(other);
    assert_done(command("backup", world.data_dir(), &file));
    assert!(file.exists() && !lock.exists());
}

#[test]
fn a_damaged_backup_is_not_restored() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    for n in 0..50 {
        alice.send(&bob, &format!("{n} {}", "x".repeat(5000)));
    }
    let backup = world.home().join("backup.db");
    assert_done(command("backup", world.data_dir(), &backup));
    let sound = std::fs::read(&backup).expect("it is there");
    assert!(world.server.stop().success());
    let before = files_in(world.data_dir());
    let elsewhere = world.home().join("elsewhere");
    let expected = format!("the copy of {} is damaged: ", backup.display());
    let middle = sound.len() / PAGE_BYTES / 2 * PAGE_BYTES;
    // Pages in the midst of texts, of which the check can make no sense; and how many pages are
    // free, which it finds to be wrong.
    for (place, now) in [(middle..middle + 4 * PAGE_BYTES, 0), (39..40, 7)] {
        let mut bytes = sound.clone();
        bytes[place].fill(now);
        std::fs::write(&backup, bytes).expect("written");
        assert_one_line(&command("restore", world.data_dir(), &backup), &expected);
        assert!(files_in(world.data_dir()) == before, "nothing has changed");
        assert_one_line(&command("restore", &elsewhere, &backup), &expected);
        let left = files_in(&elsewhere).into_keys();
        let left: Vec<_> = left.filter(|path| !path.ends_with("lock")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    world.restart();
    assert_eq!(world.person("bob").inbox().len(), 50);
}

/// As the server makes its database.
const PAGE_BYTES: usize = 2048;
