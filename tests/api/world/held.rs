//! Writes that do not get through for a while.

use std::any::Any;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};

use super::World;

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
}
