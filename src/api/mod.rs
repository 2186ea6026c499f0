//! Serves everything: the HTTP APIs on every port, the TCP protocol, and their common end.
//!
//! Each folder below is one published API: parse, one call of a noun, reply. An API never looks
//! at another one, never writes SQL, and words its own errors.

mod body;
mod chat8;
mod chat_room;
mod cors;
mod docs;
mod download;
mod encommunication;
pub(crate) mod http;
pub(crate) mod listing;
mod message_store;
pub(crate) mod object;
mod observe;
mod outlet;
mod peer;
mod secure_im;
pub(crate) mod socket;
mod user_id;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use rocket::config::{LogLevel, Shutdown};
use rocket::fairing::AdHoc;
use rocket::http::uri::Origin;
use rocket::http::{Header, Method, Status};
use rocket::{Build, Ignite, Request, Rocket, Route, catch, catchers};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::app::App;
use crate::bind;
use crate::error::{Error, Result};
use crate::method::AsSent;
pub use chat_room::check_tls;
pub use docs::openapi;
use http::Reply;
use observe::observed;

/// Where a server listens, once it does.
#[derive(Clone, Debug, Default)]
pub struct Listening {
    /// HTTP, one for each port.
    pub http: Vec<SocketAddr>,
    /// The TCP protocol, unless it is off.
    pub chat_room: Option<SocketAddr>,
}

/// Serves until `app.shutdown` is cancelled, then drains and returns.
///
/// `on_ready` is called once, when everything listens. Errors: an address that cannot be bound.
pub async fn serve(app: Arc<App>, on_ready: impl FnOnce(&Listening)) -> Result<()> {
    raise_file_limit();
    crate::messages::resume_clock(&app)?;
    crate::files::remove_partial(&app)?;
    let shared = Shared::new()?;
    let (lifted, mut bound) = mpsc::unbounded_channel();
    let mut servers = JoinSet::new();
    let mut listening = Listening::default();
    let chat_room = &app.config.chat_room;
    let chat_room = chat_room
        .enabled
        .then(|| chat_room::bind(chat_room))
        .transpose()?;
    // All are made before the first one runs: Rocket's own log, which shows whole requests, is on
    // for all of them while one is made.
    let mut rockets = Vec::new();
    for &port in &app.config.ports {
        let rocket = http_server(app.clone(), shared.clone(), port, lifted.clone());
        let cannot = |cause| Error::Internal(format!("the server cannot start: {cause}"));
        rockets.push((rocket.ignite().await.map_err(cannot)?, port));
    }
    for (rocket, port) in rockets {
        servers.spawn(launch(rocket, app.clone(), port));
        tokio::select! {
            address = bound.recv() => listening.http.extend(address),
            failed = servers.join_next() => {
                app.shutdown.cancel();
                return ended(failed);
            }
        }
    }
    if let Some(bound) = chat_room {
        listening.chat_room = Some(bound.address()?);
        servers.spawn(chat_room::serve(bound, app.clone(), shared.metrics));
    }
    let announcer = tokio::spawn(crate::contacts::announce_changes(app.clone()));
    tokio::spawn(encommunication::keep_roster(app.clone()));
    on_ready(&listening);
    // A server that ends by itself takes the others along: half a service would look like a whole.
    let mut outcome = tokio::select! {
        () = app.shutdown.cancelled() => Ok(()),
        first = servers.join_next() => ended(first),
    };
    app.shutdown.cancel();
    app.hub.shut_down();
    while let Some(server) = servers.join_next().await {
        outcome = outcome.and(ended(Some(server)));
    }
    outcome = outcome.and(announcer.await.map_err(Error::from));
    let closing = app.clone();
    let closed = tokio::task::spawn_blocking(move || closing.db.close()).await;
    outcome.and(closed.map_err(Error::from))
}

/// Each connection takes a file descriptor; takes as many as the system gives.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(cause) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%cause, "the limit of open files stays as it is");
    }
}

fn ended(server: Option<Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    match server {
        Some(Ok(outcome)) => outcome,
        Some(Err(cause)) => Err(cause.into()),
        None => Ok(()),
    }
}

/// Every HTTP route of every API.
pub fn routes() -> Vec<Route> {
    [
        docs::routes(),
        observe::routes(),
        message_store::routes(),
        encommunication::routes(),
        chat8::routes(),
        secure_im::routes(),
    ]
    .concat()
}

/// What the servers of all ports have in common, beside the [`App`].
#[derive(Clone)]
struct Shared {
    metrics: observe::Metrics,
    turns: encommunication::Turns,
}

impl Shared {
    fn new() -> Result<Self> {
        let metrics = observe::Metrics::new();
        Ok(Shared {
            metrics: metrics.map_err(|cause| Error::Internal(cause.to_string()))?,
            turns: encommunication::Turns::default(),
        })
    }
}

fn http_server(
    app: Arc<App>,
    shared: Shared,
    port: u16,
    lifted: mpsc::UnboundedSender<SocketAddr>,
) -> Rocket<Build> {
    let config = rocket::Config {
        address: app.config.address,
        port,
        workers: app.config.workers,
        // Ours is one line a request without the query; theirs prints it, and tokens travel there.
        log_level: LogLevel::Off,
        ident: rocket::config::Ident::none(),
        // The peer's own word for where it comes from counts only by `trusted_proxies`.
        ip_header: None,
        shutdown: Shutdown {
            ctrlc: false,
            signals: HashSet::default(),
            grace: 2,
            mercy: 2,
            ..Shutdown::default()
        },
        ..rocket::Config::release_default()
    };
    let cors = cors::Cors(app.clone());
    let rocket = rocket::custom(config)
        .manage(app)
        .manage(shared.metrics.clone())
        .manage(shared.turns)
        .manage(docs::Document::new())
        .mount("/", routes())
        .register(chat8::BASE, observed(chat8::catchers()))
        .register("/", observed(catchers![unserved]));
    let rocket = secure_im::BASES.iter().fold(rocket, |rocket, base| {
        rocket.register(*base, observed(secure_im::catchers()))
    });
    let rocket = encommunication::BASES.iter().fold(rocket, |rocket, base| {
        rocket.register(*base, observed(encommunication::catchers()))
    });
    rocket
        .attach(AsSent)
        .attach(AdHoc::on_request("optional final slash", |request, _| {
            Box::pin(async move { drop_final_slash(request) })
        }))
        .attach(AdHoc::on_request("parameters once", |request, _| {
            Box::pin(async move { keep_last_of_repeated(request) })
        }))
        .attach(AdHoc::on_request("HEAD is no GET", |request, _| {
            Box::pin(async move { drop_what_is_for_get(request) })
        }))
        .attach(cors)
        .attach(observe::Observer(shared.metrics))
        .attach(AdHoc::on_liftoff("tell where we listen", move |rocket| {
            let config = rocket.config();
            // Nobody waits for it any more if another port could not be bound.
            let _ = lifted.send(SocketAddr::new(config.address, config.port));
            Box::pin(std::future::ready(()))
        }))
}

/// Answers what no route took, in the words of the API whose path it is; message_store is the
/// core API, and has all that is nobody's.
#[catch(default)]
fn unserved(status: Status, request: &Request<'_>) -> Reply {
    if secure_im::owns(request.uri().path().as_str()) {
        return secure_im::refuse(status, request);
    }
    message_store::refuse(status, request)
}

/// `/users/` and `/users` are the same (the router would tell them apart).
fn drop_final_slash(request: &mut Request<'_>) {
    let uri = request.uri();
    let path = uri.path().as_str();
    if path.len() > 1 && path.ends_with('/') {
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
        let query = uri
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        if let Ok(shorter) = Origin::parse_owned(format!("{path}{query}")) {
            request.set_uri(shorter);
        }
    }
}

/// Of a parameter that is repeated the last one counts. Routes would see none at all, which in a
/// list means everything. They take what follows a `.` or `[` for parts of one parameter, too.
fn keep_last_of_repeated(request: &mut Request<'_>) {
    let uri = request.uri();
    let Some(query) = uri.query().filter(|query| query.contains('&')) else {
        return;
    };
    let pairs: Vec<_> = query.split('&').collect();
    let mut names = HashSet::new();
    let mut kept: Vec<&str> = Vec::new();
    for pair in pairs.iter().rev() {
        let name = pair.split_at_byte(b'=').0.url_decode_lossy();
        let name = name.split(['.', '[']).next().unwrap_or_default().to_owned();
        if names.insert(name) {
            kept.push(pair.as_str());
        }
    }
    kept.reverse();
    if kept.len() < pairs.len()
        && let Ok(shorter) = Origin::parse_owned(format!("{}?{}", uri.path(), kept.join("&")))
    {
        request.set_uri(shorter);
    }
}

/// Ranges and sockets are for GET alone (RFC 9110 §14.2, RFC 6455 §4.1). Routes cannot tell: to
/// them a HEAD is a GET.
fn drop_what_is_for_get(request: &mut Request<'_>) {
    if request.method() != Method::Head {
        return;
    }
    for name in ["Range", "Upgrade"] {
        if request.headers().contains(name) {
            request.replace_header(Header::new(name, ""));
        }
    }
}

/// Runs one server until the common end.
async fn launch(rocket: Rocket<Ignite>, app: Arc<App>, port: u16) -> Result<()> {
    let stop = rocket.shutdown();
    let shutdown = app.shutdown.clone();
    let address = app.config.address;
    tokio::spawn(async move {
        shutdown.cancelled().await;
        stop.notify();
    });
    let Err(cause) = rocket.launch().await else {
        return Ok(());
    };
    // Rocket panics if its errors are dropped unseen.
    let text = match cause.kind() {
        // The time of grace is over and some connection is still there: it goes with the process.
        rocket::error::ErrorKind::Shutdown(_, None) => return Ok(()),
        rocket::error::ErrorKind::Bind(cause) => {
            let advice = bind::advice(cause, ["--address", "--port"]);
            format!("cannot listen on {address}:{port}: {cause}; {advice}")
        }
        other => format!("the server on port {port} failed: {other}"),
    };
    Err(Error::Internal(text))
}
