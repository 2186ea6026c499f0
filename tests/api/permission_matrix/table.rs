//! How a table of what is allowed is worked through: every row × every part × every credential.

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::Value;

use super::cast::{Cast, PARTS, Part, Scene};
use crate::chat8::file_form;
use crate::world::Reply;

/// What the caller shows. Whoever calls is who the token says, so that with another's token
/// one is that other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Credential {
    Own,
    None,
    Anothers,
    Ended,
    Expired,
}

pub(super) const CREDENTIALS: [Credential; 5] = [
    Credential::Own,
    Credential::None,
    Credential::Anothers,
    Credential::Ended,
    Credential::Expired,
];

impl Credential {
    /// The token that `part` sends, if any.
    pub(super) fn token(self, cast: &Cast, part: Part) -> Option<&str> {
        let player = cast.player(part);
        match self {
            Credential::Own => Some(&player.token),
            Credential::None => None,
            Credential::Anothers => Some(&cast.outsider.token),
            Credential::Ended => Some(&player.ended),
            Credential::Expired => Some(&player.expired),
        }
    }
}

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// This status of success, whatever it says.
    Done(u16),
    /// 200, and this is part of it.
    Shows(&'static str),
    /// 200, and this is not part of it.
    Hides(&'static str),
    /// This status and, where the API has codes, this code.
    Refused(u16, &'static str),
}

/// What is sent beside the token.
enum Body {
    Nothing,
    Json(Value),
    /// A form with a file for this user.
    File(i64),
}

/// A request to be made.
pub(super) struct Call(Method, String, Body);

/// A request without a body.
pub(super) fn plain(method: Method, path: String) -> Call {
    Call(method, path, Body::Nothing)
}

pub(super) fn get(path: String) -> Call {
    plain(Method::GET, path)
}

/// A request with a JSON body.
pub(super) fn with(method: Method, path: &str, body: Value) -> Call {
    Call(method, path.to_owned(), Body::Json(body))
}

/// An upload, for one user.
pub(super) fn upload(path: &str, receiver: i64) -> Call {
    Call(Method::POST, path.to_owned(), Body::File(receiver))
}

/// One route, or one use of it.
pub(super) struct Row {
    name: &'static str,
    call: fn(&Scene) -> Call,
    usually: Outcome,
    but: &'static [(Part, Outcome)],
    spoils: bool,
}

/// What is tried, how, what comes of it `usually`, and for whom something else.
pub(super) fn row(
    name: &'static str,
    call: fn(&Scene) -> Call,
    usually: Outcome,
    but: &'static [(Part, Outcome)],
) -> Row {
    Row {
        name,
        call,
        usually,
        but,
        spoils: false,
    }
}

impl Row {
    /// The same, where success changes the scene, so that the next caller needs a new one.
    pub(super) fn spoiling(self) -> Self {
        Row {
            spoils: true,
            ..self
        }
    }

    fn outcome(&self, part: Part) -> Outcome {
        let named = self.but.iter().find(|(named, _)| *named == part);
        named.map_or(self.usually, |(_, outcome)| *outcome)
    }
}

/// What an API says to those without a valid token, and how its errors look.
pub(super) struct Manners {
    pub(super) refusal: fn(Credential) -> Outcome,
    /// The code of an error (an empty text where the API has none), or that its form is wrong.
    pub(super) code: fn(&Reply) -> Result<String, String>,
}

/// Works a table through; panics with all that was not as expected.
pub(super) fn check(cast: &Cast, rows: &[Row], manners: &Manners) {
    let mut wrong = Vec::new();
    let mut scene = cast.set();
    for row in rows {
        for part in PARTS {
            for credential in CREDENTIALS {
                let expected = match credential {
                    Credential::Own => row.outcome(part),
                    Credential::Anothers => row.outcome(Part::Stranger),
                    _ => (manners.refusal)(credential),
                };
                let reply = Reply::to(dressed(cast, (row.call)(&scene), part, credential));
                if let Err(fault) = judge(&reply, expected, manners) {
                    wrong.push(format!("{part:?}, {credential:?}: {}: {fault}", row.name));
                }
                if row.spoils && reply.status < 300 {
                    scene = cast.set();
                }
            }
        }
    }
    let (count, list) = (wrong.len(), wrong.join("\n"));
    assert!(wrong.is_empty(), "{count} are wrong:\n{list}");
}

/// The request of somebody, who also says who they would like to be: that must not count.
fn dressed(cast: &Cast, call: Call, part: Part, credential: Credential) -> RequestBuilder {
    let Call(method, path, body) = call;
    let own_id = cast.player(part).id.to_string();
    let request = cast.world.request(method, &path);
    let request = request.query(&[("user_id", &own_id), ("sender_id", &own_id)]);
    let request = match credential.token(cast, part) {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    match body {
        Body::Nothing => request,
        Body::Json(value) => request.json(&value),
        Body::File(receiver) => {
            let form = file_form("file", b"bytes");
            request.multipart(form.text("receiver_id", receiver.to_string()))
        }
    }
}

fn judge(reply: &Reply, expected: Outcome, manners: &Manners) -> Result<(), String> {
    let is_met = match expected {
        Outcome::Done(status) => reply.status == status,
        Outcome::Shows(text) => reply.status == 200 && reply.text.contains(text),
        Outcome::Hides(text) => reply.status == 200 && !reply.text.contains(text),
        Outcome::Refused(status, code) => reply.status == status && (manners.code)(reply)? == code,
    };
    if is_met {
        return Ok(());
    }
    let Reply { status, text, .. } = reply;
    Err(format!("expected {expected:?}, got {status} {text}"))
}
