//! The commands beside `serve`: backup, restore, check, openapi, completions, help.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::operations_start::assert_one_line;
use crate::world::{Setup, World, ended, program, skips_sqlite_test};

fn run(args: &[&str], paths: &[&Path]) -> Output {
    ended(program().args(args).args(paths))
}

/// Runs `backup` or `restore`.
pub(crate) fn command(name: &str, data_dir: &Path, file: &Path) -> Output {
    run(&[name, "--data-dir"], &[data_dir, file])
}

#[test]
fn a_backup_of_a_running_server_is_restored_whole() {
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let id = alice.send(&bob, "before the backup");
    alice
        .grant_resealed(id, "carol", "read", "sealed for carol")
        .ok();
    let home = TempDir::new().expect("a temporary directory");
    let file = home.path().join("backup.db");
    let output = std::thread::scope(|scope| {
        let backup = scope.spawn(|| command("backup", world.data_dir(), &file));
        for n in 0..200 {
            alice.send(&bob, &format!("during {n}"));
        }
        backup.join().expect("no panic")
    });
    assert!(output.status.success(), "{output:?}");
    let restored = home.path().join("restored");
    let output = command("restore", &restored, &file);
    assert!(output.status.success(), "{output:?}");
    let copy = Setup::new().start_on(home, restored);
    let inbox = copy.person("bob").inbox();
    assert_eq!(
        inbox.last().expect("at least one")["encrypted_content"],
        "before the backup"
    );
    let in_the_original = bob.inbox();
    assert!(
        in_the_original.ends_with(&inbox),
        "the backup is a state the store was in"
    );
    assert_eq!(copy.person("carol").inbox(), carol.inbox());
    copy.person("alice").log_in();
}

#[test]
fn a_restore_over_a_running_server_is_refused() {
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let home = TempDir::new().expect("a temporary directory");
    let file = home.path().join("backup.db");
    assert!(command("backup", world.data_dir(), &file).status.success());
    alice.send(&bob, "after the backup");
    let output = command("restore", world.data_dir(), &file);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(bob.inbox().len(), 1);
}

#[test]
fn a_file_that_is_no_backup_is_not_restored() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    world.people(["alice", "bob"]);
    world.person("alice").try_send("bob", "sealed").ok();
    assert!(world.server.stop().success());
    let home = TempDir::new().expect("a temporary directory");
    let file = home.path().join("not a backup");
    for bytes in [
        &b""[..],
        b"nonsense",
        b"SQLite format 3\0 and then nothing of the kind",
    ] {
        std::fs::write(&file, bytes).expect("written");
        let output = command("restore", world.data_dir(), &file);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    let missing = home.path().join("missing");
    assert_eq!(
        command("restore", world.data_dir(), &missing).status.code(),
        Some(1)
    );
    world.restart();
    assert_eq!(world.person("bob").inbox().len(), 1);
}

#[test]
fn a_restore_of_what_is_no_backup_makes_no_data_directory() {
    if skips_sqlite_test() {
        return;
    }
    let home = TempDir::new().expect("a temporary directory");
    let nonsense = home.path().join("nonsense");
    std::fs::write(&nonsense, "nonsense").expect("written");
    let data_dir = home.path().join("data");
    for file in [&nonsense, &home.path().join("missing")] {
        let output = command("restore", &data_dir, file);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!data_dir.exists());
    }
}

#[test]
fn a_backup_that_cannot_be_written_leaves_nothing_behind() {
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    let home = TempDir::new().expect("a temporary directory");
    let output = command(
        "backup",
        world.data_dir(),
        &home.path().join("no/such/directory/backup.db"),
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("no/such/directory; make it"), "{words}");
    let output = command(
        "backup",
        &home.path().join("no data here"),
        &home.path().join("backup.db"),
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let left: Vec<_> = std::fs::read_dir(home.path()).expect("readable").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_cannot_be_looked_at_is_said_so_and_not_called_missing() {
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    let home = TempDir::new().expect("a temporary directory");
    // Another user's directory would do as well, but not for a test that is run by root.
    let endless = home.path().join("endless");
    symlink("endless", &endless).expect("made");
    for (name, data_dir, file) in [
        ("backup", &*endless, home.path().join("backup.db")),
        ("backup", world.data_dir(), endless.clone()),
        ("backup", world.data_dir(), endless.join("backup.db")),
        ("restore", &home.path().join("restored"), endless.clone()),
    ] {
        let output = command(name, data_dir, &file);
        for word in ["endless", "symbolic links"] {
            assert_one_line(&output, word);
        }
    }
}

#[test]
fn a_backup_onto_the_database_itself_is_refused() {
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    alice.send(&bob, "sealed");
    for entry in std::fs::read_dir(world.data_dir()).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "db") {
            let output = command("backup", world.data_dir(), &path);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
        }
    }
    alice.send(&bob, "sealed");
    assert_eq!(bob.inbox().len(), 2);
}

#[test]
fn a_restore_from_a_database_that_is_in_use_is_refused_and_loses_nothing() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    alice.send(&bob, "only in the log");
    world.server.kill();
    let database = world.data_dir().join("sealpost.db");
    let elsewhere = world.home().join("elsewhere");
    for data_dir in [world.data_dir(), elsewhere.as_path()] {
        let output = command("restore", data_dir, &database);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    world.restart();
    assert_eq!(world.person("bob").inbox().len(), 1);
}

#[test]
fn a_backup_replaces_nothing_but_a_backup() {
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    let notes = world.home().join("notes.txt");
    std::fs::write(&notes, "mine").expect("written");
    for target in [&notes, &world.data_dir().join("token.key")] {
        let before = std::fs::read(target).expect("it is there");
        let output = command("backup", world.data_dir(), target);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(std::fs::read(target).expect("still there"), before);
    }
    let file = world.home().join("backup.db");
    for _ in 0..2 {
        let output = command("backup", world.data_dir(), &file);
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn check_finds_a_sound_store_sound_and_a_damaged_one_damaged() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    for n in 0..50 {
        alice.send(&bob, &format!("{n} {}", "x".repeat(5000)));
    }
    assert!(world.server.stop().success());
    let args = ["check", "--port", "0", "--no-chat-room", "--data-dir"];
    let check = |data_dir: &Path| run(&args, &[data_dir]);
    let output = check(world.data_dir());
    assert!(output.status.success(), "{output:?}");
    for entry in std::fs::read_dir(world.data_dir()).expect("readable") {
        let path = entry.expect("an entry").path();
        let mut bytes = std::fs::read(&path).unwrap_or_default();
        if bytes.starts_with(b"SQLite format 3\0") {
            assert!(bytes.len() > 200_000, "{} bytes", bytes.len());
            bytes[8192..]
                .iter_mut()
                .step_by(7)
                .for_each(|byte| *byte = !*byte);
            std::fs::write(&path, bytes).expect("written");
        }
    }
    let output = check(world.data_dir());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("restore"), "says what to do: {said}");
}

#[test]
fn openapi_prints_what_the_server_serves() {
    let output = run(&["openapi"], &[]);
    assert!(output.status.success(), "{output:?}");
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(
        printed["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    let world = World::start();
    assert_eq!(world.get("/openapi.json", &[]).json(), printed);
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell], &[]);
        assert!(
            output.status.success() && !output.stdout.is_empty(),
            "{output:?}"
        );
    }
}

#[test]
fn what_cannot_be_printed_is_an_error_and_a_reader_who_has_enough_is_none() {
    let home = TempDir::new().expect("a temporary directory");
    for args in [
        &["openapi"][..],
        &["openapi", "--mounted"],
        &["completions", "bash"],
        &["server-key"],
        &["check", "--port", "0", "--no-chat-room"],
    ] {
        let run_into = |stdout: Stdio| {
            let mut command = program();
            command.args(args).current_dir(home.path());
            command.stdout(stdout).stderr(Stdio::piped());
            let process = command.spawn().expect("the program runs");
            process.wait_with_output().expect("it ends")
        };
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = run_into(full.expect("Linux has it").into());
        assert_one_line(&output, "standard output");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = run_into(writer.into());
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn help_names_every_command_and_the_version_is_the_crates() {
    let output = run(&["--help"], &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    for name in [
        "serve",
        "backup",
        "restore",
        "check",
        "openapi",
        "completions",
    ] {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
    let output = run(&["--version"], &[]);
    assert!(String::from_utf8_lossy(&output.stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn words_it_does_not_know_are_refused_with_a_hint() {
    for args in [
        &["no-such-command"][..],
        &["serve", "--no-such-flag"],
        &["serve", "--port", "many"],
    ] {
        let output = run(args, &[]);
        assert!(!output.status.success(), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
}
