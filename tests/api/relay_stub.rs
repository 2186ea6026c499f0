//! A small relay that does as it is told, to put the agent in situations a real one avoids.
//!
//! It keeps the published contract, and besides: people who are no agents ([`Puppet`]), a log of
//! every frame, messages that get lost, links that break, tokens that expire, keys that change.

mod faults;
mod lookups;
mod puppet;
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rocket::http::Status;
use rocket::outcome::Outcome;
use rocket::request::{FromRequest, Request};
use rocket::serde::json::Json;
use rocket::{State, get, post, routes};
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedSender;

pub(crate) use puppet::{Puppet, seal};

use crate::world::poll;

/// How long a test waits for what should come.
pub(crate) const SOON: Duration = Duration::from_secs(15);

#[derive(Clone)]
struct User {
    id: i64,
    password: String,
    public_key: String,
}

/// What becomes of links.
#[derive(PartialEq)]
enum Links {
    Served,
    Refused,
    /// Nothing is read from them.
    Still,
}

struct Inner {
    server_key: RsaPrivateKey,
    users: BTreeMap<String, User>,
    puppets: Vec<i64>,
    sockets: BTreeMap<i64, UnboundedSender<Option<String>>>,
    with_ids: BTreeSet<i64>,
    at_next_look: Option<(i64, String)>,
    records: Vec<Value>,
    last_keys: BTreeMap<(i64, i64), String>,
    frames: Vec<Value>,
    tokens: u64,
    lose_messages: bool,
    answers_to_lose: usize,
    heaviest_answer: usize,
    refusal: Option<&'static str>,
    break_after_message: bool,
    is_down: bool,
    links: Links,
}

/// The relay, for the tests' hands.
#[derive(Clone)]
pub(crate) struct Relay {
    inner: Arc<Mutex<Inner>>,
    pub(crate) url: String,
}

impl Relay {
    /// A relay on a free port; it lives as long as the process.
    pub(crate) fn start() -> Self {
        let inner = Arc::new(Mutex::new(Inner {
            server_key: new_key(),
            users: BTreeMap::new(),
            puppets: Vec::new(),
            sockets: BTreeMap::new(),
            with_ids: BTreeSet::new(),
            at_next_look: None,
            records: Vec::new(),
            last_keys: BTreeMap::new(),
            frames: Vec::new(),
            tokens: 1,
            lose_messages: false,
            answers_to_lose: 0,
            heaviest_answer: 0,
            refusal: None,
            break_after_message: false,
            is_down: false,
            links: Links::Served,
        }));
        let (port, started) = std::sync::mpsc::channel();
        let state = Arc::clone(&inner);
        std::thread::spawn(move || {
            let config = rocket::Config {
                port: 0,
                log_level: rocket::config::LogLevel::Off,
                ..rocket::Config::default()
            };
            let announce = rocket::fairing::AdHoc::on_liftoff("port", move |rocket| {
                Box::pin(async move { port.send(rocket.config().port).expect("a test waits") })
            });
            let rocket = rocket::custom(config)
                .manage(state)
                .attach(announce)
                .mount("/", routes![register, login, records, server_key])
                .mount("/", lookups::routes())
                .mount("/", socket::routes());
            rocket::execute(rocket.launch()).expect("a relay");
        });
        let port = started.recv_timeout(SOON).expect("the relay starts");
        let url = format!("http://127.0.0.1:{port}");
        Self { inner, url }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics with the lock")
    }

    /// Adds somebody who is online from now on.
    pub(crate) fn puppet(&self, username: &str) -> Puppet {
        let key = new_key();
        let public_key = pem(&key);
        let mut inner = self.inner();
        let id = inner.add(username, "p", &public_key);
        inner.puppets.push(id);
        inner.tell_roster();
        let relay = self.clone();
        Puppet { id, key, relay }
    }

    /// Waits for the frame from one user to another that fits.
    pub(crate) fn frame(&self, from: i64, to: i64, fits: impl Fn(&Value) -> bool) -> Value {
        let found = poll(SOON, || self.frames(from, to).into_iter().find(&fits));
        found.unwrap_or_else(|| panic!("no such frame among {:?}", self.frames(from, to)))
    }

    /// Every frame from one user to another so far.
    pub(crate) fn frames(&self, from: i64, to: i64) -> Vec<Value> {
        let inner = self.inner();
        let fits = |frame: &&Value| frame["fromId"] == from && frame["toId"] == to;
        inner.frames.iter().filter(fits).cloned().collect()
    }

    /// Every record so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.inner().records.clone()
    }

    /// How many bytes the messages of one look at the records were at most.
    pub(crate) fn heaviest_answer(&self) -> usize {
        self.inner().heaviest_answer
    }

    /// Stores a record as it stands.
    pub(crate) fn store(&self, from: i64, to: i64, message: &str, keys: [Value; 2]) {
        let [from_key, to_key] = keys;
        self.inner()
            .store(from, to, message.into(), from_key, to_key);
    }
}

impl Inner {
    fn add(&mut self, username: &str, password: &str, public_key: &str) -> i64 {
        let id = i64::try_from(self.users.len()).expect("few users") + 1;
        let user = User {
            id,
            password: password.to_owned(),
            public_key: public_key.to_owned(),
        };
        self.users.insert(username.to_owned(), user);
        id
    }

    fn listed(&self, username: &str, user: &User) -> Value {
        json!({
            "id": user.id, "username": username, "publicKey": user.public_key,
            "enpublicKey": sign(&self.server_key, &user.public_key),
        })
    }

    fn tell_roster(&self) {
        let listed = |(username, user): (&String, &User)| {
            let online = self.sockets.contains_key(&user.id) || self.puppets.contains(&user.id);
            online.then(|| self.listed(username, user))
        };
        let list: Vec<Value> = self.users.iter().filter_map(listed).collect();
        let roster = json!({"systemMessage": true, "message": list}).to_string();
        for socket in self.sockets.values() {
            let _ = socket.send(Some(roster.clone()));
        }
    }

    fn break_links(&mut self) {
        for socket in std::mem::take(&mut self.sockets).into_values() {
            let _ = socket.send(None);
        }
    }

    fn store(&mut self, from: i64, to: i64, message: Value, from_key: Value, to_key: Value) {
        let id = self.records.len() + 1;
        self.records.push(json!({
            "id": id, "fromId": from, "toId": to, "message": message,
            "fromAesKey": from_key, "toAesKey": to_key, "createTime": "2026-01-01T00:00:00Z",
        }));
    }

    /// A frame from `from`; false breaks the link.
    fn take(&mut self, from: i64, text: &str) -> bool {
        let frame: Value = serde_json::from_str(text).expect("agents send JSON");
        let (to, message) = (frame["toId"].as_i64().expect("an id"), &frame["message"]);
        let key = frame["aesKey"].as_str().expect("a key").to_owned();
        self.frames.push(frame.clone());
        if message != "" {
            if let Some(words) = self.refusal.take() {
                let refused = json!({"systemMessage": true, "message": words});
                let _ = self.sockets[&from].send(Some(refused.to_string()));
                return true;
            }
            if !self.lose_messages {
                let opposite = self.last_keys.get(&(to, from)).map(|key| json!(key));
                let opposite = opposite.unwrap_or_default();
                self.store(from, to, message.clone(), json!(key), opposite);
                self.relay(from, to, &frame);
            }
            return !std::mem::take(&mut self.break_after_message);
        }
        self.last_keys.insert((from, to), key);
        self.relay(from, to, &frame);
        true
    }

    fn relay(&self, from: i64, to: i64, frame: &Value) {
        let mut relayed = json!({
            "fromId": from, "message": frame["message"], "aesKey": frame["aesKey"],
            "systemMessage": false,
        });
        if self.with_ids.contains(&to) && frame["message"] != "" {
            relayed["id"] = json!(self.records.len());
        }
        if let Some(socket) = self.sockets.get(&to) {
            let _ = socket.send(Some(relayed.to_string()));
        }
    }

    fn caller(&self, token: &str) -> Option<i64> {
        let (id, tokens) = token.split_once('-')?;
        (tokens.parse() == Ok(self.tokens)).then(|| id.parse().ok())?
    }
}

fn new_key() -> RsaPrivateKey {
    RsaPrivateKey::new(&mut rand::rngs::OsRng, 2048).expect("a key")
}

fn pem(key: &RsaPrivateKey) -> String {
    let pem = key.to_public_key().to_public_key_pem(LineEnding::LF);
    pem.expect("PEM")
}

fn sign(key: &RsaPrivateKey, text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let signature = key.sign(Pkcs1v15Sign::new::<Sha256>(), &digest);
    BASE64_STANDARD.encode(signature.expect("a signature"))
}

type Stub = State<Arc<Mutex<Inner>>>;
type Reply = (Status, Json<Value>);

fn refuse(status: Status, words: &str) -> Reply {
    (status, Json(json!({"code": 0, "msg": words, "data": null})))
}

fn agree(words: &str, data: &Value) -> Reply {
    (
        Status::Ok,
        Json(json!({"code": 1, "msg": words, "data": data})),
    )
}

#[post("/register", data = "<body>")]
fn register(stub: &Stub, body: Json<Value>) -> Reply {
    let mut inner = stub.lock().expect("the relay");
    let field = |name: &str| body[name].as_str().expect("a field").to_owned();
    let username = field("username");
    if field("password") != field("repassword") {
        return refuse(Status::BadRequest, "两次密码不一致");
    }
    if inner.users.contains_key(&username) {
        return refuse(Status::BadRequest, "用户名已存在");
    }
    let id = inner.add(&username, &field("password"), &field("publicKey"));
    if inner.answers_to_lose > 0 {
        inner.answers_to_lose -= 1;
        return refuse(Status::ServiceUnavailable, "");
    }
    agree("注册成功", &json!({"id": id, "username": username}))
}

#[post("/login", data = "<body>")]
fn login(stub: &Stub, body: Json<Value>) -> Reply {
    let inner = stub.lock().expect("the relay");
    let username = body["username"].as_str().expect("a username");
    match inner.users.get(username) {
        Some(user) if body["password"] == user.password.as_str() => {
            let token = format!("{}-{}", user.id, inner.tokens);
            agree(
                "登录成功",
                &json!({"id": user.id, "token": token, "username": username}),
            )
        }
        _ => refuse(Status::Unauthorized, "用户名或密码错误"),
    }
}

struct Caller(i64);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Caller {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, (Status, ()), Status> {
        let stub = request.rocket().state::<Arc<Mutex<Inner>>>();
        let inner = stub.expect("managed").lock().expect("the relay");
        let token = request.headers().get_one("token").unwrap_or_default();
        match inner.caller(token) {
            _ if inner.is_down => Outcome::Error((Status::ServiceUnavailable, ())),
            Some(id) => Outcome::Success(Self(id)),
            None => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}

#[expect(non_snake_case, reason = "the published names of the parameters")]
#[get("/chatRecords?<fromId>&<toId>&<limit>&<before>")]
fn records(
    stub: &Stub,
    caller: Caller,
    fromId: i64,
    toId: i64,
    limit: Option<usize>,
    before: Option<i64>,
) -> Result<Json<Vec<Value>>, Status> {
    if caller.0 != fromId {
        return Err(Status::Forbidden);
    }
    let mut inner = stub.lock().expect("the relay");
    let pair = |record: &&Value| {
        let ends = (&record["fromId"], &record["toId"]);
        ends == (&json!(fromId), &json!(toId)) || ends == (&json!(toId), &json!(fromId))
    };
    let earlier = |record: &&Value| before.is_none_or(|id| record["id"].as_i64() < Some(id));
    let all: Vec<&Value> = inner.records.iter().filter(pair).filter(earlier).collect();
    let skipped = limit.map_or(0, |limit| all.len().saturating_sub(limit));
    let shown: Vec<Value> = all.into_iter().skip(skipped).cloned().collect();
    let texts = shown.iter().filter_map(|record| record["message"].as_str());
    let bytes = texts.map(str::len).sum();
    inner.heaviest_answer = inner.heaviest_answer.max(bytes);
    Ok(Json(shown))
}

#[get("/server_public.pem")]
fn server_key(stub: &Stub) -> String {
    pem(&stub.lock().expect("the relay").server_key)
}
