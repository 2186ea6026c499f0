//! Texts that were taken while their receiver has not answered: whatever ends the agent, they go
//! out once.

use serde_json::{Value, json};

use crate::agent_world::{Agent, good};
use crate::relay_stub::{Puppet, Relay};
use crate::world::wait_for;

/// The texts of the messages that came to the puppet, each by its own key.
fn came(relay: &Relay, from: i64, to: &Puppet) -> Vec<String> {
    let frames = relay.frames(from, to.id);
    let messages = frames.iter().filter(|frame| frame["message"] != "");
    messages.map(|frame| to.open(frame)).collect()
}

/// An agent that was killed when its user, who has this id, had written "once" to bob, and the
/// relay had stored it.
fn killed_once_its_text_was_stored() -> (Relay, Agent, Puppet, i64) {
    let relay = Relay::start();
    let mut agent = Agent::start(&relay.url);
    let bob = relay.puppet("bob");
    let alice = agent.person("alice");
    let id = alice.id;
    alice.sees(bob.id);
    bob.offer(id, [3; 32]);
    relay.frame(id, bob.id, |frame| frame["message"] == "");
    alice.send(bob.id, "once");
    wait_for(|| (relay.records().len() == 1).then_some(()));
    agent.kill();
    (relay, agent, bob, id)
}

#[test]
fn what_waits_for_an_answer_outlives_an_agent_that_is_killed() {
    let relay = Relay::start();
    let mut agent = Agent::start(&relay.url);
    let bob = relay.puppet("bob");
    let alice = agent.person("alice");
    alice.sees(bob.id);
    alice.send(bob.id, "to bob");
    let id = alice.id;
    agent.kill();
    assert_eq!(came(&relay, id, &bob), [] as [&str; 0]);
    agent.start_again();
    let alice = agent.login("alice");
    alice.send(bob.id, "later");
    wait_for(|| (came(&relay, id, &bob) == ["to bob", "later"]).then_some(()));
}

#[test]
fn what_waits_for_an_answer_goes_out_once_when_the_user_logs_out_and_in_again() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let bob = relay.puppet("bob");
    let id = agent.register("alice")["id"].as_i64().expect("a number");
    for text in ["one", "two", "three"] {
        let alice = agent.login("alice");
        alice.sees(bob.id);
        alice.send(bob.id, text);
        good(agent.post("/api/logout", &json!({"id": id})));
    }
    wait_for(|| (came(&relay, id, &bob).last()? == "three").then_some(()));
    assert_eq!(came(&relay, id, &bob), ["one", "two", "three"]);
}

#[test]
fn what_was_lost_with_the_link_goes_out_once_when_the_user_logs_out_without_one_and_in_again() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let bob = relay.puppet("bob");
    let alice = agent.person("alice");
    alice.sees(bob.id);
    bob.offer(alice.id, [3; 32]);
    relay.frame(alice.id, bob.id, |frame| frame["message"] == "");
    let stream = agent.stream();
    relay.lose_messages(true);
    alice.send(bob.id, "lost");
    relay.set_down(true);
    stream.next(|event| event["state"] == "reconnecting");
    good(agent.post("/api/logout", &json!({"id": alice.id})));
    relay.lose_messages(false);
    relay.set_down(false);
    let alice = agent.login("alice");
    alice.send(bob.id, "later");
    wait_for(|| (alice.texts(bob.id) == ["lost", "later"]).then_some(()));
}

#[test]
fn what_waits_for_a_changed_key_is_said_to_be_held_until_the_key_is_accepted() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (mut bob, carol) = (relay.puppet("bob"), relay.puppet("carol"));
    let alice = agent.person("alice");
    alice.sees(bob.id);
    bob.change_key();
    let shown = alice.peer(bob.id, |shown| shown["changed"].is_object());
    let stream = agent.stream();
    let held = good(alice.try_send(bob.id, "letter"));
    assert_eq!(held, json!({"held": true}));
    let sent = stream.next(|event| event["type"] == "sent");
    assert_eq!(sent["held"], true);
    assert_eq!(good(alice.try_send(carol.id, "hi")), Value::Null);
    assert_eq!(alice.peer(bob.id, |_| true)["held"], 1);

    let body = json!({"user": alice.id, "peer": bob.id, "fingerprint": shown["changed"]["new"]});
    good(agent.post("/api/peers/accept", &body));
    wait_for(|| (came(&relay, alice.id, &bob) == ["letter"]).then_some(()));
    assert_eq!(alice.peer(bob.id, |_| true)["held"], 0);
}

#[test]
fn what_was_stored_before_its_agent_was_killed_is_found_however_much_has_come_since() {
    let (relay, mut agent, bob, id) = killed_once_its_text_was_stored();
    for _ in 0..1_100 {
        relay.store(id, bob.id, "from elsewhere", [Value::Null, Value::Null]);
    }
    agent.start_again();
    let alice = agent.login("alice");
    alice.send(bob.id, "later");
    wait_for(|| (came(&relay, id, &bob).last()? == "later").then_some(()));
    assert_eq!(came(&relay, id, &bob), ["once", "later"]);
}

#[test]
fn a_history_of_pictures_is_compared_in_parts_that_a_slow_link_can_bring() {
    let (relay, mut agent, bob, id) = killed_once_its_text_was_stored();
    let picture = "x".repeat(3 << 20);
    for _ in 0..10 {
        relay.store(id, bob.id, &picture, [Value::Null, Value::Null]);
    }
    agent.start_again();
    let stream = agent.stream();
    agent.login("alice");
    stream.next(|event| event["state"] == "connected");
    assert_eq!(came(&relay, id, &bob), ["once"]);
    let heaviest = relay.heaviest_answer();
    assert!(heaviest < 16 << 20, "{heaviest} bytes");
}
