//! Two agents through the real server: what one seals the other opens, and the server never does.

use std::net::TcpListener;

use crate::agent_world::{Agent, wait_for};
use crate::world::{Setup, World};

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
    let free = TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr());
    let port = free.expect("a free port").port().to_string();
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
