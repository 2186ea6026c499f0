//! Several servers on one PostgreSQL: what one of them holds up is not held up for ever.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;

use crate::world::{World, skips_postgres_test};

#[test]
fn a_server_that_hangs_in_one_mailbox_holds_up_neither_writes_to_others_nor_reads() {
    if skips_postgres_test() {
        return;
    }
    let world = World::start();
    let [alice, bob, carol, dora] = world.people(["alice", "bob", "carol", "dora"]);
    alice.send(&bob, "before");
    let held = world.hold_mailbox("bob");
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let sends = || assert_eq!(alice.try_send("bob", "held up").status, 503);
        let waiting = [(); 3].map(|()| scope.spawn(sends));
        carol.send(&dora, "not held up");
        assert_eq!(dora.inbox().len(), 1);
        assert_eq!(bob.inbox().len(), 1);
        for sender in waiting {
            sender.join().expect("it is told so");
        }
    });
    assert!(begin.elapsed() < Duration::from_secs(20));
    drop(held);
    alice.send(&bob, "after");
    assert_eq!(bob.inbox().len(), 2);
}

#[test]
fn a_server_that_starts_waits_for_another_that_changes_the_tables() {
    if skips_postgres_test() {
        return;
    }
    let mut world = World::start();
    let database = world.database().expect("it is on PostgreSQL");
    let mut other = database.session("SELECT pg_advisory_lock(1587646551)");
    let other = std::thread::spawn(move || other.batch_execute("SELECT pg_sleep(4)"));
    let begin = Instant::now();
    world.restart();
    assert!(begin.elapsed() > Duration::from_secs(3), "it waited");
    other.join().expect("no panic").expect("it slept");
    world.register("alice");
}
