//! Grants: who may give what to whom, and take it away.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Reply, World, message_path, permission_path};

#[test]
fn granting_and_revoking_answer_as_published() {
    let world = World::start();
    let [owner, receiver, _] = world.people(["owner123", "receiver", "user456"]);
    let id = owner.send(&receiver, "sealed");
    let granted = json!({"message": "Permission granted successfully", "status": "success"});
    let revoked = json!({"message": "Permission revoked successfully", "status": "success"});
    assert_eq!(owner.grant(id, "user456", "read").ok(), granted);
    assert_eq!(owner.revoke(id, "user456").ok(), revoked);
}

#[test]
fn revoking_takes_its_fields_from_the_query_too() {
    let world = World::start();
    let [owner, receiver, grantee] = world.people(["owner123", "receiver", "user456"]);
    let id = owner.send(&receiver, "sealed");
    owner.grant(id, "user456", "read").ok();
    let fields = [("user_id", "owner123"), ("target_user_id", "user456")];
    let request = world
        .request(Method::DELETE, &permission_path(id))
        .query(&fields);
    Reply::to(request).ok();
    assert!(grantee.inbox().is_empty());
}

#[test]
fn a_body_of_nothing_but_white_space_is_no_body() {
    let world = World::start();
    let [owner, receiver, grantee] = world.people(["owner", "receiver", "grantee"]);
    let id = owner.send(&receiver, "sealed");
    owner.grant(id, "grantee", "read").ok();
    let bare = |path: &str, fields: &[(&str, &str)]| {
        let request = world.request(Method::DELETE, path).query(fields);
        Reply::to(request.body(" \r\n\t "))
    };
    let (user, target) = (("user_id", "owner"), ("target_user_id", "grantee"));
    bare(&permission_path(id), &[]).error(400);
    bare(&permission_path(id), &[user, target]).ok();
    assert!(grantee.inbox().is_empty());
    bare(&message_path(id), &[user]).ok();
    assert!(receiver.inbox().is_empty());
}

#[test]
fn only_read_write_and_admin_can_be_granted() {
    let world = World::start();
    let [owner, receiver, _] = world.people(["owner", "receiver", "user456"]);
    let id = owner.send(&receiver, "sealed");
    for kind in ["read", "write", "admin"] {
        owner.grant(id, "user456", kind).ok();
    }
    for kind in ["", "owner", "READ", "read ", "read,write", "*"] {
        owner.grant(id, "user456", kind).error(400);
    }
}

#[test]
fn granting_needs_a_known_message_and_known_people() {
    let world = World::start();
    let [owner, receiver, _] = world.people(["owner", "receiver", "user456"]);
    let id = owner.send(&receiver, "sealed");
    let text = owner.grant(id, "nobody", "read").error(404);
    assert!(text.contains("target_user_id"), "{text}");
    owner.grant(id + 1, "user456", "read").error(404);
    world
        .person("nobody")
        .grant(id, "user456", "read")
        .error(404);
    owner.revoke(id, "nobody").error(404);
    owner.revoke(id + 1, "user456").error(404);
}

#[test]
fn only_the_owner_and_admins_may_grant_and_revoke() {
    let world = World::start();
    let [owner, receiver, carol, dave] = world.people(["owner", "receiver", "carol", "dave"]);
    let id = owner.send(&receiver, "sealed");
    receiver.grant(id, "dave", "read").error(403);
    carol.grant(id, "dave", "read").error(403);
    for kind in ["read", "write"] {
        owner.grant(id, "carol", kind).ok();
        carol.grant(id, "dave", "read").error(403);
        carol.grant(id, "carol", "admin").error(403);
    }
    owner.grant(id, "carol", "admin").ok();
    carol.grant(id, "dave", "read").ok();
    assert_eq!(dave.inbox().len(), 1);
    receiver.revoke(id, "dave").error(403);
    carol.revoke(id, "dave").ok();
    assert!(dave.inbox().is_empty());
}

#[test]
fn granting_again_changes_the_type() {
    let world = World::start();
    let [owner, receiver, carol] = world.people(["owner", "receiver", "carol"]);
    let id = owner.send(&receiver, "sealed");
    owner.grant(id, "carol", "admin").ok();
    owner.grant(id, "carol", "read").ok();
    carol.replace(id, "not any more").error(403);
    let inbox = carol.inbox();
    assert_eq!(inbox.len(), 1, "one grant per message and grantee");
    assert_eq!(inbox[0]["permission"], "read");
    owner.revoke(id, "carol").ok();
    assert!(carol.inbox().is_empty());
}

#[test]
fn what_was_not_granted_cannot_be_revoked() {
    let world = World::start();
    let [owner, receiver, carol] = world.people(["owner", "receiver", "carol"]);
    let id = owner.send(&receiver, "sealed");
    owner.revoke(id, "carol").error(404);
    owner.grant(id, "carol", "read").ok();
    owner.revoke(id, "carol").ok();
    owner.revoke(id, "carol").error(404);
    owner.revoke(id, "receiver").error(404);
    assert_eq!((carol.inbox().len(), receiver.inbox().len()), (0, 1));
}

#[test]
fn holders_may_give_up_their_own_grant() {
    let world = World::start();
    let [owner, receiver, carol] = world.people(["owner", "receiver", "carol"]);
    let id = owner.send(&receiver, "sealed");
    for kind in ["read", "write", "admin"] {
        owner.grant(id, "carol", kind).ok();
        carol.revoke(id, "carol").ok();
        assert!(carol.inbox().is_empty());
    }
}

#[test]
fn holders_may_give_up_their_own_grant_in_another_unicode_form_of_their_name() {
    let world = World::start();
    let [owner, receiver, zoe] = world.people(["owner", "receiver", "Zo\u{e9}"]);
    let id = owner.send(&receiver, "sealed");
    owner.grant(id, &zoe.id, "read").ok();
    zoe.revoke(id, "Zoe\u{301}").ok();
    assert!(zoe.inbox().is_empty());
}

#[test]
fn revoking_never_takes_away_what_was_received_directly() {
    let world = World::start();
    let [owner, receiver] = world.people(["owner", "receiver"]);
    let id = owner.send(&receiver, "sealed");
    owner.grant(id, "receiver", "write").ok();
    receiver.replace(id, "sealed by the receiver").ok();
    owner.revoke(id, "receiver").ok();
    receiver.replace(id, "once more").error(403);
    let inbox = receiver.inbox();
    assert_eq!(inbox.len(), 1);
    assert_eq!(inbox[0]["encrypted_content"], "sealed by the receiver");
    receiver.read(id).ok();
}

#[test]
fn nobody_takes_the_owners_rights_away() {
    let world = World::start();
    let [owner, receiver, carol] = world.people(["owner", "receiver", "carol"]);
    let id = owner.send(&receiver, "sealed");
    owner.grant(id, "carol", "admin").ok();
    for admin in [&owner, &carol] {
        admin.grant(id, "owner", "read").error(400);
        admin.revoke(id, "owner").error(404);
    }
    owner.replace(id, "still mine").ok();
    owner.grant(id, "carol", "read").ok();
    owner.delete(id).ok();
}

#[test]
fn the_permissions_of_a_message_are_shown_to_its_owner_and_admins() {
    let world = World::start();
    let [owner, receiver, carol, dave] = world.people(["owner", "receiver", "carol", "dave"]);
    let id = owner.send(&receiver, "sealed");
    owner.grant(id, "carol", "admin").ok();
    carol.grant(id, "dave", "read").ok();
    for may in [&owner, &carol] {
        let reply = may.permissions(id).ok();
        assert_eq!(
            granted(&reply),
            [("carol", "admin"), ("dave", "read")],
            "{reply}"
        );
    }
    receiver.permissions(id).error(403);
    dave.permissions(id).error(403);
    owner.permissions(id + 1).error(404);
}

/// Who holds what, by name, in the reply of a message's permissions.
fn granted(reply: &Value) -> Vec<(&str, &str)> {
    let items = reply["permissions"]
        .as_array()
        .expect("a list of permissions");
    let mut pairs: Vec<_> = items
        .iter()
        .filter_map(|item| Some((item["user_id"].as_str()?, item["permission_type"].as_str()?)))
        .filter(|(user_id, _)| ["carol", "dave"].contains(user_id))
        .collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn of_two_who_revoke_or_delete_the_same_at_once_one_is_told_that_it_was_there() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    world.register("carol");
    let at_once = |call: &(dyn Fn() -> u16 + Sync)| {
        let mut told = std::thread::scope(|scope| {
            [scope.spawn(call), scope.spawn(call)].map(|call| call.join().expect("it is answered"))
        });
        told.sort_unstable();
        told
    };
    for _ in 0..10 {
        let id = alice.send(&bob, "sealed");
        alice.grant(id, "carol", "read").ok();
        assert_eq!(at_once(&|| alice.revoke(id, "carol").status), [200, 404]);
        assert_eq!(at_once(&|| alice.delete(id).status), [200, 404]);
    }
}

#[test]
fn a_grant_on_what_is_being_deleted_is_made_or_finds_nothing() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    world.register("carol");
    for _ in 0..20 {
        let id = alice.send(&bob, "sealed");
        let granted = std::thread::scope(|scope| {
            let grant = scope.spawn(|| alice.grant(id, "carol", "read").status);
            alice.delete(id).ok();
            grant.join().expect("it is answered")
        });
        assert!(granted == 200 || granted == 404, "{granted}");
    }
}
