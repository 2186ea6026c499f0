//! What is the server's own fault: a fixed text in each API's shape, and the cause in the log.
//!
//! Here that of message_store, and how the store is made to fail; the others are with their APIs.

use reqwest::Method;

use crate::operations_refused::change_database;
use crate::world::{Reply, World};

/// Has the store fail at every new row of `table`, and at nothing else.
pub(crate) fn refuse_new(world: &World, table: &str) {
    let refusal = match world.database() {
        Some(_) => format!("ALTER TABLE {table} ADD CONSTRAINT no_more CHECK (false) NOT VALID"),
        None => format!(
            "CREATE TRIGGER no_more BEFORE INSERT ON {table}
             BEGIN SELECT RAISE(ABORT, 'no_more'); END"
        ),
    };
    change_database(world, &refusal);
}

/// Has it take them again.
pub(crate) fn take_new_again(world: &World, table: &str) {
    let again = match world.database() {
        Some(_) => format!("ALTER TABLE {table} DROP CONSTRAINT no_more"),
        None => "DROP TRIGGER no_more".to_owned(),
    };
    change_database(world, &again);
}

/// The log says what went wrong, in the words of the database.
pub(crate) fn assert_cause_is_logged(world: &World) {
    let is_cause = |line: &str| line.contains("ERROR") && line.contains("no_more");
    world.server.wait_for_line(is_cause);
}

#[test]
fn a_fault_of_the_server_is_500_in_a_fixed_text_with_its_cause_in_the_log() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let send = || {
        let request = world.request(Method::POST, "/messages/send");
        let letter = alice.letter("bob", "sealed");
        Reply::to(request.header("Idempotency-Key", "k").json(&letter))
    };
    refuse_new(&world, "messages");
    let reply = send();
    let fixed = "internal error; the server's log has the cause";
    assert_eq!(reply.error(500), fixed);
    assert_eq!(reply.header("Retry-After"), None);
    assert_cause_is_logged(&world);
    assert_eq!(world.get("/readyz", &[]).status, 200, "it takes all else");
    take_new_again(&world, "messages");
    send().ok();
    assert_eq!(bob.inbox().len(), 1);
}
