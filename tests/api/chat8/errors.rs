//! Whatever is asked under /api/v1, the answer wears the envelope.

use reqwest::Method;
use serde_json::json;

use super::{Someone, data, refused, registration};
use crate::internal_errors::{assert_cause_is_logged, refuse_new};
use crate::world::{Reply, World};

/// Every route that needs a token, with an id where it takes one.
const GUARDED: [(&str, &str); 21] = [
    ("POST", "/auth/refresh"),
    ("POST", "/auth/logout"),
    ("GET", "/user/profile"),
    ("PUT", "/user/profile"),
    ("PUT", "/user/password"),
    ("PUT", "/user/status"),
    ("GET", "/friends"),
    ("GET", "/friends/search?q=a"),
    ("GET", "/friends/requests"),
    ("POST", "/friends/request"),
    ("PUT", "/friends/request/1"),
    ("DELETE", "/friends/1"),
    ("GET", "/messages/1"),
    ("POST", "/messages"),
    ("PUT", "/messages/1/read"),
    ("DELETE", "/messages/1"),
    ("POST", "/upload/avatar"),
    ("POST", "/upload/file"),
    ("GET", "/files/x"),
    ("GET", "/encryption/public-key/1"),
    ("POST", "/encryption/keys"),
];

fn ask(world: &World, method: &str, path: &str) -> Reply {
    let method: Method = method.parse().expect("a method");
    Reply::to(world.request(method, &format!("/api/v1{path}")))
}

#[test]
fn without_a_token_every_route_but_the_open_ones_is_closed() {
    let world = World::start();
    for (method, path) in GUARDED {
        refused(&ask(&world, method, path), 401, "AUTH_001");
    }
    refused(&ask(&world, "GET", "/encryption/keys"), 401, "AUTH_001");
}

#[test]
fn unknown_paths_and_wrong_methods_are_told_in_the_envelope() {
    let world = World::start();
    for path in ["/", "/nothing", "/friends/a/b/c", "/auth"] {
        refused(&ask(&world, "GET", path), 404, "NOT_FOUND");
    }
    let reply = ask(&world, "GET", "/auth/login");
    refused(&reply, 405, "NOT_FOUND");
    assert_eq!(reply.header("allow"), Some("POST"));
    refused(&ask(&world, "DELETE", "/user/profile"), 405, "NOT_FOUND");
    // What is not under the prefix is not of this API.
    assert_eq!(world.get("/nothing", &[]).json()["status"], "error");
}

#[test]
fn questions_about_a_path_are_answered_without_a_body_or_with_its_methods() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let head = alice.call(Method::HEAD, "/user/profile", None);
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let length = head.header("content-length").map(str::to_owned);
    let whole = alice.get("/user/profile").text.len().to_string();
    assert_eq!(length, Some(whole), "as for a GET");
    for method in ["OPTIONS", "PATCH"] {
        let reply = ask(&world, method, "/user/profile");
        refused(&reply, 405, "NOT_FOUND");
        assert_eq!(reply.header("allow"), Some("GET, PUT"));
    }
    refused(&ask(&world, "OPTIONS", "/nothing"), 404, "NOT_FOUND");
}

#[test]
fn unknown_fields_are_passed_over_and_repeated_ones_are_not_guessed() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let body = json!({"receiver_id": alice.id, "content": "x", "sender_id": 1, "nothing": [{}]});
    assert_eq!(data(&alice.post("/messages", &body))["sender_id"], alice.id);
    let twice = format!(
        "{{\"receiver_id\": {0}, \"receiver_id\": {0}, \"content\": \"x\"}}",
        alice.id
    );
    let request = world.request(Method::POST, "/api/v1/messages");
    let reply = Reply::to(request.bearer_auth(&alice.token).body(twice));
    refused(&reply, 422, "VALIDATION");
}

#[test]
fn a_final_slash_makes_no_difference() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    assert_eq!(data(&alice.get("/friends/")), json!([]));
    assert_eq!(data(&alice.get("/friends/requests/")), json!([]));
}

#[test]
fn a_body_that_cannot_be_read_is_400_and_one_of_a_wrong_shape_422() {
    let world = World::start();
    let send = |body: &[u8]| {
        let request = world.request(Method::POST, "/api/v1/auth/login");
        Reply::to(
            request
                .header("Content-Type", "application/json")
                .body(body.to_vec()),
        )
    };
    for body in [
        &b""[..],
        b"{",
        b"username=alice",
        b"\xff\xfe",
        b"{\"username\": \"a\", }",
        // A field of a wrong type does not hide that the rest is no JSON.
        b"{\"username\": 5, \"password\"",
        b"{\"username\": 5} and more",
    ] {
        refused(&send(body), 400, "VALIDATION");
    }
    for body in [
        &b"[]"[..],
        b"7",
        b"null",
        b"{}",
        b"{\"username\": [], \"password\": 1}",
        // As many values as there are fields, but no object.
        b"[\"alice\", \"password of alice\"]",
    ] {
        refused(&send(body), 422, "VALIDATION");
    }
    refused(&send(&vec![b' '; 30 << 20]), 413, "VALIDATION");
}

#[test]
fn a_fault_of_the_server_is_500_with_its_cause_in_the_log_alone() {
    let world = World::start();
    refuse_new(&world, "users");
    let reply = world.post("/api/v1/auth/register", &registration("alice"));
    assert_eq!(refused(&reply, 500, "INTERNAL"), json!({}));
    assert_eq!(reply.json()["error"]["message"], "服务器内部错误");
    assert_cause_is_logged(&world);
}
