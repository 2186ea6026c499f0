//! `check` finds what `serve` would not start with, and changes nothing of it.

use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::full_disk::{self, OwnMounts};
use crate::operations_advice::set_mode;
use crate::world::{
    OwnDatabase, World, ended, free_port, program, skips_postgres_test, skips_sqlite_test,
};

/// `check` and then `serve` as `prepare` has them run; neither may be content, and `check` says
/// `word`.
fn assert_neither_is_content(word: &str, prepare: impl Fn(&mut Command)) {
    for command in ["check", "serve"] {
        let mut program = program();
        program.arg(command);
        prepare(&mut program);
        let output = ended(&mut program);
        assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
        if command == "check" {
            assert_says(word, &output);
        }
    }
}

/// In what is wrong, or what is to be done about it.
fn assert_says(word: &str, output: &Output) {
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let mut bad = said.lines().filter(|line| !line.starts_with("ok "));
    assert!(bad.any(|line| line.contains(word)), "says {word}: {said}");
}

/// Each problem that `check` has found, with what it says is to be done about it.
pub(crate) fn problems_in(output: &Output) -> Vec<(String, String)> {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    let problem = |rest: &str| {
        let (text, rest) = rest.split_once("\n        -> ").expect("an advice");
        let advice = rest.lines().next().expect("a line");
        (text.to_owned(), advice.to_owned())
    };
    said.split("PROBLEM ").skip(1).map(problem).collect()
}

/// `--data-dir`, free ports, no TCP.
fn on(data_dir: &Path) -> impl Fn(&mut Command) {
    move |command| {
        let args = ["--port", "0", "--no-chat-room", "--data-dir"];
        command.args(args).arg(data_dir);
    }
}

/// A directory for its owner alone, as the server makes it.
fn make_private_dir(path: &Path) {
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).create(path).expect("made");
}

#[test]
fn a_file_that_keeps_the_server_from_starting_is_found() {
    let home = TempDir::new().expect("a temporary directory");
    for (number, (name, bytes)) in [
        ("token.key", Some("short")),
        ("token.key", None),
        ("server.key", Some("no key")),
        ("server.key", Some("")),
        ("server.key", None),
        ("uploads", Some("")),
        ("lock", None),
    ]
    .into_iter()
    .enumerate()
    {
        let data_dir = home.path().join(number.to_string());
        make_private_dir(&data_dir);
        let path = data_dir.join(name);
        match bytes {
            Some(bytes) => std::fs::write(&path, bytes).expect("written"),
            None => std::fs::create_dir(&path).expect("made"),
        }
        let word = if name == "lock" { "the lock" } else { name };
        assert_neither_is_content(word, on(&data_dir));
        assert_eq!(
            std::fs::read(&path).ok().as_deref(),
            bytes.map(str::as_bytes)
        );
    }
}

#[test]
fn a_data_directory_that_cannot_be_had_is_found() {
    let home = TempDir::new().expect("a temporary directory");
    let link = home.path().join("link");
    symlink("nothing", &link).expect("made");
    assert_neither_is_content("link", on(&link));
    assert_neither_is_content("data_dir", |command| {
        command.env("ROCKET_DATA_DIR", "").current_dir(home.path());
    });
    let gone = "mkdir gone && cd gone && rmdir ../gone && exec \"$0\" check";
    let output = ended(
        Command::new("sh")
            .args(["-c", gone])
            .arg(program().get_program())
            .current_dir(home.path()),
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_says("working directory", &output);
}

#[test]
fn a_database_that_cannot_be_looked_at_is_found() {
    if skips_sqlite_test() {
        return;
    }
    let home = TempDir::new().expect("a temporary directory");
    let data_dir = home.path().join("data");
    make_private_dir(&data_dir);
    symlink("sealpost.db", data_dir.join("sealpost.db")).expect("made");
    assert_neither_is_content("symbolic links", on(&data_dir));
}

#[test]
fn a_certificate_that_cannot_be_used_is_found() {
    let home = TempDir::new().expect("a temporary directory");
    let junk = home.path().join("junk.pem");
    std::fs::write(&junk, "no PEM").expect("written");
    for file in [&junk, &home.path().join("missing.pem")] {
        let path = file.display();
        let tls = format!("{{certs=\"{path}\",key=\"{path}\"}}");
        assert_neither_is_content("chat_room.tls", |command| {
            let args = ["--port", "0", "--chat-room-port", "0", "--data-dir"];
            command.args(args).arg(home.path().join("data"));
            command.env("ROCKET_CHAT_ROOM__TLS", &tls);
        });
    }
}

#[test]
fn a_port_that_is_named_twice_is_found() {
    let port = free_port().to_string();
    let home = TempDir::new().expect("a temporary directory");
    for flag in ["--port", "--chat-room-port"] {
        assert_neither_is_content(&port, |command| {
            command.args(["--port", &port, flag, &port, "--data-dir"]);
            command.arg(home.path().join("data"));
        });
    }
}

#[test]
fn a_port_of_another_program_is_found() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let home = TempDir::new().expect("a temporary directory");
    for (flag, args) in [
        ("--port", ["--no-chat-room", "--port", &port]),
        ("--chat-room-port", ["--port=0", "--chat-room-port", &port]),
    ] {
        let prepare = |command: &mut Command| {
            command
                .args(args)
                .arg("--data-dir")
                .arg(home.path().join("data"));
        };
        assert_neither_is_content(&port, prepare);
        let mut check = program();
        prepare(check.arg("check"));
        let found = problems_in(&check.output().expect("the program runs"));
        let advice = format!("stop what uses it, or choose another {flag}");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].1, advice);
    }
}

#[test]
fn files_that_others_may_read_are_found_and_the_advice_makes_them_private() {
    let mut world = World::start();
    assert!(world.server.stop().success());
    let data_dir = world.data_dir();
    set_mode(data_dir, 0o755);
    let names = ["token.key", "server.key", "sealpost.db"].into_iter();
    let names = names.filter(|name| data_dir.join(name).exists());
    let place = |name: &str| data_dir.join(name).display().to_string();
    let expected: Vec<_> = names
        .map(|name| {
            set_mode(&data_dir.join(name), 0o644);
            let advice = format!(
                "chmod 700 {} && chmod 600 {}",
                data_dir.display(),
                place(name)
            );
            (format!("{name} can be read by other users"), advice)
        })
        .collect();
    let check = || {
        let mut command = program();
        on(data_dir)(command.arg("check"));
        let url = world.database().map(OwnDatabase::url);
        command.args(url.into_iter().flat_map(|url| ["--database-url", url]));
        command.output().expect("the program runs")
    };
    assert_eq!(problems_in(&check()), expected);
    for (_, advice) in expected {
        let status = Command::new("sh").args(["-c", &advice]).status();
        assert!(status.expect("sh runs").success(), "{advice}");
    }
    let output = check();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_disk_with_little_room_is_found() {
    let home = TempDir::new().expect("a temporary directory");
    let disk = home.path();
    let mount = format!("mount -t tmpfs -o size=12m none {}", disk.display());
    let Some(mounts) = OwnMounts::new(&mount) else {
        return;
    };
    let little = "12 MiB of disk are free".to_owned();
    let expected = [(little, "free some space or move the data".to_owned())];
    for data_dir in [disk, &disk.join("not yet")] {
        let args = ["check", "--port", "0", "--no-chat-room"];
        let output = full_disk::run(&mounts.wrapper(), &args, data_dir, &[]);
        assert_eq!(problems_in(&output), expected);
    }
}

#[test]
fn a_newer_or_foreign_schema_on_postgresql_is_found() {
    if skips_postgres_test() {
        return;
    }
    let mut world = World::start();
    assert!(world.server.stop().success());
    let database = world.database().expect("it is on PostgreSQL");
    let with_url = |command: &mut Command| {
        on(world.data_dir())(command);
        command.args(["--database-url", OwnDatabase::url(database)]);
    };
    let version = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231235959')";
    database.run(version);
    assert_neither_is_content("99991231235959", with_url);
    // Other programs keep theirs in a table of the same name.
    database.run("DELETE FROM __diesel_schema_migrations WHERE version < '9'");
    assert_neither_is_content("another program", with_url);
}
