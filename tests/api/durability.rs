//! What was acknowledged is there: the server is killed (SIGKILL) at random moments under
//! concurrent sends and grants, started again on the same data, and asked for all of it.
//!
//! `CYCLES=n` runs more cycles than the 30 of the suite; `SEED=n` repeats the moments of a run
//! (they are printed on stderr).

use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Reply, World, permission_path};

const SENDERS: usize = 8;

/// What one cycle's senders were told is stored: content to id, and ids of granted messages.
#[derive(Default)]
struct Acknowledged {
    sent: BTreeMap<String, i64>,
    granted: BTreeMap<i64, String>,
}

/// One call whose answer tells that something is stored.
#[derive(Clone, Debug)]
enum Call {
    Send { content: String },
    Grant { id: i64, content: String },
}

/// One cycle's people: everybody's messages go to `bob`, and some are granted to `carol`.
struct Cast {
    bob: String,
    carol: String,
}

impl Call {
    /// Makes the call; the reply if the server answered success, `None` if it is not known to be stored.
    fn attempt(&self, world: &World, cast: &Cast) -> Option<Value> {
        let request = match self {
            Self::Send { content } => {
                let letter = json!({"user_id": "alice", "receiver_id": cast.bob, "encrypted_content": content});
                world
                    .request(Method::POST, "/messages/send")
                    .header("Idempotency-Key", content)
                    .json(&letter)
            }
            Self::Grant { id, content } => {
                world
                    .request(Method::POST, &permission_path(*id))
                    .json(&json!({
                        "user_id": "alice",
                        "target_user_id": cast.carol,
                        "permission_type": "write",
                        "encrypted_content": resealed(content),
                    }))
            }
        };
        let reply = Reply::try_to(request).ok()?;
        (reply.status == 200).then(|| reply.ok())
    }

    /// Notes that it was acknowledged with `reply`; a message of which every third is granted next.
    fn note(self, reply: &Value, acknowledged: &mut Acknowledged) -> Option<Self> {
        match self {
            Self::Send { content } => {
                let id = reply["message_id"].as_i64().expect("an id");
                acknowledged.sent.insert(content.clone(), id);
                (id % 3 == 0).then_some(Self::Grant { id, content })
            }
            Self::Grant { id, content } => {
                acknowledged.granted.insert(id, content);
                None
            }
        }
    }
}

fn resealed(content: &str) -> String {
    format!("{content}, sealed again")
}

/// Sends and grants until the server is gone; returns what was acknowledged and the call that was not.
fn send_until_killed(
    world: &World,
    cast: &Cast,
    name: &str,
    acks: &Sender<()>,
) -> (Acknowledged, Call) {
    let mut acknowledged = Acknowledged::default();
    let mut granting = None;
    let mut number = 0;
    loop {
        let call = granting.take().unwrap_or_else(|| {
            number += 1;
            Call::Send {
                content: format!("{name}-{number}"),
            }
        });
        let Some(reply) = call.attempt(world, cast) else {
            return (acknowledged, call);
        };
        granting = call.note(&reply, &mut acknowledged);
        // The counting end goes away once it has heard enough.
        let _ = acks.send(());
    }
}

/// One life of the server: it is killed after `acks` acknowledgements, in the middle of the next.
fn live_and_die(
    world: &World,
    cast: &Cast,
    cycle: usize,
    acks: usize,
) -> (Acknowledged, Vec<Call>) {
    let (ack, heard) = channel();
    let ends = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let ack = ack.clone();
                scope.spawn(move || {
                    send_until_killed(world, cast, &format!("{cycle}-{sender}"), &ack)
                })
            })
            .collect();
        drop(ack);
        heard.iter().take(acks).for_each(drop);
        world.server.signal("KILL");
        let join = |thread: std::thread::ScopedJoinHandle<_>| thread.join().expect("no panic");
        threads
            .into_iter()
            .map(join)
            .collect::<Vec<(Acknowledged, Call)>>()
    });
    let mut all = Acknowledged::default();
    let mut pending = Vec::new();
    for (acknowledged, call) in ends {
        all.sent.extend(acknowledged.sent);
        all.granted.extend(acknowledged.granted);
        pending.push(call);
    }
    (all, pending)
}

/// Every acknowledged message exactly once, nothing else, and every grant whole.
fn check(world: &World, cast: &Cast, acknowledged: &Acknowledged) {
    let inbox = world.person(&cast.bob).inbox();
    let found: Vec<(String, i64)> = inbox.iter().map(content_and_id).collect();
    let distinct: BTreeMap<String, i64> = found.iter().cloned().collect();
    assert_eq!(
        found.len(),
        distinct.len(),
        "a message was stored twice in {}'s inbox",
        cast.bob
    );
    for (content, id) in &acknowledged.sent {
        assert_eq!(
            distinct.get(content),
            Some(id),
            "{content} was acknowledged and is lost or changed"
        );
    }
    assert_eq!(
        distinct.len(),
        acknowledged.sent.len(),
        "messages nobody was told of"
    );
    let granted: BTreeMap<i64, String> = world
        .person(&cast.carol)
        .inbox()
        .iter()
        .map(|item| {
            assert_eq!(
                (&item["permission"], &item["shared_by"]),
                (&json!("write"), &json!("alice")),
                "{item}"
            );
            let (content, id) = content_and_id(item);
            (id, content)
        })
        .collect();
    let expected: BTreeMap<i64, String> = acknowledged
        .granted
        .iter()
        .map(|(id, content)| (*id, resealed(content)))
        .collect();
    assert_eq!(granted, expected, "grants acknowledged and grants found");
}

fn content_and_id(item: &Value) -> (String, i64) {
    let content = item["encrypted_content"].as_str().expect("content is text");
    (content.to_owned(), item["id"].as_i64().expect("an id"))
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_survives_being_killed() {
    let cycles = from_env("CYCLES").unwrap_or(30);
    let seed = from_env("SEED").unwrap_or_else(rand::random);
    eprintln!("durability: {cycles} cycles, SEED={seed}");
    let mut moments = StdRng::seed_from_u64(seed);
    let mut world = World::start();
    world.register("alice");
    let mut past = Vec::new();
    for cycle in 0..cycles {
        let cast = Cast {
            bob: format!("bob{cycle}"),
            carol: format!("carol{cycle}"),
        };
        world.people([&cast.bob, &cast.carol]);
        let acks = moments.gen_range(1..300);
        let (mut acknowledged, pending) =
            live_and_die(&world, &cast, usize::try_from(cycle).expect("small"), acks);
        world.restart();
        for call in pending {
            // The retry of a send carries its key: it is stored once, whether it was before or not.
            let reply = call
                .attempt(&world, &cast)
                .unwrap_or_else(|| panic!("{call:?} fails after the restart"));
            drop(call.note(&reply, &mut acknowledged));
        }
        check(&world, &cast, &acknowledged);
        past.push((cast, acknowledged));
    }
    for (cast, acknowledged) in &past {
        check(&world, cast, acknowledged);
    }
}
