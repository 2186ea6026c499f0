//! What would take too long to bring by calls: rows by the thousand, put into a store at rest.

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};

use super::World;

impl World {
    /// Puts `count` letters into the store, unread, and starts the server again.
    pub(crate) fn bring_letters(&mut self, sender: i64, recipient: i64, count: i64) {
        let pair = sender.min(recipient) << 31 | sender.max(recipient);
        self.bring(&format!(
            "INSERT INTO messages (sender_id, recipient_id, pair, kind, content, is_encrypted, sent_at)
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
             SELECT {sender}, {recipient}, {pair}, 'text', 'x', FALSE, n FROM numbers;
             INSERT INTO permissions (user_id, message_id, kind, received, granted_at)
             SELECT recipient_id, id, 'read', TRUE, sent_at FROM messages WHERE pair = {pair};"
        ));
    }

    /// Puts `count` users into the store who ask `addressee` to be a friend, each with `text`, and
    /// starts the server again.
    pub(crate) fn bring_askers(&mut self, addressee: i64, count: i64, text: &str) {
        self.bring(&format!(
            "INSERT INTO users (username, username_folded, verifier, created_at)
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
             SELECT 'asker ' || n, 'asker ' || n, 'none', n FROM numbers;
             INSERT INTO friend_requests (from_id, to_id, message, created_at)
             SELECT id, {addressee}, '{text}', created_at FROM users WHERE verifier = 'none';"
        ));
    }

    /// Puts `count` users into the store whose public key is `key` and whom `owner` has added, and
    /// starts the server again.
    pub(crate) fn bring_contacts(&mut self, owner: i64, count: i64, key: &str) {
        self.bring(&format!(
            "INSERT INTO users (username, username_folded, public_key, verifier, created_at)
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
             SELECT 'contact ' || n, 'contact ' || n, '{key}', 'none', n FROM numbers;
             INSERT INTO contacts (user_id, contact_id, created_at)
             SELECT {owner}, id, created_at FROM users WHERE verifier = 'none';"
        ));
    }

    fn bring(&mut self, sql: &str) {
        assert!(self.server.stop().success());
        if let Some(database) = self.database() {
            database.run(sql);
        } else {
            let file = self.data_dir().join("sealpost.db");
            let file = file.to_str().expect("UTF-8");
            let mut database = SqliteConnection::establish(file).expect("the database opens");
            database.batch_execute(sql).expect("the rows go in");
        }
        self.restart();
    }
}
