//! Who gets no socket, and how sockets end: never with 1000 or 1001.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::people::{PASSWORD, Socket, join};
use crate::world::{Setup, World};

#[test]
fn a_socket_needs_a_good_token_in_header_bearer_or_query() {
    let world = World::start();
    let alice = join(&world, "alice");
    let bearer = format!("Bearer {}", alice.token);
    let in_query = format!("/chat?token={}", alice.token);
    for (path, headers) in [
        ("/chat", vec![("token", alice.token.as_str())]),
        ("/chat/", vec![("token", alice.token.as_str())]),
        ("/chat", vec![("Authorization", bearer.as_str())]),
        (in_query.as_str(), vec![]),
    ] {
        let socket = Socket::open(&world, path, &headers);
        let mut socket = socket.expect("the socket opens");
        socket.roster_until(|ids| ids == [alice.id]);
    }
    for (path, headers) in [
        ("/chat", vec![]),
        ("/chat", vec![("token", "nonsense")]),
        ("/chat", vec![("token", "")]),
        ("/chat", vec![("Authorization", "Bearer nonsense")]),
        ("/chat?token=nonsense", vec![]),
        (in_query.as_str(), vec![("token", "nonsense")]),
    ] {
        let refused = Socket::open(&world, path, &headers)
            .err()
            .expect("it is refused");
        assert_eq!(refused.status(), 401, "{path} {headers:?}");
    }
}

#[test]
fn pages_of_foreign_origins_get_no_socket() {
    let world = Setup::new()
        .env("ROCKET_ALLOWED_ORIGINS", "[\"https://ours.example\"]")
        .start();
    let alice = join(&world, "alice");
    let own = world.url("");
    let open = |origin: &str| {
        Socket::open(
            &world,
            "/chat",
            &[("token", &alice.token), ("Origin", origin)],
        )
        .map_err(|answer| answer.status().as_u16())
    };
    assert!(open("https://ours.example").is_ok());
    assert!(open(&own).is_ok());
    assert_eq!(open("https://evil.example").err(), Some(403));
    assert_eq!(open("null").err(), Some(403));
}

#[test]
fn a_plain_request_is_told_to_upgrade() {
    let world = World::start();
    let alice = join(&world, "alice");
    let reply = world.get("/chat", &[("token", &alice.token)]);
    assert_eq!(reply.status, 426);
    assert_eq!(reply.json()["code"], 0);
    assert_eq!(reply.header("upgrade"), Some("websocket"));
}

#[test]
fn a_changed_password_ends_the_socket_with_1008() {
    let world = World::start();
    let alice = join(&world, "alice");
    let mut socket = alice.connect();
    let hash = |password: &str| format!("{:x}", Sha256::digest(password));
    let body = json!({
        "user_id": "alice", "current_password_hash": hash(PASSWORD), "new_password_hash": hash("new"),
    });
    world.post("/auth/change_password", &body).ok();
    assert_eq!(socket.close_code(), 1008);
    let refused = Socket::open(&world, "/chat", &[("token", &alice.token)]).err();
    assert_eq!(refused.expect("it is refused").status(), 401);
}

#[test]
fn a_token_that_expires_ends_the_socket_with_1008() {
    let world = Setup::new().env("ROCKET_TOKEN_LIFETIME_SECS", 2).start();
    let alice = join(&world, "alice");
    assert_eq!(alice.dial().close_code(), 1008);
}

#[test]
fn a_frame_beyond_all_limits_ends_the_socket_with_1008() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let mut socket = alice.connect();
    let frame = alice.frame(&bob, &"x".repeat(17 << 20), "k").to_string();
    // The server may have closed before it has taken all of it.
    let _ = socket.try_send_text(frame);
    assert_eq!(socket.close_code(), 1008);
    assert!(bob.records(alice.id).is_empty());
}

#[test]
fn a_server_that_stops_closes_with_1013() {
    let mut world = World::start();
    let token = join(&world, "alice").token;
    let mut socket = Socket::open(&world, "/chat", &[("token", &token)]).expect("it opens");
    socket.next();
    world.server.signal("TERM");
    assert_eq!(socket.close_code(), 1013);
    drop(socket);
    assert!(world.server.wait().success());
}

#[test]
fn a_reader_that_falls_behind_is_closed_and_finds_everything_in_the_records() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let mut of_alice = alice.connect();
    let mut slow = bob.connect();
    let text = "x".repeat(1 << 20);
    for _ in 0..60 {
        of_alice.send(&alice.frame(&bob, &text, "k"));
    }
    let records = bob.records_once_there_are(60, alice.id);
    assert_eq!(records.len(), 60);
    // Whoever reads nothing for long does not hear the farewell either.
    assert!(matches!(slow.end(), None | Some(1013)));
    of_alice.send(&alice.frame(&bob, "", "the sender goes on"));
    assert!(of_alice.frames_so_far().is_empty());
}
