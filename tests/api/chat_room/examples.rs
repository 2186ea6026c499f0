//! The published document's examples, as they stand there, and the fields its answers have.

use serde_json::Value;

use super::client::{Client, Rooms, assert_error};

/// The names of a frame's fields, sorted.
fn fields(frame: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = frame
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

/// Sends text as it stands in the document, on one line.
fn say_literally(client: &mut Client, text: &str) -> Value {
    let line: String = text.lines().map(str::trim).collect();
    client.send_bytes(line.as_bytes());
    client.send_bytes(b"\n");
    client.receive()
}

#[test]
fn the_documents_requests_are_understood_word_for_word() {
    let rooms = Rooms::start();
    rooms.sign_up("bob");
    rooms.sign_up("charlie");
    let mut host = rooms.arrive("host");
    host.create("技术交流", &[]);
    let mut client = rooms.connect();
    let published_register = r#"{
        "message_type": "register_request",
        "timestamp": 1640995200.0,
        "username": "新用户名",
        "password": "密码"
    }"#;
    let weak = say_literally(&mut client, published_register);
    assert_eq!(
        weak["success"], false,
        "the example's password is too short"
    );
    let registered = say_literally(
        &mut client,
        &published_register.replace("\"密码\"", "\"password123\""),
    );
    assert_eq!(registered["success"], true, "{registered}");
    let logged_in = say_literally(
        &mut client,
        r#"{
            "message_type": "login_request",
            "timestamp": 1640995200.0,
            "username": "新用户名",
            "password": "password123"
        }"#,
    );
    assert_eq!(logged_in["success"], true, "{logged_in}");
    for (request, kind) in [
        (
            r#"{"message_type": "user_info_request", "timestamp": 1640995200.0}"#,
            "user_info_response",
        ),
        (
            r#"{"message_type": "list_users_request", "timestamp": 1640995200.0}"#,
            "list_users_response",
        ),
        (
            r#"{
                "message_type": "create_chat_request",
                "timestamp": 1640995200.0,
                "chat_name": "项目讨论",
                "member_usernames": ["bob", "charlie"]
            }"#,
            "create_chat_response",
        ),
        (
            r#"{"message_type": "join_chat_request", "timestamp": 1640995200.0, "chat_name": "技术交流"}"#,
            "system_message",
        ),
        (
            r#"{
                "message_type": "chat_message",
                "timestamp": 1640995200.0,
                "message_id": 456,
                "sender_id": 123,
                "sender_username": "alice",
                "chat_group_id": 1,
                "chat_group_name": "public",
                "content": "Hello everyone!"
            }"#,
            "chat_message",
        ),
        (
            r#"{"message_type": "enter_chat_request", "timestamp": 1640995200.0, "chat_name": "public"}"#,
            "enter_chat_response",
        ),
    ] {
        assert_eq!(
            say_literally(&mut client, request)["message_type"],
            kind,
            "{request}"
        );
    }
}

#[test]
fn answers_have_the_documents_fields_and_no_others() {
    let rooms = Rooms::start();
    let mut alice = rooms.connect();
    let mut ask = |request: &str| say_literally(&mut alice, request);
    let account = [
        "error_message",
        "message_type",
        "success",
        "timestamp",
        "user_id",
        "username",
    ];
    let registered =
        ask(r#"{"message_type":"register_request","username":"alice","password":"secret1"}"#);
    assert_eq!(fields(&registered), account);
    let logged_in =
        ask(r#"{"message_type":"login_request","username":"alice","password":"secret1"}"#);
    assert_eq!(
        fields(&logged_in),
        [
            "current_chat_group",
            "error_message",
            "message_type",
            "success",
            "timestamp",
            "user_id",
            "username"
        ]
    );
    let said =
        ask(r#"{"message_type":"chat_message","chat_group_id":1,"content":"Hello everyone!"}"#);
    assert_eq!(
        fields(&said),
        [
            "chat_group_id",
            "chat_group_name",
            "content",
            "message_id",
            "message_type",
            "sender_id",
            "sender_username",
            "timestamp",
        ]
    );
    let info = ask(r#"{"message_type":"user_info_request"}"#);
    assert_eq!(
        fields(&info),
        [
            "group_chats_count",
            "joined_chats_count",
            "message_type",
            "online_users_count",
            "private_chats_count",
            "timestamp",
            "total_chats_count",
            "total_users_count",
            "user_info",
        ]
    );
    let users = ask(r#"{"message_type":"list_users_request"}"#);
    assert_eq!(fields(&users), ["message_type", "timestamp", "users"]);
    assert_eq!(
        fields(&users["users"][0]),
        ["is_online", "user_id", "username"]
    );
    let error = ask(r#"{"message_type":"join_chat_request","chat_name":"nowhere"}"#);
    assert_error(&error, 1004);
    let word = ask(r#"{"message_type":"join_chat_request","chat_name":"public"}"#);
    assert_eq!(
        fields(&word),
        ["content", "level", "message_type", "timestamp"]
    );
}
