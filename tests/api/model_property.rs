//! Random sequences of send, grant, revoke, replace and delete, against a model of a few lines.
//!
//! The model knows the contract's rules and nothing of the server; after each step the statuses
//! must agree, and at the end every mailbox.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::world::{Person, World};

const PEOPLE: usize = 4;
const KINDS: [&str; 3] = ["read", "write", "admin"];

/// One thing somebody does; messages are numbered in the order they were sent.
#[derive(Clone, Debug)]
enum Step {
    Send {
        from: usize,
        to: usize,
    },
    Grant {
        by: usize,
        to: usize,
        message: usize,
        kind: usize,
        resealed: bool,
    },
    Revoke {
        by: usize,
        of: usize,
        message: usize,
    },
    Replace {
        by: usize,
        message: usize,
    },
    Delete {
        by: usize,
        message: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (who, which) = (|| 0..PEOPLE, || 0..6_usize);
    let step = prop_oneof![
        3 => (who(), who()).prop_map(|(from, to)| Step::Send { from, to }),
        5 => (who(), who(), which(), 0..3_usize, any::<bool>()).prop_map(
            |(by, to, message, kind, resealed)| Step::Grant { by, to, message, kind, resealed }
        ),
        2 => (who(), who(), which()).prop_map(|(by, of, message)| Step::Revoke { by, of, message }),
        2 => (who(), which()).prop_map(|(by, message)| Step::Replace { by, message }),
        1 => (who(), which()).prop_map(|(by, message)| Step::Delete { by, message }),
    ];
    proptest::collection::vec(step, 1..40)
}

#[derive(Clone, Debug)]
struct Grant {
    kind: usize,
    by: usize,
    resealed: Option<String>,
}

#[derive(Clone, Debug)]
struct Message {
    id: i64,
    from: usize,
    to: usize,
    content: String,
    grants: BTreeMap<usize, Grant>,
}

impl Message {
    /// Whether `who` owns it or holds a grant of at least `kind`.
    fn allows(&self, who: usize, kind: usize) -> bool {
        who == self.from
            || self
                .grants
                .get(&who)
                .is_some_and(|grant| grant.kind >= kind)
    }

    /// How it appears in the inbox of `who`, if it does.
    fn seen_by(&self, who: usize, names: &[String]) -> Option<Value> {
        let grant = self.grants.get(&who);
        let resealed = grant.and_then(|grant| grant.resealed.as_ref());
        let mut item = json!({
            "id": self.id,
            "sender_id": names[self.from],
            "encrypted_content": resealed.unwrap_or(&self.content),
        });
        if who != self.to {
            let grant = grant?;
            item["shared_by"] = json!(names[grant.by]);
            item["permission"] = json!(KINDS[grant.kind]);
        }
        Some(item)
    }
}

/// What the server should hold: the messages in the order they were sent, `None` once deleted.
#[derive(Default)]
struct Model(Vec<Option<Message>>);

const READ: usize = 0;
const WRITE: usize = 1;
const ADMIN: usize = 2;

impl Model {
    fn message(&mut self, index: usize) -> Option<&mut Message> {
        self.0.get_mut(index).and_then(Option::as_mut)
    }

    fn grant(&mut self, index: usize, to: usize, mut grant: Grant) -> u16 {
        let Some(message) = self.message(index) else {
            return 404;
        };
        if !message.allows(grant.by, ADMIN) {
            return 403;
        }
        // A copy granted before stays, unless a new one comes.
        let before = message.grants.remove(&to);
        grant.resealed = grant.resealed.or(before.and_then(|grant| grant.resealed));
        message.grants.insert(to, grant);
        200
    }

    fn revoke(&mut self, by: usize, of: usize, index: usize) -> u16 {
        let Some(message) = self.message(index) else {
            return 404;
        };
        if by != of && !message.allows(by, ADMIN) {
            return 403;
        }
        message.grants.remove(&of).map_or(404, |_| 200)
    }

    fn replace(&mut self, by: usize, index: usize, content: String) -> u16 {
        let Some(message) = self.message(index) else {
            return 404;
        };
        if !message.allows(by, WRITE) {
            return 403;
        }
        message.content = content;
        message
            .grants
            .values_mut()
            .for_each(|grant| grant.resealed = None);
        200
    }

    fn delete(&mut self, by: usize, index: usize) -> u16 {
        let Some(message) = self.message(index) else {
            return 404;
        };
        if !message.allows(by, ADMIN) {
            return 403;
        }
        self.0[index] = None;
        200
    }
}

/// The id of the message numbered `index`; of none, if it was not sent or is deleted.
fn id_of(model: &mut Model, index: usize) -> i64 {
    model
        .message(index)
        .map_or(i64::from(i32::MAX), |message| message.id)
}

/// Does one step on both sides; returns what the server and the model answered.
fn take(step: &Step, number: usize, people: &[Person], model: &mut Model) -> (u16, u16) {
    let content = format!("content of step {number}");
    match *step {
        Step::Send { from, to } => {
            let id = people[from].send(&people[to], &content);
            model.0.push(Some(Message {
                id,
                from,
                to,
                content,
                grants: BTreeMap::new(),
            }));
            (200, 200)
        }
        Step::Grant {
            by,
            to,
            message,
            kind,
            resealed,
        } => {
            let id = id_of(model, message);
            // What a grant to the owner means is nobody's question.
            if model
                .message(message)
                .is_some_and(|message| message.from == to)
            {
                return (200, 200);
            }
            let (by_whom, target) = (&people[by], &people[to].id);
            let reply = if resealed {
                by_whom.grant_resealed(id, target, KINDS[kind], &content)
            } else {
                by_whom.grant(id, target, KINDS[kind])
            };
            let grant = Grant {
                kind,
                by,
                resealed: resealed.then_some(content),
            };
            (reply.status, model.grant(message, to, grant))
        }
        Step::Revoke { by, of, message } => {
            if model
                .message(message)
                .is_some_and(|message| message.from == of)
            {
                return (200, 200);
            }
            let reply = people[by].revoke(id_of(model, message), &people[of].id);
            let expected = model.revoke(by, of, message);
            // Revoking one's own grant without having one is as good a 403 as a 404.
            let own = by == of && expected == 404 && reply.status == 403;
            (if own { 404 } else { reply.status }, expected)
        }
        Step::Replace { by, message } => {
            let reply = people[by].replace(id_of(model, message), &content);
            (reply.status, model.replace(by, message, content))
        }
        Step::Delete { by, message } => {
            let reply = people[by].delete(id_of(model, message));
            (reply.status, model.delete(by, message))
        }
    }
}

/// An inbox without the fields the model does not follow.
fn plain(inbox: Vec<Value>) -> Vec<Value> {
    let without_instants = |mut item: Value| {
        let fields = item.as_object_mut().expect("an object");
        fields.retain(|name, _| name != "timestamp" && name != "edited_at");
        item
    };
    inbox.into_iter().map(without_instants).collect()
}

fn compare(people: &[Person], model: &mut Model) {
    let names: Vec<String> = people.iter().map(|person| person.id.clone()).collect();
    for (who, person) in people.iter().enumerate() {
        let newest_first = || model.0.iter().rev().flatten();
        let inbox: Vec<Value> = newest_first()
            .filter_map(|message| message.seen_by(who, &names))
            .collect();
        assert_eq!(plain(person.inbox()), inbox, "the inbox of {}", person.id);
        let outbox: Vec<i64> = newest_first()
            .filter(|message| message.from == who)
            .map(|message| message.id)
            .collect();
        let ids: Vec<i64> = person
            .outbox()
            .iter()
            .filter_map(|item| item["id"].as_i64())
            .collect();
        assert_eq!(ids, outbox, "the outbox of {}", person.id);
        for message in model.0.iter().flatten() {
            let may = message.to == who || message.allows(who, READ);
            assert_eq!(person.read(message.id).status, if may { 200 } else { 403 });
        }
    }
}

#[test]
fn whatever_people_do_their_mailboxes_are_those_of_the_model() {
    let world = World::start();
    let cases = AtomicUsize::new(0);
    let config = Config {
        cases: 48,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        let case = cases.fetch_add(1, Ordering::Relaxed);
        let people: Vec<Person> = (0..PEOPLE)
            .map(|n| world.register(&format!("case{case}-{n}")))
            .collect();
        let mut model = Model::default();
        for (number, step) in steps.iter().enumerate() {
            let (answered, expected) = take(step, number, &people, &mut model);
            assert_eq!(answered, expected, "{step:?} (step {number})");
        }
        compare(&people, &mut model);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
