//! Register, log in with either form, log out.

use reqwest::Method;
use reqwest::blocking::multipart::Form;
use serde_json::json;

use super::person::{
    PASSWORD, Person, ask_token, detail, is_instant, log_in, problems, register, registration,
};
use crate::world::{Reply, Setup, World, password_hash_of, sha256_hex, wait_for};

#[test]
fn registering_answers_with_the_account_and_nothing_of_the_password() {
    let world = World::start();
    let reply = world.post("/users/", &registration("alice"));
    let order = [
        "id",
        "username",
        "email",
        "public_key",
        "is_online",
        "created_at",
    ];
    assert!(reply.has_in_order(&order), "{reply:?}");
    let mut account = reply.json();
    assert!(is_instant(&account["created_at"]), "{account}");
    assert!(account["id"].as_i64().is_some_and(|id| id > 0), "{account}");
    account["id"] = json!(1);
    account["created_at"] = json!("2025-07-01T10:00:02");
    let expected = json!({
        "id": 1,
        "username": "alice",
        "email": "alice@example.com",
        "public_key": "key_for_alice",
        "is_online": false,
        "created_at": "2025-07-01T10:00:02",
    });
    assert_eq!(account, expected);
}

#[test]
fn a_path_answers_alike_without_its_final_slash() {
    let world = World::start();
    let reply = world.post("/users", &registration("alice"));
    assert_eq!(reply.status, 200);
    let form = [("username", "alice"), ("password", PASSWORD)];
    let reply = Reply::to(world.request(Method::POST, "/token/").form(&form));
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn a_taken_name_or_address_is_refused_in_the_published_words() {
    let world = World::start();
    register(&world, "alice");
    let reply = world.post("/users/", &registration("alice"));
    assert_eq!(detail(&reply, 400), "用户名已存在");
    let mut other = registration("bob");
    other["email"] = json!("Alice@Example.com");
    let reply = world.post("/users/", &other);
    assert_eq!(detail(&reply, 400), "邮箱已被注册");
}

#[test]
fn every_field_that_is_missing_or_wrong_is_named() {
    let world = World::start();
    let reply = world.post("/users/", &json!({ "username": 5, "password": "x" }));
    let expected = [
        (json!(["body", "username"]), "string_type".to_owned()),
        (json!(["body", "email"]), "missing".to_owned()),
        (json!(["body", "public_key"]), "missing".to_owned()),
    ];
    assert_eq!(problems(&reply), expected);
    let mut body = registration("alice");
    body["email"] = json!("no address");
    let reply = world.post("/users/", &body);
    let expected = [(json!(["body", "email"]), "value_error".to_owned())];
    assert_eq!(problems(&reply), expected);
}

#[test]
fn a_token_is_given_for_a_urlencoded_and_for_a_multipart_form() {
    let world = World::start();
    register(&world, "小明&+");
    let urlencoded = ask_token(&world, &[("username", "小明&+"), ("password", PASSWORD)]);
    let form = Form::new()
        .text("username", "小明&+")
        .text("password", PASSWORD)
        .text("grant_type", "password");
    let multipart = Reply::to(world.request(Method::POST, "/token").multipart(form));
    let part = |name: &str, value: &str| {
        format!("--==12==\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts = part("username", "小明&+") + &part("password", PASSWORD) + "--==12==--\r\n";
    let quoted = world.request(Method::POST, "/token").body(parts);
    let quoted = quoted.header("Content-Type", "multipart/form-data; boundary=\"==12==\"");
    for reply in [urlencoded, multipart, Reply::to(quoted)] {
        assert_eq!(reply.status, 200, "{reply:?}");
        let order = ["access_token", "token_type", "expires_in"];
        assert!(reply.has_in_order(&order), "{reply:?}");
        let mut body = reply.json();
        assert!(
            body["access_token"]
                .as_str()
                .is_some_and(|token| token.len() > 32)
        );
        body["access_token"] = json!("token");
        let expected =
            json!({ "access_token": "token", "token_type": "bearer", "expires_in": 1800 });
        assert_eq!(body, expected);
    }
}

#[test]
fn a_form_that_is_not_filled_in_and_a_json_body_are_invalid() {
    let world = World::start();
    register(&world, "alice");
    let missing = |field: &str| (json!(["body", field]), "missing".to_owned());
    let json_body = json!({ "username": "alice", "password": PASSWORD });
    let both = [missing("username"), missing("password")];
    assert_eq!(problems(&world.post("/token", &json_body)), both);
    let no_body = Reply::to(world.request(Method::POST, "/token"));
    assert_eq!(problems(&no_body), both);
    let half = ask_token(&world, &[("username", "alice"), ("password", "")]);
    assert_eq!(problems(&half), [missing("password")]);
    let form = [
        ("username", "alice"),
        ("password", PASSWORD),
        ("port", "70000"),
    ];
    let expected = [(json!(["body", "port"]), "value_error".to_owned())];
    assert_eq!(problems(&ask_token(&world, &form)), expected);
}

#[test]
fn a_wrong_name_and_a_wrong_password_are_refused_alike() {
    let world = World::start();
    register(&world, "alice");
    let wrong_password = ask_token(&world, &[("username", "alice"), ("password", "wrong")]);
    let wrong_name = ask_token(&world, &[("username", "nobody"), ("password", PASSWORD)]);
    let impossible_name = ask_token(&world, &[("username", "a\u{7}"), ("password", PASSWORD)]);
    let text = detail(&wrong_password, 401);
    for reply in [wrong_password, wrong_name, impossible_name] {
        assert_eq!(detail(&reply, 401), text);
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
}

#[test]
fn too_many_failures_are_told_when_to_come_back() {
    let world = Setup::new()
        .env("ROCKET_LOGIN_FAILURES_PER_ACCOUNT", 1)
        .start();
    register(&world, "alice");
    let form = [("username", "alice"), ("password", "wrong")];
    detail(&ask_token(&world, &form), 401);
    let reply = ask_token(&world, &form);
    detail(&reply, 429);
    let secs = reply
        .header("retry-after")
        .and_then(|secs| secs.parse::<u64>().ok());
    assert!(secs.is_some_and(|secs| secs > 0), "{reply:?}");
}

#[test]
fn logging_out_ends_the_token_at_once() {
    let world = World::start();
    let alice = Person::arrive(&world, "alice");
    alice.log_out();
    let reply = alice.get("/me/contacts");
    detail(&reply, 401);
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    detail(&alice.call(Method::POST, "/logout"), 401);
}

#[test]
fn an_expired_token_is_refused() {
    let world = Setup::new().env("ROCKET_TOKEN_LIFETIME_SECS", 1).start();
    let alice = Person::arrive(&world, "alice");
    wait_for(|| (alice.get("/me/contacts").status != 200).then_some(()));
    detail(&alice.get("/me/contacts"), 401);
}

#[test]
fn one_account_serves_message_store_too() {
    let world = World::start();
    register(&world, "alice");
    let login = json!({ "user_id": "alice", "password_hash": sha256_hex(PASSWORD) });
    world.post("/auth/login", &login).ok();
    world.register("bob");
    let form = [("username", "bob"), ("password", &password_hash_of("bob"))];
    detail(&ask_token(&world, &form), 401);
    log_in(&world, "alice");
}

#[test]
fn large_forms_of_nothing_take_little_more_than_their_bytes() {
    let world = World::start();
    let form = "a&".repeat(12 << 20);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let request = world.request(Method::POST, "/token");
                let request = request.header("Content-Type", "application/x-www-form-urlencoded");
                let missing = ["username", "password"]
                    .map(|name| (json!(["body", name]), "missing".to_owned()));
                assert_eq!(problems(&Reply::to(request.body(form.clone()))), missing);
            });
        }
    });
    let peak = world.memory_kib("VmHWM");
    assert!(peak < 450 << 10, "{peak} KiB for 144 MiB");
}

#[test]
fn a_multipart_form_is_looked_at_up_to_a_thousand_fields() {
    let world = World::start();
    register(&world, "alice");
    let log_in_behind = |others: usize| {
        let form = (0..others).fold(Form::new(), |form, _| form.text("a", "b"));
        let form = form.text("username", "alice").text("password", PASSWORD);
        Reply::to(world.request(Method::POST, "/token").multipart(form)).status
    };
    assert_eq!(log_in_behind(998), 200);
    assert_eq!(log_in_behind(999), 422);
}
