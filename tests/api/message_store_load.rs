//! Much at once: big mailboxes in bounded memory, slow readers, a full queue, configured limits.

use std::collections::BTreeSet;
use std::io::Read as _;

use reqwest::Method;
use reqwest::blocking::Response;
use serde_json::json;

use crate::chat8::Someone;
use crate::world::{Person, Reply, Setup, World, skips_sqlite_test};

/// Fills the inbox of `bob` with `count` messages of `bytes` bytes each.
fn fill(alice: &Person, count: usize, bytes: usize) {
    let content = "x".repeat(bytes);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..count / 8 {
                    alice.try_send("bob", &content).ok();
                }
            });
        }
    });
}

fn open_inbox(world: &World) -> Response {
    let request = world.request(Method::GET, "/messages/inbox?user_id=bob");
    let response = request.send().expect("the server answers");
    assert_eq!(response.status(), 200);
    response
}

#[test]
fn large_bodies_that_never_end_take_no_more_than_their_room() {
    use std::io::Write as _;

    let world = World::start();
    let length = 24 << 20;
    let head = format!("POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    let piece = vec![b' '; 1 << 20];
    let stuck: Vec<_> = (0..40)
        .map(|_| {
            let mut socket = world.connect();
            let limit = Some(std::time::Duration::from_millis(500));
            socket.set_write_timeout(limit).expect("set");
            socket.write_all(head.as_bytes()).expect("taken");
            // Who finds no room is not read from.
            let _ = (0..23).try_for_each(|_| socket.write_all(&piece));
            socket
        })
        .collect();
    world.register("alice");
    assert!(world.memory_kib("VmRSS") < 500 << 10, "of 920 MiB");
    drop(stuck);
}

#[test]
fn large_contents_that_wait_for_the_disk_take_no_more_than_their_room() {
    use std::io::Write as _;

    // PostgreSQL's library keeps copies of its own.
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    world.people(["alice", "bob"]);
    let content = "x".repeat(8_000_000);
    let body = json!({"user_id": "alice", "receiver_id": "bob", "encrypted_content": content});
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "POST /messages/send HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let answered = std::thread::scope(|scope| {
        let held = world.hold_mailbox("bob");
        let send = || {
            let mut socket = world.connect();
            socket.write_all(head.as_bytes()).expect("taken");
            socket.write_all(body.as_bytes()).expect("taken");
            let mut answer = String::new();
            socket.read_to_string(&mut answer).expect("an answer");
            answer
        };
        let senders: Vec<_> = (0..96).map(|_| scope.spawn(send)).collect();
        std::thread::sleep(std::time::Duration::from_secs(2));
        drop(held);
        let answers = senders
            .into_iter()
            .map(|sender| sender.join().expect("no panic"));
        answers
            .filter(|answer| answer.starts_with("HTTP/1.1 200"))
            .count()
    });
    assert!(answered >= 20, "{answered}");
    let peak = world.memory_kib("VmHWM");
    assert!(peak < 600 << 10, "{peak} KiB of 730 MiB");
}

#[test]
fn large_bodies_of_strangers_take_no_room_from_those_who_say_who_they_are() {
    use std::io::Write as _;

    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    // Without a local name for a host, and without a token.
    let head = "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 25000000\r\n\r\n";
    let stuck: Vec<_> = (0..12)
        .map(|_| {
            let mut socket = world.connect();
            socket.write_all(head.as_bytes()).expect("taken");
            socket.write_all(&vec![b' '; 70_000]).expect("taken");
            socket
        })
        .collect();
    let content = "x".repeat(300_000);
    for _ in 0..3 {
        alice.send(&bob, &content);
    }
    assert_eq!(bob.inbox().len(), 3);
    drop(stuck);
}

#[test]
fn an_inbox_of_any_size_is_streamed_in_bounded_memory() {
    let world = World::start();
    let [alice, _] = world.people(["alice", "bob"]);
    fill(&alice, 4000, 16 << 10);
    let read = || std::io::copy(&mut open_inbox(&world), &mut std::io::sink());
    let (grown, bytes) = world.growth(|| read().expect("it streams"));
    assert!(bytes > 4000 * (16 << 10), "{bytes} bytes");
    assert!(
        grown < 16 << 10,
        "memory grew by {grown} KiB for {bytes} bytes"
    );
}

#[test]
fn a_page_of_large_messages_is_streamed_in_bounded_memory() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    fill(&world.person("alice"), 80, 1 << 20);
    let path = format!("/api/v1/messages/{}?limit=200", bob.id);
    let read = || {
        let request = world.request(Method::GET, &path).bearer_auth(&alice.token);
        request.send()?.copy_to(&mut std::io::sink())
    };
    let (grown, bytes) = world.growth(|| read().expect("it streams"));
    assert!(bytes > 80 << 20, "{bytes} bytes");
    assert!(
        grown < 16 << 10,
        "memory grew by {grown} KiB for {bytes} bytes"
    );
}

#[test]
fn slow_readers_hold_nobody_up() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    fill(&alice, 800, 32 << 10);
    let mut slow: Vec<Response> = (0..40).map(|_| open_inbox(&world)).collect();
    for response in &mut slow {
        let mut first = [0; 64];
        response.read_exact(&mut first).expect("it begins");
    }
    let id = alice.send(&bob, "meanwhile");
    let page = bob.list("/messages/inbox", &[("limit", "1")]).messages();
    assert_eq!(page[0]["id"], id);
    drop(slow);
}

#[test]
fn a_full_queue_refuses_and_says_when_to_try_again() {
    const SENDERS: usize = 16;
    const SENDS: usize = 50;

    let world = Setup::new().env("ROCKET_QUEUE_CAPACITY", 1).start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let acknowledged: Vec<String> = std::thread::scope(|scope| {
        let send = |thread: usize| {
            let alice = &alice;
            scope.spawn(move || {
                let mut acknowledged = Vec::new();
                for number in 0..SENDS {
                    let content = format!("{thread}-{number}");
                    let reply = alice.try_send("bob", &content);
                    if reply.status == 200 {
                        acknowledged.push(content);
                    } else {
                        reply.error(503);
                        assert!(reply.header("Retry-After").is_some(), "{reply:?}");
                    }
                }
                acknowledged
            })
        };
        let threads: Vec<_> = (0..SENDERS).map(send).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert!(acknowledged.len() < SENDERS * SENDS, "nothing was refused");
    let inbox = bob.inbox();
    let found: BTreeSet<&str> = inbox
        .iter()
        .filter_map(|item| item["encrypted_content"].as_str())
        .collect();
    let told: BTreeSet<&str> = acknowledged.iter().map(String::as_str).collect();
    assert_eq!(
        found, told,
        "what was acknowledged, and nothing that was refused"
    );
    assert_eq!(inbox.len(), acknowledged.len());
    assert_eq!(
        world.get("/readyz", &[]).status,
        200,
        "a full queue is not a broken store"
    );
}

#[test]
fn the_limit_of_content_is_configurable_and_counted_in_bytes() {
    let world = Setup::new().env("ROCKET_MAX_CONTENT_BYTES", 100).start();
    let [alice, bob] = world.people(["alice", "bob"]);
    alice.send(&bob, &"x".repeat(100));
    alice.send(&bob, &"é".repeat(50));
    // As JSON it is six times as long; what counts is what it says.
    let escaped = format!(
        r#"{{"user_id":"alice","receiver_id":"bob","encrypted_content":"{}"}}"#,
        "\\u0041".repeat(100)
    );
    Reply::to(world.request(Method::POST, "/messages/send").body(escaped)).ok();
    for over in ["x".repeat(101), "é".repeat(51)] {
        alice.try_send("bob", &over).error(400);
    }
    assert_eq!(bob.inbox().len(), 3);
}
