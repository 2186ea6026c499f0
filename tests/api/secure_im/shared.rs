//! What happens here is seen in the other APIs, and the other way round.

use serde_json::{Value, json};

use super::person::{PASSWORD, Person, detail, log_in};
use super::socket::Socket;
use crate::world::{Reply, World, sha256_hex};

/// Opens chat8's socket with a token of this API: there is one login for all of them.
fn open_chat8(person: &Person) -> Socket {
    let path = format!("/ws/{}?token={}", person.id, person.token);
    let mut socket = Socket::try_open(person.world, &path, None).expect("the token is valid");
    socket.settle();
    socket
}

/// The data of the next frame of a type for which `is` holds; others are passed over.
fn hear(socket: &mut Socket, kind: &str, is: impl Fn(&Value) -> bool) -> Value {
    loop {
        let frame: Value = serde_json::from_str(&socket.hear()).expect("a frame is JSON");
        if frame["type"] == kind && is(&frame["data"]) {
            return frame["data"].clone();
        }
    }
}

fn make_friends(one: &Person, other: &Person) {
    one.add(other);
    other.add(one);
}

#[test]
fn friends_hear_in_chat8_who_comes_and_goes_here() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    make_friends(&alice, &bob);
    bob.log_out();
    let mut at_alice = open_chat8(&alice);
    let bob = Person {
        token: log_in(&world, "bob"),
        ..bob
    };
    let back = hear(&mut at_alice, "user_status", |data| {
        data["status"] == "online"
    });
    assert_eq!(back["username"], "bob");
    bob.log_out();
    let gone = hear(&mut at_alice, "user_status", |data| {
        data["status"] == "offline"
    });
    assert_eq!(gone["username"], "bob");
}

#[test]
fn strangers_hear_nothing_of_it_and_the_asked_hear_the_request() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    // One way is no friendship.
    alice.add(&bob);
    let mut at_alice = open_chat8(&alice);
    bob.log_out();
    let bob = Person {
        token: log_in(&world, "bob"),
        ..bob
    };
    assert_eq!(bob.ask(&alice).status, 202);
    let first: Value = serde_json::from_str(&at_alice.hear()).expect("a frame is JSON");
    assert_eq!(first["type"], "friend_request", "{first}");
}

#[test]
fn friendships_are_those_of_chat8() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let friends = || alice.get("/api/v1/friends").text;
    alice.add(&bob);
    assert!(!friends().contains("bob"), "{}", friends());
    bob.add(&alice);
    assert!(friends().contains("bob"), "{}", friends());
}

#[test]
fn a_new_password_ends_every_login_and_what_was_known_by_it() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let mut socket = Socket::open(&bob);
    socket.settle();
    let change = json!({
        "user_id": "bob",
        "current_password_hash": sha256_hex(PASSWORD),
        "new_password_hash": "0".repeat(64),
    });
    world.post("/auth/change_password", &change).ok();
    detail(&bob.get("/me/contacts"), 401);
    detail(&alice.get("/users/bob/connection-info"), 404);
    assert_eq!(socket.close_code(), Some(1008));
}

/// A call of chat8 with a token; answers with its data.
fn call_chat8(world: &World, call: &str, token: &str, body: &Value) -> Value {
    let (method, path) = call.split_once(' ').expect("a method and a path");
    let request = world.request(method.parse().expect("a method"), path);
    let reply = Reply::to(request.bearer_auth(token).json(body));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["data"].clone()
}

#[test]
fn a_refresh_in_chat8_keeps_its_user_online_where_they_are() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let whereabouts = || alice.get("/users/bob/connection-info");
    let before = whereabouts().json();
    assert_eq!(before["ip_address"], "127.0.0.1");
    let fresh = call_chat8(&world, "POST /api/v1/auth/refresh", &bob.token, &json!({}));
    assert_eq!(whereabouts().json(), before);
    let token = fresh["access_token"].as_str().expect("a token");
    call_chat8(&world, "POST /api/v1/auth/logout", token, &json!({}));
    detail(&whereabouts(), 404);
}

#[test]
fn a_name_changed_in_chat8_is_the_one_that_others_hear() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let mut at_alice = Socket::open(&alice);
    at_alice.settle();
    let mut at_bob = Socket::open(&bob);
    assert_eq!(at_alice.hear(), "用户 bob 加入了聊天");
    let change = json!({ "username": "robert" });
    call_chat8(&world, "PUT /api/v1/user/profile", &bob.token, &change);
    at_bob.say("hello");
    assert_eq!(at_alice.hear(), "robert: hello");
    drop(at_bob);
    assert_eq!(at_alice.hear(), "用户 robert 已离开");
}
