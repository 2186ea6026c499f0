//! The people of the matrices of chat8 and secure_im, and what they have to do with each other.
//!
//! One account serves both APIs, and one token. Who may do what with a message is granted through
//! message_store.

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chat8::{file_form, wait_until};
use crate::world::{Reply, Setup, World, permission_path};

/// What somebody has to do with the owner, who sends, uploads, asks and adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    Stranger,
    /// Has been sent the message and the file, and asked to be a friend.
    Recipient,
    /// Was granted the message; so were the next two.
    Reader,
    Writer,
    Admin,
    /// Has been added as a contact, one way.
    Added,
    /// Both have added each other.
    Friend,
    Owner,
}

pub(super) const PARTS: [Part; 8] = [
    Part::Stranger,
    Part::Recipient,
    Part::Reader,
    Part::Writer,
    Part::Admin,
    Part::Added,
    Part::Friend,
    Part::Owner,
];

impl Part {
    pub(super) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

pub(super) const PASSWORD: &str = "everybody's password";
/// The content of the one message.
pub(super) const CONTENT: &str = "sealed-for-the-recipient";
/// The sealed half of the owner's key pair.
pub(super) const SEALED_KEY: &str = "sealed-for-the-owner";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR-and-the-rest";

/// Somebody, with a token that is good, one that was ended and one that has expired.
pub(super) struct Player {
    pub(super) id: i64,
    pub(super) token: String,
    pub(super) ended: String,
    pub(super) expired: String,
}

/// A server with everybody on it.
pub(super) struct Cast {
    pub(super) world: World,
    /// In the order of [`PARTS`].
    players: Vec<Player>,
    /// Whose token is used by those who use another's: a stranger to all.
    pub(super) outsider: Player,
}

/// What there is to be had. Set anew after whatever changes it.
pub(super) struct Scene {
    pub(super) owner: i64,
    pub(super) recipient: i64,
    pub(super) friend: i64,
    pub(super) message: i64,
    pub(super) request: i64,
    /// The URL paths of the file and of the owner's avatar.
    pub(super) file: String,
    pub(super) avatar: String,
}

/// The settings file: everybody fails to log in now and then. `more` are further lines.
fn settings(token_lifetime_secs: u32, more: &str) -> String {
    format!(
        "[default]\nlogin_failures_per_account = 10000\nlogin_failures_per_address = 10000\n\
         token_lifetime_secs = {token_lifetime_secs}\n{more}\n"
    )
}

impl Cast {
    /// Everybody, on a server with these further settings.
    pub(super) fn assemble(more_settings: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let (file, data_dir) = (home.path().join("Rocket.toml"), home.path().join("data"));
        std::fs::write(&file, settings(1, more_settings)).expect("it is written");
        let mut world = Setup::new().start_on(home, data_dir);
        let names = PARTS.map(Part::name).into_iter().chain(["outsider".into()]);
        let names: Vec<String> = names.collect();
        let expired: Vec<_> = names.iter().map(|name| register(&world, name)).collect();
        let (_, last) = expired.last().expect("somebody");
        wait_until("the tokens expire", || {
            let request = world.request(Method::GET, "/api/v1/user/profile");
            Reply::to(request.bearer_auth(last)).status == 401
        });
        // The others' tokens live as long as they should.
        std::fs::write(&file, settings(1800, more_settings)).expect("it is written");
        world.restart();
        let player = |(name, (id, expired)): (&String, (i64, String))| {
            let ended = log_in(&world, name);
            let request = world.request(Method::POST, "/logout").bearer_auth(&ended);
            assert_eq!(Reply::to(request).status, 200);
            let token = log_in(&world, name);
            Player {
                id,
                token,
                ended,
                expired,
            }
        };
        let mut players: Vec<Player> = names.iter().zip(expired).map(player).collect();
        let outsider = players.pop().expect("the last one");
        Cast {
            world,
            players,
            outsider,
        }
    }

    pub(super) fn player(&self, part: Part) -> &Player {
        let there = PARTS.iter().zip(&self.players);
        let mut meant = there.filter(|(each, _)| **each == part);
        meant.next().expect("every part is played").1
    }

    /// Sets the scene. Whatever there was between the owner or the recipient and anybody is over.
    pub(super) fn set(&self) -> Scene {
        let [owner, recipient, friend] =
            [Part::Owner, Part::Recipient, Part::Friend].map(|part| self.player(part).id);
        for other in self.players.iter().chain([&self.outsider]) {
            for who in [Part::Owner, Part::Recipient] {
                let path = format!("/me/contacts/{}", other.id);
                self.ask(who, Method::DELETE, &path, &Value::Null);
            }
        }
        for (who, added) in [
            (Part::Owner, "added"),
            (Part::Owner, "friend"),
            (Part::Friend, "owner"),
        ] {
            let body = json!({ "friend_username": added });
            self.say(who, "/me/contacts", &body);
        }
        self.say(
            Part::Owner,
            "/api/v1/friends/request",
            &json!({"user_id": recipient}),
        );
        let requests = self.ask(
            Part::Recipient,
            Method::GET,
            "/api/v1/friends/requests",
            &Value::Null,
        );
        let file = file_form("file", b"bytes").text("receiver_id", recipient.to_string());
        let file = self.upload("/api/v1/upload/file", file)["file_url"].clone();
        let avatar = self.upload("/api/v1/upload/avatar", file_form("me", PNG));
        let pair = json!({"public_key": "public", "private_key_encrypted": SEALED_KEY});
        self.say(Part::Owner, "/api/v1/encryption/keys", &pair);
        // Online, whatever happened before; and the message is the only one that is unread.
        let beat = json!({"port": 6953});
        self.ask(Part::Owner, Method::PUT, "/me/connection-info", &beat);
        self.ask(Part::Recipient, Method::GET, "/messages/", &Value::Null);
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Scene {
            owner,
            recipient,
            friend,
            message: self.message(),
            request: requests["data"][0]["request_id"].as_i64().expect("an id"),
            file: text(&file),
            avatar: text(&avatar["avatar_url"]),
        }
    }

    /// A message from the owner to the recipient, with a grant of each type.
    fn message(&self) -> i64 {
        let letter = json!({"recipient_username": "recipient", "encrypted_content": CONTENT});
        let id = self.say(Part::Owner, "/messages/", &letter)["id"].as_i64();
        let id = id.expect("an id");
        for (target, kind) in [("reader", "read"), ("writer", "write"), ("admin", "admin")] {
            let grant =
                json!({"user_id": "owner", "target_user_id": target, "permission_type": kind});
            self.say(Part::Owner, &permission_path(id), &grant);
        }
        id
    }

    fn upload(&self, path: &str, form: reqwest::blocking::multipart::Form) -> Value {
        let request = self.world.request(Method::POST, path);
        let request = request.bearer_auth(&self.player(Part::Owner).token);
        let reply = Reply::to(request.multipart(form));
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["data"].clone()
    }

    /// A `POST` that succeeds.
    fn say(&self, who: Part, path: &str, body: &Value) -> Value {
        let answer = self.ask(who, Method::POST, path, body);
        assert!(
            answer["error"].is_null() && answer["detail"].is_null(),
            "{path}: {answer}"
        );
        answer
    }

    fn ask(&self, who: Part, method: Method, path: &str, body: &Value) -> Value {
        let request = self.world.request(method, path).json(body);
        let reply = Reply::to(request.bearer_auth(&self.player(who).token));
        serde_json::from_str(&reply.text).unwrap_or_default()
    }
}

/// Registers somebody; returns the id and a token.
fn register(world: &World, name: &str) -> (i64, String) {
    let email = format!("{name}@example.org");
    let body = json!({"username": name, "email": email, "password": PASSWORD, "confirm_password": PASSWORD});
    let registered = world.post("/api/v1/auth/register", &body).json();
    let (id, token) = (
        &registered["data"]["user_id"],
        &registered["data"]["access_token"],
    );
    let token = token.as_str().expect("a token").to_owned();
    (id.as_i64().expect("an id"), token)
}

fn log_in(world: &World, name: &str) -> String {
    let form = [("username", name), ("password", PASSWORD)];
    let reply = Reply::to(world.request(Method::POST, "/token").form(&form)).json();
    reply["access_token"].as_str().expect("a token").to_owned()
}
