//! What an operator sees: one log line a request, `/metrics`, `/healthz`, `/readyz`.

use std::time::Instant;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
};
use rocket::catcher::{self, Catcher, Handler};
use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::{ContentType, Method, Status};
use rocket::{Data, Request, Response, Route, get, routes};

use super::http::{AppState, Reply};
use crate::app::App;
use crate::hub::Channel;

/// Request figures by route template, method and status.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    /// Messages of the TCP protocol, by type.
    pub(crate) room_messages: IntCounterVec,
}

impl Metrics {
    /// Counters at zero.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let labels = ["method", "route", "status"];
        let metrics = Metrics {
            registry: Registry::new(),
            requests: IntCounterVec::new(
                Opts::new("sealpost_requests_total", "Answered HTTP requests."),
                &labels,
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new("sealpost_request_seconds", "Time from request to reply.")
                    .buckets(vec![
                        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
                    ]),
                &labels[..2],
            )?,
            room_messages: IntCounterVec::new(
                Opts::new(
                    "sealpost_chat_room_messages_total",
                    "Lines received over TCP, by type.",
                ),
                &["type"],
            )?,
        };
        metrics
            .registry
            .register(Box::new(metrics.requests.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.seconds.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.room_messages.clone()))?;
        Ok(metrics)
    }
}

/// How a request came.
struct Came {
    at: Instant,
    /// Rocket turns a HEAD into a GET where it finds its route.
    is_head: bool,
    /// Whether the fairing is there to count it.
    is_seen: bool,
}

fn came(request: &Request<'_>) -> Came {
    Came {
        at: Instant::now(),
        is_head: request.method() == Method::Head,
        is_seen: true,
    }
}

/// Counts and logs every request.
pub(crate) struct Observer(pub(crate) Metrics);

#[rocket::async_trait]
impl Fairing for Observer {
    fn info(&self) -> Info {
        Info {
            name: "log and count requests",
            kind: Kind::Request | Kind::Response,
        }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        request.local_cache(|| came(request));
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let came = request.local_cache(|| came(request));
        let method = if came.is_head {
            "HEAD"
        } else {
            request.method().as_str()
        };
        note(&self.0, request, method, came.at, response.status());
        // Whoever else is ready reads first, then all write: each of the two finds its code and data
        // in the processor's caches, and a client that waits for many wakes once for several. The
        // time of it is in no figure. Others mostly come from the writer, several at a time, and
        // have waited long enough.
        if request.method() == Method::Get {
            tokio::task::yield_now().await;
        }
    }
}

/// Counts and logs one request.
fn note(metrics: &Metrics, request: &Request<'_>, method: &str, came_at: Instant, status: Status) {
    let elapsed = came_at.elapsed();
    let route = request.route().map_or("none", |route| route.uri.path());
    let mut digits = [0; 3];
    metrics
        .requests
        .with_label_values(&[method, route, three_digits(status.code, &mut digits)])
        .inc();
    metrics
        .seconds
        .with_label_values(&[method, route])
        .observe(elapsed.as_secs_f64());
    // Never the query: tokens travel there.
    tracing::info!(
        method,
        path = request.uri().path().as_str(),
        status = status.code,
        micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        "request"
    );
}

/// A catcher that counts and logs what no fairing sees: a request whose method Rocket does not know
/// goes to its catcher at once, as a GET.
#[derive(Clone)]
struct Observed(Box<dyn Handler>);

/// The same catchers, [`Observed`].
pub(crate) fn observed(mut catchers: Vec<Catcher>) -> Vec<Catcher> {
    for catcher in &mut catchers {
        catcher.handler = Box::new(Observed(catcher.handler.clone()));
    }
    catchers
}

#[rocket::async_trait]
impl Handler for Observed {
    async fn handle<'r>(&self, status: Status, request: &'r Request<'_>) -> catcher::Result<'r> {
        let came = request.local_cache(|| Came {
            is_seen: false,
            ..came(request)
        });
        let answer = self.0.handle(status, request).await;
        let metrics = request.rocket().state::<Metrics>();
        if let (false, Ok(response), Some(metrics)) = (came.is_seen, &answer, metrics) {
            note(metrics, request, "other", came.at, response.status());
        }
        answer
    }
}

fn three_digits(status: u16, digits: &mut [u8; 3]) -> &str {
    for (digit, power) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / power % 10).unwrap_or(0);
    }
    std::str::from_utf8(digits).unwrap_or("000")
}

/// `/healthz`, `/readyz`, `/metrics`.
pub(crate) fn routes() -> Vec<Route> {
    routes![healthz, readyz, metrics]
}

/// The process answers.
#[get("/healthz")]
fn healthz() -> Reply {
    Reply::json(Status::Ok, &serde_json::json!({ "status": "ok" }))
}

/// The store takes writes.
#[get("/readyz")]
async fn readyz(app: &AppState) -> Reply {
    if app.db.is_writable().await {
        Reply::json(Status::Ok, &serde_json::json!({ "status": "ok" }))
    } else {
        let body =
            serde_json::json!({ "status": "error", "message": "the store takes no writes now" });
        Reply::json(Status::ServiceUnavailable, &body).with_header("Retry-After", "5")
    }
}

/// Figures in Prometheus' text format.
#[get("/metrics")]
fn metrics(app: &AppState, metrics: &rocket::State<Metrics>) -> Reply {
    let mut body = Vec::new();
    if let Err(cause) = TextEncoder::new().encode(&metrics.registry.gather(), &mut body) {
        tracing::error!(%cause, "metrics could not be written");
    }
    body.extend_from_slice(gauges(app).as_bytes());
    Reply::raw(
        Status::Ok,
        ContentType::new("text", "plain").with_params(("version", "0.0.4")),
        body,
    )
}

/// What is read from the application rather than counted along the way.
fn gauges(app: &App) -> String {
    use std::fmt::Write;
    use std::sync::atomic::Ordering::Relaxed;
    let mut text = String::new();
    let mut line = |name: &str, kind: &str, help: &str, value: u64| {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        );
    };
    if let Some(figures) = app.db.writer_figures() {
        line(
            "sealpost_writer_commits_total",
            "counter",
            "Synced commits.",
            figures.commits.load(Relaxed),
        );
        line(
            "sealpost_writer_jobs_total",
            "counter",
            "Writes in them.",
            figures.jobs.load(Relaxed),
        );
        line(
            "sealpost_writer_waiting",
            "gauge",
            "Writes that wait now.",
            figures.waiting.load(Relaxed),
        );
    }
    // What is not known has no line.
    if let Ok(sessions) = crate::users::tokens::count(app) {
        line(
            "sealpost_sessions",
            "gauge",
            "Logins that are alive.",
            sessions,
        );
    }
    if let Ok(bytes) = app.db.size_bytes() {
        line(
            "sealpost_database_bytes",
            "gauge",
            "Database file and log.",
            bytes,
        );
    }
    let _ = writeln!(
        text,
        "# HELP sealpost_live Live connections.\n# TYPE sealpost_live gauge"
    );
    for (channel, count) in app.hub.counts() {
        let _ = writeln!(
            text,
            "sealpost_live{{channel=\"{}\"}} {count}",
            channel_name(channel)
        );
    }
    text
}

fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::MessageStore => "message_store",
        Channel::Inbox => "message_store_inbox",
        Channel::Outbox => "message_store_outbox",
        Channel::SecureIm => "secure_im",
        Channel::Chat8 => "chat8",
        Channel::ChatRoom => "chat_room",
        Channel::Relay => "encommunication",
    }
}
