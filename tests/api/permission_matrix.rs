//! Who may do what: every route of a message × every part one can have in it × every credential.
//!
//! Here it is message_store: the expected answer is computed from the contract in [`expected`], and
//! the matrix is generated. The matrices of [`chat8`] and [`secure_im`] are tables.

mod cast;
mod chat8;
mod secure_im;
mod table;

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::json;

use crate::world::{Person, Reply, Setup, World, message_path, permission_path};

/// The part somebody has in one message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Stranger,
    Recipient,
    Reader,
    Writer,
    Admin,
    Owner,
}

const PARTS: [Part; 6] = [
    Part::Stranger,
    Part::Recipient,
    Part::Reader,
    Part::Writer,
    Part::Admin,
    Part::Owner,
];

/// What is tried with the message.
#[derive(Clone, Copy, Debug)]
enum Action {
    Read,
    Replace,
    Delete,
    ListPermissions,
    Grant,
    RevokeAnothers,
    RevokeOwn,
    RevokeOwners,
}

const ACTIONS: [Action; 8] = [
    Action::Read,
    Action::Replace,
    Action::Delete,
    Action::ListPermissions,
    Action::Grant,
    Action::RevokeAnothers,
    Action::RevokeOwn,
    Action::RevokeOwners,
];

/// What the caller shows beside the `user_id` it states.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Credential {
    Own,
    None,
    Anothers,
    Unknown,
}

const CREDENTIALS: [Credential; 4] = [
    Credential::Own,
    Credential::None,
    Credential::Anothers,
    Credential::Unknown,
];

/// The statuses the contract allows; more than one where it leaves the choice.
fn expected(part: Part, action: Action) -> &'static [u16] {
    use Part::{Admin, Owner, Reader, Recipient, Stranger, Writer};
    let allowed = match action {
        Action::Read => part != Stranger,
        Action::Replace => matches!(part, Writer | Admin | Owner),
        Action::Delete | Action::ListPermissions | Action::Grant | Action::RevokeAnothers => {
            matches!(part, Admin | Owner)
        }
        Action::RevokeOwn => matches!(part, Reader | Writer | Admin),
        Action::RevokeOwners => false,
    };
    match (allowed, action, part) {
        (true, ..) => &[200],
        (false, Action::RevokeOwn, Stranger | Recipient | Owner)
        | (false, Action::RevokeOwners, Admin | Owner) => &[403, 404],
        (false, ..) => &[403],
    }
}

/// The statuses once the credential has been looked at; `asks` is whether calls need a token.
fn expected_with(part: Part, action: Action, credential: Credential, asks: bool) -> &'static [u16] {
    match credential {
        Credential::Unknown => &[401],
        Credential::Anothers => &[403],
        Credential::None if asks => &[401],
        Credential::None | Credential::Own => expected(part, action),
    }
}

/// A message from owner to recipient with one grant of each type, and one more reader.
fn message(world: &World, owner: &Person) -> i64 {
    let send = |body| {
        let request = world
            .request(Method::POST, "/messages/send")
            .bearer_auth(owner.token());
        Reply::to(request.json(&body)).ok()["message_id"]
            .as_i64()
            .expect("an id")
    };
    let id = send(owner.letter("recipient", "sealed"));
    for (target, kind) in [
        ("reader", "read"),
        ("writer", "write"),
        ("admin", "admin"),
        ("another", "read"),
    ] {
        let body = json!({"user_id": owner.id, "target_user_id": target, "permission_type": kind});
        let request = world
            .request(Method::POST, &permission_path(id))
            .bearer_auth(owner.token());
        Reply::to(request.json(&body)).ok();
    }
    id
}

fn attempt(actor: &Person, action: Action, id: i64) -> RequestBuilder {
    let world = actor.world;
    let (message, permission) = (message_path(id), permission_path(id));
    let get = |path: &str| {
        world
            .request(Method::GET, path)
            .query(&[("user_id", &actor.id)])
    };
    let revoke = |target: &str| {
        let body = json!({"user_id": actor.id, "target_user_id": target});
        world.request(Method::DELETE, &permission).json(&body)
    };
    match action {
        Action::Read => get(&message),
        Action::ListPermissions => get(&format!("{message}/permissions")),
        Action::Replace => {
            let body = json!({"user_id": actor.id, "encrypted_content": "replaced"});
            world.request(Method::PUT, &message).json(&body)
        }
        Action::Delete => world
            .request(Method::DELETE, &message)
            .json(&json!({"user_id": actor.id})),
        Action::Grant => {
            let body = json!({"user_id": actor.id, "target_user_id": "newcomer", "permission_type": "read"});
            world.request(Method::POST, &permission).json(&body)
        }
        Action::RevokeAnothers => revoke("another"),
        Action::RevokeOwn => revoke(&actor.id),
        Action::RevokeOwners => revoke("owner"),
    }
}

fn dressed(
    call: RequestBuilder,
    credential: Credential,
    actor: &Person,
    another: &Person,
) -> RequestBuilder {
    match credential {
        Credential::Own => call.bearer_auth(actor.token()),
        Credential::None => call,
        Credential::Anothers => call.bearer_auth(another.token()),
        Credential::Unknown => call.bearer_auth("unknown"),
    }
}

fn check_matrix(world: &World, asks: bool) {
    let people = world.people([
        "stranger",
        "recipient",
        "reader",
        "writer",
        "admin",
        "owner",
    ]);
    let [another, _] = world.people(["another", "newcomer"]);
    let owner = &people[5];
    let mut wrong = Vec::new();
    let mut shared = message(world, owner);
    for (part, actor) in PARTS.into_iter().zip(&people) {
        for action in ACTIONS {
            for credential in CREDENTIALS {
                let expected = expected_with(part, action, credential, asks);
                let reply = Reply::to(dressed(
                    attempt(actor, action, shared),
                    credential,
                    actor,
                    &another,
                ));
                if !expected.contains(&reply.status) {
                    let text = reply.text;
                    wrong.push(format!(
                        "{part:?} {action:?} {credential:?}: {} {text}",
                        reply.status
                    ));
                } else if reply.status == 200 {
                    reply.ok();
                } else {
                    reply.error(reply.status);
                }
                if reply.status == 200 {
                    // What succeeded may have changed the parts: the next attempt gets a message of its own.
                    shared = message(world, owner);
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn in_protected_mode_the_matrix_holds() {
    check_matrix(&World::start(), false);
}

#[test]
fn in_token_mode_the_matrix_holds() {
    check_matrix(&Setup::new().env("ROCKET_AUTH", "token").start(), true);
}

#[test]
fn in_open_mode_the_matrix_holds() {
    check_matrix(&Setup::new().env("ROCKET_AUTH", "open").start(), false);
}

/// The routes that name no message: each acts for the user it states, whoever that is.
#[test]
fn mailboxes_sending_and_the_stream_belong_to_the_user_alone() {
    for (asks, mode) in [(false, "protected"), (true, "token")] {
        let world = Setup::new().env("ROCKET_AUTH", mode).start();
        let [alice, another] = world.people(["alice", "another"]);
        let calls: [&dyn Fn() -> RequestBuilder; 4] = [
            &|| world.request(Method::GET, "/messages/inbox?user_id=alice"),
            &|| world.request(Method::GET, "/messages/outbox?user_id=alice"),
            &|| world.request(Method::GET, "/messages/inbox?user_id=alice&after=0"),
            &|| {
                world
                    .request(Method::POST, "/messages/send")
                    .json(&alice.letter("another", "sealed"))
            },
        ];
        for call in calls {
            Reply::to(dressed(call(), Credential::Own, &alice, &another)).ok();
            let without = Reply::to(call());
            assert_eq!(without.status, if asks { 401 } else { 200 }, "{without:?}");
            Reply::to(dressed(call(), Credential::Anothers, &alice, &another)).error(403);
            Reply::to(dressed(call(), Credential::Unknown, &alice, &another)).error(401);
        }
        let stream = || world.request(Method::GET, "/messages/stream?user_id=alice");
        Reply::to(dressed(stream(), Credential::Anothers, &alice, &another)).error(403);
        Reply::to(dressed(stream(), Credential::Unknown, &alice, &another)).error(401);
        if asks {
            Reply::to(stream()).error(401);
        }
        let open = dressed(stream(), Credential::Own, &alice, &another)
            .send()
            .expect("it answers");
        assert_eq!(open.status(), 200);
    }
}
