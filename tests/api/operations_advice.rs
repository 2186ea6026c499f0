//! What keeps the server from starting is said in words of ours: what it is, whose it is, and what
//! to do.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::operations_start::{assert_one_line, serve};
use crate::world::{World, program};

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

#[test]
fn files_of_another_user_are_named_as_theirs() {
    const OTHER: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped files_of_another_user_are_named_as_theirs: only root is several users");
        return;
    }
    let mut world = World::start();
    assert!(world.server.stop().success());
    let url = world.database().map(crate::world::OwnDatabase::url);
    let for_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(world.home(), for_all).expect("set");
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(OTHER), None).expect("given");
    give(world.data_dir());
    for name in ["lock", "sealpost.db", "token.key", "server.key"] {
        let path = world.data_dir().join(name);
        if !path.exists() {
            continue;
        }
        let id = OTHER.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        command.arg(program().get_program());
        command.args(["serve", "--no-chat-room", "--port", "0", "--data-dir"]);
        command.arg(world.data_dir()).current_dir("/");
        if let Some(url) = url {
            command.args(["--database-url", url]);
        }
        let output = command.output().expect("setpriv runs");
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
        let output = program()
            .args([command, "--address", "192.0.2.1", "--port", "0"])
            .args(["--no-chat-room", "--data-dir"])
            .arg(home.path().join(command))
            .output()
            .expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("this machine has no such address"), "{said}");
        assert!(!said.contains("stop what uses it"), "{said}");
    }
}
