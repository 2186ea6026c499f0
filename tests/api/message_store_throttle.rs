//! Login attempts are throttled, by account and by client address.

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
    let secs = reply
        .header("Retry-After")
        .and_then(|value| value.parse::<u64>().ok());
    assert!(
        secs.is_some_and(|secs| secs > 0),
        "Retry-After in seconds: {reply:?}"
    );
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
fn successful_logins_are_not_throttled() {
    let world = throttled();
    world.register("alice");
    for _ in 0..10 {
        log_in(&world, "alice", &password_hash_of("alice")).ok();
    }
}
