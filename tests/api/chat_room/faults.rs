//! Broken lines, broken clients, and the codes they get.

use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Rooms, assert_error, bare, credentials, request, saying, told};
use crate::internal_errors::{assert_cause_is_logged, refuse_new};

#[test]
fn a_line_that_is_no_request_is_answered_as_captured() {
    let rooms = Rooms::start();
    let mut alice = rooms.connect();
    alice.send_bytes(b"{not json}\n");
    let malformed = json!({"message_type": "error_message", "error_code": 1008, "error_message": "消息格式错误"});
    assert_eq!(told(alice.receive()), malformed);
    alice.send_bytes(b"{\"message_type\":\"nope\",\"timestamp\":1.0}\n");
    let unknown = json!({
        "message_type": "error_message", "error_code": 1008, "error_message": "未知的消息类型: nope",
    });
    assert_eq!(told(alice.receive()), unknown);
    for line in [
        "[]",
        "17",
        "{}",
        "{\"message_type\":null}",
        "{\"message_type\":\"logout_request\",\"x\":1}",
    ] {
        alice.send_bytes(format!("{line}\n").as_bytes());
        assert_eq!(told(alice.receive()), malformed, "{line}");
    }
}

#[test]
fn every_request_but_three_needs_a_login() {
    let rooms = Rooms::start();
    let mut alice = rooms.connect();
    for kind in [
        "chat_message",
        "user_info_request",
        "list_users_request",
        "list_chats_request",
        "create_chat_request",
        "join_chat_request",
        "enter_chat_request",
        "file_list_request",
        "file_upload_request",
        "file_download_request",
        "ai_chat_request",
        "admin_command_request",
    ] {
        let reply = told(alice.ask(&bare(kind)));
        let expected = json!({"message_type": "error_message", "error_code": 1001, "error_message": "请先登录"});
        assert_eq!(reply, expected, "{kind}");
    }
}

#[test]
fn there_is_no_ai_and_nobody_is_an_administrator() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let reply = told(alice.ask(&request("ai_chat_request", "message", "hello")));
    let off = json!({"message_type": "error_message", "error_code": 1009, "error_message": "AI功能未启用"});
    assert_eq!(reply, off);
    let reply = told(alice.ask(&request("admin_command_request", "command", "ban bob")));
    assert_eq!(
        reply,
        json!({"message_type": "admin_command_response", "success": false})
    );
}

#[test]
fn blank_lines_are_ignored_crlf_works_and_lines_that_are_not_utf_8_are_dropped_silently() {
    let rooms = Rooms::start();
    let mut alice = rooms.connect();
    alice.send_bytes(b"\n\r\n   \n\xff\xfe{}\n\xe4\xbd\n");
    assert!(alice.is_silent_for(Duration::from_millis(100)));
    alice.send_bytes(b"  {\"message_type\" : \"list_users_request\"}  \r\n");
    assert_error(&alice.receive(), 1001);
}

#[test]
fn messages_may_come_in_pieces_even_inside_a_character() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let line = format!("{}\n", super::client::saying(1, "你好 🎉"));
    for byte in line.as_bytes() {
        alice.send_bytes(&[*byte]);
    }
    assert_eq!(alice.receive()["content"], "你好 🎉");
    let escaped = br#"{"message_type":"chat_message","chat_group_id":1,"content":"\u4f60\u597d \ud83c\udf89"}"#;
    alice.send_bytes(escaped);
    alice.send_bytes(b"\n");
    assert_eq!(alice.receive()["content"], "你好 🎉");
}

#[test]
fn text_without_an_end_before_the_peer_leaves_is_dropped() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    alice.send_bytes(
        super::client::saying(1, "never sent")
            .to_string()
            .as_bytes(),
    );
    alice.finish_sending();
    assert!(alice.is_closed());
    assert!(bob.enter("public").is_empty());
}

#[test]
fn a_line_without_end_is_an_error_and_the_end() {
    let rooms = Rooms::start();
    let mut alice = rooms.connect();
    alice.send_bytes(&vec![b'x'; 65_536]);
    assert!(
        alice.is_silent_for(Duration::from_millis(50)),
        "64 KiB are allowed"
    );
    alice.send_bytes(b"x");
    assert_error(&alice.receive(), 1008);
    assert!(alice.is_closed());
    let mut bob = rooms.connect();
    let mut longest = bare("user_info_request").to_string();
    longest.extend(std::iter::repeat_n(' ', 65_536 - longest.len()));
    bob.send_bytes(format!("{longest}\n").as_bytes());
    assert_error(&bob.receive(), 1001);
    bob.send_bytes(&vec![b'\n'; 300_000]);
    assert_error(&bob.ask(&bare("user_info_request")), 1001);
}

#[test]
fn replies_are_held_for_8_ms_and_pushes_are_not() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let account = rooms.person("alice");
    let (mut fastest_push, mut fastest_commit) = (Duration::MAX, Duration::MAX);
    for _ in 0..30 {
        let sent = Instant::now();
        alice.ask(&bare("list_users_request"));
        assert!(
            sent.elapsed() >= Duration::from_millis(8),
            "{:?}",
            sent.elapsed()
        );
        let sent = Instant::now();
        assert_error(&alice.ask(&bare("nope")), 1008);
        assert!(
            sent.elapsed() >= Duration::from_millis(8),
            "{:?}",
            sent.elapsed()
        );
        let sent = Instant::now();
        alice.say(1, "echo");
        fastest_push = fastest_push.min(sent.elapsed());
        let sent = Instant::now();
        account.send(&account, "echo");
        fastest_commit = fastest_commit.min(sent.elapsed());
    }
    // No echo comes before the disk has the message, and some disks take longer.
    let soon = Duration::from_millis(8).max(2 * fastest_commit);
    assert!(fastest_push < soon, "{fastest_push:?}, {fastest_commit:?}");
}

#[test]
fn a_message_whose_commit_is_not_answered_may_be_stored_and_its_sender_is_told_so() {
    // On SQLite a commit is always answered.
    if crate::world::skips_postgres_test() {
        return;
    }
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let database = rooms.database().expect("it is on PostgreSQL");
    database.lose_commits();
    let refusal = alice.ask(&saying(1, "x"));
    assert_error(&refusal, 1009);
    let words = refusal["error_message"].as_str().expect("a text");
    assert!(words.contains("可能已保存"), "{words}");
}

#[test]
fn a_fault_of_the_server_is_told_in_fixed_words_with_its_cause_in_the_log_alone() {
    let rooms = Rooms::start();
    refuse_new(&rooms, "users");
    let reply = rooms
        .connect()
        .ask(&credentials("register_request", "alice"));
    let expected = json!({
        "message_type": "register_response", "success": false, "user_id": null, "username": null,
        "error_message": "服务器内部错误",
    });
    assert_eq!(told(reply), expected);
    assert_cause_is_logged(&rooms);
}
