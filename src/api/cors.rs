//! Lets pages of the configured origins (`allowed_origins`) call from a browser.
//!
//! Says nothing to requests without `Origin` and nothing to origins that are not allowed, so the
//! browser keeps the answer from them.

use std::sync::Arc;

use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::{Header, Method, Status};
use rocket::{Request, Response};

use super::http::is_origin_allowed;
use crate::app::App;

const METHODS: &str = "GET, POST, PUT, DELETE";
/// What a page may read of an answer beside what it always may: a file's name is in no other place.
const READABLE: &str = "Retry-After, Content-Disposition, Content-Range, Accept-Ranges, ETag";
/// How long a browser may keep the answer to its first question, in seconds.
const MAX_AGE: &str = "600";

/// Adds the headers that a browser asks for.
pub(super) struct Cors(pub(super) Arc<App>);

#[rocket::async_trait]
impl Fairing for Cors {
    fn info(&self) -> Info {
        Info {
            name: "let allowed origins call",
            kind: Kind::Response,
        }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some(origin) = request.headers().get_one("Origin") else {
            return;
        };
        if !is_origin_allowed(&self.0, request) {
            return;
        }
        let mut add = |name: &'static str, value: &str| {
            response.set_header(Header::new(name, value.to_owned()));
        };
        add("Access-Control-Allow-Origin", origin);
        add("Access-Control-Expose-Headers", READABLE);
        add("Vary", "Origin");
        // Pages of any origin are shown what everybody is shown, not what a proxy's cookie opens.
        if self
            .0
            .config
            .allowed_origins
            .iter()
            .any(|allowed| allowed == origin)
        {
            add("Access-Control-Allow-Credentials", "true");
        }
        let is_question = request.method() == Method::Options
            && request.headers().contains("Access-Control-Request-Method");
        if is_question {
            add("Access-Control-Allow-Methods", METHODS);
            let wanted = request.headers().get_one("Access-Control-Request-Headers");
            add("Access-Control-Allow-Headers", wanted.unwrap_or_default());
            add("Access-Control-Max-Age", MAX_AGE);
            response.set_status(Status::NoContent);
            response.remove_header("Content-Type");
            response.set_sized_body(0, std::io::Cursor::new(&[][..]));
        }
    }
}
