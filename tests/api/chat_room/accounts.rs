//! Registering, logging in and out.

use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, PASSWORD, Rooms, assert_error, bare, credentials, saying, told};
use crate::world::{Setup, sha256_hex, wait_for};

fn refused(kind: &str, text: &str) -> Value {
    let mut frame = json!({
        "message_type": kind, "success": false, "user_id": null, "username": null, "error_message": text,
    });
    if kind == "login_response" {
        frame["current_chat_group"] = Value::Null;
    }
    frame
}

#[test]
fn the_published_registration_and_login_work() {
    let rooms = Rooms::start();
    let mut alice = rooms.connect();
    let reply = told(alice.ask(&credentials("register_request", "alice")));
    let id = reply["user_id"].as_i64().expect("an id");
    let registered = json!({
        "message_type": "register_response", "success": true, "user_id": id, "username": "alice",
        "error_message": null,
    });
    assert_eq!(reply, registered);
    assert_error(&alice.ask(&bare("user_info_request")), 1001);
    let logged_in = json!({
        "message_type": "login_response", "success": true, "user_id": id, "username": "alice",
        "error_message": null, "current_chat_group": {"id": 1, "name": "public"},
    });
    assert_eq!(
        told(alice.ask(&credentials("login_request", "alice"))),
        logged_in
    );
    assert_eq!(told(alice.say(1, "hi"))["sender_id"], id);
}

#[test]
fn the_order_on_the_wire_is_type_and_timestamp_first() {
    let rooms = Rooms::start();
    let mut alice = rooms.connect();
    alice.send(&credentials("login_request", "alice"));
    let line = alice.line().expect("a reply");
    assert!(
        line.starts_with(r#"{"message_type":"login_response","timestamp":1"#),
        "{line}"
    );
}

#[test]
fn a_failed_registration_is_a_register_response_with_a_reason() {
    let rooms = Rooms::start();
    let mut alice = rooms.sign_up("alice");
    let again = told(alice.ask(&credentials("register_request", "alice")));
    assert_eq!(again, refused("register_response", "用户名 'alice' 已存在"));
    let overlong = "a".repeat(21);
    for name in ["", "ab", "1abc", "a b c", "a-bc", overlong.as_str()] {
        let reply = told(alice.ask(&credentials("register_request", name)));
        assert_eq!(reply["message_type"], "register_response");
        assert_eq!(reply["success"], false, "{name:?}");
        assert!(reply["error_message"].is_string(), "{reply}");
    }
    for password in ["", "a1", "abcdef", "123456"] {
        let request =
            json!({"message_type": "register_request", "username": "carol", "password": password});
        assert_eq!(told(alice.ask(&request))["success"], false, "{password:?}");
    }
    let reply = told(alice.ask(&bare("register_request")));
    assert_eq!(
        (&reply["message_type"], &reply["success"]),
        (&json!("register_response"), &json!(false))
    );
    for name in ["bob_用户", "_x1", "用户名"] {
        let reply = told(alice.ask(&credentials("register_request", name)));
        assert_eq!(
            (&reply["success"], &reply["username"]),
            (&json!(true), &json!(name))
        );
    }
}

#[test]
fn a_failed_login_is_a_login_response_and_does_not_tell_whether_the_user_exists() {
    let rooms = Rooms::start();
    let mut alice = rooms.sign_up("alice");
    let wrong =
        json!({"message_type": "login_request", "username": "alice", "password": "secret2"});
    let expected = refused("login_response", "用户名或密码错误");
    assert_eq!(told(alice.ask(&wrong)), expected);
    assert_eq!(
        told(alice.ask(&credentials("login_request", "nobody"))),
        expected
    );
    assert_eq!(told(alice.ask(&bare("login_request"))), expected);
    assert_error(&alice.ask(&saying(1, "not yet")), 1001);
}

#[test]
fn failed_logins_are_throttled() {
    let rooms = Rooms::with(Setup::new().env("ROCKET_LOGIN_FAILURES_PER_ACCOUNT", 2));
    let mut alice = rooms.sign_up("alice");
    let wrong =
        json!({"message_type": "login_request", "username": "alice", "password": "secret2"});
    let first = told(alice.ask(&wrong));
    alice.ask(&wrong);
    let third = told(alice.ask(&credentials("login_request", "alice")));
    assert_eq!(third["success"], false);
    assert_ne!(third["error_message"], first["error_message"]);
}

#[test]
fn a_user_of_another_api_logs_in_here_and_is_then_in_the_public_room() {
    let rooms = Rooms::start();
    let secret = sha256_hex(PASSWORD);
    let body = json!({"user_id": "o'Neil the 2nd", "password_hash": secret, "public_key": "key"});
    rooms.post("/auth/register", &body).ok();
    let mut bob = rooms.arrive("bob");
    let mut neil = rooms.come_back("o'Neil the 2nd");
    neil.say(1, "hello");
    assert_eq!(bob.receive()["sender_username"], "o'Neil the 2nd");
    // And the other way round.
    let body = json!({"user_id": "bob", "password_hash": secret});
    assert!(rooms.post("/auth/login", &body).ok()["data"]["token"].is_string());
}

#[test]
fn a_username_written_in_another_unicode_form_logs_in() {
    let rooms = Rooms::start();
    let body =
        json!({"user_id": "Zo\u{e9}", "password_hash": sha256_hex(PASSWORD), "public_key": "key"});
    rooms.post("/auth/register", &body).ok();
    let reply = rooms.connect().log_in("Zoe\u{301}");
    assert_eq!(reply["username"], "Zo\u{e9}", "kept in NFC");
}

#[test]
fn a_name_that_nobody_can_have_fails_like_a_wrong_password_and_is_not_remembered() {
    let rooms = Rooms::with(Setup::new().env("ROCKET_LOGIN_FAILURES_PER_ACCOUNT", 1));
    let mut client = rooms.connect();
    let expected = refused("login_response", "用户名或密码错误");
    for name in ["a\0b", "a\nb", &"a".repeat(129), &"a".repeat(62_000)] {
        for _ in 0..2 {
            let reply = told(client.ask(&credentials("login_request", name)));
            assert_eq!(reply, expected, "{} bytes", name.len());
        }
    }
}

#[test]
fn logging_out_keeps_the_connection_and_another_login_works() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let out = json!({"message_type": "system_message", "content": "已成功登出", "level": "info"});
    assert_eq!(told(alice.ask(&bare("logout_request"))), out);
    assert_eq!(
        told(alice.ask(&bare("logout_request"))),
        out,
        "also when nobody is logged in"
    );
    assert_error(&alice.ask(&saying(1, "x")), 1001);
    bob.say(1, "is anybody there?");
    let users = bob.ask(&bare("list_users_request"));
    assert_eq!(users["users"][0]["is_online"], false, "{users}");
    alice.log_in("alice");
    assert!(
        alice.has_nothing_waiting(),
        "what was said meanwhile is not pushed"
    );
}

#[test]
fn a_login_leads_back_to_the_public_room_whatever_room_was_entered_before() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let team = alice.create("team", &["bob"]);
    for logs_out in [true, false] {
        alice.enter("team");
        if logs_out {
            alice.ask(&bare("logout_request"));
        }
        let public = json!({"id": 1, "name": "public"});
        assert_eq!(alice.log_in("alice")["current_chat_group"], public);
        bob.say(1, "welcome back");
        assert_eq!(alice.receive()["content"], "welcome back");
        alice.say(1, "here I am");
        assert_eq!(bob.receive()["content"], "here I am");
        bob.say(team, "said in the room that was left");
        assert!(alice.has_nothing_waiting());
    }
}

#[test]
fn a_newer_login_closes_the_older_with_a_system_message() {
    let rooms = Rooms::start();
    let mut first = rooms.arrive("alice");
    let mut second = rooms.come_back("alice");
    let farewell = told(first.receive());
    assert_eq!(farewell["message_type"], "system_message");
    assert_eq!(farewell["level"], "warning");
    assert!(first.is_closed());
    second.say(1, "it is me");
    let users = second.ask(&bare("list_users_request"));
    assert_eq!(users["users"][0]["is_online"], true, "{users}");
}

#[test]
fn a_second_login_on_one_connection_takes_the_place_of_the_first() {
    let rooms = Rooms::start();
    let mut client = rooms.sign_up("bob");
    client.ask(&credentials("register_request", "alice"));
    client.log_in("bob");
    client.log_in("alice");
    assert_eq!(client.say(1, "who am I?")["sender_username"], "alice");
    let users = client.ask(&bare("list_users_request"))["users"].clone();
    let online = |index: usize| {
        (
            users[index]["username"].clone(),
            users[index]["is_online"].clone(),
        )
    };
    assert_eq!(online(0), (json!("alice"), json!(true)));
    assert_eq!(online(1), (json!("bob"), json!(false)));
    client.log_in("alice");
    client.say(1, "still here");
    // A failed one changes nothing.
    let wrong = json!({"message_type": "login_request", "username": "bob", "password": "wrong"});
    assert_eq!(client.ask(&wrong)["success"], false);
    assert_eq!(client.say(1, "and now?")["sender_username"], "alice");
}

#[test]
fn nothing_comes_before_or_together_with_a_login_response() {
    let rooms = Rooms::start();
    let mut bob = rooms.arrive("bob");
    let mut alice = rooms.sign_up("alice");
    assert!(alice.is_silent_for(Duration::from_millis(100)), "no banner");
    bob.say(1, "before");
    alice.send(&credentials("login_request", "alice"));
    let reply = alice.receive();
    assert_eq!(reply["message_type"], "login_response");
    assert!(
        alice.is_silent_for(Duration::from_millis(200)),
        "no welcome, no history"
    );
}

#[test]
fn a_password_change_elsewhere_ends_the_connection() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let body = json!({
        "user_id": "alice", "current_password_hash": sha256_hex(PASSWORD), "new_password_hash": "another",
    });
    rooms.post("/auth/change_password", &body).ok();
    assert_eq!(alice.receive()["message_type"], "system_message");
    assert!(alice.is_closed());
}

/// How many messages the server has begun to carry out.
fn said(rooms: &Rooms) -> u64 {
    const COUNT: &str = "sealpost_chat_room_messages_total{type=\"chat_message\"} ";
    let metrics = rooms.get("/metrics", &[]).text;
    let count = metrics.lines().find_map(|line| line.strip_prefix(COUNT));
    count.map_or(0, |count| count.parse().expect("a number"))
}

#[test]
fn of_requests_that_wait_none_is_carried_out_once_the_password_has_changed() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    // Its echoes are written without a look at what comes from the room one is in.
    let room = alice.create("elsewhere", &[]);
    let say = |content: &str| {
        format!(r#"{{"message_type":"chat_message","chat_group_id":{room},"content":"{content}"}}"#)
            + "\n"
    };
    // The first has the server make room for many.
    let flood = say(&"x".repeat(60_000)) + &say("x").repeat(100_000);
    let mut incoming = alice.stream().try_clone().expect("a TCP stream");
    std::thread::scope(|scope| {
        // It does not matter how much of it the server takes.
        scope.spawn(|| drop(alice.stream().write_all(flood.as_bytes())));
        let echoes = scope.spawn(|| {
            let mut piece = vec![0; 64 << 10];
            while incoming.read(&mut piece).is_ok_and(|count| count > 0) {}
        });
        wait_for(|| (said(&rooms) > 100).then_some(()));
        let body = json!({
            "user_id": "alice", "current_password_hash": sha256_hex(PASSWORD), "new_password_hash": "another",
        });
        rooms.post("/auth/change_password", &body).ok();
        let by_then = said(&rooms);
        echoes.join().expect("the connection ends");
        let after = said(&rooms) - by_then;
        assert!(after <= 1, "{after} more were carried out");
    });
}

/// Logs in over and over, each time on a connection of its own, until that is refused. Returns the
/// connections; says so when the first is logged in.
fn log_in_until_refused(rooms: &Rooms, first: &mpsc::Sender<()>) -> Vec<Client> {
    let mut clients = Vec::new();
    loop {
        assert!(clients.len() < 1_000, "the password was never refused");
        let mut client = rooms.connect();
        let reply = client.ask(&credentials("login_request", "alice"));
        if reply["success"] == false {
            return clients;
        }
        // Ended at once if the change came just then; whoever waits has heard of an earlier one.
        clients.push(client);
        let _ = first.send(());
    }
}

#[test]
fn no_login_with_the_old_password_outlives_its_change() {
    let rooms = Rooms::start();
    rooms.sign_up("alice");
    let body = json!({
        "user_id": "alice", "current_password_hash": sha256_hex(PASSWORD), "new_password_hash": "another",
    });
    let clients: Vec<Client> = std::thread::scope(|scope| {
        let (first, is_in) = mpsc::channel();
        let log_in = |_| {
            let first = first.clone();
            let rooms = &rooms;
            scope.spawn(move || log_in_until_refused(rooms, &first))
        };
        let threads: Vec<_> = (0..3).map(log_in).collect();
        is_in.recv().expect("somebody logs in");
        rooms.post("/auth/change_password", &body).ok();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    for mut client in clients {
        client.send(&bare("user_info_request"));
        // Why it is over, then nothing.
        while let Some(line) = client.line() {
            assert!(line.contains("system_message"), "still logged in: {line}");
        }
    }
}
