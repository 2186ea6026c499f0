//! Lists of contacts, friends and requests.
//!
//! Public keys have up to 64 KiB, so they are read where they are shown, some at a time.

use diesel::prelude::*;

use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::model::{FriendRequest, Instant, Profile, RequestId, UserId};
use crate::schema::{contacts, friend_requests, users};

mod alias {
    #![allow(
        missing_docs,
        reason = "the macro makes public items that nobody can document"
    )]
    diesel::alias!(crate::schema::contacts as way_back: WayBack);
}
use alias::way_back;

/// Somebody whom a user has added, or has become friends with.
#[derive(Clone, Debug)]
pub struct Contact {
    /// Who was added.
    pub id: UserId,
    /// They have added the user too: friends.
    pub is_mutual: bool,
    /// When they were added.
    pub created_at: Instant,
}

/// Everybody whom a user has added, in the order of adding.
pub fn list_contacts(app: &App, user: UserId) -> Result<Vec<Contact>> {
    app.db.read(|conn| contacts_in(conn, user, None))
}

/// The ids of those whom a user has added, in no order.
pub fn list_contact_ids(app: &App, user: UserId) -> Result<Vec<UserId>> {
    app.db.read(|conn| {
        let rows = contacts::table.filter(contacts::user_id.eq(user));
        Ok(rows.select(contacts::contact_id).load(conn)?)
    })
}

/// A user's friends, in the order of adding.
pub fn list_friends(app: &App, user: UserId) -> Result<Vec<Profile>> {
    app.db.read(|conn| {
        Ok(friends_of(user)
            .inner_join(users::table.on(users::id.eq(contacts::contact_id)))
            .order((contacts::created_at, contacts::contact_id))
            .select(Profile::as_select())
            .load(conn)?)
    })
}

/// The ids of a user's friends, in no order.
pub fn list_friend_ids(app: &App, user: UserId) -> Result<Vec<UserId>> {
    app.db.read(|conn| friend_ids_in(conn, user))
}

/// Like [`list_friend_ids`], inside other work.
pub(super) fn friend_ids_in(conn: &mut Conn, user: UserId) -> Result<Vec<UserId>> {
    let friends = friends_of(user).select(contacts::contact_id);
    Ok(friends.load(conn)?)
}

/// The requests that wait for a user's answer, with the name of the one who asks, oldest first.
pub fn list_requests_to(app: &App, user: UserId) -> Result<Vec<(FriendRequest, String)>> {
    list_requests_between(app, user, RequestId(0), RequestId(i64::MAX), i64::MAX)
}

/// The same of those after `last` up to and including `newest`, at most `limit`.
pub fn list_requests_between(
    app: &App,
    user: UserId,
    last: RequestId,
    newest: RequestId,
    limit: i64,
) -> Result<Vec<(FriendRequest, String)>> {
    app.db.read(|conn| {
        let asked = friend_requests::table
            .inner_join(users::table.on(users::id.eq(friend_requests::from_id)))
            .filter(friend_requests::to_id.eq(user))
            .filter(
                friend_requests::id
                    .gt(last)
                    .and(friend_requests::id.le(newest)),
            )
            .order(friend_requests::id)
            .limit(limit)
            .select((FriendRequest::as_select(), users::username));
        Ok(asked.load(conn)?)
    })
}

/// The newest of the requests that wait for a user's answer, if there is any.
pub fn newest_request_to(app: &App, user: UserId) -> Result<Option<RequestId>> {
    app.db.read(|conn| {
        let asked = friend_requests::table
            .filter(friend_requests::to_id.eq(user))
            .order(friend_requests::id.desc())
            .select(friend_requests::id);
        Ok(asked.first(conn).optional()?)
    })
}

/// One of a user's contacts. Errors: [`Error::UnknownContact`].
pub(super) fn contact_in(conn: &mut Conn, user: UserId, contact: UserId) -> Result<Contact> {
    contacts_in(conn, user, Some(contact))?
        .pop()
        .ok_or(Error::UnknownContact)
}

/// All of a user's contacts, or the one that is named.
fn contacts_in(conn: &mut Conn, user: UserId, only: Option<UserId>) -> Result<Vec<Contact>> {
    let mut query = contacts::table
        .left_join(way_back.on(is_way_back()))
        .filter(contacts::user_id.eq(user))
        .order((contacts::created_at, contacts::contact_id))
        .select((
            contacts::contact_id,
            contacts::created_at,
            way_back.field(contacts::user_id).nullable(),
        ))
        .into_boxed();
    if let Some(contact) = only {
        query = query.filter(contacts::contact_id.eq(contact));
    }
    let rows = query.load::<(UserId, Instant, Option<UserId>)>(conn)?;
    let contact = |(id, created_at, back)| Contact {
        id,
        is_mutual: Option::is_some(&back),
        created_at,
    };
    Ok(rows.into_iter().map(contact).collect())
}

/// A user's contacts who have added the user, too.
#[diesel::dsl::auto_type]
fn friends_of(user: UserId) -> _ {
    contacts::table
        .inner_join(way_back.on(is_way_back()))
        .filter(contacts::user_id.eq(user))
}

#[diesel::dsl::auto_type]
fn is_way_back() -> _ {
    way_back
        .field(contacts::user_id)
        .eq(contacts::contact_id)
        .and(way_back.field(contacts::contact_id).eq(contacts::user_id))
}
