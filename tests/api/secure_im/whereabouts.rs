//! Who is online and where: logins, heartbeats, sockets; and finding people by name.

use reqwest::Method;
use serde_json::{Value, json};

use super::person::{PASSWORD, Person, ask_token, detail, problems, register};
use super::socket::Socket;
use crate::world::{Reply, Setup, World};

/// Logs in once more, naming a port to be reached at.
fn log_in_at(world: &World, name: &str, port: &str) -> String {
    let form = [("username", name), ("password", PASSWORD), ("port", port)];
    let reply = ask_token(world, &form).json();
    reply["access_token"].as_str().expect("a token").to_owned()
}

fn whereabouts(asker: &Person, name: &str) -> Reply {
    asker.get(&format!("/users/{name}/connection-info"))
}

#[test]
fn online_contacts_and_connection_info_are_as_published() {
    let world = World::start();
    let alice = Person::arrive(&world, "alice");
    register(&world, "bob");
    register(&world, "offline");
    for name in ["bob", "offline"] {
        alice.post("/me/contacts/", &json!({ "friend_username": name }));
    }
    assert!(alice.list("/me/contacts/online").is_empty());
    log_in_at(&world, "bob", "6953");
    let online = json!({
        "username": "bob",
        "public_key": "key_for_bob",
        "ip_address": "127.0.0.1",
        "port": 6953,
    });
    assert_eq!(alice.list("/me/contacts/online"), [online]);
    let info = whereabouts(&alice, "bob");
    let expected = json!({ "public_key": "key_for_bob", "ip_address": "127.0.0.1", "port": 6953 });
    assert_eq!((info.status, info.json()), (200, expected));
}

#[test]
fn without_a_named_port_it_is_the_one_the_login_came_from() {
    let world = World::start();
    let alice = Person::arrive(&world, "alice");
    let port = whereabouts(&alice, "alice").json()["port"].clone();
    assert!(port.as_u64().is_some_and(|port| port > 0), "{port}");
}

#[test]
fn a_forwarding_header_counts_only_from_a_trusted_proxy() {
    let forwarded = |alice: &Person, hops: &str| {
        let request = alice.world.request(Method::POST, "/token");
        let form = [("username", "alice"), ("password", PASSWORD)];
        let reply = Reply::to(request.header("X-Forwarded-For", hops).form(&form));
        assert_eq!(reply.status, 200);
        whereabouts(alice, "alice").json()["ip_address"].clone()
    };
    let world = World::start();
    let alice = Person::arrive(&world, "alice");
    assert_eq!(forwarded(&alice, "203.0.113.7"), "127.0.0.1");
    let trusting = Setup::new()
        .env("ROCKET_TRUSTED_PROXIES", "[\"127.0.0.1\", \"10.0.0.1\"]")
        .start();
    let alice = Person::arrive(&trusting, "alice");
    for (hops, expected) in [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7:4711", "203.0.113.7"),
        ("198.51.100.1, [2001:db8::7]:4711", "2001:db8::7"),
        ("198.51.100.1, [2001:db8::7]", "2001:db8::7"),
        // What is to the left of an entry that nobody can read, anybody may have written.
        ("198.51.100.1, unknown", "127.0.0.1"),
        ("198.51.100.1, unknown, 10.0.0.1", "10.0.0.1"),
        ("198.51.100.1,", "127.0.0.1"),
    ] {
        assert_eq!(forwarded(&alice, hops), expected, "{hops}");
    }
}

#[test]
fn a_proxy_is_trusted_by_its_ipv4_address_where_one_socket_serves_both_families() {
    let setup = Setup::new().arg("--address").arg("::");
    let world = setup
        .env("ROCKET_TRUSTED_PROXIES", "[\"127.0.0.1\"]")
        .start();
    let alice = Person::arrive(&world, "alice");
    let request = world.request(Method::POST, "/token");
    let form = [("username", "alice"), ("password", PASSWORD)];
    let reply = Reply::to(request.header("X-Forwarded-For", "203.0.113.7").form(&form));
    assert_eq!(reply.status, 200);
    let place = whereabouts(&alice, "alice").json();
    assert_eq!(place["ip_address"], "203.0.113.7");
}

#[test]
fn nobody_is_found_who_is_unknown_offline_or_logged_out() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    register(&world, "carol");
    detail(&whereabouts(&alice, "nobody"), 404);
    detail(&whereabouts(&alice, "carol"), 404);
    assert_eq!(whereabouts(&alice, "bob").status, 200);
    alice.add(&bob);
    bob.log_out();
    detail(&whereabouts(&alice, "bob"), 404);
    assert!(alice.list("/me/contacts/online").is_empty());
    assert_eq!(alice.list("/me/contacts")[0]["is_online"], false);
}

#[test]
fn a_heartbeat_moves_its_sender_to_another_port() {
    let world = World::start();
    let alice = Person::arrive(&world, "alice");
    let beat =
        |body: &Value| Reply::to(alice.request(Method::PUT, "/me/connection-info").json(body));
    let reply = beat(&json!({ "port": 9999 }));
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(whereabouts(&alice, "alice").json()["port"], 9999);
    assert_eq!(beat(&json!({ "port": 9998.0 })).json()["port"], 9998);
    assert_eq!(beat(&json!({ "port": 0 })).status, 200);
    let place = json!(["body", "port"]);
    for (body, kind) in [
        (json!({}), "missing"),
        (json!({ "port": 65_536 }), "value_error"),
        (json!({ "port": -1 }), "value_error"),
        (json!({ "port": 65_536.0 }), "value_error"),
        (json!({ "port": "x" }), "int_type"),
        (json!({ "port": 9999.5 }), "int_type"),
        (json!({ "port": 1e300 }), "int_type"),
    ] {
        assert_eq!(problems(&beat(&body)), [(place.clone(), kind.to_owned())]);
    }
}

#[test]
fn an_open_socket_keeps_its_user_online_and_a_logout_does_not_wait_for_it() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let mut socket = Socket::open(&bob);
    socket.settle();
    assert_eq!(whereabouts(&alice, "bob").status, 200);
    bob.log_out();
    detail(&whereabouts(&alice, "bob"), 404);
}

#[test]
fn with_the_setting_only_those_whom_one_has_added_are_told() {
    let world = Setup::new()
        .env("ROCKET_CONNECTION_INFO", "contacts")
        .start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    assert_eq!(whereabouts(&bob, "bob").status, 200);
    alice.add(&bob);
    detail(&whereabouts(&alice, "bob"), 404);
    let online = alice.list("/me/contacts/online");
    assert_eq!(
        (&online[0]["ip_address"], &online[0]["port"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(whereabouts(&bob, "alice").status, 200);
    bob.add(&alice);
    assert_eq!(whereabouts(&alice, "bob").status, 200);
    assert_eq!(
        alice.list("/me/contacts/online")[0]["ip_address"],
        "127.0.0.1"
    );
}

/// The names that a search finds.
fn found(person: &Person, q: &str) -> Vec<String> {
    let mut path = reqwest::Url::parse(&person.world.url("/users/search/")).expect("a URL");
    path.path_segments_mut()
        .expect("a path")
        .pop_if_empty()
        .push(q);
    let list = person.list(path.path());
    list.iter()
        .map(|user| user["username"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn people_are_found_by_a_part_of_their_name_whatever_the_case() {
    let world = World::start();
    let alice = Person::arrive(&world, "Alice");
    for name in ["MALICE", "bob", "a%_b"] {
        register(&world, name);
    }
    let found = |q: &str| found(&alice, q);
    assert_eq!(found("alic"), ["Alice", "MALICE"]);
    assert_eq!(found("%_"), ["a%_b"]);
    for nobodys in ["bob@example.com", "a\0", &"a".repeat(60_000)] {
        assert!(found(nobodys).is_empty());
    }
    let reply = alice.get("/users/search/alice");
    assert!(
        reply.has_in_order(&["id", "username", "is_online"]),
        "{reply:?}"
    );
    let list = reply.json();
    let expected = json!({ "id": alice.id, "username": "Alice", "is_online": true });
    assert_eq!(list[0], expected);
}

#[test]
fn how_a_letter_is_written_and_where_it_stands_makes_no_difference_to_a_search() {
    let world = World::start();
    let person = Person::arrive(&world, "Café");
    for name in ["ΟΔΥΣΣΕΥΣ", "Οδυσσεύς"] {
        world.register(name);
    }
    for q in ["café", "cafe\u{301}", "CAFE\u{301}"] {
        assert_eq!(found(&person, q), ["Café"], "{q}");
    }
    for q in ["ΟΔΥΣ", "οδυς", "οδυσ"] {
        assert_eq!(found(&person, q), ["ΟΔΥΣΣΕΥΣ", "Οδυσσεύς"], "{q}");
    }
    for q in ["ευς", "ευσ", "ΕΥΣ"] {
        assert_eq!(found(&person, q), ["ΟΔΥΣΣΕΥΣ"], "{q}");
    }
    // As long as the longest name, though its parts are longer.
    let long = "한".repeat(128);
    world.register(&long);
    let parts = "\u{1112}\u{1161}\u{11ab}".repeat(128);
    assert_eq!(found(&person, &parts), [long]);
}

#[test]
fn a_search_finds_ten_at_most() {
    let world = World::start();
    let person = Person::arrive(&world, "user");
    for number in 0..11 {
        world.register(&format!("user{number}"));
    }
    assert_eq!(person.list("/users/search/user").len(), 10);
}
