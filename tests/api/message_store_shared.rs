//! What a grant shows its holder: the message, who shared it, and content sealed again for them.

use serde_json::{Value, json};

use crate::world::{World, redacted};

#[test]
fn a_granted_message_is_in_the_inbox_with_who_shared_it() {
    let world = World::start();
    let [owner, receiver, carol] = world.people(["owner", "receiver", "carol"]);
    let id = owner.send(&receiver, "sealed");
    owner.grant(id, "carol", "write").ok();
    let expected = json!([{
        "id": 123,
        "sender_id": "owner",
        "encrypted_content": "sealed",
        "timestamp": "2024-01-01T12:00:00",
        "shared_by": "owner",
        "permission": "write",
    }]);
    assert_eq!(redacted(Value::Array(carol.inbox())), expected);
}

#[test]
fn direct_and_granted_messages_are_one_inbox_newest_first() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let first = alice.send(&bob, "to bob");
    let second = alice.send(&carol, "to carol");
    let third = alice.send(&bob, "to bob again");
    alice.grant(third, "carol", "read").ok();
    alice.grant(first, "carol", "read").ok();
    let ids: Vec<Value> = carol
        .inbox()
        .iter()
        .map(|item| item["id"].clone())
        .collect();
    assert_eq!(
        ids,
        [third, second, first],
        "by when they were sent, not by when they were granted"
    );
}

#[test]
fn a_message_both_received_and_granted_is_shown_once() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let id = alice.send(&bob, "sealed");
    alice.grant(id, "bob", "admin").ok();
    assert_eq!(bob.inbox().len(), 1);
    alice.revoke(id, "bob").ok();
    assert_eq!(bob.inbox().len(), 1);
}

#[test]
fn content_sealed_again_is_shown_to_its_grantee_alone() {
    let world = World::start();
    let [alice, bob, carol, dave] = world.people(["alice", "bob", "carol", "dave"]);
    let id = alice.send(&bob, "sealed for bob");
    alice
        .grant_resealed(id, "carol", "read", "sealed for carol")
        .ok();
    alice.grant(id, "dave", "read").ok();
    let shown = |inbox: Vec<Value>| inbox[0]["encrypted_content"].as_str().map(str::to_owned);
    assert_eq!(shown(carol.inbox()).as_deref(), Some("sealed for carol"));
    assert_eq!(shown(dave.inbox()).as_deref(), Some("sealed for bob"));
    assert_eq!(shown(bob.inbox()).as_deref(), Some("sealed for bob"));
    assert_eq!(shown(alice.outbox()).as_deref(), Some("sealed for bob"));
    assert!(carol.read(id).text.contains("sealed for carol"));
}

#[test]
fn granting_again_without_content_keeps_what_was_sealed_again() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let id = alice.send(&bob, "sealed for bob");
    for (grantee, own) in [(&carol, "sealed for carol"), (&bob, "sealed anew for bob")] {
        let shown = || grantee.inbox()[0]["encrypted_content"].clone();
        alice.grant_resealed(id, &grantee.id, "read", own).ok();
        alice.grant(id, &grantee.id, "write").ok();
        assert_eq!(shown(), own);
        alice
            .grant_resealed(id, &grantee.id, "write", "once more")
            .ok();
        assert_eq!(shown(), "once more");
    }
    assert_eq!(carol.inbox()[0]["permission"], "write");
}

#[test]
fn replacing_the_content_drops_what_was_sealed_again_but_not_the_grant() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let id = alice.send(&bob, "sealed for bob");
    alice
        .grant_resealed(id, "carol", "read", "sealed for carol")
        .ok();
    alice.replace(id, "sealed anew for bob").ok();
    let inbox = carol.inbox();
    assert_eq!(inbox[0]["encrypted_content"], "sealed anew for bob");
    assert_eq!(inbox[0]["permission"], "read");
    alice
        .grant_resealed(id, "carol", "read", "sealed anew for carol")
        .ok();
    assert_eq!(
        carol.inbox()[0]["encrypted_content"],
        "sealed anew for carol"
    );
}

#[test]
fn content_sealed_again_obeys_the_limits_of_content() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let id = alice.send(&bob, "sealed");
    alice.grant_resealed(id, "carol", "read", "").error(400);
    let over = alice.grant_resealed(id, "carol", "read", &"x".repeat((8 << 20) + 1));
    over.error(400);
    assert!(carol.inbox().is_empty(), "a refused grant grants nothing");
}

#[test]
fn a_grant_by_an_admin_names_the_admin() {
    let world = World::start();
    let [alice, bob, carol, dave] = world.people(["alice", "bob", "carol", "dave"]);
    let id = alice.send(&bob, "sealed");
    alice.grant(id, "carol", "admin").ok();
    carol.grant(id, "dave", "read").ok();
    let inbox = dave.inbox();
    assert_eq!(inbox[0]["sender_id"], "alice");
    assert_eq!(inbox[0]["shared_by"], "carol");
}

#[test]
fn a_grant_to_the_receiver_leaves_the_message_direct() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let id = alice.send(&bob, "sealed");
    alice.grant(id, "bob", "write").ok();
    let inbox = bob.inbox();
    assert!(
        inbox[0].get("shared_by").is_none(),
        "shared_by is for granted messages: {inbox:?}"
    );
    bob.replace(id, "written by bob").ok();
}
