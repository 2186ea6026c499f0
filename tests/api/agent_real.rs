//! Two agents through the real server: what one seals the other opens, and the server never does.

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::agent_world::{Agent, Person, good, refused};
use crate::world::{Reply, Setup, World, free_port, wait_for};

/// Changes the password of `name` elsewhere than at the agent.
fn change_password(world: &World, name: &str, [from, to]: [&str; 2]) {
    let digest = |password: &str| {
        let digest = Sha256::digest(password).to_vec();
        digest
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    };
    let change = json!({"user_id": name, "current_password_hash": digest(from),
        "new_password_hash": digest(to)});
    assert_eq!(world.post("/auth/change_password", &change).status, 200);
}

#[test]
fn two_people_with_nothing_but_the_program_write_to_each_other() {
    let world = World::start();
    let server = world.url("");
    let (here, there) = (Agent::start(&server), Agent::start(&server));
    let (alice, bob) = (here.person("alice"), there.person("bob"));
    let (at_alice, at_bob) = (here.stream(), there.stream());
    alice.sees(bob.id);
    bob.sees(alice.id);
    alice.send(bob.id, "你好");
    assert_eq!(at_bob.message()["content"], "你好");
    bob.send(alice.id, "hello");
    assert_eq!(at_alice.message()["content"], "hello");
    for (person, peer) in [(&alice, bob.id), (&bob, alice.id)] {
        assert_eq!(person.texts(peer), ["你好", "hello"]);
    }
}

#[test]
fn a_server_that_is_killed_and_returns_loses_and_doubles_nothing() {
    // The agents look for it where it was, so it needs a port that stays.
    let port = free_port().to_string();
    let mut world = Setup::new().arg("--port").arg(&port).start();
    let server = format!("http://127.0.0.1:{port}");
    let (here, there) = (Agent::start(&server), Agent::start(&server));
    let (alice, bob) = (here.person("alice"), there.person("bob"));
    alice.sees(bob.id);
    let mut taken = Vec::new();
    for number in 0..40 {
        if number == 20 {
            world.restart();
        }
        let text = number.to_string();
        if alice.try_send(bob.id, &text).0 == 200 {
            taken.push(text);
        }
    }
    wait_for(|| (bob.texts(alice.id) == taken).then_some(()));
}

#[test]
fn what_came_before_the_agent_was_back_at_its_server_is_delivered_once() {
    let port = free_port().to_string();
    let mut world = Setup::new().arg("--port").arg(&port).start();
    let server = format!("http://127.0.0.1:{port}");
    let (here, there) = (Agent::start(&server), Agent::start(&server));
    let (alice, bob) = (here.person("alice"), there.person("bob").id);
    alice.sees(bob);
    let stream = here.stream();
    let letter = json!({"user_id": "bob", "receiver_id": "alice", "encrypted_content": "?"});
    for count in [1, 3, 5] {
        world.post("/messages/send", &letter).ok();
        assert_eq!(stream.message()["fromId"], bob);
        alice.peer(bob, |shown| shown["unread"] == count);
        world.restart();
        world.post("/messages/send", &letter).ok();
        assert_eq!(stream.message()["fromId"], bob);
        alice.peer(bob, |shown| shown["unread"] == count + 1);
    }
}

#[test]
fn what_came_while_no_agent_ran_is_unread_at_the_next_login_whoever_wrote_it() {
    let world = World::start();
    let server = world.url("");
    let (mut here, there) = (Agent::start(&server), Agent::start(&server));
    let bob = there.person("bob");
    let alice = here.person("alice").id;
    bob.sees(alice);
    bob.send(alice, "while she is there");
    here.login("alice")
        .peer(bob.id, |shown| shown["unread"] == 1);
    here.stop();
    bob.send(alice, "while she is away");
    world.register("carol").try_send("alice", "?").ok();
    here.start_again();

    for of_bob in [2, 0] {
        let alice = here.login("alice");
        alice.peer(bob.id, |shown| shown["unread"] == of_bob);
        let carol = alice.shows(|shown| shown["username"] == "carol");
        assert_eq!(
            (&carol["unread"], &carol["online"]),
            (&json!(1), &json!(false))
        );
        let texts = ["while she is there", "while she is away"];
        assert_eq!(alice.texts(bob.id), texts);
        here.restart();
    }
}

#[test]
fn after_a_password_was_changed_elsewhere_the_old_one_opens_the_keys_once_more() {
    let world = World::start();
    let agent = Agent::start(&world.url(""));
    let id = {
        let alice = agent.person("alice");
        alice.send(alice.id, "note to self");
        wait_for(|| (alice.texts(alice.id) == ["note to self"]).then_some(()));
        alice.id
    };
    good(agent.post("/api/logout", &json!({"id": id})));
    change_password(&world, "alice", ["p", "q"]);
    let login = |old: Value| {
        let body = json!({"username": "alice", "password": "q", "old_password": old});
        agent.post("/api/login", &body)
    };
    let words = refused(login(Value::Null), 400);
    assert!(words.contains("old_password"), "{words}");
    refused(login(json!("wrong")), 400);
    refused(login(json!(5)), 400);
    let texts = || Person { agent: &agent, id }.texts(id);
    for old in [json!("p"), Value::Null, json!("wrong")] {
        good(login(old));
        assert_eq!(texts(), ["note to self"]);
        good(agent.post("/api/logout", &json!({"id": id})));
    }
}

#[test]
fn another_spelling_of_the_servers_url_makes_nobody_another_person() {
    let world = World::start();
    let mut agent = Agent::start(&world.url(""));
    let alice = agent.person("alice");
    alice.send(alice.id, "note to self");
    wait_for(|| (alice.texts(alice.id) == ["note to self"]).then_some(()));
    let localhost = world.url("").replace("127.0.0.1", "localhost");
    for url in [localhost, world.url("")] {
        agent.move_to(url);
        let alice = agent.login("alice");
        assert_eq!(alice.texts(alice.id), ["note to self"]);
    }
}

#[test]
fn the_keys_of_another_server_stay_where_they_are() {
    let (first, second) = (World::start(), World::start());
    let mut agent = Agent::start(&first.url(""));
    let alice = agent.person("alice");
    alice.send(alice.id, "note to self");
    wait_for(|| (alice.texts(alice.id) == ["note to self"]).then_some(()));
    // The same name, id and password, but keys of another machine.
    Agent::start(&second.url("")).person("alice");
    agent.move_to(second.url(""));
    agent.login("alice");
    agent.move_to(first.url(""));
    let alice = agent.login("alice");
    assert_eq!(alice.texts(alice.id), ["note to self"]);
}

#[test]
fn keys_of_a_registration_that_failed_never_displace_the_users_own() {
    let port = free_port().to_string();
    let mut world = Setup::new().arg("--port").arg(&port).start();
    let agent = Agent::start(&format!("http://127.0.0.1:{port}"));
    let alice = agent.person("alice");
    alice.send(alice.id, "note to self");
    wait_for(|| (alice.texts(alice.id) == ["note to self"]).then_some(()));
    good(agent.post("/api/logout", &json!({"id": alice.id})));

    world.server.kill();
    let body = json!({"username": "alice", "password": "q", "repassword": "q"});
    refused(agent.post("/api/register", &body), 500);
    world.restart();
    change_password(&world, "alice", ["p", "q"]);
    let words = refused(agent.post("/api/login", &body), 400);
    assert!(words.contains("old_password"), "{words}");
    let body = json!({"username": "alice", "password": "q", "old_password": "p"});
    good(agent.post("/api/login", &body));
    assert_eq!(alice.texts(alice.id), ["note to self"]);
}

#[test]
fn somebody_renamed_elsewhere_keeps_their_keys_and_the_next_of_that_name_gets_others() {
    let world = World::start();
    let agent = Agent::start(&world.url(""));
    agent.register("alice");
    let body = json!({"username": "alice", "password": "p"});
    let login = good(agent.post("/api/login", &body));
    let (id, token) = (&login["id"], login["token"].as_str().expect("a token"));
    let alice = Person {
        agent: &agent,
        id: id.as_i64().expect("a number"),
    };
    alice.send(alice.id, "note to self");
    wait_for(|| (alice.texts(alice.id) == ["note to self"]).then_some(()));
    let renamed = world.request(Method::PUT, "/api/v1/user/profile");
    let renamed = renamed
        .bearer_auth(token)
        .json(&json!({"username": "alicia"}));
    assert_eq!(Reply::to(renamed).status, 200);

    // Once while she is logged in, and once anew.
    for _ in 0..2 {
        assert_eq!(agent.login("alicia").id, alice.id);
        let users = good(agent.get("/api/me"))["users"].clone();
        assert_eq!(users, json!([{"id": alice.id, "username": "alicia"}]));
        assert_eq!(alice.texts(alice.id), ["note to self"]);
        good(agent.post("/api/logout", &json!({"id": alice.id})));
    }
    let other = agent.person("alice");
    agent.login("alicia");
    let print = |id: i64| good(agent.get(&format!("/api/fingerprint?user={id}")));
    assert_ne!(print(other.id), print(alice.id));
    assert_eq!(alice.texts(alice.id), ["note to self"]);
}

#[test]
fn every_spelling_of_a_name_opens_the_same_keys() {
    let world = World::start();
    let agent = Agent::start(&world.url(""));
    let fingerprint = |id: i64| good(agent.get(&format!("/api/fingerprint?user={id}")));
    let composed = agent.person("Jos\u{e9}").id;
    let before = fingerprint(composed);
    good(agent.post("/api/logout", &json!({"id": composed})));
    let decomposed = agent.login("Jose\u{301}").id;
    assert_eq!(decomposed, composed);
    assert_eq!(fingerprint(decomposed), before);
}

#[test]
fn somebody_who_has_never_been_online_is_written_to_all_the_same() {
    let world = World::start();
    let server = world.url("");
    let (here, there) = (Agent::start(&server), Agent::start(&server));
    let alice = here.person("alice");
    let bob = there.register("bob")["id"].as_i64().expect("a number");
    alice.send(bob, "你好");
    alice.send(bob, "are you there?");
    let expected = ["你好", "are you there?"];
    wait_for(|| (alice.texts(bob) == expected).then_some(()));
    let bob = there.login("bob");
    assert_eq!(bob.texts(alice.id), expected);
    // What was taken then is what the roster shows.
    let shown = alice.peer(bob.id, |shown| shown["online"] == true);
    assert_eq!(shown["changed"], Value::Null);
}

#[test]
fn writing_to_somebody_without_a_key_is_refused_in_clear_words() {
    let world = World::start();
    let agent = Agent::start(&world.url(""));
    let alice = agent.person("alice");
    let account = json!({"username": "carol", "email": "carol@example.com", "password": "long enough",
        "confirm_password": "long enough"});
    let registered = world.post("/api/v1/auth/register", &account);
    assert!(registered.status < 300, "{registered:?}");
    let login = world.post(
        "/login",
        &json!({"username": "carol", "password": "long enough"}),
    );
    let carol = login.json()["data"]["id"].as_i64().expect("a number");
    let words = refused(alice.try_send(carol, "hi"), 500);
    assert_eq!(words, "发送失败: 对方没有可用的公钥");
    let words = refused(alice.try_send(99_999, "hi"), 500);
    assert_eq!(words, "发送失败: 客户端未就绪");
}
