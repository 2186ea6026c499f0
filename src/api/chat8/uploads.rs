//! `/upload`: avatars and files, as multipart forms.
//!
//! A form is never held in memory: the part named `file` is streamed to disk while it comes, and
//! is gone again if anything about the request turns out to be wrong.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use multer::{Field, Multipart};
use rocket::Data;
use rocket::data::{DataStream, ToByteUnit};
use rocket::post;
use rocket::request::{FromRequest, Outcome, Request};
use serde::Serialize;
use tokio::io::{AsyncRead, ReadBuf};

use super::downloads::{AVATARS, FILES};
use super::file_name::file_name;
use super::wording::Failure;
use super::{Answer, BASE, success};
use crate::api::http::{AppState, Bearer, PATIENCE};
use crate::app::App;
use crate::error::Error;
use crate::files::{self, Audience, Incoming};
use crate::messages::{self, Draft};
use crate::model::{Session, Upload, UserId};
use crate::users::{self, ProfileChange};

/// What an avatar may be.
const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// What a form may have beside its file.
const FORM_BYTES: u64 = 64 << 10;
/// The longest value of any other part.
const LONGEST_VALUE: usize = 1 << 10;
/// How much of a form is taken in at once.
const SIP_BYTES: usize = 64 << 10;
/// How much of a form may be read without anything coming out of it: the parser keeps what is
/// before a boundary, or in the head of a part, for as long as it does not end.
const MOST_HELD_BYTES: usize = 512 << 10;
/// How much of a refused form is still read, so that a client that sends before it listens
/// hears the refusal, and for how long.
const DRAINED_BYTES: u64 = 64 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(10);

/// The boundary of a multipart body, if the body is one.
pub(super) struct Boundary(Option<String>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Boundary {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let content_type = request
            .headers()
            .get_one("Content-Type")
            .unwrap_or_default();
        Outcome::Success(Boundary(multer::parse_boundary(content_type).ok()))
    }
}

#[derive(Serialize)]
struct AvatarStored {
    avatar_url: String,
}

/// A new avatar, in the place of the one before.
#[post("/upload/avatar", data = "<data>")]
pub(super) async fn avatar(
    app: &AppState,
    bearer: Bearer,
    boundary: Boundary,
    data: Data<'_>,
) -> Answer {
    let limit_bytes = app.config.max_avatar_bytes;
    let (session, form) = Form::receive(app, &bearer, boundary, data, limit_bytes).await?;
    let (incoming, name) = form.file()?;
    if !PICTURES.contains(&incoming.media_type()) {
        return Err(Error::UnsupportedType.into());
    }
    let upload = incoming
        .finish(app, session.user, Audience::Everyone, &name)
        .await?;
    let avatar_url = format!("{BASE}{AVATARS}{}", upload.slug);
    let change = ProfileChange {
        avatar: Some(Some(avatar_url.clone())),
        ..ProfileChange::default()
    };
    let changed = users::change_profile(app, session.user, change).await;
    let (before, _) = or_remove(app, upload, changed).await?;
    remove_avatar(
        app,
        session.user,
        before.avatar.as_deref(),
        Some(&avatar_url),
    )
    .await?;
    Ok(success(AvatarStored { avatar_url }))
}

/// Removes the upload behind the avatar that its owner had before, if there is one and it is not
/// behind the present one too.
pub(super) async fn remove_avatar(
    app: &App,
    owner: UserId,
    before: Option<&str>,
    present: Option<&str>,
) -> Result<(), Error> {
    let slug = before.and_then(slug_of);
    match slug.filter(|_| slug != present.and_then(slug_of)) {
        Some(slug) => files::remove_avatar(app, owner, slug.to_owned()).await,
        None => Ok(()),
    }
}

/// The slug in an avatar's path. Pages add a query to have a picture fetched anew.
fn slug_of(path: &str) -> Option<&str> {
    let path = path.split(['?', '#']).next()?;
    let slug = path.strip_prefix(BASE)?.strip_prefix(AVATARS)?;
    Some(slug.trim_end_matches('/'))
}

#[derive(Serialize)]
struct FileStored {
    #[serde(rename = "file_url")]
    url: String,
    #[serde(rename = "file_name")]
    name: String,
    #[serde(rename = "file_size")]
    size_bytes: i64,
    #[serde(rename = "file_type")]
    media_type: String,
}

/// A file for one user. They are sent a message whose content is its URL.
#[post("/upload/file", data = "<data>")]
pub(super) async fn file(
    app: &AppState,
    bearer: Bearer,
    boundary: Boundary,
    data: Data<'_>,
) -> Answer {
    let limit_bytes = app.config.max_upload_bytes;
    let (session, form) = Form::receive(app, &bearer, boundary, data, limit_bytes).await?;
    let receiver = form.receiver()?;
    users::username_by_id(app, receiver)?;
    let sender_name = users::username_by_id(app, session.user)?;
    let (incoming, name) = form.file()?;
    let upload = incoming
        .finish(app, session.user, Audience::User(receiver), &name)
        .await?;
    let url = format!("{BASE}{FILES}{}", upload.slug);
    let draft = Draft {
        kind: files::kind_of(&upload.media_type),
        is_encrypted: false,
        upload: Some(upload.id),
        ..Draft::direct(app, session.user, sender_name, receiver, url.clone())
    };
    let stored = FileStored {
        url,
        name: upload.file_name.clone(),
        size_bytes: upload.size_bytes,
        media_type: upload.media_type.clone(),
    };
    let sent = messages::send(app, draft).await;
    or_remove(app, upload, sent).await?;
    Ok(success(stored))
}

/// Takes an upload away again if what should follow it has failed, and has not happened all the same.
async fn or_remove<T>(app: &App, upload: Upload, outcome: Result<T, Error>) -> Result<T, Failure> {
    if outcome.is_err() {
        files::remove(app, upload.owner_id, upload.slug).await?;
    }
    Ok(outcome?)
}

/// The parts of a form that count. Its file is on disk, but not yet entered anywhere.
#[derive(Default)]
struct Form {
    file: Option<(Incoming, String)>,
    receiver_id: Option<String>,
}

impl Form {
    /// Reads a whole form of somebody who is logged in. Its file may have `limit_bytes`.
    async fn receive(
        app: &App,
        bearer: &Bearer,
        boundary: Boundary,
        data: Data<'_>,
        limit_bytes: u64,
    ) -> Result<(Session, Form), Failure> {
        let mut stream = data.open((limit_bytes + FORM_BYTES + DRAINED_BYTES).bytes());
        let received = async {
            bearer.session(app)?;
            let boundary = boundary
                .0
                .ok_or_else(|| Failure::unreadable("is not multipart/form-data with a boundary"))?;
            let form = Form::read(app, &boundary, &mut stream, limit_bytes).await?;
            // Asked again: the login may have been ended while the form came.
            Ok((bearer.session(app)?, form))
        }
        .await;
        if received.is_err() {
            let mut nowhere = tokio::io::sink();
            let rest = tokio::io::copy(&mut stream, &mut nowhere);
            // The refusal is the answer, whether the rest has come or not.
            let _ = tokio::time::timeout(DRAINED_FOR, rest).await;
        }
        received
    }

    async fn read(
        app: &App,
        boundary: &str,
        stream: &mut DataStream<'_>,
        limit_bytes: u64,
    ) -> Result<Form, Failure> {
        let allowance = Arc::new(AtomicUsize::new(MOST_HELD_BYTES));
        let sips = Sips {
            stream,
            left: SIP_BYTES,
            allowance: allowance.clone(),
        };
        let came_out = || allowance.store(MOST_HELD_BYTES, Ordering::Relaxed);
        let mut parts = Multipart::with_reader(sips, boundary);
        let mut form = Form::default();
        while let Some(mut part) = in_time(parts.next_field()).await? {
            came_out();
            match part.name() {
                Some("file") if form.file.is_none() => {
                    let disposition = part.headers().get("content-disposition");
                    let name = file_name(disposition.map_or(&[], |value| value.as_bytes()));
                    let mut incoming = Incoming::begin(app, limit_bytes).await?;
                    if let Some(said) = part.content_type() {
                        incoming.is_said_to_be(said.essence_str());
                    }
                    while let Some(bytes) = in_time(part.chunk()).await? {
                        came_out();
                        incoming.write(&bytes).await?;
                    }
                    form.file = Some((incoming, name));
                }
                Some("receiver_id") if form.receiver_id.is_none() => {
                    form.receiver_id = Some(short_text(&mut part).await?);
                }
                Some("file") => return Err(Failure::invalid("file", "must be there once")),
                Some("receiver_id") => {
                    return Err(Failure::invalid("receiver_id", "must be there once"));
                }
                // Whatever it is, it is not asked for.
                _ => {
                    while in_time(part.chunk()).await?.is_some() {
                        came_out();
                    }
                }
            }
        }
        Ok(form)
    }

    fn file(self) -> Result<(Incoming, String), Failure> {
        self.file
            .ok_or_else(|| Failure::invalid("file", "is missing"))
    }

    fn receiver(&self) -> Result<UserId, Failure> {
        let text = self
            .receiver_id
            .as_deref()
            .ok_or_else(|| Failure::invalid("receiver_id", "is missing"))?;
        let id = text
            .trim()
            .parse()
            .map_err(|_| Failure::invalid("receiver_id", "must be an integer"))?;
        Ok(UserId(id))
    }
}

/// A stream that pauses after every so many bytes. The form's parser takes in all that is ready
/// before it hands any of it on; a fast client would fill the memory with a file.
struct Sips<'a, 'r> {
    stream: &'a mut DataStream<'r>,
    left: usize,
    /// What may still be read until something comes out of the form.
    allowance: Arc<AtomicUsize>,
}

impl AsyncRead for Sips<'_, '_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            self.left = SIP_BYTES;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let allowance = self.allowance.load(Ordering::Relaxed);
        if allowance == 0 {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = into.filled().len();
        let polled = Pin::new(&mut *self.stream).poll_read(context, into);
        let count = into.filled().len() - before;
        self.left = self.left.saturating_sub(count);
        let rest = allowance.saturating_sub(count);
        self.allowance.store(rest, Ordering::Relaxed);
        polled
    }
}

/// The value of a part that is no file.
async fn short_text(part: &mut Field<'_>) -> Result<String, Failure> {
    let name = part.name().unwrap_or("body").to_owned();
    let mut value = Vec::new();
    while let Some(bytes) = in_time(part.chunk()).await? {
        value.extend_from_slice(&bytes);
        if value.len() > LONGEST_VALUE {
            return Err(Failure::invalid(
                &name,
                format!("must have at most {LONGEST_VALUE} bytes"),
            ));
        }
    }
    String::from_utf8(value).map_err(|_| Failure::invalid(&name, "must be UTF-8"))
}

/// Waits for the client, but not for ever.
async fn in_time<T>(next: impl Future<Output = multer::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, next).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(cause)) => Err(Failure::unreadable(format!(
            "is not a readable form: {cause}"
        ))),
        Err(_) => Err(Failure::unreadable("stopped coming")),
    }
}
