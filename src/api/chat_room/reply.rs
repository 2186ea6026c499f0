//! What the server says: frames, and how they are written.
//!
//! Clients build an object from each line and fail on a field that they do not know, so the
//! fields here are exactly the published ones. Source: chat_room §2, §3.

use std::time::Duration;

use serde::Serialize;

use crate::hub::Event;
use crate::model::{Instant, Kind, Message, MessageId, Room, RoomId, Upload, UploadId, UserId};
use crate::rooms::Listed;

/// One line to a client. The fields of each are the wire's own.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Frame {
    Registered(Account),
    LoggedIn {
        #[serde(flatten)]
        account: Account,
        current_chat_group: Option<CurrentGroup>,
    },
    Said(Spoken),
    Remembered(Spoken),
    FileShared(Spoken),
    HistoryComplete {
        chat_group_id: RoomId,
        message_count: usize,
    },
    UserInfo {
        user_info: Person,
        #[serde(flatten)]
        counts: Counts,
    },
    Users {
        users: Vec<Person>,
    },
    Rooms {
        chats: Vec<ListedRoom>,
    },
    Created(Opened),
    Entered(Opened),
    System {
        content: String,
        level: &'static str,
    },
    Files {
        chat_group_id: RoomId,
        files: Vec<SharedFile>,
    },
    Upload {
        success: bool,
        message: String,
        file_id: Option<UploadId>,
    },
    Download {
        success: bool,
        message: String,
        filename: String,
        file_size: i64,
    },
    Administered {
        success: bool,
    },
    Error(Refusal),
}

/// The outcome of a login or a registration.
#[derive(Debug, Default, Serialize)]
pub(super) struct Account {
    pub(super) success: bool,
    pub(super) user_id: Option<UserId>,
    pub(super) username: Option<String>,
    pub(super) error_message: Option<String>,
}

impl Account {
    pub(super) fn of(id: UserId, username: &str) -> Self {
        Account {
            success: true,
            user_id: Some(id),
            username: Some(username.to_owned()),
            error_message: None,
        }
    }

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Account {
            error_message: Some(reason.into()),
            ..Account::default()
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct CurrentGroup {
    pub(super) id: RoomId,
    pub(super) name: String,
}

/// Something said in a room, live or remembered.
#[derive(Debug, Serialize)]
pub(super) struct Spoken {
    #[serde(skip)]
    at: Instant,
    sender_id: UserId,
    sender_username: String,
    chat_group_id: RoomId,
    chat_group_name: String,
    content: String,
    message_id: MessageId,
}

#[derive(Debug, Serialize)]
pub(super) struct Person {
    pub(super) user_id: UserId,
    pub(super) username: String,
    pub(super) is_online: bool,
}

#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the wire's own names")]
pub(super) struct Counts {
    pub(super) joined_chats_count: i64,
    pub(super) private_chats_count: i64,
    pub(super) group_chats_count: i64,
    pub(super) total_users_count: i64,
    pub(super) online_users_count: usize,
    pub(super) total_chats_count: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct ListedRoom {
    group_id: RoomId,
    group_name: String,
    is_private_chat: bool,
    member_count: i64,
    created_at: String,
}

impl From<Listed> for ListedRoom {
    fn from(listed: Listed) -> Self {
        ListedRoom {
            group_id: listed.room.id,
            group_name: listed.room.name,
            is_private_chat: false,
            member_count: listed.member_count,
            created_at: calendar(listed.room.created_at),
        }
    }
}

/// A room that was made or entered.
#[derive(Debug, Serialize)]
pub(super) struct Opened {
    success: bool,
    chat_group_id: Option<RoomId>,
    chat_name: String,
    error_message: Option<String>,
}

impl From<&Room> for Opened {
    fn from(room: &Room) -> Self {
        Opened {
            success: true,
            chat_group_id: Some(room.id),
            chat_name: room.name.clone(),
            error_message: None,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct SharedFile {
    file_id: UploadId,
    original_filename: String,
    file_size: i64,
    uploader_username: String,
    upload_time: String,
}

impl From<(Upload, String)> for SharedFile {
    fn from((upload, uploader): (Upload, String)) -> Self {
        SharedFile {
            file_id: upload.id,
            original_filename: upload.file_name,
            file_size: upload.size_bytes,
            uploader_username: uploader,
            upload_time: calendar(upload.created_at),
        }
    }
}

/// A request that was not done, and why.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    pub(super) error_code: u16,
    pub(super) error_message: String,
}

impl Refusal {
    pub(super) fn new(error_code: u16, text: impl Into<String>) -> Self {
        Refusal {
            error_code,
            error_message: text.into(),
        }
    }
}

impl Frame {
    /// A word from the server.
    pub(super) fn system(level: &'static str, content: impl Into<String>) -> Self {
        Frame::System {
            content: content.into(),
            level,
        }
    }

    /// Something just said in a room; a file has its own type, and its room no name.
    pub(super) fn said(message: &Message, sender: &str, room: &str) -> Option<Self> {
        Some(match message.kind {
            Kind::File => Frame::FileShared(spoken(message, sender, "")?),
            _ => Frame::Said(spoken(message, sender, room)?),
        })
    }

    /// Something said before.
    pub(super) fn remembered(message: &Message, sender: &str) -> Option<Self> {
        spoken(message, sender, "").map(Frame::Remembered)
    }

    /// What an event is to this API's clients; nothing, for most.
    pub(super) fn line_of(event: &Event) -> Vec<u8> {
        let mut line = Vec::new();
        if let Event::Said {
            message,
            sender,
            room,
            ..
        } = event
            && let Some(frame) = Frame::said(message, sender, room)
        {
            frame.write_to(&mut line);
        }
        line
    }

    /// Appends the frame as a line.
    pub(super) fn write_to(&self, lines: &mut Vec<u8>) {
        let timestamp = match self {
            Frame::Remembered(spoken) => Timestamp::Calendar(calendar(spoken.at)),
            Frame::Said(spoken) | Frame::FileShared(spoken) => {
                Timestamp::Seconds(seconds(spoken.at))
            }
            _ => Timestamp::Seconds(seconds(Instant::now())),
        };
        let line = Line {
            message_type: self.message_type(),
            timestamp,
            fields: self,
        };
        serde_json::to_writer(&mut *lines, &line).expect("frames are plain data with text keys");
        lines.push(b'\n');
    }

    fn message_type(&self) -> &'static str {
        match self {
            Frame::Registered(_) => "register_response",
            Frame::LoggedIn { .. } => "login_response",
            Frame::Said(_) => "chat_message",
            Frame::Remembered(_) => "chat_history",
            Frame::FileShared(_) => "file_notification",
            Frame::HistoryComplete { .. } => "chat_history_complete",
            Frame::UserInfo { .. } => "user_info_response",
            Frame::Users { .. } => "list_users_response",
            Frame::Rooms { .. } => "list_chats_response",
            Frame::Created(_) => "create_chat_response",
            Frame::Entered(_) => "enter_chat_response",
            Frame::System { .. } => "system_message",
            Frame::Files { .. } => "file_list_response",
            Frame::Upload { .. } => "file_upload_response",
            Frame::Download { .. } => "file_download_response",
            Frame::Administered { .. } => "admin_command_response",
            Frame::Error(_) => "error_message",
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    message_type: &'static str,
    timestamp: Timestamp,
    #[serde(flatten)]
    fields: &'a Frame,
}

/// Unix seconds everywhere but in histories, where the published server writes text.
#[derive(Serialize)]
#[serde(untagged)]
enum Timestamp {
    Seconds(f64),
    Calendar(String),
}

/// `None` for a direct message, which no room hears.
fn spoken(message: &Message, sender: &str, room: &str) -> Option<Spoken> {
    Some(Spoken {
        at: message.sent_at,
        sender_id: message.sender_id,
        sender_username: sender.to_owned(),
        chat_group_id: message.room_id?,
        chat_group_name: room.to_owned(),
        content: message.content.clone(),
        message_id: message.id,
    })
}

/// `YYYY-MM-DD HH:MM:SS`, UTC.
fn calendar(at: Instant) -> String {
    at.to_seconds_text().replace('T', " ")
}

fn seconds(at: Instant) -> f64 {
    Duration::from_micros(at.0.unsigned_abs()).as_secs_f64()
}
