//! How the agent starts: what it does not need does not stop it, and what it lacks is named.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::operations_start::assert_one_line;
use crate::world::program;

/// An agent that keeps its keys in `data_dir`; its server is away.
fn agent(data_dir: &Path) -> Command {
    let mut command = program();
    command
        .args(["agent", "--server", "http://127.0.0.1:1", "--port", "0"])
        .arg("--data-dir")
        .arg(data_dir)
        .current_dir(data_dir.parent().expect("a parent"));
    command
}

#[test]
fn a_place_where_the_agent_can_keep_no_keys_is_said_in_one_line() {
    let home = TempDir::new().expect("a temporary directory");
    let file = home.path().join("file");
    std::fs::write(&file, "").expect("written");
    let data_dir = file.join("keys");
    let mut command = agent(&data_dir);
    let output = command.current_dir(home.path()).output();
    let output = output.expect("the program runs");
    assert_one_line(&output, &data_dir.display().to_string());
    assert_one_line(&output, "Not a directory");
}
