//! The socket: every frame, in both directions.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{Live, Someone, data, is_instant};
use crate::world::World;

#[test]
fn a_ping_is_answered_with_a_pong() {
    let world = World::start();
    let mut live = Someone::new(&world, "alice").connect();
    live.say(&json!({"type": "ping"}));
    let pong = live.next();
    assert!(is_instant(&pong["timestamp"]));
    assert_eq!(
        pong,
        json!({"type": "pong", "timestamp": pong["timestamp"]})
    );
}

#[test]
fn the_token_may_stand_in_the_header() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let header = format!("Bearer {}", alice.token);
    for query in ["", "?token=", "?token"] {
        let path = format!("/ws/{}{query}", alice.id);
        Live::open(&world, &path, &[("authorization", &header)])
            .expect("it opens")
            .ping();
    }
}

#[test]
fn a_message_comes_to_every_socket_of_its_receiver_and_to_nobody_else() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let (mut one, mut other, mut senders) = (bob.connect(), bob.connect(), alice.connect());
    for live in [&mut one, &mut other, &mut senders] {
        live.ping();
    }
    let id = alice.send(&bob, "hi");
    for live in [&mut one, &mut other] {
        let frame = live.next();
        assert!(is_instant(&frame["timestamp"]));
        assert_eq!(
            frame,
            json!({
                "type": "new_message",
                "data": {"id": id, "sender_id": alice.id, "sender_username": "alice", "content": "hi", "message_type": "text", "is_encrypted": false},
                "timestamp": frame["timestamp"],
            })
        );
    }
    senders.say(&json!({"type": "ping"}));
    assert_eq!(senders.next()["type"], "pong");
}

#[test]
fn a_friend_request_that_came_in_an_absence_is_told_when_a_socket_opens() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let ask = json!({"user_id": bob.id, "message": "It's me"});
    alice.post("/friends/request", &ask);
    let notice = bob.connect().next_of("friend_request");
    assert_eq!(notice["from_username"], "alice");
    assert_eq!(notice["message"], "It's me");
    let path = format!("/friends/request/{}", notice["request_id"]);
    bob.put(&path, &json!({"action": "accept"}));
    let mut answered = bob.connect();
    answered.say(&json!({"type": "ping"}));
    assert_eq!(answered.next()["type"], "pong");
}

#[test]
fn all_waiting_friend_requests_are_told_in_turn_and_take_little_where_nobody_reads() {
    const SOCKETS: usize = 60;
    let mut world = World::start();
    let (id, path) = {
        let alice = Someone::new(&world, "alice");
        (alice.id, format!("/ws/{}?token={}", alice.id, alice.token))
    };
    // Six bytes as JSON for each: all of them are 6 MB.
    world.bring_askers(id, 1_000, &"\u{1}".repeat(1_000));
    let open = || Live::open(&world, &path, &[]).expect("the socket opens");
    let mut first = open();
    for number in 1..=1_000 {
        let notice = first.next_of("friend_request");
        assert_eq!(notice["from_username"], format!("asker {number}"));
    }
    world.forget_peak();
    let before = world.memory_kib("VmRSS");
    let unread: Vec<_> = (0..SOCKETS).map(|_| open()).collect();
    first.ping();
    let growth = world.memory_kib("VmHWM").saturating_sub(before);
    assert!(growth < 60 << 10, "{growth} KiB");
    drop(unread);
}

#[test]
fn a_friend_request_is_told_at_once() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let mut live = bob.connect();
    live.ping();
    alice.post(
        "/friends/request",
        &json!({"user_id": bob.id, "message": "hello"}),
    );
    let notice = live.next_of("friend_request");
    let request = data(&bob.get("/friends/requests"))[0]["request_id"].clone();
    assert_eq!(
        notice,
        json!({"request_id": request, "from_user_id": alice.id, "from_username": "alice", "message": "hello"})
    );
}

#[test]
fn friends_hear_who_comes_goes_and_changes_their_status() {
    let world = World::start();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| Someone::new(&world, name));
    alice.befriend(&bob);
    let (mut friend, mut stranger) = (alice.connect(), eve.connect());
    friend.ping();
    stranger.ping();
    let said = |status: &str| json!({"user_id": bob.id, "username": "bob", "status": status});
    let live = bob.connect();
    assert_eq!(friend.next_of("user_status"), said("online"));
    data(&bob.put("/user/status", &json!({"status": "away"})));
    assert_eq!(friend.next_of("user_status"), said("away"));
    drop(live);
    assert_eq!(friend.next_of("user_status"), said("offline"));
    stranger.say(&json!({"type": "ping"}));
    assert_eq!(stranger.next()["type"], "pong");
}

#[test]
fn calls_ring_at_the_callee() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let (mut calling, mut called) = (alice.connect(), bob.connect());
    called.ping();
    for kind in ["voice_call_invite", "video_call_invite"] {
        calling.say(&json!({"type": kind, "data": {"call_id": "c-1", "to_user_id": bob.id}}));
        assert_eq!(
            called.next_of(kind),
            json!({"call_id": "c-1", "from_user_id": alice.id, "from_username": "alice"})
        );
    }
    for data in [
        json!(null),
        json!({}),
        json!({"call_id": "c-1"}),
        json!({"call_id": 7, "to_user_id": bob.id}),
        json!({"call_id": "", "to_user_id": bob.id}),
        json!({"call_id": "c-1", "to_user_id": 99_999}),
        json!({"call_id": "x".repeat(300), "to_user_id": bob.id}),
    ] {
        calling.say(&json!({"type": "voice_call_invite", "data": data}));
        assert!(calling.next_of("error")["message"].is_string());
    }
}

#[test]
fn nonsense_is_answered_and_the_socket_lives_on() {
    let world = World::start();
    let mut live = Someone::new(&world, "alice").connect();
    for nonsense in [
        "",
        "nonsense",
        "{",
        "[]",
        "7",
        "null",
        "{}",
        r#"{"type": 7}"#,
        r#"{"type": "dance"}"#,
        r#"{"type": "pong"}"#,
        r#"["ping", null]"#,
        r#"{"type": "voice_call_invite", "data": ["c-1", 1]}"#,
    ] {
        live.send(Message::Text(nonsense.to_owned()));
        let frame = live.next();
        assert!(
            frame["data"]["message"].is_string() && is_instant(&frame["timestamp"]),
            "{nonsense}: {frame}"
        );
        assert_eq!(frame["type"], "error");
    }
    live.ping();
}
