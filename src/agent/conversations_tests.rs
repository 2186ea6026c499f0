//! Conversations without a server: what they keep of what happens to them.

use super::*;
use crate::agent::crypto::PrivateKey;
use crate::agent::home::Home;
use crate::agent::relay::Relay;

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
