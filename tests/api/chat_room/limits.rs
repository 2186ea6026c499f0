//! Many connections, slow readers, long silences.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use super::client::{Client, Rooms, assert_error, bare, saying};
use crate::world::{Setup, wait_for};

/// As many open files as the system allows: each connection takes one here too.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the maximum is allowed");
}

#[test]
fn there_are_4096_connections_and_the_next_is_told_so() {
    raise_file_limit();
    let rooms = Rooms::start();
    let mut first = rooms.connect();
    assert_error(&first.ask(&bare("nope")), 1008);
    let before = rooms.memory_kib("VmRSS") << 10;
    let mut others: Vec<Client> = (1..4_096).map(|_| rooms.connect()).collect();
    assert_error(&others.last_mut().expect("some").ask(&bare("nope")), 1008);
    let each = (rooms.memory_kib("VmRSS") << 10).saturating_sub(before) / 4_095;
    assert!(each < 16 << 10, "{each} bytes for each idle connection");
    let mut one_more = rooms.connect();
    assert_error(&one_more.receive(), 1009);
    assert!(one_more.is_closed());
    drop(others);
    // Places become free again.
    wait_for(|| {
        let mut next = rooms.connect();
        next.send(&bare("nope"));
        (next.receive()["error_code"] == 1008).then_some(())
    });
}

#[test]
fn the_limit_of_connections_is_configurable() {
    let rooms = Rooms::with(Setup::new().env("ROCKET_CHAT_ROOM__MAX_CONNECTIONS", 2));
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let mut carol = rooms.connect();
    assert_error(&carol.receive(), 1009);
    assert!(carol.is_closed());
    alice.say(1, "just us");
    assert_eq!(bob.receive()["content"], "just us");
}

#[test]
fn a_reader_that_stops_reading_is_closed_and_the_sender_never_waits() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let content = "x".repeat(1_000);
    let mut slowest = Duration::ZERO;
    // What the two socket buffers hold is some megabytes; beyond that the queue fills up.
    let mut is_closed = false;
    for round in 0..200 {
        for _ in 0..100 {
            let sent = Instant::now();
            alice.say(1, &content);
            slowest = slowest.max(sent.elapsed());
        }
        if round % 10 == 9 {
            let users = alice.ask(&bare("list_users_request"))["users"].clone();
            is_closed = users[1]["is_online"] == false;
            if is_closed {
                break;
            }
        }
    }
    assert!(is_closed, "bob was never closed");
    assert!(slowest < Duration::from_secs(5), "alice waited {slowest:?}");
    // Bob finds the end of the stream behind what was on its way.
    bob.stream()
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a TCP stream");
    let mut rest = vec![0; 1 << 20];
    loop {
        match bob.stream().read(&mut rest) {
            Ok(0) => break,
            Ok(_) => {}
            Err(cause) => {
                assert_ne!(
                    cause.kind(),
                    ErrorKind::WouldBlock,
                    "bob's connection is still open"
                );
                break;
            }
        }
    }
    let mut bob = rooms.come_back("bob");
    assert_eq!(bob.enter("public").len(), 50);
}

#[test]
fn a_client_that_sends_all_and_reads_nothing_holds_up_nobody() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut mallory = rooms.arrive("mallory");
    let flood = format!("{}\n", bare("list_users_request")).repeat(20_000);
    mallory
        .stream()
        .set_write_timeout(Some(Duration::from_secs(1)))
        .expect("a TCP stream");
    // It does not matter how much of it the server takes.
    drop(mallory.stream().write_all(flood.as_bytes()));
    alice.say(1, "fine");
    assert_eq!(
        rooms.arrive("bob").say(1, "fine too")["content"],
        "fine too"
    );
}

#[test]
fn a_login_is_due_within_60_seconds_and_then_there_is_no_hurry() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut nobody = rooms.connect();
    let start = Instant::now();
    assert!(nobody.is_closed(), "closed without a word");
    assert!((58..90).contains(&start.elapsed().as_secs()));
    alice.say(1, "still here");
}

#[test]
fn a_logout_of_nobody_does_not_put_off_the_login_that_is_due() {
    let rooms = Rooms::start();
    let mut nobody = rooms.connect();
    let start = Instant::now();
    assert!(nobody.is_silent_for(Duration::from_secs(20)));
    nobody.ask(&bare("logout_request"));
    assert!(nobody.is_closed());
    assert!((58..78).contains(&start.elapsed().as_secs()));
}

#[test]
fn a_client_that_is_killed_is_offline_at_once() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    bob.send(&saying(1, "last words"));
    assert_eq!(alice.receive()["content"], "last words");
    drop(bob);
    wait_for(|| {
        let list = alice.ask(&bare("list_users_request"));
        (list["users"][1]["is_online"] == false).then_some(())
    });
}

#[test]
fn nobody_is_online_after_a_restart() {
    let mut rooms = Rooms::start();
    let _alice = rooms.arrive("alice");
    let _bob = rooms.arrive("bob");
    rooms.restart();
    let users = rooms.come_back("bob").ask(&bare("list_users_request"))["users"].clone();
    assert_eq!(
        (&users[0]["is_online"], &users[1]["is_online"]),
        (&false.into(), &true.into())
    );
}
