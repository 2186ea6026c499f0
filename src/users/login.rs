//! Logging in, and changing the secret that logs in. Both check the secret and are throttled.

use std::net::{IpAddr, Ipv6Addr};

use diesel::prelude::*;

use super::password::{self, Verdict};
use super::tokens;
use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::model::{Session, User, UserId};
use crate::schema::users;

/// Somebody whose secret was right, as long as they still have the same.
pub struct Login {
    /// Who.
    pub user: User,
    /// What the secret was checked against.
    verifier: String,
}

/// Checks a username and secret; the same cost and error whether the user exists or not.
///
/// The password may change at any time. So whoever begins something that its change is to end must
/// look again, in the write that begins it ([`tokens`]) or afterwards ([`check_again`]).
///
/// Failures are counted by account and by address: [`Error::TooManyAttempts`] when there were too
/// many. Other errors: [`Error::BadCredentials`], [`Error::Busy`].
pub async fn authenticate(
    app: &App,
    username: &str,
    secret: String,
    ip: Option<IpAddr>,
) -> Result<Login> {
    let by_account = app.account_throttle.begin(username.to_owned()).await?;
    let by_address = match ip {
        Some(ip) => Some(app.address_throttle.begin(network_of(ip)).await?),
        None => None,
    };
    let Some(login) = check_secret(app, username, secret).await? else {
        by_account.fail();
        if let Some(by_address) = by_address {
            by_address.fail();
        }
        return Err(Error::BadCredentials);
    };
    by_account.succeed();
    Ok(login)
}

/// An IPv6 address stands for its network of 64 bits: who has one has them all. All IPv4 addresses
/// as a socket for both shows them are of one such network, and stand for themselves.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

/// The login, if the secret is right. An outdated verifier is replaced.
async fn check_secret(app: &App, username: &str, secret: String) -> Result<Option<Login>> {
    loop {
        let found = app.db.read(|conn| {
            let row = users::table.filter(users::username.eq(username));
            Ok(row
                .select((User::as_select(), users::verifier))
                .first::<(User, String)>(conn)
                .optional()?)
        })?;
        let (user, verifier) = found.unzip();
        let verdict = password::verify(app, secret.clone(), verifier.clone()).await?;
        let (Some(user), Some(verifier)) = (user, verifier) else {
            return Ok(None);
        };
        match verdict {
            Verdict::Wrong => return Ok(None),
            Verdict::Right => return Ok(Some(Login { user, verifier })),
            // Another login or a change of the password may come first: what is there then counts.
            Verdict::Outdated(stronger) => {
                let work =
                    move |conn: &mut Conn| replace_verifier(conn, user.id, &verifier, &stronger);
                app.db.write(work).await?;
            }
        }
    }
}

/// Replaces a verifier, inside a write; false if the user has another by now. On PostgreSQL the
/// update itself waits for a write that is changing it.
fn replace_verifier(conn: &mut Conn, user: UserId, old: &str, new: &str) -> Result<bool> {
    let row = users::table.find(user).filter(users::verifier.eq(old));
    let replaced = diesel::update(row)
        .set(users::verifier.eq(new))
        .execute(conn)?;
    Ok(replaced > 0)
}

/// Looks whether a login's password is still the same. For what begins outside the database: begun
/// before this look, it is either refused here or ended by the change.
///
/// Errors: [`Error::BadCredentials`].
pub fn check_again(app: &App, login: &Login) -> Result<()> {
    let verifier: String = app.db.read(|conn| {
        let row = users::table.find(login.user.id);
        Ok(row.select(users::verifier).first(conn)?)
    })?;
    if verifier == login.verifier {
        Ok(())
    } else {
        Err(Error::BadCredentials)
    }
}

/// Notes a login that gets no token. Errors: [`Error::BadCredentials`] as in [`check_again`].
pub async fn note(app: &App, login: &Login) -> Result<()> {
    let (user, verifier) = (login.user.id, login.verifier.clone());
    app.db
        .write(move |conn| tokens::note_login(conn, user, Some(&verifier)))
        .await
}

/// Authenticates and issues a token.
pub async fn log_in(
    app: &App,
    username: &str,
    secret: String,
    ip: Option<IpAddr>,
) -> Result<(User, tokens::Token)> {
    let Login { user, verifier } = authenticate(app, username, secret, ip).await?;
    let token = tokens::issue(app, user.id, verifier).await?;
    Ok((user, token))
}

/// Replaces the secret, after a check of the current one, and ends every session but `kept`.
pub async fn change_password(
    app: &std::sync::Arc<App>,
    username: &str,
    current: String,
    new: String,
    kept: Option<Session>,
    ip: Option<IpAddr>,
) -> Result<()> {
    let login = authenticate(app, username, current, ip).await?;
    let user = login.user.id;
    let verifier = password::hash(app, new).await?;
    let kept = kept
        .filter(|session| session.user == user)
        .map(|session| session.id);
    let its_app = app.clone();
    let work = move |conn: &mut Conn| {
        // Another change with the same current secret may have come first.
        if !replace_verifier(conn, user, &login.verifier, &verifier)? {
            return Err(Error::BadCredentials);
        }
        tokens::end_all(conn, user, kept)
    };
    app.db
        .write_then(work, move |ended| {
            tokens::tell_all_ended(&its_app, user, ended, kept);
        })
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_stands_for_its_network_and_an_ipv4_address_for_itself() {
        for (ip, network) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.2", "192.0.2.2"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            let [ip, network] = [ip, network].map(|text| text.parse().expect("an address"));
            assert_eq!(network_of(ip), network);
        }
    }
}
