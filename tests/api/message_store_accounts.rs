//! message_store's accounts: register, log in, public keys, change of password.

use rsa::pkcs1::EncodeRsaPublicKey as _;
use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use rsa::{BigUint, RsaPublicKey};
use serde_json::{Value, json};

use crate::operations_refused::change_database;
use crate::world::{PUBLIC_KEY, World, redacted};

fn registration(user_id: &str) -> Value {
    json!({"user_id": user_id, "password_hash": "hashed_password", "public_key": PUBLIC_KEY})
}

fn credentials(user_id: &str, password_hash: &str) -> Value {
    json!({"user_id": user_id, "password_hash": password_hash})
}

fn change(user_id: &str, current: &str, new: &str) -> Value {
    json!({"user_id": user_id, "current_password_hash": current, "new_password_hash": new})
}

#[test]
fn registering_answers_as_published() {
    let world = World::start();
    let reply = world.post("/auth/register", &registration("user123")).ok();
    let published = json!({
        "status": "success",
        "message": "Registration successful",
        "data": {"user_id": "user123"},
    });
    assert_eq!(reply, published);
}

#[test]
fn logging_in_answers_as_published_and_adds_a_token() {
    let world = World::start();
    world.post("/auth/register", &registration("user123")).ok();
    let reply = world
        .post("/auth/login", &credentials("user123", "hashed_password"))
        .ok();
    let published = json!({
        "status": "success",
        "message": "Login successful",
        "data": {"user_id": "user123", "token": "token", "expires_in": 1800},
    });
    assert_eq!(redacted(reply), published);
}

#[test]
fn a_public_key_comes_back_as_published_byte_for_byte() {
    let world = World::start();
    let key = " user_public_key\r\n\t\u{1F511}\u{301} \\\" ";
    let body = json!({"user_id": "user123", "password_hash": "h", "public_key": key});
    world.post("/auth/register", &body).ok();
    let reply = world
        .get("/auth/public_key", &[("user_id", "user123")])
        .ok();
    let published = json!({
        "status": "success",
        "message": "Public key retrieved successfully",
        "data": {"user_id": "user123", "public_key": key},
    });
    assert_eq!(reply, published);
}

#[test]
fn changing_the_password_answers_as_published() {
    let world = World::start();
    world.post("/auth/register", &registration("user123")).ok();
    let reply = world
        .post(
            "/auth/change_password",
            &change("user123", "hashed_password", "new"),
        )
        .ok();
    assert_eq!(
        reply,
        json!({"status": "success", "message": "Password changed successfully"})
    );
    world
        .post("/auth/login", &credentials("user123", "hashed_password"))
        .error(401);
    world
        .post("/auth/login", &credentials("user123", "new"))
        .ok();
}

#[test]
fn changing_the_password_with_a_wrong_one_answers_the_published_error() {
    let world = World::start();
    world.post("/auth/register", &registration("user123")).ok();
    let reply = world.post("/auth/change_password", &change("user123", "wrong", "new"));
    assert_eq!(reply.error(401), "Invalid password");
    world
        .post("/auth/login", &credentials("user123", "hashed_password"))
        .ok();
}

#[test]
fn changing_the_password_ends_every_session_but_the_callers() {
    let world = World::start();
    let alice = world.register("alice");
    let (ours, other) = (alice.log_in(), alice.log_in());
    let body = change("alice", &crate::world::password_hash_of("alice"), "new");
    let request = world.request(reqwest::Method::POST, "/auth/change_password");
    crate::world::Reply::to(request.bearer_auth(&ours).json(&body)).ok();
    let inbox = |token: &str| {
        let request = world.request(reqwest::Method::GET, "/messages/inbox?user_id=alice");
        crate::world::Reply::to(request.bearer_auth(token))
    };
    inbox(&ours).ok();
    inbox(&other).error(401);
}

#[test]
fn a_user_id_can_be_taken_once_only() {
    let world = World::start();
    world.post("/auth/register", &registration("user123")).ok();
    let again = json!({"user_id": "user123", "password_hash": "other", "public_key": "other"});
    world.post("/auth/register", &again).error(400);
    world
        .post("/auth/login", &credentials("user123", "hashed_password"))
        .ok();
    let key = world
        .get("/auth/public_key", &[("user_id", "user123")])
        .ok();
    assert_eq!(key["data"]["public_key"], PUBLIC_KEY);
}

#[test]
fn of_many_who_register_one_user_id_at_once_one_succeeds() {
    let world = World::start();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let register = |_| {
            scope.spawn(|| {
                world
                    .post("/auth/register", &registration("user123"))
                    .status
            })
        };
        let threads: Vec<_> = (0..8).map(register).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| [200, 400].contains(status)),
        "{statuses:?}"
    );
}

#[test]
fn an_unknown_user_and_a_wrong_hash_are_answered_alike() {
    let world = World::start();
    world.post("/auth/register", &registration("user123")).ok();
    let wrong = world
        .post("/auth/login", &credentials("user123", "wrong"))
        .error(401);
    let unknown = world
        .post("/auth/login", &credentials("nobody", "hashed_password"))
        .error(401);
    assert_eq!(wrong, unknown);
}

#[test]
fn the_public_key_of_an_unknown_user_is_not_found() {
    let world = World::start();
    world
        .get("/auth/public_key", &[("user_id", "nobody")])
        .error(404);
    world.get("/auth/public_key", &[]).error(400);
}

#[test]
fn user_ids_are_exact_and_case_sensitive() {
    let world = World::start();
    for user_id in [
        "alice", "Alice", "alice ", " alice", "ALICE", "al.ice", "al/ice", "a%l", "a_l",
    ] {
        let reply = world.post("/auth/register", &registration(user_id)).ok();
        assert_eq!(reply["data"]["user_id"], user_id);
    }
    world
        .get("/auth/public_key", &[("user_id", "aLICE")])
        .error(404);
    world
        .get("/auth/public_key", &[("user_id", "%")])
        .error(404);
}

#[test]
fn user_ids_written_in_another_unicode_form_are_the_same() {
    let world = World::start();
    let composed = "Zo\u{e9}";
    let decomposed = "Zoe\u{301}";
    let reply = world.post("/auth/register", &registration(decomposed)).ok();
    assert_eq!(reply["data"]["user_id"], composed, "kept in NFC");
    world
        .post("/auth/register", &registration(composed))
        .error(400);
    world
        .post("/auth/login", &credentials(decomposed, "hashed_password"))
        .ok();
    let key = world
        .get("/auth/public_key", &[("user_id", decomposed)])
        .ok();
    assert_eq!(key["data"]["user_id"], composed);
    let carol = world.register("用户\u{1F600}");
    world.person(composed).send(&carol, "sealed");
    world
        .person(decomposed)
        .try_send("用户\u{1F600}", "sealed too")
        .ok();
    let senders: Vec<Value> = carol
        .inbox()
        .iter()
        .map(|item| item["sender_id"].clone())
        .collect();
    assert_eq!(senders, [composed, composed]);
}

#[test]
fn user_ids_have_between_1_and_128_characters() {
    let world = World::start();
    world.post("/auth/register", &registration("")).error(400);
    world
        .post("/auth/register", &registration(&"\u{1F600}".repeat(128)))
        .ok();
    world
        .post("/auth/register", &registration(&"a".repeat(128)))
        .ok();
    world
        .post("/auth/register", &registration(&"a".repeat(129)))
        .error(400);
    // 129 characters as written, 128 after composition.
    world
        .post(
            "/auth/register",
            &registration(&format!("{}e\u{301}", "b".repeat(127))),
        )
        .ok();
}

#[test]
fn user_ids_hold_no_control_characters_and_nothing_that_stands_for_unreadable_bytes() {
    let world = World::start();
    for wrong in [
        "\0", "\n", "\r", "\t", "\u{1b}", "\u{7f}", "\u{85}", "\u{fffd}",
    ] {
        let user_id = format!("ali{wrong}ce");
        world
            .post("/auth/register", &registration(&user_id))
            .error(400);
        world
            .get("/auth/public_key", &[("user_id", &user_id)])
            .error(400);
    }
    let latin_1 = world.get("/auth/public_key?user_id=Jos%E9", &[]);
    latin_1.error(400);
}

#[test]
fn an_rsa_key_that_nobody_should_use_is_refused() {
    let world = World::start();
    let too_short = rsa_key(1024, 65537);
    let too_long = rsa_key(8200, 65537);
    let small_exponent = rsa_key(2048, 3);
    let even_exponent = rsa_key(2048, 65538);
    let keys = [
        too_short
            .to_public_key_pem(LineEnding::LF)
            .expect("a key encodes"),
        too_short
            .to_pkcs1_pem(LineEnding::LF)
            .expect("a key encodes"),
        too_long
            .to_public_key_pem(LineEnding::LF)
            .expect("a key encodes"),
        small_exponent
            .to_public_key_pem(LineEnding::LF)
            .expect("a key encodes"),
        even_exponent
            .to_public_key_pem(LineEnding::LF)
            .expect("a key encodes"),
    ];
    for key in keys {
        let body = json!({"user_id": "user123", "password_hash": "h", "public_key": key});
        world.post("/auth/register", &body).error(400);
    }
    let good = rsa_key(2048, 65537)
        .to_public_key_pem(LineEnding::LF)
        .expect("a key encodes");
    let body = json!({"user_id": "user123", "password_hash": "h", "public_key": good});
    world.post("/auth/register", &body).ok();
    let key = world
        .get("/auth/public_key", &[("user_id", "user123")])
        .ok();
    assert_eq!(key["data"]["public_key"], good);
}

#[test]
fn an_rsa_key_is_checked_however_its_lines_are_broken() {
    let world = World::start();
    for (bits, is_taken) in [(1024, false), (2048, true), (8192, true), (8200, false)] {
        let pem = rsa_key(bits, 65537)
            .to_public_key_pem(LineEnding::LF)
            .expect("a key encodes");
        let lines: Vec<&str> = pem.lines().collect();
        let [begin, base64 @ .., end] = &lines[..] else {
            panic!("no PEM: {pem}");
        };
        let one_line = base64.concat();
        let writings = [
            format!("{begin}\n{one_line}\n{end}\n"),
            base64.join("\n"),
            base64.join("\r\n"),
            one_line,
        ];
        for (nth, key) in writings.iter().enumerate() {
            let user_id = format!("user{bits}-{nth}");
            let body = json!({"user_id": user_id, "password_hash": "h", "public_key": key});
            let reply = world.post("/auth/register", &body);
            assert_eq!(reply.status, if is_taken { 200 } else { 400 }, "{key}");
        }
    }
}

/// A public key of `bits` whose private half nobody knows: an odd modulus with its top bit set.
fn rsa_key(bits: usize, exponent: u32) -> RsaPublicKey {
    let one = BigUint::from(1_u8);
    let modulus = (&one << (bits - 1)) + (&one << (bits / 2)) + 0x1_2345_u32;
    RsaPublicKey::new_unchecked(modulus, BigUint::from(exponent))
}

#[test]
fn no_secret_is_kept_as_it_was_sent() {
    if crate::world::skips_sqlite_test() {
        return;
    }
    let mut world = World::start();
    let secret = "a-password-hash-that-must-not-be-found-on-disk";
    let token = {
        let body = json!({"user_id": "alice", "password_hash": secret, "public_key": "k"});
        world.post("/auth/register", &body).ok();
        let reply = world
            .post("/auth/login", &credentials("alice", secret))
            .ok();
        reply["data"]["token"].as_str().expect("a token").to_owned()
    };
    assert!(world.server.stop().success());
    for entry in std::fs::read_dir(world.data_dir()).expect("the data directory is readable") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        for word in [secret, &token] {
            let found = bytes
                .windows(word.len())
                .any(|window| window == word.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
    for word in [secret, &token] {
        assert!(!world.server.log().contains(word));
    }
}

#[test]
fn a_verifier_of_weaker_parameters_is_replaced_at_the_next_login() {
    // Of `hashed_password_of_alice`, with 8 KiB and one pass.
    const WEAK: &str = "$argon2id$v=19$m=8,t=1,p=1$c2VhbHBvc3Qgc2FsdCAxNg$\
                        kTqD7eun5pWHVctoqiBWQqF4XLqoORBECBzPIPE3/ic";
    let world = World::start();
    let alice = world.register("alice");
    change_database(&world, &format!("UPDATE users SET verifier = '{WEAK}'"));
    let wrong = credentials("alice", "wrong");
    world.post("/auth/login", &wrong).error(401);
    assert_verifier_begins(&world, "$argon2id$v=19$m=8,t=1,p=1$");
    alice.log_in();
    assert_verifier_begins(&world, "$argon2id$v=19$m=19456,t=2,p=1$");
    alice.log_in();
    world.post("/auth/login", &wrong).error(401);
}

/// Of the only user. Asked by a statement that fails otherwise, which both databases understand.
fn assert_verifier_begins(world: &World, beginning: &str) {
    change_database(
        world,
        &format!(
            "CREATE TABLE one (found INTEGER CHECK (found = 1));
             INSERT INTO one SELECT count(*) FROM users WHERE verifier LIKE '{beginning}%';
             DROP TABLE one"
        ),
    );
}
