//! What is unread here is what nobody has read through any API: random sequences against a model.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};

use super::person::{Person, log_in, register};
use crate::world::World;

/// One thing that happens to bob's mailbox; messages are numbered in the order they were sent.
#[derive(Clone, Debug)]
enum Step {
    /// He is sent one.
    Send,
    /// He is shown one that was sent to somebody else, which is not his to fetch.
    Share,
    /// He reads one through chat8.
    Read(usize),
    /// Its sender deletes one.
    Delete(usize),
    /// He looks.
    Look,
    /// He fetches.
    Fetch,
    /// He acknowledges up to one.
    Acknowledge(usize),
    /// He acknowledges whatever may come.
    AcknowledgeAll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = || 0..8_usize;
    let step = prop_oneof![
        6 => Just(Step::Send),
        1 => Just(Step::Share),
        4 => which().prop_map(Step::Read),
        1 => which().prop_map(Step::Delete),
        2 => Just(Step::Look),
        1 => Just(Step::Fetch),
        2 => which().prop_map(Step::Acknowledge),
        1 => Just(Step::AcknowledgeAll),
    ];
    proptest::collection::vec(step, 1..30)
}

/// Alice sends to bob and to carol.
struct Case<'w> {
    alice: Person<'w>,
    bob: Person<'w>,
    carol: Person<'w>,
    sent: Vec<i64>,
    unread: BTreeSet<i64>,
}

fn ids(list: &[Value]) -> Vec<i64> {
    list.iter().filter_map(|item| item["id"].as_i64()).collect()
}

impl Case<'_> {
    /// A message of those that were sent, if there are any.
    fn pick(&self, which: usize) -> Option<i64> {
        let newest_first = self.sent.iter().rev().cycle();
        newest_first.copied().nth(which)
    }

    fn acknowledge(&mut self, up_to: i64) {
        let reply = self.bob.post("/messages/ack", &json!({ "up_to": up_to }));
        let before = self.unread.len();
        self.unread.retain(|id| *id > up_to);
        let marked = before - self.unread.len();
        assert_eq!(reply.json(), json!({ "acknowledged": marked }));
    }

    fn take(&mut self, step: &Step) {
        let expected: Vec<i64> = self.unread.iter().copied().collect();
        match *step {
            Step::Send => {
                let id = self.alice.send(&self.bob, "for bob");
                self.sent.push(id);
                self.unread.insert(id);
            }
            Step::Share => {
                let id = self.alice.send(&self.carol, "for carol");
                let sender = self.alice.world.person(&self.alice.name);
                let reply = sender.grant(id, &self.bob.name, "read");
                assert_eq!(reply.status, 200, "{reply:?}");
            }
            Step::Read(which) => {
                let Some(id) = self.pick(which) else { return };
                let path = format!("/api/v1/messages/{id}/read");
                assert_eq!(self.bob.call(Method::PUT, &path).status, 200);
                self.unread.remove(&id);
            }
            Step::Delete(which) => {
                let Some(id) = self.pick(which) else { return };
                let path = format!("/api/v1/messages/{id}");
                assert_eq!(self.alice.call(Method::DELETE, &path).status, 200);
                self.sent.retain(|sent| *sent != id);
                self.unread.remove(&id);
            }
            Step::Look => {
                assert_eq!(ids(&self.bob.list("/messages?ack=manual")), expected);
            }
            Step::Fetch => {
                assert_eq!(ids(&self.bob.list("/messages")), expected);
                self.unread.clear();
            }
            Step::Acknowledge(which) => {
                if let Some(id) = self.pick(which) {
                    self.acknowledge(id);
                }
            }
            Step::AcknowledgeAll => self.acknowledge(i64::MAX),
        }
    }
}

#[test]
fn whatever_is_read_through_other_apis_exactly_the_rest_is_fetched_here() {
    let world = World::start();
    let cases = AtomicUsize::new(0);
    let config = Config {
        cases: 32,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        let number = cases.fetch_add(1, Ordering::Relaxed);
        let arrive = |name: &str| Person::arrive(&world, &format!("{name}{number}"));
        let mut case = Case {
            alice: arrive("alice"),
            bob: arrive("bob"),
            carol: arrive("carol"),
            sent: Vec::new(),
            unread: BTreeSet::new(),
        };
        for step in steps.iter().chain([&Step::Look, &Step::Fetch, &Step::Look]) {
            case.take(step);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn what_is_unread_is_found_behind_much_that_was_read_elsewhere() {
    let world = World::start();
    let [alice, bob] = Person::arrive_all(&world, ["alice", "bob"]);
    let sent: Vec<i64> = (0..250).map(|_| alice.send(&bob, "hello")).collect();
    let read = |id: i64| {
        let reply = bob.call(Method::PUT, &format!("/api/v1/messages/{id}/read"));
        assert_eq!(reply.status, 200, "{reply:?}");
    };
    let look = || ids(&bob.list("/messages?ack=manual"));
    let (first, last) = (sent[120], sent[240]);
    let others = sent.iter().filter(|id| **id != first && **id != last);
    others.for_each(|id| read(*id));
    assert_eq!(look(), [first, last]);
    assert_eq!(look(), [first, last]);
    read(first);
    assert_eq!(look(), [last]);
    read(last);
    assert_eq!(look(), [0; 0]);
    let new = alice.send(&bob, "anew");
    assert_eq!(look(), [new]);
    assert_eq!(ids(&bob.list("/messages")), [new]);
    assert_eq!(look(), [0; 0]);
    let to_oneself = bob.send(&bob, "a note");
    assert_eq!(ids(&bob.list("/messages")), [to_oneself]);
}

/// Alice, and bob, to whom so many letters of hers have come.
fn with_letters(world: &mut World, count: i64) -> [Person<'_>; 2] {
    let people = ["alice", "bob"].map(|name| (name, register(world, name)));
    world.bring_letters(people[0].1, people[1].1, count);
    let world = &*world;
    people.map(|(name, id)| Person {
        world,
        name: name.to_owned(),
        id,
        token: log_in(world, name),
    })
}

#[test]
fn while_two_fetch_thousands_and_more_comes_each_is_handed_out_once_and_in_order() {
    let mut world = World::start();
    let [alice, bob] = with_letters(&mut world, 12_000);
    let before = ids(&bob.list("/messages?ack=manual"));
    assert_eq!(before.len(), 12_000);
    let (sent, fetched) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| [(); 50].map(|()| alice.send(&bob, "meanwhile")));
        let readers = [(); 2].map(|()| scope.spawn(|| ids(&bob.list("/messages"))));
        let fetched = readers.map(|reader| reader.join().expect("a reader"));
        (sender.join().expect("a sender"), fetched)
    });
    assert!(fetched.iter().all(|ids| ids.is_sorted()));
    let rest = ids(&bob.list("/messages"));
    let mut all = [&fetched[0][..], &fetched[1], &rest].concat();
    all.sort_unstable();
    assert_eq!(all, [&before[..], &sent].concat());
}

#[test]
fn however_much_is_acknowledged_at_once_it_is_marked_to_the_last_and_no_further() {
    let mut world = World::start();
    let [_, bob] = with_letters(&mut world, 12_000);
    let look = || ids(&bob.list("/messages?ack=manual"));
    let acknowledge = |up_to: i64| {
        let reply = bob.post("/messages/ack", &json!({ "up_to": up_to }));
        reply.json()["acknowledged"].as_i64()
    };
    let first = look()[0];
    let path = format!("/api/v1/messages/{}/read", first + 7_000);
    assert_eq!(bob.call(Method::PUT, &path).status, 200);
    assert_eq!(acknowledge(first + 10_999), Some(10_999));
    let rest: Vec<i64> = (first + 11_000..first + 12_000).collect();
    assert_eq!(look(), rest);
    assert_eq!(acknowledge(first + 10_999), Some(0));
    assert_eq!(acknowledge(i64::MAX), Some(1_000));
    assert_eq!(look(), [0; 0]);
    let new = bob.send(&bob, "a note");
    assert_eq!(look(), [new]);
}
