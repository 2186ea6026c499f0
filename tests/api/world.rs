//! A world for one test: a server with its own data, people who use it, and what they can do.
//!
//! The server is the built program, started on a free port through its own command line, and
//! killed when the world is dropped. Nothing here judges an answer beyond "it was the expected
//! status"; that is the tests' part.

mod bulk;
mod held;
mod memory;
mod postgres;
mod process;
mod proxy;
mod reply;
mod server;
mod skipped;
mod socket;
mod waiting;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use reqwest::Method;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

pub(crate) use postgres::OwnDatabase;
pub(crate) use process::{Process, end_of, ended, program};
pub(crate) use proxy::way_that_loses_answers;
pub(crate) use reply::{Reply, as_float, redacted};
pub(crate) use server::{Server, free_port};
pub(crate) use skipped::{skipped, skips_postgres_test, skips_sqlite_test};
pub(crate) use socket::{Refusal, close_code, dial, next_text, rest_of, texts_so_far};
pub(crate) use waiting::{PATIENCE, poll, wait_for};

/// The public key every person registers with, unless the test is about keys.
pub(crate) const PUBLIC_KEY: &str = "your_public_key";

/// How a world is to be started: what is said on the command line and in the environment.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    args: Vec<String>,
    env: Vec<(String, String)>,
    wrapper: Vec<String>,
    chat_room: bool,
}

impl Setup {
    /// The plain server: a free port, no TCP chat room.
    pub(crate) fn new() -> Self {
        Self {
            args: Vec::new(),
            env: Vec::new(),
            wrapper: Vec::new(),
            chat_room: false,
        }
    }

    /// Adds one more command-line argument to `serve`.
    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable of the server.
    pub(crate) fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// Leaves the TCP chat room on; the test says by `arg` or `env` on which port.
    pub(crate) fn with_chat_room(mut self) -> Self {
        self.chat_room = true;
        self
    }

    /// Starts the server through another program, which must `exec` what follows it.
    pub(crate) fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
        self
    }

    /// The command line of `serve` on `data_dir`, on a free port.
    pub(crate) fn serve_args(&self, data_dir: &Path, database_url: Option<&str>) -> Vec<String> {
        let mut args: Vec<String> = ["serve", "--port", "0", "--data-dir"]
            .map(String::from)
            .into();
        args.push(data_dir.display().to_string());
        if !self.chat_room {
            args.push("--no-chat-room".to_owned());
        }
        if let Some(url) = database_url {
            args.extend(["--database-url".to_owned(), url.to_owned()]);
        }
        args.extend(self.args.iter().cloned());
        args
    }

    /// Starts a world with fresh data.
    pub(crate) fn start(self) -> World {
        let home = TempDir::new().expect("a temporary directory");
        let data_dir = home.path().join("data");
        self.start_on(home, data_dir)
    }

    /// Starts a world whose working directory is `home` and whose data is in `data_dir`.
    pub(crate) fn start_on(self, home: TempDir, data_dir: PathBuf) -> World {
        let database = OwnDatabase::create_if_asked();
        let url = database.as_ref().map(OwnDatabase::url);
        let args = self.serve_args(&data_dir, url);
        let server = Server::start(&self.wrapper, &args, &self.env, home.path());
        World {
            setup: self,
            server,
            http: client(),
            data_dir,
            database,
            home,
        }
    }
}

/// A client that waits long and never goes through a proxy.
pub(crate) fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(std::time::Duration::from_secs(90))
        .build()
        .expect("a plain HTTP client")
}

/// One running server and the directory and database it keeps its data in.
pub(crate) struct World {
    setup: Setup,
    pub(crate) server: Server,
    http: Client,
    data_dir: PathBuf,
    // Dropped after the server: a database in use cannot be dropped.
    database: Option<OwnDatabase>,
    home: TempDir,
}

impl World {
    /// A server as a newcomer starts it.
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    /// Kills the server where it stands (SIGKILL) and starts it on the same data.
    pub(crate) fn restart(&mut self) {
        self.server.kill();
        let url = self.database.as_ref().map(OwnDatabase::url);
        let args = self.setup.serve_args(&self.data_dir, url);
        self.server = Server::start(
            &self.setup.wrapper,
            &args,
            &self.setup.env,
            self.home.path(),
        );
    }

    /// Where the server keeps its files.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The working directory of the server.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The database of this world, when it is not the SQLite file.
    pub(crate) fn database(&self) -> Option<&OwnDatabase> {
        self.database.as_ref()
    }

    /// The full address of `path` on this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.server.port())
    }

    /// A bare connection, for what no client would send.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.server.port())).expect("it accepts");
        let patience = Some(PATIENCE);
        stream.set_read_timeout(patience).expect("a timeout");
        stream
    }

    /// How many the server counts as live on a channel.
    pub(crate) fn live(&self, channel: &str) -> usize {
        let metrics = self.get("/metrics", &[]).text;
        let figure = format!("sealpost_live{{channel=\"{channel}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&figure));
        count.map_or(0, |count| count.parse().expect("a number"))
    }

    /// A request to be completed by the test; [`Reply::to`] sends it.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// GETs `path` with `query`, with no credential.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> Reply {
        Reply::to(self.request(Method::GET, path).query(query))
    }

    /// Sends `body` as JSON, with no credential.
    pub(crate) fn call(&self, method: Method, path: &str, body: &Value) -> Reply {
        Reply::to(self.request(method, path).json(body))
    }

    /// POSTs `body` as JSON, with no credential.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::POST, path, body)
    }

    /// Registers `user_id` with a password hash derived from the name.
    pub(crate) fn register(&self, user_id: &str) -> Person<'_> {
        let body = json!({
            "user_id": user_id,
            "password_hash": password_hash_of(user_id),
            "public_key": PUBLIC_KEY,
        });
        self.post("/auth/register", &body).ok();
        self.person(user_id)
    }

    /// Registers several people at once.
    pub(crate) fn people<const N: usize>(&self, user_ids: [&str; N]) -> [Person<'_>; N] {
        user_ids.map(|user_id| self.register(user_id))
    }

    /// Somebody already registered here.
    pub(crate) fn person(&self, user_id: &str) -> Person<'_> {
        Person {
            world: self,
            id: user_id.to_owned(),
            token: OnceLock::new(),
        }
    }
}

/// The password hash with which [`World::register`] registers `user_id`.
pub(crate) fn password_hash_of(user_id: &str) -> String {
    format!("hashed_password_of_{user_id}")
}

/// What the clients that hash passwords themselves send for `password`: SHA-256 in hex.
pub(crate) fn sha256_hex(password: &str) -> String {
    format!("{:x}", Sha256::digest(password))
}

/// A registered user, acting by stating their `user_id` as the published document does.
pub(crate) struct Person<'w> {
    pub(crate) world: &'w World,
    pub(crate) id: String,
    token: OnceLock<String>,
}

impl Person<'_> {
    /// A bearer token of this person; the first call logs in.
    pub(crate) fn token(&self) -> &str {
        self.token.get_or_init(|| self.log_in())
    }

    /// Logs in once more and returns the new token.
    pub(crate) fn log_in(&self) -> String {
        let body = json!({"user_id": self.id, "password_hash": password_hash_of(&self.id)});
        let reply = self.world.post("/auth/login", &body).ok();
        reply["data"]["token"]
            .as_str()
            .expect("login answers a token")
            .to_owned()
    }

    /// Sends `content` to `receiver` and returns the message's id.
    pub(crate) fn send(&self, receiver: &Person, content: &str) -> i64 {
        self.try_send(&receiver.id, content).ok()["message_id"]
            .as_i64()
            .expect("message_id is an integer")
    }

    /// Tries to send `content` to `receiver_id`.
    pub(crate) fn try_send(&self, receiver_id: &str, content: &str) -> Reply {
        self.world
            .post("/messages/send", &self.letter(receiver_id, content))
    }

    /// The body of a send.
    pub(crate) fn letter(&self, receiver_id: &str, content: &str) -> Value {
        json!({"user_id": self.id, "receiver_id": receiver_id, "encrypted_content": content})
    }

    /// The whole inbox, newest first.
    pub(crate) fn inbox(&self) -> Vec<Value> {
        self.list("/messages/inbox", &[]).messages()
    }

    /// The whole outbox, newest first.
    pub(crate) fn outbox(&self) -> Vec<Value> {
        self.list("/messages/outbox", &[]).messages()
    }

    /// A page of a mailbox: `query` beside the `user_id`.
    pub(crate) fn list(&self, path: &str, query: &[(&str, &str)]) -> Reply {
        let request = self.world.request(Method::GET, path);
        Reply::to(request.query(&[("user_id", &self.id)]).query(query))
    }

    /// Grants `permission_type` on `message_id` to `target`.
    pub(crate) fn grant(&self, message_id: i64, target: &str, permission_type: &str) -> Reply {
        let body = json!({"user_id": self.id, "target_user_id": target, "permission_type": permission_type});
        self.world.post(&permission_path(message_id), &body)
    }

    /// Grants with the content sealed again for `target`.
    pub(crate) fn grant_resealed(
        &self,
        message_id: i64,
        target: &str,
        kind: &str,
        content: &str,
    ) -> Reply {
        let body = json!({
            "user_id": self.id,
            "target_user_id": target,
            "permission_type": kind,
            "encrypted_content": content,
        });
        self.world.post(&permission_path(message_id), &body)
    }

    /// Revokes what `target` was granted on `message_id`.
    pub(crate) fn revoke(&self, message_id: i64, target: &str) -> Reply {
        let body = json!({"user_id": self.id, "target_user_id": target});
        self.world
            .call(Method::DELETE, &permission_path(message_id), &body)
    }

    /// Reads one message.
    pub(crate) fn read(&self, message_id: i64) -> Reply {
        self.world
            .get(&message_path(message_id), &[("user_id", &self.id)])
    }

    /// Replaces the content of a message.
    pub(crate) fn replace(&self, message_id: i64, content: &str) -> Reply {
        let body = json!({"user_id": self.id, "encrypted_content": content});
        self.world
            .call(Method::PUT, &message_path(message_id), &body)
    }

    /// Deletes a message.
    pub(crate) fn delete(&self, message_id: i64) -> Reply {
        let body = json!({"user_id": self.id});
        self.world
            .call(Method::DELETE, &message_path(message_id), &body)
    }

    /// Lists who may do what with a message.
    pub(crate) fn permissions(&self, message_id: i64) -> Reply {
        let path = format!("{}/permissions", message_path(message_id));
        self.world.get(&path, &[("user_id", &self.id)])
    }
}

/// The path of one message.
pub(crate) fn message_path(message_id: i64) -> String {
    format!("/messages/message/{message_id}")
}

/// The path of a message's grants.
pub(crate) fn permission_path(message_id: i64) -> String {
    format!("{}/permission", message_path(message_id))
}
