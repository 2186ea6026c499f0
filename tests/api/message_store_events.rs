//! `GET /messages/stream`: server-sent events for what is sent and granted to a user.

use std::io::{BufRead as _, BufReader};
use std::time::Instant;

use reqwest::Method;
use reqwest::blocking::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::world::{PATIENCE, Person, Reply, Setup, World, password_hash_of};

/// One event of the stream.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// An open stream of events.
pub(crate) struct Stream(BufReader<Response>);

impl Stream {
    /// Opens a stream that depends on no login.
    pub(crate) fn open(person: &Person, last_event_id: Option<i64>) -> Self {
        let mut request = person.world.request(Method::GET, "/messages/stream");
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        Self::answering(request.query(&[("user_id", &person.id)]))
    }

    /// Opens a stream with a token of its user.
    fn with_token(person: &Person) -> Self {
        let request = person.world.request(Method::GET, "/messages/stream");
        let request = request.query(&[("user_id", &person.id)]);
        Self::answering(request.bearer_auth(person.token()))
    }

    fn answering(request: RequestBuilder) -> Self {
        let response = request.send().expect("the server answers");
        assert_eq!(response.status(), 200);
        let content_type = response.headers()["content-type"]
            .to_str()
            .expect("ASCII")
            .to_owned();
        assert!(
            content_type == "text/event-stream; charset=utf-8",
            "{content_type}"
        );
        Self(BufReader::new(response))
    }

    /// The next event; comments and fields of no interest are passed over.
    pub(crate) fn next(&mut self) -> Event {
        let (mut id, mut data) = (String::new(), String::new());
        let start = Instant::now();
        loop {
            let line = self.line(start);
            assert!(!line.is_empty(), "the stream ended");
            let line = line.trim_end();
            if let Some(value) = line.strip_prefix("id:") {
                value.trim_start().clone_into(&mut id);
            } else if let Some(value) = line.strip_prefix("data:") {
                data.push_str(value.trim_start());
            } else if line.is_empty() && !data.is_empty() {
                let data = serde_json::from_str(&data).expect("an event carries JSON");
                return Event { id, data };
            }
        }
    }

    /// What comes until the stream ends in order.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        let start = Instant::now();
        loop {
            let line = self.line(start);
            if line.is_empty() {
                return rest;
            }
            rest.push_str(&line);
        }
    }

    /// The next line, which is empty at the end. Comments come for ever: panics if what one has
    /// waited for since `start` takes too long.
    fn line(&mut self, start: Instant) -> String {
        assert!(start.elapsed() < PATIENCE, "only comments come");
        let mut line = String::new();
        let read = self.0.read_line(&mut line);
        read.expect("the stream goes on, or ends in order");
        line
    }
}

#[test]
fn a_new_message_is_an_event_with_the_inbox_item() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let mut stream = Stream::open(&bob, Some(0));
    let id = alice.send(&bob, "sealed");
    let event = stream.next();
    assert_eq!(event.id, id.to_string());
    assert_eq!(event.data, bob.inbox()[0]);
}

#[test]
fn a_newly_granted_message_is_an_event_too() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let first = alice.send(&carol, "marks that the stream is open");
    let mut stream = Stream::open(&carol, Some(0));
    assert_eq!(stream.next().id, first.to_string());
    let id = alice.send(&bob, "sealed for bob");
    alice
        .grant_resealed(id, "carol", "read", "sealed for carol")
        .ok();
    let event = stream.next();
    assert_eq!(event.id, id.to_string());
    assert_eq!(event.data, carol.inbox()[0]);
    assert_eq!(event.data["encrypted_content"], "sealed for carol");
}

#[test]
fn a_grant_that_changes_its_type_is_no_new_event() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let granted = alice.send(&bob, "sealed for bob");
    let received = alice.send(&carol, "sealed for carol");
    let mut stream = Stream::open(&carol, None);
    alice.grant(granted, "carol", "read").ok();
    assert_eq!(stream.next().data["id"], granted);
    alice.grant(granted, "carol", "write").ok();
    alice.grant(received, "carol", "write").ok();
    let next = alice.send(&carol, "another");
    assert_eq!(stream.next().id, next.to_string());
    alice.revoke(granted, "carol").ok();
    alice.grant(granted, "carol", "read").ok();
    assert_eq!(stream.next().data["id"], granted, "granted anew");
}

#[test]
fn a_grant_on_an_older_message_does_not_take_a_reader_back_who_connects_again() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let [old, older] = ["one", "another"].map(|content| alice.send(&bob, content));
    let seen = alice.send(&carol, "seen");
    let newer = alice.send(&bob, "newer");
    let mut stream = Stream::open(&carol, Some(0));
    let mut ids = vec![stream.next().id];
    for granted in [old, newer, older] {
        alice.grant(granted, "carol", "read").ok();
        let event = stream.next();
        assert_eq!(event.data["id"], granted);
        ids.push(event.id);
    }
    let (seen, newer) = (seen.to_string(), newer.to_string());
    assert_eq!(ids, [&seen, "", &newer, ""], "what a client goes on from");
}

#[test]
fn a_stream_shows_nothing_that_is_not_for_its_user() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let mut stream = Stream::open(&carol, Some(0));
    alice.send(&bob, "not for carol");
    let id = alice.send(&carol, "for carol");
    assert_eq!(stream.next().id, id.to_string());
}

#[test]
fn a_stream_is_resumed_after_the_last_event() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let first = alice.send(&bob, "seen");
    let missed: Vec<i64> = (0..150).map(|n| alice.send(&bob, &n.to_string())).collect();
    let mut stream = Stream::open(&bob, Some(first));
    let late = alice.send(&bob, "live");
    for id in missed.into_iter().chain([late]) {
        assert_eq!(stream.next().id, id.to_string(), "each once, in order");
    }
}

#[test]
fn a_last_event_id_above_every_message_stands_for_the_newest() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    for beyond in [1_000_000, i64::MAX] {
        alice.send(&bob, "before");
        let granted = alice.send(&carol, "sealed for carol");
        let mut stream = Stream::open(&bob, Some(beyond));
        let sent = alice.send(&bob, "after");
        alice.grant(granted, "bob", "read").ok();
        for id in [sent, granted] {
            assert_eq!(stream.next().data["id"], id);
        }
    }
}

#[test]
fn a_grant_made_anew_comes_on_a_stream_that_was_resumed_before_it() {
    let world = World::start();
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]);
    let id = alice.send(&bob, "sealed for bob");
    alice
        .grant_resealed(id, "carol", "read", "sealed for carol")
        .ok();
    let mut stream = Stream::open(&carol, Some(0));
    assert_eq!(stream.next().data["encrypted_content"], "sealed for carol");
    let live = alice.send(&carol, "marks that the inbox has been read");
    assert_eq!(stream.next().id, live.to_string());
    alice.revoke(id, "carol").ok();
    alice
        .grant_resealed(id, "carol", "read", "sealed anew")
        .ok();
    alice.send(&carol, "what follows");
    assert_eq!(stream.next().data["encrypted_content"], "sealed anew");
}

#[test]
fn several_streams_of_one_user_all_see_everything() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let mut streams: Vec<Stream> = (0..5).map(|_| Stream::open(&bob, Some(0))).collect();
    let sent: Vec<i64> = (0..20).map(|_| alice.send(&bob, "sealed")).collect();
    for stream in &mut streams {
        for id in &sent {
            assert_eq!(stream.next().id, id.to_string());
        }
    }
}

#[test]
fn a_stream_is_refused_like_any_other_call() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let stream =
        |user_id: &str| world.request(Method::GET, &format!("/messages/stream?user_id={user_id}"));
    Reply::to(stream("nobody")).error(404);
    Reply::to(stream("")).error(400);
    world.get("/messages/stream", &[]).error(400);
    Reply::to(stream("alice").bearer_auth("no token")).error(401);
    Reply::to(stream("alice").bearer_auth(bob.token())).error(403);
    drop(alice);
}

#[test]
fn a_slow_reader_is_shown_nothing_that_comes_after_the_logout() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    // More than what lies between the two takes in.
    let large = "x".repeat(1 << 20);
    (0..40).for_each(|_| _ = alice.send(&bob, &large));
    let request = world.request(Method::GET, "/messages/stream?user_id=bob");
    let request = request.header("Last-Event-ID", 0);
    let mut stream = Stream::answering(request.bearer_auth(bob.token()));
    stream.next();
    let logout = world.request(Method::POST, "/logout");
    assert_eq!(Reply::to(logout.bearer_auth(bob.token())).status, 200);
    alice.send(&bob, "after the logout");
    let rest = stream.rest();
    assert!(!rest.contains("after the logout"));
    assert!(
        rest.len() < 30 << 20,
        "{} bytes came all the same",
        rest.len()
    );
}

#[test]
fn a_stream_ends_when_the_time_of_its_token_is_up() {
    let world = Setup::new().env("ROCKET_TOKEN_LIFETIME_SECS", 2).start();
    let stream = Stream::with_token(&world.register("bob"));
    assert!(!stream.rest().contains("data:"));
}

#[test]
fn a_stream_ends_with_the_password_that_its_login_had() {
    let world = World::start();
    let bob = world.register("bob");
    let stream = Stream::with_token(&bob);
    let change = json!({
        "user_id": "bob", "current_password_hash": password_hash_of("bob"), "new_password_hash": "new",
    });
    world.post("/auth/change_password", &change).ok();
    world.register("alice").send(&bob, "after the change");
    assert!(!stream.rest().contains("after the change"));
}

#[test]
fn a_stream_ends_in_order_when_the_server_stops() {
    let mut world = World::start();
    let stream = Stream::open(&world.register("bob"), None);
    world.server.signal("TERM");
    stream.rest();
    assert!(world.server.wait().success());
}

#[test]
fn a_stream_without_last_event_id_shows_what_comes_from_now_on() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    alice.send(&bob, "before");
    let mut stream = Stream::open(&bob, None);
    let id = alice.send(&bob, "after");
    assert_eq!(stream.next().id, id.to_string());
}

/// Four people do something at once, each `times` times, while this reads.
fn while_four<T>(
    world: &World,
    times: usize,
    act: impl Fn(&Person) + Sync,
    read: impl FnOnce() -> T,
) -> T {
    let people = world.people(["one", "two", "three", "four"]);
    std::thread::scope(|scope| {
        for person in &people {
            scope.spawn(|| (0..times).for_each(|_| act(person)));
        }
        read()
    })
}

/// Four people send to bob at once, and this reads meanwhile until it has seen all of it.
fn while_four_send_at_once(world: &World, read: impl FnOnce(&Person, usize) -> Vec<i64>) {
    let bob = world.register("bob");
    let send = |person: &Person| {
        person.send(&bob, "sealed");
    };
    let seen = while_four(world, 40, send, || read(&bob, 160));
    let is_ascending = seen.is_sorted_by(|one, next| one < next);
    assert!(is_ascending, "in order, each once: {seen:?}");
    assert_eq!(seen.len(), 160, "all of them: {seen:?}");
}

#[test]
fn a_stream_that_is_resumed_again_and_again_misses_and_repeats_nothing_of_what_many_send() {
    let world = World::start();
    while_four_send_at_once(&world, |bob, count| {
        let mut seen = vec![0];
        while seen.len() <= count {
            let mut stream = Stream::open(bob, seen.last().copied());
            for _ in 0..5.min(count + 1 - seen.len()) {
                seen.push(stream.next().id.parse().expect("a number"));
            }
        }
        seen.split_off(1)
    });
}

#[test]
fn whoever_follows_an_inbox_misses_and_repeats_nothing_of_what_many_send() {
    let world = World::start();
    while_four_send_at_once(&world, |bob, count| {
        let (mut seen, mut after) = (Vec::new(), 0);
        while seen.len() < count {
            let path = format!("/messages/inbox?user_id=bob&after={after}&limit=10&wait=5");
            let page = Reply::to(bob.world.request(Method::GET, &path)).ok();
            let messages = page["messages"].as_array().expect("a list");
            seen.extend(messages.iter().filter_map(|message| message["id"].as_i64()));
            after = page["next"].as_i64().expect("a number");
        }
        seen
    });
}

#[test]
fn a_stream_shows_each_of_many_grants_once() {
    let world = World::start();
    let [bob, carol] = world.people(["bob", "carol"]);
    let share = |person: &Person| {
        let id = person.send(&bob, "sealed");
        person.grant(id, "carol", "read").ok();
    };
    let mut stream = Stream::open(&carol, Some(0));
    let mut next = || stream.next().data["id"].as_i64();
    let read = || (0..400).map(|_| next()).collect();
    let mut seen: Vec<_> = while_four(&world, 100, share, read);
    seen.sort_unstable();
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
}
