//! Contacts: by name at once, by id as a request.

use reqwest::Method;
use serde_json::{Value, json};

use super::person::{Person, detail, is_instant, problems, register};
use crate::world::{Reply, World, as_float};

/// The ids in a list, by a field.
fn ids(list: &[Value], field: &str) -> Vec<i64> {
    list.iter()
        .map(|item| item[field].as_i64().expect("an id"))
        .collect()
}

#[test]
fn adding_by_name_is_immediate_one_way_and_idempotent() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let body = json!({ "friend_username": "bob" });
    let first = alice.post("/me/contacts/", &body);
    let again = alice.post("/me/contacts", &body);
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(first.json(), again.json());
    let mut contact = first.json();
    assert!(is_instant(&contact["created_at"]), "{contact}");
    contact["created_at"] = json!("2025-07-01T10:00:02");
    let expected = json!({
        "id": bob.id,
        "username": "bob",
        "is_online": true,
        "public_key": "key_for_bob",
        "friend_id": bob.id,
        "user_id": alice.id,
        "status": "accepted",
        "created_at": "2025-07-01T10:00:02",
    });
    assert_eq!(contact, expected);
    assert_eq!(alice.list("/me/contacts/"), [first.json()]);
    assert!(bob.list("/me/contacts/").is_empty());
}

#[test]
fn nobody_can_add_themselves_or_somebody_who_is_not_there() {
    let world = World::start();
    let alice = Person::arrive(&world, "alice");
    let by_name = |name: &str| alice.post("/me/contacts", &json!({ "friend_username": name }));
    let by_id = |id: i64| alice.post("/me/contacts", &json!({ "friend_id": id }));
    detail(&by_name("alice"), 400);
    detail(&by_id(alice.id), 400);
    detail(&by_name("nobody"), 404);
    detail(&by_name(""), 404);
    detail(&by_id(alice.id + 1), 404);
    let neither = alice.post("/me/contacts", &json!({}));
    let missing = [(json!(["body", "friend_username"]), "missing".to_owned())];
    assert_eq!(problems(&neither), missing);
    for id in [json!("x"), json!(2.5), json!(1e300)] {
        let no_id = alice.post("/me/contacts", &json!({ "friend_id": id }));
        let wrong = [(json!(["body", "friend_id"]), "int_type".to_owned())];
        assert_eq!(problems(&no_id), wrong);
    }
}

#[test]
fn the_id_of_whom_one_asks_may_be_a_whole_float() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let asked = alice.post("/me/contacts", &json!({ "friend_id": as_float(bob.id) }));
    assert_eq!(asked.status, 202, "{asked:?}");
    assert_eq!(asked.json()["friend_id"], bob.id);
}

#[test]
fn a_request_waits_until_it_is_accepted_and_makes_both_friends() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let asked = alice.ask(&bob);
    assert_eq!(asked.status, 202, "{asked:?}");
    let asked = asked.json();
    assert_eq!(
        (&asked["user_id"], &asked["friend_id"]),
        (&json!(alice.id), &json!(bob.id))
    );
    assert_eq!(asked["status"], "pending");
    assert!(alice.list("/me/contacts").is_empty());
    assert!(alice.list("/me/contacts/pending").is_empty());

    let pending = bob.list("/me/contacts/pending");
    assert_eq!(ids(&pending, "user_id"), [alice.id]);
    assert_eq!(ids(&pending, "friend_id"), [bob.id]);
    assert_eq!(pending[0]["username"], "alice");

    let accepted = bob.call(Method::PUT, &format!("/me/contacts/{}", alice.id));
    assert_eq!(accepted.status, 200, "{accepted:?}");
    assert_eq!(accepted.json()["friend_id"], alice.id);
    assert_eq!(accepted.json()["status"], "accepted");
    assert_eq!(ids(&alice.list("/me/contacts"), "friend_id"), [bob.id]);
    assert_eq!(ids(&bob.list("/me/contacts"), "friend_id"), [alice.id]);
    assert!(bob.list("/me/contacts/pending").is_empty());
}

#[test]
fn only_a_request_that_waits_for_the_caller_can_be_accepted() {
    let world = World::start();
    let [alice, bob, carol] = Person::arrive_all(&world, ["alice", "bob", "carol"]);
    alice.ask(&bob);
    for (who, whose) in [(&alice, &bob), (&carol, &alice), (&bob, &carol)] {
        detail(
            &who.call(Method::PUT, &format!("/me/contacts/{}", whose.id)),
            404,
        );
    }
    detail(&bob.call(Method::PUT, "/me/contacts/999999"), 404);
    let huge = format!("/me/contacts/{}", "9".repeat(40));
    for method in [Method::PUT, Method::DELETE] {
        detail(&bob.call(method, &huge), 404);
    }
    let reply = bob.call(Method::PUT, "/me/contacts/alice");
    let wrong = [(json!(["path", "friend_id"]), "int_parsing".to_owned())];
    assert_eq!(problems(&reply), wrong);
}

#[test]
fn there_is_one_request_between_two_and_none_between_friends() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    assert_eq!(alice.ask(&bob).status, 202);
    detail(&alice.ask(&bob), 400);
    detail(&bob.ask(&alice), 400);
    bob.call(Method::PUT, &format!("/me/contacts/{}", alice.id));
    detail(&alice.ask(&bob), 400);
}

#[test]
fn adding_one_who_has_added_the_caller_settles_their_request() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    alice.add(&bob);
    assert_eq!(alice.ask(&bob).status, 202);
    bob.add(&alice);
    assert!(bob.list("/me/contacts/pending").is_empty());
}

#[test]
fn deleting_ends_contacts_both_ways_and_rejects_or_withdraws_requests() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let delete = |who: &Person, other: &Person| {
        who.call(Method::DELETE, &format!("/me/contacts/{}", other.id))
    };
    detail(&delete(&alice, &bob), 404);

    alice.add(&bob);
    bob.add(&alice);
    let reply = delete(&alice, &bob);
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    assert!(alice.list("/me/contacts").is_empty() && bob.list("/me/contacts").is_empty());

    for (asker, deleter) in [(&alice, &bob), (&alice, &alice)] {
        let other = if deleter.id == alice.id { &bob } else { &alice };
        assert_eq!(asker.ask(&bob).status, 202);
        assert_eq!(delete(deleter, other).status, 204);
        assert!(bob.list("/me/contacts/pending").is_empty());
        detail(
            &bob.call(Method::PUT, &format!("/me/contacts/{}", alice.id)),
            404,
        );
    }
}

#[test]
fn a_list_of_contacts_keeps_the_order_of_adding() {
    let world = World::start();
    let alice = Person::arrive(&world, "alice");
    for name in ["zoe", "bob", "mia"] {
        register(&world, name);
        let reply = alice.post("/me/contacts", &json!({ "friend_username": name }));
        assert_eq!(reply.status, 200);
    }
    let names: Vec<Value> = alice
        .list("/me/contacts")
        .iter()
        .map(|c| c["username"].clone())
        .collect();
    assert_eq!(names, ["zoe", "bob", "mia"]);
}

#[test]
fn a_list_of_any_length_is_sent_in_bounded_memory() {
    let mut world = World::start();
    let (id, token) = {
        let alice = Person::arrive(&world, "alice");
        (alice.id, alice.token)
    };
    let key = "k".repeat(64 << 10);
    world.bring_contacts(id, 300, &key);
    let get = |path: &str| {
        let request = world.request(Method::GET, path).bearer_auth(&token);
        let mut response = request.send().expect("the server answers");
        assert_eq!(response.status(), 200, "{path}");
        let copied = response.copy_to(&mut std::io::sink());
        copied.expect("a whole answer")
    };
    let (grown, bytes) = world.growth(|| get("/me/contacts"));
    assert!(bytes > 300 * (64 << 10), "{bytes} bytes");
    assert!(grown < 16 << 10, "{grown} KiB for {bytes} bytes");
    let (grown, _) = world.growth(|| get("/me/contacts/online"));
    assert!(grown < 4 << 10, "{grown} KiB for those who are online");

    let request = world.request(Method::GET, "/me/contacts");
    let list = Reply::to(request.bearer_auth(&token)).json();
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), 300);
    for (contact, number) in list.iter().zip(1..) {
        assert_eq!(contact["username"], format!("contact {number}"));
        assert_eq!(contact["friend_id"], contact["id"]);
        assert_eq!(contact["public_key"], *key);
    }
}

#[test]
fn a_long_list_of_requests_keeps_their_order() {
    let mut world = World::start();
    let (id, token) = {
        let alice = Person::arrive(&world, "alice");
        (alice.id, alice.token)
    };
    world.bring_askers(id, 1_000, "");
    let request = world.request(Method::GET, "/me/contacts/pending");
    let list = Reply::to(request.bearer_auth(&token)).json();
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), 1_000);
    for (asked, number) in list.iter().zip(1..) {
        assert_eq!(asked["username"], format!("asker {number}"));
        assert_eq!(
            (&asked["friend_id"], &asked["user_id"]),
            (&json!(id), &asked["id"])
        );
    }
}
