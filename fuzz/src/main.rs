//! Feeds the parser of the TCP protocol with mutated bytes: `sealpost-fuzz [INPUTS [SEED]]`.
//!
//! Each input is a stream made from published messages by mutations, and is fed whole, byte by
//! byte and in random pieces. The parser must not panic, must give the same requests each time,
//! and must read again what it understood. Works on a stable compiler, without instrumentation.
//! Prints how many inputs it tried; a failure prints the input, and to understand none is one too.

#[path = "../../src/api/chat_room/frame.rs"]
mod frame;
#[path = "../../src/api/chat_room/frame_outcomes.rs"]
mod frame_outcomes;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "numbers alone are read here, not text")
)]
#[path = "../../src/integer.rs"]
mod integer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use frame::{LONGEST_LINE_BYTES, Request};
use frame_outcomes::{Outcome, outcomes};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;

/// What streams are made of.
const MESSAGES: [&str; 16] = [
    r#"{"message_type": "register_request", "timestamp": 1640995200.0, "username": "新用户名", "password": "密码"}"#,
    r#"{"message_type": "login_request", "timestamp": 1795194807.8162177, "username": "alice", "password": "secret1"}"#,
    r#"{"message_type": "logout_request", "timestamp": 1795194826.541741}"#,
    r#"{"message_type": "chat_message", "timestamp": 1795194808.5, "sender_id": 1, "sender_username": "alice", "chat_group_id": 1, "chat_group_name": "", "content": "Hello everyone! 你好 🎉", "message_id": null}"#,
    r#"{"message_type": "user_info_request", "timestamp": 1795194809.7715127}"#,
    r#"{"message_type": "list_users_request", "timestamp": 1.0, "list_type": "current_chat", "chat_group_id": 1}"#,
    r#"{"message_type": "list_chats_request", "timestamp": 1.0, "list_type": "joined"}"#,
    r#"{"message_type": "create_chat_request", "timestamp": 1.0, "chat_name": "team one", "member_usernames": ["bob_用户"]}"#,
    r#"{"message_type": "join_chat_request", "timestamp": 1.0, "chat_name": "solo"}"#,
    r#"{"message_type": "enter_chat_request", "timestamp": 1.0, "chat_name": "\u6280\u672f"}"#,
    r#"{"message_type": "file_list_request", "timestamp": 1.0, "chat_group_id": 1}"#,
    r#"{"message_type": "file_upload_request", "filename": "note.txt", "file_data": "", "file_size": 66, "chat_group_id": 1}"#,
    r#"{"message_type": "file_download_request", "timestamp": 1.0, "file_id": "1"}"#,
    r#"{"message_type": "ai_chat_request", "message": "x"}"#,
    r#"{"message_type": "admin_command_request", "command": "x"}"#,
    r"{not json}",
];

/// Bytes that mean something to the parser.
const TOKENS: [&[u8]; 18] = [
    b"\n",
    b"\r\n",
    b"{",
    b"}",
    b"[",
    b"\"",
    b"\\",
    b"\\ud800",
    b"\0",
    b"\xff",
    b"\xe4\xbd",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"true",
    b",\"more\":1",
    b"  ",
];

fn main() -> ExitCode {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().ok());
    let inputs = arguments.next().flatten().unwrap_or(1_000_000);
    let seed = arguments.next().flatten().unwrap_or(1);
    let mut random = StdRng::seed_from_u64(seed);
    let mut understood = 0;
    for tried in 0..inputs {
        let input = input(&mut random);
        let cuts = random.r#gen();
        match catch_unwind(AssertUnwindSafe(|| check(&input, cuts))) {
            Ok(Ok(count)) => understood += count,
            Ok(Err(problem)) => return fail(&input, tried, problem),
            Err(_) => return fail(&input, tried, "it panicked"),
        }
    }
    println!("{inputs} inputs (seed {seed}), {understood} requests understood, no failure");
    if understood == 0 {
        println!("nothing of what clients send is understood");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn fail(input: &[u8], tried: u64, problem: &str) -> ExitCode {
    println!("input {tried}: {problem}\n{}", input.escape_ascii());
    ExitCode::FAILURE
}

/// A few messages, some of them damaged.
fn input(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.gen_range(1..4) {
        let message = MESSAGES.choose(random).expect("there are messages");
        bytes.extend_from_slice(message.as_bytes());
        bytes.push(b'\n');
    }
    for _ in 0..random.gen_range(0..6) {
        mutate(&mut bytes, random);
    }
    if random.gen_ratio(1, 2_000) {
        let length = LONGEST_LINE_BYTES + random.gen_range(0..3) - 1;
        let at = random.gen_range(0..=bytes.len());
        bytes.splice(at..at, std::iter::repeat_n(b'x', length));
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, random: &mut StdRng) {
    let at = random.gen_range(0..=bytes.len());
    let end = (at + random.gen_range(0..12)).min(bytes.len());
    match random.gen_range(0..6) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.gen_range(0..8),
        1 if at < bytes.len() => bytes[at] = random.r#gen(),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            let to = random.gen_range(0..=bytes.len());
            bytes.splice(to..to, copy);
        }
        4 => bytes.truncate(at),
        _ => {
            let token = TOKENS.choose(random).expect("there are tokens");
            bytes.splice(at..at, token.iter().copied());
        }
    }
}

/// Returns how many requests the input holds.
fn check(input: &[u8], cuts: u64) -> Result<u64, &'static str> {
    let whole = outcomes(std::iter::once(input));
    if outcomes(input.chunks(1)) != whole {
        return Err("byte by byte it is something else");
    }
    let mut random = StdRng::seed_from_u64(cuts);
    let mut rest = input;
    let pieces = std::iter::from_fn(|| {
        let (piece, after) = rest.split_at(random.gen_range(0..=rest.len().min(40)));
        rest = after;
        (!piece.is_empty() || !after.is_empty()).then_some(piece)
    });
    if outcomes(pieces) != whole {
        return Err("in pieces it is something else");
    }
    let mut understood = 0;
    for outcome in &whole {
        let Outcome::Parsed(parsed) = outcome else {
            continue;
        };
        let Ok(request) = &parsed.request else {
            continue;
        };
        if frame::parse(&line_of(parsed.kind, request)) != *parsed {
            return Err("what was understood reads as something else");
        }
        understood += 1;
    }
    Ok(understood)
}

/// A request as a line of its own, with every field that it has.
fn line_of(kind: &str, request: &Request) -> String {
    let mut line = match request {
        Request::Register(who) | Request::LogIn(who) => {
            json!({"username": who.username, "password": who.password})
        }
        Request::LogOut | Request::UserInfo | Request::AskAi | Request::Administer => json!({}),
        Request::Say(said) => json!({"chat_group_id": said.chat_group_id, "content": said.content}),
        Request::ListUsers(list) => {
            json!({"list_type": list.list_type, "chat_group_id": list.chat_group_id})
        }
        Request::ListRooms(list) => json!({"list_type": list.list_type}),
        Request::CreateRoom(room) => {
            json!({"chat_name": room.chat_name, "member_usernames": room.member_usernames})
        }
        Request::JoinRoom(room) | Request::EnterRoom(room) => json!({"chat_name": room.chat_name}),
        Request::ListFiles(room) => json!({"chat_group_id": room.chat_group_id}),
        Request::Upload(file) => json!({
            "filename": file.filename, "file_size": file.file_size,
            "chat_group_id": file.chat_group_id,
        }),
        Request::Download(id) => json!({"file_id": id}),
    };
    line["message_type"] = kind.into();
    line.to_string()
}
