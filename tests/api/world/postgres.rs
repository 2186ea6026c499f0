//! A PostgreSQL database for one world, made and dropped on the server `DATABASE_URL` names.

use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use reqwest::Url;

/// Numbers the databases of this process; each test thread takes the next.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A database of one world, dropped with it.
pub(crate) struct OwnDatabase {
    server: Url,
    name: String,
    url: String,
}

impl OwnDatabase {
    /// A new empty database if `DATABASE_URL` names a server; `None` means the SQLite file.
    pub(crate) fn create_if_asked() -> Option<Self> {
        let server: Url = asked_for()?.parse().expect("DATABASE_URL is a URL");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sealpost_test_{}_{number}", std::process::id());
        let mut url = server.clone();
        url.set_path(&name);
        let database = Self {
            server,
            name,
            url: url.to_string(),
        };
        database.on_server(&format!(
            "CREATE DATABASE {} TEMPLATE template0",
            database.name
        ));
        Some(database)
    }

    /// The URL the server is started with.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs `sql` inside this database.
    pub(crate) fn run(&self, sql: &str) {
        execute(&self.url, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// A connection of its own to this database, on which `sql` has been run.
    pub(crate) fn session(&self, sql: &str) -> PgConnection {
        let mut session = PgConnection::establish(&self.url).expect("the server answers");
        session
            .batch_execute(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        session
    }

    /// Makes every new transaction in this database read-only, or writable again, and ends the
    /// connections that do not know it yet.
    pub(crate) fn set_read_only(&self, read_only: bool) {
        let setting = if read_only { "on" } else { "off" };
        let name = &self.name;
        self.on_server(&format!(
            "ALTER DATABASE {name} SET default_transaction_read_only = {setting}"
        ));
        self.end_connections();
    }

    /// Ends every connection to this database.
    pub(crate) fn end_connections(&self) {
        let name = &self.name;
        self.on_server(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ));
    }

    /// Has every commit of a new message lose its connection before it is answered.
    pub(crate) fn lose_commits(&self) {
        self.run(
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER lost AFTER INSERT ON messages
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lose()",
        );
    }

    /// Has them answered again.
    pub(crate) fn answer_commits(&self) {
        self.run("DROP TRIGGER lost ON messages");
    }

    fn on_server(&self, sql: &str) {
        execute(self.server.as_str(), sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        if let Err(error) = execute(self.server.as_str(), &sql) {
            eprintln!("{} was left behind: {error}", self.name);
        }
    }
}

/// The value of `DATABASE_URL`, unless it is absent or empty.
pub(crate) fn asked_for() -> Option<String> {
    std::env::var("DATABASE_URL")
        .ok()
        .filter(|url| !url.is_empty())
}

fn execute(url: &str, sql: &str) -> Result<(), Box<dyn std::error::Error>> {
    PgConnection::establish(url)?.batch_execute(sql)?;
    Ok(())
}
