//! Starting and ending: what stands in the way is said in one line, and nothing is damaged.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use reqwest::Method;
use tempfile::TempDir;

use crate::chat8::Someone;
use crate::world::{Reply, Setup, World, free_port, program};

/// Runs `serve` to its end, which must come by itself.
pub(crate) fn serve(data_dir: &Path, port: &str, database_url: Option<&str>) -> Output {
    let mut command: Command = program();
    command
        .args(["serve", "--no-chat-room", "--port", port, "--data-dir"])
        .arg(data_dir);
    if let Some(url) = database_url {
        command.args(["--database-url", url]);
    }
    crate::world::ended(command.current_dir(data_dir.parent().expect("a parent")))
}

/// One clear line on stderr that holds `word`, and exit code 1.
pub(crate) fn assert_one_line(output: &Output, word: &str) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.trim().lines().count(), 1, "one line: {text}");
    assert!(text.contains(word), "says {word:?}: {text}");
}

#[test]
fn the_start_says_where_it_listens_where_the_data_is_and_what_guards_it() {
    let world = World::start();
    let data_dir = world.data_dir().display().to_string();
    for word in [&world.url(""), &data_dir, "protected"] {
        world.server.wait_for_line(|line| line.contains(word));
    }
}

#[test]
fn a_taken_port_is_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let home = TempDir::new().expect("a temporary directory");
    let world = World::start();
    let url = world
        .database()
        .map(|_| crate::world::OwnDatabase::create_if_asked().expect("asked"));
    let url = url.as_ref().map(crate::world::OwnDatabase::url);
    assert_one_line(&serve(&home.path().join("data"), &port, url), &port);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_said_in_one_line() {
    let home = TempDir::new().expect("a temporary directory");
    let file = home.path().join("a file");
    std::fs::write(&file, "not a directory").expect("written");
    let data_dir = file.join("data");
    let output = crate::world::ended(
        program()
            .args(["serve", "--no-chat-room", "--port", "0", "--data-dir"])
            .arg(&data_dir)
            .current_dir(home.path()),
    );
    assert_one_line(&output, &data_dir.display().to_string());
    assert_eq!(
        std::fs::read_to_string(&file).expect("still there"),
        "not a directory"
    );
}

#[test]
fn a_spoilt_token_key_is_said_in_one_line_and_not_replaced() {
    let mut world = World::start();
    assert!(world.server.stop().success());
    let key = world.data_dir().join("token.key");
    std::fs::write(&key, "short").expect("written");
    let url = world.database().map(crate::world::OwnDatabase::url);
    assert_one_line(&serve(world.data_dir(), "0", url), "token.key");
    assert_eq!(std::fs::read(&key).expect("still there"), b"short");
}

#[test]
fn settings_that_cannot_be_meant_are_said_in_one_line() {
    let home = tempfile::tempdir().expect("a directory");
    for (name, value, says) in [
        (
            "ROCKET_CONFIG",
            "/nowhere/Rocket.toml",
            "/nowhere/Rocket.toml",
        ),
        ("ROCKET_PORT", "abc", "PORTS"),
        ("ROCKET_LOG_FILTER", "wrn", "log_filter"),
        (
            "ROCKET_QUEUE_CAPACITY",
            "18446744073709551615",
            "queue_capacity",
        ),
        (
            "ROCKET_TOKEN_LIFETIME_SECS",
            "9223372036854775807",
            "token_lifetime_secs",
        ),
        (
            "ROCKET_CHAT_ROOM__MAX_CONNECTIONS",
            "18446744073709551615",
            "max_connections",
        ),
        (
            "ROCKET_CHAT_ROOM__MAX_CONNECTIONS",
            "0",
            "chat_room.max_connections must be from 1",
        ),
        ("ROCKET_WORKERS", "18446744073709551615", "workers"),
        (
            "ROCKET_MAX_UPLOAD_BYTES",
            "18446744073709551615",
            "max_upload_bytes",
        ),
    ] {
        let output = crate::world::ended(
            program()
                // Settings are read alike for every command, and this one ends.
                .args(["check", "--data-dir"])
                .arg(home.path().join("data"))
                .env(name, value)
                .current_dir(home.path()),
        );
        assert_one_line(&output, says);
    }
}

#[test]
fn a_second_process_on_the_same_data_is_refused_and_the_first_goes_on() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let url = world.database().map(crate::world::OwnDatabase::url);
    let output = serve(world.data_dir(), "0", url);
    assert_one_line(&output, &world.data_dir().display().to_string());
    alice.send(&bob, "the first is unharmed");
    assert_eq!(bob.inbox().len(), 1);
}

#[test]
fn what_the_server_keeps_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let world = World::start();
    let directory = std::fs::metadata(world.data_dir()).expect("it is there");
    assert_eq!(
        directory.permissions().mode() & 0o077,
        0,
        "nobody else enters"
    );
}

#[test]
fn in_a_directory_that_others_enter_each_file_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = TempDir::new().expect("a temporary directory");
    let data_dir = home.path().join("data");
    std::fs::create_dir(&data_dir).expect("made");
    let for_all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&data_dir, for_all).expect("set");
    let world = Setup::new().start_on(home, data_dir);
    world.register("alice");
    for entry in std::fs::read_dir(world.data_dir()).expect("there") {
        let entry = entry.expect("readable");
        let meta = entry.metadata().expect("there");
        if meta.is_file() && entry.file_name() != "lock" {
            let for_others = meta.permissions().mode() & 0o077;
            assert_eq!(for_others, 0, "{}", entry.path().display());
        }
    }
}

#[test]
fn the_orderly_end_keeps_everything_and_exits_with_0() {
    for signal in ["TERM", "INT", "HUP"] {
        let mut world = World::start();
        world.people(["alice", "bob"]);
        world.person("alice").try_send("bob", "sealed").ok();
        world.server.signal(signal);
        assert_eq!(
            world.server.wait().code(),
            Some(0),
            "{}",
            world.server.log()
        );
        world.restart();
        assert_eq!(world.person("bob").inbox().len(), 1);
    }
}

#[test]
fn a_server_that_is_to_outlive_its_terminal_does() {
    let mut world = Setup::new().through(&["nohup"]).start();
    world.server.signal("HUP");
    world.register("alice");
    assert!(world.server.stop().success());
}

#[test]
fn the_orderly_end_takes_ten_seconds_at_most_whoever_is_still_there() {
    let mut world = World::start();
    // A client that does not answer when it is told to go.
    let socket = Someone::new(&world, "alice").connect();
    let stream = world
        .request(Method::GET, "/messages/stream?user_id=alice")
        .send();
    assert_eq!(stream.as_ref().expect("it answers").status(), 200);
    let idle = world.connect();
    let unfinished = begin_request(world.connect());
    let waiting = {
        let request = world.request(Method::GET, "/messages/inbox?user_id=alice&after=0&wait=60");
        std::thread::spawn(move || drop(Reply::try_to(request)))
    };
    world.wait_until_live("message_store_inbox");
    world.server.signal("TERM");
    let status = world.server.wait_at_most(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{}", world.server.log());
    waiting.join().expect("no panic");
    drop((socket, stream, idle, unfinished));
}

/// A request that the server has begun to read, and will wait for the rest of.
fn begin_request(mut stream: TcpStream) -> TcpStream {
    let head = "POST /messages/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\
                Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it is taken");
    let mut line = String::new();
    let mut reader = BufReader::new(&stream);
    reader.read_line(&mut line).expect("it answers");
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
    stream
}

#[test]
fn the_orderly_end_does_not_wait_for_a_log_that_nobody_reads() {
    let home = TempDir::new().expect("a temporary directory");
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let mut server = program()
        .args(["serve", "--no-chat-room", "--port", "0"])
        .current_dir(home.path())
        .stdout(Stdio::piped())
        .stderr(writer)
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("a line").expect("a text");
    let url = first.split_whitespace().find(|word| word.contains("http"));
    let url = format!("{}/healthz", url.expect("an address"));
    let http = crate::world::client();
    // More than any pipe holds.
    for _ in 0..1_500 {
        assert_eq!(Reply::to(http.get(&url)).status, 200);
    }
    let pid = rustix::process::Pid::from_child(&server);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    assert!(crate::world::end_of(server).status.success());
}

#[test]
fn what_is_answered_during_the_orderly_end_is_kept() {
    let mut world = World::start();
    world.people(["alice", "bob"]);
    let (ack, heard) = std::sync::mpsc::channel();
    let acknowledged: Vec<String> = std::thread::scope(|scope| {
        let world = &world;
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let ack = ack.clone();
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    loop {
                        let content = format!("{sender}-{}", acknowledged.len());
                        let body = world.person("alice").letter("bob", &content);
                        let request = world.request(Method::POST, "/messages/send").json(&body);
                        match Reply::try_to(request) {
                            Ok(reply) if reply.status == 200 => acknowledged.push(content),
                            _ => return acknowledged,
                        }
                        // The counting end goes away once it has heard enough.
                        let _ = ack.send(());
                    }
                })
            })
            .collect();
        drop(ack);
        heard.iter().take(100).for_each(drop);
        world.server.signal("TERM");
        senders
            .into_iter()
            .flat_map(|sender| sender.join().expect("no panic"))
            .collect()
    });
    assert_eq!(
        world.server.wait().code(),
        Some(0),
        "{}",
        world.server.log()
    );
    world.restart();
    let inbox = world.person("bob").inbox();
    let mut found: Vec<&str> = inbox
        .iter()
        .filter_map(|item| item["encrypted_content"].as_str())
        .collect();
    found.sort_unstable();
    for content in &acknowledged {
        assert!(
            found.binary_search(&content.as_str()).is_ok(),
            "{content} was acknowledged and is lost"
        );
    }
}

#[test]
fn the_settings_of_rocket_toml_are_read() {
    let home = TempDir::new().expect("a temporary directory");
    std::fs::write(
        home.path().join("Rocket.toml"),
        "[default]\nauth = \"token\"\n",
    )
    .expect("written");
    let data_dir = home.path().join("data");
    let world = Setup::new().start_on(home, data_dir);
    assert!(world.home().join("Rocket.toml").exists());
    let alice = world.register("alice");
    alice.list("/messages/inbox", &[]).error(401);
}

#[test]
fn nothing_but_our_own_lines_is_printed_however_many_ports_there_are() {
    let setup = (0..16).fold(Setup::new(), |setup, _| setup.arg("--port").arg("0"));
    let world = setup.start();
    world.register("alice");
    let said = world.server.log();
    assert!(!said.contains("Rocket"), "{said}");
}

#[test]
fn several_ports_serve_the_same() {
    let port = free_port();
    let world = Setup::new().arg("--port").arg(port.to_string()).start();
    world.register("alice");
    let url = format!("http://127.0.0.1:{port}/messages/inbox?user_id=alice");
    Reply::to(crate::world::client().get(url)).ok();
}
