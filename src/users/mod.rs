//! Users: register, log in, change, find.
//!
//! One account serves every API. What an API calls a password or a password hash is turned into a
//! secret by [`password::secret_of`] before it comes here.

pub mod keys;
pub mod login;
pub mod names;
pub mod password;
mod search;
pub mod tokens;

use std::sync::Arc;

use diesel::prelude::*;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::app::App;
use crate::db::{Conn, Extent, on_inner};
use crate::error::{Error, Result};
use crate::model::{Instant, Status, User, UserId};
use crate::schema::users;
pub use login::{authenticate, change_password, log_in};
pub use names::{find, id_by_username, username_by_id};
pub use search::{By, search};
use tokens::Token;

/// The longest username, in characters.
const LONGEST_USERNAME: usize = 128;
/// The longest e-mail address.
const LONGEST_EMAIL: usize = 254;
/// For how many characters one can stand in NFC: U+1F82 is a letter and three marks.
const MOST_COMPOSED: usize = 4;

/// What somebody brings who registers; what logs in later is never shown.
#[derive(Clone)]
pub struct Registration {
    /// As typed; see [`parse_username`].
    pub username: String,
    /// If the API has one.
    pub email: Option<String>,
    /// What logs in later.
    pub secret: String,
    /// Opaque text.
    pub public_key: Option<String>,
}

/// What a user changes about themselves; absent stays.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// A new username.
    pub username: Option<String>,
    /// A new e-mail address.
    pub email: Option<String>,
    /// A new avatar path, or none.
    pub avatar: Option<Option<String>>,
    /// A new chosen status.
    pub status: Option<Status>,
}

/// A username as it is kept: NFC, 1–128 characters, no control characters, no U+FFFD, otherwise exact.
pub fn parse_username(text: &str) -> Result<String> {
    let Some(username) = composed(text, LONGEST_USERNAME) else {
        return Err(Error::invalid(
            "username",
            format!("must have at most {LONGEST_USERNAME} characters"),
        ));
    };
    if username.is_empty() {
        return Err(Error::invalid("username", "must not be empty"));
    }
    if username.chars().any(char::is_control) {
        return Err(Error::invalid(
            "username",
            "must not have control characters",
        ));
    }
    // In a query this stands for bytes that are no UTF-8, whichever they were.
    if username.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Error::invalid("username", "must be UTF-8 without U+FFFD"));
    }
    Ok(username)
}

/// A text in NFC, unless it has more than `most` characters then. Marks in a row are sorted for it,
/// so a text that is too long in any case is not even looked at.
pub fn composed(text: &str, most: usize) -> Option<String> {
    if is_longer(text, MOST_COMPOSED * most) {
        return None;
    }
    let composed: String = if is_nfc(text) {
        text.to_owned()
    } else {
        text.nfc().collect()
    };
    (!is_longer(&composed, most)).then_some(composed)
}

/// Whether a text has more characters than `most`; stops counting there.
fn is_longer(text: &str, most: usize) -> bool {
    text.chars().nth(most).is_some()
}

/// Whether a character turns the direction in which what follows is written, and so shows a text as
/// another than it is.
pub(crate) fn turns_direction(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// A text as searches compare it: NFC, each character in lower case by itself, a final sigma as
/// any other. The same for the names that are stored and for what is looked for in them.
pub fn folded(text: &str) -> String {
    let lower = text.nfc().flat_map(char::to_lowercase);
    lower.map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// An e-mail address as it is compared: NFC, lower case.
fn folded_email(text: &str) -> String {
    let lower = text.nfc().collect::<String>().to_lowercase();
    // Some capitals with a mark are two characters, and one in lower case.
    lower.nfc().collect()
}

/// An e-mail address as it is kept: NFC, lower case; one `@` between a name and a domain.
pub fn parse_email(text: &str) -> Result<String> {
    let text = text.trim();
    if is_longer(text, MOST_COMPOSED * LONGEST_EMAIL) {
        return Err(Error::invalid("email", "is not an e-mail address"));
    }
    let email = folded_email(text);
    let is_plausible = email.len() <= LONGEST_EMAIL
        && !email.chars().any(|c| c.is_control() || c.is_whitespace())
        && email.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty()
                && !domain.contains('@')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
                && domain.contains('.')
                && !domain.contains("..")
        });
    if is_plausible {
        Ok(email)
    } else {
        Err(Error::invalid("email", "is not an e-mail address"))
    }
}

/// Makes an account.
///
/// Errors: [`Error::UsernameTaken`], [`Error::EmailTaken`], [`Error::Invalid`], [`Error::Busy`].
pub async fn register(app: &App, registration: Registration) -> Result<User> {
    let account = Account::of(app, registration).await?;
    app.db.write(move |conn| account.insert(conn)).await
}

/// Makes an account and logs it in: both, or neither. Errors: as of [`register`].
pub async fn register_and_log_in(
    app: &Arc<App>,
    registration: Registration,
) -> Result<(User, Token)> {
    let account = Account::of(app, registration).await?;
    let (its_app, caches) = (app.clone(), app.caches.clone());
    let work = move |conn: &mut Conn| {
        let user = account.insert(conn)?;
        let begun = tokens::begin_first(conn, &its_app, user.id)?;
        Ok((user, begun))
    };
    let after = move |(_, begun): &(User, tokens::Begun)| tokens::remember(&caches, begun);
    let (user, begun) = app.db.write_then(work, after).await?;
    Ok((user, tokens::hand_out(app, &begun)?))
}

/// A registration that was checked, its secret hashed.
struct Account {
    username: String,
    email: Option<String>,
    verifier: String,
    public_key: Option<String>,
}

impl Account {
    async fn of(app: &App, registration: Registration) -> Result<Self> {
        let username = parse_username(&registration.username)?;
        let email = registration.email.as_deref().map(parse_email).transpose()?;
        keys::check_public_key(registration.public_key.as_deref())?;
        // Before the costly hash; the insert decides all the same.
        if find(app, &username)?.is_some() {
            return Err(Error::UsernameTaken);
        }
        let verifier = password::hash(app, registration.secret).await?;
        Ok(Account {
            username,
            email,
            verifier,
            public_key: registration.public_key,
        })
    }

    fn insert(self, conn: &mut Conn) -> Result<User> {
        let row = (
            users::username_folded.eq(folded(&self.username)),
            users::username.eq(self.username),
            users::email.eq(self.email),
            users::verifier.eq(self.verifier),
            users::public_key.eq(self.public_key),
            users::created_at.eq(Instant::now()),
        );
        let insert = diesel::insert_into(users::table).values(row);
        on_inner!(conn, inner => insert.returning(User::as_returning()).get_result(inner))
            .map_err(taken)
    }
}

/// Which of the unique columns was taken.
fn taken(cause: diesel::result::Error) -> Error {
    let cause = Error::from(cause);
    match cause.broken_uniqueness().as_deref() {
        Some("users.username") => Error::UsernameTaken,
        Some("users.email") => Error::EmailTaken,
        _ => cause,
    }
}

/// A user by id. Errors: [`Error::UnknownUser`].
pub fn user_by_id(app: &App, id: UserId) -> Result<User> {
    app.db.read(|conn| user_in(conn, id))
}

/// A user by exact username. Errors: [`Error::UnknownUser`].
pub fn user_by_username(app: &App, username: &str) -> Result<User> {
    app.db.read(|conn| {
        let row = users::table
            .filter(users::username.eq(username))
            .select(User::as_select());
        row.first(conn).optional()?.ok_or(Error::UnknownUser)
    })
}

/// Like [`user_by_id`], inside other work.
pub(crate) fn user_in(conn: &mut Conn, id: UserId) -> Result<User> {
    users::table
        .find(id)
        .select(User::as_select())
        .first(conn)
        .optional()?
        .ok_or(Error::UnknownUser)
}

/// Like [`user_in`], for a write that changes the user: another such write waits until this one is
/// over. SQLite has one writer anyway.
fn user_to_change(conn: &mut Conn, id: UserId) -> Result<User> {
    let row = users::table.find(id);
    match conn {
        Conn::Sqlite(_) => user_in(conn, id),
        Conn::Postgres(inner) => row
            .select(User::as_select())
            .for_update()
            .first(inner)
            .optional()?
            .ok_or(Error::UnknownUser),
    }
}

/// Several users by id, in no order; unknown ids are left out.
pub fn list_users(app: &App, ids: &[UserId]) -> Result<Vec<User>> {
    app.db.read(|conn| {
        Ok(users::table
            .filter(users::id.eq_any(ids.to_vec()))
            .select(User::as_select())
            .load(conn)?)
    })
}

/// Everybody, by username (chat_room lists them all). Scans.
pub fn list_everybody(app: &App) -> Result<Vec<(UserId, String)>> {
    app.db.scan(Extent::All, |conn| {
        Ok(users::table
            .select((users::id, users::username))
            .order(users::username)
            .load(conn)?)
    })
}

/// How many users there are. Scans.
pub fn count(app: &App) -> Result<i64> {
    app.db.scan(Extent::All, |conn| {
        Ok(users::table.count().get_result(conn)?)
    })
}

/// Changes what the user shows of themselves; returns them as they were and as they are then.
///
/// Errors: [`Error::UsernameTaken`], [`Error::EmailTaken`], [`Error::Invalid`].
pub async fn change_profile(
    app: &Arc<App>,
    id: UserId,
    change: ProfileChange,
) -> Result<(User, User)> {
    let username = change.username.as_deref().map(parse_username).transpose()?;
    let email = change.email.as_deref().map(parse_email).transpose()?;
    let its_app = app.clone();
    let work = move |conn: &mut Conn| {
        let before = user_to_change(conn, id)?;
        let folded = username.as_deref().map(folded);
        let changed = (
            username.map(|username| users::username.eq(username)),
            folded.map(|folded| users::username_folded.eq(folded)),
            email.map(|email| users::email.eq(email)),
            change.avatar.map(|avatar| users::avatar.eq(avatar)),
            change
                .status
                .map(|status| users::status.eq(status.as_str())),
        );
        diesel::update(users::table.find(id))
            .set(changed)
            .execute(conn)
            .optional_empty_changeset()
            .map_err(taken)?;
        Ok((before, user_in(conn, id)?))
    };
    app.db
        .write_then(work, move |(before, user): &(User, User)| {
            if user.username != before.username {
                names::forget(&its_app, id, &before.username);
                its_app.hub.rename(id, &user.username);
            }
            its_app.hub.note_change(id);
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_counts_as_it_is_kept_however_many_marks_it_is_written_with() {
        let written = "\u{3b1}\u{313}\u{300}\u{345}";
        let kept = parse_username(&written.repeat(LONGEST_USERNAME));
        assert_eq!(kept.ok(), Some("\u{1f82}".repeat(LONGEST_USERNAME)));
        for too_long in [
            written.repeat(LONGEST_USERNAME + 1),
            written.repeat(LONGEST_USERNAME) + "\u{316}",
            "x".repeat(LONGEST_USERNAME + 1),
        ] {
            assert!(parse_username(&too_long).is_err(), "{too_long}");
        }
    }

    #[test]
    fn an_address_has_at_most_254_bytes_in_lower_case() {
        // The sign for kelvin has three bytes, its lower case one.
        let address = "\u{212a}".repeat(242) + "@example.org";
        assert_eq!(
            parse_email(&address).ok(),
            Some("k".repeat(242) + "@example.org")
        );
        assert!(parse_email(&("k".repeat(243) + "@example.org")).is_err());
        assert!(parse_email(&("é".repeat(122) + "@example.org")).is_err());
    }

    #[test]
    fn an_address_is_the_same_however_its_marks_are_written() {
        for (written, kept) in [
            ("Je\u{301}@x.org", "jé@x.org"),
            ("J\u{c9}@x.org", "jé@x.org"),
            ("J\u{30c}@x.org", "\u{1f0}@x.org"),
            ("\u{1f0}@x.org", "\u{1f0}@x.org"),
        ] {
            assert_eq!(parse_email(written).ok().as_deref(), Some(kept));
            assert_eq!(folded_email(kept), kept);
        }
    }
}
