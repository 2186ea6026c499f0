//! Writes that do not get through for a while.

use std::any::Any;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};

use super::{World, wait_for};

impl World {
    /// Has writes into the mailbox of `username` wait until what is returned is dropped, as another
    /// server may; on SQLite all writes wait.
    pub(crate) fn hold_mailbox(&self, username: &str) -> Box<dyn Any + Send> {
        let Some(database) = self.database() else {
            let file = self.data_dir().join("sealpost.db");
            let file = file.to_str().expect("UTF-8");
            let mut database = SqliteConnection::establish(file).expect("the database opens");
            let begin = "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE";
            database.batch_execute(begin).expect("it is held");
            return Box::new(database);
        };
        Box::new(database.session(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock(0, id::int4) FROM users WHERE username = '{username}'"
        )))
    }

    /// Waits until a write waits for what [`World::hold_mailbox`] holds.
    pub(crate) fn wait_for_held_write(&self) {
        match self.database() {
            Some(database) => database.run(
                "SET statement_timeout = '60s';
                 DO $$ BEGIN
                     WHILE NOT EXISTS (
                         SELECT FROM pg_locks JOIN pg_database ON database = pg_database.oid
                         WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted
                     ) LOOP
                         PERFORM pg_sleep(0.01);
                     END LOOP;
                 END $$",
            ),
            None => wait_for(|| {
                let metrics = self.get("/metrics", &[]).text;
                metrics.contains("sealpost_writer_waiting 1\n").then_some(())
            }),
        }
    }
}
