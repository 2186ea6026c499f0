//! Whose requests the agent answers: those of this machine's programs and of its own pages.

use serde_json::json;

use crate::agent_world::Agent;
use crate::relay_stub::Relay;

#[test]
fn web_pages_of_other_sites_and_names_are_refused() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    agent.person("alice");
    let own = agent.url.strip_prefix("http://").expect("http").to_owned();
    let port = own.rsplit_once(':').expect("a port").1.to_owned();
    // Another program may serve the same port under another name of this machine.
    let elsewhere = |name: &str| format!("http://{name}:{port}");
    let status = |host: &str, origin: Option<&str>, path: &str| {
        let url = format!("{}{path}", agent.url);
        let mut request = match path {
            "/push" => agent.http.post(url).json(&json!({})),
            _ => agent.http.get(url),
        };
        request = request.header("Host", host);
        if let Some(origin) = origin {
            request = request.header("Origin", origin);
        }
        request.send().expect("an answer").status().as_u16()
    };
    for path in ["/push", "/api/stream", "/api/me", "/", "/nowhere"] {
        for (host, origin) in [
            (format!("evil.example:{port}"), None),
            ("evil.example".into(), None),
            (own.clone(), Some("http://evil.example")),
            (own.clone(), Some("null")),
            (own.clone(), Some("http://localhost")),
            (own.clone(), Some("https://127.0.0.1:1")),
            (own.clone(), Some(&*elsewhere("[::1]"))),
            (own.clone(), Some(&*elsewhere("localhost"))),
            (format!("localhost:{port}"), Some(&*agent.url)),
        ] {
            assert_eq!(status(&host, origin, path), 403, "{path} {host} {origin:?}");
        }
    }
    let same = agent.url.clone();
    assert_eq!(status(&own, Some(&same), "/push"), 200);
    let local = format!("localhost:{port}");
    assert_eq!(status(&local, None, "/api/me"), 200);
    assert_eq!(status(&local, Some(&elsewhere("localhost")), "/push"), 200);
}

#[test]
fn a_picture_on_another_site_marks_nothing_as_read() {
    let relay = Relay::start();
    let agent = Agent::start(&relay.url);
    let alice = agent.person("alice");
    let bob = relay.puppet("bob");
    bob.write(alice.id, "hi", [7; 32], true);
    alice.peer(bob.id, |shown| shown["unread"] == 1);
    let records = format!("/chat/records?fromId={}&toId={}", alice.id, bob.id);
    let status = |path: &str, [site, mode, dest]: [&str; 3]| {
        let request = agent.http.get(format!("{}{path}", agent.url));
        let request = request
            .header("Sec-Fetch-Site", site)
            .header("Sec-Fetch-Mode", mode)
            .header("Sec-Fetch-Dest", dest);
        request.send().expect("an answer").status().as_u16()
    };
    for site in ["cross-site", "same-site"] {
        for prefix in ["/api", "/%61pi", "//api"] {
            let path = format!("{prefix}{records}");
            for mode in [["no-cors", "image"], ["navigate", "document"]] {
                assert_eq!(status(&path, [site, mode[0], mode[1]]), 403, "{path}");
            }
        }
        for mode in [["no-cors", "script"], ["navigate", "iframe"]] {
            assert_eq!(status("/users", [site, mode[0], mode[1]]), 403);
        }
        for page in ["/", "/users", "/chat/7"] {
            assert_eq!(status(page, [site, "navigate", "document"]), 200);
        }
    }
    alice.peer(bob.id, |shown| shown["unread"] == 1);
    let path = format!("/api{records}");
    assert_eq!(status(&path, ["same-origin", "cors", "empty"]), 200);
    alice.peer(bob.id, |shown| shown["unread"] == 0);
    assert_eq!(status(&path, ["none", "navigate", "document"]), 200);
}
