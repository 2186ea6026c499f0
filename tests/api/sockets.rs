//! What every API's socket has in common: how it ends.

use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::chat8::{Live, Someone};
use crate::world::{Setup, World, poll, wait_for};

/// The socket of each API, opened by the same user.
fn sockets_of_all_apis(alice: &Someone) -> Vec<(&'static str, Live)> {
    let open = |api, path: &str| {
        let path = format!("{path}?token={}", alice.token);
        let live = Live::open(alice.world, &path, &[]);
        (api, live.expect("the socket opens"))
    };
    vec![
        open("chat8", &format!("/ws/{}", alice.id)),
        open("secure_im", "/ws"),
        open("encommunication", "/chat"),
    ]
}

#[test]
fn a_client_that_closes_hears_its_own_code() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    for (api, mut live) in sockets_of_all_apis(&alice) {
        live.send(Message::Close(Some(CloseFrame {
            code: 4321.into(),
            reason: "bye".into(),
        })));
        assert_eq!(live.closing_code(), Some(4321), "{api}");
    }
}

#[test]
fn a_client_hears_why_it_is_closed_although_it_was_still_sending() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    for (api, mut live) in sockets_of_all_apis(&alice) {
        let length: u64 = 20 << 20;
        let mut frame = vec![0x81, 0xff];
        frame.extend(length.to_be_bytes());
        frame.resize(frame.len() + 4 + (20 << 20), 0);
        live.write(&frame).expect("the server hears it out");
        let code = if api == "encommunication" { 1008 } else { 1009 };
        assert_eq!(live.closing_code(), Some(code), "{api}");
    }
}

#[test]
fn a_reader_who_takes_nothing_is_gone_with_its_token() {
    let world = Setup::new().env("ROCKET_TOKEN_LIFETIME_SECS", 3).start();
    let (alice, bob) = (Someone::new(&world, "alice"), world.register("bob"));
    let live = alice.connect();
    // More than the system keeps for a reader.
    for _ in 0..2 {
        bob.try_send("alice", &"x".repeat(8 << 20)).ok();
    }
    let is_live = || {
        let metrics = world.get("/metrics", &[]).text;
        metrics.contains(r#"sealpost_live{channel="chat8"} 1"#)
    };
    assert!(is_live());
    wait_for(|| (!is_live()).then_some(()));
    drop(live);
}

#[test]
fn what_is_against_the_protocol_is_closed_with_a_code() {
    let world = World::start();
    let broken: [(&str, &[u8]); 5] = [
        ("a continuation of nothing", &[0x80, 0x80, 0, 0, 0, 0]),
        ("a reserved bit", &[0xc1, 0x80, 0, 0, 0, 0]),
        ("a reserved kind of data", &[0x83, 0x80, 0, 0, 0, 0]),
        ("a reserved kind of control", &[0x8b, 0x80, 0, 0, 0, 0]),
        ("no mask", &[0x81, 0x01, b'x']),
    ];
    let alice = Someone::new(&world, "alice");
    for (what, bytes) in broken {
        for (api, mut live) in sockets_of_all_apis(&alice) {
            live.write(bytes).expect("the socket takes it");
            let code = if api == "encommunication" { 1008 } else { 1002 };
            assert_eq!(live.closing_code(), Some(code), "{api}: {what}");
        }
    }
}

#[test]
fn a_reader_who_takes_nothing_for_a_minute_is_gone_and_those_who_only_wait_are_not() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let idle = sockets_of_all_apis(&bob);
    let stuck = alice.connect();
    for _ in 0..2 {
        world
            .person("bob")
            .try_send("alice", &"x".repeat(8 << 20))
            .ok();
    }
    let live = |count: usize| {
        let metrics = world.get("/metrics", &[]).text;
        metrics.contains(&format!("sealpost_live{{channel=\"chat8\"}} {count}\n"))
    };
    assert!(live(2));
    let gone = poll(Duration::from_secs(150), || live(1).then_some(()));
    assert!(gone.is_some(), "it stays for ever");
    drop((idle, stuck));
}

#[test]
fn a_long_message_on_a_slow_link_is_heard_to_its_end() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let path = format!("/chat?token={}", alice.token);
    let mut live = Live::open(&world, &path, &[]).expect("the socket opens");
    let content = "x".repeat(560 << 10);
    let text = json!({"fromId": alice.id, "toId": bob.id, "message": content}).to_string();
    let mut frame = vec![0x81, 0xff];
    frame.extend((text.len() as u64).to_be_bytes());
    // This mask changes nothing.
    frame.extend([0; 4]);
    frame.extend(text.into_bytes());
    // Longer than silence may last.
    for part in frame.chunks(4 << 10) {
        live.write(part).expect("the server goes on reading");
        std::thread::sleep(Duration::from_secs(1));
    }
    let inbox = wait_for(|| Some(world.person("bob").inbox()).filter(|inbox| !inbox.is_empty()));
    assert_eq!(inbox[0]["encrypted_content"], content);
}
