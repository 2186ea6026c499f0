//! Files on their way in.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{
    Client, Rooms, assert_calendar, assert_error, credentials, port_of, request, saying, told,
};
use crate::internal_errors::{refuse_new, take_new_again};
use crate::world::{Server, Setup, World, skips_postgres_test, way_that_loses_answers};

/// An upload's first line.
pub(super) fn offer(name: &str, size: impl Into<Value>, group: i64) -> Value {
    json!({
        "message_type": "file_upload_request", "timestamp": 1.5, "filename": name, "file_data": "",
        "file_size": size.into(), "chat_group_id": group,
    })
}

/// Uploads a file to a group as the published client does; returns its id.
pub(super) fn upload(client: &mut Client, name: &str, bytes: &[u8], group: i64) -> i64 {
    let ready = told(client.ask(&offer(name, bytes.len(), group)));
    assert_eq!(ready["message"], "准备接收文件", "{ready}");
    for piece in bytes.chunks(8 << 10) {
        client.send_bytes(piece);
    }
    let notice = client.receive();
    assert_eq!(notice["message_type"], "file_notification", "{notice}");
    let stored = client.receive();
    stored["file_id"]
        .as_i64()
        .unwrap_or_else(|| panic!("{stored}"))
}

/// The names of the files that are kept in the data directory.
fn kept(rooms: &Rooms) -> Vec<String> {
    let entries = fs::read_dir(rooms.data_dir().join("uploads")).expect("the directory of uploads");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn the_captured_upload() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let ready = told(alice.ask(&offer("note.txt", 66, 1)));
    assert_eq!(
        ready,
        json!({"message_type": "file_upload_response", "success": true, "message": "准备接收文件", "file_id": null})
    );
    alice.send_bytes(&[b'x'; 66]);
    let notice = told(alice.receive());
    assert_eq!(
        notice,
        json!({
            "message_type": "file_notification", "sender_id": notice["sender_id"], "sender_username": "alice",
            "chat_group_id": 1, "chat_group_name": "", "content": "📎 alice 上传了文件: note.txt (0KB)",
            "message_id": notice["message_id"],
        })
    );
    assert_eq!(told(bob.receive()), notice);
    let stored = told(alice.receive());
    assert!(stored["file_id"].is_i64(), "{stored}");
    assert_eq!(
        stored,
        json!({
            "message_type": "file_upload_response", "success": true, "message": "文件 'note.txt' 上传成功",
            "file_id": stored["file_id"],
        })
    );
    let history = bob.enter("public");
    assert_eq!(history[0]["content"], notice["content"]);
    let mut list = told(bob.ask(&request("file_list_request", "chat_group_id", 1)));
    assert_calendar(&list["files"][0]["upload_time"].take());
    assert_eq!(
        list,
        json!({
            "message_type": "file_list_response", "chat_group_id": 1,
            "files": [{
                "file_id": stored["file_id"], "original_filename": "note.txt", "file_size": 66,
                "uploader_username": "alice", "upload_time": null,
            }],
        })
    );
}

#[test]
fn bytes_that_come_with_the_request_line_belong_to_the_file_and_lines_follow_it() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut all = format!("{}\n", offer("a.txt", 11, 1)).into_bytes();
    all.extend_from_slice(b"line\n\xff line");
    all.extend_from_slice(format!("{}\n", saying(1, "after it")).as_bytes());
    alice.send_bytes(&all);
    let frames = alice.receive_many(4);
    let kinds: Vec<_> = frames
        .iter()
        .map(|frame| frame["message_type"].as_str().expect("a type"))
        .collect();
    assert_eq!(
        kinds,
        [
            "file_upload_response",
            "file_notification",
            "file_upload_response",
            "chat_message"
        ]
    );
    assert_eq!(kept(&rooms).len(), 1);
    let file = rooms.data_dir().join("uploads").join(&kept(&rooms)[0]);
    assert_eq!(fs::read(file).expect("the file"), b"line\n\xff line");
}

#[test]
fn the_final_response_too_is_held_for_a_moment() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    alice.ask(&offer("a.txt", 3, 1));
    let sent = Instant::now();
    alice.send_bytes(b"abc");
    assert_eq!(alice.receive()["message_type"], "file_notification");
    assert_eq!(alice.receive()["message_type"], "file_upload_response");
    assert!(sent.elapsed() >= Duration::from_millis(8));
}

#[test]
fn refused_uploads_are_errors_and_the_connection_goes_on_as_lines() {
    let rooms = Rooms::with(Setup::new().env("ROCKET_CHAT_ROOM__MAX_FILE_BYTES", 1_000));
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let team = alice.create("team", &[]);
    for (name, size, group, code) in [
        ("", json!(5), 1, 1008),
        ("a.txt", json!(0), 1, 1008),
        ("a.txt", json!(-1), 1, 1008),
        ("a.txt", Value::Null, 1, 1008),
        ("a.txt", json!("5"), 1, 1008),
        ("a.txt", json!(5.5), 1, 1008),
        ("a.txt", json!(1_001), 1, 1007),
        ("a.txt", json!(i64::MAX), 1, 1007),
        ("a.txt", json!(u64::MAX), 1, 1007),
        ("a.txt", json!(1e30), 1, 1007),
        ("a.exe", json!(5), 1, 1008),
        ("txt", json!(5), 1, 1008),
        (".txt", json!(5), 1, 1008),
        ("a.txt", json!(5), team, 1005),
        ("a.txt", json!(5), 9_999, 1005),
    ] {
        assert_error(&bob.ask(&offer(name, size, group)), code);
    }
    assert_eq!(bob.say(1, "still lines")["content"], "still lines");
    assert_error(
        &bob.ask(&request("file_list_request", "chat_group_id", team)),
        1005,
    );
    assert!(kept(&rooms).is_empty());
    assert_eq!(alice.receive()["content"], "still lines");
    upload(&mut alice, "just.TXT", &[7; 1_000], 1);
}

#[test]
fn how_large_a_file_may_be_is_said_truly() {
    for (max_file_bytes, said) in [
        (100 << 20, "100 MB"),
        (1_536 << 10, "1536 KB"),
        (1_000, "1000 B"),
    ] {
        let setup = Setup::new().env("ROCKET_CHAT_ROOM__MAX_FILE_BYTES", max_file_bytes);
        let rooms = Rooms::with(setup);
        let refusal = rooms
            .arrive("alice")
            .ask(&offer("a.txt", max_file_bytes + 1, 1));
        assert_error(&refusal, 1007);
        let words = format!("文件过大，最大允许 {said}");
        assert_eq!(refusal["error_message"], words);
    }
}

/// Whether an upload is welcome; nothing of it is sent.
fn is_welcome(rooms: &Rooms, name: &str, size_bytes: u64) -> bool {
    let ready = rooms.come_back("alice").ask(&offer(name, size_bytes, 1));
    ready["message"] == "准备接收文件"
}

#[test]
fn a_file_has_100_mib_at_most() {
    let rooms = Rooms::start();
    rooms.sign_up("alice");
    assert!(is_welcome(&rooms, "a.zip", 100 << 20));
    let mut alice = rooms.come_back("alice");
    assert_error(&alice.ask(&offer("a.zip", (100 << 20) + 1, 1)), 1007);
}

#[test]
fn every_published_extension_is_taken() {
    let rooms = Rooms::start();
    rooms.sign_up("alice");
    let published = ".txt .doc .docx .pdf .jpg .jpeg .png .gif .mp3 .mp4 .avi .zip .rar .py .js \
                     .html .css .md";
    assert_eq!(published.split(' ').count(), 18);
    for extension in published.split(' ') {
        assert!(
            is_welcome(&rooms, &format!("a{extension}"), 1),
            "{extension}"
        );
    }
}

#[test]
fn a_name_with_a_path_is_stored_under_none_and_shown_without() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    upload(&mut alice, "z/../../../../../PWN.txt", b"abc", 1);
    upload(&mut alice, "C:\\temp\\b.md", b"abc", 1);
    upload(&mut alice, "C:evil.txt", b"abc", 1);
    let list = alice.ask(&request("file_list_request", "chat_group_id", 1));
    let names: Vec<_> = list["files"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|file| &file["original_filename"])
        .collect();
    assert_eq!(names, ["C_evil.txt", "b.md", "PWN.txt"], "newest first");
    assert_eq!(kept(&rooms).len(), 3);
    assert!(kept(&rooms).iter().all(|name| !name.contains("PWN")));
}

#[test]
fn a_client_that_dies_in_the_middle_of_an_upload_leaves_nothing() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    alice.ask(&offer("big.zip", 10_000_000, 1));
    alice.send_bytes(&vec![1; 200_000]);
    drop(alice);
    crate::world::wait_for(|| kept(&rooms).is_empty().then_some(()));
    let list = bob.ask(&request("file_list_request", "chat_group_id", 1));
    assert_eq!(list["files"], json!([]));
    assert!(bob.has_nothing_waiting());
    rooms.come_back("alice").say(1, "back again");
}

#[test]
fn a_file_of_which_the_room_cannot_be_told_is_not_kept() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    refuse_new(&rooms, "messages");
    alice.ask(&offer("a.txt", 3, 1));
    alice.send_bytes(b"abc");
    assert_eq!(alice.receive()["message_type"], "error_message");
    assert!(kept(&rooms).is_empty());
    take_new_again(&rooms, "messages");
    let id = upload(&mut alice, "a.txt", b"abc", 1);
    let list = alice.ask(&request("file_list_request", "chat_group_id", 1));
    let files = list["files"].as_array().expect("a list");
    assert_eq!((files.len(), &files[0]["file_id"]), (1, &json!(id)));
}

#[test]
fn a_file_of_which_the_room_has_heard_is_kept_although_its_sender_cannot_know() {
    // On SQLite a commit is always answered.
    if skips_postgres_test() {
        return;
    }
    let world = World::start();
    let database = world.database().expect("it is on PostgreSQL");
    let url = way_that_loses_answers(database, "上传了文件: a.txt");
    let data_dir = world.home().join("other");
    let setup = Setup::new()
        .with_chat_room()
        .arg("--chat-room-port")
        .arg("0");
    let other = Server::start(
        &[],
        &setup.serve_args(&data_dir, Some(&url)),
        &[],
        world.home(),
    );
    let mut alice = Client::to(port_of(&other));
    alice.ask(&credentials("register_request", "alice"));
    alice.log_in("alice");
    alice.ask(&offer("a.txt", 3, 1));
    alice.send_bytes(b"abc");
    assert_error(&alice.receive(), 1009);
    let history = alice.enter("public");
    let notice = history[0]["content"].as_str().unwrap_or_default();
    assert!(notice.contains("a.txt"), "{history:?}");
    let list = alice.ask(&request("file_list_request", "chat_group_id", 1));
    assert_eq!(list["files"][0]["original_filename"], "a.txt", "{list}");
    let uploads = fs::read_dir(data_dir.join("uploads")).expect("the directory of uploads");
    assert_eq!(uploads.count(), 1);
}

#[test]
fn an_upload_of_20_mb_goes_through_while_others_talk() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    alice.ask(&offer("film.mp4", bytes.len(), 1));
    let (first, second) = bytes.split_at(bytes.len() / 2);
    alice.send_bytes(first);
    bob.say(1, "hello");
    assert_eq!(alice.receive()["content"], "hello", "pushes go on");
    alice.send_bytes(second);
    assert_eq!(alice.receive()["message_type"], "file_notification");
    assert_eq!(alice.receive()["success"], true);
    let file = rooms.data_dir().join("uploads").join(&kept(&rooms)[0]);
    assert!(fs::read(file).expect("the file") == bytes);
}

#[test]
fn an_upload_that_stands_still_for_30_seconds_is_closed_and_leaves_nothing() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    alice.ask(&offer("a.txt", 100, 1));
    alice.send_bytes(b"some");
    let start = Instant::now();
    assert!(alice.is_closed());
    assert!((28..40).contains(&start.elapsed().as_secs()));
    assert!(kept(&rooms).is_empty());
}
