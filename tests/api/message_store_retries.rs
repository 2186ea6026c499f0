//! `Idempotency-Key`: a send that may safely be repeated.

use reqwest::Method;
use serde_json::Value;

use crate::world::{Reply, World};

fn send(world: &World, key: &str, letter: &Value) -> Reply {
    let request = world.request(Method::POST, "/messages/send");
    Reply::to(request.header("Idempotency-Key", key).json(letter))
}

#[test]
fn a_repeated_send_is_answered_as_the_first_and_stored_once() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let letter = alice.letter("bob", "sealed");
    let first = send(&world, "key-1", &letter).ok();
    for _ in 0..3 {
        assert_eq!(send(&world, "key-1", &letter).ok(), first);
    }
    assert_eq!(bob.inbox().len(), 1);
}

#[test]
fn a_repeated_send_is_recognised_after_a_restart() {
    let mut world = World::start();
    world.people(["alice", "bob"]);
    let letter = world.person("alice").letter("bob", "sealed");
    let first = send(&world, "key-1", &letter).ok();
    world.restart();
    assert_eq!(send(&world, "key-1", &letter).ok(), first);
    assert_eq!(world.person("bob").inbox().len(), 1);
}

#[test]
fn one_key_for_two_different_messages_is_refused() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    send(&world, "key-1", &alice.letter("bob", "sealed")).ok();
    send(&world, "key-1", &alice.letter("bob", "another")).error(422);
    send(&world, "key-1", &alice.letter("carol", "sealed")).error(422);
    assert_eq!((bob.inbox().len(), carol.inbox().len()), (1, 0));
}

#[test]
fn keys_of_different_senders_do_not_meet() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let first = send(&world, "key-1", &alice.letter("bob", "sealed")).ok();
    let second = send(&world, "key-1", &bob.letter("bob", "sealed")).ok();
    assert_ne!(first["message_id"], second["message_id"]);
}

#[test]
fn a_failed_send_leaves_its_key_free() {
    let world = World::start();
    let alice = world.register("alice");
    let letter = alice.letter("bob", "sealed");
    send(&world, "key-1", &letter).error(404);
    let bob = world.register("bob");
    send(&world, "key-1", &letter).ok();
    assert_eq!(bob.inbox().len(), 1);
}

#[test]
fn a_key_has_at_most_255_characters() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let letter = alice.letter("bob", "sealed");
    send(&world, &"k".repeat(255), &letter).ok();
    send(&world, &"k".repeat(256), &letter).error(400);
    assert_eq!(bob.inbox().len(), 1);
}

#[test]
fn a_retry_after_the_content_was_replaced_sends_nothing_twice() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let first = send(&world, "key-1", &alice.letter("bob", "sealed")).ok();
    let id = first["message_id"].as_i64().expect("an id");
    alice.replace(id, "another wording").ok();
    // Replacing the content does not make the retry of the first send a different one.
    assert_eq!(
        send(&world, "key-1", &alice.letter("bob", "sealed")).ok(),
        first
    );
    assert_eq!(bob.inbox().len(), 1);
}

#[test]
fn a_retry_after_the_message_was_deleted_sends_nothing_twice() {
    let mut world = World::start();
    world.people(["alice", "bob"]);
    let letter = world.person("alice").letter("bob", "sealed");
    let firsts = ["key-1", "key-2"].map(|key| send(&world, key, &letter).ok());
    let ids = firsts
        .each_ref()
        .map(|first| first["message_id"].as_i64().expect("an id"));
    world.person("alice").delete(ids[0]).ok();
    // The same message is taken back through another API.
    let path = format!("/api/v1/messages/{}", ids[1]);
    let withdrawal = world.request(Method::DELETE, &path);
    let withdrawal = Reply::to(withdrawal.bearer_auth(world.person("alice").token()));
    assert_eq!(withdrawal.status, 200, "{withdrawal:?}");
    world.restart();
    for (key, first) in ["key-1", "key-2"].into_iter().zip(firsts) {
        assert_eq!(send(&world, key, &letter).ok(), first);
        let other = world.person("alice").letter("bob", "another");
        send(&world, key, &other).error(422);
    }
    assert!(world.person("bob").inbox().is_empty());
}

#[test]
fn of_one_send_repeated_at_once_all_are_answered_alike() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let letter = alice.letter("bob", "sealed");
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| send(&world, "key-1", &letter)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let done: Vec<Value> = replies.iter().map(Reply::ok).collect();
    assert!(done.iter().all(|reply| *reply == done[0]), "{done:?}");
    assert_eq!(bob.inbox().len(), 1);
}
