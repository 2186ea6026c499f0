//! Registering and logging in. Both are always answered by their own response, never by an
//! `error_message`. Source: chat_room §5, §6.

use std::net::IpAddr;

use super::frame::Credentials;
use super::reply::{Account, CurrentGroup, Frame, Refusal};
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::{Room, User};
use crate::rooms;
use crate::users::login::{self, Login};
use crate::users::password::secret_of;
use crate::users::{self, Registration};

/// Makes an account, which is in the public room from the start; does not log in.
pub(super) async fn register(app: &App, credentials: Credentials) -> Account {
    let username = credentials.username.unwrap_or_default();
    let password = credentials.password.unwrap_or_default();
    if let Err(reason) = check_username(&username).and_then(|()| check_password(&password)) {
        return Account::refused(reason);
    }
    match add(app, &username, &password).await {
        Ok(user) => Account::of(user.id, &user.username),
        Err(Error::UsernameTaken) => Account::refused(format!("用户名 '{username}' 已存在")),
        Err(error) => refused(error),
    }
}

async fn add(app: &App, username: &str, password: &str) -> Result<User> {
    let registration = Registration {
        username: username.to_owned(),
        email: None,
        secret: secret_of(password),
        public_key: None,
    };
    let user = users::register(app, registration).await?;
    // Without it the account is whole all the same, and the first login tries again.
    if let Err(cause) = rooms::join_public(app, user.id).await {
        tracing::warn!(%cause, "a new user could not join the public room");
    }
    Ok(user)
}

/// Checks who it is; the rules for new accounts do not matter here, since other APIs have theirs.
///
/// The error is the account as the reply says it.
pub(super) async fn log_in(
    app: &App,
    credentials: Credentials,
    ip: IpAddr,
) -> Result<(Login, Room), Account> {
    let username = credentials.username.unwrap_or_default();
    let secret = secret_of(&credentials.password.unwrap_or_default());
    let arrived = async {
        // A name that nobody can have fails like one that nobody has.
        let username = users::parse_username(&username).map_err(|_| Error::BadCredentials)?;
        let login = users::authenticate(app, &username, secret, Some(ip)).await?;
        login::note(app, &login).await?;
        let room = rooms::join_public(app, login.user.id).await?;
        Ok((login, room))
    };
    arrived.await.map_err(refused)
}

/// An account that is refused, as the reply says it.
pub(super) fn refused(error: Error) -> Account {
    Account::refused(Refusal::from(error).error_message)
}

/// The reply to a login.
pub(super) fn logged_in(user: &User, room: &Room) -> Frame {
    Frame::LoggedIn {
        account: Account::of(user.id, &user.username),
        current_chat_group: Some(CurrentGroup {
            id: room.id,
            name: room.name.clone(),
        }),
    }
}

/// 3–20 letters, digits, `_` and Chinese characters, no digit first.
fn check_username(username: &str) -> Result<(), &'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || rooms::is_chinese(c);
    if !(3..=20).contains(&username.chars().count()) {
        Err("用户名长度必须为3-20个字符")
    } else if !username.chars().all(is_allowed) {
        Err("用户名只能包含字母、数字、下划线和中文")
    } else if username.starts_with(|c: char| c.is_ascii_digit()) {
        Err("用户名不能以数字开头")
    } else {
        Ok(())
    }
}

/// 6–50 characters, at least one letter and one digit.
fn check_password(password: &str) -> Result<(), &'static str> {
    let has = |is: fn(&char) -> bool| password.chars().any(|c| is(&c));
    if !(6..=50).contains(&password.chars().count()) {
        Err("密码长度必须为6-50个字符")
    } else if !has(char::is_ascii_alphabetic) || !has(char::is_ascii_digit) {
        Err("密码必须至少包含一个字母和一个数字")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_username_has_3_to_20_letters_digits_underscores_and_chinese_characters() {
        for name in ["bob", "bob_用户", "_1a", "用户名", &"a".repeat(20)] {
            assert!(check_username(name).is_ok(), "{name:?}");
        }
        for name in ["", "ab", "1ab", "a b", "a-b", "éab", &"a".repeat(21)] {
            assert!(check_username(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_new_password_has_6_to_50_characters_with_a_letter_and_a_digit() {
        for password in ["secret1", "密码密码a1", &"a1".repeat(25)] {
            assert!(check_password(password).is_ok(), "{password:?}");
        }
        for password in [
            "",
            "abc1",
            "abcdef",
            "123456",
            "密码密码密码1",
            &"a1".repeat(26),
        ] {
            assert!(check_password(password).is_err(), "{password:?}");
        }
    }
}
