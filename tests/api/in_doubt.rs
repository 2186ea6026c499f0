//! A commit that PostgreSQL does not answer: what was sent may be stored, and its sender is told so.

use reqwest::Method;
use serde_json::json;

use crate::chat8::{Someone, refused};
use crate::encommunication::people::join;
use crate::world::{Reply, World, skips_postgres_test, wait_for};

#[test]
fn a_send_whose_commit_is_not_answered_may_be_stored_and_its_sender_is_told_so() {
    // On SQLite a commit is always answered.
    if skips_postgres_test() {
        return;
    }
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let carol = Someone::new(&world, "carol");
    let mut of_alice = alice.connect();
    let database = world.database().expect("it is on PostgreSQL");
    let send = || {
        let body = world.person("alice").letter("bob", "once");
        let request = world.request(Method::POST, "/messages/send");
        Reply::to(request.header("Idempotency-Key", "k").json(&body))
    };
    database.lose_commits();
    let reply = send();
    let words = reply.error(503);
    assert!(words.contains("may be stored") && words.contains("Idempotency-Key"));
    assert_eq!(reply.header("Retry-After"), None, "not without a look");
    let body = json!({"receiver_id": bob.id, "content": "x"});
    refused(&carol.post("/messages", &body), 503, "INTERNAL");
    of_alice.send(&alice.frame(&bob, "x", "k"));
    assert!(of_alice.error().contains("可能已保存"));
    let logged = |line: &str| line.contains("it may be on disk");
    world.server.wait_for_line(logged);

    database.answer_commits();
    // A connection that was lost may fail once more.
    wait_for(|| (send().status == 200).then_some(()));
    send().ok();
    assert_eq!(world.person("bob").inbox().len(), 1);
}
