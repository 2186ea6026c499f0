//! What a login has begun does not outlive it: lists that are read slowly, frames that wait.

use std::io::Read as _;

use reqwest::Method;
use reqwest::blocking::Response;
use serde_json::{Value, json};

use crate::chat8::{Live, Someone, data, text};
use crate::world::{Reply, World, skips_sqlite_test, wait_for};

/// More than the system keeps for a reader who takes nothing.
const LETTERS: usize = 40;
const LETTER_BYTES: usize = 1 << 20;

/// Alice, and bob, to whom she has sent that much.
fn with_letters(world: &World) -> [Someone<'_>; 2] {
    let people = ["alice", "bob"].map(|name| Someone::new(world, name));
    send(world, LETTERS);
    people
}

fn send(world: &World, count: usize) {
    let content = "x".repeat(LETTER_BYTES);
    for _ in 0..count {
        world.person("alice").try_send("bob", &content).ok();
    }
}

/// A list that has begun and is read no further.
fn open(reader: &Someone, path: &str) -> Response {
    let request = reader.world.request(Method::GET, path);
    let response = request.bearer_auth(&reader.token).send();
    let mut response = response.expect("the server answers");
    assert_eq!(response.status(), 200, "{path}");
    response.read_exact(&mut [0]).expect("it begins");
    response
}

/// What is left of it.
fn rest_of(mut list: Response) -> String {
    let mut rest = String::new();
    list.read_to_string(&mut rest).expect("it ends in order");
    rest
}

fn log_out(who: &Someone) {
    let logout = who.world.request(Method::POST, "/logout");
    assert_eq!(Reply::to(logout.bearer_auth(&who.token)).status, 200);
}

#[test]
fn a_list_that_is_read_slowly_ends_with_its_login() {
    let world = World::start();
    let [alice, bob] = with_letters(&world);
    let lists = [
        (&bob, "/messages/inbox?user_id=bob".to_owned()),
        (&bob, "/messages/inbox?user_id=bob&after=0".to_owned()),
        (&alice, "/messages/outbox?user_id=alice&after=0".to_owned()),
        (&bob, format!("/api/v1/messages/{}?limit=200", alice.id)),
        (
            &bob,
            format!("/chatRecords?fromId={}&toId={}", bob.id, alice.id),
        ),
    ];
    let lists = lists.map(|(reader, path)| (open(reader, &path), path));
    log_out(&alice);
    log_out(&bob);
    let sent = world.person("alice").try_send("bob", "after the logout");
    sent.ok();
    for (list, path) in lists {
        let rest = rest_of(list);
        assert!(!rest.contains("after the logout"), "{path}");
        let bytes = rest.len();
        assert!(bytes < 30 << 20, "{path}: {bytes} bytes came all the same");
    }
}

#[test]
fn a_file_that_has_begun_to_come_comes_whole() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let stored = data(&alice.upload(&bob, "film.mp4", &vec![b'x'; LETTERS * LETTER_BYTES]));
    let file = open(&bob, &text(&stored["file_url"]));
    log_out(&bob);
    assert_eq!(rest_of(file).len(), LETTERS * LETTER_BYTES - 1);
}

#[test]
fn a_list_has_an_end_although_more_comes_while_it_is_read() {
    let world = World::start();
    let [alice, bob] = with_letters(&world);
    let lists = [
        (&bob, "/messages/inbox?user_id=bob&after=0".to_owned()),
        (&alice, "/messages/outbox?user_id=alice&after=0".to_owned()),
        (
            &bob,
            format!("/chatRecords?fromId={}&toId={}", bob.id, alice.id),
        ),
    ];
    let lists = lists.map(|(reader, path)| (open(reader, &path), path));
    send(&world, 5);
    let sent = world.person("alice").try_send("bob", "the last");
    sent.ok();
    for (list, path) in lists {
        let rest = rest_of(list);
        assert!(rest.len() > LETTERS * LETTER_BYTES, "{path}");
        assert!(rest.ends_with([']', '}']), "{path} is whole");
        assert!(!rest.contains("the last"), "{path}");
    }
}

#[test]
fn of_frames_that_wait_none_is_taken_once_the_login_has_ended() {
    // Elsewhere the logout would not wait for the same as the first frame.
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    let bob = Someone::new(&world, "bob");
    // Which of the two the server looks at first is chance each time.
    for round in 1..=12 {
        let sender = Someone::new(&world, &format!("sender{round}"));
        let path = format!("/chat?token={}", sender.token);
        let mut socket = Live::open(&world, &path, &[]).expect("the socket opens");
        let frame = json!({"fromId": sender.id, "toId": bob.id, "message": "sealed"}).to_string();
        let length = u8::try_from(frame.len()).expect("a short frame");
        // This mask changes nothing.
        let frame = [&[0x81, 0x80 | length, 0, 0, 0, 0], frame.as_bytes()].concat();
        std::thread::scope(|scope| {
            let held = world.hold_mailbox("bob");
            scope.spawn(|| log_out(&sender));
            world.wait_for_held_write();
            // In one piece, so that all are there when the first is done.
            socket
                .write(&frame.repeat(20))
                .expect("the socket takes it");
            wait_for(|| {
                let metrics = world.get("/metrics", &[]).text;
                metrics
                    .contains("sealpost_writer_waiting 2\n")
                    .then_some(())
            });
            drop(held);
        });
        assert_eq!(socket.closing_code(), Some(1008));
        let taken: Vec<Value> = world.person("bob").inbox();
        assert_eq!(taken.len(), round, "the first was begun before the end");
    }
}
