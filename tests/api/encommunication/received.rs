//! `/received` and frames with ids: how a client whose socket was lost learns what it missed.

use std::collections::BTreeSet;
use std::{array, iter, thread};

use serde_json::{Value, json};

use super::people::{Socket, User, join};
use crate::world::{Reply, World, skips_postgres_test};

fn records(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let list = &reply.json()["data"]["records"];
    list.as_array().expect("a list").clone()
}

fn last(reply: &Reply) -> i64 {
    reply.json()["data"]["last"].as_i64().expect("a number")
}

fn with_ids(user: &User) -> Socket {
    let opened = Socket::open(user.world, "/chat?ids=true", &[("token", &user.token)]);
    opened.expect("the socket opens")
}

#[test]
fn what_came_after_a_record_is_what_others_sent_to_the_caller_oldest_first() {
    let world = World::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| join(&world, name));
    let mut of_alice = with_ids(&alice);
    let (mut of_bob, mut of_carol) = (bob.connect(), carol.connect());
    of_bob.send(&bob.frame(&alice, "one", "b1"));
    let live = of_alice.frame();
    let id = live["id"].as_i64().expect("a number");
    assert_eq!(
        live,
        json!({"id": id, "fromId": bob.id, "message": "one", "aesKey": "b1",
            "systemMessage": false})
    );
    of_alice.close();

    of_bob.send(&bob.frame(&alice, "two", "b2"));
    bob.records_once_there_are(2, alice.id);
    of_bob.send(&bob.frame(&carol, "not hers", "b3"));
    assert_eq!(
        of_carol.frame()["id"],
        Value::Null,
        "only who asks gets ids"
    );
    of_carol.send(&carol.frame(&alice, "three", "c1"));
    carol.records_once_there_are(1, alice.id);
    let missed = alice.received(&format!("?after={id}"));
    let expected = [&bob.records(alice.id)[1], &carol.records(alice.id)[0]].map(Value::clone);
    assert_eq!(records(&missed), expected);
    assert_eq!(expected[1]["fromAesKey"], "c1");
    assert_eq!(expected[1]["id"], last(&missed));

    let rest = alice.received(&format!("?after={}", last(&missed)));
    assert_eq!((records(&rest), last(&rest)), (Vec::new(), last(&missed)));
}

#[test]
fn who_asks_after_nothing_or_too_late_a_record_learns_where_to_begin() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let empty = alice.received("");
    assert_eq!((records(&empty), last(&empty)), (Vec::new(), 0));
    let mut of_bob = bob.connect();
    of_bob.send(&bob.frame(&alice, "one", ""));
    let stored = bob.records_once_there_are(1, alice.id);
    for query in ["", "?after=999999"] {
        let reply = alice.received(query);
        assert_eq!(records(&reply), [] as [Value; 0], "{query}");
        assert_eq!(stored[0]["id"], last(&reply), "{query}");
    }
    assert_eq!(alice.received("?after=x").status, 400);
    let stranger = User {
        token: "nonsense".into(),
        ..alice
    };
    assert_eq!(stranger.received("").status, 401);
}

#[test]
fn what_is_only_shared_is_no_record_and_need_not_be_walked_past_again() {
    let world = World::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| join(&world, name));
    let mut of_bob = bob.connect();
    of_bob.send(&bob.frame(&carol, "not hers", ""));
    let shared = bob.records_once_there_are(1, carol.id)[0]["id"].clone();
    let id = shared.as_i64().expect("a number");
    world.person("bob").grant(id, "alice", "read").ok();
    let walked = alice.received("?after=0");
    assert_eq!((records(&walked), last(&walked)), (Vec::new(), id));
    of_bob.send(&bob.frame(&alice, "hers", ""));
    let stored = bob.records_once_there_are(1, alice.id);
    let rest = alice.received(&format!("?after={id}"));
    assert_eq!(records(&rest), stored);
}

#[test]
fn more_than_one_answer_holds_is_had_by_asking_on() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let mut of_bob = bob.connect();
    let large = "x".repeat(700_000);
    for _ in 0..5 {
        of_bob.send(&bob.frame(&alice, &large, ""));
    }
    let stored = bob.records_once_there_are(5, alice.id);
    let (mut found, mut after, mut answers) = (Vec::new(), 0, 0);
    loop {
        let reply = alice.received(&format!("?after={after}"));
        let records = records(&reply);
        if records.is_empty() {
            break;
        }
        (after, answers) = (last(&reply), answers + 1);
        found.extend(records);
    }
    assert_eq!(found, stored);
    assert!(answers > 1, "one answer is bounded");
}

#[test]
fn ids_on_a_socket_only_rise_and_leave_nothing_out_however_many_send_at_once() {
    const SENDERS: usize = 6;
    const FRAMES: usize = 60;
    let world = World::start();
    let alice = join(&world, "alice");
    let senders: [User; SENDERS] = array::from_fn(|n| join(&world, &format!("sender{n}")));
    let mut of_alice = with_ids(&alice);
    let ids: Vec<i64> = thread::scope(|scope| {
        for sender in &senders {
            let mut socket = sender.connect();
            let alice = &alice;
            scope.spawn(move || {
                for n in 0..FRAMES {
                    socket.send(&sender.frame(alice, "", "key"));
                    socket.send(&sender.frame(alice, &n.to_string(), "key"));
                }
                sender.records_once_there_are(FRAMES, alice.id);
            });
        }
        let frames = iter::from_fn(|| Some(of_alice.frame()));
        let ids = frames.filter_map(|frame| frame["id"].as_i64());
        ids.take(SENDERS * FRAMES).collect()
    });
    assert!(ids.is_sorted_by(|before, after| before < after), "{ids:?}");
    let stored: BTreeSet<i64> = senders
        .iter()
        .flat_map(|sender| sender.records(alice.id))
        .filter_map(|record| record["id"].as_i64())
        .collect();
    assert!(stored.into_iter().eq(ids));
}

#[test]
fn a_frame_whose_event_was_lost_comes_with_the_next_one_and_after_no_later_key() {
    // On SQLite every commit has its event.
    if skips_postgres_test() {
        return;
    }
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let database = world.database().expect("it is on PostgreSQL");
    let mut of_alice = with_ids(&alice);
    let mut of_bob = bob.connect();
    of_bob.send(&bob.frame(&alice, "one", ""));
    let first = of_alice.frame()["id"].as_i64().expect("a number");
    // As another server would store it, or a commit that is in doubt.
    database.run(&format!(
        "WITH sent AS (
             INSERT INTO messages (sender_id, recipient_id, pair, kind, content, is_encrypted, sent_at)
             SELECT sender_id, recipient_id, pair, kind, 'two', is_encrypted, sent_at
             FROM messages WHERE id = {first} RETURNING id
         )
         INSERT INTO permissions (user_id, message_id, kind, received, granted_at)
         SELECT {}, id, 'read', true, 0 FROM sent",
        alice.id
    ));
    of_bob.send(&bob.frame(&alice, "", "key"));
    of_bob.send(&bob.frame(&alice, "three", ""));
    let frames = [(); 3].map(|()| of_alice.frame());
    let texts = frames.map(|frame| frame["message"].as_str().expect("a text").to_owned());
    assert_eq!(texts, ["", "two", "three"]);
}
