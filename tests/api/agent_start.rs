//! How the agent starts: what it does not need does not stop it, and what it lacks is named.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use crate::agent_world::{Agent, announced, refused};
use crate::operations_start::assert_one_line;
use crate::relay_stub::{Relay, SOON};
use crate::world::{Process, Reply, ended, program};

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

/// The same, once it has announced itself with its address.
fn started(data_dir: &Path) -> (Process, String) {
    Process::start(&mut agent(data_dir), announced)
}

#[test]
fn settings_of_the_server_do_not_stop_the_agent() {
    let home = TempDir::new().expect("a temporary directory");
    let mut agent = agent(&home.path().join("keys"));
    agent.env("ROCKET_AUTH", "nonsense");
    Process::start(agent.env("ROCKET_PORT", "nonsense"), announced);
}

#[test]
fn a_server_that_does_not_answer_keeps_no_agent_from_its_start() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let started = Instant::now();
    let mut agent = Agent::start(&url);
    agent.stop();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn why_the_server_cannot_be_reached_is_in_the_log_once() {
    let home = TempDir::new().expect("a temporary directory");
    let (mut agent, url) = started(&home.path().join("keys"));
    let body = json!({"username": "alice", "password": "p"});
    for _ in 0..2 {
        let request = crate::world::client().post(format!("{url}/api/login"));
        assert_eq!(Reply::to(request.json(&body)).status, 500);
    }
    agent.stop();
    let log = agent.log();
    assert_eq!(log.matches("Connection refused").count(), 1, "{log}");
}

#[test]
fn a_log_filter_that_cannot_be_meant_is_said_by_the_agent_in_one_line() {
    let home = TempDir::new().expect("a temporary directory");
    let mut command = agent(&home.path().join("keys"));
    let output = ended(command.env("ROCKET_LOG_FILTER", "wrn"));
    assert_one_line(&output, "log_filter");
}

#[test]
fn a_place_where_the_agent_can_keep_no_keys_is_said_in_one_line() {
    let home = TempDir::new().expect("a temporary directory");
    let file = home.path().join("file");
    std::fs::write(&file, "").expect("written");
    let data_dir = file.join("keys");
    let output = ended(agent(&data_dir).current_dir(home.path()));
    assert_one_line(&output, &data_dir.display().to_string());
    assert_one_line(&output, "Not a directory");
}

#[test]
fn a_damaged_pinned_key_is_told_by_its_path_and_in_english() {
    let home = TempDir::new().expect("a temporary directory");
    let data_dir = home.path().join("keys");
    drop(started(&data_dir));
    let place = std::fs::read_dir(&data_dir).expect("readable").next();
    let file = place.expect("one").expect("one").path().join("server.json");
    std::fs::write(&file, "{").expect("written");
    let output = ended(&mut agent(&data_dir));
    assert_one_line(&output, &format!("{} is damaged", file.display()));
    assert!(output.stderr.is_ascii(), "{output:?}");
}

/// The one file of this name below `dir`.
fn found(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("readable");
    entries
        .map(|entry| entry.expect("one").path())
        .find_map(|path| {
            let inside = path.is_dir().then(|| found(&path, name)).flatten();
            inside.or_else(|| path.ends_with(name).then_some(path))
        })
}

#[test]
fn who_cannot_be_told_what_is_unread_logs_in_all_the_same() {
    let relay = Relay::start();
    let mut agent = Agent::start(&relay.url);
    agent.person("alice");
    agent.stop();
    let path = found(agent.home(), "arrivals.sealed").expect("it is there");
    for damaged in [&b"damaged"[..], &[0xff; 100]] {
        std::fs::write(&path, damaged).expect("written");
        agent.start_again();
        agent.login("alice");
        agent.stop();
    }
    let dir = path.parent().expect("a parent");
    let names = std::fs::read_dir(dir).expect("readable");
    let names = names.map(|entry| entry.expect("one").file_name());
    let kept = names.filter(|name| name.to_string_lossy().ends_with(".damaged"));
    assert_eq!(kept.count(), 2);

    let path = found(agent.home(), "users.json").expect("it is there");
    std::fs::write(&path, "{").expect("written");
    agent.start_again();
    let body = json!({"username": "alice", "password": "p"});
    let words = refused(agent.post("/api/login", &body), 500);
    assert!(words.ends_with(&path.display().to_string()), "{words}");
}

#[test]
fn who_can_not_log_in_for_a_damaged_file_of_peers_is_told_to_move_it_away() {
    let relay = Relay::start();
    let mut agent = Agent::start(&relay.url);
    agent.person("alice");
    agent.stop();
    let keys = found(agent.home(), "key.json").expect("it is there");
    let path = keys.with_file_name("peers.sealed");
    std::fs::write(&path, "damaged").expect("written");
    agent.start_again();
    let body = json!({"username": "alice", "password": "p"});
    let words = refused(agent.post("/api/login", &body), 500);
    assert!(words.contains(&path.display().to_string()), "{words}");
    assert!(
        words.contains("移走此文件") && words.contains("公钥会丢失"),
        "{words}"
    );
    std::fs::remove_file(&path).expect("removed");
    agent.login("alice");
}

#[test]
fn of_two_agents_on_one_directory_the_second_is_refused_in_one_line() {
    let home = TempDir::new().expect("a temporary directory");
    let data_dir = home.path().join("keys");
    let _first = started(&data_dir);
    let second = ended(&mut agent(&data_dir));
    let _other = started(&home.path().join("other"));
    assert_one_line(&second, &data_dir.display().to_string());
    assert_one_line(&second, "another agent");
    assert_one_line(&second, "--data-dir");
}
