//! Pages of the mailboxes: `limit` and `before` backwards, `after` and `wait` forwards.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{Person, Reply, Setup, World};

const MAILBOXES: [&str; 2] = ["/messages/inbox", "/messages/outbox"];

fn ids(messages: &[Value]) -> Vec<i64> {
    messages
        .iter()
        .map(|item| item["id"].as_i64().expect("an id"))
        .collect()
}

/// The cursor of the following page, as a query takes it; `None` on the last page.
fn next(reply: &Reply) -> Option<String> {
    match &reply.json()["next"] {
        Value::Null => None,
        Value::String(cursor) => Some(cursor.clone()),
        other => Some(other.to_string()),
    }
}

/// Every page of a mailbox by `limit`, in the order they came.
fn pages(person: &Person, path: &str, limit: &str) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let mut query = vec![("limit", limit)];
        query.extend(cursor.as_deref().map(|cursor| ("before", cursor)));
        let reply = person.list(path, &query);
        pages.push(ids(&reply.messages()));
        cursor = next(&reply);
        if cursor.is_none() || pages.len() > 100 {
            return pages;
        }
    }
}

#[test]
fn pages_put_together_are_the_whole_mailbox() {
    let world = World::start();
    let alice = world.register("alice");
    let mut sent: Vec<i64> = (0..23)
        .map(|n| alice.send(&alice, &n.to_string()))
        .collect();
    sent.reverse();
    for path in MAILBOXES {
        for limit in ["1", "7", "23", "1000"] {
            let pages = pages(&alice, path, limit);
            let limit: usize = limit.parse().expect("a number");
            assert!(pages.iter().all(|page| page.len() <= limit), "{pages:?}");
            assert_eq!(pages.concat(), sent, "{path} by {limit}");
        }
    }
}

#[test]
fn pages_hold_direct_and_granted_messages_together() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let mut expected = Vec::new();
    for n in 0..12 {
        let receiver = if n % 2 == 0 { &carol } else { &bob };
        let id = alice.send(receiver, "sealed");
        if n % 3 == 0 {
            alice.grant(id, "carol", "read").ok();
        }
        if n % 2 == 0 || n % 3 == 0 {
            expected.insert(0, id);
        }
    }
    assert_eq!(pages(&carol, "/messages/inbox", "2").concat(), expected);
}

#[test]
fn a_page_is_not_disturbed_by_what_arrives_meanwhile() {
    let world = World::start();
    let alice = world.register("alice");
    let sent: Vec<i64> = (0..6).map(|_| alice.send(&alice, "sealed")).collect();
    let first = alice.list("/messages/inbox", &[("limit", "3")]);
    alice.send(&alice, "late");
    let cursor = next(&first).expect("there is more");
    let second = alice.list("/messages/inbox", &[("limit", "3"), ("before", &cursor)]);
    assert_eq!(ids(&second.messages()), [sent[2], sent[1], sent[0]]);
}

#[test]
fn without_a_limit_everything_comes() {
    let world = World::start();
    let alice = world.register("alice");
    for n in 0..120 {
        alice.send(&alice, &n.to_string());
    }
    for path in MAILBOXES {
        let reply = alice.list(path, &[]);
        assert_eq!(reply.messages().len(), 120, "{path}");
        assert_eq!(next(&reply), None);
    }
}

#[test]
fn limits_and_cursors_that_are_none_are_refused() {
    let world = World::start();
    let alice = world.register("alice");
    let huge = "9".repeat(40);
    let wrong: [(&str, &[&str]); 4] = [
        ("limit", &["0", "-1", "1001", "ten", "", "1.5", &huge]),
        ("before", &["x", "-", "' OR 1=1 --", &huge]),
        ("after", &["x", "", "1;2", &huge]),
        ("wait", &["-1", "61", "soon", &huge]),
    ];
    for path in MAILBOXES {
        for (name, values) in wrong {
            for value in values {
                let mut query = vec![(name, *value)];
                if name == "wait" {
                    query.push(("after", "0"));
                }
                alice.list(path, &query).error(400);
            }
        }
    }
}

#[test]
fn after_returns_what_came_later_oldest_first() {
    let world = World::start();
    let alice = world.register("alice");
    let sent: Vec<i64> = (0..5).map(|_| alice.send(&alice, "sealed")).collect();
    for path in MAILBOXES {
        let after = |id: i64| ids(&alice.list(path, &[("after", &id.to_string())]).messages());
        assert_eq!(after(0), sent);
        assert_eq!(after(sent[1]), sent[2..]);
        assert!(after(sent[4]).is_empty());
    }
}

#[test]
fn a_wait_ends_when_a_message_comes() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let mut last = alice.send(&bob, "seen");
    for (who, path) in [(&bob, MAILBOXES[0]), (&alice, MAILBOXES[1])] {
        let after = last.to_string();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let query = [("after", &*after), ("wait", "60")];
                ids(&who.list(path, &query).messages())
            });
            // Whether this comes before the wait or during it, the answer is the same.
            last = alice.send(&bob, "new");
            assert_eq!(waiting.join().expect("no panic"), [last], "{path}");
        });
    }
}

#[test]
fn of_a_parameter_that_is_repeated_the_last_one_counts() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let sent: Vec<i64> = (0..4).map(|n| alice.send(&bob, &n.to_string())).collect();
    let last = sent[2].to_string();
    let query = [
        ("limit", "1000"),
        ("before", "1"),
        ("limit", "2"),
        ("before", &last),
    ];
    let page = bob.list("/messages/inbox", &query).messages();
    assert_eq!(ids(&page), [sent[1], sent[0]]);
    let query = [("limit", "1"), ("limit", "abc")];
    bob.list("/messages/inbox", &query).error(400);
    for part in ["limit.of", "limit[]"] {
        let page = bob.list("/messages/inbox", &[("limit", "2"), (part, "3")]);
        assert_eq!(page.messages().len(), 3, "{part} is a limit, too");
    }
}

#[test]
fn a_waiting_outbox_is_woken_by_ones_own_sends_alone_through_whatever_api() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let query = [("after", "0"), ("wait", "60")];
            ids(&alice.list("/messages/outbox", &query).messages())
        });
        world.wait_until_live("message_store_outbox");
        bob.send(&alice, "received, not sent");
        let letter = serde_json::json!({"receiver_id": id_of(&world, "bob"), "content": "sent"});
        let request = world.request(reqwest::Method::POST, "/api/v1/messages");
        let sent = Reply::to(request.bearer_auth(alice.token()).json(&letter)).json();
        let expected = sent["data"]["id"].as_i64().expect("an id");
        assert_eq!(waiting.join().expect("no panic"), [expected]);
    });
}

/// The number by which the other APIs know somebody.
fn id_of(world: &World, name: &str) -> i64 {
    let asking = world.person(name);
    let request = world.request(reqwest::Method::GET, "/api/v1/user/profile");
    let profile = Reply::to(request.bearer_auth(asking.token())).json();
    profile["data"]["id"].as_i64().expect("an id")
}

#[test]
fn a_wait_ends_with_its_token() {
    let world = Setup::new().env("ROCKET_TOKEN_LIFETIME_SECS", 5).start();
    let alice = world.register("alice");
    let token = alice.log_in();
    std::thread::scope(|scope| {
        for path in MAILBOXES {
            let request = world.request(reqwest::Method::GET, path);
            let query = [("user_id", "alice"), ("after", "0"), ("wait", "60")];
            let request = request.query(&query).bearer_auth(&token);
            scope.spawn(move || {
                let start = Instant::now();
                assert!(Reply::to(request).messages().is_empty());
                let waited = start.elapsed();
                assert!(
                    waited < Duration::from_secs(50),
                    "{path}: it outlives its token"
                );
            });
        }
    });
}

#[test]
fn a_wait_whose_token_is_ended_is_refused() {
    let world = World::start();
    let alice = world.register("alice");
    let channels = ["message_store_inbox", "message_store_outbox"];
    for (path, channel) in MAILBOXES.into_iter().zip(channels) {
        let token = alice.log_in();
        let waiting = || {
            let request = world.request(reqwest::Method::GET, path);
            let query = [("user_id", "alice"), ("after", "0"), ("wait", "20")];
            Reply::to(request.query(&query).bearer_auth(&token))
        };
        std::thread::scope(|scope| {
            let waiting = scope.spawn(waiting);
            world.wait_until_live(channel);
            let logout = world.request(reqwest::Method::POST, "/logout");
            assert_eq!(Reply::to(logout.bearer_auth(&token)).status, 200);
            waiting.join().expect("no panic").error(401);
        });
    }
}

#[test]
fn a_wait_for_nothing_ends_with_an_empty_list() {
    let world = World::start();
    let alice = world.register("alice");
    for path in MAILBOXES {
        let start = Instant::now();
        let reply = alice.list(path, &[("after", "0"), ("wait", "1")]);
        assert!(reply.messages().is_empty());
        assert!(start.elapsed() >= Duration::from_millis(900), "it did wait");
        alice.list(path, &[("wait", "1")]).error(400);
    }
}
