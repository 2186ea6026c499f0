//! Whatever the bytes are and however they are cut: the same answers, and a server that lives.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::client::{Client, Rooms, bare, credentials, saying};
use super::uploads::offer;

/// Parts of a stream: requests that change nothing others see, and bytes of any kind.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let mut upload = format!("{}\n", offer("a.txt", 5, 1)).into_bytes();
    upload.extend_from_slice(b"a\nb\xffc");
    let lines = [
        format!("{}\n", saying(1, "你好 🎉")).into_bytes(),
        format!("{}\r\n", bare("list_chats_request")).into_bytes(),
        format!("{}\n", saying(99, "nowhere")).into_bytes(),
        format!("{}\n", offer("a.exe", 5, 1)).into_bytes(),
        upload,
        b"{not json}\n".to_vec(),
        b"\n \n".to_vec(),
        b"\xe4\xbd\n".to_vec(),
    ];
    prop_oneof![3 => select(lines.to_vec()), 1 => vec(any::<u8>(), 0..30)]
}

/// The answers to a stream that comes in these pieces, without what differs from run to run.
fn answers<'a>(rooms: &Rooms, name: &str, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut client: Client = rooms.connect();
    client.send(&credentials("register_request", name));
    client.send(&credentials("login_request", name));
    for piece in pieces {
        client.send_bytes(piece);
    }
    // Ends whatever line or file is open.
    client.send_bytes(b"\n\n\n\n\n\n");
    client.finish_sending();
    let mut answers = Vec::new();
    while let Some(line) = client.line() {
        let mut frame: Value = serde_json::from_str(&line).expect("frames are JSON");
        let fields = frame.as_object_mut().expect("frames are objects");
        for volatile in [
            "timestamp",
            "user_id",
            "sender_id",
            "message_id",
            "file_id",
            "chats",
        ] {
            fields.remove(volatile);
        }
        answers.push(frame.to_string().replace(name, "NAME"));
    }
    answers
}

#[test]
fn the_same_answers_come_however_a_stream_is_cut() {
    let rooms = Rooms::start();
    let count = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    });
    let streams = (vec(part(), 1..8), vec(any::<Index>(), 0..8));
    let outcome = runner.run(&streams, |(parts, cuts)| {
        count.set(count.get() + 1);
        let count = count.get();
        let stream = parts.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let whole = answers(
            &rooms,
            &format!("whole{count}"),
            std::iter::once(&stream[..]),
        );
        let pieces = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]);
        prop_assert_eq!(answers(&rooms, &format!("pieces{count}"), pieces), whole);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    rooms.arrive("somebody").say(1, "it lives");
}
