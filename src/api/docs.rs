//! `/openapi.json`, put together from the documents of the APIs, and `/docs`, Swagger UI over it.
//! Everything is served from the binary; nothing is loaded from elsewhere.

use std::borrow::Cow;
use std::sync::Arc;

use rocket::http::{ContentType, Status};
use rocket::{Route, State, get, routes};
use serde_json::{Map, Value, json};

use super::http::Reply;

/// The document of one API: an OpenAPI object with `tags`, `paths` and `components.schemas`.
const PARTS: &[&str] = &[
    include_str!("openapi.json"),
    super::message_store::OPENAPI,
    super::chat8::OPENAPI,
    super::secure_im::OPENAPI,
    super::encommunication::OPENAPI,
];

/// The whole document, as it is served.
pub(crate) struct Document(Vec<u8>);

/// OpenAPI 3.1 over everything that is mounted.
///
/// # Panics
/// If a document in the binary is not JSON, which the tests exclude.
pub fn openapi() -> Value {
    let mut tags = Vec::new();
    let (mut paths, mut schemas, mut responses) = (Map::new(), Map::new(), Map::new());
    for part in PARTS {
        let part: Value = serde_json::from_str(part).expect("the documents in the binary are JSON");
        tags.extend(part["tags"].as_array().cloned().unwrap_or_default());
        merge(&mut paths, &part["paths"]);
        merge(&mut schemas, &part["components"]["schemas"]);
        merge(&mut responses, &part["components"]["responses"]);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sealpost",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A store for end-to-end-encrypted messages, behind several published APIs over the same users and messages.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
        },
    })
}

/// APIs may share a path, each with methods of its own.
fn merge(into: &mut Map<String, Value>, from: &Value) {
    for (name, value) in from.as_object().into_iter().flatten() {
        match (into.get_mut(name), value) {
            (Some(Value::Object(there)), Value::Object(more)) => there.extend(more.clone()),
            _ => drop(into.insert(name.clone(), value.clone())),
        }
    }
}

impl Document {
    /// The document, written once.
    pub(crate) fn new() -> Self {
        Document(serde_json::to_vec(&openapi()).expect("a JSON value can be written"))
    }
}

/// `/openapi.json` and `/docs`.
pub(crate) fn routes() -> Vec<Route> {
    routes![document, swagger_page, swagger_file]
}

#[get("/openapi.json")]
fn document(document: &State<Document>) -> Reply {
    Reply::raw(Status::Ok, ContentType::JSON, document.0.clone())
}

/// Nothing is loaded from elsewhere, and nothing told.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

#[get("/docs")]
fn swagger_page() -> Reply {
    // The page is the same with a final slash and without, so its links cannot be relative.
    let page = swagger("index.html");
    let body = String::from_utf8_lossy(&page.1)
        .replace("href=\"", "href=\"/docs/")
        .replace("src=\"./", "src=\"/docs/");
    Reply::raw(
        Status::Ok,
        ContentType::HTML,
        body.replace("docs/./", "docs/").into_bytes(),
    )
    .with_header("Content-Security-Policy", POLICY)
}

#[get("/docs/<file>")]
fn swagger_file(file: &str) -> Reply {
    if file == "index.html" {
        return swagger_page();
    }
    let (status, body, content_type) = match swagger(file) {
        (Some(content_type), body) => (Status::Ok, body, content_type),
        (None, _) => (Status::NotFound, Cow::default(), ContentType::Plain),
    };
    Reply::raw(status, content_type, body)
}

/// A file of Swagger UI, configured for our document.
fn swagger(file: &str) -> (Option<ContentType>, Cow<'static, [u8]>) {
    // By default the page shows the document's address to somebody else's validator.
    let config = utoipa_swagger_ui::Config::from("/openapi.json")
        .persist_authorization(true)
        .validator_url("none");
    match utoipa_swagger_ui::serve(file, Arc::new(config)) {
        Ok(Some(found)) => (found.content_type.parse().ok(), found.bytes),
        _ => (None, Cow::default()),
    }
}
