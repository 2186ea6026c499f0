//! Errors in the shape of a FastAPI server, wherever they come from.

use reqwest::Method;
use serde_json::json;

use super::person::{Person, detail, problems, register, registration};
use crate::internal_errors::{assert_cause_is_logged, refuse_new};
use crate::world::{Reply, World};

/// Every route that needs a token.
const GUARDED: [(&str, &str); 13] = [
    ("POST", "/logout"),
    ("GET", "/me/contacts/"),
    ("POST", "/me/contacts/"),
    ("GET", "/me/contacts/online"),
    ("GET", "/me/contacts/pending"),
    ("PUT", "/me/contacts/1"),
    ("DELETE", "/me/contacts/1"),
    ("PUT", "/me/connection-info"),
    ("GET", "/users/alice/connection-info"),
    ("GET", "/users/search/a"),
    ("GET", "/messages/"),
    ("POST", "/messages/"),
    ("POST", "/messages/ack"),
];

fn method(name: &str) -> Method {
    name.parse().expect("a method")
}

#[test]
fn every_guarded_route_asks_for_a_token_before_anything_else() {
    let world = World::start();
    register(&world, "alice");
    for (name, path) in GUARDED {
        let request = || world.request(method(name), path);
        let none = Reply::to(request());
        let other_scheme = Reply::to(request().basic_auth("a", Some("b")));
        for reply in [&none, &other_scheme] {
            assert_eq!(detail(reply, 401), "Not authenticated", "{name} {path}");
        }
        let wrong = Reply::to(request().bearer_auth("nonsense"));
        assert_eq!(
            detail(&wrong, 401),
            "登录凭证无效，请重新登录",
            "{name} {path}"
        );
        for reply in [&none, &wrong, &other_scheme] {
            detail(reply, 401);
            assert_eq!(
                reply.header("www-authenticate"),
                Some("Bearer"),
                "{name} {path}"
            );
        }
    }
}

#[test]
fn unknown_paths_and_wrong_methods_are_worded_by_the_api_whose_path_it_is() {
    let world = World::start();
    for (name, path) in [
        ("GET", "/users/alice"),
        ("GET", "/me"),
        ("GET", "/me/nothing/"),
        ("GET", "/token/x"),
    ] {
        let reply = Reply::to(world.request(method(name), path));
        assert_eq!(detail(&reply, 404), "Not Found", "{name} {path}");
    }
    for (name, path, allowed) in [
        ("GET", "/users/", "POST"),
        ("GET", "/token", "POST"),
        ("DELETE", "/logout", "POST"),
        ("POST", "/me/contacts/online", "DELETE, GET, PUT"),
        ("GET", "/me/contacts/7", "DELETE, PUT"),
        ("POST", "/me/connection-info", "PUT"),
        ("DELETE", "/messages/", "GET, POST"),
        ("GET", "/messages/ack", "POST"),
        ("POST", "/ws", "GET"),
        ("OPTIONS", "/users/", "POST"),
        ("PATCH", "/me/contacts/", "GET, POST"),
        ("OPTIONS", "/messages/", "GET, POST"),
    ] {
        let reply = Reply::to(world.request(method(name), path));
        assert_eq!(detail(&reply, 405), "Method Not Allowed", "{name} {path}");
        assert_eq!(reply.header("allow"), Some(allowed), "{name} {path}");
    }
    // The neighbour keeps its own words below the shared prefix.
    Reply::to(world.request(Method::DELETE, "/messages/send")).error(405);
    world.get("/messages/nothing", &[]).error(404);
}

#[test]
fn a_body_that_is_no_json_object_is_invalid_as_a_whole() {
    let world = World::start();
    for (body, kind) in [
        ("{\"username\": ", "json_invalid"),
        ("", "json_invalid"),
        ("[1]", "model_attributes_type"),
        ("\"text\"", "model_attributes_type"),
    ] {
        let reply = Reply::to(world.request(Method::POST, "/users/").body(body));
        assert_eq!(
            problems(&reply),
            [(json!(["body"]), kind.to_owned())],
            "{body}"
        );
    }
}

#[test]
fn json_is_read_whatever_its_content_type_says() {
    let world = World::start();
    let body = registration("alice").to_string();
    let request = world.request(Method::POST, "/users/");
    let reply = Reply::to(request.header("Content-Type", "text/plain").body(body));
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn the_later_clients_story_runs_from_end_to_end() {
    let world = World::start();
    let [one, two] = Person::arrive_all(&world, ["user1", "user2"]);
    assert_eq!(one.ask(&two).status, 202);
    two.call(Method::PUT, &format!("/me/contacts/{}", one.id));
    let beat = Reply::to(
        one.request(Method::PUT, "/me/connection-info")
            .json(&json!({ "port": 9999 })),
    );
    assert_eq!(beat.status, 200);
    assert!(!one.list("/me/contacts/online").is_empty());
    one.log_out();
    detail(&two.get("/users/user1/connection-info"), 404);
    two.send(&one, "SGVsbG8gd29ybGQh");
    let again = Person {
        token: super::person::log_in(&world, "user1"),
        ..one
    };
    assert_eq!(
        again.list("/messages/")[0]["encrypted_content"],
        "SGVsbG8gd29ybGQh"
    );
    assert!(again.list("/messages/").is_empty());
}

#[test]
fn a_fault_of_the_server_is_500_with_its_cause_in_the_log_alone() {
    let world = World::start();
    refuse_new(&world, "users");
    let reply = world.post("/users/", &registration("alice"));
    assert_eq!(detail(&reply, 500), "Internal Server Error");
    assert_cause_is_logged(&world);
}
