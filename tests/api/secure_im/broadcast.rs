//! The broadcast socket: what one says, all others hear.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::person::{PASSWORD, Person};
use super::socket::Socket;
use crate::world::{Setup, World, sha256_hex, wait_for};

#[test]
fn others_hear_who_comes_who_speaks_and_who_goes() {
    let world = World::start();
    let [alice, bob, carol] = Person::arrive_all(&world, ["alice", "bob", "carol"]);
    let mut at_alice = Socket::open(&alice);
    at_alice.settle();
    let mut at_bob = Socket::open(&bob);
    assert_eq!(at_alice.hear(), "用户 bob 加入了聊天");
    let mut at_carol = Socket::open(&carol);
    for socket in [&mut at_alice, &mut at_bob] {
        assert_eq!(socket.hear(), "用户 carol 加入了聊天");
    }
    at_bob.say("你好");
    for socket in [&mut at_alice, &mut at_carol] {
        assert_eq!(socket.hear(), "bob: 你好");
    }
    at_alice.say("hello: all");
    // Bob hears Alice next, and never himself.
    assert_eq!(at_bob.hear(), "alice: hello: all");
    drop(at_carol);
    assert_eq!(at_alice.hear(), "用户 carol 已离开");
    assert_eq!(at_bob.hear(), "用户 carol 已离开");
}

#[test]
fn a_second_socket_of_the_same_user_is_no_arrival_and_no_departure() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let mut at_alice = Socket::open(&alice);
    at_alice.settle();
    let mut first = Socket::open(&bob);
    first.settle();
    let mut second = Socket::open(&bob);
    second.settle();
    drop(first);
    second.say("still here");
    assert_eq!(at_alice.hear(), "用户 bob 加入了聊天");
    assert_eq!(at_alice.hear(), "bob: still here");
}

#[test]
fn without_a_valid_token_the_handshake_is_refused() {
    let world = World::start();
    let alice = Person::arrive(&world, "alice");
    alice.log_out();
    let ended = format!("/ws?token={}", alice.token);
    for path in ["/ws", "/ws?token=", "/ws?token=nonsense", &ended] {
        let refusal = Socket::try_open(&world, path, None).expect_err("it is refused");
        assert_eq!(refusal, 403, "{path}");
    }
}

#[test]
fn a_page_of_another_origin_is_refused_and_a_configured_one_is_not() {
    let world = Setup::new()
        .env("ROCKET_ALLOWED_ORIGINS", "[\"https://chat.example\"]")
        .start();
    let alice = Person::arrive(&world, "alice");
    let path = format!("/ws?token={}", alice.token);
    let refusal = Socket::try_open(&world, &path, Some("https://evil.example"));
    assert_eq!(refusal.expect_err("it is refused"), 403);
    Socket::try_open(&world, &path, Some("https://chat.example")).expect("it is configured");
}

#[test]
fn a_request_that_is_no_handshake_is_told_to_upgrade() {
    let world = World::start();
    let alice = Person::arrive(&world, "alice");
    assert_eq!(world.get("/ws", &[("token", &alice.token)]).status, 426);
    assert_eq!(world.get("/ws", &[("token", "nonsense")]).status, 403);
}

#[test]
fn logging_out_closes_the_sockets_of_that_login() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let mut at_bob = Socket::open(&bob);
    at_bob.settle();
    let mut at_alice = Socket::open(&alice);
    at_alice.settle();
    alice.log_out();
    assert_eq!(at_alice.close_code(), Some(1008));
    assert_eq!(at_bob.hear(), "用户 alice 加入了聊天");
    assert_eq!(at_bob.hear(), "用户 alice 已离开");
}

#[test]
fn a_socket_ends_when_its_token_does() {
    let world = Setup::new().env("ROCKET_TOKEN_LIFETIME_SECS", 2).start();
    let alice = Person::arrive(&world, "alice");
    assert_eq!(Socket::open(&alice).close_code(), Some(1008));
}

#[test]
fn an_oversized_frame_closes_its_own_socket_only() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let mut at_alice = Socket::open(&alice);
    at_alice.settle();
    let mut at_bob = Socket::open(&bob);
    at_bob.say(&"x".repeat(64 << 10));
    assert_eq!(at_alice.hear(), "用户 bob 加入了聊天");
    assert_eq!(at_alice.hear().len(), "bob: ".len() + (64 << 10));
    at_bob.say(&"x".repeat((64 << 10) + 1));
    assert_eq!(at_bob.close_code(), Some(1009));
    assert_eq!(at_alice.hear(), "用户 bob 已离开");
}

#[test]
fn a_binary_frame_that_is_no_text_is_passed_over_and_one_that_is_passes() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let mut at_alice = Socket::open(&alice);
    at_alice.settle();
    let mut at_bob = Socket::open(&bob);
    at_bob.send(Message::Binary("文".into()));
    assert_eq!(at_alice.hear(), "用户 bob 加入了聊天");
    assert_eq!(at_alice.hear(), "bob: 文");
    at_bob.send(Message::Binary(vec![0xff]));
    at_bob.say("and on");
    assert_eq!(at_alice.hear(), "bob: and on");
}

#[test]
fn a_reader_who_never_reads_is_dropped_and_the_others_hear_everything() {
    let world = World::start();
    let [alice, bob, slow] = Person::arrive_all(&world, ["alice", "bob", "slow"]);
    let mut stuck = Socket::open(&slow);
    stuck.settle();
    let mut at_bob = Socket::open(&bob);
    at_bob.settle();
    let mut at_alice = Socket::open(&alice);
    assert_eq!(at_bob.hear(), "用户 alice 加入了聊天");
    let text = "x".repeat(60 << 10);
    let mut is_dropped = false;
    for _ in 0..2_000 {
        at_alice.say(&text);
        loop {
            let heard = at_bob.hear();
            is_dropped |= heard == "用户 slow 已离开";
            if heard.starts_with("alice: ") {
                break;
            }
        }
        if is_dropped {
            break;
        }
    }
    assert!(is_dropped, "somebody who never reads is kept for ever");
}

#[test]
fn a_connection_that_is_only_half_a_handshake_keeps_nobody_online() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    bob.log_out();
    let half = world.connect();
    alice.add(&bob);
    assert!(alice.list("/me/contacts/online").is_empty());
    drop(half);
}

#[test]
fn a_socket_whose_peer_is_gone_counts_no_longer() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    alice.add(&bob);
    let mut at_alice = Socket::open(&alice);
    at_alice.settle();
    // A login of message_store is no sign of presence here; the socket is the only one.
    bob.log_out();
    let hash = sha256_hex(PASSWORD);
    let login = world.post(
        "/auth/login",
        &json!({ "user_id": "bob", "password_hash": hash }),
    );
    let token = login.ok()["data"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let path = format!("/ws?token={token}");
    let at_bob = Socket::try_open(&world, &path, None).expect("one store, one token");
    assert_eq!(at_alice.hear(), "用户 bob 加入了聊天");
    let online = alice.list("/me/contacts/online");
    assert_eq!(online[0]["username"], "bob");
    assert!(
        online[0]["ip_address"].is_null(),
        "no login here told it: {online:?}"
    );
    drop(at_bob);
    assert_eq!(at_alice.hear(), "用户 bob 已离开");
    wait_for(|| alice.list("/me/contacts/online").is_empty().then_some(()));
}
