//! message_store's messages: send, inbox and outbox, and one message read, replaced and deleted.

use serde_json::{Value, json};

use crate::world::{World, redacted};

fn contents(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|item| item["encrypted_content"].as_str().expect("content is text"))
        .collect()
}

#[test]
fn sending_answers_as_published() {
    let world = World::start();
    let [sender, _] = world.people(["sender123", "receiver456"]);
    let reply = sender
        .try_send("receiver456", "encrypted_message_content")
        .ok();
    let published = json!({
        "message": "Message sent successfully",
        "message_id": 123,
        "timestamp": "2024-01-01T12:00:00",
        "status": "success",
    });
    assert_eq!(redacted(reply), published);
}

#[test]
fn the_inbox_answers_as_published() {
    let world = World::start();
    let [sender, receiver] = world.people(["发送者ID", "user123"]);
    let sent = sender.try_send("user123", "加密的消息内容").ok();
    let reply = receiver.list("/messages/inbox", &[]).ok();
    assert_eq!(reply["messages"][0]["id"], sent["message_id"]);
    assert_eq!(reply["messages"][0]["timestamp"], sent["timestamp"]);
    let published = json!({
        "messages": [{
            "id": 123,
            "sender_id": "发送者ID",
            "encrypted_content": "加密的消息内容",
            "timestamp": "2024-01-01T12:00:00",
        }],
        "status": "success",
    });
    assert_eq!(redacted(reply), published);
}

#[test]
fn the_outbox_answers_as_published() {
    let world = World::start();
    let [sender, _] = world.people(["user123", "接收者ID"]);
    sender.try_send("接收者ID", "加密的消息内容").ok();
    let reply = sender.list("/messages/outbox", &[]).ok();
    let published = json!({
        "messages": [{
            "id": 123,
            "receiver_id": "接收者ID",
            "encrypted_content": "加密的消息内容",
            "timestamp": "2024-01-01T12:00:00",
        }],
        "status": "success",
    });
    assert_eq!(redacted(reply), published);
}

#[test]
fn an_empty_mailbox_is_an_empty_list() {
    let world = World::start();
    let alice = world.register("alice");
    let empty = json!({"messages": [], "status": "success"});
    assert_eq!(alice.list("/messages/inbox", &[]).ok(), empty);
    assert_eq!(alice.list("/messages/outbox", &[]).ok(), empty);
}

#[test]
fn both_mailboxes_show_the_newest_first() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    for content in ["first", "second", "third"] {
        alice.send(&bob, content);
    }
    bob.send(&alice, "the other way");
    assert_eq!(contents(&bob.inbox()), ["third", "second", "first"]);
    assert_eq!(contents(&alice.outbox()), ["third", "second", "first"]);
    assert_eq!(contents(&alice.inbox()), ["the other way"]);
}

#[test]
fn content_comes_back_byte_for_byte() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let sent = [
        " ",
        "\r\n\t\u{1}\u{7f}",
        "e\u{301} is not \u{e9}",
        "\u{feff}\u{202e}\u{1F468}\u{200d}\u{1F469}",
        r#"{"json": "in \"json\"", "n": 1e400}"#,
        "'; DROP TABLE messages; --",
        "<script>alert(1)</script>\u{2028}",
        "\\u0041 stays as written",
    ];
    for content in sent {
        alice.send(&bob, content);
    }
    let inbox = bob.inbox();
    let mut received = contents(&inbox);
    received.reverse();
    assert_eq!(received, sent);
}

#[test]
fn a_message_to_oneself_is_in_both_mailboxes_once() {
    let world = World::start();
    let alice = world.register("alice");
    let id = alice.send(&alice, "a note");
    for mailbox in [alice.inbox(), alice.outbox()] {
        assert_eq!(mailbox.len(), 1, "{mailbox:?}");
        assert_eq!(mailbox[0]["id"], id);
    }
}

#[test]
fn a_message_needs_a_known_sender_and_a_known_receiver() {
    let world = World::start();
    let alice = world.register("alice");
    let text = alice.try_send("nobody", "sealed").error(404);
    assert!(text.contains("receiver_id"), "{text}");
    world
        .person("nobody")
        .try_send("alice", "sealed")
        .error(404);
    assert!(alice.inbox().is_empty() && alice.outbox().is_empty());
}

#[test]
fn the_mailboxes_of_an_unknown_user_are_not_found() {
    let world = World::start();
    for path in ["/messages/inbox", "/messages/outbox"] {
        world.person("nobody").list(path, &[]).error(404);
        world.get(path, &[]).error(400);
        world.get(path, &[("user_id", "")]).error(400);
    }
}

#[test]
fn empty_content_and_nul_characters_are_refused() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    alice.try_send("bob", "").error(400);
    alice.try_send("bob", "a\0b").error(400);
    let id = alice.send(&bob, "sealed");
    alice.replace(id, "").error(400);
    alice.replace(id, "a\0b").error(400);
    alice.grant_resealed(id, "bob", "read", "a\0b").error(400);
    assert_eq!(contents(&bob.inbox()), ["sealed"]);
}

#[test]
fn content_up_to_8_mib_is_taken_and_one_byte_more_is_not() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let limit = "x".repeat(8 << 20);
    let id = alice.send(&bob, &limit);
    alice.try_send("bob", &format!("{limit}x")).error(400);
    alice.replace(id, &format!("{limit}x")).error(400);
    let inbox = bob.inbox();
    assert_eq!(inbox.len(), 1);
    assert!(
        inbox[0]["encrypted_content"] == limit.as_str(),
        "8 MiB come back as they were sent"
    );
}

#[test]
fn a_message_is_read_by_those_who_may() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let id = alice.send(&bob, "sealed");
    for reader in [&alice, &bob] {
        let reply = reader.read(id);
        reply.ok();
        assert!(reply.text.contains("\"sealed\""), "{reply:?}");
    }
    carol.read(id).error(403);
    world.person("nobody").read(id).error(404);
    alice.read(id + 1).error(404);
}

#[test]
fn a_replaced_message_shows_its_new_content_and_when_it_was_edited() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let id = alice.send(&bob, "first wording");
    assert!(
        bob.inbox()[0].get("edited_at").is_none(),
        "nothing was edited yet"
    );
    alice.replace(id, "second wording").ok();
    let inbox = bob.inbox();
    assert_eq!(contents(&inbox), ["second wording"]);
    assert!(inbox[0]["edited_at"].is_string(), "{inbox:?}");
    assert_eq!(contents(&alice.outbox()), ["second wording"]);
    bob.replace(id, "not mine").error(403);
    alice.replace(id + 1, "sealed").error(404);
}

#[test]
fn a_deleted_message_is_gone_for_everyone() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let id = alice.send(&bob, "sealed");
    let kept = alice.send(&bob, "kept");
    alice.grant(id, "carol", "read").ok();
    bob.delete(id).error(403);
    alice.delete(id).ok();
    alice.delete(id).error(404);
    alice.read(id).error(404);
    assert!(carol.inbox().is_empty());
    assert_eq!(bob.inbox().len(), 1);
    assert_eq!(alice.outbox()[0]["id"], kept);
}

#[test]
fn ids_of_messages_are_not_given_twice() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let first = alice.send(&bob, "sealed");
    alice.delete(first).ok();
    assert!(alice.send(&bob, "sealed") > first);
}

#[test]
fn many_who_send_at_once_are_each_heard_once() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (alice, bob) = (&alice, &bob);
            scope.spawn(move || {
                for n in 0..25 {
                    alice.send(bob, &format!("{thread}-{n}"));
                }
            });
        }
    });
    let inbox = bob.inbox();
    let mut seen = contents(&inbox);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((inbox.len(), seen.len()), (200, 200));
    let ids: Vec<i64> = inbox
        .iter()
        .map(|item| item["id"].as_i64().expect("an id"))
        .collect();
    assert!(
        ids.is_sorted_by(|newer, older| newer > older),
        "newest first: {ids:?}"
    );
}
