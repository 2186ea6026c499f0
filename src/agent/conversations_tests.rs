//! Conversations without a server: what they keep of what happens to them.

use super::*;
use crate::agent::crypto::PrivateKey;
use crate::agent::exchange::YIELD_AFTER;
use crate::agent::home::Home;
use crate::agent::outbox::SETTLED_AFTER;
use crate::agent::relay::Relay;
use crate::agent::wire;

const OWN: UserId = 1;
const PEER: UserId = 2;

/// The conversations of a user who knows the key of [`PEER`], with all their keys in `data`.
fn conversations(data: &std::path::Path) -> Conversations {
    let home = Home::open(data, "http://127.0.0.1:9").expect("a home");
    let dir = home.unclaimed("alice").expect("readable");
    let mut keyring = Keyring::create(&dir, "p").expect("keys");
    keyring.settle().expect("settled");
    let pem = PrivateKey::generate().public().to_pem();
    keyring.peer_mut(PEER).public_key = Some(pem);
    let relay = Relay::new("http://127.0.0.1:9").expect("a relay");
    let server = Arc::new(Server::new(relay, home).expect("a server"));
    Conversations::new(OWN, keyring, server, Events::default()).expect("conversations")
}

#[test]
fn own_texts_stay_readable_when_a_peer_floods_with_keys() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut conversations, now) = (conversations(data.path()), Instant::now());
    conversations.send(PEER, "hi".into(), now).expect("sent");
    let sealed_with = conversations.keys_with(PEER)[0].clone();
    for _ in 0..1_001 {
        conversations.key_frame(PEER, Some(AesKey::generate()), false, now);
    }
    assert!(conversations.keys_with(PEER).contains(&sealed_with));
}

/// [`PEER`] as a roster lists them with the key that is known.
fn listed(conversations: &Conversations) -> Listed {
    Listed {
        id: PEER,
        username: "bob".into(),
        public_key: conversations.pinned(PEER).map(str::to_owned),
        signature: None,
    }
}

fn on_disk(conversations: &Conversations) -> Vec<String> {
    let mut held = conversations.keyring.held().expect("readable");
    held.remove(&PEER).unwrap_or_default()
}

#[test]
fn keys_that_come_with_many_messages_go_to_the_disk_together() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut conversations, now) = (conversations(data.path()), Instant::now());
    let file = conversations.keyring.dir().join("peers.sealed");
    conversations.save();
    let before = std::fs::read(&file).expect("readable");
    for from in PEER..PEER + 3 {
        let opened = Opened::Text("hi".into(), AesKey::generate());
        conversations.message(from, None, opened, now);
    }
    assert!(std::fs::read(&file).expect("readable") == before);
    conversations.tick(now);
    let dir = conversations.keyring.dir();
    let kept = Keyring::open(dir, "p").expect("readable").expect("keys");
    for from in PEER..PEER + 3 {
        assert_eq!(kept.keys_with(from), conversations.keys_with(from));
        assert_eq!(kept.keys_with(from).len(), 1);
    }
}

#[test]
fn a_text_is_on_disk_while_it_waits_for_an_answer_and_nothing_is_written_where_none_waits() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut conversations, now) = (conversations(data.path()), Instant::now());
    let file = conversations.keyring.dir().join("held.sealed");
    conversations
        .send(PEER, "letter".into(), now)
        .expect("sent");
    assert!(!file.exists(), "nobody is there to wait for");
    conversations.roster(vec![listed(&conversations)], now);
    conversations.send(PEER, "one".into(), now).expect("taken");
    conversations.send(PEER, "two".into(), now).expect("taken");
    assert_eq!(on_disk(&conversations), ["one", "two"]);
    let key = conversations.keys_with(PEER)[0].clone();
    conversations.key_frame(PEER, Some(key), false, now);
    assert_eq!(on_disk(&conversations), [] as [&str; 0]);
    std::fs::remove_file(&file).expect("it was there");
    conversations.send(PEER, "three".into(), now).expect("sent");
    assert!(!file.exists());
}

#[test]
fn who_writes_what_cannot_be_kept_until_it_goes_out_hears_of_it() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut conversations, now) = (conversations(data.path()), Instant::now());
    conversations.roster(vec![listed(&conversations)], now);
    let in_the_way = conversations.keyring.dir().join("held.draft");
    std::fs::create_dir(&in_the_way).expect("made");
    let sent = conversations.send(PEER, "one".into(), now);
    assert!(matches!(sent, Err(Error::Io(_))), "{sent:?}");
    std::fs::remove_dir(&in_the_way).expect("removed");
    conversations.send(PEER, "two".into(), now).expect("taken");
    assert_eq!(on_disk(&conversations), ["two"]);
}

#[test]
fn a_text_on_its_way_is_on_disk_until_it_has_arrived() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut conversations, now) = (conversations(data.path()), Instant::now());
    let file = conversations.keyring.dir().join("sending.jsonl");
    let on_disk = || -> Vec<String> {
        let (_, lines) = Journal::open(&file).expect("a journal");
        lines.into_iter().map(|(_, frame)| frame).collect()
    };
    conversations.send(PEER, "one".into(), now).expect("sent");
    conversations.send(PEER, "two".into(), now).expect("sent");
    let frames = on_disk();
    assert_eq!(frames.len(), 2);
    let mut written = std::iter::from_fn(|| conversations.outbox.next(now));
    assert_eq!(written.by_ref().collect::<Vec<_>>(), frames);
    assert_eq!(on_disk(), frames);
    let mark = conversations.outbox.mark();
    conversations.answered(mark, now + SETTLED_AFTER);
    assert_eq!(on_disk(), [] as [&str; 0]);
}

#[test]
fn what_an_earlier_run_had_on_its_way_is_compared_with_the_history_before_it_goes_again() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut conversations, now) = (conversations(data.path()), Instant::now());
    let frames = [
        wire::frame(OWN, PEER, "x", ""),
        wire::frame(OWN, PEER, "y", ""),
    ];
    conversations.restore_sending(frames.clone().map(|frame| (None, frame)).to_vec());
    assert_eq!(conversations.outbox.next(now), None);
    conversations.repeat_missing(&HashSet::from([crypto::safe_name("x")]));
    assert_eq!(conversations.outbox.next(now).as_ref(), Some(&frames[1]));
    assert_eq!(conversations.outbox.next(now), None);
}

#[test]
fn who_writes_what_cannot_be_kept_on_its_way_hears_of_it_and_it_is_not_sent() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut conversations, now) = (conversations(data.path()), Instant::now());
    let journal = std::mem::replace(&mut conversations.journal, Journal::full());
    let sent = conversations.send(PEER, "one".into(), now);
    assert!(matches!(sent, Err(Error::Io(_))), "{sent:?}");
    assert_eq!(conversations.outbox.next(now), None);
    conversations.journal = journal;
    conversations.send(PEER, "two".into(), now).expect("sent");
    assert!(conversations.outbox.next(now).is_some());
}

#[test]
fn what_waited_and_cannot_be_kept_on_its_way_waits_on_disk_and_goes_out_once_it_can() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut conversations, now) = (conversations(data.path()), Instant::now());
    conversations.roster(vec![listed(&conversations)], now);
    conversations.send(PEER, "one".into(), now).expect("taken");
    conversations.send(PEER, "two".into(), now).expect("taken");
    let journal = std::mem::replace(&mut conversations.journal, Journal::full());
    conversations.key_frame(PEER, Some(AesKey::generate()), false, now + YIELD_AFTER);
    conversations.tick(now + 2 * YIELD_AFTER);
    let sent = conversations.send(PEER, "three".into(), now);
    assert!(matches!(sent, Err(Error::Io(_))), "{sent:?}");
    assert_eq!(messages(&mut conversations), 0);
    assert_eq!(on_disk(&conversations), ["one", "two"]);
    conversations.journal = journal;
    conversations.tick(now + 2 * YIELD_AFTER);
    assert_eq!(messages(&mut conversations), 2);
    assert_eq!(on_disk(&conversations), [] as [&str; 0]);
}

/// How many messages go to the server now.
fn messages(conversations: &mut Conversations) -> usize {
    let count = conversations.outbox.messages().count();
    while conversations.outbox.next(Instant::now()).is_some() {}
    count
}

#[test]
fn the_keys_of_a_user_who_has_left_are_those_of_their_next_login() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut conversations, now) = (conversations(data.path()), Instant::now());
    conversations.save();
    let file = conversations.keyring.dir().join("peers.sealed");
    let before = std::fs::read(&file).expect("there");
    conversations.leave();
    conversations.key_frame(PEER, Some(AesKey::generate()), false, now);
    assert_eq!(std::fs::read(&file).expect("there"), before);
}
