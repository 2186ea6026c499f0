//! secure_im: every route that touches a message, a contact, a request or somebody's whereabouts.

use reqwest::Method;
use serde_json::json;

use super::cast::{CONTENT, Cast, PARTS, Part};
use super::table::{CREDENTIALS, Credential, Manners, Outcome, Row, check, get, plain, row, with};
use crate::chat8::Live;
use crate::world::Reply;
use Outcome::{Done, Hides, Refused, Shows};
use Part::{Added, Friend, Owner, Recipient};

const NOT_THERE: Outcome = Refused(404, "");
const NOT_ALLOWED: Outcome = Refused(400, "");
/// How the owner looks in a list.
const THE_OWNER: &str = "\"username\":\"owner\"";
const ONE_MARKED: &str = "\"acknowledged\":1";

const MANNERS: Manners = Manners {
    refusal: |_| Refused(401, ""),
    code,
};

/// There are no codes, but there is a form.
fn code(reply: &Reply) -> Result<String, String> {
    let body = reply.json();
    let asks = reply.header("www-authenticate") == Some("Bearer");
    let is_whole = body["detail"].is_string() && body == json!({"detail": body["detail"]});
    if is_whole && asks == (reply.status == 401) {
        Ok(String::new())
    } else {
        Err(format!("not as FastAPI has it: {reply:?}"))
    }
}

fn mailbox() -> Vec<Row> {
    vec![
        row(
            "send to the recipient",
            |_| {
                let letter = json!({"recipient_username": "recipient", "encrypted_content": "x"});
                with(Method::POST, "/messages/", letter)
            },
            Done(200),
            &[],
        )
        .spoiling(),
        row(
            "look into the mailbox",
            |_| get("/messages/?ack=manual".into()),
            Hides(CONTENT),
            &[(Recipient, Shows(CONTENT))],
        ),
        row(
            "take what is in the mailbox",
            |_| get("/messages/".into()),
            Hides(CONTENT),
            &[(Recipient, Shows(CONTENT))],
        )
        .spoiling(),
        row(
            "mark the message as read",
            |scene| {
                with(
                    Method::POST,
                    "/messages/ack",
                    json!({"up_to": scene.message}),
                )
            },
            Hides(ONE_MARKED),
            &[(Recipient, Shows(ONE_MARKED))],
        )
        .spoiling(),
    ]
}

fn contacts() -> Vec<Row> {
    vec![
        row(
            "list the contacts",
            |_| get("/me/contacts/".into()),
            Hides(THE_OWNER),
            &[(Friend, Shows(THE_OWNER))],
        ),
        row(
            "list the contacts who are online",
            |_| get("/me/contacts/online".into()),
            Hides(THE_OWNER),
            &[(Friend, Shows(THE_OWNER))],
        ),
        row(
            "list the requests",
            |_| get("/me/contacts/pending".into()),
            Hides(THE_OWNER),
            &[(Recipient, Shows(THE_OWNER))],
        ),
        row(
            "accept the owner's request",
            |scene| plain(Method::PUT, format!("/me/contacts/{}", scene.owner)),
            NOT_THERE,
            &[(Recipient, Done(200))],
        )
        .spoiling(),
        row(
            "end what there is with the owner",
            |scene| plain(Method::DELETE, format!("/me/contacts/{}", scene.owner)),
            NOT_THERE,
            &[
                (Recipient, Done(204)),
                (Added, Done(204)),
                (Friend, Done(204)),
            ],
        )
        .spoiling(),
        row(
            "end what there is with the recipient",
            |scene| plain(Method::DELETE, format!("/me/contacts/{}", scene.recipient)),
            NOT_THERE,
            &[(Owner, Done(204))],
        )
        .spoiling(),
        row(
            "add the recipient",
            |_| {
                let body = json!({"friend_username": "recipient"});
                with(Method::POST, "/me/contacts/", body)
            },
            Done(200),
            &[(Recipient, NOT_ALLOWED)],
        )
        .spoiling(),
        row(
            "ask the recipient",
            |scene| {
                with(
                    Method::POST,
                    "/me/contacts/",
                    json!({"friend_id": scene.recipient}),
                )
            },
            Done(202),
            &[(Recipient, NOT_ALLOWED), (Owner, NOT_ALLOWED)],
        )
        .spoiling(),
    ]
}

fn whereabouts() -> Vec<Row> {
    vec![
        row(
            "find the owner",
            |_| get("/users/search/owner".into()),
            Shows(THE_OWNER),
            &[],
        ),
        row(
            "tell where one is",
            |_| with(Method::PUT, "/me/connection-info", json!({"port": 6953})),
            Hides(THE_OWNER),
            &[(Owner, Shows(THE_OWNER))],
        ),
    ]
}

fn connection_info(usually: Outcome, but: &'static [(Part, Outcome)]) -> Row {
    let call = |_: &_| get("/users/owner/connection-info".into());
    row("learn where the owner is", call, usually, but)
}

#[test]
fn every_call_of_secure_im_serves_only_those_whom_the_table_names() {
    let cast = Cast::assemble("");
    let where_they_are = [connection_info(Shows("127.0.0.1"), &[])];
    for table in [&mailbox(), &contacts(), &whereabouts(), &where_they_are[..]] {
        check(&cast, table, &MANNERS);
    }
    sockets_are_for_whoever_is_logged_in(&cast);
}

#[test]
fn where_only_contacts_are_told_the_matrix_holds() {
    const TOLD: Outcome = Shows("127.0.0.1");
    let cast = Cast::assemble("connection_info = \"contacts\"");
    let table = [connection_info(
        NOT_THERE,
        &[(Added, TOLD), (Friend, TOLD), (Owner, TOLD)],
    )];
    check(&cast, &table, &MANNERS);
}

fn sockets_are_for_whoever_is_logged_in(cast: &Cast) {
    for part in PARTS {
        for credential in CREDENTIALS {
            let is_valid = matches!(credential, Credential::Own | Credential::Anothers);
            let token = credential.token(cast, part);
            let path = token.map_or("/ws".to_owned(), |token| format!("/ws?token={token}"));
            let refusal = Live::open(&cast.world, &path, &[]).err();
            let expected = (!is_valid).then_some(403);
            assert_eq!(refusal, expected, "{part:?}, {credential:?}");
        }
    }
}
