//! A change of the password against what races with it.

use std::sync::mpsc;

use reqwest::Method;
use serde_json::json;

use crate::world::{Reply, World, password_hash_of};

fn change(world: &World, new: &str) -> Reply {
    let body = json!({
        "user_id": "alice", "current_password_hash": password_hash_of("alice"),
        "new_password_hash": new,
    });
    world.post("/auth/change_password", &body)
}

fn log_in(world: &World, password_hash: &str) -> Reply {
    let body = json!({"user_id": "alice", "password_hash": password_hash});
    world.post("/auth/login", &body)
}

fn token_of(reply: Reply) -> String {
    let token = &reply.ok()["data"]["token"];
    token.as_str().expect("a token").to_owned()
}

/// Logs in with the old password over and over until that is refused. Returns the tokens; says so
/// when it has the first.
fn log_in_until_refused(world: &World, first: &mpsc::Sender<()>) -> Vec<String> {
    let mut tokens = Vec::new();
    loop {
        assert!(tokens.len() < 1_000, "the password was never refused");
        let reply = log_in(world, &password_hash_of("alice"));
        if reply.status == 401 {
            return tokens;
        }
        tokens.push(token_of(reply));
        // Who waits has heard of an earlier one.
        let _ = first.send(());
    }
}

#[test]
fn no_token_of_the_old_password_outlives_its_change() {
    let world = World::start();
    world.register("alice");
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let (first, is_in) = mpsc::channel();
        let log_in = |_| {
            let first = first.clone();
            let world = &world;
            scope.spawn(move || log_in_until_refused(world, &first))
        };
        let threads: Vec<_> = (0..3).map(log_in).collect();
        is_in.recv().expect("somebody logs in");
        change(&world, "new").ok();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    for token in tokens {
        let request = world.request(Method::GET, "/messages/inbox?user_id=alice");
        Reply::to(request.bearer_auth(&token)).error(401);
    }
    log_in(&world, "new").ok();
}

#[test]
fn of_changes_with_the_same_password_at_once_one_succeeds() {
    let world = World::start();
    world.register("alice");
    let passwords = ["new1", "new2", "new3", "new4"];
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let threads = passwords.map(|new| {
            let world = &world;
            scope.spawn(move || change(world, new))
        });
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let mut changed = 0;
    for (reply, new) in replies.into_iter().zip(passwords) {
        if reply.status == 200 {
            changed += 1;
            log_in(&world, new).ok();
        } else {
            assert_eq!(reply.error(401), "Invalid password");
            log_in(&world, new).error(401);
        }
    }
    assert_eq!(changed, 1);
}
