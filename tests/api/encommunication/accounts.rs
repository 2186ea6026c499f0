//! Registering, logging in, and the server's own key.

use std::os::unix::fs::PermissionsExt;

use reqwest::Method;
use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey;
use serde_json::{Value, json};

use super::people::{PASSWORD, join, public_key_of};
use crate::chat8::{Someone, data};
use crate::internal_errors::{assert_cause_is_logged, refuse_new};
use crate::world::{Reply, World, program};

fn registration(name: &str) -> Value {
    json!({
        "username": name, "password": PASSWORD, "repassword": PASSWORD, "publicKey": "12345",
    })
}

/// The text of a refusal, which has the published shape.
fn refusal(reply: &Reply, status: u16) -> String {
    assert_eq!(reply.status, status, "{reply:?}");
    let body = reply.json();
    let msg = body["msg"].as_str().expect("a text").to_owned();
    assert_eq!(body, json!({"code": 0, "msg": msg, "data": null}));
    assert!(!msg.is_empty() && !msg.is_ascii(), "Chinese words: {msg}");
    msg
}

#[test]
fn registering_and_logging_in_answer_as_published() {
    let world = World::start();
    let reply = world.post("/register", &registration("张三"));
    assert_eq!(reply.status, 200);
    let id = reply.json()["data"]["id"].clone();
    assert!(id.is_i64());
    let expected = json!({"code": 1, "msg": "注册成功", "data": {"id": id, "username": "张三"}});
    assert_eq!(reply.json(), expected);

    let reply = world.post(
        "/login/",
        &json!({"username": "张三", "password": PASSWORD}),
    );
    assert_eq!(reply.status, 200);
    let mut body = reply.json();
    assert!(body["data"]["token"].as_str().expect("a text").len() > 32);
    body["data"]["token"] = json!("token");
    let data = json!({"id": id, "token": "token", "username": "张三"});
    assert_eq!(body, json!({"code": 1, "msg": "登录成功", "data": data}));
}

#[test]
fn a_registration_that_cannot_be_is_refused_with_400() {
    let world = World::start();
    assert_eq!(world.post("/register", &registration("alice")).status, 200);
    assert_eq!(
        refusal(&world.post("/register", &registration("alice")), 400),
        "用户名已存在"
    );
    let with = |field: &str, value: Value| {
        let mut body = registration("bob");
        body[field] = value;
        world.post("/register", &body)
    };
    refusal(&with("repassword", json!("another")), 400);
    refusal(&with("username", json!("")), 400);
    refusal(&with("username", json!("a".repeat(129))), 400);
    refusal(&with("username", json!("a\u{0}b")), 400);
    refusal(&with("publicKey", json!("")), 400);
    refusal(&with("publicKey", json!(5)), 400);
    refusal(&with("publicKey", json!("k".repeat(70_000))), 400);
    let short = |body: Value| refusal(&world.post("/register", &body), 400);
    short(json!({"username": "bob", "password": "", "repassword": "", "publicKey": "1"}));
    for field in ["username", "password", "repassword", "publicKey"] {
        let mut body = registration("bob");
        body.as_object_mut().expect("an object").remove(field);
        assert!(short(body).contains(field));
    }
    short(json!([1]));
    for broken in ["", "{", "no"] {
        let request = world.request(Method::POST, "/register").body(broken);
        refusal(&Reply::to(request), 400);
    }
    assert_eq!(
        with("username", json!("bob")).status,
        200,
        "nothing of it was kept"
    );
}

#[test]
fn wrong_credentials_are_refused_with_401_whoever_they_are_of() {
    let world = World::start();
    join(&world, "alice");
    let attempt = |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        refusal(&world.post("/login", &body), 401)
    };
    let wrong = attempt("alice", "wrong");
    for nobody in ["nobody", &"x".repeat(129), "a\nb"] {
        assert_eq!(attempt(nobody, PASSWORD), wrong);
    }
    refusal(&world.post("/login", &json!({"username": "alice"})), 400);
}

#[test]
fn the_same_account_opens_in_the_other_apis_and_its_key_is_there_byte_for_byte() {
    let world = World::start();
    join(&world, "alice");
    let hash = crate::world::sha256_hex(PASSWORD);
    let login = json!({"user_id": "alice", "password_hash": hash});
    world.post("/auth/login", &login).ok();
    let login = json!({"username": "alice", "password": PASSWORD});
    data(&world.post("/api/v1/auth/login", &login));
    let token = world.request(Method::POST, "/token").form(&login);
    assert_eq!(Reply::to(token).status, 200);
    let reply = world.get("/auth/public_key", &[("user_id", "alice")]).ok();
    assert_eq!(reply["data"]["public_key"], public_key_of("alice"));
}

#[test]
fn a_user_publishes_their_own_key_and_what_else_is_stored_stays() {
    let world = World::start();
    let anna = Someone::new(&world, "anna");
    let pair = json!({"public_key": "PK", "private_key_encrypted": "sealed"});
    assert_eq!(anna.post("/encryption/keys", &pair).status, 200);
    let bob = join(&world, "bob");
    let publish = |token: &str, body: &Value| {
        let request = world.request(Method::PUT, "/publicKey");
        Reply::to(request.header("token", token).json(body))
    };
    let shown = |id: i64| {
        let (id, token) = (id.to_string(), bob.token.as_str());
        let reply = world.get("/publicKey", &[("userId", &id), ("token", token)]);
        reply.json()["data"]["publicKey"].clone()
    };
    let key = public_key_of("anna");
    let body = json!({"publicKey": key, "userId": bob.id, "id": bob.id});
    let done = publish(&anna.token, &body);
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(done.text, r#"{"code":1,"msg":"公钥更新成功","data":null}"#);
    assert_eq!(shown(anna.id), key);
    assert_eq!(shown(bob.id), public_key_of("bob"));
    let kept = json!({"public_key": key, "private_key_encrypted": "sealed"});
    assert_eq!(data(&anna.get("/encryption/keys")), kept);

    for token in ["", "nobody's"] {
        refusal(&publish(token, &body), 401);
    }
    for bad in [
        json!(""),
        json!(5),
        json!("k".repeat(70_000)),
        json!("a\u{0}"),
    ] {
        refusal(&publish(&anna.token, &json!({"publicKey": bad})), 400);
    }
    refusal(&publish(&anna.token, &json!({})), 400);
    assert_eq!(shown(anna.id), key);
}

#[test]
fn what_no_route_takes_is_told_in_the_same_envelope() {
    let world = World::start();
    let reply = world.get("/login", &[]);
    refusal(&reply, 405);
    assert_eq!(reply.header("allow"), Some("POST"));
}

#[test]
fn the_servers_key_is_made_once_is_private_and_is_shown_by_route_and_command() {
    let mut world = World::start();
    let shown = world.get("/server_public.pem", &[]);
    assert_eq!(shown.status, 200);
    RsaPublicKey::from_public_key_pem(&shown.text).expect("a public key");
    let file = world.data_dir().join("server.key");
    let mode = file.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let private = std::fs::read_to_string(&file).expect("it is readable for its owner");
    assert!(private.starts_with("-----BEGIN PRIVATE KEY-----"), "PKCS#8");

    let data_dir = world.data_dir().display().to_string();
    let print = || {
        let output = crate::world::ended(program().args(["server-key", "--data-dir", &data_dir]));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let printed = print();
    let fingerprint = printed
        .strip_prefix(&shown.text)
        .expect("the key comes first");
    assert!(fingerprint.trim().len() > 64, "{fingerprint}");

    world.restart();
    assert_eq!(world.get("/server_public.pem", &[]).text, shown.text);
    assert_eq!(print(), printed);
}

#[test]
fn the_command_makes_the_key_where_there_is_none() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let data_dir = home.path().join("data");
    let server_key = ["server-key", "--data-dir"];
    let print = || crate::world::ended(program().args(server_key).arg(&data_dir));
    let made = print();
    assert!(made.status.success(), "{made:?}");
    assert_eq!(print().stdout, made.stdout);
    std::fs::write(data_dir.join("server.key"), "no key").expect("it is written");
    let refused = print();
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
}

#[test]
fn a_fault_of_the_server_is_500_with_its_cause_in_the_log_alone() {
    let world = World::start();
    refuse_new(&world, "users");
    let reply = world.post("/register", &registration("alice"));
    assert_eq!(refusal(&reply, 500), "服务器内部错误, 请稍后重试");
    assert_cause_is_logged(&world);
}
