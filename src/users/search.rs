//! Finding people by name, or by e-mail address.
//!
//! Whoever is meant for sure is looked up by an index and comes first, however many others match.
//! For the others usernames are walked in their order, until there are enough, in an index that has
//! what they are compared by.

use std::collections::HashSet;

use diesel::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::{LONGEST_USERNAME, MOST_COMPOSED, folded, folded_email, is_longer};
use crate::app::App;
use crate::db::Extent;
use crate::error::Result;
use crate::model::{Profile, UserId};
use crate::schema::users;

/// What people are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Any part of the name.
    Name,
    /// That, or the whole e-mail address.
    NameOrAddress,
}

/// Users whose name contains `text`, whatever the case, or whose e-mail address it is, if that is
/// asked for; never `except`; at most `limit`.
///
/// First who is called just so, then who has the address, then who is called so but for the case,
/// then the others by username. Wildcards of LIKE are literal text. Scans.
pub fn search(
    app: &App,
    text: &str,
    by: By,
    except: Option<UserId>,
    limit: i64,
) -> Result<Vec<Profile>> {
    // Neither a name nor an address is longer, however it is written.
    if is_longer(text, MOST_COMPOSED * LONGEST_USERNAME) {
        return Ok(Vec::new());
    }
    let folded = folded(text);
    // No name is longer, and none has a NUL character, which PostgreSQL would refuse.
    if folded.len() > 4 * LONGEST_USERNAME || folded.contains('\0') {
        return Ok(Vec::new());
    }
    let pattern = pattern_of(&folded);
    let most = usize::try_from(limit).unwrap_or(0);
    app.db.scan(Extent::All, |conn| {
        // One more each, of whom `except` may be one.
        let others = users::table
            .order(users::username)
            .limit(limit + 1)
            .select(Profile::as_select());
        let name: String = text.nfc().collect();
        let mut found: Vec<Profile> = others.filter(users::username.eq(name)).load(conn)?;
        if by == By::NameOrAddress {
            // The second: those of before addresses were composed are as they were written.
            let address = [folded_email(text), text.to_lowercase()];
            found.extend(others.filter(users::email.eq_any(address)).load(conn)?);
        }
        found.extend(
            others
                .filter(users::username_folded.eq(folded))
                .load(conn)?,
        );
        keep_first(&mut found, except, most);
        if found.len() < most {
            // Ids first, all of which the index has: SQLite would look up every row otherwise.
            let walked = diesel::alias!(users as walked);
            let ids = walked
                .filter(
                    walked
                        .field(users::username_folded)
                        .like(pattern)
                        .escape('\\'),
                )
                .order(walked.field(users::username))
                .limit(limit + 1)
                .select(walked.field(users::id));
            found.extend(others.filter(users::id.eq_any(ids)).load(conn)?);
            keep_first(&mut found, except, most);
        }
        Ok(found)
    })
}

/// The pattern that finds a text as a part of another.
fn pattern_of(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// Keeps each user but `except` once, where they come first, and not more than `most`.
fn keep_first(found: &mut Vec<Profile>, except: Option<UserId>, most: usize) {
    let mut seen: HashSet<UserId> = except.into_iter().collect();
    found.retain(|user| seen.insert(user.id));
    found.truncate(most);
}
