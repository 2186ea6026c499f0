//! Who is there: told on each join and leave, each user once, keys vouched for.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use rsa::pkcs8::DecodePublicKey;
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::people::{Socket, User, join, join_with_key, public_key_of};
use crate::chat8::Someone;
use crate::world::{Reply, World};

#[test]
fn everybody_gets_the_roster_on_each_join_and_leave_the_joiner_included() {
    let world = World::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| join(&world, name));
    let mut of_alice = alice.dial();
    let roster = of_alice.next();
    let listed = roster["message"].as_array().expect("a list");
    assert_eq!(roster["systemMessage"], json!(true));
    assert_eq!(listed.len(), 1);
    let signature = &listed[0]["enpublicKey"];
    let expected = json!({
        "id": alice.id, "publicKey": public_key_of("alice"), "enpublicKey": signature,
        "username": "alice",
    });
    assert_eq!(listed[0], expected);

    let mut of_bob = bob.dial();
    let first = of_bob.next();
    let ids = first["message"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|user| &user["id"]);
    assert!(ids.into_iter().any(|id| *id == bob.id), "{first}");
    of_alice.roster_until(|ids| ids == [alice.id, bob.id]);

    let of_carol = carol.connect();
    let all = [alice.id, bob.id, carol.id];
    of_alice.roster_until(|ids| ids == all);
    of_bob.roster_until(|ids| ids == all);
    of_carol.close();
    of_alice.roster_until(|ids| ids == [alice.id, bob.id]);
    of_bob.roster_until(|ids| ids == [alice.id, bob.id]);
}

#[test]
fn a_user_with_several_sockets_is_listed_once_until_the_last_one_closes() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let mut of_bob = bob.connect();
    let (first, second) = (alice.connect(), alice.connect());
    of_bob.roster_until(|ids| ids == [alice.id, bob.id]);
    first.close();
    let third = alice.connect();
    of_bob.roster_until(|ids| ids == [alice.id, bob.id]);
    second.close();
    third.close();
    of_bob.roster_until(|ids| ids == [bob.id]);
}

#[test]
fn who_takes_no_rosters_for_a_while_is_not_dropped_and_hears_the_newest() {
    const CHANGES: usize = 80;
    let world = World::start();
    // Each roster has half a megabyte.
    let padded: Vec<_> = (0..8)
        .map(|n| join_with_key(&world, &format!("user{n}"), &"k".repeat(65_000)))
        .collect();
    let _there: Vec<_> = padded.iter().map(User::dial).collect();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| join(&world, name));
    let (mut of_alice, mut of_bob) = (alice.connect(), bob.connect());
    for _ in 0..CHANGES {
        let of_carol = carol.dial();
        of_alice.roster_until(|ids| ids.contains(&carol.id));
        of_carol.close();
        of_alice.roster_until(|ids| !ids.contains(&carol.id));
    }
    let _of_carol = carol.dial();
    let _of_dora = join(&world, "dora").dial();
    let mut heard = 0;
    of_bob.roster_until(|ids| {
        heard += 1;
        ids.len() == padded.len() + 4
    });
    assert!(heard < 2 * CHANGES, "{heard} rosters");
}

#[test]
fn the_server_signs_the_bytes_of_every_key_text() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let pem = world.get("/server_public.pem", &[]).text;
    let server = RsaPublicKey::from_public_key_pem(&pem).expect("a public key");
    let _of_alice = alice.connect();
    let listed = bob.dial().roster_until(|ids| ids == [alice.id, bob.id]);
    for user in listed {
        let key = user["publicKey"].as_str().expect("a text");
        let signature = user["enpublicKey"].as_str().expect("a text");
        let signature = BASE64_STANDARD.decode(signature).expect("base64");
        let scheme = Pkcs1v15Sign::new::<Sha256>();
        let verdict = server.verify(scheme, &Sha256::digest(key), &signature);
        assert!(verdict.is_ok(), "{user}");
    }
}

#[test]
fn a_user_who_is_away_is_shown_by_id_as_rosters_list_them() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let ask = |token: &str, id: &str| world.get("/publicKey", &[("userId", id), ("token", token)]);
    let id = bob.id.to_string();
    let shown = ask(&alice.token, &id);
    assert_eq!(shown.status, 200);
    let _of_bob = bob.connect();
    let listed = alice.dial().roster_until(|ids| ids == [alice.id, bob.id]);
    let expected = json!({"code": 1, "msg": "ok", "data": listed[1]});
    assert_eq!(shown.json(), expected);
    for nobody in ["", "x", "99999"] {
        assert_eq!(ask(&alice.token, nobody).status, 400, "{nobody}");
    }
    assert_eq!(ask("nobody's", &id).status, 401);
}

#[test]
fn another_key_or_name_of_somebody_who_is_there_is_told_to_everybody_there() {
    let world = World::start();
    let alice = join(&world, "alice");
    let bob = Someone::new(&world, "bob");
    let of_bob = [("token", bob.token.as_str())];
    let mut of_alice = alice.connect();
    let _of_bob = Socket::open(&world, "/chat", &of_bob).expect("the socket opens");
    of_alice.roster_until(|ids| ids == [alice.id, bob.id]);

    let mut told = |field: &str, expected: &str| loop {
        let roster = of_alice.roster_until(|ids| ids == [alice.id, bob.id]);
        if roster[1][field] == expected {
            break;
        }
    };
    let pair = json!({"public_key": "of chat8", "private_key_encrypted": "sealed"});
    assert_eq!(bob.post("/encryption/keys", &pair).status, 200);
    told("publicKey", "of chat8");
    let request = world.request(Method::PUT, "/publicKey");
    let published = request
        .bearer_auth(&bob.token)
        .json(&json!({"publicKey": "of the relay"}));
    assert_eq!(Reply::to(published).status, 200);
    told("publicKey", "of the relay");
    let renamed = bob.put("/user/profile", &json!({"username": "robert"}));
    assert_eq!(renamed.status, 200);
    told("username", "robert");
}

#[test]
fn a_burst_of_joins_is_told_to_everybody() {
    let world = World::start();
    let people: Vec<_> = (0..12).map(|n| join(&world, &format!("user{n}"))).collect();
    let all: Vec<i64> = people.iter().map(|user| user.id).collect();
    let mut sockets: Vec<_> = people.iter().map(super::people::User::dial).collect();
    for socket in &mut sockets {
        socket.roster_until(|ids| ids == all);
    }
}
