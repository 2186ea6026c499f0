//! Bytes in, typed requests out: lines, and what they ask for.
//!
//! Pure: nothing here reads a socket, knows who asks or what the store holds. Whatever the bytes
//! are and however they are cut, the same requests come out. Source: chat_room §1, §3.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use crate::integer::integer;

/// The longest line, without its end.
pub(super) const LONGEST_LINE_BYTES: usize = 64 << 10;
/// What a connection that says nothing keeps for the next line.
const IDLE_BYTES: usize = 1 << 10;
/// How much of an unknown type is said back.
const SHOWN_CHARACTERS: usize = 60;

/// A line longer than [`LONGEST_LINE_BYTES`], or the beginning of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// What has arrived and is not used yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Before this, everything is used.
    start: usize,
    /// Before this, there is no end of a line.
    scanned: usize,
}

impl Lines {
    /// Where bytes that arrive are to be appended; there is room for some.
    pub(super) fn space(&mut self) -> &mut Vec<u8> {
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(IDLE_BYTES);
        } else {
            self.bytes.drain(..self.start);
        }
        self.scanned -= self.start;
        self.start = 0;
        if self.bytes.capacity() - self.bytes.len() < IDLE_BYTES / 2 {
            self.bytes.reserve(IDLE_BYTES.max(self.bytes.len()));
        }
        &mut self.bytes
    }

    /// The next complete line, trimmed. Blank lines and lines that are not UTF-8 are passed over.
    pub(super) fn next_line(&mut self) -> Option<Result<&str, TooLong>> {
        loop {
            let end = self.bytes[self.scanned..]
                .iter()
                .position(|byte| *byte == b'\n');
            let end = end.map(|offset| self.scanned + offset);
            self.scanned = end.unwrap_or(self.bytes.len());
            if self.scanned - self.start > LONGEST_LINE_BYTES {
                return Some(Err(TooLong));
            }
            let line = self.start..end?;
            self.start = line.end + 1;
            self.scanned = self.start;
            let is_request = |line: &&str| !line.is_empty();
            if std::str::from_utf8(&self.bytes[line.clone()])
                .is_ok_and(|text| is_request(&text.trim()))
            {
                // Looked at twice, since a borrow cannot both end here and be returned.
                return std::str::from_utf8(&self.bytes[line])
                    .ok()
                    .map(|text| Ok(text.trim()));
            }
        }
    }

    /// Takes up to `most` bytes as they are, without regard to lines: a file's.
    pub(super) fn take(&mut self, most: usize) -> Vec<u8> {
        let end = self.bytes.len().min(self.start + most);
        let taken = self.bytes[self.start..end].to_vec();
        self.start = end;
        self.scanned = end;
        taken
    }
}

/// What a client asks for. Fields that the server does not look at are dropped; `None` is `null`
/// or left out.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    Register(Credentials),
    LogIn(Credentials),
    LogOut,
    Say(Saying),
    UserInfo,
    ListUsers(UserList),
    ListRooms(RoomList),
    CreateRoom(NewRoom),
    JoinRoom(NamedRoom),
    EnterRoom(NamedRoom),
    ListFiles(NumberedRoom),
    Upload(Offer),
    /// The file's id, as text.
    Download(String),
    AskAi,
    Administer,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Credentials {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// The password is not shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Saying {
    #[serde(deserialize_with = "whole")]
    pub(super) chat_group_id: Option<i64>,
    pub(super) content: Option<String>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UserList {
    /// `current_chat` for a room's members; anything else is everybody.
    pub(super) list_type: Option<String>,
    #[serde(deserialize_with = "whole")]
    pub(super) chat_group_id: Option<i64>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RoomList {
    /// `all`; anything else is the user's own.
    pub(super) list_type: Option<String>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewRoom {
    pub(super) chat_name: Option<String>,
    pub(super) member_usernames: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NamedRoom {
    pub(super) chat_name: Option<String>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NumberedRoom {
    #[serde(deserialize_with = "whole")]
    pub(super) chat_group_id: Option<i64>,
}

/// A file that is about to be sent.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Offer {
    pub(super) filename: Option<String>,
    #[serde(deserialize_with = "file_size")]
    pub(super) file_size: Option<i64>,
    #[serde(deserialize_with = "whole")]
    pub(super) chat_group_id: Option<i64>,
}

/// A whole number; `2.0` is one.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = Option::<Number>::deserialize(deserializer)?;
    number.as_ref().map(whole_of).transpose()
}

/// [`whole`]; one that no `i64` holds is the largest that it does, and too large as well.
fn file_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = Option::<Number>::deserialize(deserializer)?;
    let size = |number: &Number| match number.as_f64() {
        Some(size) if size >= 2_f64.powi(63) => Ok(i64::MAX),
        _ => whole_of(number),
    };
    number.as_ref().map(size).transpose()
}

fn whole_of<E: serde::de::Error>(number: &Number) -> Result<i64, E> {
    integer(number).ok_or_else(|| E::custom("not a whole number"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    file_id: Value,
}

/// Why a line is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Not JSON, not an object, without a type, an unknown field or a field of a wrong type.
    Malformed,
    /// This type is not one that clients send.
    UnknownType(String),
}

/// A line, read.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    /// The type if it is a known one, else what is wrong with it; one of few words.
    pub(super) kind: &'static str,
    /// What it asks for.
    pub(super) request: Result<Request, Problem>,
}

impl Parsed {
    fn malformed(kind: &'static str) -> Self {
        Parsed {
            kind,
            request: Err(Problem::Malformed),
        }
    }
}

/// Reads a line.
pub(super) fn parse(line: &str) -> Parsed {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
        return Parsed::malformed("malformed");
    };
    let Some(Value::String(kind)) = fields.remove("message_type") else {
        return Parsed::malformed("malformed");
    };
    fields.remove("timestamp");
    match kind.as_str() {
        "register_request" => read("register_request", fields, Request::Register),
        "login_request" => read("login_request", fields, Request::LogIn),
        "logout_request" => read("logout_request", fields, |Nothing {}| Request::LogOut),
        "chat_message" => {
            // The server knows better who sends and what the room is called.
            let known = [
                "sender_id",
                "sender_username",
                "chat_group_name",
                "message_id",
            ];
            read("chat_message", without(fields, &known), Request::Say)
        }
        "user_info_request" => read("user_info_request", fields, |Nothing {}| Request::UserInfo),
        "list_users_request" => read("list_users_request", fields, Request::ListUsers),
        "list_chats_request" => read("list_chats_request", fields, Request::ListRooms),
        "create_chat_request" => read("create_chat_request", fields, Request::CreateRoom),
        "join_chat_request" => read("join_chat_request", fields, Request::JoinRoom),
        "enter_chat_request" => read("enter_chat_request", fields, Request::EnterRoom),
        "file_list_request" => read("file_list_request", fields, Request::ListFiles),
        "file_upload_request" => {
            // Always empty: the bytes follow the line.
            read(
                "file_upload_request",
                without(fields, &["file_data"]),
                Request::Upload,
            )
        }
        "file_download_request" => download(fields),
        "ai_chat_request" => Parsed {
            kind: "ai_chat_request",
            request: Ok(Request::AskAi),
        },
        "admin_command_request" => Parsed {
            kind: "admin_command_request",
            request: Ok(Request::Administer),
        },
        other => {
            let shown = other.chars().take(SHOWN_CHARACTERS).collect();
            Parsed {
                kind: "unknown",
                request: Err(Problem::UnknownType(shown)),
            }
        }
    }
}

fn without(mut fields: Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    for name in names {
        fields.remove(*name);
    }
    fields
}

fn read<T: DeserializeOwned>(
    kind: &'static str,
    fields: Map<String, Value>,
    make: impl FnOnce(T) -> Request,
) -> Parsed {
    let request = serde_json::from_value(Value::Object(fields)).map(make);
    Parsed {
        kind,
        request: request.map_err(|_| Problem::Malformed),
    }
}

/// The id is text in the published client, and a number in what the server says of uploads.
fn download(fields: Map<String, Value>) -> Parsed {
    let kind = "file_download_request";
    let Ok(Wanted { file_id }) = serde_json::from_value(Value::Object(fields)) else {
        return Parsed::malformed(kind);
    };
    let id = match file_id {
        Value::String(text) => text,
        Value::Number(number) => integer(&number).map_or(number.to_string(), |id| id.to_string()),
        Value::Null => String::new(),
        _ => return Parsed::malformed(kind),
    };
    Parsed {
        kind,
        request: Ok(Request::Download(id)),
    }
}
