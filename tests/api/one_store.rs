//! One user, one message, whatever the API: stories that cross from one to another.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::chat8::{Someone, data};
use crate::encommunication::people::{PASSWORD, Socket, join, log_in};
use crate::message_store_events::Stream;
use crate::world::{Reply, World, wait_for};
use reqwest::Method;

/// What message_store calls the hash of a plain password.
fn password_hash(password: &str) -> String {
    format!("{:x}", Sha256::digest(password))
}

#[test]
fn what_was_sent_over_the_relay_stands_in_the_inbox_with_its_ciphertext() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let mut of_alice = alice.connect();
    of_alice.send(&alice.frame(&bob, "sealed words", "sealed key"));
    let record = &bob.records_once_there_are(1, alice.id)[0];

    let inbox = world.person("bob").inbox();
    assert_eq!(inbox.len(), 1);
    assert_eq!(inbox[0]["id"], record["id"]);
    assert_eq!(inbox[0]["sender_id"], "alice");
    assert_eq!(inbox[0]["encrypted_content"], "sealed words");
    let outbox = world.person("alice").outbox();
    assert_eq!(outbox[0]["receiver_id"], "bob");
    assert_eq!(outbox[0]["id"], record["id"]);
}

#[test]
fn what_message_store_sends_arrives_on_the_relay_and_in_the_records_without_a_key() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let mut of_bob = bob.connect();
    let id = world
        .person("alice")
        .send(&world.person("bob"), "sealed elsewhere");
    let expected = json!({
        "fromId": alice.id, "message": "sealed elsewhere", "aesKey": "", "systemMessage": false,
    });
    assert_eq!(of_bob.frame(), expected);
    let record = &bob.records(alice.id)[0];
    assert_eq!(record["id"], id);
    assert_eq!(record["message"], "sealed elsewhere");
    assert_eq!(
        (&record["fromAesKey"], &record["toAesKey"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn an_account_made_on_one_side_opens_on_the_other() {
    let world = World::start();
    join(&world, "alice");
    let body = json!({"user_id": "alice", "password_hash": password_hash(PASSWORD)});
    let token = world.post("/auth/login", &body).ok()["data"]["token"].clone();
    let token = token.as_str().expect("a token");

    let body = json!({
        "user_id": "bob", "password_hash": password_hash(PASSWORD), "public_key": "bob's",
    });
    world.post("/auth/register", &body).ok();
    let bob = log_in(&world, "bob");
    let _of_bob = bob.connect();
    let alice = log_in(&world, "alice");
    let listed = alice.dial().roster_until(|ids| ids.contains(&bob.id));
    let entry = listed
        .iter()
        .find(|user| user["id"] == bob.id)
        .expect("bob is listed");
    assert_eq!(entry["publicKey"], "bob's");

    let request = world
        .request(Method::GET, "/chatRecords")
        .header("token", token);
    let ids = [("fromId", alice.id), ("toId", bob.id)];
    assert_eq!(
        Reply::to(request.query(&ids)).status,
        200,
        "a token is good for every API"
    );
}

#[test]
fn a_message_deleted_in_one_api_is_gone_from_the_other() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let mut of_alice = alice.connect();
    of_alice.send(&alice.frame(&bob, "sealed", "key"));
    let id = bob.records_once_there_are(1, alice.id)[0]["id"]
        .as_i64()
        .expect("an id");
    world.person("alice").delete(id).ok();
    assert!(bob.records(alice.id).is_empty());
}

#[test]
fn two_who_write_to_each_other_for_the_first_time_at_once_both_succeed() {
    let world = World::start();
    for pair in 0..10 {
        let [one, other] = [format!("one{pair}"), format!("other{pair}")];
        let names = [one.as_str(), other.as_str()];
        let people = world.people(names);
        std::thread::scope(|scope| {
            for (person, peer) in people.iter().zip([names[1], names[0]]) {
                scope.spawn(|| person.try_send(peer, "first").ok());
            }
        });
    }
}

#[test]
fn a_new_name_stands_on_what_was_sent_and_shared_under_the_old_one() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let [bob, carol] = world.people(["bob", "carol"]);
    let id = world.person("alice").send(&bob, "sealed");
    bob.grant(id, "carol", "read").error(403);
    world.person("alice").grant(id, "carol", "read").ok();
    assert_eq!(bob.inbox()[0]["sender_id"], "alice");
    assert_eq!(carol.inbox()[0]["shared_by"], "alice");

    data(&alice.put("/user/profile", &json!({"username": "alicia"})));
    assert_eq!(bob.inbox()[0]["sender_id"], "alicia");
    assert_eq!(carol.inbox()[0]["shared_by"], "alicia");
    bob.try_send("alice", "to nobody").error(404);
}

/// Sends text to somebody through one of the APIs.
fn send_through(api: &str, from: (&Someone, &mut Socket), to: &Someone, text: &str) {
    let (from, relay) = from;
    let letter = json!({"recipient_username": to.username, "encrypted_content": text});
    match api {
        "message_store" => {
            let sender = from.world.person(&from.username);
            sender.try_send(&to.username, text).ok();
        }
        "secure_im" => assert_eq!(
            secure_im(from, Method::POST, "/messages/", &letter).status,
            200
        ),
        "chat8" => _ = from.send(to, text),
        _ => relay.send(&json!({"fromId": from.id, "toId": to.id, "message": text, "aesKey": "k"})),
    }
}

const DIRECT_APIS: [&str; 4] = ["message_store", "secure_im", "chat8", "encommunication"];

/// A call of secure_im with the token of somebody.
fn secure_im(who: &Someone, method: Method, path: &str, body: &Value) -> Reply {
    let request = who.world.request(method, path).bearer_auth(&who.token);
    Reply::to(request.json(body))
}

/// The relay socket of somebody, on which a first roster has come.
fn relay_socket(who: &Someone) -> Socket {
    let opened = Socket::open(who.world, "/chat", &[("token", &who.token)]);
    let mut socket = opened.expect("the socket opens");
    socket.roster_until(|ids| ids.contains(&who.id));
    socket
}

#[test]
fn what_is_sent_through_any_api_arrives_live_on_the_sockets_and_the_stream_of_every_other() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let (mut live, mut relay) = (bob.connect(), relay_socket(&bob));
    let mut stream = Stream::open(&world.person("bob"), Some(0));
    let mut of_alice = relay_socket(&alice);
    for api in DIRECT_APIS {
        let text = format!("sealed by {api}");
        send_through(api, (&alice, &mut of_alice), &bob, &text);
        let told = live.next_of("new_message");
        assert_eq!(told["content"], text);
        assert_eq!(told["sender_id"], alice.id);
        let event = stream.next();
        assert_eq!(event.data["encrypted_content"], text);
        assert_eq!(event.data["id"], told["id"], "it is the same message");
        let frame = relay.frame();
        assert_eq!(
            (&frame["fromId"], &frame["message"]),
            (&json!(alice.id), &json!(text))
        );
    }
}

#[test]
fn what_is_read_in_one_api_is_read_in_the_others() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let mut of_alice = relay_socket(&alice);
    for (nth, api) in DIRECT_APIS.iter().enumerate() {
        send_through(api, (&alice, &mut of_alice), &bob, api);
        // Frames are not answered.
        wait_for(|| (alice.history(&bob).len() > nth).then_some(()));
    }
    let history = alice.history(&bob);
    let read = || {
        let history = alice.history(&bob);
        history
            .iter()
            .map(|message| message["is_read"] == true)
            .collect::<Vec<_>>()
    };
    let unread = |query: &str| {
        let path = format!("/messages/{query}");
        let list = secure_im(&bob, Method::GET, &path, &json!({})).json();
        let list = list.as_array().expect("a list").iter();
        list.map(|message| message["encrypted_content"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(unread("?ack=manual"), DIRECT_APIS);
    assert_eq!(read(), [false; 4]);

    let first = format!("/messages/{}/read", history[0]["id"]);
    assert_eq!(bob.put(&first, &Value::Null).status, 200);
    assert_eq!(unread("?ack=manual"), DIRECT_APIS[1..]);

    let up_to = json!({"up_to": history[1]["id"]});
    assert_eq!(
        secure_im(&bob, Method::POST, "/messages/ack", &up_to).status,
        200
    );
    assert_eq!(read(), [true, true, false, false]);

    assert_eq!(unread(""), DIRECT_APIS[2..]);
    assert_eq!(read(), [true; 4]);
    assert!(unread("").is_empty());
}
