//! Who may call: protected mode, tokens, and the modes `token` and `open`.

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::json;
use tempfile::TempDir;

use crate::world::{Person, Reply, Setup, World, ended, message_path, permission_path, program};

const FORWARDED: [(&str, &str); 6] = [
    ("X-Forwarded-For", "192.0.2.7"),
    ("Forwarded", "for=192.0.2.7"),
    ("X-Real-IP", "192.0.2.7"),
    ("x-forwarded-proto", "https"),
    ("X-Forwarded-Host", "post.example"),
    ("via", "1.1 proxy.example"),
];

/// Every call that names an acting user, made by `person` on a message of theirs.
fn calls(person: &Person, message_id: i64) -> Vec<RequestBuilder> {
    let world = person.world;
    let body = json!({
        "user_id": person.id,
        "receiver_id": person.id,
        "target_user_id": "guest",
        "permission_type": "read",
        "encrypted_content": "sealed",
    });
    let message = message_path(message_id);
    let get = |path: &str| {
        world
            .request(Method::GET, path)
            .query(&[("user_id", &person.id)])
    };
    let with_body = |method, path: &str| world.request(method, path).json(&body);
    vec![
        with_body(Method::POST, "/messages/send"),
        get("/messages/inbox"),
        get("/messages/outbox"),
        get(&message),
        get(&format!("{message}/permissions")),
        with_body(Method::POST, &permission_path(message_id)),
        with_body(Method::DELETE, &permission_path(message_id)),
        with_body(Method::PUT, &message),
        with_body(Method::DELETE, &message),
    ]
}

/// What each call of [`calls`] answers when `dress` has added a credential or a header to it.
fn answers(person: &Person, dress: impl Fn(RequestBuilder) -> RequestBuilder) -> Vec<Reply> {
    let id = person.send_with_token(person, "sealed");
    calls(person, id)
        .into_iter()
        .map(|call| Reply::to(dress(call)))
        .collect()
}

fn assert_all(status: u16, replies: &[Reply]) {
    for reply in replies {
        if status == 200 {
            reply.ok();
        } else {
            reply.error(status);
        }
    }
}

impl Person<'_> {
    /// Sends with this person's token, which every mode accepts.
    fn send_with_token(&self, receiver: &Person, content: &str) -> i64 {
        let request = self
            .world
            .request(Method::POST, "/messages/send")
            .bearer_auth(self.token());
        let reply = Reply::to(request.json(&self.letter(&receiver.id, content))).ok();
        reply["message_id"].as_i64().expect("an id")
    }
}

#[test]
fn protected_mode_serves_a_loopback_peer_without_a_token() {
    let world = World::start();
    let [alice, _] = world.people(["alice", "guest"]);
    assert_all(200, &answers(&alice, |call| call));
}

#[test]
fn protected_mode_asks_whoever_was_forwarded_for_a_token() {
    let world = World::start();
    let [alice, _] = world.people(["alice", "guest"]);
    for (name, value) in FORWARDED {
        for reply in answers(&alice, |call| call.header(name, value)) {
            let text = reply.error(401);
            assert!(text.contains("/auth/login"), "says how to log in: {text}");
            let setting = "auth = \"protected\"";
            assert!(text.contains(setting), "says how to configure this: {text}");
        }
        let token = alice.token();
        assert_all(
            200,
            &answers(&alice, |call| call.header(name, value).bearer_auth(token)),
        );
    }
}

#[test]
fn protected_mode_asks_what_other_web_sites_embed_for_a_token() {
    let world = World::start();
    let [alice, _] = world.people(["alice", "guest"]);
    for (site, status) in [
        ("cross-site", 401),
        ("same-site", 401),
        ("same-origin", 200),
        ("none", 200),
    ] {
        let from = |call: RequestBuilder| call.header("Sec-Fetch-Site", site);
        assert_all(status, &answers(&alice, from));
    }
}

#[test]
fn registering_logging_in_and_public_keys_need_no_token() {
    let setup = Setup::new().env("ROCKET_AUTH", "token");
    let world = setup.start();
    world.register("alice").log_in();
    let request = world.request(Method::GET, "/auth/public_key?user_id=alice");
    Reply::to(request.header("X-Forwarded-For", "192.0.2.7")).ok();
}

#[test]
fn mode_token_asks_everyone_for_a_token() {
    let world = Setup::new().env("ROCKET_AUTH", "token").start();
    let [alice, bob] = world.people(["alice", "guest"]);
    for reply in answers(&alice, |call| call) {
        let text = reply.error(401);
        assert!(
            text.contains("A server with auth = \"protected\""),
            "{text}"
        );
    }
    let (own, other) = (alice.token(), bob.token());
    assert_all(200, &answers(&alice, |call| call.bearer_auth(own)));
    assert_all(403, &answers(&alice, |call| call.bearer_auth(other)));
}

#[test]
fn mode_open_serves_the_forwarded_too_and_warns_at_start() {
    let world = Setup::new().env("ROCKET_AUTH", "open").start();
    let [alice, _] = world.people(["alice", "guest"]);
    for (name, value) in FORWARDED {
        assert_all(200, &answers(&alice, |call| call.header(name, value)));
    }
    world.server.wait_for_line(|line| {
        line.to_lowercase().contains("open") && line.to_lowercase().contains("warn")
    });
}

#[test]
fn a_token_that_is_sent_is_always_checked() {
    for mode in ["protected", "open", "token"] {
        let world = Setup::new().env("ROCKET_AUTH", mode).start();
        let [alice, guest] = world.people(["alice", "guest"]);
        let own = alice.token().to_owned();
        let other = guest.token();
        let mut tampered = own.clone();
        tampered.replace_range(
            own.len() / 2..=own.len() / 2,
            if own.as_bytes()[own.len() / 2] == b'A' {
                "B"
            } else {
                "A"
            },
        );
        let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiIxIiwiZXhwIjo5OTk5OTk5OTk5LCJqdGkiOiIxIn0.";
        for unknown in ["nonsense", &tampered, unsigned, &own[..own.len() - 4]] {
            for reply in answers(&alice, |call| call.bearer_auth(unknown)) {
                reply.error(401);
            }
        }
        for reply in answers(&alice, |call| call.bearer_auth(other)) {
            reply.error(403);
        }
    }
}

#[test]
fn of_two_tokens_both_are_checked() {
    let world = World::start();
    let alice = world.register("alice");
    let token = alice.token();
    let request = world.request(Method::GET, "/messages/inbox?user_id=alice");
    let two = request.bearer_auth(token).bearer_auth("nonsense");
    Reply::to(two).error(401);
    for (header, query) in [(token, "nonsense"), ("nonsense", token)] {
        let path = format!("/messages/stream?user_id=alice&token={query}");
        Reply::to(world.request(Method::GET, &path).bearer_auth(header)).error(401);
    }
    let path = "/messages/stream?user_id=alice&token=";
    let one = world.request(Method::GET, path).bearer_auth(token).send();
    assert_eq!(one.expect("an answer").status(), 200);
}

#[test]
fn an_authorization_that_is_no_bearer_token_is_refused() {
    let world = World::start();
    world.register("alice");
    for value in ["Basic YWxpY2U6aA==", "Bearer", "Bearer ", "token", ""] {
        let request = world.request(Method::GET, "/messages/inbox?user_id=alice");
        let reply = Reply::to(request.header("Authorization", value));
        assert_eq!(reply.status, 401, "{value:?}: {reply:?}");
    }
}

#[test]
fn tokens_outlive_a_restart() {
    let mut world = Setup::new().env("ROCKET_AUTH", "token").start();
    let token = world.register("alice").log_in();
    world.restart();
    let request = world.request(Method::GET, "/messages/inbox?user_id=alice");
    Reply::to(request.bearer_auth(token)).ok();
}

#[test]
fn the_answer_to_a_refused_caller_does_not_tell_who_exists() {
    let world = Setup::new().env("ROCKET_AUTH", "token").start();
    world.register("alice");
    let inbox = |user_id| {
        world
            .get("/messages/inbox", &[("user_id", user_id)])
            .error(401)
    };
    assert_eq!(inbox("alice"), inbox("nobody"));
}

#[test]
fn the_modes_are_checked_at_start() {
    let home = TempDir::new().expect("a temporary directory");
    let output = ended(
        program()
            .args(["serve", "--port", "0", "--data-dir"])
            .arg(home.path().join("data"))
            .env("ROCKET_AUTH", "sometimes"),
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(text.contains("auth"), "names the setting: {text}");
}
