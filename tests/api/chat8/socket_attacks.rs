//! The socket and those who should not have it, or do not behave.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{Live, Someone, data, done, password_of, refused, text, wait_until};
use crate::world::{Setup, World};

#[test]
fn a_wrong_token_is_refused_at_the_handshake() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let status =
        |path: &str, headers: &[(&'static str, &str)]| Live::open(&world, path, headers).err();
    assert_eq!(status(&format!("/ws/{}", alice.id), &[]), Some(401));
    assert_eq!(
        status(&format!("/ws/{}?token=nonsense", alice.id), &[]),
        Some(401)
    );
    assert_eq!(
        status(&format!("/ws/{}?token={}", alice.id, bob.token), &[]),
        Some(403)
    );
    assert_eq!(
        status(&format!("/ws/99999?token={}", bob.token), &[]),
        Some(403)
    );
    assert_eq!(
        status(&format!("/ws/bob?token={}", bob.token), &[]),
        Some(403)
    );
    for id in ["+", "0", "00", " "].map(|before| format!("{before}{}", bob.id)) {
        let path = format!("/ws/{}?token={}", id.replace(' ', "%20"), bob.token);
        assert_eq!(status(&path, &[]), Some(403), "{path}");
    }
    bob.post("/auth/logout", &json!({}));
    assert_eq!(
        status(&format!("/ws/{}?token={}", bob.id, bob.token), &[]),
        Some(401)
    );
}

#[test]
fn a_page_of_a_foreign_origin_is_refused() {
    let world = Setup::new()
        .env("ROCKET_ALLOWED_ORIGINS", r#"["https://chat.example"]"#)
        .start();
    let alice = Someone::new(&world, "alice");
    let path = format!("/ws/{}?token={}", alice.id, alice.token);
    let own = format!("http://127.0.0.1:{}", world.server.port());
    for (origin, refusal) in [
        ("https://evil.example", Some(403)),
        ("null", Some(403)),
        (&own, None),
        ("https://chat.example", None),
    ] {
        assert_eq!(
            Live::open(&world, &path, &[("origin", origin)]).err(),
            refusal,
            "{origin}"
        );
    }
}

#[test]
fn a_plain_request_gets_an_answer_not_a_socket() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let reply = world.get(&format!("/ws/{}?token={}", alice.id, alice.token), &[]);
    super::refused(&reply, 400, "VALIDATION");
}

#[test]
fn the_end_of_the_login_is_the_end_of_its_sockets() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let mut live = alice.connect();
    live.ping();
    alice.post("/auth/logout", &json!({}));
    assert_eq!(live.closing_code(), Some(1008));
}

/// The same user with the token that replaces theirs.
fn refreshed<'w>(someone: &Someone<'w>) -> Someone<'w> {
    let refreshed = data(&someone.post("/auth/refresh", &json!({})));
    someone.with_token(&text(&refreshed["access_token"]))
}

#[test]
fn a_refresh_is_not_heard_and_logout_ends_the_sockets_from_before_it() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    alice.befriend(&bob);
    let mut friend = bob.connect();
    friend.ping();
    let mut live = alice.connect();
    let mut heard = || text(&friend.next_of("user_status")["status"]);
    assert_eq!(heard(), "online");
    let alice = refreshed(&refreshed(&alice));
    live.ping();
    data(&alice.put("/user/status", &json!({"status": "away"})));
    assert_eq!(heard(), "away", "nothing was heard in between");
    done(&alice.post("/auth/logout", &json!({})), "登出成功");
    assert_eq!(live.closing_code(), Some(1008));
    assert_eq!(heard(), "offline");
}

#[test]
fn a_new_password_ends_the_refreshed_sockets_of_every_login_but_its_own() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let login = json!({"username": "alice", "password": password_of("alice")});
    let login = data(&world.post("/api/v1/auth/login", &login));
    let other = alice.with_token(&text(&login["access_token"]));
    let (mut own, mut others) = (alice.connect(), other.connect());
    let alice = refreshed(&alice);
    refreshed(&other);
    let change = json!({"current_password": password_of("alice"), "new_password": "12345678", "confirm_password": "12345678"});
    done(&alice.put("/user/password", &change), "密码修改成功");
    assert_eq!(others.closing_code(), Some(1008));
    own.ping();
}

#[test]
fn the_end_of_the_tokens_time_is_the_end_of_its_sockets() {
    let world = Setup::new().env("ROCKET_TOKEN_LIFETIME_SECS", 2).start();
    let alice = Someone::new(&world, "alice");
    let mut live = alice.connect();
    assert_eq!(live.closing_code(), Some(1008));
    let path = format!("/ws/{}?token={}", alice.id, alice.token);
    assert_eq!(Live::open(&world, &path, &[]).err(), Some(401));
}

#[test]
fn a_socket_goes_on_by_the_tokens_that_replace_its_own_until_the_last_has_expired() {
    const LIFETIME_SECS: u64 = 2;
    let world = Setup::new()
        .env("ROCKET_TOKEN_LIFETIME_SECS", LIFETIME_SECS)
        .start();
    let mut alice = Someone::new(&world, "alice");
    let mut live = alice.connect();
    let begun = Instant::now();
    wait_until("the first token's time is long up", || {
        alice = refreshed(&alice);
        live.ping();
        begun.elapsed() > Duration::from_secs(2 * LIFETIME_SECS)
    });
    assert_eq!(live.closing_code(), Some(1008));
    refused(&alice.get("/user/profile"), 401, "AUTH_002");
}

#[test]
fn a_frame_that_is_too_large_ends_the_socket() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let mut live = alice.connect();
    let ping = r#"{"type": "ping"}"#;
    let padding = " ".repeat((1 << 20) - ping.len());
    live.send(Message::Text(padding + ping));
    assert_eq!(live.next()["type"], "pong", "a whole MiB is taken");
    live.send(Message::Text(" ".repeat((1 << 20) + 1)));
    assert_eq!(live.closing_code(), Some(1009));
}

#[test]
fn bytes_that_are_no_text_are_answered_and_a_text_that_is_none_ends_the_socket() {
    let world = World::start();
    let mut live = Someone::new(&world, "alice").connect();
    live.send(Message::Binary(br#"{"type": "ping"}"#.to_vec()));
    assert_eq!(live.next()["type"], "pong");
    for bytes in [&[0xff, 0xfe][..], b"{\"type\": \"ping\", \"x\": \"\xff\"}"] {
        live.send(Message::Binary(bytes.to_vec()));
        assert!(live.next_of("error")["message"].is_string());
    }
    live.ping();
    let masked_text = [0x81, 0x81, 0, 0, 0, 0, 0xff];
    live.write(&masked_text).expect("the socket takes it");
    assert_eq!(live.closing_code(), Some(1007));
}

#[test]
fn a_reader_that_never_reads_is_dropped_and_costs_the_others_nothing() {
    const MESSAGES: usize = 400;
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let mut attentive = bob.connect();
    attentive.ping();
    let _asleep = bob.connect();
    let content = "x".repeat(128 << 10);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            (0..MESSAGES)
                .map(|_| attentive.next_of("new_message")["id"].clone())
                .collect::<Vec<_>>()
        });
        let sent: Vec<_> = (0..MESSAGES)
            .map(|_| json!(alice.send(&bob, &content)))
            .collect();
        assert_eq!(reader.join().expect("it reads"), sent);
    });
    wait_until("the one asleep is dropped", || world.live("chat8") == 1);
    let first = data(&bob.get(&format!("/messages/{}?page=2&limit=200", alice.id)));
    assert_eq!(
        first["pagination"]["total"], MESSAGES,
        "what was missed is there to be read"
    );
}

#[test]
fn a_reader_that_falls_behind_but_reads_on_is_told_why_it_is_dropped() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let content = "x".repeat(128 << 10);
    // The server waits a moment for those who read on. A busy machine may miss it, but not always.
    let code = (0..10).find_map(|_| {
        let mut late = bob.connect();
        late.ping();
        let is_dropped = (0..1_000).any(|_| {
            alice.send(&bob, &content);
            world.live("chat8") == 0
        });
        assert!(is_dropped, "somebody who never reads is kept for ever");
        late.closing_code()
    });
    assert_eq!(code, Some(1013));
}
