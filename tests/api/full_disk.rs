//! A disk that is full, a file that may not grow, a store that may not be written.
//!
//! In each: an error instead of an acknowledgement, `/readyz` 503, reads go on, and after the cause
//! is gone, with a restart at most, everything acknowledged is there and nothing else.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::chat8::{Someone, data, refused};
use crate::world::{Reply, Setup, World, program, skips_postgres_test, skips_sqlite_test};

/// A mount namespace of our own.
pub(crate) struct OwnMounts(Child);

impl OwnMounts {
    /// One with `mount` done in it; `None`, said on stderr, where that is not allowed.
    pub(crate) fn new(mount: &str) -> Option<Self> {
        let script = format!("{mount} && echo mounted && exec sleep infinity");
        let holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut holder) = holder else {
            crate::world::skipped("there is no `unshare`");
            return None;
        };
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("stdout is piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("a pipe is readable");
        let mounts = Self(holder);
        if line.trim() == "mounted" {
            return Some(mounts);
        }
        crate::world::skipped("this user may not mount");
        None
    }

    /// The command line that enters these mounts.
    pub(crate) fn wrapper(&self) -> [String; 5] {
        let pid = self.0.id().to_string();
        ["nsenter", "--target", &pid, "--mount", "--wd=."].map(str::to_owned)
    }

    fn run(&self, command: &str) {
        let wrapper = self.wrapper();
        let status = Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .args(["sh", "-c", command])
            .status();
        assert!(status.expect("nsenter runs").success(), "{command}");
    }
}

impl Drop for OwnMounts {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Sends contents of some `bytes` until the server refuses; returns those it acknowledged.
fn send_until_refused(world: &World, bytes: usize) -> BTreeSet<String> {
    let alice = world.person("alice");
    let padding = "x".repeat(bytes);
    let mut acknowledged = BTreeSet::new();
    for number in 0..10_000 {
        let content = format!("{number} {padding}");
        let reply = alice.try_send("bob", &content);
        if reply.status != 200 {
            assert_refused(&reply);
            return acknowledged;
        }
        acknowledged.insert(content);
    }
    panic!("the disk never filled up");
}

/// Sends twenty messages that are acknowledged.
fn send_a_few(world: &World) -> BTreeSet<String> {
    let contents: BTreeSet<String> = (0..20).map(|n| format!("before {n}")).collect();
    for content in &contents {
        world.person("alice").try_send("bob", content).ok();
    }
    contents
}

fn assert_refused(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
    reply.error(503);
}

/// A server that cannot write says so, unless it has chosen to end.
fn assert_not_ready(world: &World) {
    match Reply::try_to(world.request(Method::GET, "/readyz")) {
        Ok(reply) => {
            assert_eq!(reply.status, 503, "{reply:?}");
            assert_eq!(world.get("/healthz", &[]).status, 200, "it lives");
        }
        Err(gone) => assert!(gone.is_connect(), "{gone}"),
    }
}

fn inbox_of_bob(world: &World) -> BTreeSet<String> {
    let inbox = world.person("bob").inbox();
    let contents: BTreeSet<String> = inbox
        .iter()
        .filter_map(|item| item["encrypted_content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(contents.len(), inbox.len(), "each once");
    contents
}

fn assert_whole(world: &World, acknowledged: &BTreeSet<String>) {
    let found = inbox_of_bob(world);
    assert_eq!(
        found.len(),
        acknowledged.len(),
        "as many as were acknowledged"
    );
    assert!(
        found == *acknowledged,
        "what was acknowledged, and nothing else"
    );
}

/// After the cause is gone, the server or its successor takes messages again.
fn assert_recovers(world: &mut World, acknowledged: &BTreeSet<String>) {
    world.restart();
    assert_whole(world, acknowledged);
    assert_eq!(world.get("/readyz", &[]).status, 200);
    world.person("alice").try_send("bob", "written again").ok();
    assert_eq!(inbox_of_bob(world).len(), acknowledged.len() + 1);
}

#[test]
fn a_full_disk_acknowledges_nothing_and_loses_nothing() {
    if skips_sqlite_test() {
        return;
    }
    let home = TempDir::new().expect("a temporary directory");
    let disk = home.path().join("disk");
    std::fs::create_dir(&disk).expect("a directory");
    let disk_path = disk.display();
    let Some(mounts) = OwnMounts::new(&format!("mount -t tmpfs -o size=12m none {disk_path}"))
    else {
        return;
    };
    let wrapper = mounts.wrapper();
    let setup = Setup::new().through(&wrapper.each_ref().map(String::as_str));
    let mut world = setup.start_on(home, disk.join("data"));
    world.people(["alice", "bob"]);
    let mut acknowledged = send_until_refused(&world, 256 << 10);
    // What has no room for much may have room for little.
    acknowledged.append(&mut send_until_refused(&world, 1));
    assert!(!acknowledged.is_empty(), "12 MiB hold a few messages");
    assert_not_ready(&world);
    assert_refused_or_gone(&world);
    world.server.stop();
    mounts.run(&format!("mount -o remount,size=64m none {disk_path}"));
    assert_recovers(&mut world, &acknowledged);
}

#[test]
fn an_upload_that_finds_no_room_is_told_to_come_back_and_leaves_nothing_behind() {
    let home = TempDir::new().expect("a temporary directory");
    let disk = home.path().join("disk");
    std::fs::create_dir(&disk).expect("a directory");
    let mount = format!("mount -t tmpfs -o size=24m none {}", disk.display());
    let Some(mounts) = OwnMounts::new(&mount) else {
        return;
    };
    let wrapper = mounts.wrapper();
    let setup = Setup::new().through(&wrapper.each_ref().map(String::as_str));
    let world = setup.start_on(home, disk.join("data"));
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let reply = alice.upload(&bob, "too large", &vec![b'x'; 32 << 20]);
    refused(&reply, 503, "INTERNAL");
    assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
    let uploads = disk.join("data/uploads");
    mounts.run(&format!("test -z \"$(ls {})\"", uploads.display()));
    data(&alice.upload(&bob, "small", b"x"));
}

fn assert_refused_or_gone(world: &World) {
    let body = world.person("alice").letter("bob", "not this one");
    if let Ok(reply) = Reply::try_to(world.request(Method::POST, "/messages/send").json(&body)) {
        assert_refused(&reply);
    }
}

/// Sets how large a file of the server may grow (`unlimited` or bytes).
fn limit_file_size(world: &World, limit: &str) {
    let status = Command::new("prlimit")
        .args([
            "--pid",
            &world.server.pid().to_string(),
            &format!("--fsize={limit}:"),
        ])
        .status();
    assert!(status.expect("prlimit runs").success());
}

#[test]
fn files_that_may_not_grow_acknowledge_nothing_and_lose_nothing() {
    if skips_sqlite_test() {
        return;
    }
    // Without the trap the signal of the limit would kill the server before it saw an error.
    let wrapper = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
    let mut world = Setup::new().through(&wrapper).start();
    world.people(["alice", "bob"]);
    let acknowledged = send_a_few(&world);
    limit_file_size(&world, "4096");
    assert_refused(&world.person("alice").try_send("bob", "not this one"));
    assert_not_ready(&world);
    assert_eq!(inbox_of_bob(&world), acknowledged, "reads go on");
    limit_file_size(&world, "unlimited");
    assert_recovers(&mut world, &acknowledged);
}

#[test]
fn a_database_that_becomes_read_only_acknowledges_nothing_and_loses_nothing() {
    // On SQLite the limit of file size and the read-only directory show the same.
    if skips_postgres_test() {
        return;
    }
    let mut world = World::start();
    world.people(["alice", "bob"]);
    let acknowledged = send_a_few(&world);
    let database = world.database().expect("it is on PostgreSQL");
    database.set_read_only(true);
    assert_refused(&world.person("alice").try_send("bob", "not this one"));
    assert_not_ready(&world);
    assert_eq!(inbox_of_bob(&world), acknowledged, "reads go on");
    database.set_read_only(false);
    assert_recovers(&mut world, &acknowledged);
}

#[test]
fn a_database_server_that_has_dropped_every_connection_is_used_again_by_readers_alone() {
    if skips_postgres_test() {
        return;
    }
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    alice.send(&bob, "sealed");
    let database = world.database().expect("it is on PostgreSQL");
    database.end_connections();
    // What was never prepared on the old connections; it may fail once on each.
    let path = "/messages/outbox?user_id=alice&limit=5&before=100";
    let answered = (0..20).any(|_| world.get(path, &[]).status == 200);
    assert!(answered, "{:?}", world.get(path, &[]));
}

#[test]
fn data_on_a_read_only_disk_is_refused_at_start_in_one_line() {
    if skips_sqlite_test() {
        return;
    }
    let home = TempDir::new().expect("a temporary directory");
    let data_dir = home.path().join("data");
    let mut world = Setup::new().start_on(home, data_dir.clone());
    world.people(["alice", "bob"]);
    world.person("alice").try_send("bob", "sealed").ok();
    assert!(world.server.stop().success());
    let path = data_dir.display();
    let mount = format!("mount --bind {path} {path} && mount -o remount,bind,ro {path}");
    if let Some(mounts) = OwnMounts::new(&mount) {
        assert_start_is_refused(&mounts.wrapper(), &data_dir);
    }
    world.restart();
    assert_eq!(world.person("bob").inbox().len(), 1);
}

#[test]
fn a_database_that_may_only_be_read_is_refused_at_start_in_one_line() {
    if skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    assert!(world.server.stop().success());
    let file = world.data_dir().join("sealpost.db");
    let path = file.display();
    let mount = format!("mount --bind {path} {path} && mount -o remount,bind,ro {path}");
    if let Some(mounts) = OwnMounts::new(&mount) {
        assert_start_is_refused(&mounts.wrapper(), world.data_dir());
    }
}

fn assert_start_is_refused(wrapper: &[String], data_dir: &Path) {
    let serve = ["serve", "--port", "0", "--no-chat-room"];
    assert_refused_naming(data_dir, &run(wrapper, &serve, data_dir, &[]));
}

/// Runs the program behind `wrapper` to its end.
pub(crate) fn run(wrapper: &[String], args: &[&str], data_dir: &Path, files: &[&Path]) -> Output {
    let mut command = Command::new(&wrapper[0]);
    command.args(&wrapper[1..]).arg(program().get_program());
    command.args(args).arg("--data-dir").arg(data_dir);
    let command = command.args(files).env_remove("DATABASE_URL");
    crate::world::ended(command)
}

fn assert_refused_naming(path: &Path, output: &Output) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.trim().lines().count(), 1, "one clear line: {text}");
    let path = path.display().to_string();
    assert!(text.contains(&path), "names {path}: {text}");
}

#[test]
fn a_backup_or_restore_without_room_names_the_file_and_the_cause() {
    if skips_sqlite_test() {
        return;
    }
    let home = TempDir::new().expect("a temporary directory");
    let disk = home.path().join("disk");
    std::fs::create_dir(&disk).expect("a directory");
    let mount = format!("mount -t tmpfs -o size=32k none {}", disk.display());
    let Some(mounts) = OwnMounts::new(&mount) else {
        return;
    };
    let world = World::start();
    let run = |command: &str, data_dir: &Path, file: &Path| {
        run(&mounts.wrapper(), &[command], data_dir, &[file])
    };
    let backup = world.home().join("backup.db");
    assert!(run("backup", world.data_dir(), &backup).status.success());
    let data_dir = disk.join("data");
    for (output, path) in [
        (run("restore", &data_dir, &backup), &data_dir),
        (run("backup", world.data_dir(), &disk.join("b")), &disk),
    ] {
        assert_refused_naming(path, &output);
        let text = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(text.contains("full") || text.contains("no space"), "{text}");
    }
    mounts.run(&format!(
        "test -z \"$(find {} -name '*partial*')\"",
        disk.display()
    ));
}

#[test]
fn readiness_and_health_are_told_apart() {
    let world = World::start();
    assert_eq!(world.get("/healthz", &[]).status, 200);
    assert_eq!(world.get("/readyz", &[]).status, 200);
    let body = json!({"user_id": "nobody", "receiver_id": "nobody", "encrypted_content": "sealed"});
    world.post("/messages/send", &body).error(404);
    assert_eq!(
        world.get("/readyz", &[]).status,
        200,
        "a caller's mistake is not the store's"
    );
}
