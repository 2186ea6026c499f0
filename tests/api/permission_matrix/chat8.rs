//! chat8: every route that touches a message, a file, a friend, a request, a key or a profile.

use reqwest::Method;
use serde_json::json;

use super::cast::{CONTENT, Cast, PARTS, PASSWORD, Part, SEALED_KEY, Scene};
use super::table::{
    CREDENTIALS, Call, Credential, Manners, Outcome, Row, check, get, plain, row, upload, with,
};
use crate::chat8::Live;
use crate::world::Reply;
use Outcome::{Done, Hides, Refused, Shows};
use Part::{Friend, Owner, Recipient};

const NOT_A_FRIEND: Outcome = Refused(404, "FRIEND_001");
const NOT_YOURS: Outcome = Refused(403, "MESSAGE_002");
const NOT_THERE: Outcome = Refused(404, "NOT_FOUND");
/// How the owner looks in a list.
const THE_OWNER: &str = "\"username\":\"owner\"";

const MANNERS: Manners = Manners {
    refusal: |credential| match credential {
        Credential::Expired => Refused(401, "AUTH_002"),
        _ => Refused(401, "AUTH_001"),
    },
    code,
};

fn code(reply: &Reply) -> Result<String, String> {
    let body = reply.json();
    let error = &body["error"];
    let (code, said, details) = (&error["code"], &error["message"], &error["details"]);
    let expected = json!({
        "success": false,
        "error": {"code": code, "message": said, "details": details},
        "timestamp": body["timestamp"],
    });
    let is_whole = body == expected && said.is_string() && details.is_object();
    let code = code.as_str().filter(|_| is_whole);
    code.map(str::to_owned)
        .ok_or_else(|| format!("no envelope: {body}"))
}

fn messages_and_files() -> Vec<Row> {
    vec![
        row(
            "read what was written with the owner",
            |scene| get(format!("/api/v1/messages/{}", scene.owner)),
            Hides(CONTENT),
            &[(Recipient, Shows(CONTENT))],
        ),
        row(
            "read what was written with the recipient",
            |scene| get(format!("/api/v1/messages/{}", scene.recipient)),
            Hides(CONTENT),
            &[(Owner, Shows(CONTENT))],
        ),
        row(
            "send to the recipient",
            |scene| {
                let body = json!({"receiver_id": scene.recipient, "content": "one more"});
                with(Method::POST, "/api/v1/messages", body)
            },
            Done(200),
            &[],
        ),
        row(
            "mark the message as read",
            |scene| {
                plain(
                    Method::PUT,
                    format!("/api/v1/messages/{}/read", scene.message),
                )
            },
            NOT_YOURS,
            &[(Recipient, Done(200))],
        )
        .spoiling(),
        row(
            "take the message back",
            |scene| {
                plain(
                    Method::DELETE,
                    format!("/api/v1/messages/{}", scene.message),
                )
            },
            NOT_YOURS,
            &[(Owner, Done(200))],
        )
        .spoiling(),
        row(
            "fetch the file",
            |scene| get(scene.file.clone()),
            NOT_THERE,
            &[(Owner, Shows("bytes")), (Recipient, Shows("bytes"))],
        ),
        row(
            "upload a file for the recipient",
            |scene| upload("/api/v1/upload/file", scene.recipient),
            Done(200),
            &[],
        ),
    ]
}

fn answer(scene: &Scene, action: &str) -> Call {
    let path = format!("/api/v1/friends/request/{}", scene.request);
    with(Method::PUT, &path, json!({ "action": action }))
}

fn friends() -> Vec<Row> {
    vec![
        row(
            "list the requests",
            |_| get("/api/v1/friends/requests".into()),
            Hides("\"from_username\":\"owner\""),
            &[(Recipient, Shows("\"from_username\":\"owner\""))],
        ),
        row(
            "accept the request",
            |scene| answer(scene, "accept"),
            NOT_THERE,
            &[(Recipient, Done(200))],
        )
        .spoiling(),
        row(
            "reject the request",
            |scene| answer(scene, "reject"),
            NOT_THERE,
            &[(Recipient, Done(200))],
        )
        .spoiling(),
        row(
            "ask the recipient",
            |scene| {
                let body = json!({"user_id": scene.recipient});
                with(Method::POST, "/api/v1/friends/request", body)
            },
            Done(200),
            &[
                (Owner, Refused(409, "FRIEND_003")),
                (Recipient, Refused(400, "FRIEND_002")),
            ],
        )
        .spoiling(),
        row(
            "list the friends",
            |_| get("/api/v1/friends".into()),
            Hides(THE_OWNER),
            &[(Friend, Shows(THE_OWNER))],
        ),
        row(
            "find the owner",
            |_| get("/api/v1/friends/search?q=owner".into()),
            Shows("\"is_friend\":false"),
            &[
                (Friend, Shows("\"is_friend\":true")),
                (Owner, Hides(THE_OWNER)),
            ],
        ),
        row(
            "end the friendship with the owner",
            |scene| plain(Method::DELETE, format!("/api/v1/friends/{}", scene.owner)),
            NOT_A_FRIEND,
            &[(Friend, Done(200))],
        )
        .spoiling(),
        row(
            "end the friendship with the friend",
            |scene| plain(Method::DELETE, format!("/api/v1/friends/{}", scene.friend)),
            NOT_A_FRIEND,
            &[(Owner, Done(200))],
        )
        .spoiling(),
    ]
}

fn keys_and_profiles() -> Vec<Row> {
    let change = |name, call| row(name, call, Done(200), &[]);
    vec![
        row(
            "read the owner's public key",
            |scene| get(format!("/api/v1/encryption/public-key/{}", scene.owner)),
            Shows("\"public_key\":\"public\""),
            &[],
        ),
        row(
            "read one's own pair",
            |_| get("/api/v1/encryption/keys".into()),
            Refused(404, "ENCRYPT_001"),
            &[(Owner, Shows(SEALED_KEY))],
        ),
        row(
            "read one's own profile",
            |_| get("/api/v1/user/profile".into()),
            Hides("owner@example.org"),
            &[(Owner, Shows("owner@example.org"))],
        ),
        change("show the owner's avatar as one's own", |scene| {
            with(
                Method::PUT,
                "/api/v1/user/profile",
                json!({"avatar": scene.avatar}),
            )
        }),
        row(
            "take the owner's name",
            |_| {
                with(
                    Method::PUT,
                    "/api/v1/user/profile",
                    json!({"username": "owner"}),
                )
            },
            Refused(409, "USER_002"),
            &[(Owner, Done(200))],
        ),
        row(
            "take the owner's address",
            |_| {
                let body = json!({"email": "owner@example.org"});
                with(Method::PUT, "/api/v1/user/profile", body)
            },
            Refused(409, "USER_003"),
            &[(Owner, Done(200))],
        ),
        change("choose a status", |_| {
            with(
                Method::PUT,
                "/api/v1/user/status",
                json!({"status": "away"}),
            )
        }),
        change("replace one's own pair", |_| {
            let pair = json!({"public_key": "other", "private_key_encrypted": "other"});
            with(Method::POST, "/api/v1/encryption/keys", pair)
        })
        .spoiling(),
        change("change one's own password", |_| {
            let body = json!({"current_password": PASSWORD, "new_password": PASSWORD, "confirm_password": PASSWORD});
            with(Method::PUT, "/api/v1/user/password", body)
        }),
    ]
}

#[test]
fn every_call_of_chat8_serves_only_those_whom_the_table_names() {
    let cast = Cast::assemble("");
    for table in [messages_and_files(), friends(), keys_and_profiles()] {
        check(&cast, &table, &MANNERS);
    }
    let scene = cast.set();
    avatars_are_everybodys(&cast, &scene.avatar, 200);
    let as_avatar = scene.file.replace("/files/", "/avatars/");
    avatars_are_everybodys(&cast, &as_avatar, 404);
    sockets_are_their_owners(&cast, scene.owner);
}

/// An `<img>` has no token to send.
fn avatars_are_everybodys(cast: &Cast, avatar: &str, status: u16) {
    for part in PARTS {
        for credential in CREDENTIALS {
            let request = cast.world.request(Method::GET, avatar);
            let reply = Reply::to(match credential.token(cast, part) {
                Some(token) => request.bearer_auth(token),
                None => request,
            });
            assert_eq!(reply.status, status, "{part:?}, {credential:?}: {reply:?}");
        }
    }
}

/// The owner's socket, with the token in the query and in the header.
fn sockets_are_their_owners(cast: &Cast, owner: i64) {
    for part in PARTS {
        for credential in CREDENTIALS {
            let refusal = match credential {
                Credential::Own if part == Owner => None,
                Credential::Own | Credential::Anothers => Some(403),
                _ => Some(401),
            };
            let token = credential.token(cast, part);
            let path = format!("/ws/{owner}");
            let in_query = token.map_or(path.clone(), |token| format!("{path}?token={token}"));
            let header = token.map(|token| format!("Bearer {token}"));
            let header = header.as_deref().map(|header| ("authorization", header));
            for (path, headers) in [(&in_query, Vec::new()), (&path, Vec::from_iter(header))] {
                let outcome = Live::open(&cast.world, path, &headers).err();
                assert_eq!(outcome, refusal, "{part:?}, {credential:?}, {headers:?}");
            }
        }
    }
}
