//! The pages, embedded in the binary. They load nothing from anywhere else, and may not.

use rocket::http::{ContentType, Header};
use rocket::{Responder, Route, get, routes};

/// What a page may do: scripts, styles and connections of the agent itself, pictures and films
/// also from memory, and nothing else at all.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob: data:; media-src 'self' blob: data:; connect-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

macro_rules! page_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../page/", $name)))),*]
    };
}

/// Every file of the pages. All are text.
const FILES: &[(&str, &str)] = page_files![
    "api.js",
    "bubble.js",
    "chat.css",
    "chat.html",
    "chat.js",
    "composer.js",
    "dom.js",
    "files.js",
    "i18n.js",
    "index.html",
    "keys.js",
    "log.js",
    "login.css",
    "login.js",
    "people.js",
    "refusals.js",
    "shell.js",
    "sound.js",
    "stream.js",
    "style.css",
    "theme.js",
    "users.html",
    "users.js",
    "words.js",
];

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    routes![index, users, chat, file]
}

#[derive(Responder)]
struct Page {
    body: &'static str,
    kind: ContentType,
    policy: Header<'static>,
    sniffing: Header<'static>,
    referrer: Header<'static>,
    caching: Header<'static>,
}

#[get("/")]
fn index() -> Option<Page> {
    page("index.html")
}

#[get("/users")]
fn users() -> Option<Page> {
    page("users.html")
}

#[get("/chat/<_>")]
fn chat() -> Option<Page> {
    page("chat.html")
}

#[get("/page/<name>")]
fn file(name: &str) -> Option<Page> {
    page(name)
}

fn page(name: &str) -> Option<Page> {
    let (name, body) = FILES.iter().find(|(known, _)| *known == name)?;
    let (_, extension) = name.rsplit_once('.')?;
    Some(Page {
        body,
        kind: ContentType::from_extension(extension)?,
        policy: Header::new("Content-Security-Policy", POLICY),
        sniffing: Header::new("X-Content-Type-Options", "nosniff"),
        referrer: Header::new("Referrer-Policy", "no-referrer"),
        // A newer binary brings newer files under the same names.
        caching: Header::new("Cache-Control", "no-cache"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_pages_is_served_with_its_kind() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/agent/page");
        for entry in std::fs::read_dir(folder).expect("the pages") {
            let name = entry.expect("an entry").file_name();
            let name = name.into_string().expect("text");
            let page = page(&name).unwrap_or_else(|| panic!("{name} is not listed"));
            assert!(page.kind.is_html() || page.kind.is_css() || page.kind.is_javascript());
        }
    }
}
