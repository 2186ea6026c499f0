//! Who may do what with a message: grants, revocations, and the one function that decides.
//!
//! The sender owns the message: no row says so and none can take it away. Everybody else's rights
//! are one row of `permissions`, which is at the same time the message's place in their mailbox.

use std::sync::Arc;

use diesel::prelude::*;

use crate::app::App;
use crate::db::{Conn, Extent, Turns, on_inner, take_turns};
use crate::error::{Error, Result};
use crate::hub::Event;
use crate::model::{Access, Instant, MessageId, Permission, RoomId, UserId};
use crate::schema::{messages, permissions, users};

/// What somebody wants to do with a direct message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See it: owner, recipient, everybody with a grant.
    Read,
    /// Replace the content: owner, `write`, `admin`.
    Replace,
    /// Grant, revoke, list grants: owner, `admin`.
    Share,
    /// Delete it: owner, `admin`.
    Delete,
    /// Take it back: owner only (chat8).
    Withdraw,
    /// Mark it as read: recipient only.
    MarkRead,
}

impl Action {
    /// What a revocation takes: holders may give up their own permission.
    fn to_revoke(is_own: bool) -> Self {
        if is_own { Action::Read } else { Action::Share }
    }
}

/// What is decided by. Only columns that stand before the content in a row: to reach what stands
/// behind it, SQLite goes through all the pages of a content of megabytes.
#[derive(Clone, Copy, Debug, Queryable, Selectable)]
#[diesel(table_name = messages)]
#[expect(clippy::struct_field_names, reason = "as in a message")]
pub(crate) struct Parties {
    /// Who sent the message, and owns it.
    pub(crate) sender_id: UserId,
    /// To whom.
    pub(crate) recipient_id: Option<UserId>,
    room_id: Option<RoomId>,
}

/// Decides whether `user` may do `action`, and says between whom the message is if so.
///
/// Errors: [`Error::UnknownMessage`] (room messages are not direct ones), [`Error::Forbidden`].
pub(crate) fn may(conn: &mut Conn, user: UserId, action: Action, id: MessageId) -> Result<Parties> {
    let found = messages::table
        .find(id)
        .select(Parties::as_select())
        .first(conn)
        .optional()?;
    let message = found
        .filter(|message| message.room_id.is_none())
        .ok_or(Error::UnknownMessage)?;
    let is_owner = message.sender_id == user;
    let is_recipient = message.recipient_id == Some(user);
    let needed = match action {
        Action::Withdraw => {
            return if is_owner {
                Ok(message)
            } else {
                Err(Error::Forbidden)
            };
        }
        Action::MarkRead => {
            return if is_recipient {
                Ok(message)
            } else {
                Err(Error::Forbidden)
            };
        }
        Action::Read => Access::Read,
        Action::Replace => Access::Write,
        Action::Share | Action::Delete => Access::Admin,
    };
    if is_owner || held(conn, user, id)?.is_some_and(|held| held.access >= needed) {
        return Ok(message);
    }
    Err(Error::Forbidden)
}

/// Like [`may`], inside a write: nobody else changes the message, or who may see it, until that is
/// committed.
pub(super) fn may_change(
    conn: &mut Conn,
    user: UserId,
    action: Action,
    id: MessageId,
) -> Result<Parties> {
    take_turns(conn, Turns::Messages, &[id.0])?;
    may(conn, user, action, id)
}

/// Like [`may`], before the writer is asked: what is refused costs it nothing.
pub(super) fn check_may(app: &App, user: UserId, action: Action, id: MessageId) -> Result<()> {
    app.db.read(|conn| may(conn, user, action, id).map(drop))
}

/// Whether `user` may grant on a message: to be told before anything is said of the grantee.
///
/// Errors: [`Error::UnknownMessage`], [`Error::Forbidden`].
pub fn check_may_share(app: &App, user: UserId, id: MessageId) -> Result<()> {
    check_may(app, user, Action::Share, id)
}

/// Whether `user` may revoke on a message, their own permission or anybody's.
///
/// Errors: [`Error::UnknownMessage`], [`Error::Forbidden`].
pub fn check_may_revoke(app: &App, user: UserId, is_own: bool, id: MessageId) -> Result<()> {
    check_may(app, user, Action::to_revoke(is_own), id)
}

/// A grant to be made.
#[derive(Clone, Debug)]
pub struct Grant {
    /// On which message.
    pub message: MessageId,
    /// Who grants.
    pub granter: UserId,
    /// Their name, for the grantee.
    pub granter_name: String,
    /// To whom.
    pub grantee: UserId,
    /// What.
    pub access: Access,
    /// The content sealed again for the grantee; without it, a copy granted before stays.
    pub content: Option<String>,
}

/// Grants, or changes what was granted before. The grantee's listeners hear of a message that is
/// new in their mailbox.
///
/// Errors: [`Error::UnknownMessage`], [`Error::Forbidden`], [`Error::Invalid`], [`Error::TooLarge`].
pub async fn grant(app: &Arc<App>, grant: Grant) -> Result<()> {
    if let Some(content) = &grant.content {
        super::check_content(content, app.config.max_content_bytes)?;
    }
    let (hub, its_app) = (app.hub.clone(), app.clone());
    let (message, grantee) = (grant.message, grant.grantee);
    let (access, shared_by) = (grant.access, grant.granter_name.clone());
    let work = move |conn: &mut Conn| {
        let parties = may_change(conn, grant.granter, Action::Share, message)?;
        take_turns(conn, Turns::Mailboxes, &[grantee.0])?;
        if parties.sender_id == grantee {
            return Err(Error::invalid(
                "grantee",
                "is the owner, who has every right already",
            ));
        }
        let is_new = held(conn, grantee, message)?.is_none();
        let granted_at = its_app.clock.tick();
        upsert(conn, &grant, granted_at)?;
        Ok(is_new.then_some(granted_at))
    };
    let tell = move |new_at: &Option<Instant>| {
        if let Some(granted_at) = *new_at {
            let event = Event::Shared {
                message,
                shared_by,
                access,
                granted_at,
            };
            hub.to_user(grantee, event);
        }
    };
    app.db.write_then(work, tell).await?;
    Ok(())
}

fn upsert(conn: &mut Conn, grant: &Grant, granted_at: Instant) -> Result<()> {
    // A copy that is there stays, unless a new one comes: `None` is left out of the update.
    let columns = (
        permissions::kind.eq(grant.access.as_str()),
        permissions::granted_by.eq(Some(grant.granter)),
        (grant.content.as_ref()).map(|content| permissions::content.eq(content)),
        permissions::granted_at.eq(granted_at),
    );
    let key = (
        permissions::user_id.eq(grant.grantee),
        permissions::message_id.eq(grant.message),
    );
    let insert = diesel::insert_into(permissions::table)
        .values((key, permissions::received.eq(false), columns))
        .on_conflict((permissions::user_id, permissions::message_id))
        .do_update()
        .set(columns);
    on_inner!(conn, inner => insert.execute(inner))?;
    Ok(())
}

/// Revokes a grant. A message that the holder received directly stays theirs to read.
///
/// Owner and admins may revoke anybody's, holders their own.
/// Errors: [`Error::UnknownMessage`], [`Error::Forbidden`], [`Error::UnknownPermission`].
pub async fn revoke(app: &App, revoker: UserId, holder: UserId, id: MessageId) -> Result<()> {
    app.db
        .write(move |conn| {
            may_change(conn, revoker, Action::to_revoke(revoker == holder), id)?;
            let held = held(conn, holder, id)?
                .filter(|held| held.granted_by.is_some())
                .ok_or(Error::UnknownPermission)?;
            let row = permissions::table.find((holder, id));
            if held.received {
                let as_received = (
                    permissions::kind.eq(Access::Read.as_str()),
                    permissions::granted_by.eq(None::<UserId>),
                    permissions::content.eq(None::<String>),
                );
                diesel::update(row).set(as_received).execute(conn)?;
            } else {
                diesel::delete(row).execute(conn)?;
            }
            Ok(())
        })
        .await
}

/// A permission with the names that belong to it.
#[derive(Clone, Debug)]
pub struct NamedPermission {
    /// The row.
    pub permission: Permission,
    /// Its holder.
    pub holder: String,
    /// Who granted it.
    pub granted_by: Option<String>,
}

/// Everybody's permissions on a message, by holder. Errors: [`Error::UnknownMessage`],
/// [`Error::Forbidden`].
pub fn list(app: &App, user: UserId, id: MessageId) -> Result<Vec<NamedPermission>> {
    app.db.scan(Extent::Own, |conn| {
        may(conn, user, Action::Share, id)?;
        let granters = diesel::alias!(users as granters);
        let rows = permissions::table
            .inner_join(users::table.on(users::id.eq(permissions::user_id)))
            .left_join(
                granters.on(granters
                    .field(users::id)
                    .nullable()
                    .eq(permissions::granted_by)),
            )
            .filter(permissions::message_id.eq(id))
            .order(permissions::user_id)
            .select((
                Permission::as_select(),
                users::username,
                granters.field(users::username).nullable(),
            ))
            .load::<(Permission, String, Option<String>)>(conn)?;
        let named = |(permission, holder, granted_by)| NamedPermission {
            permission,
            holder,
            granted_by,
        };
        Ok(rows.into_iter().map(named).collect())
    })
}

/// What somebody holds on a message. What stands behind a copy in its row is left out: SQLite goes
/// through all of the copy to get there.
#[derive(Queryable, Selectable)]
#[diesel(table_name = permissions)]
struct Held {
    #[diesel(column_name = kind, deserialize_as = String)]
    access: Access,
    received: bool,
    granted_by: Option<UserId>,
}

fn held(conn: &mut Conn, user: UserId, message: MessageId) -> Result<Option<Held>> {
    let row = permissions::table
        .find((user, message))
        .select(Held::as_select());
    Ok(row.first(conn).optional()?)
}
