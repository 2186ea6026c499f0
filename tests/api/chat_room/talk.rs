//! Saying and hearing.

use std::time::Duration;

use serde_json::json;

use super::client::{Rooms, assert_error, bare, request, saying, told};
use super::uploads::upload;
use crate::chat8::{Someone, data, password_of};

#[test]
fn a_message_comes_to_everybody_whose_room_it_is_and_back_to_its_sender() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob_用户");
    let echo = told(alice.ask(&saying(1, "Hello everyone! 你好 🎉")));
    let expected = json!({
        "message_type": "chat_message", "sender_id": echo["sender_id"], "sender_username": "alice",
        "chat_group_id": 1, "chat_group_name": "public", "content": "Hello everyone! 你好 🎉",
        "message_id": echo["message_id"],
    });
    assert_eq!(echo, expected);
    assert!(
        echo["sender_id"].is_i64() && echo["message_id"].is_i64(),
        "{echo}"
    );
    assert_eq!(told(bob.receive()), expected);
}

#[test]
fn who_is_in_another_room_hears_nothing_and_finds_it_in_the_history() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let mut carol = rooms.arrive("carol");
    let team = alice.create("team one", &["bob"]);
    alice.enter("team one");
    alice.say(team, "only here");
    assert!(bob.has_nothing_waiting(), "a member, but elsewhere");
    assert!(carol.has_nothing_waiting(), "not a member");
    assert_error(&carol.ask(&saying(team, "let me in")), 1005);
    assert_error(&carol.ask(&saying(9_999, "nowhere")), 1005);
    let history = bob.enter("team one");
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["content"], "only here");
    alice.say(team, "and now both");
    assert_eq!(bob.receive()["content"], "and now both");
    // To a room one is in but not looking at: the sender sees it, and those who look.
    let echo = told(bob.ask(&saying(1, "to the others")));
    assert_eq!(
        (&echo["chat_group_id"], &echo["chat_group_name"]),
        (&json!(1), &json!("public"))
    );
    assert_eq!(told(carol.receive()), echo);
    assert!(alice.has_nothing_waiting());
}

#[test]
fn a_message_is_cleaned_cut_and_never_empty() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut said = |content: &str| alice.ask(&saying(1, content));
    assert_eq!(said("  a\u{0}b\u{1b}\tc\r\n\n ")["content"], "ab\tc");
    assert_eq!(
        said(&"好".repeat(1_001))["content"],
        format!("{}...", "好".repeat(1_000))
    );
    for empty in ["", "   ", "\u{1}\u{2}", "\n"] {
        assert_error(&said(empty), 1008);
    }
    assert_error(
        &alice.ask(&request("chat_message", "content", "no group")),
        1008,
    );
    assert_error(
        &alice.ask(&request("chat_message", "chat_group_id", 1)),
        1008,
    );
}

#[test]
fn a_group_id_that_is_text_is_refused_rather_than_stored() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut wrong = saying(1, "x");
    wrong["chat_group_id"] = json!("1");
    assert_error(&alice.ask(&wrong), 1008);
    assert!(alice.enter("public").is_empty(), "nothing was stored");
}

#[test]
fn the_sender_is_who_is_logged_in_whatever_the_message_says() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    rooms.sign_up("bob");
    let mut forged = saying(1, "x");
    forged["sender_username"] = json!("bob");
    forged["sender_id"] = json!(2);
    forged["message_id"] = json!(7);
    assert_eq!(alice.ask(&forged)["sender_username"], "alice");
}

#[test]
fn who_is_renamed_in_another_api_speaks_under_the_new_name_at_once() {
    let rooms = Rooms::start();
    let alice = Someone::new(&rooms, "alice");
    let mut client = rooms.connect();
    let login = json!({
        "message_type": "login_request", "username": "alice", "password": password_of("alice"),
    });
    assert_eq!(client.ask(&login)["username"], "alice");
    let team = client.create("team", &[]);
    let mut bob = rooms.arrive("bob");
    data(&alice.put("/user/profile", &json!({"username": "alicia"})));

    assert_eq!(client.say(1, "hello")["sender_username"], "alicia");
    assert_eq!(bob.receive()["sender_username"], "alicia");
    let elsewhere = client.say(team, "to a room that is not the current one");
    assert_eq!(elsewhere["sender_username"], "alicia");
    upload(&mut client, "a.txt", b"abc", 1);
    let notice = bob.receive();
    assert_eq!(notice["sender_username"], "alicia");
    assert_eq!(notice["content"], "📎 alicia 上传了文件: a.txt (0KB)");
    let info = client.ask(&bare("user_info_request"));
    assert_eq!(info["user_info"]["username"], "alicia");
}

#[test]
fn nothing_is_pushed_at_login_logout_join_or_create() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    bob.create("team", &["alice"]);
    bob.ask(&request("join_chat_request", "chat_name", "team"));
    bob.enter("team");
    bob.ask(&bare("logout_request"));
    assert!(alice.is_silent_for(Duration::from_millis(200)));
}

#[test]
fn a_direct_message_of_another_api_is_not_pushed_here() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let body = json!({"user_id": "dora", "password_hash": "x", "public_key": "key"});
    rooms.post("/auth/register", &body).ok();
    let letter = json!({"user_id": "dora", "receiver_id": "alice", "encrypted_content": "sealed"});
    rooms.post("/messages/send", &letter).ok();
    let note = json!({"user_id": "alice", "receiver_id": "alice", "encrypted_content": "note"});
    rooms.post("/messages/send", &note).ok();
    assert!(alice.has_nothing_waiting());
    let info = alice.ask(&bare("user_info_request"));
    assert_eq!(info["private_chats_count"], 1, "{info}");
}

#[test]
fn an_echo_means_that_the_message_is_on_disk() {
    let mut rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    alice.say(1, "keep this");
    rooms.restart();
    let mut alice = rooms.come_back("alice");
    let history = alice.enter("public");
    assert_eq!(history.last().expect("a history")["content"], "keep this");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let rooms = Rooms::start();
    let mut alice = rooms.sign_up("alice");
    let requests = [
        super::client::credentials("login_request", "alice"),
        saying(1, "one"),
        bare("list_users_request"),
        saying(1, "two"),
        request("enter_chat_request", "chat_name", "public"),
        saying(1, "three"),
        bare("logout_request"),
        saying(1, "four"),
    ];
    alice.send_together(&requests);
    let frames = alice.receive_many(11);
    let kinds: Vec<_> = frames
        .iter()
        .map(|frame| frame["message_type"].as_str().expect("a type"))
        .collect();
    assert_eq!(
        kinds,
        [
            "login_response",
            "chat_message",
            "list_users_response",
            "chat_message",
            "enter_chat_response",
            "chat_history",
            "chat_history",
            "chat_history_complete",
            "chat_message",
            "system_message",
            "error_message",
        ]
    );
}
