//! Every setting: its meaning, unit and default.
//!
//! Settings come, each overriding the ones before, from these defaults, `Rocket.toml` in the
//! working directory (or `ROCKET_CONFIG`), `ROCKET_<NAME>` variables, and the command line;
//! [`sources`](crate::sources) reads them.

mod unusable;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use figment::Figment;
use serde::{Deserialize, Serialize};

use crate::error::Result;
pub(crate) use unusable::postgres_place;
use unusable::{is_origin, is_postgres_url, unreadable, unusable};

/// Who may call message_store without a token (contract §Who may call).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Nobody but peers on a loopback address that no proxy forwarded.
    Protected,
    /// Nobody.
    Token,
    /// Everybody: for closed networks only.
    Open,
}

/// Who may learn a user's address and port (secure_im).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionInfo {
    /// Every logged-in user, as published.
    Everyone,
    /// Friends, and those whom the user has added.
    Contacts,
}

/// How log lines are written to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One line of words, for people.
    Text,
    /// None at all.
    Off,
}

/// All settings of `serve`, checked by [`Config::load`]. Never shown: a secret and a password are
/// among them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The address that the HTTP ports bind to. Default 127.0.0.1.
    pub address: IpAddr,
    /// The HTTP ports; each serves everything. 0 takes a free one. Default `[5000]`.
    pub ports: Vec<u16>,
    /// Where the database, keys and uploads are. Default `./data`.
    pub data_dir: PathBuf,
    /// `postgres://…` to use a PostgreSQL server. Default: SQLite in the data directory.
    pub database_url: Option<String>,
    /// Who may call message_store without a token. Default `protected`.
    pub auth: Auth,
    /// Proxies whose `X-Forwarded-For` is believed. Default none.
    pub trusted_proxies: Vec<IpAddr>,
    /// Web origins that may call from a browser and open WebSockets; `*` for any. Default none:
    /// only pages of the server's own origin.
    pub allowed_origins: Vec<String>,
    /// Who may learn a user's address (secure_im). Default `everyone`.
    pub connection_info: ConnectionInfo,
    /// The most bytes of one message's content. Default 8 MiB.
    pub max_content_bytes: u64,
    /// The most bytes of one uploaded file. Default 50 MiB.
    pub max_upload_bytes: u64,
    /// The most bytes of an avatar. Default 5 MiB.
    pub max_avatar_bytes: u64,
    /// How long a token lives, in seconds. Default 1,800.
    pub token_lifetime_secs: i64,
    /// The secret that signs tokens, at least 32 characters. Default: made at the first start and
    /// kept in the data directory. Nodes that share a PostgreSQL server must share it.
    pub secret_key: Option<String>,
    /// Failed logins for one account until further ones wait. Default 10; one more each 6 s.
    pub login_failures_per_account: u32,
    /// Failed logins from one address until further ones wait. Default 100; one more each second.
    pub login_failures_per_address: u32,
    /// Threads that serve requests. Default: the number of processors.
    pub workers: usize,
    /// Writes that may wait; more are refused with 503. Default 8,192.
    pub queue_capacity: usize,
    /// Default `text` on a terminal, `json` elsewhere.
    pub log_format: Option<LogFormat>,
    /// Which log lines: `error`, `warn`, `info` (one line a request), `debug`. Default `info`.
    pub log_filter: String,
    /// The TCP protocol chat_room.
    pub chat_room: ChatRoom,
}

/// The settings that the agent has in common with the server.
#[derive(Clone, Debug, Deserialize)]
pub struct Logging {
    /// See [`Config::log_format`].
    pub log_format: Option<LogFormat>,
    /// See [`Config::log_filter`].
    pub log_filter: String,
}

/// Settings of the chat_room listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatRoom {
    /// Whether it listens at all. Default true.
    pub enabled: bool,
    /// The address it binds to; passwords travel in clear unless `tls` is set. Default 127.0.0.1.
    pub address: IpAddr,
    /// Its port; 0 takes a free one. Default 8888.
    pub port: u16,
    /// The most connections at once. Default 4,096.
    pub max_connections: usize,
    /// The most bytes of one file. Default 100 MiB.
    pub max_file_bytes: u64,
    /// Certificate and key for TLS. Default none.
    pub tls: Option<Tls>,
}

/// PEM files for TLS.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tls {
    /// The certificate chain.
    pub certs: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            address: Ipv4Addr::LOCALHOST.into(),
            ports: vec![5000],
            data_dir: "data".into(),
            database_url: None,
            auth: Auth::Protected,
            trusted_proxies: Vec::new(),
            allowed_origins: Vec::new(),
            connection_info: ConnectionInfo::Everyone,
            max_content_bytes: USUAL_CONTENT_BYTES,
            max_upload_bytes: 50 << 20,
            max_avatar_bytes: 5 << 20,
            token_lifetime_secs: 1_800,
            secret_key: None,
            login_failures_per_account: 10,
            login_failures_per_address: 100,
            workers: std::thread::available_parallelism().map_or(2, Into::into),
            queue_capacity: 8_192,
            log_format: None,
            log_filter: "info".into(),
            chat_room: ChatRoom::default(),
        }
    }
}

impl Default for ChatRoom {
    fn default() -> Self {
        ChatRoom {
            enabled: true,
            address: Ipv4Addr::LOCALHOST.into(),
            port: 8888,
            max_connections: 4_096,
            max_file_bytes: 100 << 20,
            tls: None,
        }
    }
}

/// The default of [`Config::max_content_bytes`].
pub(crate) const USUAL_CONTENT_BYTES: u64 = 8 << 20;
/// Of writes in a queue and of connections: far more than any machine takes.
const MOST_WAITING: usize = 1_000_000;
/// Of threads: more than processors take turns.
const MOST_WORKERS: usize = 10_000;
/// Of one upload: 1 TiB.
const LARGEST_UPLOAD_BYTES: u64 = 1 << 40;
/// A hundred years.
const LONGEST_LIFE_SECS: i64 = 3_153_600_000;
/// Sealed once more and written as JSON it still is a row that SQLite takes.
const LARGEST_CONTENT_BYTES: u64 = 256 << 20;

/// Whether each part of a filter is a level.
fn is_log_filter(filter: &str) -> bool {
    filter.split(',').all(is_level)
}

/// A level, or one for a target; any other word would be taken for a target's name.
fn is_level(directive: &str) -> bool {
    use tracing::level_filters::LevelFilter;
    let level = directive.rsplit('=').next().unwrap_or_default();
    level.trim().parse::<LevelFilter>().is_ok()
}

/// Reads settings of which it is known where they are.
fn extract<'a, T: Deserialize<'a>>(sources: &Figment) -> Result<T> {
    if let Some(file) = std::env::var_os("ROCKET_CONFIG").map(PathBuf::from)
        && !file.exists()
    {
        let problem = format!("ROCKET_CONFIG names {}, which is not there", file.display());
        return Err(unusable(&problem));
    }
    sources.extract().map_err(|cause| unreadable(&cause))
}

const LOG_FILTERS: &str = "log_filter must be error, warn, info, debug, trace or off";

impl Logging {
    /// Reads and checks these settings, and no other.
    pub fn load(sources: &Figment) -> Result<Logging> {
        let logging: Logging = extract(sources)?;
        if !is_log_filter(&logging.log_filter) {
            return Err(unusable(&LOG_FILTERS));
        }
        Ok(logging)
    }
}

impl Config {
    /// Reads and checks the settings.
    pub fn load(sources: &Figment) -> Result<Config> {
        let config: Config = extract(sources)?;
        config.check().map_err(|problem| unusable(&problem))?;
        match config.repeated_port() {
            Some(port) => Err(unusable(&format!("port {port} is named twice"))),
            None => Ok(config),
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        let is_postgres =
            |url: &str| url.starts_with("postgres://") || url.starts_with("postgresql://");
        let database_url = self.database_url.as_deref();
        let rules = [
            (is_log_filter(&self.log_filter), LOG_FILTERS),
            (!self.ports.is_empty(), "ports must name at least one port"),
            (
                (1..=MOST_WORKERS).contains(&self.workers),
                "workers must be from 1 to 10000",
            ),
            (
                (1..=MOST_WAITING).contains(&self.queue_capacity),
                "queue_capacity must be from 1 to 1000000",
            ),
            (
                (1..=MOST_WAITING).contains(&self.chat_room.max_connections),
                "chat_room.max_connections must be from 1 to 1000000",
            ),
            (
                (1..=LONGEST_LIFE_SECS).contains(&self.token_lifetime_secs),
                "token_lifetime_secs must be from 1 to 3153600000",
            ),
            (
                self.login_failures_per_account > 0,
                "login_failures_per_account must be at least 1",
            ),
            (
                self.login_failures_per_address > 0,
                "login_failures_per_address must be at least 1",
            ),
            (
                (1..=LARGEST_CONTENT_BYTES).contains(&self.max_content_bytes),
                "max_content_bytes must be from 1 to 268435456",
            ),
            (
                self.largest_uploads()
                    .iter()
                    .all(|bytes| (1..=LARGEST_UPLOAD_BYTES).contains(bytes)),
                "max_upload_bytes, max_avatar_bytes and chat_room.max_file_bytes must be from 1 to \
                 1099511627776",
            ),
            (
                self.secret_key.as_ref().is_none_or(|key| key.len() >= 32),
                "secret_key must have at least 32 characters",
            ),
            (
                database_url.is_none_or(is_postgres),
                "database_url must begin with postgres:// (SQLite needs none)",
            ),
            (
                database_url.is_none_or(is_postgres_url),
                "database_url must be like postgres://user:password@host:port/database; \
                 write %, /, @ and : in the password as %25, %2F, %40 and %3A",
            ),
            (
                self.allowed_origins.iter().all(|origin| is_origin(origin)),
                "allowed_origins must hold \"*\" or origins as browsers send them, like \
                 \"https://chat.example\" or \"http://localhost:3000\": in small letters, without \
                 a path, a final slash or the usual port",
            ),
            (
                !self.data_dir.as_os_str().is_empty(),
                "data_dir must name a directory",
            ),
        ];
        rules
            .iter()
            .find(|(holds, _)| !holds)
            .map_or(Ok(()), |(_, problem)| Err(*problem))
    }

    /// A port that nobody but this server keeps it from having.
    fn repeated_port(&self) -> Option<u16> {
        let room = &self.chat_room;
        let room = (room.enabled && room.address == self.address).then_some(room.port);
        let mut named = HashSet::new();
        let mut ports = self.ports.iter().copied().chain(room);
        ports.find(|port| *port != 0 && !named.insert(*port))
    }

    fn largest_uploads(&self) -> [u64; 3] {
        [
            self.max_upload_bytes,
            self.max_avatar_bytes,
            self.chat_room.max_file_bytes,
        ]
    }

    /// Where uploaded bytes lie.
    pub fn uploads_dir(&self) -> PathBuf {
        self.data_dir.join("uploads")
    }

    /// Where the server's secrets lie.
    pub fn key_file(&self, name: &str) -> PathBuf {
        Path::new(&self.data_dir).join(name)
    }
}

#[cfg(test)]
mod tests {
    use figment::providers::{Format, Toml};

    use super::*;

    /// The names of all settings, those of the TCP protocol as `chat_room.<name>`.
    fn names() -> Vec<String> {
        let defaults = serde_json::to_value(Config::default()).expect("settings are plain data");
        let mut names = Vec::new();
        for (name, value) in defaults.as_object().expect("settings have names") {
            match value.as_object() {
                Some(inner) => names.extend(inner.keys().map(|key| format!("{name}.{key}"))),
                None => names.push(name.clone()),
            }
        }
        names
    }

    #[test]
    fn the_published_file_holds_every_default() {
        let text = include_str!("../Rocket.toml");
        let figment = Figment::from(Toml::string(text).nested()).select("default");
        let config: Config = figment.extract().expect("the file can be read");
        let as_json = |config| serde_json::to_value(config).expect("settings are plain data");
        assert_eq!(as_json(config), as_json(Config::default()));
        for name in names() {
            let name = name.rsplit('.').next().expect("a name");
            let is_there = text.lines().any(|line| {
                let line = line.trim_start_matches("# ");
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(" ="))
            });
            assert!(is_there, "Rocket.toml says nothing of {name}");
        }
    }

    #[test]
    fn the_documentation_names_every_setting() {
        let text = include_str!("../docs/configuration.md");
        for name in names() {
            assert!(
                text.contains(&format!("| `{name}` |")),
                "docs/configuration.md lacks {name}"
            );
        }
    }
}
