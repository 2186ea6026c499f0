//! Login attempts are throttled, by account and by client address.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;

use crate::world::{Reply, Setup, World, password_hash_of};

fn throttled() -> World {
    Setup::new()
        .env("ROCKET_LOGIN_FAILURES_PER_ACCOUNT", 3)
        .start()
}

fn log_in(world: &World, user_id: &str, password_hash: &str) -> Reply {
    world.post(
        "/auth/login",
        &json!({"user_id": user_id, "password_hash": password_hash}),
    )
}

fn assert_throttled(reply: &Reply) {
    reply.error(429);
    assert!(wait_of(reply) > 0, "{reply:?}");
}

/// In how many seconds the next try is allowed.
fn wait_of(reply: &Reply) -> u64 {
    let secs = reply
        .header("Retry-After")
        .and_then(|secs| secs.parse().ok());
    secs.unwrap_or_else(|| panic!("Retry-After in seconds: {reply:?}"))
}

#[test]
fn too_many_wrong_passwords_close_the_account_for_a_while() {
    let world = throttled();
    world.people(["alice", "bob"]);
    for _ in 0..3 {
        log_in(&world, "alice", "wrong").error(401);
    }
    assert_throttled(&log_in(&world, "alice", "wrong"));
    assert_throttled(&log_in(&world, "alice", &password_hash_of("alice")));
    log_in(&world, "bob", &password_hash_of("bob")).ok();
}

#[test]
fn an_unknown_account_is_throttled_like_a_known_one() {
    let world = throttled();
    for _ in 0..3 {
        log_in(&world, "nobody", "wrong").error(401);
    }
    assert_throttled(&log_in(&world, "nobody", "wrong"));
}

#[test]
fn changing_the_password_is_throttled_as_logging_in_is() {
    let world = throttled();
    world.register("alice");
    let change = |current: &str| {
        let body = json!({"user_id": "alice", "current_password_hash": current, "new_password_hash": "new"});
        world.post("/auth/change_password", &body)
    };
    for _ in 0..3 {
        change("wrong").error(401);
    }
    assert_throttled(&change(&password_hash_of("alice")));
}

#[test]
fn a_client_address_that_fails_everywhere_is_throttled() {
    let world = Setup::new()
        .env("ROCKET_LOGIN_FAILURES_PER_ADDRESS", 5)
        .start();
    // A failure is forgiven each second, so that a slow machine needs more than five.
    let throttled = (0..100).find_map(|n| {
        let reply = log_in(&world, &format!("user{n}"), "wrong");
        (reply.status != 401).then_some(reply)
    });
    assert_throttled(&throttled.expect("a hundred failures are too many"));
}

#[test]
fn whoever_has_an_ipv6_network_has_one_address_of_it() {
    let world = Setup::new()
        .env("ROCKET_LOGIN_FAILURES_PER_ADDRESS", 5)
        .env("ROCKET_TRUSTED_PROXIES", "[\"127.0.0.1\"]")
        .start();
    let attempt = |address: &str, name: &str| {
        let body = json!({"user_id": name, "password_hash": "wrong"});
        let request = world.request(Method::POST, "/auth/login");
        Reply::to(request.header("X-Forwarded-For", address).json(&body))
    };
    let throttled = (1..100).find_map(|n| {
        let reply = attempt(&format!("2001:db8::{n}"), &format!("user{n}"));
        (reply.status != 401).then_some(reply)
    });
    assert_throttled(&throttled.expect("a hundred failures are too many"));
    attempt("2001:db8:0:1::1", "somebody").error(401);
}

/// Guesses a password under each of these names, all at once; answers how many were told that it is
/// wrong. All others have to be throttled, and to wait for at most `longest_wait_secs`.
fn guess_at_once(world: &World, user_ids: &[String], longest_wait_secs: u64) -> u64 {
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let guess = |user_id| scope.spawn(move || log_in(world, user_id, "wrong"));
        let threads: Vec<_> = user_ids.iter().map(String::as_str).map(guess).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let mut wrong = 0;
    for reply in replies {
        if reply.status == 401 {
            wrong += 1;
            continue;
        }
        assert_throttled(&reply);
        assert!(wait_of(&reply) <= longest_wait_secs, "{reply:?}");
    }
    wrong
}

#[test]
fn guesses_at_once_are_throttled_as_those_one_after_the_other() {
    let world = throttled();
    world.register("alice");
    let names = vec!["alice".to_owned(); 24];
    let begun = Instant::now();
    let wrong = guess_at_once(&world, &names, 7);
    let more = begun.elapsed().as_secs() / 6;
    assert!((3..=3 + more).contains(&wrong), "{wrong} guesses");
    // However many were refused, the next is allowed after the usual time.
    let refused = log_in(&world, "alice", "wrong");
    if refused.status != 401 {
        assert_throttled(&refused);
        assert!(wait_of(&refused) <= 6, "{refused:?}");
    }
}

#[test]
fn guesses_at_once_from_one_address_are_throttled_too() {
    let world = Setup::new()
        .env("ROCKET_LOGIN_FAILURES_PER_ADDRESS", 5)
        .start();
    let names: Vec<String> = (0..24).map(|n| format!("user{n}")).collect();
    let begun = Instant::now();
    let wrong = guess_at_once(&world, &names, 2);
    let more = begun.elapsed().as_secs();
    assert!((5..=5 + more).contains(&wrong), "{wrong} guesses");
}

#[test]
fn successful_logins_are_not_throttled() {
    let world = throttled();
    world.register("alice");
    for _ in 0..10 {
        log_in(&world, "alice", &password_hash_of("alice")).ok();
    }
}

#[test]
fn right_logins_at_once_wait_for_one_another_and_all_succeed() {
    let world = throttled();
    world.register("alice");
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| log_in(&world, "alice", &password_hash_of("alice")).ok());
        }
    });
}
