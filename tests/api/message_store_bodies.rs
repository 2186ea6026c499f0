//! What cannot be read: broken JSON, wrong types, missing fields, unknown routes and methods.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Reply, Setup, World, rest_of};

/// Each route that reads a JSON body, with a body it takes (message 1 exists, from alice to bob).
fn routes() -> Vec<(Method, &'static str, Value)> {
    let hash = crate::world::password_hash_of("alice");
    vec![
        (
            Method::POST,
            "/auth/register",
            json!({"user_id": "new", "password_hash": "h", "public_key": "k"}),
        ),
        (
            Method::POST,
            "/auth/login",
            json!({"user_id": "alice", "password_hash": hash}),
        ),
        (
            Method::POST,
            "/auth/change_password",
            json!({"user_id": "alice", "current_password_hash": hash, "new_password_hash": hash}),
        ),
        (
            Method::POST,
            "/messages/send",
            json!({"user_id": "alice", "receiver_id": "bob", "encrypted_content": "sealed"}),
        ),
        (
            Method::POST,
            "/messages/message/1/permission",
            json!({"user_id": "alice", "target_user_id": "carol", "permission_type": "read"}),
        ),
        (
            Method::DELETE,
            "/messages/message/1/permission",
            json!({"user_id": "alice", "target_user_id": "carol"}),
        ),
        (
            Method::PUT,
            "/messages/message/1",
            json!({"user_id": "alice", "encrypted_content": "sealed"}),
        ),
    ]
}

/// A world in which alice's message 1 to bob is granted to carol, and any number of logins may fail.
fn world() -> World {
    let world = Setup::new()
        .env("ROCKET_LOGIN_FAILURES_PER_ACCOUNT", 10_000)
        .env("ROCKET_LOGIN_FAILURES_PER_ADDRESS", 10_000)
        .start();
    let [alice, bob, _] = world.people(["alice", "bob", "carol"]);
    assert_eq!(alice.send(&bob, "sealed"), 1);
    alice.grant(1, "carol", "read").ok();
    world
}

fn send_raw(world: &World, method: &Method, path: &str, body: impl Into<Vec<u8>>) -> Reply {
    let request = world.request(method.clone(), path);
    Reply::to(
        request
            .header("Content-Type", "application/json")
            .body(body.into()),
    )
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_body_hears_so_and_is_let_go() {
    use std::io::Write as _;

    let world = World::start();
    let mut socket = world.connect();
    let half =
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{\"user_id\": \"alic";
    socket.write_all(half).expect("taken");
    let answer = String::from_utf8(rest_of(&mut socket)).expect("UTF-8");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn unreadable_json_of_every_sort_is_refused() {
    let world = world();
    let deep = "[".repeat(100_000);
    let bodies: [&[u8]; 18] = [
        b"",
        b" ",
        b"null",
        b"true",
        b"0",
        b"\"text\"",
        b"[]",
        b"[{}]",
        b"{}",
        b"{",
        b"}",
        b"{\"user_id\":",
        b"{\"user_id\": \"alice\",}",
        b"{'user_id': 'alice'}",
        b"user_id=alice&password_hash=h",
        b"\xff\xfe{\0}\0",
        b"{\"user_id\": \"\xc3\x28\", \"password_hash\": \"h\", \"public_key\": \"k\"}",
        deep.as_bytes(),
    ];
    for (method, path, _) in routes() {
        for body in bodies {
            send_raw(&world, &method, path, body).error(400);
        }
    }
}

#[test]
fn what_follows_the_json_is_refused() {
    let world = world();
    for (method, path, body) in routes() {
        send_raw(&world, &method, path, format!("{body} x")).error(400);
        send_raw(&world, &method, path, format!("{body}{body}")).error(400);
    }
}

#[test]
fn a_lone_surrogate_is_refused() {
    let world = world();
    let body = r#"{"user_id": "\ud800", "password_hash": "h", "public_key": "k"}"#;
    send_raw(&world, &Method::POST, "/auth/register", body).error(400);
}

#[test]
fn each_missing_field_is_named() {
    let world = world();
    for (method, path, body) in routes() {
        for field in body.as_object().expect("an object").keys() {
            let mut without = body.clone();
            without.as_object_mut().expect("an object").remove(field);
            let text = world.call(method.clone(), path, &without).error(400);
            assert!(
                text.contains(field.as_str()),
                "{method} {path} without {field}: {text}"
            );
        }
    }
}

#[test]
fn each_field_of_a_wrong_type_is_refused() {
    let world = world();
    let wrong = [
        json!(null),
        json!(1),
        json!(-1.5),
        json!(true),
        json!([]),
        json!({}),
        json!(["alice"]),
    ];
    for (method, path, body) in routes() {
        for field in body.as_object().expect("an object").keys() {
            for value in &wrong {
                let mut changed = body.clone();
                changed[field] = value.clone();
                world.call(method.clone(), path, &changed).error(400);
            }
        }
    }
}

#[test]
fn unknown_fields_and_any_content_type_are_accepted() {
    let world = world();
    for (method, path, mut body) in routes() {
        body["something_else"] = json!({"of": ["no", "interest"]});
        for content_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=utf-8",
            "",
        ] {
            if path == "/auth/register" {
                body["user_id"] = json!(format!("new {content_type}"));
            }
            if method == Method::DELETE {
                world.person("alice").grant(1, "carol", "read").ok();
            }
            let mut request = world.request(method.clone(), path).body(body.to_string());
            if !content_type.is_empty() {
                request = request.header("Content-Type", content_type);
            }
            Reply::to(request).ok();
        }
    }
}

#[test]
fn a_body_on_get_is_ignored() {
    let world = world();
    for path in [
        "/messages/inbox?user_id=bob",
        "/auth/public_key?user_id=bob",
        "/messages/message/1?user_id=bob",
    ] {
        for body in ["{", "{}", "x"] {
            send_raw(&world, &Method::GET, path, body).ok();
        }
    }
}

#[test]
fn sql_in_any_field_is_only_text() {
    let world = world();
    let texts = [
        "'; DROP TABLE messages; --",
        "\" OR \"\"=\"",
        "1 OR 1=1",
        "alice'--",
        "%",
        "\\",
    ];
    for (method, path, body) in routes() {
        for field in body.as_object().expect("an object").keys() {
            for text in texts {
                let mut changed = body.clone();
                changed[field] = json!(text);
                let reply = world.call(method.clone(), path, &changed);
                // Some of these are good values, such as a new user_id or a content.
                if reply.status != 200 {
                    assert!(
                        [400, 401, 403, 404].contains(&reply.status),
                        "{method} {path} {field}: {reply:?}"
                    );
                    reply.error(reply.status);
                }
            }
        }
        // The change of password above may have gone through with any text.
        world.register(&format!("still works {method} {}", path.replace('/', " ")));
    }
    for path in ["/messages/inbox", "/messages/outbox", "/auth/public_key"] {
        let reply = world.get(path, &[("user_id", "nobody' OR '1'='1")]);
        reply.error(404);
    }
    assert!(!world.person("bob").inbox().is_empty());
}

#[test]
fn huge_negative_and_wrong_ids_are_not_found() {
    let world = world();
    let huge = "9".repeat(200);
    let ids = [
        "0",
        "-1",
        "2",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        &huge,
        "1.0",
        "1e0",
        "0x1",
        "one",
        "%00",
        "1%20",
        "..%2F",
        "'",
        "%F0%9F%98%80",
    ];
    let body = json!({
        "user_id": "alice",
        "target_user_id": "carol",
        "permission_type": "read",
        "encrypted_content": "sealed",
    });
    let calls = [
        (Method::GET, ""),
        (Method::PUT, ""),
        (Method::DELETE, ""),
        (Method::GET, "/permissions"),
        (Method::POST, "/permission"),
        (Method::DELETE, "/permission"),
    ];
    for id in ids {
        for (method, tail) in &calls {
            let path = format!("/messages/message/{id}{tail}");
            let request = world
                .request(method.clone(), &path)
                .query(&[("user_id", "alice")]);
            let reply = Reply::to(request.json(&body));
            assert!(
                [400, 404].contains(&reply.status),
                "{method} {path}: {reply:?}"
            );
            reply.error(reply.status);
        }
    }
}

#[test]
fn unknown_routes_answer_404_in_the_error_shape() {
    let world = world();
    let paths = [
        "/auth",
        "/auth/",
        "/auth/nothing",
        "/auth/register/more",
        "/messages/nothing",
        "/messages/message",
        "/messages/message/1/nothing",
        "/messages/message/1/permission/2",
        "/messages/Inbox",
    ];
    for path in paths {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let reply = Reply::to(world.request(method.clone(), path).body("{}"));
            reply.error(404);
        }
    }
}

#[test]
fn wrong_methods_answer_405_in_the_error_shape() {
    let world = world();
    let wrong = [
        (Method::GET, "/auth/register"),
        (Method::PUT, "/auth/login"),
        (Method::POST, "/auth/public_key"),
        (Method::DELETE, "/auth/change_password"),
        (Method::GET, "/messages/send"),
        (Method::POST, "/messages/inbox"),
        (Method::DELETE, "/messages/outbox"),
        (Method::POST, "/messages/stream"),
        (Method::POST, "/messages/message/1"),
        (Method::PATCH, "/messages/message/1"),
        (Method::PUT, "/messages/message/1/permission"),
        (Method::POST, "/messages/message/1/permissions"),
    ];
    for (method, path) in wrong {
        Reply::to(world.request(method.clone(), path).body("{}")).error(405);
    }
}

#[test]
fn a_final_slash_makes_no_difference() {
    let world = world();
    world.get("/messages/inbox/", &[("user_id", "bob")]).ok();
    world.post("/auth/login/", &routes()[1].2).ok();
}

#[test]
fn a_body_far_over_every_limit_is_refused() {
    let world = world();
    for (method, path, mut body) in routes() {
        body["padding"] = json!("x".repeat(30 << 20));
        Reply::to(world.request(method, path).json(&body)).error(413);
    }
    world.person("bob").inbox();
}
