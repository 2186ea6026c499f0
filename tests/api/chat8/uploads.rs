//! Avatars and files: who gets them back, and how.

use reqwest::Method;
use reqwest::blocking::multipart::{Form, Part};
use serde_json::json;

use super::{Someone, data, done, files_on_disk, refused, text};
use crate::world::{Reply, World};

pub(super) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR-and-the-rest";

/// Asks for a URL path with a token and further headers.
fn fetch(who: &Someone, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = who.world.request(Method::GET, path).bearer_auth(&who.token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Reply::to(request)
}

#[test]
fn what_a_recorder_says_is_a_sound_arrives_as_one() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let voice = Part::bytes(b"\x1a\x45\xdf\xa3 and so on".to_vec())
        .file_name("voice.webm")
        .mime_str("audio/webm;codecs=opus")
        .expect("a media type");
    let form = Form::new()
        .part("file", voice)
        .text("receiver_id", bob.id.to_string());
    let stored = data(&alice.submit("/upload/file", form));
    assert_eq!(stored["file_type"], "audio/webm");
    assert_eq!(bob.history(&alice)[0]["message_type"], "audio");
}

#[test]
fn a_text_is_read_as_utf_8_by_whoever_asks_for_its_charset() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let stored = data(&alice.upload(&bob, "note.txt", "你好".as_bytes()));
    assert_eq!(stored["file_type"], "text/plain");
    let file = fetch(&bob, &text(&stored["file_url"]), &[]);
    assert_eq!(
        file.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

#[test]
fn a_file_goes_to_its_receiver_as_a_message_and_to_nobody_else() {
    let world = World::start();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| Someone::new(&world, name));
    let mut live = bob.connect();
    live.ping();
    let stored = data(&alice.upload(&bob, "报告 \"1\".pdf", b"%PDF-1.7 and so on"));
    let url = text(&stored["file_url"]);
    assert_eq!(
        stored,
        json!({"file_url": url, "file_name": "报告 \"1\".pdf", "file_size": 18, "file_type": "application/pdf"})
    );
    let message = live.next_of("new_message");
    assert_eq!(
        (&message["content"], &message["message_type"]),
        (&json!(url), &json!("file"))
    );
    assert_eq!(bob.history(&alice)[0]["content"], json!(url));
    for who in [&alice, &bob] {
        let file = fetch(who, &url, &[]);
        assert_eq!(
            (file.status, file.text.as_str()),
            (200, "%PDF-1.7 and so on")
        );
        assert_eq!(file.header("content-type"), Some("application/pdf"));
        assert_eq!(file.header("content-length"), Some("18"));
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        let disposition = file.header("content-disposition").expect("a disposition");
        let expected = "attachment; filename=\"__ _1_.pdf\"; filename*=UTF-8''%E6%8A%A5%E5%91%8A%20%221%22.pdf";
        assert_eq!(disposition, expected);
    }
    refused(&fetch(&eve, &url, &[]), 404, "NOT_FOUND");
    refused(&world.get(&url, &[]), 401, "AUTH_001");
    refused(&fetch(&bob, "/api/v1/files/nothing", &[]), 404, "NOT_FOUND");
    refused(
        &fetch(&bob, &url.replace("files", "avatars"), &[]),
        404,
        "NOT_FOUND",
    );
}

#[test]
fn the_message_that_hands_a_file_over_keeps_its_content_through_every_api() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let stored = data(&alice.upload(&bob, "plan.txt", b"Meet at noon."));
    let message = &bob.history(&alice)[0];
    let id = message["id"].as_i64().expect("an id");
    let writer = world.person("alice");
    writer
        .replace(id, "https://evil.example/plan.txt")
        .error(400);
    world
        .person("bob")
        .replace(id, "not his to replace")
        .error(403);
    assert_eq!(bob.history(&alice)[0]["content"], stored["file_url"]);
    let text = alice.send(&bob, "a text");
    writer.replace(text, "another").ok();
}

/// Uploads a file whose name is said by these parameters; returns what it is shown as.
fn name_shown(alice: &Someone, bob: &Someone, parameters: &[u8]) -> serde_json::Value {
    let receiver = bob.id.to_string();
    let form = [
        &b"--b\r\nContent-Disposition: form-data; name=\"file\"; "[..],
        parameters,
        b"\r\n\r\nx\r\n--b\r\nContent-Disposition: form-data; name=\"receiver_id\"\r\n\r\n",
        receiver.as_bytes(),
        b"\r\n--b--\r\n",
    ];
    let request = alice.world.request(Method::POST, "/api/v1/upload/file");
    let request = request
        .bearer_auth(&alice.token)
        .header("Content-Type", "multipart/form-data; boundary=b");
    data(&Reply::to(request.body(form.concat())))["file_name"].clone()
}

#[test]
fn a_name_is_shown_as_it_was_meant_however_its_client_writes_it() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    for (parameters, shown) in [
        (
            // As browsers do with quotes and line ends.
            &b"filename=\"a %22b%22%0D%0A 100%2541.txt\""[..],
            "a \"b\" 100%2541.txt",
        ),
        (b"filename*=utf-8''%E6%8A%A5%E5%91%8A.pdf", "报告.pdf"),
        (
            b"filename=\"=?utf-8?B?5oql5ZGK?=\"; filename*=utf-8''%E6%8A%A5%E5%91%8A.pdf",
            "报告.pdf",
        ),
        (
            b"filename=\"a; filename*=utf-8''evil.txt\"",
            "a; filename*=utf-8''evil.txt",
        ),
        (b"filename=\"\xff.pdf\"", "\u{fffd}.pdf"),
    ] {
        assert_eq!(name_shown(&alice, &bob, parameters), shown);
    }
}

#[test]
fn a_range_is_served_alone_and_one_that_is_not_there_is_416() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let url = text(&data(&alice.upload(&bob, "digits", b"0123456789"))["file_url"]);
    for (range, part, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=5-99", "56789", "bytes 5-9/10"),
        ("Bytes=5-99999999999999999999999", "56789", "bytes 5-9/10"),
    ] {
        let reply = fetch(&bob, &url, &[("Range", range)]);
        assert_eq!((reply.status, reply.text.as_str()), (206, part));
        assert_eq!(reply.header("content-range"), Some(content_range));
    }
    for range in ["bytes=10-", "bytes=99999999999999999999999-"] {
        let beyond = fetch(&bob, &url, &[("Range", range)]);
        refused(&beyond, 416, "VALIDATION");
        assert_eq!(beyond.header("content-range"), Some("bytes */10"));
    }
    for range in ["bytes=2-4", "bytes=10-"] {
        let request = world.request(Method::HEAD, &url).bearer_auth(&bob.token);
        let head = Reply::to(request.header("Range", range));
        assert_eq!(head.status, 200, "only a GET has ranges");
        assert_eq!(head.header("content-length"), Some("10"));
    }
    let whole = fetch(&bob, &url, &[("Range", "bytes=0-1,3-4")]);
    assert_eq!((whole.status, whole.text.as_str()), (200, "0123456789"));
    let etag = whole.header("etag").expect("a tag").to_owned();
    let current = fetch(&bob, &url, &[("Range", "bytes=0-0"), ("If-Range", &etag)]);
    assert_eq!((current.status, current.text.as_str()), (206, "0"));
    let other = fetch(
        &bob,
        &url,
        &[("Range", "bytes=0-0"), ("If-Range", "\"other\"")],
    );
    assert_eq!(other.status, 200);
}

#[test]
fn whoever_has_a_file_by_its_tag_is_not_sent_it_again() {
    let world = World::start();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| Someone::new(&world, name));
    let file = text(&data(&alice.upload(&bob, "digits", b"0123456789"))["file_url"]);
    let avatar = text(&data(&alice.upload_avatar("a.png", PNG))["avatar_url"]);
    for (path, kept) in [
        (&file, "private, no-cache"),
        (&avatar, "public, max-age=31536000, immutable"),
    ] {
        let whole = fetch(&bob, path, &[]);
        let tag = whole.header("etag").expect("a tag");
        let weak = format!("\"other\", W/{tag}");
        for named in [tag, &weak, "*"] {
            let range = ("Range", "bytes=5000-");
            let had = fetch(&bob, path, &[("If-None-Match", named), range]);
            assert_eq!((had.status, had.text.as_str()), (304, ""));
            assert_eq!(had.header("etag"), Some(tag));
            assert_eq!(had.header("cache-control"), Some(kept));
            assert_eq!(had.header("content-length"), None);
        }
        let other = fetch(&bob, path, &[("If-None-Match", "\"other\"")]);
        assert_eq!((other.status, other.text), (200, whole.text));
    }
    let peek = fetch(&eve, &file, &[("If-None-Match", "*")]);
    refused(&peek, 404, "NOT_FOUND");
}

#[test]
fn an_avatar_is_a_picture_by_content_and_replaces_the_one_before() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    for (picture, media_type) in [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0 jpeg", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
    ] {
        let url = text(&data(&alice.upload_avatar("lies.txt", picture))["avatar_url"]);
        assert_eq!(data(&alice.get("/user/profile"))["avatar"], json!(url));
        let shown = world.get(&url, &[]);
        assert_eq!(
            (shown.status, shown.header("content-type")),
            (200, Some(media_type))
        );
        assert_eq!(shown.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(files_on_disk(&world), 1, "the one before is gone");
    }
    for not_a_picture in [
        &b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..],
        b"<html>",
        b"plain",
        b"",
        b"%PDF-1.7",
    ] {
        refused(
            &alice.upload_avatar("picture.png", not_a_picture),
            415,
            "FILE_001",
        );
    }
    let url = text(&data(&alice.get("/user/profile"))["avatar"]);
    data(&alice.put("/user/profile", &json!({"avatar": url})));
    assert_eq!(files_on_disk(&world), 1);
    data(&alice.put("/user/profile", &json!({"avatar": null})));
    assert_eq!(files_on_disk(&world), 0);
    refused(&world.get(&url, &[]), 404, "NOT_FOUND");
}

#[test]
fn a_file_goes_with_its_message() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let url = text(&data(&alice.upload(&bob, "a.png", PNG))["file_url"]);
    let message = alice.history(&bob)[0].clone();
    assert_eq!(message["message_type"], "image");
    done(
        &alice.delete(&format!("/messages/{}", message["id"])),
        "消息已删除",
    );
    refused(&fetch(&bob, &url, &[]), 404, "NOT_FOUND");
    assert_eq!(files_on_disk(&world), 0);
}

#[test]
fn somebody_elses_file_is_not_removed_by_naming_it() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let url = text(&data(&alice.upload(&bob, "a.png", PNG))["file_url"]);
    let id = bob.send(&alice, &url);
    done(&bob.delete(&format!("/messages/{id}")), "消息已删除");
    assert_eq!(fetch(&bob, &url, &[]).status, 200);
}

#[test]
fn somebody_elses_avatar_is_not_removed_by_showing_it() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let url = text(&data(&alice.upload_avatar("a.png", PNG))["avatar_url"]);
    for avatar in [json!(url), json!(null)] {
        data(&bob.put("/user/profile", &json!({ "avatar": avatar })));
        assert_eq!(world.get(&url, &[]).status, 200);
    }
}

#[test]
fn a_file_that_was_shown_as_an_avatar_stays_when_it_is_not_shown_any_more() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let url = text(&data(&alice.upload(&bob, "a.png", PNG))["file_url"]);
    let as_avatar = url.replace("files", "avatars");
    data(&alice.put("/user/profile", &json!({ "avatar": as_avatar })));
    assert_eq!(world.get(&as_avatar, &[]).status, 404, "it is bob's alone");
    data(&alice.put("/user/profile", &json!({"avatar": null})));
    assert_eq!(fetch(&bob, &url, &[]).status, 200);
    data(&alice.put("/user/profile", &json!({ "avatar": as_avatar })));
    data(&alice.upload_avatar("b.png", PNG));
    assert_eq!(fetch(&bob, &url, &[]).status, 200);
    assert_eq!(files_on_disk(&world), 2);
}

#[test]
fn of_racing_avatars_one_stays_and_nothing_else() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| data(&alice.upload_avatar("a.png", PNG)));
        }
    });
    assert_eq!(files_on_disk(&world), 1);
    let url = text(&data(&alice.get("/user/profile"))["avatar"]);
    assert_eq!(world.get(&url, &[]).status, 200);
}

#[test]
fn a_file_goes_with_the_message_that_brought_it_whoever_else_writes_its_url() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let url = text(&data(&alice.upload(&bob, "a.txt", b"text"))["file_url"]);
    let first = alice.history(&bob)[0]["id"].clone();
    for remark in [url.clone(), format!("did you get {url}")] {
        let id = alice.send(&bob, &remark);
        assert_eq!(alice.delete(&format!("/messages/{id}")).status, 200);
        assert_eq!(fetch(&bob, &url, &[]).status, 200);
    }
    bob.send(&alice, &url);
    alice.send(&bob, &url);
    assert_eq!(alice.delete(&format!("/messages/{first}")).status, 200);
    assert_eq!(fetch(&bob, &url, &[]).status, 404);
}

#[test]
fn who_may_rewrite_one_message_cannot_remove_the_file_of_another() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let url = text(&data(&alice.upload(&bob, "a.txt", b"text"))["file_url"]);
    let note = alice.send(&bob, "a note");
    let of = |who: &Someone, method, path: &str, mut body: serde_json::Value| {
        body["user_id"] = json!(who.username);
        let request = world.request(method, path).bearer_auth(&who.token);
        assert_eq!(Reply::to(request.json(&body)).status, 200, "{path}");
    };
    let path = format!("/messages/message/{note}");
    let grant = json!({"target_user_id": "bob", "permission_type": "admin"});
    of(&alice, Method::POST, &format!("{path}/permission"), grant);
    of(&bob, Method::PUT, &path, json!({"encrypted_content": url}));
    of(&bob, Method::DELETE, &path, json!({}));
    assert_eq!(fetch(&bob, &url, &[]).status, 200);
}

#[test]
fn an_avatar_that_is_named_with_a_query_keeps_its_picture() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let url = text(&data(&alice.upload_avatar("a.png", PNG))["avatar_url"]);
    for suffix in ["?v=2", "/", ""] {
        let named = json!({"avatar": format!("{url}{suffix}")});
        assert_eq!(alice.put("/user/profile", &named).status, 200);
        assert_eq!(fetch(&alice, &url, &[]).status, 200, "{suffix}");
    }
    assert_eq!(
        alice.put("/user/profile", &json!({"avatar": null})).status,
        200
    );
    assert_eq!(fetch(&alice, &url, &[]).status, 404);
}
