//! Accounts, tokens, and what a user shows of themselves.

use serde_json::json;

use super::{Someone, data, done, is_instant, password_of, refused, text};
use crate::encommunication::people::{PASSWORD, join};
use crate::world::{Setup, World};

fn log_in(world: &World, username: &str, password: &str) -> crate::world::Reply {
    world.post(
        "/api/v1/auth/login",
        &json!({"username": username, "password": password}),
    )
}

#[test]
fn one_registers_is_logged_in_and_sees_oneself() {
    let world = World::start();
    let body = json!({"username": "alice", "email": "Alice@Example.org", "password": "12345678", "confirm_password": "12345678"});
    let registered = data(&world.post("/api/v1/auth/register", &body));
    let token = text(&registered["access_token"]);
    let id = registered["user_id"].as_i64().expect("an integer");
    assert_eq!(
        registered,
        json!({"user_id": id, "username": "alice", "email": "alice@example.org", "access_token": token, "token_type": "bearer"})
    );
    let logged_in = data(&log_in(&world, "alice", "12345678"));
    assert_eq!(
        logged_in,
        json!({
            "access_token": logged_in["access_token"],
            "token_type": "bearer",
            "expires_in": 1800,
            "user": {"id": id, "username": "alice", "email": "alice@example.org", "avatar": null},
        })
    );
    let alice = Someone {
        world: &world,
        id,
        username: "alice".into(),
        token,
    };
    let profile = data(&alice.get("/user/profile"));
    assert!(is_instant(&profile["created_at"]) && is_instant(&profile["last_login"]));
    assert_eq!(
        profile,
        json!({
            "id": id, "username": "alice", "email": "alice@example.org", "avatar": null, "status": "online",
            "created_at": profile["created_at"], "last_login": profile["last_login"],
        })
    );
}

#[test]
fn a_registration_that_breaks_a_rule_names_the_field() {
    let world = World::start();
    let valid = json!({"username": "bob", "email": "b@example.org", "password": "12345678", "confirm_password": "12345678"});
    for (field, value) in [
        ("username", json!("")),
        ("username", json!("x".repeat(65))),
        ("username", json!("a\u{7}b")),
        ("username", json!("   ")),
        ("username", json!(" bob")),
        ("username", json!("bob\u{3000}")),
        ("username", json!("bo\u{200b}b")),
        ("username", json!("\u{feff}bob")),
        ("username", json!("\u{202e}bob")),
        ("username", json!("bob\u{61c}")),
        ("username", json!(7)),
        ("email", json!("nobody")),
        ("email", json!("a@b")),
        ("password", json!("1234567")),
        ("confirm_password", json!("12345679")),
    ] {
        let mut body = valid.clone();
        body[field] = value;
        let details = refused(
            &world.post("/api/v1/auth/register", &body),
            422,
            "VALIDATION",
        );
        assert!(details[field].is_string(), "{details}");
    }
    for field in ["username", "email", "password", "confirm_password"] {
        let mut body = valid.clone();
        body.as_object_mut().expect("an object").remove(field);
        let details = refused(
            &world.post("/api/v1/auth/register", &body),
            422,
            "VALIDATION",
        );
        assert_eq!(details, json!({field: "is missing"}));
    }
    let mut longest = valid.clone();
    longest["username"] = json!("长".repeat(64));
    longest["email"] = json!("longest@example.org");
    data(&world.post("/api/v1/auth/register", &longest));
    data(&world.post("/api/v1/auth/register", &valid));
    let mut same_name = valid.clone();
    same_name["email"] = json!("other@example.org");
    refused(
        &world.post("/api/v1/auth/register", &same_name),
        409,
        "USER_002",
    );
    let mut same_email = valid;
    same_email["username"] = json!("other");
    same_email["email"] = json!("B@EXAMPLE.org");
    refused(
        &world.post("/api/v1/auth/register", &same_email),
        409,
        "USER_003",
    );
}

#[test]
fn a_failed_login_is_alike_for_unknown_users_and_wrong_passwords_and_is_throttled() {
    let world = Setup::new()
        .env("ROCKET_LOGIN_FAILURES_PER_ACCOUNT", 2)
        .start();
    Someone::new(&world, "alice");
    let (wrong, unknown) = (
        log_in(&world, "alice", "nonsense"),
        log_in(&world, "nobody", "nonsense"),
    );
    refused(&wrong, 401, "AUTH_003");
    refused(&unknown, 401, "AUTH_003");
    assert_eq!(wrong.json()["error"], unknown.json()["error"]);
    refused(&log_in(&world, "", "nonsense"), 401, "AUTH_003");
    refused(&log_in(&world, "alice", "nonsense"), 401, "AUTH_003");
    let throttled = log_in(&world, "alice", &password_of("alice"));
    refused(&throttled, 429, "RATE_LIMITED");
    assert!(throttled.header("retry-after").is_some());
}

#[test]
fn a_profile_changes_only_in_what_is_named() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    Someone::new(&world, "bob");
    let change = json!({"username": "alicia", "avatar": "/pictures/a.png"});
    let changed = data(&alice.put("/user/profile", &change));
    let expected = json!({"id": alice.id, "username": "alicia", "email": "alice@example.org", "avatar": "/pictures/a.png"});
    assert_eq!(changed, expected);
    assert_eq!(data(&alice.put("/user/profile", &json!({}))), expected);
    assert_eq!(
        data(&alice.put("/user/profile", &json!({"avatar": null})))["avatar"],
        json!(null)
    );
    assert_eq!(
        data(&alice.put("/user/profile", &json!({"email": "new@example.org"})))["email"],
        "new@example.org"
    );
    refused(
        &alice.put("/user/profile", &json!({"username": "bob"})),
        409,
        "USER_002",
    );
    refused(
        &alice.put("/user/profile", &json!({"email": "BOB@example.org"})),
        409,
        "USER_003",
    );
    for avatar in [
        "javascript:alert(1)",
        "//elsewhere.example/a.png",
        "http://elsewhere.example/",
        "/\\elsewhere",
    ] {
        let details = refused(
            &alice.put("/user/profile", &json!({"avatar": avatar})),
            422,
            "VALIDATION",
        );
        assert!(details["avatar"].is_string(), "{details}");
    }
    let details = refused(
        &alice.put("/user/profile", &json!({"email": ""})),
        422,
        "VALIDATION",
    );
    assert!(details["email"].is_string(), "{details}");
    for username in ["x".repeat(65), "alicia ".into(), "\u{202e}alicia".into()] {
        let body = json!({"username": username});
        let details = refused(&alice.put("/user/profile", &body), 422, "VALIDATION");
        assert!(details["username"].is_string(), "{details}");
    }
    log_in(&world, "alice", &password_of("alice"));
    refused(
        &log_in(&world, "alice", &password_of("alice")),
        401,
        "AUTH_003",
    );
    data(&log_in(&world, "alicia", &password_of("alice")));
}

#[test]
fn a_name_counts_as_it_is_kept_and_a_longer_one_from_elsewhere_may_stay() {
    let world = World::start();
    let composed = "é".repeat(64);
    let alice = Someone::new(&world, &"e\u{301}".repeat(64));
    let profile = data(&alice.get("/user/profile"));
    assert_eq!(profile["username"], json!(composed));
    let long = "x".repeat(100);
    let account = json!({"username": long, "email": "long@example.org", "password": "12345678", "public_key": "k"});
    let id = world.post("/users/", &account).json()["id"].as_i64();
    let login = data(&log_in(&world, &long, "12345678"));
    let bob = Someone {
        world: &world,
        id: id.expect("an integer"),
        username: long.clone(),
        token: text(&login["access_token"]),
    };
    let same = json!({"username": long, "avatar": "/pictures/b.png"});
    assert_eq!(
        data(&bob.put("/user/profile", &same))["avatar"],
        "/pictures/b.png"
    );
    let other = json!({"username": "y".repeat(100)});
    refused(&bob.put("/user/profile", &other), 422, "VALIDATION");
}

#[test]
fn a_form_with_empty_fields_renames_an_account_without_an_address() {
    let world = World::start();
    let id = join(&world, "carol").id;
    let login = data(&log_in(&world, "carol", PASSWORD));
    let carol = Someone {
        world: &world,
        id,
        username: "carol".into(),
        token: text(&login["access_token"]),
    };
    data(&carol.put("/user/profile", &json!({"avatar": "/pictures/c.png"})));
    let form = json!({"username": "caroline", "email": "", "avatar": ""});
    let changed = data(&carol.put("/user/profile", &form));
    let expected = json!({"id": carol.id, "username": "caroline", "email": null, "avatar": null});
    assert_eq!(changed, expected);
}

#[test]
fn of_racing_names_the_last_one_stays_and_the_others_are_nobodys() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let send_to = |name: &str| {
        let letter = json!({"recipient_username": name, "encrypted_content": "x"});
        let request = world.request(reqwest::Method::POST, "/messages/");
        crate::world::Reply::to(request.bearer_auth(&alice.token).json(&letter)).status
    };
    let names: Vec<String> = (0..8).map(|number| format!("alice {number}")).collect();
    let rename = |name: &String| {
        data(&alice.put("/user/profile", &json!({ "username": name })));
        // Who is looked up is remembered, whoever they were a moment ago.
        send_to(name)
    };
    std::thread::scope(|scope| {
        for name in &names {
            let rename = &rename;
            scope.spawn(move || rename(name));
        }
    });
    let last = text(&data(&alice.get("/user/profile"))["username"]);
    for name in names.iter().map(String::as_str).chain(["alice"]) {
        let expected = if name == last { 200 } else { 404 };
        assert_eq!(send_to(name), expected, "{name}, now {last}");
    }
}

#[test]
fn a_new_password_ends_every_other_login() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let elsewhere = data(&log_in(&world, "alice", &password_of("alice")));
    let elsewhere = alice.with_token(&text(&elsewhere["access_token"]));
    let change = |current: &str, new: &str, confirm: &str| {
        alice.put(
            "/user/password",
            &json!({"current_password": current, "new_password": new, "confirm_password": confirm}),
        )
    };
    refused(
        &change("wrong password", "12345678", "12345678"),
        401,
        "AUTH_003",
    );
    let current = password_of("alice");
    assert!(
        refused(&change(&current, "1234567", "1234567"), 422, "VALIDATION")["new_password"]
            .is_string()
    );
    assert!(
        refused(&change(&current, "12345678", "12345679"), 422, "VALIDATION")["confirm_password"]
            .is_string()
    );
    data(&elsewhere.get("/user/profile"));
    done(&change(&current, "12345678", "12345678"), "密码修改成功");
    refused(&elsewhere.get("/user/profile"), 401, "AUTH_001");
    data(&alice.get("/user/profile"));
    refused(&log_in(&world, "alice", &current), 401, "AUTH_003");
    data(&log_in(&world, "alice", "12345678"));
}

#[test]
fn a_status_is_one_of_three() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    for status in ["away", "offline", "online"] {
        assert_eq!(
            data(&alice.put("/user/status", &json!({"status": status}))),
            json!({"status": status})
        );
        assert_eq!(data(&alice.get("/user/profile"))["status"], status);
    }
    for wrong in [
        json!("busy"),
        json!("Online"),
        json!(5),
        json!(null),
        json!(["online"]),
        json!({"online": null}),
    ] {
        let reply = alice.put("/user/status", &json!({"status": wrong}));
        let details = refused(&reply, 422, "VALIDATION");
        assert!(details["status"].is_string(), "{wrong}: {details}");
    }
}

#[test]
fn keys_are_kept_for_their_owner_and_half_of_them_for_everybody() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let path = format!("/encryption/public-key/{}", alice.id);
    refused(&bob.get(&path), 404, "ENCRYPT_001");
    refused(&alice.get("/encryption/keys"), 404, "ENCRYPT_001");
    let keyless = json!({
        "username": "carol", "email": "carol@example.com", "password": "p", "public_key": "",
    });
    let carol = world.post("/users/", &keyless).json();
    let path_of_carol = format!("/encryption/public-key/{}", carol["id"]);
    refused(&alice.get(&path_of_carol), 404, "ENCRYPT_001");
    refused(&bob.get("/encryption/public-key/99999"), 404, "USER_001");
    refused(&bob.get("/encryption/public-key/alice"), 422, "VALIDATION");
    let pair = json!({"public_key": "public\nkey", "private_key_encrypted": "sealed"});
    done(&alice.post("/encryption/keys", &pair), "密钥对已更新");
    assert_eq!(
        data(&bob.get(&path)),
        json!({"user_id": alice.id, "public_key": "public\nkey"})
    );
    assert_eq!(data(&alice.get("/encryption/keys")), pair);
    let longest = "k".repeat(64 << 10);
    let pair = json!({"public_key": longest, "private_key_encrypted": longest});
    done(&alice.post("/encryption/keys", &pair), "密钥对已更新");
    let long = longest + "k";
    for (field, body) in [
        (
            "public_key",
            json!({"public_key": long, "private_key_encrypted": "x"}),
        ),
        (
            "private_key_encrypted",
            json!({"public_key": "x", "private_key_encrypted": long}),
        ),
        ("private_key_encrypted", json!({"public_key": "x"})),
    ] {
        let details = refused(&alice.post("/encryption/keys", &body), 422, "VALIDATION");
        assert!(details[field].is_string(), "{details}");
    }
    for field in ["public_key", "private_key_encrypted"] {
        for text in ["", "sealed\0"] {
            let mut body = pair.clone();
            body[field] = json!(text);
            let details = refused(&alice.post("/encryption/keys", &body), 422, "VALIDATION");
            let problem = "must not be empty or have NUL characters";
            assert_eq!(details, json!({ field: problem }));
        }
    }
}
