//! The local API of the published client, and the pages, for programs of this machine only.
//!
//! | route | does |
//! |---|---|
//! | `POST /api/register`, `POST /api/login`, `POST /api/logout` | users of this agent |
//! | `GET /api/me`, `GET /api/fingerprint`, `POST /api/server/accept` | who is here, with which keys |
//! | `GET /api/online_users`, `GET /api/peers`, `POST /api/peers/accept` | who is there |
//! | `POST /api/send_message`, `GET /api/chat/records` | writing and reading |
//! | `GET /api/stream`, `POST /push` | live |
//! | `GET /`, `/users`, `/chat/<id>`, `/page/<name>` | the pages |
//!
//! Every answer but the stream, `/push` and the pages is `{"code": 1 or 0, "msg", "data"}`.
//! What is done is `session`'s; who may ask is [`guard`]'s.

mod guard;
mod pages;
mod stream;
mod talk;
mod users;

use std::io::Write;
use std::sync::Arc;

use rocket::config::{Config, Ident, LogLevel, Shutdown};
use rocket::data::{ByteUnit, Data, Limits};
use rocket::fairing::AdHoc;
use rocket::http::Status;
use rocket::request::Request;
use rocket::response::content::RawJson;
use rocket::response::{self, Responder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::error::{Error, Result};
use super::session::Session;
use super::wire::{self, UserId};
use super::{Agent, AgentConfig};
use crate::bind;
use crate::method::AsSent;

/// The largest body: a message at its limit, escaped.
const BODY: ByteUnit = ByteUnit::Mebibyte(16);

/// Listens and answers until `shutdown`.
pub(super) async fn serve(
    config: &AgentConfig,
    agent: Arc<Agent>,
    shutdown: CancellationToken,
) -> Result<()> {
    let listens_on = format!("{}:{}", config.address, config.port);
    let rocket = rocket::custom(rocket_config(config))
        .manage(agent)
        .manage(shutdown.clone())
        .attach(AsSent)
        .attach(guard::fairing())
        .attach(guard::forgetting())
        .attach(AdHoc::on_liftoff("announce", |rocket| {
            Box::pin(async move { announce(rocket.config()) })
        }))
        .mount("/", guard::routes())
        .mount("/", pages::routes())
        .mount("/", stream::routes())
        .mount("/api", users::routes())
        .mount("/api", talk::routes())
        .register("/", rocket::catchers![unanswered]);
    let started = |error: rocket::Error| match error.kind() {
        rocket::error::ErrorKind::Bind(cause) => {
            let advice = bind::advice(cause, ["--address", "--port"]);
            Error::Start(format!("cannot listen on {listens_on}: {cause}; {advice}"))
        }
        _ => Error::Start(error.to_string()),
    };
    let rocket = rocket.ignite().await.map_err(started)?;
    let end = rocket.shutdown();
    let watch = tokio::spawn(async move {
        shutdown.cancelled().await;
        end.notify();
    });
    let served = rocket.launch().await;
    watch.abort();
    served.map(|_| ()).map_err(started)
}

fn rocket_config(config: &AgentConfig) -> Config {
    Config {
        address: config.address,
        port: config.port,
        ident: Ident::none(),
        ip_header: None,
        limits: Limits::default().limit("json", BODY).limit("string", BODY),
        shutdown: Shutdown {
            ctrlc: false,
            #[cfg(unix)]
            signals: std::collections::HashSet::new(),
            grace: 1,
            mercy: 1,
            ..Shutdown::default()
        },
        log_level: LogLevel::Off,
        cli_colors: false,
        ..Config::release_default()
    }
}

fn announce(config: &Config) {
    let host = match config.address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
    };
    let mut out = std::io::stdout();
    // Nobody may be reading; the agent serves all the same.
    let _ = writeln!(out, "sealpost agent: open http://{host}:{}", config.port);
    let _ = out.flush();
}

/// Every answer, in the published order.
#[derive(Debug, Serialize)]
struct Envelope<'a, T> {
    code: u8,
    msg: &'a str,
    data: T,
}

/// A good answer, as it is sent.
#[derive(Debug)]
struct Done(String);

/// A refusal, as it is sent.
type Refusal = (Status, RawJson<String>);

/// What a handler gives back.
type Answer = std::result::Result<Done, Error>;

/// A good answer without words of its own.
fn ok(data: impl Serialize) -> Done {
    done("ok", data)
}

/// A good answer: words and data.
fn done(msg: &str, data: impl Serialize) -> Done {
    Done(written(&Envelope { code: 1, msg, data }))
}

fn written(envelope: &Envelope<'_, impl Serialize>) -> String {
    serde_json::to_string(envelope).expect("an answer is plain data")
}

impl<'r> Responder<'r, 'static> for Done {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        RawJson(self.0).respond_to(request)
    }
}

impl<'r> Responder<'r, 'static> for Error {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let status = match &self {
            Self::Invalid(_)
            | Self::Refused(_)
            | Self::Throttled(_)
            | Self::LockedKeys
            | Self::TokenRefused => Status::BadRequest,
            Self::Unreachable | Self::NotReady | Self::NoKey | Self::Busy(_) => {
                Status::InternalServerError
            }
            Self::Corrupt(_) | Self::CorruptPeers(_) | Self::Io(_) | Self::Start(_) => {
                tracing::error!(error = ?self, "the agent failed");
                Status::InternalServerError
            }
        };
        refusal(status, &self.to_string()).respond_to(request)
    }
}

fn refusal(status: Status, msg: &str) -> Refusal {
    let (code, data) = (0, ());
    (status, RawJson(written(&Envelope { code, msg, data })))
}

#[rocket::catch(default)]
fn unanswered(status: Status, _: &Request<'_>) -> Refusal {
    refusal(status, status.reason_lossy())
}

/// The JSON object in a body, whatever its declared type.
async fn read_json(data: Data<'_>) -> Result<Value> {
    parse(&read_body(data).await?)
}

async fn read_body(data: Data<'_>) -> Result<Vec<u8>> {
    let body = data.open(BODY).into_bytes().await?;
    if !body.is_complete() {
        return Err(Error::Invalid("请求体过大"));
    }
    Ok(body.into_inner())
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|_| Error::Invalid("请求体必须是 JSON"))
}

/// A string of the body, not empty.
fn text<'a>(body: &'a Value, name: &str, problem: &'static str) -> Result<&'a str> {
    let text = body.get(name).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
        .ok_or(Error::Invalid(problem))
}

/// [`text`] without a copy, for those that may be megabytes long.
fn into_text(mut body: Value, name: &str, problem: &'static str) -> Result<String> {
    match body.get_mut(name).map(Value::take) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        _ => Err(Error::Invalid(problem)),
    }
}

/// An id of the body, a number or a numeric string.
fn id(body: &Value, name: &str) -> Result<UserId> {
    let id = body.get(name).and_then(wire::read_id);
    id.ok_or(Error::Invalid("用户 ID 必须是整数"))
}

/// The user of this agent with this id.
fn user(agent: &Agent, id: UserId) -> Result<Arc<Session>> {
    agent.session(id).ok_or(Error::Invalid("用户未登录"))
}
