//! Uploaded files on their way back: avatars for everyone, files for their two parties.

use rocket::get;
use rocket::http::Status;

use super::wording::Failure;
use crate::api::download::{Download, Wanted};
use crate::api::http::{AppState, Bearer};
use crate::error::Error;
use crate::files;
use crate::model::Upload;

/// What stands before the slug of an avatar, after the base.
pub(super) const AVATARS: &str = "/avatars/";
/// What stands before the slug of a file, after the base.
pub(super) const FILES: &str = "/files/";

/// An avatar, without a login: an `<img>` cannot send a token.
#[get("/avatars/<slug>")]
pub(super) async fn avatar(
    app: &AppState,
    wanted: Wanted,
    slug: &str,
) -> Result<Download, Failure> {
    let (upload, file) = files::open_for(app, None, slug).await?;
    let download = answer(&upload, file, wanted).await?;
    Ok(download.with_header("Cache-Control", "public, max-age=31536000, immutable"))
}

/// A file, for its sender and its receiver. Browsers save it and never show it.
#[get("/files/<slug>")]
pub(super) async fn file(
    app: &AppState,
    bearer: Bearer,
    wanted: Wanted,
    slug: &str,
) -> Result<Download, Failure> {
    let session = bearer.session(app)?;
    let (upload, file) = files::open_for(app, Some(session.user), slug).await?;
    let download = answer(&upload, file, wanted).await?;
    Ok(download
        .attached_as(&upload.file_name)
        .with_header("Cache-Control", "private, no-cache"))
}

async fn answer(
    upload: &Upload,
    file: tokio::fs::File,
    wanted: Wanted,
) -> Result<Download, Failure> {
    let size = upload.size_bytes.unsigned_abs();
    // Without the word clients take text for Latin-1.
    let media_type = match upload.media_type.as_str() {
        "text/plain" => "text/plain; charset=utf-8",
        other => other,
    };
    let download = Download::new(file, size, media_type, &upload.slug, wanted)
        .await
        .map_err(Error::from)?;
    download.ok_or_else(|| {
        let refused = Failure::new(
            Status::RangeNotSatisfiable,
            "VALIDATION",
            "请求参数验证失败",
        );
        refused.with_header("Content-Range", format!("bytes */{size}"))
    })
}
