//! What clients ask for and do not read takes bounded memory, and keeps nobody from small answers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use tokio_tungstenite::tungstenite::Message;

use crate::chat8::Someone;
use crate::world::{Person, Reply, World, dial, wait_for};

/// Six bytes as JSON for each byte that is stored.
const ESCAPED: &str = "\u{1}";
const BYTES: usize = 4_000_000;
/// How many ask. Together they would hold 1,400 MiB.
const READERS: usize = 60;
/// What they may. On PostgreSQL each thread that reads a letter keeps some of its memory for a while.
const MOST_KIB: u64 = 900 << 10;

/// Asks for something and reads nothing of it.
fn ask(world: &World, path: &str, headers: &str) -> TcpStream {
    let mut asker = world.connect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n");
    asker.write_all(request.as_bytes()).expect("taken");
    asker
}

/// Somebody who has begun to read one of bob's messages, and reads no further.
fn slow_reader(world: &World, id: i64) -> TcpStream {
    let mut reader = ask(world, &format!("/messages/message/{id}?user_id=bob"), "");
    let mut begin = [0; 12];
    reader.read_exact(&mut begin).expect("it begins");
    assert_eq!(&begin, b"HTTP/1.1 200");
    reader
}

/// A world in which bob has one letter that is long to read. The peak of memory is noted from then on.
fn world_with_a_long_letter() -> (World, i64) {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let id = alice.send(&bob, &ESCAPED.repeat(BYTES));
    world.forget_peak();
    (world, id)
}

/// Holds what is promised of many who ask for a path and do not read; `asked` has it, and headers.
fn holds_little(asked: impl Fn(&Person, i64) -> (String, String)) {
    let (world, id) = world_with_a_long_letter();
    let bob = world.person("bob");
    let (path, headers) = asked(&bob, id);
    let askers: Vec<_> = (0..READERS).map(|_| ask(&world, &path, &headers)).collect();
    let alice = world.person("alice");
    let small = alice.send(&bob, "small");
    let newest = bob.list("/messages/inbox", &[("after", &id.to_string())]);
    assert_eq!(newest.messages()[0]["id"], small);
    let refused = wait_for(|| Some(bob.read(id)).filter(|reply| reply.status != 200));
    refused.error(503);
    assert_eq!(refused.header("Retry-After"), Some("10"));
    let peak = world.memory_kib("VmHWM");
    assert!(peak < MOST_KIB, "{path}: {peak} KiB");
    drop(askers);
    let found = wait_for(|| Some(bob.read(id)).filter(|reply| reply.status == 200));
    let content = &found.ok()["data"]["encrypted_content"];
    assert_eq!(content.as_str().map(str::len), Some(BYTES));
}

#[test]
fn messages_that_nobody_reads_take_no_more_than_their_room() {
    holds_little(|_, id| {
        let path = format!("/messages/message/{id}?user_id=bob");
        (path, String::new())
    });
}

#[test]
fn lists_that_nobody_reads_take_no_more_than_their_room() {
    holds_little(|_, _| ("/messages/inbox?user_id=bob".into(), String::new()));
}

#[test]
fn what_came_to_the_relay_and_nobody_reads_takes_no_more_than_its_room() {
    holds_little(|bob, _| {
        let token = format!("Authorization: Bearer {}\r\n", bob.token());
        ("/received?after=0".into(), token)
    });
}

#[test]
fn event_streams_that_nobody_reads_take_no_more_than_their_room() {
    holds_little(|_, _| {
        let path = "/messages/stream?user_id=bob".into();
        (path, "Last-Event-ID: 0\r\n".into())
    });
}

#[test]
fn what_is_in_a_mailbox_and_nobody_reads_takes_no_more_than_its_room() {
    holds_little(|bob, _| {
        let token = format!("Authorization: Bearer {}\r\n", bob.token());
        ("/messages?ack=manual".into(), token)
    });
}

#[test]
fn a_list_that_has_begun_waits_for_room_and_comes_whole() {
    let (world, id) = world_with_a_long_letter();
    let [alice, carol] = [world.person("alice"), world.register("carol")];
    for _ in 0..3 {
        alice.send(&carol, &"a".repeat(8 << 20));
    }
    let list = world.request(Method::GET, "/messages/inbox?user_id=carol");
    let list = list.send().expect("the first piece");
    // With them all but 27 MiB are taken, of which the next piece may need 48.
    let readers: Vec<_> = (0..10).map(|_| slow_reader(&world, id)).collect();
    let text = std::thread::scope(|scope| {
        let text = scope.spawn(|| list.text());
        std::thread::sleep(Duration::from_secs(1));
        drop(readers);
        text.join().expect("no panic")
    });
    let text = text.expect("it ends as it should");
    let list: serde_json::Value = serde_json::from_str(&text).expect("a whole list");
    assert_eq!(list["messages"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_large_letter_is_taken_beside_slow_readers() {
    let (world, id) = world_with_a_long_letter();
    // More than half of the room is theirs.
    let _readers: Vec<_> = (0..6).map(|_| slow_reader(&world, id)).collect();
    let [alice, bob] = ["alice", "bob"].map(|name| world.person(name));
    alice.send(&bob, &"x".repeat(500_000));
}

#[test]
fn whatever_may_be_long_is_refused_where_there_is_no_room() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let path = format!("/ws/{}?token={}", bob.id, bob.token);
    let open = || dial(world.server.port(), &path, &[]).expect("the socket opens");
    // The twelfth goes beyond what there is.
    let sockets: Vec<_> = (0..16).map(|_| open()).collect();
    let id = alice.send(&bob, &ESCAPED.repeat(BYTES));
    let ask = |path: &str| Reply::to(world.request(Method::GET, path).bearer_auth(&alice.token));
    let permissions = format!("/messages/message/{id}/permissions?user_id=alice");
    wait_for(|| Some(ask(&permissions)).filter(|reply| reply.status != 200)).error(503);
    for path in ["/api/v1/friends", "/api/v1/friends/requests"] {
        let refused = ask(path);
        assert_eq!(refused.status, 503, "{path}: {}", refused.text);
        assert_eq!(refused.header("Retry-After"), Some("10"), "{path}");
    }
    drop(sockets);
}

#[test]
fn what_goes_to_sockets_that_nobody_reads_takes_no_more_than_its_room() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let path = format!("/ws/{}?token={}", bob.id, bob.token);
    let open = || dial(world.server.port(), &path, &[]).expect("the socket opens");
    let mut sockets: Vec<_> = (0..READERS).map(|_| open()).collect();
    alice.send(&bob, &ESCAPED.repeat(BYTES));
    // Who is only reached when others need the room is let go in the middle of the text.
    let mut codes = sockets.iter_mut().map(|socket| match socket.read() {
        Ok(Message::Close(Some(close))) => Some(u16::from(close.code)),
        Ok(_) | Err(_) => None,
    });
    assert!(
        codes.any(|code| code == Some(1013)),
        "there was room for all"
    );
    let peak = world.memory_kib("VmHWM");
    assert!(peak < MOST_KIB, "{peak} KiB");
}
