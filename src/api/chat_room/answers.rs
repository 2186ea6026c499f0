//! What a member's request is answered with: one call of a noun, put into a frame.
//!
//! Nothing here touches the connection. Source: chat_room §3, §5, §6.

use super::delivery::Member;
use super::frame::{NamedRoom, NewRoom, NumberedRoom, RoomList, Saying, UserList};
use super::reply::{Counts, Frame, Person, Refusal};
use super::session::Answer;
use crate::app::App;
use crate::files;
use crate::messages::{Draft, To, correspondents};
use crate::model::{Kind, Room, RoomId, Upload, UserId};
use crate::rooms::{self, Which};
use crate::users;

/// Longer messages are cut, and end in [`CUT_MARK`].
const LONGEST_CONTENT: usize = 1_000;
const CUT_MARK: &str = "...";
/// More than any message can have after the cut.
const LONGEST_CONTENT_BYTES: u64 = 8 << 10;
/// How many of a room's files a list has.
const MOST_FILES: i64 = 1_000;

pub(super) fn user_info(app: &App, member: &Member) -> Answer {
    let joined = rooms::count(app, Which::JoinedBy(member.id))?;
    let private = correspondents::count(app, member.id)?;
    Ok(Frame::UserInfo {
        user_info: Person {
            user_id: member.id,
            username: users::username_by_id(app, member.id)?,
            is_online: true,
        },
        counts: Counts {
            joined_chats_count: joined + private,
            private_chats_count: private,
            group_chats_count: joined,
            total_users_count: users::count(app)?,
            online_users_count: app.presence.online_users().len(),
            total_chats_count: rooms::count(app, Which::All)?,
        },
    })
}

/// Everybody, or the members of a room that the user is in.
pub(super) fn list_users(app: &App, member: &Member, list: UserList) -> Answer {
    app.outgoing.check()?;
    let listed: Vec<(UserId, String)> = if list.list_type.as_deref() == Some("current_chat") {
        let room = list.chat_group_id.map_or(member.room.id, RoomId);
        rooms::list_members(app, room_of(app, member, room)?.id)?
    } else {
        users::list_everybody(app)?
    };
    let online = app.presence.online_users();
    let person = |(user_id, username)| Person {
        user_id,
        username,
        is_online: online.contains(&user_id),
    };
    Ok(Frame::Users {
        users: listed.into_iter().map(person).collect(),
    })
}

/// The user's rooms, or all there are.
pub(super) fn list_rooms(app: &App, member: &Member, list: RoomList) -> Answer {
    app.outgoing.check()?;
    let which = match list.list_type.as_deref() {
        Some("all") => Which::All,
        _ => Which::JoinedBy(member.id),
    };
    Ok(Frame::Rooms {
        chats: rooms::list(app, which)?
            .into_iter()
            .map(Into::into)
            .collect(),
    })
}

pub(super) async fn create(app: &App, member: &Member, room: NewRoom) -> Answer {
    let name = room.chat_name.unwrap_or_default();
    let members = room.member_usernames.unwrap_or_default();
    let room = rooms::create(app, member.id, name, members).await?;
    Ok(Frame::Created((&room).into()))
}

pub(super) async fn join(app: &App, member: &Member, named: NamedRoom) -> Answer {
    let name = name_of(named)?;
    rooms::join(app, member.id, &name).await?;
    Ok(Frame::system("info", format!("成功加入聊天组 '{name}'")))
}

/// The room that the user wants to make their current one, and is in.
pub(super) fn room_to_enter(app: &App, member: &Member, named: NamedRoom) -> Result<Room, Refusal> {
    let room = rooms::room_by_name(app, &name_of(named)?)?;
    room_of(app, member, room.id)
}

/// The newest files of a room, newest first.
pub(super) fn list_files(app: &App, member: &Member, room: NumberedRoom) -> Answer {
    let room = numbered(app, member, room.chat_group_id)?.id;
    app.outgoing.check()?;
    let files = files::list_in_room(app, room, MOST_FILES)?;
    Ok(Frame::Files {
        chat_group_id: room,
        files: files.into_iter().map(Into::into).collect(),
    })
}

/// A message as it will be sent: cleaned, and cut if it is too long.
pub(super) fn draft(app: &App, member: &Member, saying: Saying) -> Result<Draft, Refusal> {
    let content = clean(&saying.content.unwrap_or_default());
    if content.is_empty() {
        return Err(Refusal::new(1008, "消息内容不能为空"));
    }
    let room = numbered(app, member, saying.chat_group_id)?;
    let sender_name = users::username_by_id(app, member.id)?;
    Ok(draft_of(member, sender_name, room, Kind::Text, content))
}

/// What a room is told of a file that the user has put there. It hands the file over: once it is
/// there the file stays, whatever the user was told.
pub(super) fn file_notice(
    app: &App,
    member: &Member,
    room: Room,
    upload: &Upload,
) -> Result<Draft, Refusal> {
    let sender_name = users::username_by_id(app, member.id)?;
    let (name, size_kib) = (&upload.file_name, upload.size_bytes >> 10);
    let content = format!("📎 {sender_name} 上传了文件: {name} ({size_kib}KB)");
    Ok(Draft {
        upload: Some(upload.id),
        ..draft_of(member, sender_name, room, Kind::File, content)
    })
}

/// Something said in a room by the user, whose name may have changed since the login.
fn draft_of(
    member: &Member,
    sender_name: String,
    room: Room,
    kind: Kind,
    content: String,
) -> Draft {
    Draft {
        sender: member.id,
        sender_name,
        to: To::Room {
            id: room.id,
            name: room.name,
        },
        kind,
        content,
        is_encrypted: false,
        sender_key: None,
        idempotency_key: None,
        upload: None,
        limit_bytes: LONGEST_CONTENT_BYTES,
    }
}

/// The room of an id that the request must have.
pub(super) fn numbered(app: &App, member: &Member, id: Option<i64>) -> Result<Room, Refusal> {
    let id = id.ok_or_else(|| Refusal::new(1008, "聊天组ID不能为空"))?;
    room_of(app, member, RoomId(id))
}

fn name_of(named: NamedRoom) -> Result<String, Refusal> {
    let name = named.chat_name.unwrap_or_default();
    if name.trim().is_empty() {
        Err(Refusal::new(1008, "聊天组名称不能为空"))
    } else {
        Ok(name)
    }
}

/// A room that the user is in. Nobody can leave one, so the current room needs no look.
pub(super) fn room_of(app: &App, member: &Member, id: RoomId) -> Result<Room, Refusal> {
    if id == member.room.id {
        return Ok(member.room.clone());
    }
    Ok(rooms::room_for(app, member.id, id)?)
}

fn clean(content: &str) -> String {
    let is_kept = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let kept: String = content.chars().filter(is_kept).collect();
    let kept = kept.trim();
    match kept.char_indices().nth(LONGEST_CONTENT) {
        Some((end, _)) => format!("{}{CUT_MARK}", &kept[..end]),
        None => kept.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_loses_its_control_characters_and_what_is_beyond_1000_characters() {
        for (content, cleaned) in [
            ("  hello\tworld\n", "hello\tworld".to_owned()),
            ("a\0b\u{1b}[1mc\r\nd\u{7f}", "ab[1mc\nd".to_owned()),
            ("\u{1}\u{2}  ", String::new()),
            (&"好".repeat(1_000), "好".repeat(1_000)),
            (&"好".repeat(1_001), format!("{}...", "好".repeat(1_000))),
        ] {
            assert_eq!(clean(content), cleaned);
        }
    }
}
