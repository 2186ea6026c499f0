//! What every API's socket has in common: how long texts go out, and how it ends.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::chat8::{Live, Someone};
use crate::world::{Person, Setup, World, dial, next_text, poll, wait_for};

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
fn a_client_that_has_shut_its_side_is_not_there_any_more() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    for (api, mut half_open) in sockets_of_all_apis(&alice) {
        assert_eq!(live(&world, api), 1, "{api}");
        half_open.finish_sending();
        wait_for(|| (live(&world, api) == 0).then_some(()));
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

/// How many sockets of an API the server counts.
fn live(world: &World, api: &str) -> usize {
    let metrics = world.get("/metrics", &[]).text;
    let start = format!("sealpost_live{{channel=\"{api}\"}} ");
    let counted = metrics.lines().find_map(|line| line.strip_prefix(&start));
    counted.map_or(0, |count| count.parse().expect("a number"))
}

/// Has somebody sent more than the system keeps for a reader.
fn overwhelm(receiver: &Someone, sender: &Person) {
    for _ in 0..2 {
        let content = "x".repeat(8 << 20);
        sender.try_send(&receiver.username, &content).ok();
    }
}

#[test]
fn a_reader_who_takes_nothing_is_gone_with_its_token() {
    let world = Setup::new().env("ROCKET_TOKEN_LIFETIME_SECS", 5).start();
    let bob = world.register("bob");
    let alice = Someone::new(&world, "alice");
    let _stuck = alice.connect();
    assert_eq!(live(&world, "chat8"), 1);
    overwhelm(&alice, &bob);
    // Long before it would be given up for taking nothing.
    let gone = poll(Duration::from_secs(30), || {
        (live(&world, "chat8") == 0).then_some(())
    });
    assert!(gone.is_some(), "it outlives its token");
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
fn who_takes_nothing_for_a_minute_is_gone_who_answers_no_ping_hears_1011_and_who_waits_lives_on() {
    let world = World::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Someone::new(&world, name));
    let mut waiting = sockets_of_all_apis(&bob);
    let _stuck = alice.connect();
    let mut silent = carol.connect();
    overwhelm(&alice, &world.person("bob"));
    assert_eq!(live(&world, "chat8"), 3);
    let heard = std::thread::scope(|scope| {
        for (_, waiting) in &mut waiting {
            scope.spawn(|| (0..3).for_each(|_| waiting.answer_a_ping()));
        }
        silent.hear_out_without_an_answer()
    });
    let reason = b"no sign of life";
    let farewell = [&[0x88, 17][..], &1011_u16.to_be_bytes(), reason].concat();
    let pings = heard.strip_suffix(&farewell[..]).expect("it hears why");
    // With the third, the 90 seconds are just about over.
    assert!([[0x89, 0].repeat(2), [0x89, 0].repeat(3)].contains(&pings.to_vec()));
    // Of these three, who waits.
    wait_for(|| (live(&world, "chat8") == 1).then_some(()));
    for (_, waiting) in &mut waiting {
        waiting.hear_the_answer_to_a_ping();
    }
}

#[test]
fn a_server_that_stops_says_so_with_the_code_of_each_api() {
    let mut world = World::start();
    let mut sockets = sockets_of_all_apis(&Someone::new(&world, "alice"));
    world.server.signal("TERM");
    for (api, live) in &mut sockets {
        let code = if *api == "encommunication" {
            1013
        } else {
            1012
        };
        assert_eq!(live.closing_code(), Some(code), "{api}");
    }
    drop(sockets);
    assert!(world.server.wait().success());
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

#[test]
fn a_long_text_comes_in_frames_of_at_most_1_mib() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let path = format!("/ws/{}?token={}", bob.id, bob.token);
    let mut socket = dial(world.server.port(), &path, &[]).expect("the socket opens");
    socket.set_config(|config| config.max_frame_size = Some(1 << 20));
    // Three frames and a bit, and characters that are cut by their ends.
    let content = "\u{20ac}".repeat(1 << 20);
    let id = alice.send(&bob, &content);
    let text = next_text(&mut socket);
    let event: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(event["data"]["id"], id);
    assert!(event["data"]["content"] == content, "{} bytes", text.len());
}
