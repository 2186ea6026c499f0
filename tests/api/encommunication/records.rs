//! `/chatRecords`: what was said, with the keys of that time.

use serde_json::{Value, json};

use super::people::{join, log_in};
use crate::world::{Reply, World};
use reqwest::Method;

fn texts(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .filter_map(|record| record["message"].as_str())
        .collect()
}

#[test]
fn records_are_a_bare_list_of_both_directions_oldest_first() {
    let world = World::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| join(&world, name));
    assert_eq!(alice.records(bob.id), Vec::<Value>::new());
    let (mut of_alice, mut of_bob) = (alice.connect(), bob.connect());
    of_alice.send(&alice.frame(&bob, "一", "a1"));
    of_bob.frame();
    of_bob.send(&bob.frame(&alice, "二", "b1"));
    of_alice.frame();
    of_alice.send(&alice.frame(&carol, "not here", "a2"));
    carol.records_once_there_are(1, alice.id);
    let records = alice.records(bob.id);
    assert_eq!(records, bob.records(alice.id), "the same from either side");
    assert_eq!(texts(&records), ["一", "二"]);
    let (id, create_time) = (&records[1]["id"], &records[1]["createTime"]);
    let expected = json!({
        "id": id, "fromId": bob.id, "toId": alice.id, "message": "二",
        "fromAesKey": "b1", "toAesKey": "a1", "createTime": create_time,
    });
    assert_eq!(records[1], expected);
    assert!(records[0]["id"].as_i64() < id.as_i64());
    let instant = create_time.as_str().expect("a text");
    chrono::DateTime::parse_from_rfc3339(instant).expect("an instant");
}

#[test]
fn a_later_key_never_changes_an_earlier_record() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let (mut of_alice, mut of_bob) = (alice.connect(), bob.connect());
    of_bob.send(&bob.frame(&alice, "", "b1"));
    of_alice.frame();
    of_alice.send(&alice.frame(&bob, "one", "a1"));
    of_bob.frame();
    let before = alice.records(bob.id);
    of_bob.send(&bob.frame(&alice, "", "b2"));
    of_alice.frame();
    of_alice.send(&alice.frame(&bob, "two", "a2"));
    of_bob.frame();
    let after = alice.records(bob.id);
    assert_eq!(after[0], before[0]);
    assert_eq!(
        (&after[1]["fromAesKey"], &after[1]["toAesKey"]),
        (&json!("a2"), &json!("b2"))
    );
}

#[test]
fn records_need_the_token_of_the_one_who_asks() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let ask = |headers: &[(&str, &str)], query: &[(&str, &str)]| {
        let mut request = world.request(Method::GET, "/chatRecords");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let ids = [("fromId", alice.id), ("toId", bob.id)];
        Reply::to(request.query(&ids).query(query))
    };
    let bearer = format!("Bearer {}", alice.token);
    assert_eq!(ask(&[("token", &alice.token)], &[]).status, 200);
    assert_eq!(ask(&[("Authorization", &bearer)], &[]).status, 200);
    assert_eq!(ask(&[], &[("token", &alice.token)]).status, 200);
    for refused in [
        ask(&[], &[]),
        ask(&[("token", "")], &[]),
        ask(&[("token", "nonsense")], &[]),
        ask(&[("token", &format!("{}x", alice.token))], &[]),
        ask(&[("token", "nonsense")], &[("token", &alice.token)]),
    ] {
        assert_eq!(refused.status, 401, "{refused:?}");
        assert_eq!(refused.json()["code"], 0);
        assert_eq!(refused.json()["data"], Value::Null);
    }
    let foreign = ask(&[("token", &bob.token)], &[]);
    assert_eq!(foreign.status, 403);
    assert_eq!(foreign.json()["code"], 0);
}

#[test]
fn no_number_in_place_of_a_peer_opens_the_records_of_two_others() {
    let world = World::start();
    let [eve, dave, bob, carol] = ["eve", "dave", "bob", "carol"].map(|name| join(&world, name));
    let letter = json!({"user_id": "bob", "receiver_id": "carol", "encrypted_content": "secret"});
    world.post("/messages/send", &letter).ok();
    assert_eq!(texts(&bob.records(carol.id)), ["secret"]);
    // What the two ids make when they are packed into one number, and its neighbours.
    let packed = bob.id << 31 | carol.id;
    for id in [
        packed,
        packed ^ eve.id << 31,
        -packed,
        1 << 31,
        i64::MAX,
        i64::MIN,
    ] {
        for caller in [&eve, &dave, &bob] {
            assert_eq!(caller.records(id), Vec::<Value>::new(), "{id}");
        }
    }
}

#[test]
fn ids_that_are_missing_or_no_integers_are_refused() {
    let world = World::start();
    let alice = join(&world, "alice");
    let ask = |query: &str| {
        let path = format!("/chatRecords?{query}");
        Reply::to(
            world
                .request(Method::GET, &path)
                .header("token", &alice.token),
        )
        .status
    };
    let id = alice.id;
    for query in [
        "",
        &format!("fromId={id}"),
        "toId=1",
        "fromId=x&toId=1",
        "fromId=&toId=1",
    ] {
        assert_eq!(ask(query), 400, "{query}");
    }
    for more in [
        "toId=1.5",
        "toId=1&limit=0",
        "toId=1&limit=x",
        "toId=1&limit=-1",
        "toId=1&before=x",
    ] {
        assert_eq!(ask(&format!("fromId={id}&{more}")), 400, "{more}");
    }
    assert_eq!(
        ask(&format!("fromId={id}&toId=999999")),
        200,
        "nobody said nothing"
    );
}

#[test]
fn a_page_is_the_newest_below_a_record_and_all_come_without_one() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| join(&world, name));
    let (mut of_alice, mut of_bob) = (alice.connect(), bob.connect());
    // More than are read at once, and once more than fit into one piece by their size.
    let large = "x".repeat(2 << 20);
    let text = |n: usize| if n % 400 == 7 { &large } else { "" }.to_owned() + &n.to_string();
    for n in 0..1_100 {
        of_alice.send(&alice.frame(&bob, &text(n), "k"));
        assert_eq!(of_bob.frame()["message"], text(n));
    }
    let all = bob.records(alice.id);
    assert_eq!(all.len(), 1_100);
    assert!(
        all.iter()
            .enumerate()
            .all(|(n, record)| record["message"] == text(n))
    );

    let page = |query: &[(&str, String)]| {
        let query = [&[("toId", alice.id.to_string())], query].concat();
        bob.ask_records(&query)
            .json()
            .as_array()
            .expect("a list")
            .clone()
    };
    let limit = |limit: usize| ("limit", limit.to_string());
    let before = |n: usize| ("before", all[n]["id"].to_string());
    assert_eq!(page(&[limit(3)]), all[1_097..]);
    assert_eq!(page(&[limit(3), before(1_097)]), all[1_094..1_097]);
    assert_eq!(page(&[limit(600), before(1_000)]), all[400..1_000]);
    assert_eq!(page(&[limit(5), before(2)]), all[..2]);
    assert_eq!(page(&[limit(5), before(0)]), all[..0]);
    assert_eq!(page(&[before(10)]), all[..10]);
    assert_eq!(page(&[limit(1_000_000)]), all);
    let again = log_in(&world, "bob");
    assert_eq!(again.records(alice.id).len(), 1_100);
}
