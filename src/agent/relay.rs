//! The server, as its HTTP API answers; the socket is `link`'s.
//!
//! It keeps no state but the connection pool, and retries nothing.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Error, Result};
use super::wire::{self, Listed, Record, UserId};

/// Until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until an answer is whole, and of one that is longer until its next byte.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Until a part of a history is whole: it may hold pictures, and come over a slow link.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(3_600);

/// The HTTP half of the relay API.
#[derive(Debug)]
pub(super) struct Relay {
    base: String,
    http: reqwest::Client,
    calls: Reach,
    /// Of the socket: what lies between may let calls pass and no socket.
    pub(super) socket: Reach,
}

/// Whether the server was reached when it was tried last. Only a change of that goes to the log:
/// links are dialled again every few seconds.
#[derive(Debug, Default)]
pub(super) struct Reach(Mutex<Option<String>>);

impl Reach {
    /// It could not be reached, and `cause` with all that is behind it says why.
    pub(super) fn lost(&self, cause: &dyn std::error::Error) -> Error {
        let causes = std::iter::successors(Some(cause), |cause| cause.source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        let cause = causes.join(": ");
        let mut last = self.last();
        if last.as_ref() != Some(&cause) {
            tracing::warn!(cause, "the server cannot be reached");
            *last = Some(cause);
        }
        Error::Unreachable
    }

    /// It answers.
    pub(super) fn found(&self) {
        if self.last().take().is_some() {
            tracing::info!("the server is reached again");
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().expect("nobody panics with the lock held")
    }
}

/// A successful login.
#[derive(Deserialize)]
pub(super) struct Login {
    #[serde(deserialize_with = "wire::id")]
    pub(super) id: UserId,
    pub(super) token: String,
}

#[derive(Deserialize)]
struct Envelope {
    code: i64,
    #[serde(default)]
    msg: Option<String>,
    #[serde(default)]
    data: Value,
}

/// A part of a history: the newest `limit` records before record `before`, or all of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    pub(super) limit: Option<usize>,
    pub(super) before: Option<i64>,
}

/// What came to a user after some record, oldest first.
#[derive(Deserialize)]
pub(super) struct Received {
    /// None when there is no more of it.
    pub(super) records: Vec<Record>,
    /// From where to ask on.
    pub(super) last: i64,
}

impl Relay {
    /// The relay at `base`, an `http` or `https` URL without a final slash.
    ///
    /// No redirect is followed and no proxy used: both would carry the token elsewhere.
    pub(super) fn new(base: &str) -> Result<Self> {
        let url = reqwest::Url::parse(base);
        let known = url.is_ok_and(|url| ["http", "https"].contains(&url.scheme()));
        if !known {
            return Err(Error::Start(format!("{base} is not an http or https URL")));
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .read_timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(|error| Error::Start(error.to_string()))?;
        Ok(Self {
            base: base.to_owned(),
            http,
            calls: Reach::default(),
            socket: Reach::default(),
        })
    }

    /// The URL this relay was made with.
    pub(super) fn url(&self) -> &str {
        &self.base
    }

    /// The URL of the socket.
    pub(super) fn socket_url(&self) -> String {
        // http → ws, https → wss. Messages are to come with the ids of their records.
        format!("{}/chat?ids=true", self.base.replacen("http", "ws", 1))
    }

    /// Registers; what the server says about the new user.
    pub(super) async fn register(
        &self,
        username: &str,
        password: &str,
        repassword: &str,
        public_key: &str,
    ) -> Result<Value> {
        let body = json!({
            "username": username, "password": password,
            "repassword": repassword, "publicKey": public_key,
        });
        let request = self.http.post(format!("{}/register", self.base));
        self.call(request.json(&body)).await
    }

    /// Makes `public_key` the one that the server shows for the user of `token`.
    ///
    /// Errors: [`Error::Refused`] also from a server without such a call.
    pub(super) async fn publish_key(&self, token: &str, public_key: &str) -> Result<()> {
        let request = self.http.put(format!("{}/publicKey", self.base));
        let request = request.header("token", token);
        let body = json!({"publicKey": public_key});
        self.call(request.json(&body)).await.map(drop)
    }

    /// Logs in. Errors: [`Error::Refused`] with the server's words.
    pub(super) async fn login(&self, username: &str, password: &str) -> Result<Login> {
        let body = json!({"username": username, "password": password});
        let request = self.http.post(format!("{}/login", self.base));
        let data = self.call(request.json(&body)).await?;
        serde_json::from_value(data).map_err(|_| Error::Unreachable)
    }

    /// Records between `from`, whose token it is, and `to`; oldest first.
    pub(super) async fn records(
        &self,
        token: &str,
        from: UserId,
        to: UserId,
        window: Window,
    ) -> Result<Vec<Record>> {
        let mut query = vec![("fromId", from), ("toId", to)];
        query.extend(
            window
                .limit
                .map(|limit| ("limit", i64::try_from(limit).unwrap_or(i64::MAX))),
        );
        query.extend(window.before.map(|before| ("before", before)));
        let url = format!("{}/chatRecords", self.base);
        let request = self.http.get(url).query(&query).header("token", token);
        let answer = self.send(request.timeout(HISTORY_TIMEOUT)).await?;
        match answer.status() {
            StatusCode::OK => answer.json().await.map_err(|_| Error::Unreachable),
            StatusCode::UNAUTHORIZED => Err(Error::TokenRefused),
            status if status.is_server_error() => Err(Error::Unreachable),
            status => Err(Error::Refused(format!("获取聊天记录失败 ({status})"))),
        }
    }

    /// A part of what came to the user of `token` after the record `after`; without it no records,
    /// only from where to ask on. Nothing at all from a server that does not tell.
    pub(super) async fn received(
        &self,
        token: &str,
        after: Option<i64>,
    ) -> Result<Option<Received>> {
        let url = format!("{}/received", self.base);
        let after = after.map(|after| ("after", after));
        let request = self.http.get(url).query(after.as_slice());
        let request = request.header("token", token).timeout(HISTORY_TIMEOUT);
        let answer = self.send(request).await?;
        match answer.status() {
            StatusCode::OK => {
                let envelope: Envelope = answer.json().await.map_err(|_| Error::Unreachable)?;
                Ok(serde_json::from_value(envelope.data).ok())
            }
            StatusCode::UNAUTHORIZED => Err(Error::TokenRefused),
            status if status.is_server_error() => Err(Error::Unreachable),
            _ => Ok(None),
        }
    }

    /// The user `id` as rosters list them, there or not.
    ///
    /// Errors: [`Error::NotReady`] if the server knows nobody of this id, or does not tell.
    pub(super) async fn listed(&self, token: &str, id: UserId) -> Result<Listed> {
        let url = format!("{}/publicKey", self.base);
        let request = self.http.get(url).query(&[("userId", id)]);
        let answer = self.send(request.header("token", token)).await?;
        match answer.status() {
            StatusCode::OK => {
                let envelope: Envelope = answer.json().await.map_err(|_| Error::Unreachable)?;
                let listed: Option<Listed> = serde_json::from_value(envelope.data).ok();
                let asked_for = listed.filter(|listed| listed.id == id);
                asked_for.ok_or(Error::Unreachable)
            }
            StatusCode::UNAUTHORIZED => Err(Error::TokenRefused),
            status if status.is_server_error() => Err(Error::Unreachable),
            _ => Err(Error::NotReady),
        }
    }

    /// The server's public key in PEM, or nothing if it shows none.
    pub(super) async fn server_key(&self) -> Result<Option<String>> {
        let url = format!("{}/server_public.pem", self.base);
        let answer = self.send(self.http.get(url)).await?;
        if answer.status() != StatusCode::OK {
            return Ok(None);
        }
        answer
            .text()
            .await
            .map(Some)
            .map_err(|_| Error::Unreachable)
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response> {
        // The same cause is to read the same whatever was asked.
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        let answer = answer.map_err(|cause| self.calls.lost(&cause))?;
        self.calls.found();
        Ok(answer)
    }

    async fn call(&self, request: RequestBuilder) -> Result<Value> {
        let answer = self.send(request).await?;
        let status = answer.status();
        let envelope: Envelope = answer.json().await.map_err(|cause| {
            let cause = cause.without_url();
            tracing::warn!(%status, %cause, "the server does not answer as a relay does");
            Error::Unreachable
        })?;
        let words = envelope.msg.unwrap_or_default();
        match envelope.code {
            1 => Ok(envelope.data),
            _ if status == StatusCode::TOO_MANY_REQUESTS => Err(Error::Throttled(words)),
            _ if status.is_server_error() => Err(Error::Busy(words)),
            _ => Err(Error::Refused(words)),
        }
    }
}
