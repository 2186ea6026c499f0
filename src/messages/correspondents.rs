//! Who has exchanged direct messages with whom, noted with the first message between two.
//! Deleting messages takes nobody away.

use diesel::prelude::*;

use super::ordered;
use crate::app::App;
use crate::db::{Conn, on_inner};
use crate::error::Result;
use crate::model::UserId;
use crate::schema::correspondents;

/// Notes both of a message's parties, inside the write that sends it.
pub(super) fn note(app: &App, conn: &mut Conn, one: UserId, other: UserId) -> Result<()> {
    let (low, high) = ordered(one, other);
    if app.caches.correspondents.get(&(low, high)).is_some() {
        return Ok(());
    }
    // In one order: two who write to each other for the first time at once would, on PostgreSQL,
    // each hold the row that the other waits for.
    let rows = [(low, high), (high, low)].map(|(user, peer)| {
        (
            correspondents::user_id.eq(user),
            correspondents::peer_id.eq(peer),
        )
    });
    for row in rows {
        let insert = diesel::insert_into(correspondents::table)
            .values(row)
            .on_conflict_do_nothing();
        on_inner!(conn, inner => insert.execute(inner))?;
    }
    Ok(())
}

/// How many other people a user has exchanged direct messages with.
pub fn count(app: &App, user: UserId) -> Result<i64> {
    app.db.read(|conn| {
        Ok(correspondents::table
            .filter(correspondents::user_id.eq(user))
            .filter(correspondents::peer_id.ne(user))
            .count()
            .get_result(conn)?)
    })
}

/// Those with whom a user has exchanged direct messages.
pub fn list(app: &App, user: UserId) -> Result<Vec<UserId>> {
    app.db.read(|conn| {
        let rows = correspondents::table.filter(correspondents::user_id.eq(user));
        Ok(rows.select(correspondents::peer_id).load(conn)?)
    })
}
