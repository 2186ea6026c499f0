//! Files on their way out, and the pauses that belong to them.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Client, Rooms, assert_error, request, told};
use super::uploads::upload;

const START: &[u8] = b"===FILE_DATA_START===\n";
const END: &[u8] = b"\n===FILE_DATA_END===\n";

/// Downloads a file as the published client does; the bytes between the markers.
fn download(client: &mut Client, id: i64) -> Vec<u8> {
    let begin = told(client.ask(&request("file_download_request", "file_id", id.to_string())));
    assert_eq!(begin["success"], true, "{begin}");
    let size = begin["file_size"].as_u64().expect("a size");
    assert_eq!(client.receive_bytes(START.len()), START);
    let bytes = client.receive_bytes(usize::try_from(size).expect("it is small"));
    assert_eq!(client.receive_bytes(END.len()), END);
    assert_eq!(client.receive()["message_type"], "file_download_response");
    bytes
}

#[test]
fn the_captured_download_and_its_pauses() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let id = upload(&mut alice, "note.txt", &[b'x'; 66], 1);
    bob.receive();
    // From before the request on, so that a client which is slow to read makes no pause shorter.
    let asked = Instant::now();
    let begin = told(bob.ask(&request("file_download_request", "file_id", id.to_string())));
    assert_eq!(
        begin,
        json!({
            "message_type": "file_download_response", "success": true, "message": "开始下载文件",
            "filename": "note.txt", "file_size": 66,
        })
    );
    assert_eq!(bob.receive_bytes(START.len()), START);
    let started = asked.elapsed();
    assert_eq!(bob.receive_bytes(66), [b'x'; 66]);
    assert_eq!(bob.receive_bytes(END.len()), END);
    let done = told(bob.receive());
    let ended = asked.elapsed();
    assert_eq!(
        done,
        json!({
            "message_type": "file_download_response", "success": true, "message": "文件 'note.txt' 下载完成",
            "filename": "", "file_size": 0,
        })
    );
    assert!(started >= Duration::from_millis(1_200), "{started:?}");
    assert!(ended >= Duration::from_millis(1_200 + 550), "{ended:?}");
}

#[test]
fn what_others_say_during_a_download_follows_it() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let id = upload(&mut alice, "a.pdf", &bytes, 1);
    bob.receive();
    bob.send(&request("file_download_request", "file_id", id.to_string()));
    // More than the hub's queue holds.
    for n in 0..300 {
        alice.say(1, &format!("m{n}"));
    }
    let mut before = 0;
    let begin = loop {
        let frame = bob.receive();
        if frame["message_type"] == "file_download_response" {
            break frame;
        }
        assert_eq!(frame["content"], format!("m{before}"));
        before += 1;
    };
    assert_eq!(begin["file_size"], bytes.len());
    assert_eq!(bob.receive_bytes(START.len()), START);
    assert!(bob.receive_bytes(bytes.len()) == bytes, "the file is whole");
    assert_eq!(bob.receive_bytes(END.len()), END);
    assert_eq!(bob.receive()["message_type"], "file_download_response");
    for n in before..300 {
        assert_eq!(bob.receive()["content"], format!("m{n}"));
    }
}

#[test]
fn letters_that_come_during_a_download_do_not_end_it() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let bytes = vec![b'x'; 20 << 20];
    let id = upload(&mut alice, "a.pdf", &bytes, 1);
    bob.receive();
    bob.send(&request("file_download_request", "file_id", id.to_string()));
    assert_eq!(bob.receive()["file_size"], bytes.len());
    // Together more than is kept for the end of a download, while no more than a piece of it has left.
    for _ in 0..3 {
        let content = "x".repeat(8 << 20);
        let letter =
            json!({"user_id": "alice", "receiver_id": "bob", "encrypted_content": content});
        rooms.post("/messages/send", &letter).ok();
    }
    assert_eq!(bob.receive_bytes(START.len()), START);
    assert!(bob.receive_bytes(bytes.len()) == bytes, "the file is whole");
    assert_eq!(bob.receive_bytes(END.len()), END);
    assert_eq!(bob.receive()["message_type"], "file_download_response");
}

#[test]
fn a_request_that_comes_during_a_download_is_answered_after_it() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let id = upload(&mut alice, "a.txt", b"\n===FILE_DATA_END===\n", 1);
    let both = format!(
        "{}\n{}\n",
        request("file_download_request", "file_id", id.to_string()),
        request("enter_chat_request", "chat_name", "nowhere"),
    );
    alice.send_bytes(both.as_bytes());
    assert_eq!(alice.receive()["file_size"], 21);
    alice.receive_bytes(START.len() + 21 + END.len());
    assert_eq!(alice.receive()["message_type"], "file_download_response");
    assert_error(&alice.receive(), 1004);
}

#[test]
fn unknown_files_and_those_of_other_rooms_are_errors() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut bob = rooms.arrive("bob");
    let team = alice.create("team", &[]);
    let id = upload_elsewhere(&mut alice, team);
    let ask = |client: &mut Client, id: &str| {
        client.ask(&request("file_download_request", "file_id", id))
    };
    assert_error(&ask(&mut bob, &id.to_string()), 1005);
    for unknown in ["999999", "abc", "-1", "1.0", "99999999999999999999999"] {
        assert_error(&ask(&mut bob, unknown), 1006);
    }
    assert_error(&ask(&mut bob, ""), 1008);
    for other in [format!("+{id}"), format!("0{id}"), format!(" {id} ")] {
        assert_error(&ask(&mut alice, &other), 1006);
    }
    assert_eq!(download(&mut alice, id), b"for the team");
    for entry in fs::read_dir(rooms.data_dir().join("uploads")).expect("the directory") {
        fs::remove_file(entry.expect("an entry").path()).expect("a file");
    }
    assert_error(&ask(&mut alice, &id.to_string()), 1006);
}

/// Uploads to a room that is not the current one: the uploader is told all the same.
fn upload_elsewhere(alice: &mut Client, team: i64) -> i64 {
    upload(alice, "a.txt", b"for the team", team)
}

#[test]
fn a_file_outlives_the_server() {
    let mut rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let id = upload(&mut alice, "a.txt", b"keep this", 1);
    rooms.restart();
    assert_eq!(download(&mut rooms.come_back("alice"), id), b"keep this");
}
