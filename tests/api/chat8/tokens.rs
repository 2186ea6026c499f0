//! Tokens: what is in them, and how they end.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Someone, data, done, refused, text};
use crate::world::{Setup, World};

/// One of the three parts of a token, decoded.
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("three parts");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn a_token_says_whose_it_is_and_lasts_half_an_hour() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    assert_eq!(part(&alice.token, 0), json!({"typ": "JWT", "alg": "HS256"}));
    let claims = part(&alice.token, 1);
    let expected = json!({
        "sub": alice.id.to_string(),
        "jti": claims["jti"],
        "iat": claims["iat"],
        "exp": claims["exp"],
    });
    assert_eq!(claims, expected);
    let at = |name: &str| claims[name].as_i64().expect("an instant");
    // In whole seconds: the one in which it begins, and the one behind its end.
    assert_eq!(at("exp") - at("iat"), 1_801);
    let other = data(&alice.post("/auth/refresh", &json!({})));
    let other = part(&text(&other["access_token"]), 1);
    assert_ne!(text(&other["jti"]), text(&claims["jti"]));
}

#[test]
fn a_refreshed_token_replaces_the_old_one_and_logout_ends_it() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let before = data(&alice.get("/user/profile"));
    let refreshed = data(&alice.post("/auth/refresh", &json!({})));
    assert_eq!(
        refreshed,
        json!({"access_token": refreshed["access_token"], "token_type": "bearer", "expires_in": 1800})
    );
    refused(&alice.get("/user/profile"), 401, "AUTH_001");
    let alice = alice.with_token(&text(&refreshed["access_token"]));
    let profile = data(&alice.get("/user/profile"));
    assert_eq!(
        profile["last_login"], before["last_login"],
        "it is no login"
    );
    done(&alice.post("/auth/logout", &json!({})), "登出成功");
    for reply in [
        alice.get("/user/profile"),
        alice.post("/auth/logout", &json!({})),
        alice.post("/auth/refresh", &json!({})),
    ] {
        refused(&reply, 401, "AUTH_001");
    }
}

#[test]
fn of_racing_refreshes_of_one_token_a_single_one_succeeds() {
    const RACERS: usize = 8;
    let world = World::start();
    let mut alice = Someone::new(&world, "alice");
    for _ in 0..5 {
        let start = std::sync::Barrier::new(RACERS);
        let refresh = || {
            start.wait();
            alice.post("/auth/refresh", &json!({}))
        };
        let replies: Vec<_> = std::thread::scope(|scope| {
            let racing = [(); RACERS].map(|()| scope.spawn(refresh));
            racing
                .map(|racer| racer.join().expect("no panic"))
                .into_iter()
                .collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
        assert_eq!(won.len(), 1, "{replies:?}");
        for reply in lost {
            refused(reply, 401, "AUTH_001");
        }
        alice = alice.with_token(&text(&data(won[0])["access_token"]));
        data(&alice.get("/user/profile"));
    }
}

#[test]
fn tokens_that_are_not_ours_are_told_from_expired_ones() {
    let world = Setup::new().env("ROCKET_TOKEN_LIFETIME_SECS", 1).start();
    let alice = Someone::new(&world, "alice");
    // {"alg":"none","typ":"JWT"} . {"sub":"1","jti":"1","iat":1,"exp":9999999999}
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiIxIiwianRpIjoiMSIsImlhdCI6MSwiZXhwIjo5OTk5OTk5OTk5fQ.";
    let forged = format!("{}x", alice.token);
    for token in ["", "nonsense", unsigned, &forged] {
        refused(
            &alice.with_token(token).get("/user/profile"),
            401,
            "AUTH_001",
        );
    }
    refused(&world.get("/api/v1/user/profile", &[]), 401, "AUTH_001");
    super::wait_until("the token expires", || {
        let reply = alice.get("/user/profile");
        reply.status == 401 && reply.json()["error"]["code"] == "AUTH_002"
    });
}
