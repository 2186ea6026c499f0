//! What every HTTP API has in common: a request is what its first line says, and what is wrong with
//! its body is found and told at little cost.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::chat8::{Someone, data};
use crate::world::{Reply, World};

#[test]
fn a_form_field_cannot_change_the_method() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    bob.send(&alice, "unread");
    alice.befriend(&bob);
    let submit = |path: &str, method: &str| {
        let request = world.request(Method::POST, path).bearer_auth(&alice.token);
        Reply::to(request.form(&[("_method", method)]))
    };
    let friend = format!("/api/v1/friends/{}", bob.id);
    for method in ["DELETE", "delete", "PUT", "PATCH", "OPTIONS"] {
        assert_eq!(submit(&friend, method).status, 405, "{method}");
    }
    assert_ne!(data(&alice.get("/friends")), json!([]));
    for method in ["GET", "HEAD", "POST"] {
        assert_eq!(submit("/messages/", method).status, 422, "{method}");
    }
    let request = world.request(Method::GET, "/messages/");
    let mailbox = Reply::to(request.bearer_auth(&alice.token)).json();
    assert_eq!(mailbox[0]["encrypted_content"], "unread");
}

/// A registration in each API, with a name that none has.
fn registrations(tag: &str) -> [(&'static str, Value); 4] {
    let name = |number: usize| format!("{tag}{number}");
    let address = |number: usize| format!("{tag}{number}@example.org");
    [
        (
            "/auth/register",
            json!({"user_id": name(0), "password_hash": "h", "public_key": "k"}),
        ),
        (
            "/users",
            json!({
                "username": name(1), "email": address(1), "password": "password1",
                "public_key": "k",
            }),
        ),
        (
            "/api/v1/auth/register",
            json!({
                "username": name(2), "email": address(2), "password": "password1",
                "confirm_password": "password1",
            }),
        ),
        (
            "/register",
            json!({
                "username": name(3), "password": "password1", "repassword": "password1",
                "publicKey": "k",
            }),
        ),
    ]
}

#[test]
fn a_byte_order_mark_before_the_json_is_passed_over() {
    let world = World::start();
    for (path, body) in registrations("marked") {
        let post = |body: String| Reply::to(world.request(Method::POST, path).body(body)).status;
        assert_eq!(post(format!("\u{feff}{body}")), 200, "{path}");
        assert!([400, 422].contains(&post("\u{feff}".into())), "{path}");
        assert!(
            [400, 422].contains(&post(format!("\u{feff}\u{feff}{body}"))),
            "{path}"
        );
    }
}

#[test]
fn a_long_wrong_value_is_not_said_back_whole() {
    let world = World::start();
    let long = json!("长".repeat(20_000));
    for (path, _) in registrations("nobody") {
        let reply = world.post(path, &long);
        assert!([400, 422].contains(&reply.status), "{path}: {reply:?}");
        assert!(reply.text.len() < 2_000, "{path}: {reply:?}");
    }
    let alice = Someone::new(&world, "alice");
    let reply = alice.put("/user/status", &json!({ "status": long }));
    assert_eq!(reply.status, 422, "{reply:?}");
    assert!(reply.text.len() < 2_000, "{reply:?}");
    assert!(
        reply.text.contains("none of online, away, offline"),
        "{reply:?}"
    );
}

#[test]
fn a_name_of_nothing_but_marks_is_refused_as_soon_as_any_other_that_is_too_long() {
    let world = World::start();
    let plain = "x".repeat(22 << 20);
    // Each is to stand before the one before it.
    let marks = "\u{301}\u{316}".repeat((22 << 20) / 4);
    for (path, mut body) in registrations("long") {
        let mut time = |name: &str| {
            let field = if path.starts_with("/auth") {
                "user_id"
            } else {
                "username"
            };
            body[field] = json!(name);
            let begun = Instant::now();
            let reply = world.post(path, &body);
            assert!([400, 422].contains(&reply.status), "{path}: {reply:?}");
            begun.elapsed()
        };
        let (usual, of_marks) = (time(&plain), time(&marks));
        assert!(
            of_marks < usual * 2 + Duration::from_secs(1),
            "{path}: {of_marks:?}, not {usual:?}"
        );
    }
}
