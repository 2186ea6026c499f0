//! A way to PostgreSQL on which an answer is lost.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use reqwest::Url;

use super::OwnDatabase;

/// How PostgreSQL says that a commit is done.
const COMMITTED: &[u8] = b"COMMIT\0";

/// The URL of a way to `database`. A connection on which `mark` was sent is cut in place of the
/// answer to its next commit, which is done. It lasts as long as the tests.
pub(crate) fn way_that_loses_answers(database: &OwnDatabase, mark: &'static str) -> String {
    let mut url: Url = database.url().parse().expect("a URL");
    let host = url.host_str().expect("a host").to_owned();
    let behind = (host, url.port().unwrap_or(5432));
    let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = door.local_addr().expect("its address").port();
    url.set_host(Some("127.0.0.1")).expect("a host");
    url.set_port(Some(port)).expect("a port");
    // What is encrypted cannot be recognised.
    url.query_pairs_mut().append_pair("sslmode", "disable");
    thread::spawn(move || {
        for client in door.incoming().flatten() {
            let server = TcpStream::connect(&behind).expect("PostgreSQL answers");
            lead(&client, &server, mark);
        }
    });
    url.into()
}

/// Passes on what comes from either side.
fn lead(client: &TcpStream, server: &TcpStream, mark: &'static str) {
    let is_marked = Arc::new(AtomicBool::new(false));
    let marked = is_marked.clone();
    pass_on(client, server, move |bytes| {
        if has(bytes, mark.as_bytes()) {
            marked.store(true, Ordering::SeqCst);
        }
        true
    });
    pass_on(server, client, move |bytes| {
        !is_marked.load(Ordering::SeqCst) || !has(bytes, COMMITTED)
    });
}

/// Passes on what comes, for as long as it may be; then both sides are cut off.
fn pass_on(from: &TcpStream, to: &TcpStream, may_pass: impl Fn(&[u8]) -> bool + Send + 'static) {
    let [mut from, mut to] = [from, to].map(|side| side.try_clone().expect("a handle"));
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..count];
            if !may_pass(bytes) || to.write_all(bytes).is_err() {
                break;
            }
        }
        // Either may be closed already.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
