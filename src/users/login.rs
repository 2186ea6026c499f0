//! Logging in, and changing the secret that logs in. Both check the secret and are throttled.

use std::net::IpAddr;

use diesel::prelude::*;

use super::password::{self, Verdict};
use super::tokens;
use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::model::User;
use crate::schema::users;

/// Checks a username and secret; the same cost and error whether the user exists or not.
///
/// Failures are counted by account and by address: [`Error::TooManyAttempts`] when there were too
/// many. Other errors: [`Error::BadCredentials`], [`Error::Busy`].
pub async fn authenticate(
    app: &App,
    username: &str,
    secret: String,
    ip: Option<IpAddr>,
) -> Result<User> {
    let account = username.to_owned();
    app.account_throttle.check(&account)?;
    if let Some(ip) = ip {
        app.address_throttle.check(&ip)?;
    }
    let found = app.db.read(|conn| {
        let row = users::table.filter(users::username.eq(username));
        Ok(row
            .select((User::as_select(), users::verifier))
            .first::<(User, String)>(conn)
            .optional()?)
    })?;
    let (user, verifier) = found.unzip();
    let verdict = password::verify(app, secret, verifier).await?;
    let Some(user) = user.filter(|_| verdict != Verdict::Wrong) else {
        app.account_throttle.note_failure(account);
        if let Some(ip) = ip {
            app.address_throttle.note_failure(ip);
        }
        return Err(Error::BadCredentials);
    };
    app.account_throttle.forgive(&account);
    if let Verdict::Outdated(stronger) = verdict {
        let id = user.id;
        app.db
            .write(move |conn| {
                diesel::update(users::table.find(id))
                    .set(users::verifier.eq(stronger))
                    .execute(conn)?;
                Ok(())
            })
            .await?;
    }
    Ok(user)
}

/// Authenticates and issues a token.
pub async fn log_in(
    app: &App,
    username: &str,
    secret: String,
    ip: Option<IpAddr>,
) -> Result<(User, tokens::Token)> {
    let user = authenticate(app, username, secret, ip).await?;
    let token = tokens::issue(app, user.id).await?;
    Ok((user, token))
}

/// Replaces the secret, after a check of the current one, and ends every session but `kept`.
pub async fn change_password(
    app: &std::sync::Arc<App>,
    username: &str,
    current: String,
    new: String,
    kept: Option<tokens::Session>,
    ip: Option<IpAddr>,
) -> Result<()> {
    let user = authenticate(app, username, current, ip).await?.id;
    let verifier = password::hash(app, new).await?;
    let kept = kept
        .filter(|session| session.user == user)
        .map(|session| session.id);
    let its_app = app.clone();
    let work = move |conn: &mut Conn| {
        diesel::update(users::table.find(user))
            .set(users::verifier.eq(verifier))
            .execute(conn)?;
        tokens::end_all(conn, user, kept)
    };
    app.db
        .write_then(work, move |ended| {
            tokens::forget(&its_app, user, ended, kept);
        })
        .await?;
    Ok(())
}
