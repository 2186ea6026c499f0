//! The mailbox: every message is handed out once.

use std::collections::BTreeSet;
use std::io::Read as _;

use reqwest::Method;
use serde_json::{Value, json};

use super::person::{Person, detail, is_instant, log_in, problems};
use crate::world::World;

fn ids(list: &[Value]) -> Vec<i64> {
    list.iter()
        .map(|message| message["id"].as_i64().expect("an id"))
        .collect()
}

#[test]
fn a_message_is_answered_and_fetched_as_published() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let letter = json!({ "recipient_username": "bob", "encrypted_content": "SGVsbG8gd29ybGQh" });
    let reply = alice.post("/messages/", &letter);
    assert_eq!(reply.status, 200, "{reply:?}");
    let sent = reply.json();
    assert!(is_instant(&sent["sent_at"]), "{sent}");
    let expected = json!({
        "id": sent["id"],
        "sender_id": alice.id,
        "receiver_id": bob.id,
        "encrypted_content": "SGVsbG8gd29ybGQh",
        "sent_at": sent["sent_at"],
    });
    assert_eq!(sent, expected);
    assert_eq!(bob.list("/messages/"), [sent]);
    assert!(bob.list("/messages/").is_empty());
}

#[test]
fn messages_come_oldest_first_and_only_to_their_recipient() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let sent: Vec<i64> = (0..5)
        .map(|n| alice.send(&bob, &format!("letter {n}")))
        .collect();
    assert!(alice.list("/messages").is_empty());
    assert_eq!(ids(&bob.list("/messages")), sent);
}

#[test]
fn racing_readers_never_get_the_same_message_twice() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let sent: BTreeSet<i64> = (0..40).map(|n| alice.send(&bob, &format!("{n}"))).collect();
    let taken: Vec<i64> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| ids(&bob.list("/messages"))))
            .collect();
        readers
            .into_iter()
            .flat_map(|reader| reader.join().expect("a reader"))
            .collect()
    });
    assert_eq!(
        taken.len(),
        sent.len(),
        "something came twice, or not at all"
    );
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), sent);
}

#[test]
fn what_is_fetched_slowly_ends_with_the_login_and_the_rest_stays_unread() {
    let world = World::start();
    let [alice, mut bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let content = "x".repeat(1 << 20);
    let sent: Vec<i64> = (0..40).map(|_| alice.send(&bob, &content)).collect();
    let fetched = bob.request(Method::GET, "/messages").send();
    let mut fetched = fetched.expect("the server answers");
    assert_eq!(bob.call(Method::POST, "/logout").status, 200);
    let mut taken = String::new();
    let read = fetched.read_to_string(&mut taken);
    read.expect("it ends in order");
    let taken: Vec<Value> = serde_json::from_str(&taken).expect("a whole list");
    bob.token = log_in(&world, "bob");
    let rest = bob.list("/messages");
    assert!(!taken.is_empty() && !rest.is_empty());
    assert_eq!(ids(&[taken, rest].concat()), sent);
}

#[test]
fn with_manual_acknowledgement_messages_stay_until_they_are_acknowledged() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let sent: Vec<i64> = (0..3).map(|n| alice.send(&bob, &format!("{n}"))).collect();
    for _ in 0..2 {
        assert_eq!(ids(&bob.list("/messages/?ack=manual")), sent);
    }
    let acknowledge = |who: &Person, up_to: i64| {
        let reply = who.post("/messages/ack", &json!({ "up_to": up_to }));
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    };
    assert_eq!(acknowledge(&alice, sent[2]), json!({ "acknowledged": 0 }));
    assert_eq!(acknowledge(&bob, sent[1]), json!({ "acknowledged": 2 }));
    assert_eq!(acknowledge(&bob, sent[1]), json!({ "acknowledged": 0 }));
    assert_eq!(ids(&bob.list("/messages")), [sent[2]]);
    let reply = bob.post("/messages/ack", &json!({ "up_to": "soon" }));
    let wrong = [(json!(["body", "up_to"]), "int_type".to_owned())];
    assert_eq!(problems(&reply), wrong);
    let wrong = [(json!(["query", "ack"]), "enum".to_owned())];
    assert_eq!(problems(&bob.get("/messages?ack=later")), wrong);
}

#[test]
fn a_head_request_takes_nothing() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    alice.send(&bob, "hello");
    assert_eq!(bob.call(Method::HEAD, "/messages/").status, 405);
    assert_eq!(bob.list("/messages").len(), 1);
}

#[test]
fn what_is_fetched_here_is_in_the_inbox_of_message_store_all_the_same() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    alice.send(&bob, "SGVsbG8=");
    world
        .person("alice")
        .send(&world.person("bob"), "from the other side");
    let texts: Vec<Value> = bob
        .list("/messages")
        .iter()
        .map(|message| message["encrypted_content"].clone())
        .collect();
    assert_eq!(texts, ["SGVsbG8=", "from the other side"]);
    assert_eq!(world.person("bob").inbox().len(), 2);
}

#[test]
fn what_is_only_shared_with_somebody_is_neither_theirs_to_fetch_nor_to_acknowledge() {
    let world = World::start();
    let [alice, bob, carol] = Person::arrive_all(&world, ["alice", "bob", "carol"]);
    let id = alice.send(&bob, "for bob");
    let grant = world.person("alice").grant(id, "carol", "admin");
    assert_eq!(grant.status, 200, "{grant:?}");
    assert!(carol.list("/messages").is_empty());
    let reply = carol.post("/messages/ack", &json!({ "up_to": id }));
    assert_eq!(reply.json(), json!({ "acknowledged": 0 }));
    assert_eq!(ids(&bob.list("/messages")), [id]);
}

#[test]
fn however_large_what_is_unread_is_one_call_brings_all_of_it() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let large = "x".repeat(3 << 20);
    let sent: Vec<i64> = (0..4).map(|_| alice.send(&bob, &large)).collect();
    for path in ["/messages?ack=manual", "/messages?ack=manual", "/messages"] {
        assert_eq!(ids(&bob.list(path)), sent, "{path}");
    }
    assert!(bob.list("/messages").is_empty());
}

#[test]
fn of_what_is_fetched_by_a_reader_who_goes_away_the_rest_stays_unread() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let large = "x".repeat(1 << 20);
    let sent: Vec<i64> = (0..40).map(|_| alice.send(&bob, &large)).collect();
    let request = bob.request(Method::GET, "/messages");
    let mut cut_off = request.send().expect("the server answers");
    let mut begin = [0; 1 << 10];
    cut_off.read_exact(&mut begin).expect("it begins");
    drop(cut_off);
    let rest = ids(&bob.list("/messages"));
    // Where the server has not noticed yet, another piece may go to whoever is gone.
    assert!(rest.len() >= 20 && rest.is_sorted(), "{rest:?}");
    assert_eq!(rest.last(), sent.last());
}

#[test]
fn a_letter_to_nobody_or_without_content_is_refused() {
    let world = World::start();
    let alice = Person::arrive(&world, "alice");
    let letter = |to: &str, content: &str| {
        alice.post(
            "/messages/",
            &json!({ "recipient_username": to, "encrypted_content": content }),
        )
    };
    detail(&letter("nobody", "x"), 404);
    detail(&letter("", "x"), 404);
    let content = |kind: &str| [(json!(["body", "encrypted_content"]), kind.to_owned())];
    assert_eq!(problems(&letter("alice", "")), content("string_too_short"));
    assert_eq!(problems(&letter("alice", "a\0b")), content("value_error"));
    let too_long = "x".repeat((8 << 20) + 1);
    assert_eq!(
        problems(&letter("alice", &too_long)),
        content("string_too_long")
    );
    let empty = alice.post("/messages/", &json!({}));
    assert_eq!(problems(&empty).len(), 2);
}
