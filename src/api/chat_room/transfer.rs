//! Files inside the connection: raw bytes between lines, with the pauses that the published
//! client needs to notice them. Source: chat_room §4.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, sleep, sleep_until};

use super::answers;
use super::delivery::{Gone, Link, Member, pushes_to};
use super::frame::Offer;
use super::reply::{Frame, Refusal};
use super::session::Session;
use crate::app::App;
use crate::error::Error;
use crate::files::{self, Audience, Incoming, clean_file_name};
use crate::hub::Event;
use crate::model::{Room, Upload, UploadId};

/// What the published client sends, and all that is taken.
const EXTENSIONS: [&str; 18] = [
    "txt", "doc", "docx", "pdf", "jpg", "jpeg", "png", "gif", "mp3", "mp4", "avi", "zip", "rar",
    "py", "js", "html", "css", "md",
];
const FILE_START: &[u8] = b"===FILE_DATA_START===\n";
const FILE_END: &[u8] = b"\n===FILE_DATA_END===\n";
/// The client goes on reading lines for a second after the first response.
const BEFORE_FILE: Duration = Duration::from_millis(1_200);
/// So that the last response does not come in one piece with the end of the file.
const AFTER_FILE: Duration = Duration::from_millis(550);
/// How long an upload may stand still.
const STALLED: Duration = Duration::from_secs(30);
/// How much of a file is in memory at once.
const PIECE_BYTES: usize = 64 << 10;
/// How many bytes of what others say may wait for the end of a download.
const MOST_HELD_BYTES: usize = 16 << 20;
/// What an event takes beside its content.
const AROUND_BYTES: usize = 512;

/// A file that will be taken.
struct Accepted {
    name: String,
    size_bytes: u64,
    room: Room,
    incoming: Incoming,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Takes a file: says that it may come, reads exactly its bytes, stores it, tells the room,
    /// and then the uploader.
    pub(super) async fn upload(&mut self, offer: Offer) -> Result<(), Gone> {
        let member = self.member()?;
        let mut accepted = match accept(&self.app, member, offer).await {
            Ok(accepted) => accepted,
            Err(refusal) => return self.reply(Err(refusal)).await,
        };
        let ready = Frame::Upload {
            success: true,
            message: "准备接收文件".into(),
            file_id: None,
        };
        self.reply(Ok(ready)).await?;
        let received = self
            .receive(accepted.size_bytes, &mut accepted.incoming)
            .await?;
        self.check_login()?;
        let Accepted {
            name,
            room,
            incoming,
            ..
        } = accepted;
        let member = self.member()?;
        let audience = Audience::Room(room.id);
        let stored = match received {
            Ok(()) => incoming.finish(&self.app, member.id, audience, &name).await,
            Err(error) => Err(error),
        };
        let upload = match stored {
            Ok(upload) => upload,
            Err(error) => return self.reply(Err(error.into())).await,
        };
        let told = match answers::file_notice(&self.app, member, room, &upload) {
            Ok(draft) => self.send(draft).await?,
            Err(refusal) => Err(refusal),
        };
        let stored = Frame::Upload {
            success: true,
            message: format!("文件 '{name}' 上传成功"),
            file_id: Some(upload.id),
        };
        let answer = match told {
            Ok(()) => Ok(stored),
            Err(refusal) => Err(take_back(&self.app, upload, refusal).await),
        };
        self.reply(answer).await
    }

    /// Reads a file's bytes to the last one even if they cannot be stored, since what follows
    /// them are lines again. What others say goes out meanwhile.
    async fn receive(
        &mut self,
        size: u64,
        incoming: &mut Incoming,
    ) -> Result<Result<(), Error>, Gone> {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut left = size;
        let mut outcome = Ok(());
        // The request itself may have arrived long before its turn came.
        let begun = Instant::now();
        while left > 0 {
            let most = usize::try_from(left)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES);
            let stalled = self.link.arrived.max(begun) + STALLED;
            let count = tokio::select! {
                read = self.link.read(&mut buffer[..most]) => read?,
                () = sleep_until(stalled) => return Err(Gone::Peer),
                lines = pushes_to(&mut self.member) => {
                    self.write(&lines?).await?;
                    continue;
                }
            };
            left -= count as u64;
            if outcome.is_ok() {
                outcome = incoming.write(&buffer[..count]).await;
            }
        }
        Ok(outcome)
    }

    /// Sends a file. What others say meanwhile is kept for afterwards: between the first response
    /// and the last the client takes everything for the file.
    pub(super) async fn download(&mut self, id: &str) -> Result<(), Gone> {
        let member = self.member()?;
        let (upload, file) = match wanted(&self.app, member, id).await {
            Ok(found) => found,
            Err(refusal) => return self.reply(Err(refusal)).await,
        };
        self.hold().await?;
        let member = self.member.as_mut().ok_or(Gone::Peer)?;
        let held = send_and_hold(&mut self.link, member, &upload, file).await?;
        self.write(&held).await
    }
}

/// Takes a file away again of which the room could not be told, and has not heard all the same;
/// returns what to tell the uploader.
async fn take_back(app: &App, upload: Upload, refusal: Refusal) -> Refusal {
    let removed = files::remove(app, upload.owner_id, upload.slug).await;
    removed.err().map_or(refusal, Into::into)
}

/// Sends a file; returns what was said meanwhile, as lines.
async fn send_and_hold<S>(
    link: &mut Link<S>,
    member: &mut Member,
    upload: &Upload,
    file: File,
) -> Result<Vec<u8>, Gone>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut held: Vec<Arc<Event>> = Vec::new();
    let mut held_bytes = 0;
    let sending = send_file(link, upload, file);
    tokio::pin!(sending);
    while held_bytes < MOST_HELD_BYTES {
        tokio::select! {
            biased;
            sent = &mut sending => {
                sent?;
                let mut lines = Vec::new();
                for event in &held {
                    member.write_event(event, &mut lines);
                }
                return Ok(lines);
            }
            // A last word would become a part of the file.
            event = member.next_event() => {
                let event = event.map_err(|_| Gone::Peer)?;
                held_bytes += AROUND_BYTES + event.bytes();
                held.push(event);
            }
        }
    }
    Err(Gone::Peer)
}

/// Whether a file may come, and where to.
async fn accept(app: &App, member: &Member, offer: Offer) -> Result<Accepted, Refusal> {
    let name = offer.filename.unwrap_or_default();
    if name.trim().is_empty() {
        return Err(Refusal::new(1008, "文件名不能为空"));
    }
    let name = clean_file_name(&name);
    let size_bytes = offer
        .file_size
        .and_then(|size| u64::try_from(size).ok())
        .filter(|size| *size > 0);
    let size_bytes = size_bytes.ok_or_else(|| Refusal::new(1008, "文件大小无效"))?;
    let limit_bytes = app.config.chat_room.max_file_bytes;
    if size_bytes > limit_bytes {
        return Err(Error::TooLarge { limit_bytes }.into());
    }
    let extension = Path::new(&name).extension().and_then(OsStr::to_str);
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    if !EXTENSIONS.contains(&extension.as_str()) {
        return Err(Error::UnsupportedType.into());
    }
    let room = answers::numbered(app, member, offer.chat_group_id)?;
    let incoming = Incoming::begin(app, size_bytes).await?;
    Ok(Accepted {
        name,
        size_bytes,
        room,
        incoming,
    })
}

/// A file of a room that the user is in, opened.
async fn wanted(app: &App, member: &Member, id: &str) -> Result<(Upload, File), Refusal> {
    if id.trim().is_empty() {
        return Err(Refusal::new(1008, "文件ID不能为空"));
    }
    // An id has one form: no sign, no zeros before it, no spaces.
    let number = id
        .parse()
        .ok()
        .filter(|number: &i64| number.to_string() == id);
    let id = number.map(UploadId).ok_or(Error::UnknownFile)?;
    let upload = files::upload_by_id(app, id)?;
    let room = upload.room_id.ok_or(Error::UnknownFile)?;
    answers::room_of(app, member, room)?;
    let file = files::open(app, &upload).await?;
    let on_disk = file.metadata().await.map_err(Error::from)?.len();
    if i64::try_from(on_disk) != Ok(upload.size_bytes) {
        return Err(Error::UnknownFile.into());
    }
    Ok((upload, file))
}

async fn send_file<S>(link: &mut Link<S>, upload: &Upload, mut file: File) -> Result<(), Gone>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let begin = Frame::Download {
        success: true,
        message: "开始下载文件".into(),
        filename: upload.file_name.clone(),
        file_size: upload.size_bytes,
    };
    link.write_frame(&begin).await?;
    sleep(BEFORE_FILE).await;
    link.write(FILE_START).await?;
    let mut left = u64::try_from(upload.size_bytes).unwrap_or(0);
    let mut buffer = vec![0; PIECE_BYTES];
    while left > 0 {
        let most = usize::try_from(left)
            .unwrap_or(PIECE_BYTES)
            .min(PIECE_BYTES);
        let count = match file.read(&mut buffer[..most]).await {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        // What was announced cannot be kept, and nothing else can be said in the middle of it.
        let count = count.map_err(|cause| {
            tracing::error!(%cause, upload = upload.id.0, "a file could not be read to its end");
            Gone::Peer
        })?;
        link.write(&buffer[..count]).await?;
        left -= count as u64;
    }
    link.write(FILE_END).await?;
    sleep(AFTER_FILE).await;
    let done = Frame::Download {
        success: true,
        message: format!("文件 '{}' 下载完成", upload.file_name),
        filename: String::new(),
        file_size: 0,
    };
    link.write_frame(&done).await
}
