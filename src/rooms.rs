//! Chat groups: create, join, members, what was said there.
//!
//! Whoever is in a room may read and write all of it; nobody leaves one, and none is deleted.
//! Messages to a room are sent by `messages`, after [`room_for`] has said that the sender is in
//! it. Which room somebody is looking at is the live session's affair, not kept here.

use std::collections::{HashMap, HashSet};

use diesel::dsl::count_star;
use diesel::prelude::*;

use crate::app::App;
use crate::db::{Conn, Extent, on_inner};
use crate::error::{Error, Result};
use crate::model::{Instant, Message, PUBLIC_ROOM, Room, RoomId, UserId};
use crate::schema::{messages, room_members, rooms, users};
use crate::users::parse_username;

/// How many characters a room's name may have (chat_room §6).
const NAME_CHARACTERS: std::ops::RangeInclusive<usize> = 2..=30;

/// How many members may be named when a room is made.
const MOST_NAMED: usize = 200;

/// A room with its size, as lists show it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The room.
    pub room: Room,
    /// How many are in it.
    pub member_count: i64,
}

/// Which rooms a list is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every room.
    All,
    /// Those that a user is in.
    JoinedBy(UserId),
}

/// Checks a new room's name: 2–30 letters, digits, `_`, Chinese characters and spaces, not all
/// of them spaces. Source: chat_room §6.
pub fn check_name(name: &str) -> Result<()> {
    let is_allowed =
        |c: char| c.is_ascii_alphanumeric() || c == '_' || c.is_whitespace() || is_chinese(c);
    if name.trim().is_empty() {
        return Err(Error::invalid("room name", "must not be empty"));
    }
    if !NAME_CHARACTERS.contains(&name.chars().count()) {
        return Err(Error::invalid("room name", "must have 2 to 30 characters"));
    }
    if !name.chars().all(is_allowed) {
        return Err(Error::invalid(
            "room name",
            "has characters that are not taken",
        ));
    }
    Ok(())
}

/// The range of Chinese characters that names may have (chat_room §6).
pub fn is_chinese(character: char) -> bool {
    ('\u{4e00}'..='\u{9fa5}').contains(&character)
}

/// Makes a room with its first members: `creator`, and up to 200 who are named. All of it or
/// nothing.
///
/// Errors: [`Error::Invalid`], [`Error::UnknownUser`], [`Error::RoomNameTaken`].
pub async fn create(
    app: &App,
    creator: UserId,
    name: String,
    members: Vec<String>,
) -> Result<Room> {
    check_name(&name)?;
    if members.len() > MOST_NAMED {
        return Err(Error::invalid(
            "member_usernames",
            format!("must be at most {MOST_NAMED} names"),
        ));
    }
    // What cannot be a username is nobody's.
    let members: Result<Vec<String>> = members.iter().map(|name| parse_username(name)).collect();
    let members = members.map_err(|_| Error::UnknownUser)?;
    app.db
        .write(move |conn| {
            let mut ids = ids_of(conn, &members)?;
            ids.insert(creator);
            let row = (rooms::name.eq(name), rooms::created_at.eq(Instant::now()));
            let insert = diesel::insert_into(rooms::table).values(row);
            let room =
                on_inner!(conn, inner => insert.returning(Room::as_returning()).get_result(inner));
            let room: Room = room.map_err(taken)?;
            for id in ids {
                enrol(conn, room.id, id)?;
            }
            Ok(room)
        })
        .await
}

/// The ids of usernames, each once. Errors: [`Error::UnknownUser`].
fn ids_of(conn: &mut Conn, usernames: &[String]) -> Result<HashSet<UserId>> {
    let wanted: HashSet<&String> = usernames.iter().collect();
    let named = users::table
        .filter(users::username.eq_any(usernames))
        .select(users::id);
    let found: HashSet<UserId> = named.load(conn)?.into_iter().collect();
    if found.len() == wanted.len() {
        Ok(found)
    } else {
        Err(Error::UnknownUser)
    }
}

fn taken(cause: diesel::result::Error) -> Error {
    let cause = Error::from(cause);
    match cause.broken_uniqueness().as_deref() {
        Some("rooms.name") => Error::RoomNameTaken,
        _ => cause,
    }
}

fn enrol(conn: &mut Conn, room: RoomId, user: UserId) -> Result<()> {
    let row = (
        room_members::room_id.eq(room),
        room_members::user_id.eq(user),
        room_members::joined_at.eq(Instant::now()),
    );
    let insert = diesel::insert_into(room_members::table)
        .values(row)
        .on_conflict_do_nothing();
    on_inner!(conn, inner => insert.execute(inner))?;
    Ok(())
}

/// Makes a user a member of a room; again is no error. Errors: [`Error::UnknownRoom`].
pub async fn join(app: &App, user: UserId, name: &str) -> Result<()> {
    let room = room_by_name(app, name)?.id;
    app.db.write(move |conn| enrol(conn, room, user)).await
}

/// Makes a user a member of the public room, if they are not yet, and returns that room.
pub async fn join_public(app: &App, user: UserId) -> Result<Room> {
    if let Ok(room) = room_for(app, user, PUBLIC_ROOM) {
        return Ok(room);
    }
    app.db
        .write(move |conn| {
            enrol(conn, PUBLIC_ROOM, user)?;
            Ok(rooms::table
                .find(PUBLIC_ROOM)
                .select(Room::as_select())
                .first(conn)?)
        })
        .await
}

/// A room by its exact name. Errors: [`Error::UnknownRoom`].
pub fn room_by_name(app: &App, name: &str) -> Result<Room> {
    // PostgreSQL takes no text with it.
    if name.contains('\0') {
        return Err(Error::UnknownRoom);
    }
    app.db.read(|conn| {
        let row = rooms::table
            .filter(rooms::name.eq(name))
            .select(Room::as_select());
        row.first(conn).optional()?.ok_or(Error::UnknownRoom)
    })
}

/// A room by id, for one of its members.
///
/// Errors: [`Error::NotAMember`], also if there is no such room.
pub fn room_for(app: &App, user: UserId, id: RoomId) -> Result<Room> {
    app.db.read(|conn| {
        let row = rooms::table
            .inner_join(room_members::table.on(room_members::room_id.eq(rooms::id)))
            .filter(rooms::id.eq(id))
            .filter(room_members::user_id.eq(user));
        row.select(Room::as_select())
            .first(conn)
            .optional()?
            .ok_or(Error::NotAMember)
    })
}

/// The members of a room, by username. Scans: everybody may be in it.
pub fn list_members(app: &App, room: RoomId) -> Result<Vec<(UserId, String)>> {
    app.db.scan(Extent::All, |conn| {
        Ok(room_members::table
            .inner_join(users::table.on(users::id.eq(room_members::user_id)))
            .filter(room_members::room_id.eq(room))
            .order(users::username)
            .select((users::id, users::username))
            .load(conn)?)
    })
}

/// Rooms with their sizes, oldest first. Scans.
pub fn list(app: &App, which: Which) -> Result<Vec<Listed>> {
    let extent = match which {
        Which::All => Extent::All,
        Which::JoinedBy(_) => Extent::Own,
    };
    app.db.scan(extent, |conn| {
        let sizes = room_members::table
            .group_by(room_members::room_id)
            .select((room_members::room_id, count_star()));
        let (found, counts): (Vec<Room>, Vec<(RoomId, i64)>) = match which {
            Which::All => (
                rooms::table
                    .order(rooms::id)
                    .select(Room::as_select())
                    .load(conn)?,
                sizes.load(conn)?,
            ),
            Which::JoinedBy(user) => {
                let own = diesel::alias!(room_members as own);
                let joined = own
                    .filter(own.field(room_members::user_id).eq(user))
                    .select(own.field(room_members::room_id));
                (
                    rooms::table
                        .filter(rooms::id.eq_any(joined))
                        .order(rooms::id)
                        .select(Room::as_select())
                        .load(conn)?,
                    sizes
                        .filter(room_members::room_id.eq_any(joined))
                        .load(conn)?,
                )
            }
        };
        let counts: HashMap<RoomId, i64> = counts.into_iter().collect();
        let listed = |room: Room| Listed {
            member_count: counts.get(&room.id).copied().unwrap_or(0),
            room,
        };
        Ok(found.into_iter().map(listed).collect())
    })
}

/// How many rooms there are, of either kind of list. Scans if it is all of them.
pub fn count(app: &App, which: Which) -> Result<i64> {
    match which {
        Which::All => app.db.scan(Extent::All, |conn| {
            Ok(rooms::table.count().get_result(conn)?)
        }),
        Which::JoinedBy(user) => app.db.read(|conn| {
            Ok(room_members::table
                .filter(room_members::user_id.eq(user))
                .count()
                .get_result(conn)?)
        }),
    }
}

/// The last `limit` messages of a room with their senders' names, oldest first.
pub fn history(app: &App, room: RoomId, limit: i64) -> Result<Vec<(Message, String)>> {
    app.db.read(|conn| {
        let mut said: Vec<(Message, String)> = messages::table
            .inner_join(users::table.on(users::id.eq(messages::sender_id)))
            .filter(messages::room_id.eq(room))
            .order(messages::id.desc())
            .limit(limit)
            .select((Message::as_select(), users::username))
            .load(conn)?;
        said.reverse();
        Ok(said)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_name_has_2_to_30_letters_digits_underscores_chinese_characters_and_spaces() {
        for name in [
            "ab",
            "team one",
            "项目讨论",
            "a_1",
            "一龥",
            &"x".repeat(30),
            " a ",
        ] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
        for name in [
            "",
            "a",
            "  ",
            "\t\n",
            "a-b",
            "ab!",
            "été",
            "\u{9fa6}a",
            "a\0b",
            &"x".repeat(31),
        ] {
            assert!(
                matches!(check_name(name), Err(Error::Invalid { .. })),
                "{name:?}"
            );
        }
    }
}
