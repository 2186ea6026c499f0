//! Key frames and message frames: who gets what, in which order, and what is not taken.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::people::{Socket, User, join};
use crate::world::{Setup, World, as_float, free_port, wait_for};

const LARGEST_MESSAGE: usize = 12 << 20;

/// Two people with a socket each, on a world.
fn pair(world: &World) -> (User<'_>, Socket, User<'_>, Socket) {
    let [alice, bob] = ["alice", "bob"].map(|name| join(world, name));
    let (of_alice, of_bob) = (alice.connect(), bob.connect());
    (alice, of_alice, bob, of_bob)
}

fn relayed(from: &User, message: &str, aes_key: &str) -> Value {
    json!({"fromId": from.id, "message": message, "aesKey": aes_key, "systemMessage": false})
}

#[test]
fn a_message_goes_to_its_receiver_and_to_nobody_else() {
    let world = World::start();
    let (alice, mut of_alice, bob, mut of_bob) = pair(&world);
    let carol = join(&world, "carol");
    let mut of_carol = carol.connect();
    of_alice.send(&alice.frame(&bob, "你好", "123"));
    assert_eq!(of_bob.frame(), relayed(&alice, "你好", "123"));
    assert!(of_alice.frames_so_far().is_empty());
    assert!(of_carol.frames_so_far().is_empty());
    let records = bob.records(alice.id);
    assert_eq!(records.len(), 1, "it is stored before it is relayed");
    assert_eq!(records[0]["message"], "你好");
}

#[test]
fn a_key_frame_is_relayed_and_remembered_and_is_no_record() {
    let world = World::start();
    let (alice, mut of_alice, bob, mut of_bob) = pair(&world);
    of_bob.send(&bob.frame(&alice, "", "bob's key"));
    assert_eq!(of_alice.frame(), relayed(&bob, "", "bob's key"));
    assert!(alice.records(bob.id).is_empty());
    of_alice.send(&alice.frame(&bob, "hi", "alice's key"));
    of_bob.frame();
    let record = &alice.records(bob.id)[0];
    assert_eq!(record["fromAesKey"], "alice's key");
    assert_eq!(record["toAesKey"], "bob's key");
}

#[test]
fn a_message_without_a_key_is_stored_with_the_receivers_last_one() {
    let world = World::start();
    let (alice, mut of_alice, bob, mut of_bob) = pair(&world);
    of_bob.send(&bob.frame(&alice, "", "bob's key"));
    of_alice.frame();
    of_alice.send(&json!({"fromId": alice.id, "toId": bob.id, "message": "hi"}));
    assert_eq!(of_bob.frame(), relayed(&alice, "hi", ""));
    of_alice.send(&json!({"fromId": alice.id, "toId": bob.id, "message": "ho", "aesKey": null}));
    assert_eq!(of_bob.frame(), relayed(&alice, "ho", ""));
    for record in bob.records(alice.id) {
        assert_eq!(record["fromAesKey"], "");
        assert_eq!(record["toAesKey"], "bob's key");
    }
}

#[test]
fn an_empty_key_frame_is_passed_on_and_replaces_no_key() {
    let world = World::start();
    let (alice, mut of_alice, bob, mut of_bob) = pair(&world);
    of_bob.send(&bob.frame(&alice, "", "bob's key"));
    of_bob.send(&bob.frame(&alice, "", ""));
    assert_eq!(of_alice.frame()["aesKey"], "bob's key");
    assert_eq!(of_alice.frame(), relayed(&bob, "", ""));
    of_alice.send(&alice.frame(&bob, "hi", "k"));
    of_bob.frame();
    assert_eq!(bob.records(alice.id)[0]["toAesKey"], "bob's key");
}

#[test]
fn frames_of_one_sender_keep_their_order_and_no_message_overtakes_its_key() {
    let world = World::start();
    let (alice, mut of_alice, bob, mut of_bob) = pair(&world);
    let text = |n: i32| {
        if n % 5 == 0 {
            String::new()
        } else {
            format!("message {n}")
        }
    };
    for n in 0..100 {
        of_alice.send(&alice.frame(&bob, &text(n), &format!("key {n}")));
    }
    for n in 0..100 {
        assert_eq!(
            of_bob.frame(),
            relayed(&alice, &text(n), &format!("key {n}"))
        );
    }
    let records = bob.records(alice.id);
    let expected: Vec<String> = (0..100).map(text).filter(|text| !text.is_empty()).collect();
    let stored: Vec<&str> = records
        .iter()
        .filter_map(|record| record["message"].as_str())
        .collect();
    assert_eq!(stored, expected);
}

#[test]
fn a_new_socket_on_whatever_port_begins_when_what_came_on_an_older_one_is_stored() {
    let other_port = free_port();
    let world = Setup::new()
        .arg("--port")
        .arg(other_port.to_string())
        .start();
    let (alice, mut of_alice, bob, _of_bob) = pair(&world);
    let held = world.hold_mailbox("bob");
    of_alice.send(&alice.frame(&bob, "hi", "k"));
    world.wait_for_held_write();
    let released = std::thread::spawn(move || {
        // A socket that did not wait would have begun by then.
        std::thread::sleep(Duration::from_millis(500));
        drop(held);
    });
    drop(of_alice);
    let _of_alice = Socket::open_on(other_port, "/chat", &[("token", &alice.token)]);
    assert_eq!(alice.records(bob.id).len(), 1);
    released.join().expect("no panic");
}

#[test]
fn an_absent_receiver_still_gets_the_record() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let mut of_alice = alice.connect();
    of_alice.send(&alice.frame(&bob, "hi", "k"));
    assert_eq!(bob.records_once_there_are(1, alice.id)[0]["message"], "hi");
    assert!(of_alice.frames_so_far().is_empty());
}

#[test]
fn the_newest_socket_is_served_and_an_older_one_again_when_that_closes() {
    let world = World::start();
    let (alice, mut of_alice, bob, mut older) = pair(&world);
    let mut newer = bob.connect();
    of_alice.send(&alice.frame(&bob, "one", "k"));
    assert_eq!(newer.frame()["message"], "one");
    assert!(older.frames_so_far().is_empty(), "but it stays open");
    newer.close();
    // The roster of a newcomer comes after the end of the newer socket.
    let carol = join(&world, "carol");
    let _of_carol = carol.connect();
    older.roster_until(|ids| ids.contains(&carol.id));
    of_alice.send(&alice.frame(&bob, "two", "k"));
    assert_eq!(older.frame()["message"], "two");
    older.send(&bob.frame(&alice, "three", "k"));
    assert_eq!(of_alice.frame()["message"], "three");
}

#[test]
fn a_message_to_oneself_comes_back() {
    let world = World::start();
    let alice = join(&world, "alice");
    let mut socket = alice.connect();
    socket.send(&alice.frame(&alice, "你好", "123"));
    assert_eq!(socket.frame(), relayed(&alice, "你好", "123"));
    assert_eq!(alice.records(alice.id).len(), 1);
}

#[test]
fn a_frame_that_claims_another_sender_is_dropped_with_an_error_frame() {
    let world = World::start();
    let (alice, mut of_alice, bob, mut of_bob) = pair(&world);
    for message in ["hi", ""] {
        of_alice.send(&bob.frame(&bob, message, "k"));
        of_alice.error();
        of_alice.send(&json!({"fromId": 9_999, "toId": bob.id, "message": message, "aesKey": "k"}));
        of_alice.error();
    }
    assert!(of_bob.frames_so_far().is_empty());
    assert!(alice.records(bob.id).is_empty() && bob.records(bob.id).is_empty());
    of_alice.send(&alice.frame(&bob, "hi", "k"));
    assert_eq!(of_bob.frame()["message"], "hi");
}

#[test]
fn what_is_no_frame_gets_an_error_frame_and_the_socket_lives_on() {
    let world = World::start();
    let (alice, mut of_alice, bob, mut of_bob) = pair(&world);
    let (from, to) = (alice.id, bob.id);
    let broken = [
        String::new(),
        "no".to_owned(),
        "{".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        "[1,2]".to_owned(),
        json!({"fromId": from, "toId": to, "aesKey": "k"}).to_string(),
        json!({"fromId": from, "message": "hi", "aesKey": "k"}).to_string(),
        json!({"toId": to, "message": "hi", "aesKey": "k"}).to_string(),
        json!({"fromId": from, "toId": to, "message": 5, "aesKey": "k"}).to_string(),
        json!({"fromId": from, "toId": to, "message": null, "aesKey": "k"}).to_string(),
        json!({"fromId": from, "toId": to, "message": "hi", "aesKey": 5}).to_string(),
        json!({"fromId": from, "toId": 1.5, "message": "hi", "aesKey": "k"}).to_string(),
        json!({"fromId": from, "toId": "bob", "message": "hi", "aesKey": "k"}).to_string(),
        json!({"fromId": from, "toId": 9_999, "message": "hi", "aesKey": "k"}).to_string(),
        json!({"fromId": from, "toId": -1, "message": "", "aesKey": "k"}).to_string(),
        json!({"fromId": from, "toId": to, "message": "a\u{0}b", "aesKey": "k"}).to_string(),
        json!({"fromId": from, "toId": to, "message": "hi", "aesKey": "k\u{0}"}).to_string(),
        json!({"fromId": from, "toId": to, "message": "", "aesKey": "k".repeat(20_000)})
            .to_string(),
        "[".repeat(100_000),
    ];
    for text in broken {
        of_alice.send_text(&text);
        assert!(!of_alice.error().is_ascii(), "Chinese words");
    }
    let mut no_text = alice.frame(&bob, "?", "k").to_string().into_bytes();
    *no_text
        .iter_mut()
        .find(|byte| **byte == b'?')
        .expect("the message") = 0xff;
    of_alice.send_message(Message::Binary(no_text));
    assert!(!of_alice.error().is_ascii(), "Chinese words");
    of_alice.send_message(Message::Binary(
        alice.frame(&bob, "as bytes", "k").to_string().into(),
    ));
    assert_eq!(of_bob.frame()["message"], "as bytes");
    let in_strings = json!({"fromId": from.to_string(), "toId": to.to_string(), "message": "hi"});
    of_alice.send(&in_strings);
    assert_eq!(of_bob.frame()["message"], "hi");
    of_alice.send(&json!({"fromId": as_float(from), "toId": as_float(to), "message": "as floats"}));
    assert_eq!(of_bob.frame()["message"], "as floats");
    assert_eq!(bob.records(alice.id).len(), 3);
}

#[test]
fn a_message_may_have_12_mib_and_one_byte_more_is_refused() {
    let world = World::start();
    let (alice, mut of_alice, bob, mut of_bob) = pair(&world);
    let largest = "x".repeat(LARGEST_MESSAGE);
    of_alice.send(&alice.frame(&bob, &largest, "k"));
    assert_eq!(
        of_bob.frame()["message"].as_str().map(str::len),
        Some(LARGEST_MESSAGE)
    );
    of_alice.send(&alice.frame(&bob, &(largest + "x"), "k"));
    of_alice.error();
    of_alice.send(&alice.frame(&bob, "and on", "k"));
    assert_eq!(of_bob.frame()["message"], "and on");
    assert_eq!(bob.records(alice.id).len(), 2);
}

#[test]
fn a_long_list_in_place_of_an_id_takes_little_more_than_its_bytes() {
    let world = World::start();
    let (alice, mut of_alice, bob, mut of_bob) = pair(&world);
    let list = "0,".repeat(7 << 20);
    of_alice.send_text(&format!(r#"{{"fromId":[{list}0]}}"#));
    of_alice.error();
    let peak = world.memory_kib("VmHWM");
    assert!(peak < 250 << 10, "{peak} KiB for 14 MiB");
    of_alice.send(&alice.frame(&bob, "and on", "k"));
    assert_eq!(of_bob.frame()["message"], "and on");
}

#[test]
fn a_limit_that_was_lowered_binds_the_socket_too() {
    let world = Setup::new().env("ROCKET_MAX_CONTENT_BYTES", 1_000).start();
    let (alice, mut of_alice, bob, mut of_bob) = pair(&world);
    of_alice.send(&alice.frame(&bob, &"x".repeat(1_001), "k"));
    assert_eq!(of_alice.error(), "消息超过 1000 字节的上限");
    of_alice.send(&alice.frame(&bob, &"x".repeat(1_000), "k"));
    assert_eq!(
        of_bob.frame()["message"].as_str().map(str::len),
        Some(1_000)
    );
}

#[test]
fn long_frames_that_wait_for_the_disk_take_no_more_than_their_room() {
    // Together 440 MiB, where there is room for 256.
    const SENDERS: usize = 40;

    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let frame = alice.frame(&bob, &"x".repeat(11 << 20), "key").to_string();
    let mut sockets: Vec<_> = (0..SENDERS).map(|_| alice.connect()).collect();
    let held = world.hold_mailbox("bob");
    std::thread::scope(|scope| {
        for socket in &mut sockets {
            scope.spawn(|| socket.try_send_text(frame.clone()));
        }
        wait_for(|| (world.live("encommunication") < SENDERS).then_some(()));
        drop(held);
    });
    let stored = || wait_for(|| Some(bob.records(alice.id).len()).filter(|count| *count > 0));
    assert!((1..SENDERS).contains(&stored()));
}
