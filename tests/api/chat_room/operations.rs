//! Starting, watching and stopping the TCP protocol with the rest.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::{Rooms, bare, credentials};
use crate::world::{Setup, World, ended, program, rest_of, skipped};

#[test]
fn a_taken_port_is_one_clear_line_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let home = TempDir::new().expect("a directory");
    let output = ended(
        program()
            .args([
                "serve",
                "--port",
                "0",
                "--data-dir",
                "data",
                "--chat-room-port",
                &port.to_string(),
            ])
            .current_dir(home.path()),
    );
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains(&format!("127.0.0.1:{port}")) && said.contains("--chat-room-port"),
        "{said}"
    );
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    assert!(
        !String::from_utf8_lossy(&output.stdout).contains("listens"),
        "it said so too early"
    );
}

#[test]
fn a_server_without_the_chat_room_says_nothing_of_it() {
    let world = World::start();
    // What is said last.
    world
        .server
        .wait_for_line(|line| line.starts_with("protected:"));
    assert!(!world.server.log().contains("chat_room"));
}

#[test]
fn received_messages_are_counted_by_type() {
    let rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    alice.say(1, "one");
    alice.say(1, "two");
    alice.ask(&bare("some_nonsense"));
    alice.send_bytes(b"{\n");
    alice.receive();
    let metrics =
        reqwest::blocking::get(rooms.url("/metrics")).and_then(reqwest::blocking::Response::text);
    let metrics = metrics.expect("figures");
    for line in [
        r#"sealpost_chat_room_messages_total{type="chat_message"} 2"#,
        r#"sealpost_chat_room_messages_total{type="login_request"} 1"#,
        r#"sealpost_chat_room_messages_total{type="unknown"} 1"#,
        r#"sealpost_chat_room_messages_total{type="malformed"} 1"#,
        r#"sealpost_live{channel="chat_room"} 1"#,
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line} is not in\n{metrics}"
        );
    }
}

#[test]
fn at_the_end_connections_are_closed_and_the_server_exits_with_0() {
    let mut rooms = Rooms::start();
    let mut alice = rooms.arrive("alice");
    let mut nobody = rooms.connect();
    alice.say(1, "before the end");
    let status = rooms.world().server.stop();
    assert_eq!(status.code(), Some(0));
    assert!(alice.is_closed());
    assert!(nobody.is_closed());
}

/// A certificate for `localhost` and its key, just made; `None` without `openssl`.
fn certificate(home: &TempDir) -> Option<(String, String)> {
    let path = |name: &str| home.path().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output();
    made.ok()
        .filter(|output| output.status.success())
        .map(|_| (certificate, key))
}

#[test]
fn with_a_certificate_it_speaks_tls() {
    let home = TempDir::new().expect("a directory");
    let Some((certificate, key)) = certificate(&home) else {
        skipped("there is no openssl");
        return;
    };
    let setup = Setup::new()
        .env("ROCKET_CHAT_ROOM__TLS__CERTS", &certificate)
        .env("ROCKET_CHAT_ROOM__TLS__KEY", &key);
    let rooms = Rooms::with(setup);
    let mut trusted = RootCertStore::empty();
    trusted
        .add(CertificateDer::from_pem_file(&certificate).expect("a certificate"))
        .expect("it parses");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let stream = TcpStream::connect(("127.0.0.1", rooms.port())).expect("it listens");
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    for kind in ["register_request", "login_request"] {
        let line = format!("{}\n", credentials(kind, "alice"));
        stream
            .get_mut()
            .write_all(line.as_bytes())
            .expect("it is sent");
        let mut reply = String::new();
        stream.read_line(&mut reply).expect("a reply");
        assert!(reply.contains(r#""success":true"#), "{reply}");
    }
    // Nothing is said in clear.
    let mut plain = rooms.connect();
    plain.send_bytes(b"{\"message_type\":\"login_request\"}\n");
    let rest = rest_of(plain.stream());
    assert!(!rest.contains(&b'{'), "{rest:?}");
}

#[test]
fn a_certificate_that_is_not_there_is_one_clear_line() {
    let home = TempDir::new().expect("a directory");
    fs::write(home.path().join("empty.pem"), "").expect("a file");
    let output = ended(
        program()
            .args([
                "serve",
                "--port",
                "0",
                "--chat-room-port",
                "0",
                "--data-dir",
                "data",
            ])
            .env("ROCKET_CHAT_ROOM__TLS__CERTS", "missing.pem")
            .env("ROCKET_CHAT_ROOM__TLS__KEY", "empty.pem")
            .current_dir(home.path()),
    );
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("missing.pem"), "{said}");
}
