//! What a file is, by its first bytes, and what it may be called.

use crate::model::Kind;
use crate::users::turns_direction;

/// The longest name that common file systems take, in bytes.
const LONGEST_NAME_BYTES: usize = 255;

/// A client's name for a file as it is shown to others: its last part only, without control
/// characters or signs that turn the direction of writing, 1–255 bytes. A colon, which some systems
/// take for the end of a drive or the beginning of a stream, becomes `_`.
pub fn clean_file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_harmless = |c: &char| !c.is_control() && !turns_direction(*c);
    let clean: String = last.chars().filter(is_harmless).collect();
    let clean = clean.replace(':', "_");
    let clean = clean.trim();
    if clean.trim_matches('.').is_empty() {
        return "file".to_owned();
    }
    if clean.len() <= LONGEST_NAME_BYTES {
        return clean.to_owned();
    }
    // What is cut is the middle, so that the extension stays.
    let extension = clean.rfind('.').map_or("", |dot| &clean[dot..]);
    let extension = if extension.len() > 32 { "" } else { extension };
    let mut end = LONGEST_NAME_BYTES - extension.len();
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &clean[..end])
}

/// What a message that hands over such a file is of.
pub fn kind_of(media_type: &str) -> Kind {
    match media_type.split('/').next() {
        Some("image") => Kind::Image,
        Some("audio") => Kind::Audio,
        Some("video") => Kind::Video,
        _ => Kind::File,
    }
}

/// What a file is: what its first bytes show or, where they leave it open, what its sender `said`:
/// sounds in a container of films, and bytes that show nothing, as sealed ones do.
pub(super) fn settled_type(head: &[u8], said: Option<&str>) -> String {
    let shown = media_type_of(head);
    let leave_open = |said: &&str| match shown {
        "video/webm" | "video/mp4" | "video/3gpp" => said.starts_with("audio/"),
        "application/octet-stream" => is_binary(head) && is_media(said),
        _ => false,
    };
    said.filter(leave_open).unwrap_or(shown).to_owned()
}

/// A picture, a sound or a film, and no markup, as `image/svg+xml` is.
fn is_media(said: &str) -> bool {
    let said_to_be = |(kind, name): (&str, &str)| {
        matches!(kind, "image" | "audio" | "video") && !name.ends_with("xml")
    };
    said.split_once('/').is_some_and(said_to_be)
}

/// No UTF-8, wherever it is cut.
fn is_binary(head: &[u8]) -> bool {
    std::str::from_utf8(head).is_err_and(|cause| cause.error_len().is_some())
}

/// The media type that the first bytes of a file show. Never one that a browser would run:
/// markup and whatever is not known are `application/octet-stream`.
pub fn media_type_of(head: &[u8]) -> &'static str {
    let is_riff = head.starts_with(b"RIFF") && head.len() >= 12;
    match head {
        _ if head.starts_with(b"\x89PNG\r\n\x1a\n") => "image/png",
        _ if head.starts_with(b"\xff\xd8\xff") => "image/jpeg",
        _ if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") => "image/gif",
        _ if is_riff && &head[8..12] == b"WEBP" => "image/webp",
        _ if is_riff && &head[8..12] == b"WAVE" => "audio/wav",
        _ if head.starts_with(b"ID3") => "audio/mpeg",
        [0xff, 0xfb | 0xfa | 0xf3 | 0xf2, ..] => "audio/mpeg",
        _ if head.starts_with(b"OggS") => "audio/ogg",
        _ if head.starts_with(b"fLaC") => "audio/flac",
        [_, _, _, _, b'f', b't', b'y', b'p', a, b, c, d, ..] => type_of_brand([*a, *b, *c, *d]),
        _ if head.starts_with(b"\x1a\x45\xdf\xa3") => "video/webm",
        _ if head.starts_with(b"%PDF-") => "application/pdf",
        _ if head.starts_with(b"PK\x03\x04") => "application/zip",
        _ if head.starts_with(b"\x1f\x8b") => "application/gzip",
        _ if is_plain_text(head) => "text/plain",
        _ => "application/octet-stream",
    }
}

/// One container holds films, sounds and pictures; its brand says which (ISO/IEC 14496-12).
fn type_of_brand(brand: [u8; 4]) -> &'static str {
    match &brand {
        b"heic" | b"heix" | b"mif1" | b"msf1" => "image/heic",
        b"avif" | b"avis" => "image/avif",
        b"M4A " | b"M4B " => "audio/mp4",
        b"qt  " => "video/quicktime",
        [b'3', b'g', b'p', _] => "video/3gpp",
        _ => "video/mp4",
    }
}

/// UTF-8 (perhaps cut inside its last character) without markup or control characters.
fn is_plain_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(cause) if cause.error_len().is_none() => {
            std::str::from_utf8(&head[..cause.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    !text.is_empty() && !text.contains('<') && !text.contains(is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_only_its_last_part_and_never_empty() {
        for (name, clean) in [
            ("photo.png", "photo.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\a\\b.txt", "b.txt"),
            ("C:b.txt", "C_b.txt"),
            ("10:30.txt", "10_30.txt"),
            ("a\0b\r\n.txt", "ab.txt"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("\u{61c}a\u{2067}b.txt", "ab.txt"),
            ("报告 1.pdf", "报告 1.pdf"),
            ("", "file"),
            ("..", "file"),
            ("a/", "file"),
            (" \t ", "file"),
        ] {
            assert_eq!(clean_file_name(name), clean, "{name:?}");
        }
        let long = clean_file_name(&format!("{}.jpeg", "长".repeat(300)));
        assert!(
            long.len() <= 255 && long.rsplit('.').next() == Some("jpeg"),
            "{long}"
        );
        assert!(clean_file_name(&"x".repeat(1_000)).len() == 255);
        assert!(clean_file_name(&format!("a.{}", "y".repeat(1_000))).len() == 255);
    }

    #[test]
    fn where_the_bytes_leave_it_open_the_sender_says_what_a_file_is() {
        const WEBM: &[u8] = b"\x1a\x45\xdf\xa3";
        const SEALED: &[u8] = b"\x91\xfe\x00\x07";
        for (head, said, media_type) in [
            (WEBM, "audio/webm", "audio/webm"),
            (WEBM, "image/png", "video/webm"),
            (b"\x00\x00\x00\x18ftypisom", "audio/mp4", "audio/mp4"),
            (b"\xff\xf1\x50\x80", "audio/aac", "audio/aac"),
            (SEALED, "image/png", "image/png"),
            (SEALED, "image/svg+xml", "application/octet-stream"),
            (SEALED, "text/html", "application/octet-stream"),
            (b"<svg/>", "image/png", "application/octet-stream"),
            (b"GIF89a", "audio/mpeg", "image/gif"),
            (b"a note", "image/png", "text/plain"),
        ] {
            let settled = settled_type(head, Some(said));
            assert_eq!(settled, media_type, "{said} of {head:?}");
        }
        assert_eq!(settled_type(WEBM, None), "video/webm");
    }

    #[test]
    fn a_file_is_what_its_bytes_say_and_markup_is_nothing() {
        for (head, media_type) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], "image/png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"GIF89a", "image/gif"),
            (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
            (b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
            ("grüße".as_bytes(), "text/plain"),
            (&"grü".as_bytes()[..3], "text/plain"),
            (b"<svg onload=alert(1)>", "application/octet-stream"),
            (b"\n <!DOCTYPE html>", "application/octet-stream"),
            (b"\xff\xfe\x00", "application/octet-stream"),
            (b"RIFF", "text/plain"),
            (b"", "application/octet-stream"),
        ] {
            assert_eq!(media_type_of(head), media_type, "{head:?}");
        }
        assert_eq!(kind_of("image/png"), Kind::Image);
        assert_eq!(kind_of("text/plain"), Kind::File);
    }
}
