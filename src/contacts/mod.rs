//! Contacts, friend requests, friends.
//!
//! A contact is one way and needs nobody's consent; friends are contacts both ways. A request
//! waits until its addressee answers it, and is gone then. Who is online is `presence`'s to say;
//! [`announce_changes`] tells friends of it. Lists are read in `lists`.

mod announce;
mod lists;

pub use announce::announce_changes;
pub use lists::{
    Contact, list_contact_ids, list_contacts, list_friend_ids, list_friends, list_requests_between,
    list_requests_to, newest_request_to,
};

use diesel::prelude::*;

use crate::app::App;
use crate::db::{Conn, Turns, on_inner, take_turns};
use crate::error::{Error, Result};
use crate::hub::Event;
use crate::model::{FriendRequest, Instant, RequestId, UserId};
use crate::schema::{contacts, friend_requests};
use crate::users::user_in;
use lists::contact_in;

/// The longest word with a friend request, in characters.
pub const LONGEST_REQUEST_TEXT: usize = 1_000;
/// So many requests may wait for one user's answer. Whoever makes accounts enough could fill a list
/// without end otherwise.
const MOST_WAITING: i64 = 1_000;
/// Requests are answered by people, in their own time.
const ASK_AGAIN_AFTER_SECS: u64 = 3_600;

/// Adds a contact, one way; again is no error. If that makes them friends, what they had asked
/// one another is settled.
///
/// Errors: [`Error::SelfContact`], [`Error::UnknownUser`].
pub async fn add(app: &App, user: UserId, contact: UserId) -> Result<Contact> {
    if user == contact {
        return Err(Error::SelfContact);
    }
    app.db
        .write(move |conn| {
            take_turns(conn, Turns::Contacts, &[user.0, contact.0])?;
            user_in(conn, contact)?;
            insert(conn, user, contact)?;
            let added = contact_in(conn, user, contact)?;
            if added.is_mutual {
                settle(conn, user, contact)?;
            }
            Ok(added)
        })
        .await
}

/// Ends whatever there is between two users: contacts both ways, and requests either way.
///
/// Errors: [`Error::UnknownContact`] when there was nothing.
pub async fn remove_both(app: &App, user: UserId, other: UserId) -> Result<()> {
    app.db
        .write(move |conn| {
            take_turns(conn, Turns::Contacts, &[user.0, other.0])?;
            match unlink(conn, user, other)? + settle(conn, user, other)? {
                0 => Err(Error::UnknownContact),
                _ => Ok(()),
            }
        })
        .await
}

/// Ends a friendship, for both. Errors: [`Error::UnknownContact`] for all but friends.
pub async fn unfriend(app: &App, user: UserId, friend: UserId) -> Result<()> {
    app.db
        .write(move |conn| {
            take_turns(conn, Turns::Contacts, &[user.0, friend.0])?;
            match unlink(conn, user, friend)? {
                2 => Ok(()),
                // An error undoes what was removed: one-way contacts stay.
                _ => Err(Error::UnknownContact),
            }
        })
        .await
}

/// Whether `user` has added `other`.
pub fn is_contact(app: &App, user: UserId, other: UserId) -> Result<bool> {
    app.db.read(|conn| has_added(conn, user, other))
}

/// Asks somebody to be a friend; they hear of it if they listen.
///
/// Errors: [`Error::SelfContact`], [`Error::UnknownUser`], [`Error::Invalid`] for a `text` of more
/// than [`LONGEST_REQUEST_TEXT`] characters or with NUL characters, [`Error::RequestExists`] while
/// one waits in either direction, and between friends, [`Error::Busy`] while 1,000 requests of
/// others wait for `to`.
pub async fn ask(app: &App, from: UserId, to: UserId, text: String) -> Result<FriendRequest> {
    if from == to {
        return Err(Error::SelfContact);
    }
    if text.chars().count() > LONGEST_REQUEST_TEXT {
        return Err(Error::invalid(
            "message",
            format!("must have at most {LONGEST_REQUEST_TEXT} characters"),
        ));
    }
    if text.contains('\0') {
        return Err(Error::invalid("message", "must not have NUL characters"));
    }
    let hub = app.hub.clone();
    let work = move |conn: &mut Conn| {
        take_turns(conn, Turns::Contacts, &[from.0, to.0])?;
        user_in(conn, to)?;
        let asker = user_in(conn, from)?.username;
        if are_friends(conn, from, to)? || is_pending(conn, from, to)? {
            return Err(Error::RequestExists);
        }
        if count_waiting(conn, to)? >= MOST_WAITING {
            return Err(Error::Busy {
                retry_after_secs: ASK_AGAIN_AFTER_SECS,
            });
        }
        Ok((insert_request(conn, from, to, &text)?, asker))
    };
    let tell = move |(request, asker): &(FriendRequest, String)| {
        let event = Event::FriendRequested {
            request: request.id,
            from,
            username: asker.clone(),
            text: request.message.clone(),
        };
        hub.to_user(to, event);
    };
    app.db
        .write_then(work, tell)
        .await
        .map(|(request, _)| request)
}

/// Answers a request by its id; accepting makes both friends.
///
/// Errors: [`Error::UnknownRequest`], also for everybody but the addressee.
pub async fn answer(app: &App, user: UserId, request: RequestId, accept: bool) -> Result<()> {
    app.db
        .write(move |conn| {
            let asked = request_to(conn, user, request)?;
            take_turns(conn, Turns::Contacts, &[asked.from_id.0, user.0])?;
            // It may have been answered meanwhile.
            let asked = request_to(conn, user, request)?;
            resolve(conn, &asked, accept)
        })
        .await
}

fn request_to(conn: &mut Conn, user: UserId, request: RequestId) -> Result<FriendRequest> {
    let waiting = friend_requests::table
        .find(request)
        .filter(friend_requests::to_id.eq(user));
    let request = waiting.select(FriendRequest::as_select()).first(conn);
    request.optional()?.ok_or(Error::UnknownRequest)
}

/// Accepts the request of one who asks; returns the new friend.
///
/// Errors: [`Error::UnknownRequest`].
pub async fn accept_from(app: &App, user: UserId, from: UserId) -> Result<Contact> {
    app.db
        .write(move |conn| {
            take_turns(conn, Turns::Contacts, &[user.0, from.0])?;
            let request: FriendRequest = friend_requests::table
                .filter(friend_requests::from_id.eq(from))
                .filter(friend_requests::to_id.eq(user))
                .select(FriendRequest::as_select())
                .first(conn)
                .optional()?
                .ok_or(Error::UnknownRequest)?;
            resolve(conn, &request, true)?;
            contact_in(conn, user, from)
        })
        .await
}

/// Takes a request away; both are friends then, if it is accepted.
fn resolve(conn: &mut Conn, request: &FriendRequest, accept: bool) -> Result<()> {
    settle(conn, request.from_id, request.to_id)?;
    if accept {
        insert(conn, request.from_id, request.to_id)?;
        insert(conn, request.to_id, request.from_id)?;
    }
    Ok(())
}

fn insert(conn: &mut Conn, user: UserId, contact: UserId) -> Result<()> {
    let row = (
        contacts::user_id.eq(user),
        contacts::contact_id.eq(contact),
        contacts::created_at.eq(Instant::now()),
    );
    let insert = diesel::insert_into(contacts::table)
        .values(row)
        .on_conflict_do_nothing();
    on_inner!(conn, inner => insert.execute(inner))?;
    Ok(())
}

fn count_waiting(conn: &mut Conn, addressee: UserId) -> Result<i64> {
    let waiting = friend_requests::table.filter(friend_requests::to_id.eq(addressee));
    Ok(waiting.count().get_result(conn)?)
}

fn insert_request(conn: &mut Conn, from: UserId, to: UserId, text: &str) -> Result<FriendRequest> {
    let row = (
        friend_requests::from_id.eq(from),
        friend_requests::to_id.eq(to),
        friend_requests::message.eq(text),
        friend_requests::created_at.eq(Instant::now()),
    );
    let insert = diesel::insert_into(friend_requests::table).values(row);
    Ok(on_inner!(conn, inner => insert.returning(FriendRequest::as_returning()).get_result(inner))?)
}

/// Removes contacts both ways; returns how many there were.
fn unlink(conn: &mut Conn, one: UserId, other: UserId) -> Result<usize> {
    let there = contacts::user_id
        .eq(one)
        .and(contacts::contact_id.eq(other));
    let back = contacts::user_id
        .eq(other)
        .and(contacts::contact_id.eq(one));
    Ok(diesel::delete(contacts::table.filter(there.or(back))).execute(conn)?)
}

/// Those between two users, in either direction.
#[diesel::dsl::auto_type]
fn requests_between(one: UserId, other: UserId) -> _ {
    let there = friend_requests::from_id
        .eq(one)
        .and(friend_requests::to_id.eq(other));
    let back = friend_requests::from_id
        .eq(other)
        .and(friend_requests::to_id.eq(one));
    friend_requests::table.filter(there.or(back))
}

/// Removes requests both ways; returns how many there were.
fn settle(conn: &mut Conn, one: UserId, other: UserId) -> Result<usize> {
    Ok(diesel::delete(requests_between(one, other)).execute(conn)?)
}

fn has_added(conn: &mut Conn, user: UserId, contact: UserId) -> Result<bool> {
    let row = contacts::table
        .find((user, contact))
        .select(contacts::contact_id);
    Ok(row.first::<UserId>(conn).optional()?.is_some())
}

fn are_friends(conn: &mut Conn, one: UserId, other: UserId) -> Result<bool> {
    Ok(has_added(conn, one, other)? && has_added(conn, other, one)?)
}

fn is_pending(conn: &mut Conn, one: UserId, other: UserId) -> Result<bool> {
    let found = requests_between(one, other).select(friend_requests::id);
    Ok(found.first::<RequestId>(conn).optional()?.is_some())
}
