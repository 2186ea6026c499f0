//! What keeps the server from starting is said in words of ours: what it is, whose it is, and what
//! to do.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::operations_check::problems_in;
use crate::operations_start::{assert_one_line, serve};
use crate::world::{World, ended, program, skipped, skips_sqlite_test};

#[test]
fn a_file_in_the_place_of_the_data_directory_is_said_in_one_line() {
    let home = TempDir::new().expect("a temporary directory");
    let file = home.path().join("a file");
    std::fs::write(&file, "").expect("written");
    let expected = format!("{} is not a directory", file.display());
    assert_one_line(&serve(&file, "0", None), &expected);
}

#[test]
fn a_key_of_the_server_that_is_none_is_said_in_words() {
    let mut world = World::start();
    assert!(world.server.stop().success());
    let key = world.data_dir().join("server.key");
    std::fs::write(&key, "no key").expect("written");
    let url = world.database().map(crate::world::OwnDatabase::url);
    let output = serve(world.data_dir(), "0", url);
    assert_one_line(&output, "server.key cannot be used: it holds no RSA key");
}

/// Nobody, on most systems.
const OTHER: u32 = 65_534;

/// Whether the tests run as somebody who cannot be several users, so that the caller is skipped.
fn skips_without_root() -> bool {
    let skips = !rustix::process::geteuid().is_root();
    if skips {
        skipped("only root is several users");
    }
    skips
}

/// The program, run as [`OTHER`].
fn as_other_user(args: &[&str]) -> Command {
    let id = OTHER.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    command.arg(program().get_program()).args(args);
    command.current_dir("/");
    command
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode).expect("set");
}

fn give(path: &Path) {
    std::os::unix::fs::chown(path, Some(OTHER), None).expect("given");
}

/// A world that has ended, in a place that everybody may enter.
fn ended_world() -> World {
    let mut world = World::start();
    assert!(world.server.stop().success());
    set_mode(world.home(), 0o755);
    world
}

/// What `check`, run as [`OTHER`], finds wrong: each problem and what to do about it.
fn problems(data_dir: &Path) -> Vec<(String, String)> {
    let mut check = as_other_user(&["check", "--port", "0", "--no-chat-room", "--data-dir"]);
    let output = check.arg(data_dir).output().expect("setpriv runs");
    problems_in(&output)
}

const GIVE: &str = "give it to the user that runs sealpost";

#[test]
fn a_data_directory_of_another_user_is_named_as_theirs() {
    if skips_without_root() {
        return;
    }
    let world = ended_world();
    let data_dir = world.data_dir();
    for args in [
        &["serve", "--no-chat-room", "--port", "0"][..],
        &["backup", "/never-made.db"],
    ] {
        let mut command = as_other_user(args);
        command.arg("--data-dir").arg(data_dir);
        let output = ended(&mut command);
        assert_one_line(&output, &data_dir.display().to_string());
        assert_one_line(&output, "cannot ");
        assert_one_line(&output, "belongs to another user (id 0)");
    }
    let found = problems(data_dir);
    assert_eq!(found.len(), 1, "one cause, said once: {found:?}");
    let (text, advice) = &found[0];
    assert!(
        text.ends_with("it belongs to another user (id 0)"),
        "{text}"
    );
    assert_eq!(advice, GIVE);
    let beside = world.home().join("new");
    let mut serve = as_other_user(&["serve", "--no-chat-room", "--port", "0", "--data-dir"]);
    let output = ended(serve.arg(beside));
    let home = world.home().display();
    assert_one_line(&output, &format!("; {home} belongs to another user (id 0)"));
}

#[test]
fn files_of_another_user_are_to_be_given_away_and_not_restored() {
    if skips_without_root() {
        return;
    }
    let world = ended_world();
    give(world.data_dir());
    let found = problems(world.data_dir());
    assert!(found.len() > 3, "{found:?}");
    for (text, advice) in &found {
        assert!(text.contains("(id 0)"), "{text}");
        assert_eq!(advice, GIVE, "{text}");
    }
    let of_database = found
        .iter()
        .filter(|(text, _)| text.contains("sealpost.db"));
    assert!(of_database.count() <= 1, "once: {found:?}");
}

#[test]
fn a_directory_that_takes_no_file_is_said_in_one_line() {
    // On PostgreSQL nothing is written beside the uploads.
    if skips_sqlite_test() || skips_without_root() {
        return;
    }
    let world = ended_world();
    for entry in std::fs::read_dir(world.data_dir()).expect("readable") {
        give(&entry.expect("an entry").path());
    }
    give(world.data_dir());
    set_mode(world.data_dir(), 0o500);
    let mut serve = as_other_user(&["serve", "--no-chat-room", "--port", "0", "--data-dir"]);
    let output = ended(serve.arg(world.data_dir()));
    let data_dir = world.data_dir().display();
    assert_one_line(
        &output,
        &format!("cannot write to the directory {data_dir}"),
    );
    let found = problems(world.data_dir());
    assert_eq!(found.len(), 1, "one cause, said once: {found:?}");
}

#[test]
fn files_of_another_user_are_named_as_theirs() {
    if skips_without_root() {
        return;
    }
    let world = ended_world();
    let url = world.database().map(crate::world::OwnDatabase::url);
    give(world.data_dir());
    for name in ["lock", "sealpost.db", "token.key", "server.key"] {
        let path = world.data_dir().join(name);
        if !path.exists() {
            continue;
        }
        let mut serve = as_other_user(&["serve", "--no-chat-room", "--port", "0", "--data-dir"]);
        serve.arg(world.data_dir());
        if let Some(url) = url {
            serve.args(["--database-url", url]);
        }
        let output = ended(&mut serve);
        assert_one_line(&output, &path.display().to_string());
        assert_one_line(&output, "it belongs to another user (id 0)");
        give(&path);
    }
}

#[test]
fn an_address_of_another_machine_is_told_from_a_port_that_is_taken() {
    let home = TempDir::new().expect("a temporary directory");
    for command in ["serve", "check"] {
        // An address of a network that is for documentation only.
        let output = ended(
            program()
                .args([command, "--address", "192.0.2.1", "--port", "0"])
                .args(["--no-chat-room", "--data-dir"])
                .arg(home.path().join(command)),
        );
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("this machine has no such address"), "{said}");
        assert!(!said.contains("stop what uses it"), "{said}");
    }
}
