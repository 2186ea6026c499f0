//! Links that break: nothing is lost, nothing is doubled.

use std::time::Instant;

use serde_json::{Value, json};

use crate::agent_world::{Agent, Person, Stream, good};
use crate::relay_stub::{Puppet, Relay, SOON};
use crate::world::wait_for;

/// Alice on an agent and Bob the puppet, who share a key already.
fn acquainted<'a>(relay: &Relay, agent: &'a Agent) -> (Person<'a>, Puppet) {
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    alice.sees(bob.id);
    bob.offer(alice.id, [3; 32]);
    relay.frame(alice.id, bob.id, |frame| frame["message"] == "");
    (alice, bob)
}

#[test]
fn a_message_that_was_lost_with_its_link_is_sent_again_and_the_kept_one_is_not() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    let stream = agent.stream();
    alice.send(bob.id, "kept");
    wait_for(|| (relay.records().len() == 1).then_some(()));
    relay.lose_messages(true);
    relay.break_after_message();
    alice.send(bob.id, "lost");
    stream.next(|event| event["state"] == "reconnecting");
    relay.lose_messages(false);
    stream.next(|event| event["state"] == "connected");
    alice.send(bob.id, "later");
    wait_for(|| (alice.texts(bob.id) == ["kept", "lost", "later"]).then_some(()));
}

#[test]
fn a_message_that_was_stored_before_its_link_broke_is_not_doubled() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    let stream = agent.stream();
    relay.break_after_message();
    alice.send(bob.id, "once");
    stream.next(|event| event["state"] == "reconnecting");
    stream.next(|event| event["state"] == "connected");
    alice.send(bob.id, "later");
    wait_for(|| (relay.records().len() >= 2).then_some(()));
    assert_eq!(alice.texts(bob.id), ["once", "later"]);
}

#[test]
fn what_an_agent_had_on_its_way_when_it_was_killed_goes_out_once() {
    let relay = Relay::start();
    let mut agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    alice.send(bob.id, "kept");
    wait_for(|| (relay.records().len() == 1).then_some(()));
    relay.lose_messages(true);
    alice.send(bob.id, "lost");
    agent.kill();
    relay.lose_messages(false);
    agent.start_again();
    let alice = agent.login("alice");
    alice.send(bob.id, "later");
    wait_for(|| (alice.texts(bob.id) == ["kept", "lost", "later"]).then_some(()));
}

#[test]
fn a_server_that_stands_still_holds_nobody_back_for_long() {
    let relay = Relay::start();
    let mut agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    relay.stand_still();
    // More than the sockets in between can hold.
    for _ in 0..3 {
        alice.send(bob.id, &"x".repeat(8 << 20));
    }
    let asked = Instant::now();
    agent.stop();
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

#[test]
fn a_message_that_the_server_could_not_take_is_sent_again() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    relay.refuse_message("服务器暂时不能写入, 请稍后重试");
    alice.send(bob.id, "at last");
    wait_for(|| (alice.texts(bob.id) == ["at last"]).then_some(()));
}

#[test]
fn the_page_hears_of_a_message_that_the_server_refuses_for_good() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    let stream = agent.stream();
    relay.refuse_message("消息超过 9 字节的上限");
    alice.send(bob.id, "too long");
    let refused = stream.next(|event| event["type"] == "refused");
    assert_eq!(refused["user"], alice.id);
    assert_eq!(refused["notice"], "消息超过 9 字节的上限");
}

#[test]
fn a_server_that_goes_away_and_returns_is_found_again() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    let stream = agent.stream();
    relay.set_down(true);
    stream.next(|event| event["state"] == "reconnecting");
    let (status, answer) = alice.try_send(bob.id, "now");
    assert_eq!(
        (status, &answer["msg"]),
        (500, &"发送失败: 客户端未就绪".into())
    );
    relay.set_down(false);
    stream.next(|event| event["state"] == "connected");
    alice.send(bob.id, "then");
    wait_for(|| (alice.texts(bob.id) == ["then"]).then_some(()));
}

#[test]
fn a_stream_begins_with_the_state_of_the_link() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, _) = acquainted(&relay, &agent);
    let first = |stream: &Stream| stream.next(|_| true);
    let link = |state| json!({"type": "link", "user": alice.id, "state": state});
    let stream = agent.stream();
    assert_eq!(first(&stream), link("connected"));
    relay.set_down(true);
    stream.next(|event| event["state"] == "reconnecting");
    assert_eq!(first(&agent.stream()), link("reconnecting"));
    relay.set_down(false);
    stream.next(|event| event["state"] == "connected");
    assert_eq!(first(&agent.stream()), link("connected"));
}

#[test]
fn nobody_is_online_while_the_link_is_down() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    let stream = agent.stream();
    relay.set_down(true);
    stream.next(|event| event["state"] == "reconnecting");
    stream.next(|event| event["type"] == "online");
    let online = good(agent.get("/api/online_users"));
    assert_eq!(online, json!({"users": {}}));
    assert_eq!(alice.peer(bob.id, |_| true)["online"], false);
    relay.set_down(false);
    alice.sees(bob.id);
}

#[test]
fn an_expired_token_is_renewed_for_the_link_and_the_history() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    relay.expire_tokens();
    assert_eq!(alice.texts(bob.id), [] as [&str; 0]);
    let stream = agent.stream();
    relay.expire_tokens();
    relay.set_down(true);
    stream.next(|event| event["state"] == "reconnecting");
    relay.set_down(false);
    stream.next(|event| event["state"] == "connected");
    alice.send(bob.id, "still here");
    wait_for(|| (alice.texts(bob.id) == ["still here"]).then_some(()));
}

#[test]
fn the_pages_hear_that_a_session_has_ended_and_nothing_after_that() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = (agent.person("alice"), agent.person("bob"));
    let stream = agent.stream();
    let next_of = |user: i64| {
        let of_link = |event: &Value| event["type"] == "link" && event["user"] == user;
        stream.next(of_link)["state"].clone()
    };
    assert_eq!(next_of(bob.id), "connected");
    good(agent.post("/api/logout", &json!({"id": bob.id})));
    assert_eq!(next_of(bob.id), "ended");
    // Its link says its last words before the next one begins.
    agent.login("bob");
    assert_eq!(next_of(bob.id), "connected");

    relay.forget("alice");
    relay.expire_tokens();
    relay.set_down(true);
    assert_eq!(next_of(alice.id), "reconnecting");
    relay.set_down(false);
    assert_eq!(next_of(alice.id), "ended");
    let users = good(agent.get("/api/me"))["users"].clone();
    assert_eq!(users, json!([{"id": bob.id, "username": "bob"}]));
}

#[test]
fn logging_in_again_keeps_the_session() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    let again = agent.login("alice");
    assert_eq!(again.id, alice.id);
    again.send(bob.id, "hi");
    wait_for(|| (alice.texts(bob.id) == ["hi"]).then_some(()));
    let users = good(agent.get("/api/me"))["users"].clone();
    assert_eq!(users.as_array().map(Vec::len), Some(1));
}

#[test]
fn what_came_while_the_link_was_down_is_delivered_once_and_in_order_when_it_is_back() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    let stream = agent.stream();
    bob.write(alice.id, "before", [3; 32], true);
    assert_eq!(stream.message()["content"], "before");
    relay.set_down(true);
    stream.next(|event| event["state"] == "reconnecting");
    // One without its key, one under a new key, and more than one answer holds.
    bob.write(alice.id, "one", [3; 32], false);
    bob.write(alice.id, "two", [4; 32], true);
    let carol = relay.puppet("carol");
    carol.write(alice.id, "from a stranger", [5; 32], true);
    bob.write_at_next_look(alice.id, "twice on its way", [3; 32]);
    relay.set_down(false);
    for (from, text) in [
        (&bob, "one"),
        (&bob, "two"),
        (&carol, "from a stranger"),
        (&bob, "twice on its way"),
    ] {
        let event = stream.message();
        assert_eq!(event["content"], text);
        assert_eq!(event["fromId"], from.id);
        assert_eq!(event["toId"], alice.id);
    }
    bob.write(alice.id, "after", [3; 32], true);
    assert_eq!(stream.message()["content"], "after");
    alice.peer(bob.id, |shown| shown["unread"] == 5);
    alice.peer(carol.id, |shown| shown["unread"] == 1);
}

#[test]
fn what_was_read_while_the_link_was_down_comes_with_its_id_and_is_not_unread() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = acquainted(&relay, &agent);
    let stream = agent.stream();
    relay.take_no_links(true);
    stream.next(|event| event["state"] == "reconnecting");
    bob.write(alice.id, "one", [3; 32], true);
    bob.write(alice.id, "two", [3; 32], true);
    assert_eq!(alice.texts(bob.id), ["one", "two"]);
    bob.write(alice.id, "three", [3; 32], true);
    relay.take_no_links(false);
    for (id, text) in [(1, "one"), (2, "two"), (3, "three")] {
        let expected = json!({"fromId": bob.id, "toId": alice.id, "content": text, "id": id});
        assert_eq!(stream.message(), expected);
    }
    bob.write(alice.id, "live", [3; 32], true);
    assert_eq!(stream.message()["id"], 4);
    assert_eq!(alice.peer(bob.id, |_| true)["unread"], 2);
}

#[test]
fn nothing_is_delivered_anew_when_the_link_is_back_and_nothing_was_missed() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let bob = relay.puppet("bob");
    let id = agent.register("alice")["id"].as_i64().expect("a number");
    bob.write(id, "before the login", [3; 32], true);
    let alice = agent.login("alice");
    let stream = agent.stream();
    alice.sees(bob.id);
    bob.write(id, "live", [3; 32], true);
    assert_eq!(stream.message()["content"], "live");
    for round in ["first", "second"] {
        relay.set_down(true);
        stream.next(|event| event["state"] == "reconnecting");
        relay.set_down(false);
        stream.next(|event| event["state"] == "connected");
        bob.write(id, round, [3; 32], true);
        assert_eq!(stream.message()["content"], round);
    }
    alice.peer(bob.id, |shown| shown["unread"] == 3);
}

#[test]
fn a_peer_of_a_thousand_keys_stalls_nobody_with_a_large_text_that_none_of_them_opens() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let [mallory, carol] = ["mallory", "carol"].map(|name| relay.puppet(name));
    let alice = agent.person("alice");
    alice.sees(mallory.id);
    let stream = agent.stream();
    let keys = (0..1_000_u16).map(|number| {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&number.to_be_bytes());
        key
    });
    for key in keys {
        mallory.offer(alice.id, key);
        mallory.write(alice.id, "mine too", key, false);
    }
    for _ in 0..1_000 {
        assert_eq!(stream.message()["content"], "mine too");
    }
    mallory.send(alice.id, &"A".repeat(11 * 1024 * 1024), "");
    carol.write(alice.id, "hi", [3; 32], true);
    assert_eq!(stream.message()["content"], "[无法解密消息]");
    assert_eq!(stream.message()["content"], "hi");
}
