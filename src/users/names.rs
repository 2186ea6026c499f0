//! Names and ids, either way round, remembered: every call asks for some.
//!
//! Ids never change. A rename forgets both ways once it is on disk; whoever looked a row up before
//! that and remembers it after looks again, so that nothing stale stays.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use diesel::prelude::*;

use crate::app::App;
use crate::caches::{remembered, remembered_all};
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::model::{Name, UserId};
use crate::schema::users;

/// The id of a username, if there is such a user.
pub fn find(app: &App, username: &str) -> Result<Option<UserId>> {
    if let Some(id) = app.caches.ids.get(username) {
        return Ok(Some(id));
    }
    remembered(&app.caches.ids, username.to_owned(), || {
        app.db.read(|conn| {
            let row = users::table
                .filter(users::username.eq(username))
                .select(users::id);
            Ok(row.first::<UserId>(conn).optional()?)
        })
    })
}

/// The id of a username. Errors: [`Error::UnknownUser`].
pub fn id_by_username(app: &App, username: &str) -> Result<UserId> {
    find(app, username)?.ok_or(Error::UnknownUser)
}

/// A user's present name. Errors: [`Error::UnknownUser`].
pub fn username_by_id(app: &App, id: UserId) -> Result<String> {
    if let Some(name) = app.caches.names.get(&id) {
        return Ok(name.to_string());
    }
    let names = app.db.read(|conn| names_of(app, conn, [id].into_iter()))?;
    let name = names.get(&id).ok_or(Error::UnknownUser)?;
    Ok(name.to_string())
}

/// The present names of several users; unknown ids are left out.
pub(crate) fn names_of(
    app: &App,
    conn: &mut Conn,
    ids: impl Iterator<Item = UserId>,
) -> Result<HashMap<UserId, Name>> {
    let (mut names, mut missing) = (HashMap::new(), Vec::new());
    for id in ids {
        if let Entry::Vacant(unknown) = names.entry(id) {
            match app.caches.names.get(&id) {
                Some(name) => drop(unknown.insert(name)),
                None => missing.push(id),
            }
        }
    }
    if !missing.is_empty() {
        let look_up = |missing: &[UserId]| look_up(conn, missing);
        names.extend(remembered_all(&app.caches.names, &missing, look_up)?);
    }
    Ok(names)
}

fn look_up(conn: &mut Conn, ids: &[UserId]) -> Result<HashMap<UserId, Name>> {
    let rows = users::table
        .filter(users::id.eq_any(ids.to_vec()))
        .select((users::id, users::username))
        .load::<(UserId, String)>(conn)?;
    let named = |(id, name): (UserId, String)| (id, name.into());
    Ok(rows.into_iter().map(named).collect())
}

/// Forgets a rename's old name; to be called once it is on disk.
pub(super) fn forget(app: &App, id: UserId, old_name: &str) {
    app.caches.ids.remove(old_name);
    app.caches.names.remove(&id);
}
