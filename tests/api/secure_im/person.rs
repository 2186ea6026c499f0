//! Somebody who uses secure_im, and what they can do.

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};

use crate::world::{Reply, World};

/// The password that everybody here has.
pub(super) const PASSWORD: &str = "password123";

/// A registered user with a token.
pub(super) struct Person<'w> {
    pub(super) world: &'w World,
    pub(super) name: String,
    pub(super) id: i64,
    pub(super) token: String,
}

/// The body of a registration.
pub(super) fn registration(name: &str) -> Value {
    json!({
        "username": name,
        "email": format!("{name}@example.com"),
        "password": PASSWORD,
        "public_key": format!("key_for_{name}"),
    })
}

/// Registers somebody who does not log in.
pub(super) fn register(world: &World, name: &str) -> i64 {
    let reply = world.post("/users/", &registration(name));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["id"].as_i64().expect("an integer")
}

/// Asks for a token with a urlencoded form.
pub(super) fn ask_token(world: &World, form: &[(&str, &str)]) -> Reply {
    Reply::to(world.request(Method::POST, "/token").form(form))
}

/// Logs somebody in who is registered.
pub(super) fn log_in(world: &World, name: &str) -> String {
    let reply = ask_token(world, &[("username", name), ("password", PASSWORD)]);
    assert_eq!(reply.status, 200, "{reply:?}");
    let token = reply.json()["access_token"].clone();
    token.as_str().expect("a text").to_owned()
}

impl<'w> Person<'w> {
    /// Registers and logs in.
    pub(super) fn arrive(world: &'w World, name: &str) -> Self {
        let id = register(world, name);
        Person {
            world,
            name: name.to_owned(),
            id,
            token: log_in(world, name),
        }
    }

    /// Several at once.
    pub(super) fn arrive_all<const N: usize>(world: &'w World, names: [&str; N]) -> [Self; N] {
        names.map(|name| Person::arrive(world, name))
    }

    /// A request with this person's token.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.world.request(method, path).bearer_auth(&self.token)
    }

    /// A call without a body.
    pub(super) fn call(&self, method: Method, path: &str) -> Reply {
        Reply::to(self.request(method, path))
    }

    /// A `GET`.
    pub(super) fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path)
    }

    /// A list that is answered with 200.
    pub(super) fn list(&self, path: &str) -> Vec<Value> {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json().as_array().expect("a list").clone()
    }

    /// A `POST` of JSON.
    pub(super) fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::to(self.request(Method::POST, path).json(body))
    }

    /// Adds somebody by name.
    pub(super) fn add(&self, other: &Person) {
        let reply = self.post("/me/contacts/", &json!({ "friend_username": other.name }));
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// Asks somebody by id to be a friend.
    pub(super) fn ask(&self, other: &Person) -> Reply {
        self.post("/me/contacts/", &json!({ "friend_id": other.id }))
    }

    /// Sends a message and returns its id.
    pub(super) fn send(&self, other: &Person, content: &str) -> i64 {
        let letter = json!({ "recipient_username": other.name, "encrypted_content": content });
        let reply = self.post("/messages/", &letter);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["id"].as_i64().expect("an integer")
    }

    /// Ends the login.
    pub(super) fn log_out(&self) {
        let reply = self.call(Method::POST, "/logout");
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.json(), json!({ "detail": "Logged out successfully" }));
    }
}

/// The text of an error whose detail is a text.
pub(super) fn detail(reply: &Reply, status: u16) -> String {
    assert_eq!(reply.status, status, "{reply:?}");
    let body = reply.json();
    let detail = body["detail"].as_str().unwrap_or_default().to_owned();
    assert_eq!(body, json!({ "detail": detail }), "{reply:?}");
    assert!(
        !detail.is_empty(),
        "an error says what was wrong: {reply:?}"
    );
    detail
}

/// The places and kinds of what was wrong with a request (422).
pub(super) fn problems(reply: &Reply) -> Vec<(Value, String)> {
    assert_eq!(reply.status, 422, "{reply:?}");
    let body = reply.json();
    let problems = body["detail"].as_array().expect("a list of problems");
    let told = |problem: &Value| {
        assert!(problem["msg"].is_string(), "{problem}");
        let kind = problem["type"].as_str().expect("a text").to_owned();
        (problem["loc"].clone(), kind)
    };
    problems.iter().map(told).collect()
}

/// Whether a text is an instant to the second, in UTC without a zone.
pub(super) fn is_instant(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").is_ok() && text.len() == 19
}
