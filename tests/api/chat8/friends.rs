//! Friends: search, requests and their answers, who is there.

use serde_json::json;

use super::{Someone, data, done, is_instant, refused};
use crate::world::World;

#[test]
fn a_request_that_is_accepted_makes_both_friends() {
    let world = World::start();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| Someone::new(&world, name));
    assert_eq!(data(&alice.get("/friends")), json!([]));
    let ask = json!({"user_id": bob.id, "message": "hello, bob"});
    done(&alice.post("/friends/request", &ask), "好友请求已发送");
    let pending = data(&bob.get("/friends/requests"));
    let request = pending[0]["request_id"].clone();
    assert!(is_instant(&pending[0]["created_at"]));
    assert_eq!(
        pending,
        json!([{"request_id": request, "from_user_id": alice.id, "from_username": "alice", "message": "hello, bob", "created_at": pending[0]["created_at"]}])
    );
    refused(&alice.post("/friends/request", &ask), 409, "FRIEND_003");
    refused(
        &bob.post("/friends/request", &json!({"user_id": alice.id})),
        409,
        "FRIEND_003",
    );
    let path = format!("/friends/request/{request}");
    let accept = json!({"action": "accept"});
    for outsider in [&alice, &eve] {
        refused(&outsider.put(&path, &accept), 404, "NOT_FOUND");
    }
    for wrong in [json!("maybe"), json!(1), json!({"accept": null})] {
        let reply = bob.put(&path, &json!({"action": wrong}));
        let details = refused(&reply, 422, "VALIDATION");
        assert!(details["action"].is_string(), "{wrong}: {details}");
    }
    done(&bob.put(&path, &accept), "好友请求已处理");
    refused(&bob.put(&path, &accept), 404, "NOT_FOUND");
    for (one, other) in [(&alice, &bob), (&bob, &alice)] {
        let friends = data(&one.get("/friends"));
        assert!(is_instant(&friends[0]["last_seen"]));
        assert_eq!(
            friends,
            json!([{"id": other.id, "username": other.username, "avatar": null, "status": "offline", "last_seen": friends[0]["last_seen"]}])
        );
        refused(
            &one.post("/friends/request", &json!({"user_id": other.id})),
            409,
            "FRIEND_003",
        );
    }
    assert_eq!(data(&bob.get("/friends/requests")), json!([]));
    done(&alice.delete(&format!("/friends/{}", bob.id)), "好友已删除");
    assert_eq!(data(&bob.get("/friends")), json!([]));
    refused(
        &alice.delete(&format!("/friends/{}", bob.id)),
        404,
        "FRIEND_001",
    );
}

#[test]
fn after_a_rejection_one_may_ask_again() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    for _ in 0..2 {
        done(
            &alice.post("/friends/request", &json!({"user_id": bob.id})),
            "好友请求已发送",
        );
        let request = data(&bob.get("/friends/requests"))[0]["request_id"].clone();
        let path = format!("/friends/request/{request}");
        done(
            &bob.put(&path, &json!({"action": "reject"})),
            "好友请求已处理",
        );
        assert_eq!(data(&alice.get("/friends")), json!([]));
    }
}

#[test]
fn requests_that_make_no_sense_are_refused_with_their_codes() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    refused(
        &alice.post("/friends/request", &json!({"user_id": alice.id})),
        400,
        "FRIEND_002",
    );
    refused(
        &alice.post("/friends/request", &json!({"user_id": 99_999})),
        404,
        "USER_001",
    );
    for user_id in [
        json!("two"),
        json!("+2"),
        json!(2.5),
        json!(1e300),
        json!(null),
    ] {
        let details = refused(
            &alice.post("/friends/request", &json!({"user_id": user_id})),
            422,
            "VALIDATION",
        );
        assert!(details["user_id"].is_string(), "{details}");
    }
    refused(
        &alice.put("/friends/request/99999", &json!({"action": "accept"})),
        404,
        "NOT_FOUND",
    );
    refused(&alice.delete("/friends/99999"), 404, "FRIEND_001");
    refused(&alice.delete("/friends/bob"), 422, "VALIDATION");
}

#[test]
fn search_finds_parts_of_names_and_whole_addresses_and_takes_wildcards_literally() {
    let world = World::start();
    let [alice, bob, _] = ["alice", "Bobby", "100%_sure"].map(|name| Someone::new(&world, name));
    let found = |text: &str| {
        let path = format!("/api/v1/friends/search?q={text}");
        let request = world
            .request(reqwest::Method::GET, &path)
            .bearer_auth(&alice.token);
        let found = data(&crate::world::Reply::to(request));
        let names = found.as_array().expect("a list").iter();
        names
            .map(|user| super::text(&user["username"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(found("OBB"), ["Bobby"]);
    assert_eq!(found("bobby@EXAMPLE.org"), ["Bobby"]);
    assert_eq!(found("example.org"), [""; 0]);
    assert_eq!(found("alice"), [""; 0]);
    assert_eq!(found("%25"), ["100%_sure"]);
    assert_eq!(found("0%25_s"), ["100%_sure"]);
    assert_eq!(found("_o"), [""; 0]);
    alice.befriend(&bob);
    assert_eq!(
        data(&alice.get("/friends/search?q=bob")),
        json!([{"id": bob.id, "username": "Bobby", "avatar": null, "is_friend": true}])
    );
    for path in ["/friends/search", "/friends/search?q="] {
        assert!(refused(&alice.get(path), 422, "VALIDATION")["q"].is_string());
    }
}

#[test]
fn a_search_finds_fifty_at_most() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    for number in 0..51 {
        world.register(&format!("bob {number}"));
    }
    let found = data(&alice.get("/friends/search?q=bob"));
    assert_eq!(found.as_array().map(Vec::len), Some(50));
    // However many hold the word, who is called so is found, and first.
    world.register("zz bob");
    for (name, wanted) in [("BOB", "bob"), ("bob", "bob"), ("ob 7", "bob 7")] {
        world.register(name);
        let path = format!("/friends/search?q={}", wanted.replace(' ', "%20"));
        assert_eq!(
            data(&alice.get(&path))[0]["username"],
            if name == "BOB" { "BOB" } else { wanted }
        );
    }
}

#[test]
fn a_word_with_a_request_is_optional_and_not_too_long() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    for message in [json!("x".repeat(1_001)), json!("a\u{0}b"), json!(7)] {
        let ask = json!({"user_id": bob.id, "message": message});
        let details = refused(&alice.post("/friends/request", &ask), 422, "VALIDATION");
        assert!(details["message"].is_string(), "{details}");
    }
    let ask = json!({"user_id": bob.id, "message": null});
    done(&alice.post("/friends/request", &ask), "好友请求已发送");
    assert_eq!(data(&bob.get("/friends/requests"))[0]["message"], "");
}

#[test]
fn a_friend_is_seen_as_chosen_while_there_and_offline_otherwise() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    alice.befriend(&bob);
    let seen = || super::text(&data(&alice.get("/friends"))[0]["status"]);
    assert_eq!(seen(), "offline");
    let mut live = bob.connect();
    live.ping();
    assert_eq!(seen(), "online");
    data(&bob.put("/user/status", &json!({"status": "away"})));
    assert_eq!(seen(), "away");
    drop(live);
    super::wait_until("bob is gone", || seen() == "offline");
}

#[test]
fn an_answer_that_comes_late_never_meets_somebody_elses_request() {
    let world = World::start();
    let [alice, bob, mallory] = ["alice", "bob", "mallory"].map(|name| Someone::new(&world, name));
    let ask = |who: &Someone| who.post("/friends/request", &json!({"user_id": bob.id}));
    done(&ask(&alice), "好友请求已发送");
    let request = data(&bob.get("/friends/requests"))[0]["request_id"].clone();
    let answer = |action: &str| {
        bob.put(
            &format!("/friends/request/{request}"),
            &json!({"action": action}),
        )
    };
    done(&answer("reject"), "好友请求已处理");
    done(&ask(&mallory), "好友请求已发送");
    refused(&answer("accept"), 404, "NOT_FOUND");
    assert_eq!(data(&bob.get("/friends")), json!([]));
}

#[test]
fn a_search_for_an_address_finds_its_owner_first_however_many_names_hold_it() {
    let world = World::start();
    let [alice, owner] = ["alice", "zed"].map(|name| Someone::new(&world, name));
    for number in 0..51 {
        world.register(&format!("bob{number:02} zed@example.org"));
    }
    let found = |text: &str| -> Vec<String> {
        let found = data(&alice.get(&format!("/friends/search?q={text}")));
        let found = found.as_array().expect("a list").iter();
        found.map(|user| super::text(&user["username"])).collect()
    };
    let by_address = found("Zed@Example.org");
    assert_eq!(by_address.len(), 50);
    assert_eq!(by_address[..2], ["zed", "bob00 zed@example.org"]);
    // Who is called so is meant before who has the address.
    world.register("zed@example.org");
    let by_both = found("zed@example.org");
    assert_eq!(by_both[..2], ["zed@example.org", "zed"]);
    assert_eq!(by_both.len(), 50);
    let own = data(&owner.get("/friends/search?q=zed@example.org"));
    assert!(
        own.as_array()
            .expect("a list")
            .iter()
            .all(|user| user["id"] != owner.id)
    );
}

#[test]
fn one_address_has_one_account_and_is_found_however_its_marks_are_written() {
    const COMPOSED: &str = "j\u{e9}";
    const IN_PIECES: &str = "je\u{301}";
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let account = |username: &str, name: &str| {
        let email = format!("{name}@x.org");
        world.post(
            "/api/v1/auth/register",
            &json!({"username": username, "email": email, "password": "12345678", "confirm_password": "12345678"}),
        )
    };
    let owner = data(&account("owner", IN_PIECES));
    assert_eq!(owner["email"], format!("{COMPOSED}@x.org"));
    for name in [COMPOSED, IN_PIECES, "JE\u{301}"] {
        refused(&account("other", name), 409, "USER_003");
        let change = json!({"email": format!("{name}@x.org")});
        refused(&alice.put("/user/profile", &change), 409, "USER_003");
        let found = data(&alice.get(&format!("/friends/search?q={name}@x.org")));
        assert_eq!(found[0]["username"], "owner", "{name:?}");
    }
    data(&account("J\u{e9}", "first"));
    data(&account(COMPOSED, "second"));
    for name in [COMPOSED, IN_PIECES] {
        let found = data(&alice.get(&format!("/friends/search?q={name}")));
        assert_eq!(found[0]["username"], COMPOSED, "{name:?}");
    }
}

#[test]
fn a_thousand_requests_wait_for_somebody_and_no_more() {
    let mut world = World::start();
    let names = ["alice", "bob"];
    let [alice, bob] = names
        .map(|name| Someone::new(&world, name))
        .map(|who| (who.id, who.token));
    world.bring_askers(alice.0, 1_000, "");
    let call = |method: reqwest::Method, path: &str, token: &str, body: &serde_json::Value| {
        let request = world.request(method, path).bearer_auth(token);
        crate::world::Reply::to(request.json(body))
    };
    let post = reqwest::Method::POST;
    let ask = || {
        let ask = json!({"user_id": alice.0});
        call(post.clone(), "/api/v1/friends/request", &bob.1, &ask)
    };
    let refused_for_now = ask();
    refused(&refused_for_now, 503, "INTERNAL");
    assert_eq!(refused_for_now.header("retry-after"), Some("3600"));
    let by_secure_im = call(
        post.clone(),
        "/me/contacts",
        &bob.1,
        &json!({"friend_id": alice.0}),
    );
    assert_eq!(by_secure_im.status, 503, "{by_secure_im:?}");
    let path = "/api/v1/friends/requests";
    let waiting = data(&call(reqwest::Method::GET, path, &alice.1, &json!({})));
    assert_eq!(waiting.as_array().map(Vec::len), Some(1_000));
    let path = format!("/api/v1/friends/request/{}", waiting[0]["request_id"]);
    let answer = call(
        reqwest::Method::PUT,
        &path,
        &alice.1,
        &json!({"action": "reject"}),
    );
    done(&answer, "好友请求已处理");
    done(&ask(), "好友请求已发送");
}
