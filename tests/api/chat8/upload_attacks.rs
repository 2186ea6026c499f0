//! Uploads that mean no good: nothing of them is left behind, and nothing is run.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::Method;
use reqwest::blocking::multipart::Form;
use serde_json::json;

use super::uploads::PNG;
use super::{Someone, data, done, file_form, files_on_disk, refused, text, wait_until};
use crate::internal_errors::{refuse_new, take_new_again};
use crate::world::{Reply, Setup, World};

#[test]
fn a_name_is_never_a_path() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    for (name, kept) in [
        ("../../../../tmp/PWN.txt", "PWN.txt"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("..", "file"),
        ("invoice\u{202e}gpj.exe", "invoicegpj.exe"),
    ] {
        assert_eq!(
            data(&alice.upload(&bob, name, b"x"))["file_name"],
            kept,
            "{name}"
        );
    }
    assert_eq!(files_on_disk(&world), 5);
    assert!(!std::path::Path::new("/tmp/PWN.txt").exists());
    for path in [
        "/api/v1/files/..%2f..%2ftoken.key",
        "/api/v1/avatars/..%2ftoken.key",
        "/api/v1/files/%2e%2e",
    ] {
        let request = world.request(Method::GET, path).bearer_auth(&alice.token);
        assert_eq!(Reply::to(request).status, 404, "{path}");
    }
}

#[test]
fn a_file_whose_message_cannot_be_stored_is_not_kept() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    refuse_new(&world, "messages");
    assert!(alice.upload(&bob, "plan.txt", b"x").status >= 500);
    assert_eq!(files_on_disk(&world), 0);
    take_new_again(&world, "messages");
    data(&alice.upload(&bob, "plan.txt", b"x"));
    assert_eq!(files_on_disk(&world), 1);
}

#[test]
fn what_lies_about_its_type_is_served_as_what_it_is() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    for markup in [
        "<!DOCTYPE html><script>alert(1)</script>",
        "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "  \n<?xml version='1.0'?><svg/>",
        "text first <script>alert(1)</script>",
    ] {
        // The form says image/png, as does the name.
        let stored = data(&alice.upload(&bob, "picture.png", markup.as_bytes()));
        assert_eq!(stored["file_type"], "application/octet-stream");
        let request = world.request(Method::GET, &text(&stored["file_url"]));
        let file = Reply::to(request.bearer_auth(&bob.token));
        assert_eq!(
            file.header("content-type"),
            Some("application/octet-stream")
        );
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        assert!(
            file.header("content-disposition")
                .is_some_and(|value| value.starts_with("attachment"))
        );
        assert_eq!(
            file.header("content-security-policy"),
            Some("default-src 'none'; sandbox")
        );
    }
}

#[test]
fn what_is_too_large_is_refused_and_gone() {
    let limits = Setup::new()
        .env("ROCKET_MAX_UPLOAD_BYTES", 100_000)
        .env("ROCKET_MAX_AVATAR_BYTES", 1_000);
    let world = limits.start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    assert_eq!(
        data(&alice.upload(&bob, "whole", &vec![7; 100_000]))["file_size"],
        100_000
    );
    refused(
        &alice.upload(&bob, "large", &vec![7; 100_001]),
        413,
        "FILE_002",
    );
    refused(
        &alice.upload(&bob, "very large", &vec![7; 20_000_000]),
        413,
        "FILE_002",
    );
    refused(
        &alice.upload_avatar("large.png", &[PNG, &[0; 1_000]].concat()),
        413,
        "FILE_002",
    );
    assert_eq!(files_on_disk(&world), 1);
    assert_eq!(bob.history(&alice).len(), 1);
}

#[test]
fn fifty_mebibytes_are_taken_and_one_byte_more_is_not() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let mut bytes = vec![7; 50 << 20];
    assert_eq!(
        data(&alice.upload(&bob, "whole", &bytes))["file_size"],
        50 << 20
    );
    bytes.push(7);
    refused(&alice.upload(&bob, "large", &bytes), 413, "FILE_002");
    assert_eq!(files_on_disk(&world), 1);
}

#[test]
fn an_avatar_has_five_mebibytes_at_most() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let mut picture = PNG.to_vec();
    picture.resize(5 << 20, 0);
    data(&alice.upload_avatar("whole.png", &picture));
    picture.push(0);
    let reply = alice.upload_avatar("large.png", &picture);
    refused(&reply, 413, "FILE_002");
    assert_eq!(files_on_disk(&world), 1);
}

#[test]
fn a_form_that_is_not_as_it_should_be_leaves_nothing() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let to = bob.id.to_string();
    for (field, form) in [
        ("file", Form::new().text("receiver_id", to.clone())),
        ("receiver_id", file_form("a", b"x")),
        (
            "receiver_id",
            file_form("a", b"x").text("receiver_id", "bob"),
        ),
        (
            "receiver_id",
            file_form("a", b"x").text("receiver_id", "1".repeat(2_000)),
        ),
        (
            "receiver_id",
            file_form("a", b"x")
                .text("receiver_id", to.clone())
                .text("receiver_id", to.clone()),
        ),
        (
            "file",
            file_form("a", b"x")
                .text("file", "again")
                .text("receiver_id", to),
        ),
    ] {
        let details = refused(&alice.submit("/upload/file", form), 422, "VALIDATION");
        assert!(details[field].is_string(), "{field}: {details}");
    }
    let nobody = file_form("a", b"x").text("receiver_id", "99999");
    refused(&alice.submit("/upload/file", nobody), 404, "USER_001");
    refused(
        &alice.post("/upload/file", &json!({"receiver_id": bob.id})),
        400,
        "VALIDATION",
    );
    let torn = world
        .request(Method::POST, "/api/v1/upload/file")
        .bearer_auth(&alice.token);
    let torn = torn
        .header("Content-Type", "multipart/form-data; boundary=b")
        .body("--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhalf");
    refused(&Reply::to(torn), 400, "VALIDATION");
    assert_eq!(files_on_disk(&world), 0);
    assert_eq!(bob.history(&alice).len(), 0);
}

#[test]
fn parts_that_are_not_asked_for_are_passed_over() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    let form = Form::new()
        .text("receiver_id", bob.id.to_string())
        .text("note", "x".repeat(100_000));
    let part = reqwest::blocking::multipart::Part::bytes(b"x".to_vec());
    let stored = data(&alice.submit("/upload/file", form.part("file", part)));
    assert_eq!(stored["file_name"], "file", "it was sent without a name");
    assert_eq!(files_on_disk(&world), 1);
}

#[test]
fn who_may_not_upload_hears_so_even_if_they_send_it_all_first() {
    let world = World::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Someone::new(&world, name));
    done(&alice.post("/auth/logout", &json!({})), "登出成功");
    let bytes = vec![7; 20 << 20];
    refused(&alice.upload(&bob, "large", &bytes), 401, "AUTH_001");
    refused(&alice.upload_avatar("large", &bytes), 401, "AUTH_001");
    assert_eq!(files_on_disk(&world), 0);
}

const PART: &str = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";

/// Begins an upload and stays silent in the middle of it, once its first half is on disk.
fn half_an_upload(alice: &Someone) -> TcpStream {
    let mut stream = alice.world.connect();
    let head = format!(
        "POST /api/v1/upload/file HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n{PART}",
        alice.token
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(&vec![7; 500_000]).expect("sent");
    wait_until("half a file is there", || files_on_disk(alice.world) == 1);
    stream
}

#[test]
fn an_upload_that_outlives_its_login_is_refused() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let mut stream = half_an_upload(&alice);
    done(&alice.post("/auth/logout", &json!({})), "登出成功");
    let end = b"\r\n--b--\r\n";
    let rest = vec![7; 500_000 - PART.len() - end.len()];
    stream.write_all(&rest).expect("sent");
    stream.write_all(end).expect("sent");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 401");
    wait_until("nothing is kept", || files_on_disk(&world) == 0);
}

#[test]
fn a_form_whose_boundary_never_comes_is_not_read_to_its_end() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    let mut stream = world.connect();
    let head = format!(
        "POST /api/v1/upload/file HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 40000000\r\n\r\n",
        alice.token
    );
    stream.write_all(head.as_bytes()).expect("sent");
    // As much as the server drains of what it refuses.
    for _ in 0..40 {
        stream.write_all(&vec![7; 1_000_000]).expect("sent");
    }
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 400");
    let peak = world.memory_kib("VmHWM");
    assert!(peak < 100 << 10, "{peak} KiB");
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    drop(half_an_upload(&alice));
    wait_until("the half is gone", || files_on_disk(&world) == 0);
}

#[test]
fn what_a_killed_server_had_begun_is_gone_when_it_is_back() {
    let mut world = World::start();
    let alice = Someone::new(&world, "alice");
    let mut stream = half_an_upload(&alice);
    world.restart();
    // On PostgreSQL another server may be writing it; there it goes a day later.
    let left = usize::from(world.database().is_some());
    assert_eq!(files_on_disk(&world), left);
    // Whether it was reset or ended makes no difference.
    let _ = stream.read(&mut [0]);
}
