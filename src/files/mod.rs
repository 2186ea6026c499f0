//! Uploads: bytes on disk, a row each, and who may fetch them.
//!
//! Bytes are counted and written to a partial file as they come, synced, renamed to an unguessable
//! slug, and only then entered into the table; whatever fails or is given up on the way leaves no
//! file behind. What was uploaded is named by its content, never by what the client calls it.
//! Nothing here looks inside a file beyond its first bytes.

mod look;

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::prelude::*;
use rand::RngCore;
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};

use crate::app::App;
use crate::db::{Conn, on_inner};
use crate::error::{Error, Result};
use crate::model::{Instant, MessageId, RoomId, Upload, UploadId, UserId};
use crate::schema::{room_members, uploads, users};
pub use look::{clean_file_name, kind_of, media_type_of};

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 128 << 10;
/// As many of the first bytes as tell what a file is.
const HEAD_BYTES: usize = 512;
/// Ends the name of a file that is not complete.
const PARTIAL: &str = ".partial";
/// No upload pauses for so long.
const ABANDONED_AFTER: Duration = Duration::from_secs(86_400);

/// Who may fetch an upload, beside its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody who knows the slug, without any login: avatars.
    Everyone,
    /// One person.
    User(UserId),
    /// The members of a room.
    Room(RoomId),
}

/// A file on disk that is removed when this is dropped, unless it was kept.
struct Unkept {
    path: PathBuf,
    is_kept: bool,
}

impl Unkept {
    fn at(path: PathBuf) -> Self {
        let is_kept = false;
        Unkept { path, is_kept }
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Unkept {
    fn drop(&mut self) {
        if !self.is_kept {
            remove_file(&self.path);
        }
    }
}

/// An upload while its bytes come in; dropped before [`Incoming::finish`], it was never there.
pub struct Incoming {
    slug: String,
    file: BufWriter<File>,
    unkept: Unkept,
    head: Vec<u8>,
    size_bytes: u64,
    limit_bytes: u64,
    said: Option<String>,
}

impl Incoming {
    /// Makes an empty partial file that will take up to `limit_bytes`.
    pub async fn begin(app: &App, limit_bytes: u64) -> Result<Self> {
        let mut random = [0; 32];
        rand::rngs::OsRng.fill_bytes(&mut random);
        let slug = URL_SAFE_NO_PAD.encode(random);
        let unkept = Unkept::at(app.config.uploads_dir().join(format!("{slug}{PARTIAL}")));
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600);
        let file = BufWriter::with_capacity(BUFFER_BYTES, options.open(&unkept.path).await?);
        let head = Vec::with_capacity(HEAD_BYTES);
        Ok(Incoming {
            slug,
            file,
            unkept,
            head,
            size_bytes: 0,
            limit_bytes,
            said: None,
        })
    }

    /// Notes the media type that its sender says it has.
    pub fn is_said_to_be(&mut self, media_type: &str) {
        self.said = Some(media_type.to_owned());
    }

    /// Takes the next bytes. Errors: [`Error::TooLarge`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > self.limit_bytes {
            return Err(Error::TooLarge {
                limit_bytes: self.limit_bytes,
            });
        }
        let wanted = (HEAD_BYTES - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..wanted]);
        self.file.write_all(bytes).await?;
        Ok(())
    }

    /// What the content is, by the bytes that have come so far.
    pub fn media_type(&self) -> &'static str {
        media_type_of(&self.head)
    }

    /// Syncs the file, puts it in its place and enters it; returns once all of that is on disk.
    pub async fn finish(
        mut self,
        app: &App,
        owner: UserId,
        audience: Audience,
        file_name: &str,
    ) -> Result<Upload> {
        self.file.flush().await?;
        self.file.get_ref().sync_all().await?;
        let media_type = look::settled_type(&self.head, self.said.as_deref());
        let slug = self.slug;
        let unkept = put_in_place(self.unkept, app.config.uploads_dir(), slug.clone()).await?;
        let (recipient_id, room_id) = match audience {
            Audience::Everyone => (None, None),
            Audience::User(user) => (Some(user), None),
            Audience::Room(room) => (None, Some(room)),
        };
        let mut upload = Upload {
            id: UploadId(0),
            slug,
            owner_id: owner,
            recipient_id,
            room_id,
            file_name: clean_file_name(file_name),
            media_type,
            size_bytes: i64::try_from(self.size_bytes).unwrap_or(i64::MAX),
            created_at: Instant::now(),
        };
        let work = move |conn: &mut Conn| {
            upload.id = insert(conn, &upload)?;
            Ok(upload)
        };
        // The guard goes along, so that the file stays exactly if the row does.
        app.db.write_then(work, |_| unkept.keep()).await
    }
}

/// Renames a partial file to its slug and syncs the directory.
async fn put_in_place(partial: Unkept, directory: PathBuf, slug: String) -> Result<Unkept> {
    let renamed = tokio::task::spawn_blocking(move || {
        let placed = Unkept::at(directory.join(slug));
        std::fs::rename(&partial.path, &placed.path)?;
        partial.keep();
        std::fs::File::open(directory)?.sync_all()?;
        Ok(placed)
    });
    renamed.await?
}

fn insert(conn: &mut Conn, upload: &Upload) -> Result<UploadId> {
    let row = (
        uploads::slug.eq(&upload.slug),
        uploads::owner_id.eq(upload.owner_id),
        uploads::recipient_id.eq(upload.recipient_id),
        uploads::room_id.eq(upload.room_id),
        uploads::file_name.eq(&upload.file_name),
        uploads::media_type.eq(&upload.media_type),
        uploads::size_bytes.eq(upload.size_bytes),
        uploads::created_at.eq(upload.created_at),
    );
    let insert = diesel::insert_into(uploads::table).values(row);
    Ok(on_inner!(conn, inner => insert.returning(uploads::id).get_result(inner))?)
}

/// Opens an upload for its owner, its recipient, a member of its room, or, if it is for everyone,
/// for anybody; `reader` is `None` for somebody who has not logged in.
///
/// Errors: [`Error::UnknownFile`], also for those who may not.
pub async fn open_for(app: &App, reader: Option<UserId>, slug: &str) -> Result<(Upload, File)> {
    // The slug is any text that somebody asks for, and not every text may be asked of a database.
    if !is_slug(slug) {
        return Err(Error::UnknownFile);
    }
    let upload = app.db.read(|conn| {
        let row = uploads::table.filter(uploads::slug.eq(slug));
        let upload = row
            .select(Upload::as_select())
            .first(conn)
            .optional()?
            .ok_or(Error::UnknownFile)?;
        if may_fetch(conn, reader, &upload)? {
            Ok(upload)
        } else {
            Err(Error::UnknownFile)
        }
    })?;
    let file = open(app, &upload).await?;
    Ok((upload, file))
}

fn may_fetch(conn: &mut Conn, reader: Option<UserId>, upload: &Upload) -> Result<bool> {
    if is_for_everyone(upload) || reader == Some(upload.owner_id) {
        return Ok(true);
    }
    let Some(reader) = reader else {
        return Ok(false);
    };
    match upload.room_id {
        None => Ok(upload.recipient_id == Some(reader)),
        Some(room) => {
            let member = room_members::table
                .find((room, reader))
                .select(room_members::user_id);
            Ok(member.first::<UserId>(conn).optional()?.is_some())
        }
    }
}

fn is_for_everyone(upload: &Upload) -> bool {
    upload.recipient_id.is_none() && upload.room_id.is_none()
}

/// Opens an upload for somebody of whom the caller knows that they may have it.
///
/// Errors: [`Error::UnknownFile`] if the bytes are gone.
pub async fn open(app: &App, upload: &Upload) -> Result<File> {
    match File::open(app.config.uploads_dir().join(&upload.slug)).await {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Err(Error::UnknownFile),
        opened => Ok(opened?),
    }
}

/// An upload by id. Errors: [`Error::UnknownFile`].
pub fn upload_by_id(app: &App, id: UploadId) -> Result<Upload> {
    app.db.read(|conn| {
        let row = uploads::table.find(id).select(Upload::as_select());
        row.first(conn).optional()?.ok_or(Error::UnknownFile)
    })
}

/// The latest uploads to a room with their owners' names, newest first, at most `limit`.
pub fn list_in_room(app: &App, room: RoomId, limit: i64) -> Result<Vec<(Upload, String)>> {
    app.db.read(|conn| {
        Ok(uploads::table
            .inner_join(users::table.on(users::id.eq(uploads::owner_id)))
            .filter(uploads::room_id.eq(room))
            .order(uploads::id.desc())
            .limit(limit)
            .select((Upload::as_select(), users::username))
            .load(conn)?)
    })
}

/// Removes an upload of `owner`'s, row and bytes, unless a message hands it over; one that is not
/// there is no error.
pub async fn remove(app: &App, owner: UserId, slug: String) -> Result<()> {
    remove_if(app, owner, slug, |_| true).await
}

/// Like [`remove`], but of an avatar only: a profile may name any path, that of a file too.
pub async fn remove_avatar(app: &App, owner: UserId, slug: String) -> Result<()> {
    remove_if(app, owner, slug, is_for_everyone).await
}

async fn remove_if(
    app: &App,
    owner: UserId,
    slug: String,
    is_meant: fn(&Upload) -> bool,
) -> Result<()> {
    let wanted = slug.clone();
    let work = move |conn: &mut Conn| {
        let own = uploads::slug.eq(wanted).and(uploads::owner_id.eq(owner));
        let row = uploads::table.filter(own).select(Upload::as_select());
        let Some(upload) = row.first(conn).optional()?.filter(is_meant) else {
            return Ok(0);
        };
        // The message may be there although its sender was told that it could not be sent.
        let unsent = uploads::table.filter(uploads::message_id.is_null());
        Ok(diesel::delete(unsent.find(upload.id)).execute(conn)?)
    };
    if app.db.write(work).await? > 0 {
        remove_bytes(app, &slug).await;
    }
    Ok(())
}

/// Notes, inside the write that sends it, which message hands an upload over.
pub(crate) fn hand_over(conn: &mut Conn, upload: UploadId, message: MessageId) -> Result<()> {
    diesel::update(uploads::table.find(upload))
        .set(uploads::message_id.eq(message))
        .execute(conn)?;
    Ok(())
}

/// Whether a message hands an upload over. It does from when it is sent, or never.
pub(crate) fn is_handed_over(conn: &mut Conn, message: MessageId) -> Result<bool> {
    let row = uploads::table.filter(uploads::message_id.eq(message));
    let slug = row.select(uploads::slug).first::<String>(conn).optional()?;
    Ok(slug.is_some())
}

/// Removes the row of the upload that a message hands over, if there is one, inside the write that
/// deletes the message; returns its slug, for [`remove_bytes`] once that is on disk.
pub(crate) fn remove_handed_over(conn: &mut Conn, message: MessageId) -> Result<Option<String>> {
    let row = uploads::table.filter(uploads::message_id.eq(message));
    let slug = row.select(uploads::slug).first::<String>(conn).optional()?;
    if slug.is_some() {
        diesel::delete(row).execute(conn)?;
    }
    Ok(slug)
}

/// Removes the bytes of an upload that has no row any more. Never inside a write, nor on the
/// writer's thread: a large file takes long, and everybody would wait for it. A crash before it
/// leaves bytes that nobody can ask for.
pub(crate) async fn remove_bytes(app: &App, slug: &str) {
    let path = app.config.uploads_dir().join(slug);
    // It can only fail by a panic, of which there is none, or at the server's end.
    let _ = tokio::task::spawn_blocking(move || remove_file(&path)).await;
}

fn is_slug(text: &str) -> bool {
    text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok()
}

/// Removes what was incomplete when the server last stopped. To be called before it serves. Nodes
/// that share a PostgreSQL server share the directory, too: what is younger may be another's.
pub fn remove_partial(app: &App) -> Result<()> {
    let is_shared = app.config.database_url.is_some();
    remove_partial_in(&app.config.uploads_dir(), is_shared)
}

fn remove_partial_in(directory: &Path, is_shared: bool) -> Result<()> {
    let entries = std::fs::read_dir(directory).map_err(|cause| {
        Error::Internal(format!("cannot read {}: {cause}", directory.display()))
    })?;
    for entry in entries {
        let path = entry?.path();
        let is_partial = path.to_string_lossy().ends_with(PARTIAL);
        if is_partial && (!is_shared || is_abandoned(&path)) {
            remove_file(&path);
        }
    }
    Ok(())
}

/// Whether nothing has been written to a file for longer than any upload pauses.
fn is_abandoned(path: &Path) -> bool {
    let written = path.metadata().and_then(|meta| meta.modified());
    written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age > ABANDONED_AFTER))
}

fn remove_file(path: &Path) {
    if let Err(cause) = std::fs::remove_file(path)
        && cause.kind() != std::io::ErrorKind::NotFound
    {
        tracing::error!(%cause, path = %path.display(), "a file could not be removed");
    }
}

#[cfg(test)]
mod tests;
