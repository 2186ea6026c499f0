//! What may be asked besides the records: what came to somebody since a record, and one user's key.

use rocket::http::Status;
use rocket::{Route, get, routes};
use serde_json::{Value, json};

use super::{Caller, Relay, Reply, Stub, agree, refuse};

pub(super) fn routes() -> Vec<Route> {
    routes![received, public_key]
}

impl Relay {
    /// The next time somebody asks what they missed, `from` sends this frame first: it comes over
    /// the new link and stands in the answer.
    pub(crate) fn send_at_next_look(&self, from: i64, frame: &Value) {
        self.inner().at_next_look = Some((from, frame.to_string()));
    }
}

/// Two records an answer, so that there is more to ask for.
#[get("/received?<after>")]
fn received(stub: &Stub, caller: Caller, after: Option<i64>) -> Reply {
    let mut inner = stub.lock().expect("the relay");
    if let Some((from, frame)) = inner.at_next_look.take() {
        inner.take(from, &frame);
    }
    let newest = i64::try_from(inner.records.len()).expect("few records");
    let after = after.unwrap_or(newest);
    let fits = |record: &&Value| record["toId"] == caller.0 && record["id"].as_i64() > Some(after);
    let records: Vec<&Value> = inner.records.iter().filter(fits).take(2).collect();
    let last = records
        .last()
        .map_or(json!(after), |last| last["id"].clone());
    agree("ok", &json!({"records": records, "last": last}))
}

#[expect(non_snake_case, reason = "the published name of the parameter")]
#[get("/publicKey?<userId>")]
fn public_key(stub: &Stub, _caller: Caller, userId: i64) -> Reply {
    let inner = stub.lock().expect("the relay");
    let mut users = inner.users.iter();
    match users.find(|(_, user)| user.id == userId) {
        Some((username, user)) => agree("ok", &inner.listed(username, user)),
        None => refuse(Status::NotFound, "用户不存在"),
    }
}
