//! Lists of messages: mailboxes and histories.
//!
//! A page is found by key, newest first or oldest first, and costs the same from anywhere in a
//! mailbox of any size. The shape of each query is deliberate; docs/performance.md has the figures.

use std::collections::HashMap;

use diesel::connection::DefaultLoadingMode;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;

use super::permissions::{Action, may};
use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::model::{Access, Instant, Message, MessageId, Name, UserId};
use crate::schema::{messages, permissions, users};
use crate::users::names::names_of;

mod alias {
    #![allow(
        missing_docs,
        reason = "the macro makes public items that nobody can document"
    )]
    diesel::alias!(crate::schema::permissions as mailbox: Mailbox);
}
use alias::mailbox;

/// Which part of a list, by message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Newest first, from below this id (or the very newest) on.
    Before(Option<MessageId>, i64),
    /// Oldest first, from above this id on.
    After(MessageId, i64),
}

/// Rows of a page, as many as fit into memory that is worth spending on one request.
#[derive(Clone, Debug)]
pub struct Chunk<T> {
    /// At least one, if there is any.
    pub rows: Vec<T>,
    /// How much content they hold.
    pub bytes: usize,
    /// The page goes on after these rows: ask again from the last one.
    pub is_cut: bool,
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Chunk {
            rows: Vec::new(),
            bytes: 0,
            is_cut: false,
        }
    }
}

/// Content can have many megabytes (`max_content_bytes`), so a page is cut once it holds this much.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

impl<T> Chunk<T> {
    /// Whether there may be more behind these rows, of which `asked` were asked for.
    pub fn may_go_on(&self, asked: i64) -> bool {
        self.is_cut || i64::try_from(self.rows.len()).is_ok_and(|count| count >= asked)
    }

    /// How many rows to ask for after these, of `wanted`. PostgreSQL sends whatever it was asked
    /// for, so once rows are large, that is not many more than fitted.
    pub fn next_limit(&self, wanted: i64) -> i64 {
        let fitted = i64::try_from(self.rows.len()).unwrap_or(i64::MAX);
        if self.is_cut {
            wanted.min(fitted.saturating_mul(2))
        } else {
            wanted
        }
    }
}

/// Takes the rows of a query until they hold more than `most` bytes.
pub(super) fn cut<T>(
    rows: QueryResult<impl Iterator<Item = QueryResult<T>>>,
    most: usize,
    bytes: impl Fn(&T) -> usize,
) -> Result<Chunk<T>> {
    let mut rows = rows?;
    let mut chunk = Chunk::default();
    while let Some(row) = rows.next().transpose()? {
        if chunk.bytes > most {
            chunk.is_cut = true;
            break;
        }
        chunk.bytes += bytes(&row);
        chunk.rows.push(row);
    }
    Ok(chunk)
}

/// Loads the rows of a query, as many as fit into one chunk. PostgreSQL is asked to send them one
/// by one: all of them would be in memory before the first can be looked at.
macro_rules! load_chunk {
    ($conn:expr, $query:expr, $columns:expr, $row:ty) => {{
        use diesel::connection::DefaultLoadingMode;
        use diesel::pg::PgRowByRowLoadingMode;
        use $crate::messages::lists::{CHUNK_BYTES, cut};

        let bytes = |row: &$row| row.content.len();
        match $conn {
            $crate::db::Conn::Sqlite(inner) => {
                let query = $query.select($columns);
                let rows = query.load_iter::<$row, DefaultLoadingMode>(inner);
                cut(rows, CHUNK_BYTES, bytes)
            }
            $crate::db::Conn::Postgres(inner) => {
                let query = $query.select($columns);
                let rows = query.load_iter::<$row, PgRowByRowLoadingMode>(inner);
                cut(rows, CHUNK_BYTES, bytes)
            }
        }
    }};
}
pub(super) use load_chunk;

/// A message in somebody's mailbox.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its id.
    pub id: MessageId,
    /// Who sent it.
    pub sender: Name,
    /// As it is meant for the reader.
    pub content: String,
    /// When it was sent.
    pub sent_at: Instant,
    /// When its content was last replaced.
    pub edited_at: Option<Instant>,
    /// Who shared it and what they allow; absent on what was sent to the reader directly.
    pub shared: Option<(Name, Access)>,
    /// When it was granted, or received.
    pub granted_at: Instant,
}

/// A message that somebody sent.
#[derive(Clone, Debug, Queryable)]
pub struct Posted {
    /// Its id.
    pub id: MessageId,
    /// To whom.
    pub recipient: String,
    /// As sent, or as last replaced.
    pub content: String,
    /// When it was sent.
    pub sent_at: Instant,
    /// When its content was last replaced.
    pub edited_at: Option<Instant>,
}

#[derive(Queryable)]
struct MailboxRow {
    id: MessageId,
    content: String,
    sent_at: Instant,
    edited_at: Option<Instant>,
    sender_id: UserId,
    received: bool,
    #[diesel(deserialize_as = String)]
    access: Access,
    resealed: Option<String>,
    granted_by: Option<UserId>,
    granted_at: Instant,
}

/// The columns of [`MailboxRow`].
macro_rules! mailbox_row {
    () => {
        (
            messages::id,
            messages::content,
            messages::sent_at,
            messages::edited_at,
            messages::sender_id,
            permissions::received,
            permissions::kind,
            permissions::content,
            permissions::granted_by,
            permissions::granted_at,
        )
    };
}

/// SQLite walks the page's keys in the mailbox, which is one range of one index in the wanted
/// order, and looks each message up by its id: nothing is sorted.
macro_rules! walked_page {
    ($inner:expr, $reader:expr, $range:ident, $bound:expr, $order:ident, $limit:expr) => {{
        let query = permissions::table
            .inner_join(messages::table.on(messages::id.eq(permissions::message_id)))
            .filter(permissions::user_id.eq($reader))
            .filter(permissions::message_id.$range($bound))
            .order(permissions::message_id.$order())
            .limit($limit)
            .select(mailbox_row!());
        let rows = query.load_iter::<MailboxRow, DefaultLoadingMode>($inner);
        cut(rows, CHUNK_BYTES, MailboxRow::bytes)
    }};
}

/// PostgreSQL would rather merge the whole tables where it is given that join, at a thousand times
/// the cost; with the page's keys in a select of their own it looks up just those.
macro_rules! looked_up_page {
    ($inner:expr, $reader:expr, $range:ident, $bound:expr, $order:ident, $limit:expr) => {{
        let query = messages::table
            .inner_join(
                permissions::table.on(permissions::message_id
                    .eq(messages::id)
                    .and(permissions::user_id.eq($reader))),
            )
            .filter(
                messages::id.eq_any(
                    mailbox
                        .filter(mailbox.field(permissions::user_id).eq($reader))
                        .filter(mailbox.field(permissions::message_id).$range($bound))
                        .order(mailbox.field(permissions::message_id).$order())
                        .limit($limit)
                        .select(mailbox.field(permissions::message_id)),
                ),
            )
            .order(messages::id.$order())
            .select(mailbox_row!());
        let rows = query.load_iter::<MailboxRow, PgRowByRowLoadingMode>($inner);
        cut(rows, CHUNK_BYTES, MailboxRow::bytes)
    }};
}

/// Messages that `reader` may see without having sent them: received and granted, each once.
///
/// Content is returned as stored, re-sealed copies in place of the original. Reading does not
/// mark as read. Source: message_store §6.
pub fn inbox(app: &App, reader: UserId, page: Page) -> Result<Chunk<Received>> {
    app.db.read(|conn| {
        let newest = MessageId(i64::MAX);
        let chunk = match (&mut *conn, page) {
            (Conn::Sqlite(inner), Page::Before(before, limit)) => {
                walked_page!(inner, reader, lt, before.unwrap_or(newest), desc, limit)
            }
            (Conn::Sqlite(inner), Page::After(after, limit)) => {
                walked_page!(inner, reader, gt, after, asc, limit)
            }
            (Conn::Postgres(inner), Page::Before(before, limit)) => {
                looked_up_page!(inner, reader, lt, before.unwrap_or(newest), desc, limit)
            }
            (Conn::Postgres(inner), Page::After(after, limit)) => {
                looked_up_page!(inner, reader, gt, after, asc, limit)
            }
        }?;
        let ids = chunk.rows.iter();
        let ids = ids.flat_map(|row| [Some(row.sender_id), row.granted_by]);
        let names = names_of(app, conn, ids.flatten())?;
        Ok(Chunk {
            rows: chunk
                .rows
                .into_iter()
                .map(|row| row.named(&names))
                .collect::<Result<_>>()?,
            bytes: chunk.bytes,
            is_cut: chunk.is_cut,
        })
    })
}

impl MailboxRow {
    /// How much content was read for it, shown or not.
    fn bytes(&self) -> usize {
        self.content.len() + self.resealed.as_ref().map_or(0, String::len)
    }

    /// With names in place of ids.
    fn named(self, names: &HashMap<UserId, Name>) -> Result<Received> {
        // A recipient's own permission may have been raised; it was sent to them all the same.
        let sharer = self.granted_by.filter(|_| !self.received);
        let sender = names.get(&self.sender_id).ok_or(Error::UnknownUser)?;
        Ok(Received {
            id: self.id,
            sender: sender.clone(),
            content: self.resealed.unwrap_or(self.content),
            sent_at: self.sent_at,
            edited_at: self.edited_at,
            shared: sharer
                .and_then(|sharer| names.get(&sharer))
                .map(|name| (name.clone(), self.access)),
            granted_at: self.granted_at,
        })
    }
}

/// The id of the newest message of all, zero if there is none.
pub fn newest(app: &App) -> Result<MessageId> {
    app.db.read(|conn| {
        let newest = messages::table.select(diesel::dsl::max(messages::id));
        let newest = newest.first::<Option<MessageId>>(conn)?;
        Ok(newest.unwrap_or(MessageId(0)))
    })
}

/// The id of the newest message that `reader` may see without having sent it, zero if there is none.
pub fn newest_for(app: &App, reader: UserId) -> Result<MessageId> {
    app.db.read(|conn| {
        let received = permissions::table.filter(permissions::user_id.eq(reader));
        let newest = received.select(diesel::dsl::max(permissions::message_id));
        let newest = newest.first::<Option<MessageId>>(conn)?;
        Ok(newest.unwrap_or(MessageId(0)))
    })
}

/// One message as its reader sees it, with its sender's name; the owner sees the original.
///
/// Errors: [`Error::UnknownMessage`](crate::error::Error::UnknownMessage),
/// [`Error::Forbidden`](crate::error::Error::Forbidden).
pub fn message_for(app: &App, reader: UserId, id: MessageId) -> Result<(Message, String)> {
    app.db.read(|conn| {
        may(conn, reader, Action::Read, id)?;
        let message = messages::table.find(id).select(Message::as_select());
        // It may have been deleted since.
        let mut message = message
            .first(conn)
            .optional()?
            .ok_or(Error::UnknownMessage)?;
        let resealed = permissions::table
            .find((reader, id))
            .select(permissions::content);
        if let Some(content) = resealed.first::<Option<String>>(conn).optional()?.flatten() {
            message.content = content;
        }
        let sender = users::table
            .find(message.sender_id)
            .select(users::username)
            .first(conn)?;
        Ok((message, sender))
    })
}

/// Direct messages that `sender` sent. Source: message_store §7.
pub fn outbox(app: &App, sender: UserId, page: Page) -> Result<Chunk<Posted>> {
    let sent = messages::table
        .inner_join(users::table.on(users::id.nullable().eq(messages::recipient_id)))
        .filter(messages::sender_id.eq(sender))
        .filter(messages::recipient_id.is_not_null());
    let columns = (
        messages::id,
        users::username,
        messages::content,
        messages::sent_at,
        messages::edited_at,
    );
    app.db.read(|conn| match page {
        Page::Before(before, limit) => {
            let below = before.unwrap_or(MessageId(i64::MAX));
            let page = sent.filter(messages::id.lt(below));
            let page = page.order(messages::id.desc()).limit(limit);
            load_chunk!(conn, page, columns, Posted)
        }
        Page::After(after, limit) => {
            let page = sent.filter(messages::id.gt(after));
            let page = page.order(messages::id.asc()).limit(limit);
            load_chunk!(conn, page, columns, Posted)
        }
    })
}
