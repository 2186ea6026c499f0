//! Bearer tokens: JWT, HS256, one session row each.
//!
//! A token is only as good as its session: logout, a password change or expiry ends both at once,
//! and with them every live socket that was opened with it, or with one that it has replaced, and
//! every list that is still being read.

use std::sync::Arc;

use diesel::prelude::*;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::user_to_change;
use crate::app::App;
use crate::caches::{Caches, remembered};
use crate::db::{Conn, Extent};
use crate::error::{Error, Result};
use crate::model::{Instant, Session, SessionId, UserId};
use crate::schema::{sessions, users};

const MICROS_PER_SEC: i64 = 1_000_000;

/// A token just issued; never shown.
#[derive(Clone)]
pub struct Token {
    /// What the client sends back, as `Authorization: Bearer …`.
    pub text: String,
    /// How long it lives, in seconds.
    pub expires_in_secs: i64,
    /// The session behind it.
    pub session: Session,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    jti: String,
    iat: i64,
    exp: i64,
}

/// A session and when it began.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    session: Session,
    at: Instant,
}

/// A new session and its token. Ends what has expired, so that the table stays small.
///
/// Errors: [`Error::BadCredentials`] if `verifier`, which the secret was checked against, is not
/// the user's any more.
pub(super) async fn issue(app: &App, user: UserId, verifier: String) -> Result<Token> {
    let begun = draw(app, user);
    let caches = app.caches.clone();
    let work = move |conn: &mut Conn| {
        note_login(conn, user, Some(&verifier))?;
        enter(conn, begun)?;
        diesel::delete(sessions::table.filter(sessions::expires_at.lt(begun.at))).execute(conn)?;
        Ok(())
    };
    app.db
        .write_then(work, move |()| remember(&caches, &begun))
        .await?;
    hand_out(app, &begun)
}

/// The first session of an account, inside the write that makes it; [`remember`] it on its commit
/// and [`hand_out`] its token.
pub(super) fn begin_first(conn: &mut Conn, app: &App, user: UserId) -> Result<Begun> {
    let begun = draw(app, user);
    note_login(conn, user, None)?;
    enter(conn, begun)?;
    Ok(begun)
}

/// A new session and its token in place of an old session. The old token ends; sockets and what
/// presence knows go on as the new session's. Of several calls for the same one, a single one
/// succeeds.
///
/// Errors: [`Error::InvalidToken`] if the old session has been ended meanwhile.
pub async fn replace(app: &Arc<App>, old: Session) -> Result<Token> {
    let begun = draw(app, old.user);
    let its_app = app.clone();
    let work = move |conn: &mut Conn| {
        // Begins with the user's row, as a change of the password does, which then waits for it.
        user_to_change(conn, old.user)?;
        enter(conn, begun)?;
        match diesel::delete(sessions::table.find(old.id)).execute(conn)? {
            0 => Err(Error::InvalidToken),
            _ => Ok(()),
        }
    };
    let after = move |(): &()| {
        // First of all: who begins to listen meanwhile asks again whether the token is good.
        its_app.caches.sessions.remove(&old.id);
        remember(&its_app.caches, &begun);
        its_app.hub.move_session(old.id, begun.session);
        its_app.presence.move_session(old.id, begun.session);
    };
    app.db.write_then(work, after).await?;
    hand_out(app, &begun)
}

/// A session that is not entered anywhere yet.
fn draw(app: &App, user: UserId) -> Begun {
    let at = Instant::now();
    let session = Session {
        id: SessionId(rand::thread_rng().gen_range(1..i64::MAX)),
        user,
        expires_at: at.plus_secs(app.config.token_lifetime_secs),
    };
    Begun { session, at }
}

/// Enters a session, inside a write.
fn enter(conn: &mut Conn, begun: Begun) -> Result<()> {
    let session = begun.session;
    let row = (
        sessions::id.eq(session.id),
        sessions::user_id.eq(session.user),
        sessions::created_at.eq(begun.at),
        sessions::expires_at.eq(session.expires_at),
    );
    diesel::insert_into(sessions::table)
        .values(row)
        .execute(conn)?;
    Ok(())
}

/// Notes a login, inside a write, unless the user's verifier is another by now. On PostgreSQL the
/// update itself waits for a write that is changing it, and such a write waits for this one.
pub(super) fn note_login(conn: &mut Conn, user: UserId, verifier: Option<&str>) -> Result<()> {
    let row = users::table.find(user);
    let now = users::last_login_at.eq(Instant::now());
    let noted = match verifier {
        Some(verifier) => diesel::update(row.filter(users::verifier.eq(verifier)))
            .set(now)
            .execute(conn)?,
        None => diesel::update(row).set(now).execute(conn)?,
    };
    if noted == 0 {
        return Err(Error::BadCredentials);
    }
    Ok(())
}

/// Remembers a session. To be called on its commit: later, its end might have come before.
pub(super) fn remember(caches: &Caches, begun: &Begun) {
    let session = begun.session;
    let found = (session.user, session.expires_at);
    caches.sessions.insert(session.id, found);
}

/// The token of a session that is on disk.
pub(super) fn hand_out(app: &App, begun: &Begun) -> Result<Token> {
    Ok(Token {
        text: encode(app, begun)?,
        expires_in_secs: app.config.token_lifetime_secs,
        session: begun.session,
    })
}

/// The session of a token.
///
/// Errors: [`Error::ExpiredToken`], and [`Error::InvalidToken`] for everything else.
pub fn check(app: &App, token: &str) -> Result<Session> {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.leeway = 0;
    let key = DecodingKey::from_secret(&app.secret);
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &rules)
        .map_err(|cause| match cause.kind() {
            ErrorKind::ExpiredSignature => Error::ExpiredToken,
            _ => Error::InvalidToken,
        })?
        .claims;
    let id = claims
        .jti
        .parse()
        .map(SessionId)
        .map_err(|_| Error::InvalidToken)?;
    // The token counts in seconds begun, the session exactly: it may be over and gone already.
    let (user, expires_at) = find(app, id)?.ok_or_else(|| {
        match claims.exp.saturating_sub(1).saturating_mul(MICROS_PER_SEC) {
            last_second if last_second < Instant::now().0 => Error::ExpiredToken,
            _ => Error::InvalidToken,
        }
    })?;
    if expires_at <= Instant::now() {
        return Err(Error::ExpiredToken);
    }
    if claims.sub != user.0.to_string() {
        return Err(Error::InvalidToken);
    }
    Ok(Session {
        id,
        user,
        expires_at,
    })
}

/// Looks again whether a session is alive: for whoever has just begun what its end is to end, since
/// that may have come before, and for whatever takes long.
///
/// Errors: [`Error::InvalidToken`], [`Error::ExpiredToken`].
pub fn check_again(app: &App, session: &Session) -> Result<()> {
    let (_, expires_at) = find(app, session.id)?.ok_or(Error::InvalidToken)?;
    if expires_at <= Instant::now() {
        return Err(Error::ExpiredToken);
    }
    Ok(())
}

/// [`check_again`], to be asked as often as one likes; where no session was needed all is well.
pub fn watch(
    app: &Arc<App>,
    session: Option<Session>,
) -> impl Fn() -> Result<()> + Send + 'static + use<> {
    let app = app.clone();
    move || session.map_or(Ok(()), |session| check_again(&app, &session))
}

/// Ends one session: its token, its sockets, and what presence knows by it. Again is no error.
pub async fn end(app: &Arc<App>, session: Session) -> Result<()> {
    let its_app = app.clone();
    let work = move |conn: &mut Conn| {
        diesel::delete(sessions::table.find(session.id)).execute(conn)?;
        Ok(())
    };
    app.db
        .write_then(work, move |()| tell_ended(&its_app, session))
        .await
}

/// Ends what depends on a session, once its end is on disk.
fn tell_ended(app: &App, session: Session) {
    app.caches.sessions.remove(&session.id);
    app.hub.end_session(session);
    app.presence.forget(session.user, Some(session.id));
}

/// Ends every session of a user but one, inside a write; returns which, for [`tell_all_ended`].
pub(super) fn end_all(
    conn: &mut Conn,
    user: UserId,
    except: Option<SessionId>,
) -> Result<Vec<SessionId>> {
    let kept = except.map_or(-1, |session| session.0);
    let meant = || sessions::user_id.eq(user).and(sessions::id.ne(kept));
    let ended = sessions::table
        .filter(meant())
        .select(sessions::id)
        .load(conn)?;
    diesel::delete(sessions::table.filter(meant())).execute(conn)?;
    Ok(ended)
}

/// Ends what depends on sessions that [`end_all`] has ended: their sockets, and what presence knows
/// by them. To be called once that is on disk.
pub(super) fn tell_all_ended(
    app: &App,
    user: UserId,
    ended: &[SessionId],
    except: Option<SessionId>,
) {
    for session in ended {
        app.caches.sessions.remove(session);
        app.presence.forget(user, Some(*session));
    }
    app.hub.end_user(user, except);
}

/// Looks a session up.
fn find(app: &App, id: SessionId) -> Result<Option<(UserId, Instant)>> {
    if let Some(found) = app.caches.sessions.get(&id) {
        return Ok(Some(found));
    }
    remembered(&app.caches.sessions, id, || {
        app.db.read(|conn| {
            let row = sessions::table
                .find(id)
                .select((sessions::user_id, sessions::expires_at));
            Ok(row.first::<(UserId, Instant)>(conn).optional()?)
        })
    })
}

fn encode(app: &App, begun: &Begun) -> Result<String> {
    let session = begun.session;
    let claims = Claims {
        sub: session.user.0.to_string(),
        jti: session.id.0.to_string(),
        iat: begun.at.0 / MICROS_PER_SEC,
        // Up, lest a client that looks at it gives the token up before its time.
        exp: (session.expires_at.0 + MICROS_PER_SEC - 1) / MICROS_PER_SEC,
    };
    let key = EncodingKey::from_secret(&app.secret);
    jsonwebtoken::encode(&Header::default(), &claims, &key)
        .map_err(|cause| Error::Internal(format!("jwt: {cause}")))
}

/// How many sessions are alive. Scans.
pub fn count(app: &App) -> Result<u64> {
    let now = Instant::now();
    app.db.scan(Extent::All, |conn| {
        let live: i64 = sessions::table
            .filter(sessions::expires_at.gt(now))
            .count()
            .get_result(conn)?;
        Ok(live.unsigned_abs())
    })
}
