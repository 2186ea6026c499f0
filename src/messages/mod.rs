//! Messages: send, list, read, replace, delete. One pool for every API.
//!
//! Content is opaque: nothing here can open it. Who may do what is decided in [`permissions`];
//! how lists are read from the tables is in [`lists`], [`history`], [`numbered`] and [`unread`]; the
//! AES keys that go with messages are in [`pair_keys`], who has written to whom in
//! [`correspondents`]. Room messages are sent here too, but belong to `rooms`: nothing below hands
//! one out as a direct message.

pub mod correspondents;
mod draft;
pub mod history;
pub mod lists;
pub mod numbered;
pub mod pair_keys;
pub mod permissions;
mod retries;
pub mod unread;

use std::sync::{Arc, OnceLock};

use diesel::prelude::*;

use crate::app::App;
use crate::db::{Conn, Turns, Undo, last_inserted, on_inner, take_turns};
use crate::error::{Error, Result};
use crate::files;
use crate::hub::Event;
use crate::model::{Access, Instant, Message, MessageId, UserId};
use crate::schema::{messages, permissions as grants};
pub use draft::{Draft, LONGEST_IDEMPOTENCY_KEY, To};
use permissions::{Action, Parties, check_may, may, may_change};

/// Both parties of a direct message in one number, the same from either side. User ids are from 1
/// to below 2^31, so two of them fit. `None` for anything else: callers may ask for any number,
/// and a larger one would name two other people.
pub(crate) fn pair(one: UserId, other: UserId) -> Option<i64> {
    let (UserId(low), UserId(high)) = ordered(one, other);
    (low >= 1 && high < 1 << 31).then_some(low << 31 | high)
}

fn ordered(one: UserId, other: UserId) -> (UserId, UserId) {
    (one.min(other), one.max(other))
}

/// Stores a message; returns it once it is on disk. Its hearers hear of it right after.
///
/// With an idempotency key seen before from the same sender, the message of then is returned and
/// nothing is sent. Both users (or the room and the membership) are the caller's to check.
/// Errors: [`Error::Invalid`], [`Error::TooLarge`], [`Error::KeyReused`], [`Error::Busy`].
pub async fn send(app: &Arc<App>, draft: Draft) -> Result<Arc<Message>> {
    draft.check()?;
    let sender_name = draft.sender_name.clone();
    let room_name = draft.to.room_name().to_owned();
    let (writing, telling) = (app.clone(), app.clone());
    let has_key = draft.idempotency_key.is_some();
    // A retry asks nothing of the writer: what was sent before may be large.
    if has_key && let Some(message) = app.db.read(|conn| retries::find(conn, &draft))? {
        return Ok(Arc::new(message));
    }
    // As a rule there is nothing but inserts of what was checked before.
    let undo = if has_key || draft.upload.is_some() {
        Undo::Work
    } else {
        Undo::Batch
    };
    let work = move |conn: &mut Conn| {
        match &draft.to {
            To::User(recipient) => {
                take_turns(conn, Turns::Mailboxes, &[draft.sender.0, recipient.0])?;
            }
            To::Room { id, .. } => take_turns(conn, Turns::Rooms, &[id.0])?,
        }
        let (message, is_new) = match retries::find(conn, &draft)? {
            Some(message) => (message, false),
            None => (insert(&writing, conn, draft)?, true),
        };
        Ok((Arc::new(message), is_new))
    };
    let tell = move |(message, is_new): &(Arc<Message>, bool)| {
        if *is_new {
            announce(&telling, message, sender_name, room_name);
        }
    };
    let sent = app.db.write_undoing(undo, work, tell).await;
    sent.map(|(message, _)| message)
}

fn insert(app: &App, conn: &mut Conn, draft: Draft) -> Result<Message> {
    let (recipient_id, room_id) = draft.to.ids();
    let recipient_key = match (&draft.sender_key, recipient_id) {
        (Some(_), Some(recipient)) => pair_keys::last(conn, recipient, draft.sender)?,
        _ => None,
    };
    let sent_at = app.clock.tick();
    let key = draft.idempotency_key.as_ref();
    let row = (
        messages::sender_id.eq(draft.sender),
        messages::recipient_id.eq(recipient_id),
        messages::room_id.eq(room_id),
        messages::pair.eq(recipient_id.and_then(|recipient| pair(draft.sender, recipient))),
        messages::kind.eq(draft.kind.as_str()),
        messages::content.eq(&draft.content),
        messages::is_encrypted.eq(draft.is_encrypted),
        messages::sender_key.eq(&draft.sender_key),
        messages::recipient_key.eq(&recipient_key),
        messages::client_key.eq(key),
        messages::client_digest.eq(key.map(|_| retries::digest(&draft))),
        messages::sent_at.eq(sent_at),
    );
    let insert = diesel::insert_into(messages::table).values(row);
    let id = match conn {
        Conn::Sqlite(inner) => {
            insert.execute(inner)?;
            MessageId(last_inserted(inner)?)
        }
        Conn::Postgres(inner) => insert.returning(messages::id).get_result(inner)?,
    };
    if let Some(upload) = draft.upload {
        files::hand_over(conn, upload, id)?;
    }
    if let Some(recipient) = recipient_id {
        receive(conn, id, recipient, sent_at)?;
        correspondents::note(app, conn, draft.sender, recipient)?;
        if let Some(key) = &draft.sender_key {
            pair_keys::remember(conn, draft.sender, recipient, key)?;
        }
    }
    Ok(draft.sent(id, recipient_key, sent_at))
}

/// Puts a message into its recipient's mailbox.
fn receive(conn: &mut Conn, message: MessageId, recipient: UserId, at: Instant) -> Result<()> {
    let row = (
        grants::user_id.eq(recipient),
        grants::message_id.eq(message),
        grants::kind.eq(Access::Read.as_str()),
        grants::received.eq(true),
        grants::granted_at.eq(at),
    );
    let insert = diesel::insert_into(grants::table).values(row);
    on_inner!(conn, inner => insert.execute(inner))?;
    Ok(())
}

/// Tells those who listen. The writer does this: everybody waits for it.
fn announce(app: &App, message: &Arc<Message>, sender: String, room: String) {
    let (id, message) = (message.id, message.clone());
    if let Some(recipient) = message.recipient_id {
        let author = message.sender_id;
        app.caches
            .correspondents
            .insert(ordered(author, recipient), ());
        let (sent, posted) = (
            Event::Sent { message, sender },
            Event::Posted { message: id },
        );
        app.hub.to_each([(recipient, sent), (author, posted)]);
    } else if let Some(room_id) = message.room_id {
        let said = Event::Said {
            message,
            sender,
            room,
            line: OnceLock::new(),
        };
        app.hub.to_room(room_id, said);
    }
}

/// Replaces the content; re-sealed copies of it are dropped, since they are stale. Returns when.
///
/// Errors: [`Error::UnknownMessage`], [`Error::Forbidden`], [`Error::TooLarge`], [`Error::Invalid`],
/// also where the content is the address of an upload, which is found by it alone.
pub async fn replace(
    app: &Arc<App>,
    user: UserId,
    id: MessageId,
    content: String,
) -> Result<Instant> {
    check_content(&content, app.config.max_content_bytes)?;
    check_may(app, user, Action::Replace, id)?;
    if app.db.read(|conn| files::is_handed_over(conn, id))? {
        let problem = "cannot be replaced: it is the address of a file; send another message";
        return Err(Error::invalid("content", problem));
    }
    let its_app = app.clone();
    app.db
        .write(move |conn| {
            may_change(conn, user, Action::Replace, id)?;
            let edited_at = its_app.clock.tick();
            diesel::update(messages::table.find(id))
                .set((
                    messages::content.eq(&content),
                    messages::edited_at.eq(edited_at),
                ))
                .execute(conn)?;
            let resealed = grants::table
                .filter(grants::message_id.eq(id))
                .filter(grants::content.is_not_null());
            diesel::update(resealed)
                .set(grants::content.eq(None::<String>))
                .execute(conn)?;
            Ok(edited_at)
        })
        .await
}

/// Deletes a message and every permission on it. The upload that it hands over goes with it. Its
/// idempotency key stays used.
///
/// `action` is what the API asks for: [`Action::Delete`] (owner or admin) or
/// [`Action::Withdraw`] (owner only). Errors: [`Error::UnknownMessage`], [`Error::Forbidden`].
pub async fn delete(app: &App, user: UserId, action: Action, id: MessageId) -> Result<()> {
    check_may(app, user, action, id)?;
    let caches = app.caches.clone();
    let work = move |conn: &mut Conn| {
        let parties = may_change(conn, user, action, id)?;
        retries::keep(conn, id)?;
        let slug = files::remove_handed_over(conn, id)?;
        diesel::delete(messages::table.find(id)).execute(conn)?;
        Ok((parties, slug))
    };
    let after = move |(parties, _): &(Parties, Option<String>)| {
        let pair = parties
            .recipient_id
            .and_then(|to| pair(parties.sender_id, to));
        if let Some(pair) = pair {
            caches.totals.remove(&pair);
        }
    };
    let (_, slug) = app.db.write_then(work, after).await?;
    if let Some(slug) = slug {
        files::remove_bytes(app, &slug).await;
    }
    Ok(())
}

/// Marks a message as read by its recipient, in every API; again is no error.
///
/// Errors: [`Error::UnknownMessage`], [`Error::Forbidden`] for everybody but the recipient.
pub async fn mark_read(app: &App, user: UserId, id: MessageId) -> Result<()> {
    let row = messages::table.find(id);
    let known = &app.caches.read;
    let is_read = app.db.read(|conn| {
        may(conn, user, Action::MarkRead, id)?;
        let is_read = row.select(messages::read_at.is_not_null());
        Ok(known.get(&id).is_some() || is_read.first::<bool>(conn).optional()? == Some(true))
    })?;
    if !is_read {
        let work = move |conn: &mut Conn| {
            may_change(conn, user, Action::MarkRead, id)?;
            diesel::update(row.filter(messages::read_at.is_null()))
                .set(messages::read_at.eq(Instant::now()))
                .execute(conn)?;
            Ok(())
        };
        app.db.write(work).await?;
    }
    known.insert(id, ());
    Ok(())
}

/// Starts the clock where the newest message left it, so that the order by instant stays the
/// order by id even if the machine's clock was set back meanwhile.
pub fn resume_clock(app: &App) -> Result<()> {
    let newest = app.db.read(|conn| {
        let newest = messages::table
            .order(messages::id.desc())
            .select(messages::sent_at);
        Ok(newest.first::<Instant>(conn).optional()?)
    })?;
    if let Some(newest) = newest {
        app.clock.not_before(newest);
    }
    Ok(())
}

/// Refuses content that is empty, too long or has NUL characters, which PostgreSQL cannot keep.
fn check_content(content: &str, limit_bytes: u64) -> Result<()> {
    if content.is_empty() {
        return Err(Error::invalid("content", "must not be empty"));
    }
    if content.len() as u64 > limit_bytes {
        return Err(Error::TooLarge { limit_bytes });
    }
    if content.contains('\0') {
        return Err(Error::invalid("content", "must not have NUL characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
    use diesel::sql_types::Text;

    use super::history::{history_between, nth_newest, received_after};
    use super::lists::{Page, inbox, newest_for, outbox};
    use super::*;
    use crate::config::Config;

    thread_local! {
        /// What this thread has asked its database.
        static ASKED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    #[expect(clippy::unnecessary_wraps, reason = "diesel would have it so")]
    fn note_queries() -> Option<Box<dyn Instrumentation>> {
        Some(Box::new(|event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                ASKED.with_borrow_mut(|asked| asked.push(query.to_string()));
            }
        }))
    }

    /// One step of how SQLite answers a query.
    #[derive(QueryableByName)]
    struct Step {
        #[diesel(sql_type = Text)]
        detail: String,
    }

    /// The steps by which SQLite answers what `ask` asks.
    fn steps_of<T>(app: &App, ask: impl FnOnce(&App) -> Result<T>) -> Vec<String> {
        ASKED.take();
        ask(app).expect("it is answered");
        let explain = |query: String| {
            let steps = app.db.read(|conn| {
                let Conn::Sqlite(inner) = conn else {
                    unreachable!("it is the default");
                };
                let explained = diesel::sql_query(format!("EXPLAIN QUERY PLAN {query}"));
                Ok(explained.load::<Step>(inner)?)
            });
            steps.expect("it is explained")
        };
        let steps = ASKED.take().into_iter().flat_map(explain);
        steps.map(|step| step.detail).collect()
    }

    #[test]
    fn every_page_is_one_range_of_an_index_and_nothing_is_scanned_or_sorted() {
        set_default_instrumentation(note_queries).expect("it is set once");
        let home = tempfile::tempdir().expect("a directory");
        let config = Config {
            data_dir: home.path().to_owned(),
            ..Config::default()
        };
        let app = App::open(config).expect("it opens");
        let (user, pair) = (UserId(1), (UserId(1), UserId(2)));
        let (low, high) = (MessageId(10), MessageId(1_000));
        let mut answers = Vec::new();
        for page in [
            Page::Before(None, 50),
            Page::Before(Some(high), 50),
            Page::After(low, 50),
        ] {
            answers.push(("inbox", steps_of(&app, |app| inbox(app, user, page))));
            answers.push(("outbox", steps_of(&app, |app| outbox(app, user, page))));
        }
        answers.extend([
            (
                "history",
                steps_of(&app, |app| history_between(app, pair, low, high, 50)),
            ),
            ("nth", steps_of(&app, |app| nth_newest(app, pair, high, 20))),
            (
                "received",
                steps_of(&app, |app| received_after(app, user, low, high, 50)),
            ),
            ("newest", steps_of(&app, |app| newest_for(app, user))),
        ]);
        app.db.close();
        for (what, steps) in answers {
            let is_searched = |step: &String| step.starts_with("SEARCH");
            assert!(steps.iter().any(is_searched), "{what}: {steps:?}");
            let is_costly = |step: &String| step.contains("SCAN") || step.contains("TEMP B-TREE");
            assert!(!steps.iter().any(is_costly), "{what}: {steps:?}");
        }
    }
}
