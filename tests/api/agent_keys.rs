//! How the agent comes to share a key with peers of every behaviour, and whose keys it trusts.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent_world::{Agent, Person, good, refused};
use crate::relay_stub::{Puppet, Relay};
use crate::world::wait_for;

/// The agent writes to an idle link every 20 s, and whatever waits goes out with it.
const BEFORE_A_PING: Duration = Duration::from_secs(10);

fn is_key(frame: &Value) -> bool {
    frame["message"] == ""
}

fn is_message(frame: &Value) -> bool {
    frame["message"] != ""
}

/// The texts of the messages that came to the puppet, each by its own key.
fn came(relay: &Relay, from: &Person<'_>, to: &Puppet) -> Vec<String> {
    let frames = relay.frames(from.id, to.id);
    let messages = frames.iter().filter(|frame| is_message(frame));
    messages.map(|frame| to.open(frame)).collect()
}

#[test]
fn the_key_goes_first_and_the_message_follows_its_confirmation_with_the_key_attached() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    alice.sees(bob.id);
    alice.send(bob.id, "hi");
    let offer = relay.frame(alice.id, bob.id, is_key);
    assert_eq!(relay.frames(alice.id, bob.id).len(), 1);
    let key = bob.unwrap_key(&offer);
    bob.offer(alice.id, key);
    let message = relay.frame(alice.id, bob.id, is_message);
    assert_eq!(bob.unwrap_key(&message), key);
    assert_eq!(bob.open(&message), "hi");
    assert_eq!(alice.texts(bob.id), ["hi"]);
}

#[test]
fn a_key_from_the_peer_is_adopted_and_answered() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    alice.sees(bob.id);
    for key in [[1; 32], [2; 32]] {
        bob.offer(alice.id, key);
        relay.frame(alice.id, bob.id, |frame| bob.unwrap_key(frame) == key);
    }
    alice.send(bob.id, "hi");
    let message = relay.frame(alice.id, bob.id, is_message);
    assert_eq!(bob.unwrap_key(&message), [2; 32]);
}

#[test]
fn a_peer_that_answers_without_its_own_key_is_understood() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    let stream = agent.stream();
    alice.sees(bob.id);
    alice.send(bob.id, "hi");
    let key = bob.unwrap_key(&relay.frame(alice.id, bob.id, is_key));
    bob.write(alice.id, "hello", key, false);
    assert_eq!(stream.message()["content"], "hello");
    assert_eq!(bob.open(&relay.frame(alice.id, bob.id, is_message)), "hi");
    assert_eq!(alice.texts(bob.id), ["hello", "hi"]);
}

#[test]
fn a_peer_that_never_answers_gets_the_message_all_the_same() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    alice.sees(bob.id);
    alice.send(bob.id, "hi");
    assert_eq!(bob.open(&relay.frame(alice.id, bob.id, is_message)), "hi");
}

#[test]
fn when_both_start_at_once_the_lower_id_waits_a_second_and_then_adopts() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    assert!(alice.id < bob.id);
    alice.sees(bob.id);
    alice.send(bob.id, "hi");
    relay.frame(alice.id, bob.id, is_key);
    let crossed = Instant::now();
    bob.offer(alice.id, [9; 32]);
    let message = relay.frame(alice.id, bob.id, is_message);
    assert!(crossed.elapsed() > Duration::from_millis(900));
    assert_eq!(bob.unwrap_key(&message), [9; 32]);
}

#[test]
fn when_both_start_at_once_the_higher_id_adopts_at_once() {
    let adopts_at_once = || {
        let relay = Relay::start();
        let agent = Agent::start(&relay.url);
        let bob = relay.puppet("bob");
        let alice = agent.person("alice");
        assert!(alice.id > bob.id);
        alice.sees(bob.id);
        alice.send(bob.id, "hi");
        relay.frame(alice.id, bob.id, is_key);
        let crossed = Instant::now();
        bob.offer(alice.id, [9; 32]);
        let message = relay.frame(alice.id, bob.id, is_message);
        assert_eq!(bob.unwrap_key(&message), [9; 32]);
        crossed.elapsed() < Duration::from_secs(1)
    };
    // A busy machine may take that second too, but not always.
    assert!((0..3).any(|_| adopts_at_once()));
}

#[test]
fn somebody_absent_is_written_to_with_the_key_attached() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    alice.sees(bob.id);
    bob.set_online(false);
    alice.peer(bob.id, |shown| shown["online"] == false);
    alice.send(bob.id, "letter");
    assert_eq!(
        bob.open(&relay.frame(alice.id, bob.id, is_message)),
        "letter"
    );
    let stored = &relay.records()[0];
    assert_eq!(stored["toAesKey"], Value::Null);
    assert_eq!(alice.texts(bob.id), ["letter"]);
}

#[test]
fn a_restarted_agent_still_reads_and_writes_what_it_shared() {
    let relay = Relay::start();
    let mut agent = Agent::start(&relay.url);
    let bob = relay.puppet("bob");
    let id = {
        let alice = agent.person("alice");
        alice.sees(bob.id);
        bob.offer(alice.id, [3; 32]);
        relay.frame(alice.id, bob.id, is_key);
        alice.send(bob.id, "before");
        relay.frame(alice.id, bob.id, is_message);
        alice.id
    };
    agent.restart();
    let alice = agent.login("alice");
    assert_eq!(alice.id, id);
    assert_eq!(alice.texts(bob.id), ["before"]);
    alice.send(bob.id, "after");
    wait_for(|| (came(&relay, &alice, &bob) == ["before", "after"]).then_some(()));
}

#[test]
fn what_waits_for_an_answer_goes_out_when_the_agent_stops() {
    let relay = Relay::start();
    let mut agent = Agent::start(&relay.url);
    let bob = relay.puppet("bob");
    let alice = agent.person("alice");
    alice.sees(bob.id);
    alice.send(bob.id, "last words");
    let id = alice.id;
    agent.stop();
    assert_eq!(bob.open(&relay.frame(id, bob.id, is_message)), "last words");
}

#[test]
fn a_peers_changed_key_is_shown_and_nothing_goes_out_until_it_is_accepted() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let mut bob = relay.puppet("bob");
    alice.sees(bob.id);
    bob.offer(alice.id, [3; 32]);
    relay.frame(alice.id, bob.id, is_key);
    let old = alice.peer(bob.id, |_| true)["fingerprint"].clone();
    let stream = agent.stream();
    bob.change_key();
    let event = stream.next(|event| event["type"] == "key_changed");
    assert_eq!(event["peer"], bob.id);
    let shown = alice.peer(bob.id, |shown| !shown["changed"].is_null());
    assert_eq!(shown["changed"]["old"], old);
    assert_eq!(shown["fingerprint"], old);
    let new = shown["changed"]["new"].clone();
    assert_ne!(new, old);

    alice.send(bob.id, "secret");
    bob.offer(alice.id, [4; 32]);
    let body = |print: &Value| json!({"user": alice.id, "peer": bob.id, "fingerprint": print});
    refused(agent.post("/api/peers/accept", &body(&old)), 400);
    assert_eq!(
        relay.frames(alice.id, bob.id).len(),
        1,
        "only the first answer"
    );

    good(agent.post("/api/peers/accept", &body(&new)));
    let message = relay.frame(alice.id, bob.id, is_message);
    assert_eq!(bob.open(&message), "secret");
    assert_ne!(
        bob.unwrap_key(&message),
        [3; 32],
        "the old key is not used again"
    );
    let shown = alice.peer(bob.id, |shown| shown["changed"].is_null());
    assert_eq!(shown["fingerprint"], new);
}

#[test]
fn a_key_that_changed_in_an_absence_is_seen_before_anything_is_sealed_for_the_old_one() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let mut bob = relay.puppet("bob");
    let stream = agent.stream();
    for text in ["one", "two"] {
        alice.sees(bob.id);
        bob.set_online(false);
        alice.peer(bob.id, |shown| shown["online"] == false);
        alice.send(bob.id, text);
        wait_for(|| (came(&relay, &alice, &bob).last()? == text).then_some(()));
        bob.set_online(true);
    }
    alice.sees(bob.id);
    bob.set_online(false);
    alice.peer(bob.id, |shown| shown["online"] == false);
    bob.change_key();
    alice.send(bob.id, "secret");
    let event = stream.next(|event| event["type"] == "key_changed");
    assert_eq!(event["peer"], bob.id);
    let shown = alice.peer(bob.id, |shown| !shown["changed"].is_null());
    assert_eq!(relay.records().len(), 2);

    let new = &shown["changed"]["new"];
    let body = json!({"user": alice.id, "peer": bob.id, "fingerprint": new});
    good(agent.post("/api/peers/accept", &body));
    wait_for(|| (relay.records().len() == 3).then_some(()));
    let frames = relay.frames(alice.id, bob.id);
    assert_eq!(bob.open(frames.last().expect("a frame")), "secret");
}

#[test]
fn somebody_absent_of_whom_the_server_tells_nothing_is_written_to_under_the_known_key() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    alice.sees(bob.id);
    bob.set_online(false);
    alice.peer(bob.id, |shown| shown["online"] == false);
    relay.forget("bob");
    alice.send(bob.id, "letter");
    let message = relay.frame(alice.id, bob.id, is_message);
    assert_eq!(bob.open(&message), "letter");
}

#[test]
fn what_waits_for_a_changed_key_to_be_accepted_survives_restarts_and_goes_out_once() {
    let relay = Relay::start();
    let mut agent = Agent::start(&relay.url);
    let mut bob = relay.puppet("bob");
    let id = {
        let alice = agent.person("alice");
        alice.sees(bob.id);
        bob.change_key();
        alice.peer(bob.id, |shown| !shown["changed"].is_null());
        alice.send(bob.id, "first secret");
        alice.send(bob.id, "second secret");
        alice.id
    };
    agent.restart();
    bob.set_online(false);
    let alice = agent.login("alice");
    let shown = alice.peer(bob.id, |_| true);
    alice.send(bob.id, "third secret");
    assert_eq!(relay.frames(id, bob.id), [] as [Value; 0]);

    let new = &shown["changed"]["new"];
    let body = json!({"user": id, "peer": bob.id, "fingerprint": new});
    good(agent.post("/api/peers/accept", &body));
    let expected = ["first secret", "second secret", "third secret"];
    wait_for(|| (came(&relay, &alice, &bob) == expected).then_some(()));

    agent.restart();
    let alice = agent.login("alice");
    bob.set_online(true);
    alice.sees(bob.id);
    alice.send(bob.id, "last");
    wait_for(|| (alice.texts(bob.id).last()? == "last").then_some(()));
    assert_eq!(relay.records().len(), 4);
}

#[test]
fn a_changed_server_key_vouches_for_nobody_new_until_it_is_accepted() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    alice.sees(bob.id);
    let stream = agent.stream();
    relay.change_server_key();
    stream.next(|event| event["type"] == "server_key_changed");
    let carol = relay.puppet("carol");
    let shown = alice.peer(carol.id, |shown| shown["online"] == true);
    assert_eq!(shown["fingerprint"], Value::Null);
    alice.send(bob.id, "known");
    relay.frame(alice.id, bob.id, is_message);
    alice.send(carol.id, "new");

    let server = good(agent.get("/api/me"))["server"].clone();
    assert_eq!(server["changed"]["old"], server["fingerprint"]);
    let body = |print: &Value| json!({"fingerprint": print});
    refused(
        agent.post("/api/server/accept", &body(&server["fingerprint"])),
        400,
    );
    assert_eq!(relay.frames(alice.id, carol.id), [] as [Value; 0]);
    good(agent.post("/api/server/accept", &body(&server["changed"]["new"])));
    let accepted_at = Instant::now();
    let frame = relay.frame(alice.id, carol.id, is_message);
    assert!(accepted_at.elapsed() < BEFORE_A_PING, "at once");
    assert_eq!(carol.open(&frame), "new");
    let server = good(agent.get("/api/me"))["server"].clone();
    assert_eq!(server["changed"], Value::Null);
}

/// A relay whose key has changed, and somebody absent for whom Alice's text waits since then.
fn waiting_for_the_servers_key(relay: &Relay, agent: &Agent) -> (i64, Puppet) {
    let bob = relay.puppet("bob");
    bob.set_online(false);
    let alice = agent.person("alice");
    let stream = agent.stream();
    relay.change_server_key();
    stream.next(|event| event["type"] == "server_key_changed");
    stream.next(|event| event["state"] == "connected");
    alice.send(bob.id, "letter");
    (alice.id, bob)
}

fn accept_server_key(agent: &Agent) {
    let server = good(agent.get("/api/me"))["server"].clone();
    let body = json!({"fingerprint": server["changed"]["new"]});
    good(agent.post("/api/server/accept", &body));
}

#[test]
fn what_waits_for_somebody_absent_goes_out_when_the_servers_key_is_accepted() {
    let relay = Relay::start();
    let mut agent = Agent::start(&relay.url);
    let (alice, bob) = waiting_for_the_servers_key(&relay, &agent);
    agent.restart();
    agent.login("alice");
    assert_eq!(relay.frames(alice, bob.id), [] as [Value; 0]);
    accept_server_key(&agent);
    assert_eq!(bob.open(&relay.frame(alice, bob.id, is_message)), "letter");
}

#[test]
fn a_servers_key_accepted_without_a_link_releases_what_waits_once_there_is_one() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = waiting_for_the_servers_key(&relay, &agent);
    let stream = agent.stream();
    relay.set_down(true);
    stream.next(|event| event["type"] == "online");
    accept_server_key(&agent);
    let online = good(agent.get("/api/online_users"));
    assert_eq!(online, json!({"users": {}}));
    relay.set_down(false);
    assert_eq!(bob.open(&relay.frame(alice, bob.id, is_message)), "letter");
    assert_eq!(relay.records().len(), 1);
}

#[test]
fn everybody_sees_the_same_fingerprint_of_a_user() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = (agent.person("alice"), agent.person("bob"));
    bob.sees(alice.id);
    let own = good(agent.get(&format!("/api/fingerprint?user={}", alice.id)));
    let seen = bob.peer(alice.id, |_| true);
    assert_eq!(own["fingerprint"], seen["fingerprint"]);
    assert_eq!(own["fingerprint"].as_str().map(str::len), Some(64));
}
