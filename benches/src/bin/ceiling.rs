//! The ceiling: a Rocket without a database.
//!
//! It reads the same JSON and answers about the same bytes as the server for three calls, so the
//! distance between the two is what storing costs. Same framework, same allocator, same headers,
//! bodies in one chunk. It keeps nothing and checks nobody.

use std::io::Cursor;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser as _;
use rocket::config::LogLevel;
use rocket::fairing::AdHoc;
use rocket::http::ContentType;
use rocket::response::{Responder, Response};
use rocket::serde::json::Json;
use rocket::{Config, Request, State, get, post, routes};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Answer the benchmark's calls without storing anything.
#[derive(clap::Parser)]
struct Arguments {
    /// Port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// A JSON body written in one chunk.
struct Body(Vec<u8>);

impl<'r> Responder<'r, 'static> for Body {
    fn respond_to(self, _: &'r Request<'_>) -> rocket::response::Result<'static> {
        let length = self.0.len();
        Response::build()
            .header(ContentType::JSON)
            .sized_body(length, Cursor::new(self.0))
            .max_chunk_size(length)
            .ok()
    }
}

#[derive(Deserialize)]
struct Sending<'a> {
    user_id: &'a str,
    receiver_id: &'a str,
    encrypted_content: &'a str,
}

#[derive(Serialize)]
struct Sent {
    message: &'static str,
    message_id: u64,
    timestamp: &'static str,
    status: &'static str,
}

#[derive(Deserialize)]
struct Credentials<'a> {
    user_id: &'a str,
    password_hash: &'a str,
}

#[derive(Serialize)]
struct Item<'a> {
    id: u64,
    sender_id: &'static str,
    encrypted_content: &'a str,
    timestamp: &'static str,
}

/// The page every inbox has, made once.
struct Page(Vec<u8>);

const TIMESTAMP: &str = "2026-01-01T12:00:00";

/// About as long as a signed token with a few short claims.
const TOKEN_LENGTH: usize = 210;

#[post("/messages/send", data = "<sending>")]
fn send(sending: Json<Sending<'_>>, last_id: &State<AtomicU64>) -> Option<Body> {
    let fields = [
        sending.user_id,
        sending.receiver_id,
        sending.encrypted_content,
    ];
    if fields.iter().any(|field| field.is_empty()) {
        return None;
    }
    let sent = Sent {
        message: "Message sent successfully",
        message_id: last_id.fetch_add(1, Ordering::Relaxed) + 1,
        timestamp: TIMESTAMP,
        status: "success",
    };
    serde_json::to_vec(&sent).ok().map(Body)
}

#[get("/messages/inbox?<user_id>&<limit>")]
fn inbox(user_id: &str, limit: u32, page: &State<Page>) -> Option<Body> {
    (!user_id.is_empty() && limit == 20).then(|| Body(page.0.clone()))
}

#[post("/auth/login", data = "<credentials>")]
fn login(credentials: Json<Credentials<'_>>) -> Option<Body> {
    if credentials.password_hash.is_empty() {
        return None;
    }
    let reply = serde_json::json!({
        "status": "success",
        "message": "Login successful",
        "data": {
            "user_id": credentials.user_id,
            "token": "t".repeat(TOKEN_LENGTH),
            "expires_in": 1800,
        },
    });
    serde_json::to_vec(&reply).ok().map(Body)
}

/// Twenty messages with contents of 344 bytes.
fn page_of_20() -> Page {
    let content = "A".repeat(344);
    let messages: Vec<_> = (0..20)
        .map(|index| Item {
            id: 999_999 - index,
            sender_id: "user0001",
            encrypted_content: &content,
            timestamp: TIMESTAMP,
        })
        .collect();
    let page = serde_json::json!({"messages": messages, "next": 999_980, "status": "success"});
    Page(page.to_string().into_bytes())
}

#[rocket::main]
async fn main() -> Result<(), Box<rocket::Error>> {
    let config = Config {
        port: Arguments::parse().port,
        log_level: LogLevel::Off,
        ..Config::release_default()
    };
    let announce = AdHoc::on_liftoff("announce", |rocket| {
        Box::pin(async move { println!("http://127.0.0.1:{}", rocket.config().port) })
    });
    rocket::custom(config)
        .manage(AtomicU64::new(0))
        .manage(page_of_20())
        .mount("/", routes![send, inbox, login])
        .attach(announce)
        .launch()
        .await
        .map(drop)
        .map_err(Box::new)
}
