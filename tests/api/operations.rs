//! What operators see of a running server: health, metrics, the log, and its documentation.

use std::io::Write as _;

use reqwest::Method;
use serde_json::Value;

use crate::world::{Reply, Setup, World, rest_of, skips_sqlite_test};

#[test]
fn the_metrics_count_requests_by_route_template() {
    let world = World::start();
    let [alice, bob] = world.people(["alice-in-no-metric", "bob"]);
    let id = alice.send(&bob, "sealed");
    alice.read(id).ok();
    world.get("/no/such/route", &[]);
    let reply = world.get("/metrics", &[]);
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .header("content-type")
            .is_some_and(|value| value.starts_with("text/plain")),
        "{reply:?}"
    );
    let line_with = |words: &[&str]| {
        reply
            .text
            .lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(line_with(&["/messages/send", "200"]), "{}", reply.text);
    assert!(line_with(&["/messages/message/", "200"]), "{}", reply.text);
    assert!(
        line_with(&["_bucket{"]),
        "latencies are histograms: {}",
        reply.text
    );
    for secret in [
        format!("/messages/message/{id}\""),
        "alice-in-no-metric".to_owned(),
        "/no/such".to_owned(),
    ] {
        assert!(
            !reply.text.contains(&secret),
            "{secret} in:\n{}",
            reply.text
        );
    }
    for (number, line) in reply.text.lines().enumerate() {
        let sample = line
            .rsplit_once(' ')
            .is_some_and(|(_, value)| value.parse::<f64>().is_ok());
        assert!(
            line.starts_with('#') || line.is_empty() || sample,
            "line {number}: {line}"
        );
    }
}

#[test]
fn the_log_has_a_line_per_request_without_its_query_or_secrets() {
    let world = World::start();
    let alice = world.register("alice-in-no-log");
    let token = alice.log_in();
    let path = "/messages/inbox?user_id=alice-in-no-log&limit=17";
    Reply::to(world.request(Method::GET, path).bearer_auth(&token)).ok();
    let line = world
        .server
        .wait_for_line(|line| line.contains("/messages/inbox"));
    assert!(line.contains("200") && line.contains("GET"), "{line}");
    let log = world.server.log();
    for secret in [
        "limit=17",
        "alice-in-no-log",
        &token,
        &crate::world::password_hash_of("alice-in-no-log"),
    ] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[test]
fn each_request_is_one_line_of_json() {
    let world = World::start();
    let alice = world.register("alice");
    alice.list("/messages/inbox", &[]).ok();
    alice.list("/messages/inbox", &[("limit", "0")]).error(400);
    // Lines leave in the order of their requests.
    world.get("/healthz", &[]);
    world.server.wait_for_line(|line| line.contains("/healthz"));
    let log = world.server.log();
    let lines = log.lines().filter(|line| line.contains("/messages/inbox"));
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    for (line, status) in lines.iter().zip([200, 400]) {
        assert_eq!(line["message"], "request", "{line}");
        assert_eq!(line["level"], "INFO", "{line}");
        assert_eq!(line["method"], "GET", "{line}");
        assert_eq!(line["path"], "/messages/inbox", "{line}");
        assert_eq!(line["status"], status, "{line}");
        assert!(
            line["micros"].is_u64() && line["timestamp"].is_string(),
            "{line}"
        );
    }
    assert_eq!(lines.len(), 2, "{log}");
}

#[test]
fn writes_and_their_commits_are_counted() {
    const SENT: u64 = 5;
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    let figures = || {
        let metrics = world.get("/metrics", &[]).text;
        ["commits", "jobs"].map(|what| {
            let start = format!("sealpost_writer_{what}_total ");
            let value = metrics.lines().find_map(|line| line.strip_prefix(&start));
            value
                .expect("it is counted")
                .parse::<u64>()
                .expect("a number")
        })
    };
    let before = figures();
    // Each is committed before the next one is sent.
    (0..SENT).for_each(|_| _ = alice.send(&bob, "sealed"));
    let [commits, jobs] = figures();
    assert!(commits >= before[0] + SENT, "{commits} after {}", before[0]);
    assert!(jobs >= before[1] + SENT, "{jobs} after {}", before[1]);
}

#[test]
fn a_head_is_logged_and_counted_as_one() {
    let world = World::start();
    Reply::to(world.request(Method::HEAD, "/healthz"));
    let line = world.server.wait_for_line(|line| line.contains("/healthz"));
    assert!(line.contains("HEAD"), "{line}");
    let metrics = world.get("/metrics", &[]).text;
    assert!(metrics.contains("method=\"HEAD\""), "{metrics}");
}

#[test]
fn a_figure_that_is_not_known_has_no_line_and_the_others_have_theirs() {
    if skips_sqlite_test() {
        return;
    }
    let world = World::start();
    let has = |figure: &str| {
        let metrics = world.get("/metrics", &[]).text;
        metrics.lines().any(|line| line.starts_with(figure))
    };
    assert!(has("sealpost_database_bytes "));
    let file = world.data_dir().join("sealpost.db");
    std::fs::rename(&file, file.with_extension("away")).expect("it is renamed");
    assert!(!has("sealpost_database_bytes "));
    assert!(has("sealpost_sessions "));
}

#[test]
fn a_method_that_nobody_knows_is_logged_and_counted_without_its_text() {
    let world = World::start();
    let odd = Method::from_bytes(b"OUTLANDISH").expect("a token");
    for path in ["/messages/inbox", "/api/v1/friends", "/users", "/login"] {
        let reply = Reply::to(world.request(odd.clone(), path).query(&[("limit", "17")]));
        assert_eq!(reply.status, 400, "{path}: {reply:?}");
        world.server.wait_for_line(|line| {
            line.contains(path) && line.contains("other") && line.contains("400")
        });
    }
    world.get("/no/such/route", &[]);
    let metrics = world.get("/metrics", &[]).text;
    for (labels, count) in [
        (r#"method="other",route="none",status="400""#, 4),
        (r#"method="GET",route="none",status="404""#, 1),
    ] {
        let line = format!("sealpost_requests_total{{{labels}}} {count}\n");
        assert!(metrics.contains(&line), "{line} in:\n{metrics}");
    }
    let said = world.server.log() + &metrics;
    assert!(!said.contains("OUTLANDISH"), "{said}");
}

#[test]
fn no_cache_keeps_what_is_somebodys_own() {
    let world = World::start();
    let [alice, bob] = world.people(["alice", "bob"]);
    alice.send(&bob, "sealed");
    let token = bob.log_in();
    for path in [
        "/messages/inbox?user_id=bob",
        "/me/contacts",
        "/api/v1/friends",
    ] {
        let reply = Reply::to(world.request(Method::GET, path).bearer_auth(&token));
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
    }
}

#[test]
fn http_2_is_not_spoken() {
    let world = World::start();
    let mut socket = world.connect();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    socket.write_all(preface).expect("taken");
    let answer = rest_of(&mut socket);
    // A server that spoke it would begin with its settings, and go on.
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
        "{answer:?}"
    );
}

#[test]
fn the_documentation_is_served_by_the_server_itself() {
    let world = World::start();
    let page = world.get("/docs/", &[]);
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(world.get("/docs", &[]).text, page.text);
    let links = page.text.split("src=\"").chain(page.text.split("href=\""));
    let links: Vec<&str> = links
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| !link.contains('<'))
        .collect();
    assert!(links.len() > 3, "{links:?}");
    for link in links {
        assert!(link.starts_with('/'), "the same with a final slash: {link}");
        assert_eq!(world.get(link, &[]).status, 200, "{link}");
    }
    assert!(page.text.contains("swagger"), "{}", page.text);
    for path in ["/docs", "/docs/index.html"] {
        let page = world.get(path, &[]);
        let policy = page.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.starts_with("default-src 'self';"),
            "{path}: {page:?}"
        );
    }
    let settings = world.get("/docs/swagger-initializer.js", &[]).text;
    assert!(settings.contains(r#""validatorUrl": "none""#), "{settings}");
    for elsewhere in ["src=\"http", "href=\"http", "src=\"//", "cdn"] {
        assert!(
            !page.text.contains(elsewhere),
            "loads from elsewhere: {}",
            page.text
        );
    }
}

#[test]
fn the_description_names_every_call_of_the_published_document() {
    let world = World::start();
    let description = world.get("/openapi.json", &[]).json();
    let published = [
        ("/auth/register", "post"),
        ("/auth/login", "post"),
        ("/auth/public_key", "get"),
        ("/auth/change_password", "post"),
        ("/messages/send", "post"),
        ("/messages/inbox", "get"),
        ("/messages/outbox", "get"),
        ("/messages/message/{message_id}/permission", "post"),
        ("/messages/message/{message_id}/permission", "delete"),
    ];
    for (path, method) in published {
        let responses = &description["paths"][path][method]["responses"];
        assert!(
            responses.get("200").is_some(),
            "{method} {path}: {responses}"
        );
    }
}

#[test]
fn many_connections_at_once_are_all_served() {
    let world = World::start();
    world.register("alice");
    let idle: Vec<_> = (0..300).map(|_| world.connect()).collect();
    world.person("alice").list("/messages/inbox", &[]).ok();
    drop(idle);
}

#[test]
fn what_is_not_http_does_no_harm() {
    let world = World::start();
    world.register("alice");
    let head = "POST /messages/send HTTP/1.1\r\nHost: x\r\n";
    let requests = [
        "\0\u{1}\u{2}\u{3}\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000)),
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
            "a".repeat(1_000_000)
        ),
        format!("{head}Content-Length: -1\r\n\r\n"),
        format!("{head}Content-Length: 99999999999999999999\r\n\r\n"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "GET /messages/inbox?user_id=%ff%fe%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            .to_owned(),
        "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
    ];
    for request in requests {
        let mut socket = world.connect();
        // It may hang up before it has read everything.
        drop(socket.write_all(request.as_bytes()));
        drop(socket.shutdown(std::net::Shutdown::Write));
        let answer = rest_of(&mut socket);
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            !answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.1 5"),
            "{request:.60}: {answer}"
        );
    }
    world.person("alice").list("/messages/inbox", &[]).ok();
}

#[test]
fn a_page_of_an_allowed_origin_may_call_and_another_learns_nothing() {
    let world = Setup::new()
        .env("ROCKET_ALLOWED_ORIGINS", "[\"https://chat.example\"]")
        .start();
    let ask = |origin: &str| {
        let question = world.request(Method::OPTIONS, "/messages/send");
        Reply::to(
            question
                .header("Origin", origin)
                .header("Access-Control-Request-Method", "POST")
                .header("Access-Control-Request-Headers", "x-requested-with, token"),
        )
    };
    let allowed = ask("https://chat.example");
    assert_eq!(allowed.status, 204);
    assert_eq!(
        allowed.headers["access-control-allow-origin"],
        "https://chat.example"
    );
    assert_eq!(
        allowed.headers["access-control-allow-headers"],
        "x-requested-with, token"
    );
    assert_eq!(allowed.headers["access-control-allow-credentials"], "true");
    let answer = world.request(Method::GET, "/healthz");
    let answer = Reply::to(answer.header("Origin", "https://chat.example"));
    let readable = answer.headers["access-control-expose-headers"].to_str();
    assert!(readable.is_ok_and(|names| names.contains("Content-Disposition")));
    let refused = ask("https://evil.example");
    assert!(!refused.headers.contains_key("access-control-allow-origin"));
}
