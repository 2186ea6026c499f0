//! What every HTTP API has in common: a request is what its first line says.

use reqwest::Method;
use serde_json::json;

use crate::chat8::{Someone, data};
use crate::world::{Reply, World};

#[test]
fn a_form_field_cannot_change_the_method() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    bob.send(&alice, "unread");
    alice.befriend(&bob);
    let submit = |path: &str, method: &str| {
        let request = world.request(Method::POST, path).bearer_auth(&alice.token);
        Reply::to(request.form(&[("_method", method)]))
    };
    let friend = format!("/api/v1/friends/{}", bob.id);
    for method in ["DELETE", "delete", "PUT", "PATCH", "OPTIONS"] {
        assert_eq!(submit(&friend, method).status, 405, "{method}");
    }
    assert_ne!(data(&alice.get("/friends")), json!([]));
    for method in ["GET", "HEAD", "POST"] {
        assert_eq!(submit("/messages/", method).status, 422, "{method}");
    }
    let request = world.request(Method::GET, "/messages/");
    let mailbox = Reply::to(request.bearer_auth(&alice.token)).json();
    assert_eq!(mailbox[0]["encrypted_content"], "unread");
}
