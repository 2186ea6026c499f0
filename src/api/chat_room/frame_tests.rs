//! What lines ask for, and that it does not matter how their bytes are cut.

use proptest::prelude::*;
use serde_json::json;

use super::frame::*;
use super::frame_outcomes::outcomes;

fn request(line: &str) -> Result<Request, Problem> {
    parse(line).request
}

/// Parts of streams: requests whole and broken, bytes of any kind, and lines without end.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let requests = [
        r#"{"message_type":"login_request","username":"用户","password":"pass\u0031"}"#,
        r#"{"message_type":"chat_message","chat_group_id":1,"content":"Hello 你好 🎉"}"#,
        r#"{"message_type":"file_upload_request","filename":"a.txt","file_size":11,"chat_group_id":1}"#,
        r#"{"message_type":"list_users_request"}"#,
        r#"{"message_type":"nope"}"#,
        "{not json}",
        "[]",
        " \t",
    ];
    prop_oneof![
        4 => prop::sample::select(requests.to_vec()).prop_map(|line| format!("{line}\n").into_bytes()),
        2 => prop::sample::select(requests.to_vec()).prop_map(|line| format!("{line}\r\n").into_bytes()),
        2 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::sample::select(requests.to_vec()).prop_map(|line| line.as_bytes()[..line.len() / 2].to_vec()),
        1 => (LONGEST_LINE_BYTES - 2..LONGEST_LINE_BYTES + 3).prop_map(|length| {
            let mut line = vec![b'x'; length];
            line.push(b'\n');
            line
        }),
    ]
}

proptest! {
    #[test]
    fn the_same_requests_come_out_however_a_stream_is_cut(
        parts in prop::collection::vec(part(), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = parts.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let whole = outcomes(std::iter::once(&stream[..]));
        let pieces = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]);
        prop_assert_eq!(outcomes(pieces), outcomes(stream.chunks(1)));
        prop_assert_eq!(outcomes(stream.chunks(7)), whole);
    }
}

#[test]
fn lines_are_trimmed_and_blank_ones_and_those_that_are_not_utf_8_are_passed_over() {
    let mut lines = Lines::default();
    lines
        .space()
        .extend_from_slice(b"\n  \r\n one \r\n\xff\xfe\n\ttwo\nthree");
    assert_eq!(lines.next_line(), Some(Ok("one")));
    assert_eq!(lines.next_line(), Some(Ok("two")));
    assert_eq!(lines.next_line(), None);
    lines.space().extend_from_slice(b"\n");
    assert_eq!(lines.next_line(), Some(Ok("three")));
    assert_eq!(lines.next_line(), None);
}

#[test]
fn a_line_of_64_kib_passes_and_one_byte_more_does_not() {
    let mut lines = Lines::default();
    let longest = "x".repeat(LONGEST_LINE_BYTES);
    lines
        .space()
        .extend_from_slice(format!("{longest}\n").as_bytes());
    assert_eq!(lines.next_line(), Some(Ok(&longest[..])));
    lines
        .space()
        .extend_from_slice(format!("{longest}x").as_bytes());
    assert_eq!(lines.next_line(), Some(Err(TooLong)));
    lines.space().extend_from_slice(b"\nshort\n");
    assert_eq!(
        lines.next_line(),
        Some(Err(TooLong)),
        "nothing is read after it"
    );
}

#[test]
fn an_idle_connection_keeps_little_memory() {
    let mut lines = Lines::default();
    lines.space().extend_from_slice(&vec![b'\n'; 50_000]);
    assert_eq!(lines.next_line(), None);
    assert!(lines.space().capacity() <= 2 << 10);
}

#[test]
fn every_request_of_the_published_client_is_read() {
    let login = json!({"message_type": "login_request", "timestamp": 1.5, "username": "a", "password": "b"});
    let credentials = Credentials {
        username: Some("a".into()),
        password: Some("b".into()),
    };
    assert_eq!(request(&login.to_string()), Ok(Request::LogIn(credentials)));
    let said = json!({
        "message_type": "chat_message", "timestamp": 1.5, "sender_id": 1, "sender_username": "alice",
        "chat_group_id": 1, "chat_group_name": "", "content": "hi", "message_id": null,
    });
    let saying = Saying {
        chat_group_id: Some(1),
        content: Some("hi".into()),
    };
    assert_eq!(request(&said.to_string()), Ok(Request::Say(saying)));
    let upload = json!({
        "message_type": "file_upload_request", "timestamp": 1.5, "filename": "note.txt",
        "file_data": "", "file_size": 66, "chat_group_id": 1,
    });
    let offer = Offer {
        filename: Some("note.txt".into()),
        file_size: Some(66),
        chat_group_id: Some(1),
    };
    assert_eq!(request(&upload.to_string()), Ok(Request::Upload(offer)));
    for id in ["\"7\"", "7"] {
        let line = format!(r#"{{"message_type":"file_download_request","file_id":{id}}}"#);
        assert_eq!(request(&line), Ok(Request::Download("7".into())));
    }
    let list = r#"{"message_type":"list_users_request","list_type":"all","chat_group_id":1}"#;
    assert!(matches!(request(list), Ok(Request::ListUsers(_))));
    let created =
        r#"{"message_type":"create_chat_request","chat_name":"a b","member_usernames":null}"#;
    let room = NewRoom {
        chat_name: Some("a b".into()),
        member_usernames: None,
    };
    assert_eq!(request(created), Ok(Request::CreateRoom(room)));
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    let said = r#"{"message_type":"chat_message","chat_group_id":2.0,"content":null}"#;
    let saying = Saying {
        chat_group_id: Some(2),
        content: None,
    };
    assert_eq!(request(said), Ok(Request::Say(saying)));
    let upload = r#"{"message_type":"file_upload_request","file_size":66.0,"chat_group_id":null}"#;
    let offer = Offer {
        file_size: Some(66),
        ..Offer::default()
    };
    assert_eq!(request(upload), Ok(Request::Upload(offer)));
    let download = r#"{"message_type":"file_download_request","file_id":7.0}"#;
    assert_eq!(request(download), Ok(Request::Download("7".into())));
    for number in ["2.5", "1e300", "9007199254740992.0", "\"2.0\"", "NaN"] {
        for kind in ["chat_message", "list_users_request", "file_list_request"] {
            let line = format!(r#"{{"message_type":"{kind}","chat_group_id":{number}}}"#);
            assert_eq!(request(&line), Err(Problem::Malformed), "{line}");
        }
    }
}

#[test]
fn what_is_not_a_request_is_malformed_or_unknown() {
    for line in [
        "{not json}",
        "[]",
        "1",
        "null",
        "\"login_request\"",
        "{}",
        r#"{"message_type":1}"#,
        r#"{"message_type":"logout_request","more":1}"#,
        r#"{"message_type":"login_request","username":1,"password":"b"}"#,
        r#"{"message_type":"chat_message","chat_group_id":"1","content":"x"}"#,
        r#"{"message_type":"chat_message","chat_group_id":1.5,"content":"x"}"#,
        r#"{"message_type":"chat_message","chat_group_id":true,"content":"x"}"#,
        r#"{"message_type":"create_chat_request","chat_name":"ab","member_usernames":"bob"}"#,
        r#"{"message_type":"file_download_request","file_id":[1]}"#,
        &"[".repeat(60_000),
    ] {
        assert_eq!(request(line), Err(Problem::Malformed), "{line}");
    }
    for kind in ["nope", "login_response", "heartbeat", "user_status_update"] {
        let line = json!({"message_type": kind, "more": 1}).to_string();
        assert_eq!(request(&line), Err(Problem::UnknownType(kind.into())));
        assert_eq!(parse(&line).kind, "unknown");
    }
}
