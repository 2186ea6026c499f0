//! Accounts that were made elsewhere than on the agent: which key others are shown.

use serde_json::{Value, json};

use crate::agent_world::{Agent, Person, good, refused};
use crate::chat8::{Someone, password_of};
use crate::relay_stub::Relay;
use crate::world::{Setup, World, sha256_hex, wait_for};

/// Logs in a user whose account is not of this agent.
fn log_in<'a>(agent: &'a Agent, username: &str, password: &str) -> Person<'a> {
    let body = json!({"username": username, "password": password});
    let data = good(agent.post("/api/login", &body));
    let id = data["id"].as_i64().expect("a number");
    Person { agent, id }
}

/// What `/api/me` says of the one user of this agent.
fn me(agent: &Agent) -> Value {
    good(agent.get("/api/me"))["users"][0].clone()
}

/// Two people write to each other, `alice` first, and neither sees a changed key.
fn write_to_each_other(alice: &Person<'_>, peer: &Person<'_>) {
    let arrived = peer.agent.stream();
    alice.send(peer.id, "你好");
    assert_eq!(arrived.message()["content"], "你好");
    peer.send(alice.id, "hello");
    for (person, other) in [(alice, peer.id), (peer, alice.id)] {
        wait_for(|| (person.texts(other) == ["你好", "hello"]).then_some(()));
        assert_eq!(person.peer(other, |_| true)["changed"], Value::Null);
    }
}

#[test]
fn an_account_of_chat8_is_written_to_once_it_has_logged_in_on_an_agent() {
    let world = World::start();
    let server = world.url("");
    let (here, there) = (Agent::start(&server), Agent::start(&server));
    let alice = here.person("alice");
    let anna = Someone::new(&world, "anna");
    let words = refused(alice.try_send(anna.id, "too early"), 500);
    assert!(words.contains("公钥"), "{words}");
    let at_agent = log_in(&there, "anna", &password_of("anna"));
    write_to_each_other(&alice, &at_agent);
    assert_eq!(me(&there), json!({"id": anna.id, "username": "anna"}));
}

#[test]
fn an_account_of_message_store_whose_key_is_no_rsa_key_is_written_to_as_well() {
    let world = World::start();
    let server = world.url("");
    let (here, there) = (Agent::start(&server), Agent::start(&server));
    let alice = here.person("alice");
    let body = json!({"user_id": "ben", "public_key": "PK",
        "password_hash": sha256_hex("p")});
    world.post("/auth/register", &body).ok();
    write_to_each_other(&alice, &log_in(&there, "ben", "p"));
}

#[test]
fn who_is_on_a_server_that_takes_no_key_later_logs_in_all_the_same() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let body = json!({"username": "anna", "password": "p", "repassword": "p", "publicKey": "PK"});
    let registered = agent.http.post(format!("{}/register", relay.url));
    assert!(
        registered
            .json(&body)
            .send()
            .expect("an answer")
            .status()
            .is_success()
    );
    assert_eq!(agent.login("anna").id, me(&agent)["id"]);
}

#[test]
fn a_key_that_others_may_know_is_never_replaced_and_its_owner_is_told() {
    let world = World::start();
    let server = world.url("");
    let (first, second) = (Agent::start(&server), Agent::start(&server));
    let alice = first.person("alice").id;
    let print = good(first.get(&format!("/api/fingerprint?user={alice}")))["fingerprint"].clone();
    let elsewhere = second.login("alice").id;
    let expected = json!({"id": elsewhere, "username": "alice", "other_key": print});
    wait_for(|| (me(&second) == expected).then_some(()));
    assert_eq!(me(&first), json!({"id": alice, "username": "alice"}));
}

#[test]
fn who_gives_up_the_key_of_a_lost_computer_is_written_to_on_the_new_one() {
    let world = World::start();
    let server = world.url("");
    let (lost, new, theirs) = (
        Agent::start(&server),
        Agent::start(&server),
        Agent::start(&server),
    );
    let ben = theirs.person("ben");
    let at_lost = lost.person("alice");
    at_lost.send(ben.id, "from the old one");
    wait_for(|| (ben.texts(at_lost.id) == ["from the old one"]).then_some(()));
    drop(lost);
    let events = new.stream();
    let alice = new.login("alice");
    let told = |event: &Value| event["type"] == "own_key_changed" && event["user"] == alice.id;
    events.next(told);
    let given_up = me(&new)["other_key"].clone();
    let publish = |fingerprint: &Value| {
        let body = json!({"user": alice.id, "fingerprint": fingerprint});
        new.post("/api/publish_key", &body)
    };
    assert_eq!(refused(publish(&json!("00:11")), 400), "指纹不符");
    assert_eq!(me(&new)["other_key"], given_up);
    good(publish(&given_up));
    events.next(told);
    assert_eq!(me(&new), json!({"id": alice.id, "username": "alice"}));
    assert_eq!(refused(publish(&given_up), 400), "指纹不符");
    let own = good(new.get(&format!("/api/fingerprint?user={}", alice.id)));
    let changed = ben.peer(alice.id, |peer| {
        peer["changed"]["new"] == own["fingerprint"]
    });
    let accept = json!({"user": ben.id, "peer": alice.id, "fingerprint": own["fingerprint"]});
    assert_eq!(changed["changed"]["old"], given_up);
    good(theirs.post("/api/peers/accept", &accept));
    ben.send(alice.id, "is it you?");
    assert_eq!(events.message()["content"], "is it you?");
}

#[test]
fn a_login_that_is_throttled_is_refused_in_the_words_of_the_server() {
    let throttled = Setup::new().env("ROCKET_LOGIN_FAILURES_PER_ACCOUNT", 2);
    let world = throttled.start();
    let agent = Agent::start(&world.url(""));
    agent.register("alice");
    let wrong = json!({"username": "alice", "password": "wrong"});
    let words: Vec<String> = (0..4)
        .map(|_| refused(agent.post("/api/login", &wrong), 400))
        .collect();
    assert!(words[3].contains("次数过多"), "{words:?}");
}
