//! Messages: sending, histories page by page, reading, taking back.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{Someone, data, done, is_instant, refused};
use crate::world::{World, as_float};

#[test]
fn a_message_is_answered_as_it_was_stored() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let sent = data(&alice.post(
        "/messages",
        &json!({"receiver_id": bob.id, "content": "Hello, World!", "message_type": "text"}),
    ));
    assert!(is_instant(&sent["timestamp"]));
    let mut expected = json!({
        "id": sent["id"], "sender_id": alice.id, "receiver_id": bob.id, "content": "Hello, World!",
        "message_type": "text", "timestamp": sent["timestamp"], "is_encrypted": false,
    });
    assert_eq!(sent, expected);
    expected["is_read"] = json!(false);
    assert_eq!(alice.history(&bob), [expected.clone()]);
    assert_eq!(bob.history(&alice), [expected]);
    for kind in ["text", "image", "file", "audio", "video"] {
        let body = json!({"receiver_id": bob.id, "content": "c2VhbGVk", "message_type": kind, "is_encrypted": true});
        let sent = data(&alice.post("/messages", &body));
        assert_eq!(
            (&sent["message_type"], &sent["is_encrypted"]),
            (&json!(kind), &json!(true))
        );
    }
}

#[test]
fn a_message_that_breaks_a_rule_names_the_field() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    for (field, body) in [
        ("receiver_id", json!({"content": "x"})),
        ("receiver_id", json!({"receiver_id": "two", "content": "x"})),
        ("content", json!({"receiver_id": alice.id})),
        ("content", json!({"receiver_id": alice.id, "content": ""})),
        (
            "content",
            json!({"receiver_id": alice.id, "content": "a\u{0}b"}),
        ),
        (
            "content",
            json!({"receiver_id": alice.id, "content": "x".repeat((8 << 20) + 1)}),
        ),
        (
            "message_type",
            json!({"receiver_id": alice.id, "content": "x", "message_type": "smell"}),
        ),
        (
            "is_encrypted",
            json!({"receiver_id": alice.id, "content": "x", "is_encrypted": "yes"}),
        ),
    ] {
        let details = refused(&alice.post("/messages", &body), 422, "VALIDATION");
        assert!(details[field].is_string(), "{field}: {details}");
    }
    refused(
        &alice.post("/messages", &json!({"receiver_id": 99_999, "content": "x"})),
        404,
        "USER_001",
    );
}

#[test]
fn the_id_of_a_user_may_be_text_as_in_a_form_or_a_whole_float() {
    let world = World::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Someone::new(&world, name));
    for (to, id) in [
        (&bob, json!(bob.id.to_string())),
        (&carol, as_float(carol.id)),
    ] {
        let sent = data(&alice.post("/messages", &json!({"receiver_id": id, "content": "x"})));
        assert_eq!(sent["receiver_id"], to.id);
        let asked = alice.post("/friends/request", &json!({"user_id": id}));
        done(&asked, "好友请求已发送");
        let (mut calling, mut called) = (alice.connect(), to.connect());
        called.ping();
        let call = json!({"call_id": "c-1", "to_user_id": id});
        calling.say(&json!({"type": "voice_call_invite", "data": call}));
        assert_eq!(called.next_of("voice_call_invite")["call_id"], "c-1");
    }
}

#[test]
fn a_page_too_large_for_one_piece_is_complete_and_in_order() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let contents: Vec<String> = ('a'..='h')
        .map(|letter| {
            letter
                .to_string()
                .repeat(if letter < 'g' { 600 << 10 } else { 1 })
        })
        .collect();
    let ids: Vec<i64> = contents
        .iter()
        .map(|content| alice.send(&bob, content))
        .collect();
    for (limit, page, range) in [(5, 1, 3..8), (5, 2, 0..3), (4, 2, 0..4), (1, 8, 0..1)] {
        let path = format!("/messages/{}?limit={limit}&page={page}", bob.id);
        let data = data(&alice.get(&path));
        let pages = 8_i64.div_euclid(limit) + i64::from(8 % limit > 0);
        let pagination = json!({"page": page, "limit": limit, "total": 8, "pages": pages});
        assert_eq!(data["pagination"], pagination);
        let messages = data["messages"].as_array().expect("a list");
        let told: Vec<_> = messages
            .iter()
            .map(|message| (message["id"].as_i64(), message["content"].as_str()))
            .collect();
        let expected: Vec<_> = range
            .map(|n| (Some(ids[n]), Some(contents[n].as_str())))
            .collect();
        assert!(told == expected, "page {page}: {} messages", told.len());
    }
}

#[test]
fn page_one_is_the_newest_and_each_page_is_in_order() {
    let world = World::start();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| Someone::new(&world, name));
    let ids: Vec<i64> = (0..7)
        .map(|n| {
            if n % 2 == 0 {
                alice.send(&bob, "x")
            } else {
                bob.send(&alice, "y")
            }
        })
        .collect();
    eve.send(&bob, "of no concern");
    let page = |page: i64, limit: i64| {
        let data = data(&alice.get(&format!("/messages/{}?page={page}&limit={limit}", bob.id)));
        let ids: Vec<i64> = data["messages"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|m| m["id"].as_i64())
            .collect();
        (ids, data["pagination"].clone())
    };
    let pagination =
        |page, limit, pages| json!({"page": page, "limit": limit, "total": 7, "pages": pages});
    assert_eq!(page(1, 3), (ids[4..].to_vec(), pagination(1, 3, 3)));
    assert_eq!(page(2, 3), (ids[1..4].to_vec(), pagination(2, 3, 3)));
    assert_eq!(page(3, 3), (ids[..1].to_vec(), pagination(3, 3, 3)));
    assert_eq!(page(4, 3), (Vec::new(), pagination(4, 3, 3)));
    assert_eq!(page(1, 7), (ids.clone(), pagination(1, 7, 1)));
    assert_eq!(page(1, 1_000), (ids, pagination(1, 200, 1)));
    assert_eq!(page(i64::MAX, 200).0, [0; 0]);
    let huge = "9".repeat(40);
    let cut = data(&alice.get(&format!("/messages/{}?limit={huge}", bob.id)));
    assert_eq!(cut["pagination"], pagination(1, 200, 1));
    let far = data(&alice.get(&format!("/messages/{}?page={huge}", bob.id)));
    assert_eq!(far["messages"], json!([]));
    let usual = data(&alice.get(&format!("/messages/{}", bob.id)));
    assert_eq!(usual["pagination"], pagination(1, 50, 1));
    for query in [
        "page=0", "limit=0", "page=-1", "limit=x", "page=1.5", "page=", "limit=",
    ] {
        refused(
            &alice.get(&format!("/messages/{}?{query}", bob.id)),
            422,
            "VALIDATION",
        );
    }
    let none = data(&alice.get(&format!("/messages/{}", eve.id)));
    assert_eq!(
        none,
        json!({"messages": [], "pagination": {"page": 1, "limit": 50, "total": 0, "pages": 0}})
    );
    refused(&alice.get("/messages/99999"), 404, "USER_001");
    refused(&alice.get("/messages/bob"), 422, "VALIDATION");
}

#[test]
fn the_total_is_exact_on_every_page_whatever_comes_and_goes() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let totals = || -> Vec<Value> {
        let pages = ["limit=2", "limit=2&page=2", "limit=2&page=99", "limit=200"];
        let total = |query| {
            let page = data(&bob.get(&format!("/messages/{}?{query}", alice.id)));
            page["pagination"]["total"].clone()
        };
        pages.map(total).to_vec()
    };
    let mut ids = Vec::new();
    for (sent, taken_back) in [(1, 0), (1, 1), (5, 0), (0, 2), (3, 1), (0, 6)] {
        ids.extend((0..sent).map(|_| alice.send(&bob, "x")));
        // The oldest, the newest, the oldest, and so on.
        for turn in 0..taken_back {
            let id = ids.remove(if turn % 2 == 0 { 0 } else { ids.len() - 1 });
            done(&alice.delete(&format!("/messages/{id}")), "消息已删除");
        }
        assert_eq!(totals(), vec![json!(ids.len()); 4]);
    }
    assert_eq!(ids.len(), 0);
}

#[test]
fn the_total_agrees_with_the_page_while_messages_come_and_go() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..150 {
                let id = alice.send(&bob, "x");
                done(&alice.delete(&format!("/messages/{id}")), "消息已删除");
            }
            is_over.store(true, Ordering::Release);
        });
        while !is_over.load(Ordering::Acquire) {
            let page = data(&bob.get(&format!("/messages/{}", alice.id)));
            let shown = page["messages"].as_array().map(Vec::len);
            assert_eq!(json!(shown), page["pagination"]["total"], "{page}");
        }
    });
}

#[test]
fn only_the_receiver_marks_as_read_and_only_the_sender_takes_back() {
    let world = World::start();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| Someone::new(&world, name));
    let id = alice.send(&bob, "secret");
    let (one, read) = (format!("/messages/{id}"), format!("/messages/{id}/read"));
    for outsider in [&alice, &eve] {
        refused(&outsider.put(&read, &Value::Null), 403, "MESSAGE_002");
    }
    for _ in 0..2 {
        done(&bob.put(&read, &Value::Null), "消息已标记为已读");
    }
    assert_eq!(alice.history(&bob)[0]["is_read"], true);
    for outsider in [&bob, &eve] {
        refused(&outsider.delete(&one), 403, "MESSAGE_002");
    }
    done(&alice.delete(&one), "消息已删除");
    assert_eq!(bob.history(&alice), Vec::<Value>::new());
    refused(&alice.delete(&one), 404, "MESSAGE_001");
    refused(&bob.put(&read, &Value::Null), 404, "MESSAGE_001");
    refused(&bob.delete("/messages/seven"), 422, "VALIDATION");
    refused(
        &bob.delete("/messages/99999999999999999999"),
        404,
        "MESSAGE_001",
    );
}

#[test]
fn what_was_sent_through_message_store_stands_in_the_history() {
    let world = World::start();
    let (alice, bob) = (Someone::new(&world, "alice"), Someone::new(&world, "bob"));
    let mut live = bob.connect();
    live.ping();
    let letter = json!({"user_id": "alice", "receiver_id": "bob", "encrypted_content": "sealed"});
    let id = world.post("/messages/send", &letter).ok()["message_id"].clone();
    assert_eq!(
        live.next_of("new_message"),
        json!({"id": id, "sender_id": alice.id, "sender_username": "alice", "content": "sealed", "message_type": "text", "is_encrypted": true})
    );
    assert_eq!(bob.history(&alice)[0]["id"], id);
    assert_eq!(bob.history(&alice)[0]["is_encrypted"], true);
}

#[test]
fn no_number_in_place_of_a_friend_opens_the_history_of_two_others() {
    let world = World::start();
    let names = ["eve", "dave", "bob", "carol"];
    let [eve, dave, bob, carol] = names.map(|name| Someone::new(&world, name));
    bob.send(&carol, "secret");
    // What the two ids make when they are packed into one number, and its neighbours.
    let packed = bob.id << 31 | carol.id;
    for id in [
        packed,
        packed ^ eve.id << 31,
        -packed,
        1 << 31,
        i64::MAX,
        i64::MIN,
        0,
        -1,
    ] {
        for caller in [&eve, &dave, &bob] {
            refused(&caller.get(&format!("/messages/{id}")), 404, "USER_001");
        }
    }
}

#[test]
fn a_permission_granted_elsewhere_gives_no_right_to_read_or_take_back_here() {
    let world = World::start();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| Someone::new(&world, name));
    let id = alice.send(&bob, "secret");
    for access in ["read", "write", "admin"] {
        let path = crate::world::permission_path(id);
        let grant = json!({"user_id": "alice", "target_user_id": "eve", "permission_type": access});
        world.post(&path, &grant).ok();
        refused(&eve.delete(&format!("/messages/{id}")), 403, "MESSAGE_002");
        refused(
            &eve.put(&format!("/messages/{id}/read"), &Value::Null),
            403,
            "MESSAGE_002",
        );
        assert_eq!(eve.history(&alice), Vec::<Value>::new());
    }
}

#[test]
fn a_page_far_back_is_as_exact_as_the_first() {
    let mut world = World::start();
    let names = ["alice", "bob"];
    let [alice, bob] = names
        .map(|name| Someone::new(&world, name))
        .map(|who| (who.id, who.token));
    world.bring_letters(alice.0, bob.0, 2_500);
    let page = |page: i64| {
        let path = format!("/api/v1/messages/{}?limit=2&page={page}", bob.0);
        let request = world.request(reqwest::Method::GET, &path);
        let data = data(&crate::world::Reply::to(request.bearer_auth(&alice.1)));
        assert_eq!(
            data["pagination"],
            json!({"page": page, "limit": 2, "total": 2_500, "pages": 1_250})
        );
        let messages = data["messages"].as_array().expect("a list");
        let ids = messages.iter().filter_map(|message| message["id"].as_i64());
        ids.collect::<Vec<i64>>()
    };
    let newest = page(1)[1];
    for (number, end) in [(2, 2), (501, 1_000), (502, 1_002), (1_250, 2_498)] {
        assert_eq!(page(number), [newest - end - 1, newest - end], "{number}");
    }
    for number in [1_251, i64::MAX] {
        assert_eq!(page(number), [0; 0], "{number}");
    }
}
