//! Rooms: making, joining and entering them, their histories, and lists of everything.

use std::thread;

use serde_json::{Value, json};

use super::client::{
    Rooms, assert_calendar, assert_error, bare, credentials, request, saying, told,
};

fn create(name: &str, members: Value) -> Value {
    json!({"message_type": "create_chat_request", "timestamp": 1.0, "chat_name": name, "member_usernames": members})
}

#[test]
fn the_captured_life_of_a_room() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob_用户");
    let created = told(alice.ask(&create("team one", json!(["bob_用户"]))));
    let id = created["chat_group_id"].clone();
    assert_eq!(id, 2);
    assert_eq!(
        created,
        json!({
            "message_type": "create_chat_response", "success": true, "chat_group_id": id,
            "chat_name": "team one", "error_message": null,
        })
    );
    assert_eq!(alice.say(1, "still in public")["chat_group_name"], "public");
    bob.receive();
    alice.create("solo", &[]);
    let joined = told(bob.ask(&request("join_chat_request", "chat_name", "solo")));
    let success = json!({"message_type": "system_message", "content": "成功加入聊天组 'solo'", "level": "info"});
    assert_eq!(joined, success);
    assert_eq!(
        told(bob.ask(&request("join_chat_request", "chat_name", "solo"))),
        success,
        "again"
    );
    alice.enter("solo");
    alice.say(3, "solo msg 1");
    bob.send(&request("enter_chat_request", "chat_name", "solo"));
    let frames: Vec<Value> = bob.receive_many(3).into_iter().map(told).collect();
    assert_eq!(
        frames[0],
        json!({
            "message_type": "enter_chat_response", "success": true, "chat_group_id": 3,
            "chat_name": "solo", "error_message": null,
        })
    );
    assert_eq!(
        frames[1],
        json!({
            "message_type": "chat_history", "sender_id": frames[1]["sender_id"], "sender_username": "alice",
            "chat_group_id": 3, "chat_group_name": "", "content": "solo msg 1",
            "message_id": frames[1]["message_id"],
        })
    );
    let complete =
        json!({"message_type": "chat_history_complete", "chat_group_id": 3, "message_count": 1});
    assert_eq!(frames[2], complete);
}

#[test]
fn a_room_that_cannot_be_made_is_an_error_and_leaves_nothing() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    assert_error(
        &alice.ask(&create("team", json!(["alice", "nobody"]))),
        1003,
    );
    assert_error(
        &alice.ask(&request("join_chat_request", "chat_name", "team")),
        1004,
    );
    assert_eq!(alice.create("team", &[]), 2);
    assert_error(&alice.ask(&create("team", json!([]))), 1008);
    assert_error(&alice.ask(&create("public", Value::Null)), 1008);
    assert_eq!(
        alice.ask(&create("Team", Value::Null))["success"],
        true,
        "names are case-sensitive"
    );
    let overlong = "x".repeat(31);
    for name in ["", "x", "  ", "a-b", "<b>", overlong.as_str()] {
        assert_error(&alice.ask(&create(name, json!([]))), 1008);
    }
    assert_error(&alice.ask(&create("other", json!("alice"))), 1008);
    assert_error(&alice.ask(&create("other", json!([1]))), 1008);
    assert_eq!(
        alice.ask(&create("项目 讨论", json!(["alice", "alice"])))["success"],
        true
    );
}

#[test]
fn two_hundred_members_may_be_named_and_no_more() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    assert_eq!(
        alice.ask(&create("team", json!(vec!["alice"; 200])))["success"],
        true
    );
    let refused = alice.ask(&create("other", json!(vec!["alice"; 201])));
    assert_error(&refused, 1008);
    assert!(refused["error_message"].to_string().contains("200"));
    assert_error(
        &alice.ask(&request("join_chat_request", "chat_name", "other")),
        1004,
    );
}

#[test]
fn names_with_nul_are_of_nobody_and_of_no_room() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    assert_error(&alice.ask(&create("team", json!(["alice\0"]))), 1003);
    for kind in ["join_chat_request", "enter_chat_request"] {
        assert_error(&alice.ask(&request(kind, "chat_name", "public\0")), 1004);
    }
}

#[test]
fn a_member_is_named_in_either_form_of_an_accent() {
    let rooms = Rooms::start();
    let body = json!({"user_id": "Zo\u{e9}", "password_hash": "x", "public_key": "key"});
    rooms.post("/auth/register", &body).ok();
    let mut alice = rooms.arrive("alice");
    let both = json!(["Zoe\u{301}", "Zo\u{e9}"]);
    let team = alice.ask(&create("team", both))["chat_group_id"].clone();
    let list = json!({"message_type": "list_users_request", "list_type": "current_chat", "chat_group_id": team});
    let users = alice.ask(&list)["users"].clone();
    assert_eq!(users.as_array().map(Vec::len), Some(2), "{users}");
    assert_eq!(users[0]["username"], "Zo\u{e9}");
}

#[test]
fn only_members_enter_and_only_rooms_that_are_there() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    alice.create("team", &[]);
    assert_error(
        &bob.ask(&request("enter_chat_request", "chat_name", "team")),
        1005,
    );
    assert_error(
        &bob.ask(&request("enter_chat_request", "chat_name", "nowhere")),
        1004,
    );
    assert_error(
        &bob.ask(&request("join_chat_request", "chat_name", "nowhere")),
        1004,
    );
    assert_error(
        &bob.ask(&request("enter_chat_request", "chat_name", "")),
        1008,
    );
    assert_error(&bob.ask(&bare("join_chat_request")), 1008);
    bob.say(1, "still in public");
    assert_eq!(alice.receive()["content"], "still in public");
}

#[test]
fn a_history_is_the_last_50_oldest_first_even_within_one_second() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let messages: Vec<Value> = (0..60).map(|n| saying(1, &format!("m{n}"))).collect();
    alice.send_together(&messages);
    let echoes: Vec<Value> = alice.receive_many(60);
    let ids: Vec<i64> = echoes
        .iter()
        .map(|echo| echo["message_id"].as_i64().expect("an id"))
        .collect();
    assert!(ids.is_sorted());
    for _ in 0..2 {
        let history = alice.enter("public");
        let contents: Vec<_> = history
            .iter()
            .map(|frame| frame["content"].clone())
            .collect();
        let expected: Vec<_> = (10..60).map(|n| json!(format!("m{n}"))).collect();
        assert_eq!(contents, expected);
    }
}

#[test]
fn who_enters_a_busy_room_misses_nothing_and_hears_nothing_twice() {
    const MESSAGES: usize = 45;
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let team = alice.create("team", &[]);
    alice.enter("team");
    let mut bob = rooms.arrive("bob");
    bob.ask(&request("join_chat_request", "chat_name", "team"));
    let talker = thread::spawn(move || {
        for n in 0..MESSAGES {
            alice.say(team, &format!("m{n}"));
        }
    });
    let mut heard: Vec<Value> = bob
        .enter("team")
        .iter()
        .map(|frame| frame["content"].clone())
        .collect();
    while heard.len() < MESSAGES {
        heard.push(bob.receive()["content"].clone());
    }
    let expected: Vec<Value> = (0..MESSAGES).map(|n| json!(format!("m{n}"))).collect();
    assert_eq!(heard, expected);
    assert!(bob.has_nothing_waiting());
    talker.join().expect("alice talks");
}

#[test]
fn who_has_entered_a_room_hears_no_more_of_the_one_before() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    bob.create("team", &[]);
    // Hashing passwords keeps bob's connection busy while alice talks. All of it is read at once.
    let mut requests: Vec<Value> = (0..5)
        .map(|n| credentials("register_request", &format!("friend{n}")))
        .collect();
    requests.push(request("enter_chat_request", "chat_name", "team"));
    bob.send_together(&requests);
    for n in 0..20 {
        alice.say(1, &format!("m{n}"));
    }
    while bob.receive()["message_type"] != "enter_chat_response" {}
    assert_eq!(bob.receive()["message_type"], "chat_history_complete");
    assert!(bob.has_nothing_waiting());
}

#[test]
fn the_published_user_info() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let _bob = rooms.arrive("bob");
    rooms.sign_up("carol");
    alice.create("team", &[]);
    let mut info = told(alice.ask(&bare("user_info_request")));
    assert!(info["user_info"]["user_id"].take().is_i64());
    assert_eq!(
        info,
        json!({
            "message_type": "user_info_response",
            "user_info": {"user_id": null, "username": "alice", "is_online": true},
            "joined_chats_count": 2, "private_chats_count": 0, "group_chats_count": 2,
            "total_users_count": 3, "online_users_count": 2, "total_chats_count": 2,
        })
    );
}

#[test]
fn the_published_list_of_users_is_everybody_by_name() {
    let rooms = Rooms::start();
    let mut bob = rooms.arrive("bob");
    rooms.sign_up("alice");
    let all = told(bob.ask(&bare("list_users_request")));
    let user = |index: usize| all["users"][index].clone();
    assert_eq!(
        all,
        json!({
            "message_type": "list_users_response",
            "users": [
                {"user_id": user(0)["user_id"], "username": "alice", "is_online": false},
                {"user_id": user(1)["user_id"], "username": "bob", "is_online": true},
            ],
        })
    );
    let both = json!({"message_type": "list_users_request", "timestamp": 1.0, "list_type": "all", "chat_group_id": 1});
    assert_eq!(told(bob.ask(&both)), all);
}

#[test]
fn the_members_of_a_room_are_listed_for_its_members_only() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let team = alice.create("team", &[]);
    let list = |group: Value| json!({"message_type": "list_users_request", "list_type": "current_chat", "chat_group_id": group});
    assert_error(&bob.ask(&list(json!(team))), 1005);
    assert_error(&bob.ask(&list(json!(9_999))), 1005);
    let members = alice.ask(&list(json!(team)));
    assert_eq!(
        members["users"].as_array().map(Vec::len),
        Some(1),
        "{members}"
    );
    assert_eq!(members["users"][0]["username"], "alice");
    let current = alice.ask(&list(Value::Null));
    assert_eq!(
        current["users"].as_array().map(Vec::len),
        Some(2),
        "public: {current}"
    );
}

#[test]
fn the_published_list_of_rooms_is_ones_own_or_all() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    alice.create("team one", &[]);
    let list = |kind: &str| request("list_chats_request", "list_type", kind);
    let mut all = told(bob.ask(&list("all")));
    for chat in all["chats"].as_array_mut().expect("a list") {
        assert_calendar(&chat["created_at"].take());
    }
    let public = json!({
        "group_id": 1, "group_name": "public", "is_private_chat": false, "member_count": 2, "created_at": null,
    });
    let team = json!({
        "group_id": 2, "group_name": "team one", "is_private_chat": false, "member_count": 1, "created_at": null,
    });
    assert_eq!(
        all,
        json!({"message_type": "list_chats_response", "chats": [public, team]})
    );
    for joined in [list("joined"), list("whatever"), bare("list_chats_request")] {
        assert_eq!(bob.ask(&joined)["chats"].as_array().map(Vec::len), Some(1));
    }
    let joined = alice.ask(&list("joined"))["chats"].clone();
    assert_eq!(joined, alice.ask(&list("all"))["chats"]);
}
