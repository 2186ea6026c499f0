//! The agent's local API, as the published client answers, and what guards it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::agent_world::{Agent, good, refused};
use crate::operations_start::assert_one_line;
use crate::relay_stub::{Relay, seal};
use crate::world::{as_float, ended, program, wait_for};

#[test]
fn registering_and_logging_in_answer_as_published() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let body = json!({"username": "张三", "password": "p", "repassword": "p"});
    let (status, answer) = agent.post("/api/register", &body);
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({"code": 1, "msg": "注册成功", "data": {"id": 1, "username": "张三"}})
    );
    let (status, answer) = agent.post("/api/login", &body);
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({"code": 1, "msg": "登录成功",
            "data": {"token": "1-1", "id": 1, "username": "张三"}})
    );
    let me = good(agent.get("/api/me"));
    assert_eq!(me["users"], json!([{"id": 1, "username": "张三"}]));
    assert_eq!(me["server"]["url"], relay.url);
    assert_eq!(me["server"]["changed"], Value::Null);
    let online = good(agent.get("/api/online_users"));
    assert_eq!(online, json!({"users": {"1": "张三"}}));
    good(agent.post("/api/logout", &json!({"id": 1})));
    assert_eq!(good(agent.get("/api/me"))["users"], json!([]));
}

#[test]
fn what_the_server_refuses_is_refused_in_its_words() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    agent.register("alice");
    let body = json!({"username": "alice", "password": "x", "repassword": "x"});
    assert_eq!(
        refused(agent.post("/api/register", &body), 400),
        "用户名已存在"
    );
    assert_eq!(
        refused(agent.post("/api/login", &body), 400),
        "用户名或密码错误"
    );
    let body = json!({"username": "bob", "password": "x", "repassword": "y"});
    assert_eq!(
        refused(agent.post("/api/register", &body), 400),
        "两次密码不一致"
    );
    for body in [
        json!({}),
        json!([]),
        json!({"username": "a"}),
        json!({"username": 1}),
    ] {
        refused(agent.post("/api/login", &body), 400);
        refused(agent.post("/api/register", &body), 400);
    }
    agent.login("alice");
}

#[test]
fn keys_whose_registration_was_not_answered_are_used_if_the_server_has_them() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    agent.register("alice");
    relay.forget("alice");
    relay.lose_answer();
    let body = json!({"username": "alice", "password": "q", "repassword": "q"});
    refused(agent.post("/api/register", &body), 500);
    refused(agent.post("/api/register", &body), 400);
    let id = good(agent.post("/api/login", &body))["id"].clone();
    let bob = agent.person("bob");
    let shown = bob.peer(id.as_i64().expect("a number"), |_| true);
    let own = good(agent.get(&format!("/api/fingerprint?user={id}")));
    assert_eq!(own["fingerprint"], shown["fingerprint"]);
}

#[test]
fn a_server_that_is_away_is_said_to_be() {
    let agent = Agent::start("http://127.0.0.1:9");
    let body = json!({"username": "alice", "password": "p"});
    assert_eq!(
        refused(agent.post("/api/login", &body), 500),
        "无法连接服务器"
    );
}

#[test]
fn two_people_on_two_agents_write_both_ways_and_read_it_all_again() {
    let relay = Relay::start();
    let (here, there) = (Agent::start(&relay.url), Agent::start(&relay.url));
    let (alice, bob) = (here.person("alice"), there.person("bob"));
    let (at_alice, at_bob) = (here.stream(), there.stream());
    alice.sees(bob.id);
    alice.send(bob.id, "你好");
    let event = at_bob.message();
    assert_eq!(event["fromId"], alice.id);
    assert_eq!(event["content"], "你好");
    assert_eq!(event["toId"], bob.id);
    bob.peer(alice.id, |shown| shown["unread"] == 1);
    bob.send(alice.id, "<b>hi</b>");
    assert_eq!(at_alice.message()["content"], "<b>hi</b>");

    for person in [(&alice, bob.id), (&bob, alice.id)] {
        assert_eq!(person.0.texts(person.1), ["你好", "<b>hi</b>"]);
    }
    bob.peer(alice.id, |shown| shown["unread"] == 0);
    let stored = serde_json::to_string(&relay.records()).expect("JSON");
    assert!(!stored.contains("你好") && !stored.contains("hi</b>"));
}

#[test]
fn two_people_on_one_agent_write_to_each_other() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let (alice, bob) = (agent.person("alice"), agent.person("bob"));
    alice.sees(bob.id);
    let stream = agent.stream();
    alice.send(bob.id, "one");
    let sent = stream.next(|event| event["type"] == "sent");
    let expected = json!({"type": "sent", "user": alice.id, "peer": bob.id, "text": "one"});
    assert_eq!(sent, expected);
    assert_eq!(stream.message()["content"], "one");
    assert_eq!(bob.texts(alice.id), ["one"]);
}

#[test]
fn a_record_has_the_published_fields_and_pages_go_backwards() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    for number in 1..=5 {
        bob.write(alice.id, &format!("n{number}"), [7; 32], true);
    }
    let path = format!("/api/chat/records?fromId={}&toId={}", alice.id, bob.id);
    let all = good(agent.get(&path));
    let expected = json!({"id": 1, "fromId": bob.id, "toId": alice.id, "chat": "n1",
        "createTime": "2026-01-01T00:00:00Z"});
    assert_eq!(all["records"][0], expected);
    assert_eq!(all["next"], Value::Null);
    let text = agent.http.get(format!("{}{path}", agent.url)).send();
    let text = text
        .and_then(reqwest::blocking::Response::text)
        .expect("an answer");
    let start =
        r#"{"code":1,"msg":"ok","data":{"records":[{"id":1,"fromId":2,"toId":1,"chat":"n1","#;
    assert!(text.starts_with(start), "{text}");

    let newest = good(agent.get(&format!("{path}&limit=2")));
    assert_eq!(newest["records"][0]["chat"], "n4");
    assert_eq!(newest["next"], 4);
    let older = good(agent.get(&format!("{path}&limit=3&before=4")));
    assert_eq!(older["records"][2]["chat"], "n3");
    let oldest = good(agent.get(&format!("{path}&limit=3&before=1")));
    assert_eq!(oldest, json!({"records": [], "next": null}));
}

#[test]
fn what_cannot_be_opened_is_marked_as_published() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    let stream = agent.stream();
    // A key that is for somebody else, content that is bent, no keys at all, no text inside.
    bob.send(alice.id, &seal([1; 32], "x"), "AAAA");
    assert_eq!(stream.message()["content"], "[无法解密消息]");
    bob.offer(alice.id, [7; 32]);
    let offered = relay.frame(alice.id, bob.id, |frame| frame["message"] == "");
    assert!(offered["aesKey"].is_string());
    let wrapped = relay.frame(bob.id, alice.id, |frame| frame["message"] == "");
    let wrapped = wrapped["aesKey"].as_str().expect("a key");
    bob.send(alice.id, "AAAA", wrapped);
    assert_eq!(stream.message()["content"], "[解密失败]");
    relay.store(
        bob.id,
        alice.id,
        &seal([2; 32], "y"),
        [Value::Null, Value::Null],
    );
    relay.store(bob.id, alice.id, "plain words", [json!(""), json!("*")]);
    relay.store(
        bob.id,
        alice.id,
        &seal([7; 32], "z"),
        [json!(wrapped), Value::Null],
    );
    assert_eq!(
        alice.texts(bob.id),
        [
            "[无法解密消息]",
            "[解密失败]",
            "[无法解密消息]",
            "[无法解密消息]",
            "z"
        ]
    );
}

#[test]
fn ids_are_numbers_or_numeric_strings_and_everything_else_is_refused() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    alice.sees(bob.id);
    for [from, to] in [
        [alice.id, bob.id].map(|id| json!(id.to_string())),
        [alice.id, bob.id].map(as_float),
    ] {
        let body = json!({"from_id": from, "target_id": to, "message": "hi"});
        let (status, answer) = agent.post("/api/send_message", &body);
        assert_eq!(status, 200);
        assert_eq!(answer, json!({"code": 1, "msg": "ok", "data": null}));
    }
    for body in [
        json!({}),
        json!("text"),
        json!({"from_id": alice.id, "target_id": "x", "message": "hi"}),
        json!({"from_id": alice.id, "target_id": 1.5, "message": "hi"}),
        json!({"from_id": alice.id, "target_id": bob.id}),
        json!({"from_id": alice.id, "target_id": bob.id, "message": ""}),
        json!({"from_id": 99, "target_id": bob.id, "message": "hi"}),
    ] {
        refused(agent.post("/api/send_message", &body), 400);
    }
    let request = agent.http.post(format!("{}/api/send_message", agent.url));
    let response = request.body("from_id=1").send().expect("an answer");
    assert_eq!(response.status(), 400);
    for query in [
        "",
        "?fromId=1",
        "?fromId=1&toId=x",
        "?fromId=99&toId=1",
        "?toId=1",
    ] {
        refused(agent.get(&format!("/api/chat/records{query}")), 400);
    }
}

#[test]
fn a_message_to_nobody_known_cannot_be_sent() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let answer = alice.try_send(99, "hi");
    assert_eq!(refused(answer, 500), "发送失败: 客户端未就绪");
}

#[test]
fn a_message_past_the_limit_is_refused_in_clear_words() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    alice.sees(bob.id);
    let words = refused(alice.try_send(bob.id, &"x".repeat(9 << 20)), 400);
    assert!(words.contains("6 MiB"), "{words}");
    let picture = "x".repeat(8 << 20);
    alice.send(bob.id, &picture);
    let frame = relay.frame(alice.id, bob.id, |frame| frame["message"] != "");
    assert!(bob.open(&frame) == picture);
}

#[test]
fn what_a_local_program_pushes_reaches_every_stream() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let streams = [agent.stream(), agent.stream()];
    let (status, answer) = agent.post("/push", &json!({"消息内容": [1, "二\n"]}));
    assert_eq!((status, answer), (200, json!({"status": "ok"})));
    for stream in streams {
        assert_eq!(stream.message(), json!({"消息内容": [1, "二\n"]}));
    }
}

#[test]
fn what_is_pushed_is_passed_on_as_it_was_written_whatever_json_it_is() {
    let agent = Agent::start("http://127.0.0.1:9");
    let stream = agent.http.get(format!("{}/api/stream", agent.url)).send();
    let lines = BufReader::new(stream.expect("a stream")).lines();
    let lines = lines.map(|line| line.expect("text"));
    let mut events = lines.filter(|line| line.starts_with("data: "));
    let push = |body: &[u8]| {
        let request = agent.http.post(format!("{}/push", agent.url));
        let response = request.body(body.to_owned()).send();
        response.expect("an answer").status().as_u16()
    };
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for json in [
        "1e400",
        r#""\ud800""#,
        &deep,
        r#"{"b":1,"a":123456789012345678901234567890,"b":1.10}"#,
        r#"{ "消息" : "\u6d88\n" }"#,
    ] {
        assert_eq!(push(json.as_bytes()), 200, "{json}");
        assert_eq!(events.next(), Some(format!("data: {json}")));
    }
    assert_eq!(push(b"\n{\r\n\"a\":\n1}\n"), 200);
    assert_eq!(events.next().as_deref(), Some("data: {  \"a\": 1}"));
    let broken: [&[u8]; 6] = [b"", b"{", b"[1] [2]", b"\"a\nb\"", b"\"\xff\"", b"01"];
    for body in broken {
        assert_eq!(push(body), 400);
    }
}

#[test]
fn the_pages_may_load_nothing_from_elsewhere() {
    let agent = Agent::start("http://127.0.0.1:9");
    for path in ["/", "/users", "/chat/7", "/page/index.html"] {
        let response = agent.http.get(format!("{}{path}", agent.url)).send();
        let response = response.expect("a page");
        assert_eq!(response.status(), 200, "{path}");
        let policy = response.headers()["content-security-policy"].to_str();
        let policy = policy.expect("text");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
    }
    let opened = agent.http.get(format!("{}/api/me", agent.url)).send();
    let opened = opened.expect("an answer");
    assert_eq!(opened.headers()["cache-control"], "no-store");
    for path in ["/page/nothing.js", "/page/..%2fmod.rs", "/api/nothing"] {
        assert_eq!(refused(agent.get(path), 404), "Not Found");
    }
}

#[test]
fn any_username_keeps_its_keys_inside_the_store_and_to_its_owner() {
    let relay = Relay::start();
    let mut agent = Agent::start(&relay.url);
    let long = "长".repeat(200);
    let names = ["../../evil", "a/b", "..", "\"'\\;", long.as_str()];
    for name in names {
        let person = agent.person(name);
        person.send(person.id, "note to self");
        wait_for(|| (person.texts(person.id) == ["note to self"]).then_some(()));
    }
    agent.restart();
    for name in names {
        let person = agent.login(name);
        assert_eq!(person.texts(person.id), ["note to self"], "{name}");
    }
    let entries: Vec<_> = std::fs::read_dir(agent.home())
        .expect("a directory")
        .collect();
    assert_eq!(entries.len(), 1);
    let mut open = vec![agent.home().join("keys")];
    while let Some(path) = open.pop() {
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        if path.is_dir() {
            let entries = std::fs::read_dir(path).expect("a directory");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
    }
}

#[test]
fn an_agent_listens_on_this_machine_only() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let everywhere = ["agent", "--address", "0.0.0.0", "--port", "0"];
    let output = ended(program().args(everywhere).current_dir(home.path()));
    assert_one_line(&output, "it listens on loopback addresses only");
}

#[test]
fn a_form_field_cannot_change_the_method() {
    let agent = Agent::start("http://127.0.0.1:9");
    for method in ["GET", "HEAD", "DELETE"] {
        let request = agent.http.post(format!("{}/api/me", agent.url));
        let response = request.form(&[("_method", method)]).send();
        assert_eq!(response.expect("an answer").status(), 404, "{method}");
    }
}
