//! Who uses this agent, who is out there, and whose keys are whose.

use std::sync::Arc;
use std::time::Instant;

use rocket::{Data, Route, State, get, post, routes};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Answer, Done, done, id, ok, read_json, text, user};
use crate::agent::Agent;
use crate::agent::error::Error;
use crate::agent::session::Session;
use crate::agent::wire::UserId;

/// The routes of this module, below `/api`.
pub(super) fn routes() -> Vec<Route> {
    routes![
        register,
        login,
        logout,
        me,
        online_users,
        peers,
        accept_peer,
        accept_server,
        fingerprint,
        publish_key
    ]
}

const MISSING_CREDENTIALS: &str = "缺少用户名或密码";

#[post("/register", data = "<data>")]
async fn register(agent: &State<Arc<Agent>>, data: Data<'_>) -> Answer {
    let body = read_json(data).await?;
    let username = text(&body, "username", MISSING_CREDENTIALS)?;
    let password = text(&body, "password", MISSING_CREDENTIALS)?;
    let repassword = text(&body, "repassword", "缺少确认密码")?;
    let registered = agent.register(username, password, repassword).await?;
    Ok(done("注册成功", registered))
}

#[post("/login", data = "<data>")]
async fn login(agent: &State<Arc<Agent>>, data: Data<'_>) -> Answer {
    let body = read_json(data).await?;
    let username = text(&body, "username", MISSING_CREDENTIALS)?;
    let password = text(&body, "password", MISSING_CREDENTIALS)?;
    let old_password = match body.get("old_password") {
        None | Some(Value::Null) => None,
        Some(_) => Some(text(&body, "old_password", "旧密码不能为空")?),
    };
    let (session, token) = agent.login(username, password, old_password).await?;
    let data = json!({"token": token, "id": session.id, "username": session.username()});
    Ok(done("登录成功", data))
}

#[post("/logout", data = "<data>")]
async fn logout(agent: &State<Arc<Agent>>, data: Data<'_>) -> Answer {
    let body = read_json(data).await?;
    if !agent.logout(id(&body, "id")?) {
        return Err(Error::Invalid("用户未登录"));
    }
    Ok(ok(Value::Null))
}

/// Somebody logged in here.
#[derive(Serialize)]
struct Here {
    id: UserId,
    username: String,
    /// The fingerprint of the key that others see of them, where it is not the one of this agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_key: Option<String>,
}

#[get("/me")]
fn me(agent: &State<Arc<Agent>>) -> Done {
    let user = |session: &Arc<Session>| Here {
        id: session.id,
        username: session.username(),
        other_key: session.other_key(),
    };
    let users: Vec<Here> = agent.everybody().iter().map(user).collect();
    let server = &agent.server;
    ok(json!({
        "users": users,
        "server": {
            "url": server.relay.url(),
            "fingerprint": server.fingerprint(),
            "changed": server.changed(),
        },
    }))
}

#[get("/online_users")]
fn online_users(agent: &State<Arc<Agent>>) -> Done {
    let mut users = Map::new();
    for session in agent.everybody() {
        let conversations = session.conversations();
        let online = conversations
            .online()
            .map(|(id, username)| (id.to_string(), Value::from(username)));
        users.extend(online);
    }
    ok(json!({"users": users}))
}

#[get("/peers?<user>")]
fn peers(agent: &State<Arc<Agent>>, user: Option<&str>) -> Answer {
    let session = super::user(agent, number(user)?)?;
    let peers = session.conversations().peers();
    Ok(ok(json!({"peers": peers})))
}

#[post("/peers/accept", data = "<data>")]
async fn accept_peer(agent: &State<Arc<Agent>>, data: Data<'_>) -> Answer {
    let body = read_json(data).await?;
    let session = user(agent, id(&body, "user")?)?;
    let fingerprint = text(&body, "fingerprint", "缺少指纹")?;
    session
        .conversations()
        .accept(id(&body, "peer")?, fingerprint, Instant::now())?;
    session.outgoing.notify_one();
    Ok(ok(Value::Null))
}

#[post("/server/accept", data = "<data>")]
async fn accept_server(agent: &State<Arc<Agent>>, data: Data<'_>) -> Answer {
    let body = read_json(data).await?;
    agent
        .server
        .accept(text(&body, "fingerprint", "缺少指纹")?)?;
    for session in agent.everybody() {
        session.conversations().judge_again(Instant::now());
        session.outgoing.notify_one();
        session.meet_unvouched().await;
    }
    Ok(ok(Value::Null))
}

#[get("/fingerprint?<user>")]
fn fingerprint(agent: &State<Arc<Agent>>, user: Option<&str>) -> Answer {
    let session = super::user(agent, number(user)?)?;
    Ok(ok(json!({"fingerprint": session.fingerprint()})))
}

#[post("/publish_key", data = "<data>")]
async fn publish_key(agent: &State<Arc<Agent>>, data: Data<'_>) -> Answer {
    let body = read_json(data).await?;
    let session = user(agent, id(&body, "user")?)?;
    let replaced = text(&body, "fingerprint", "缺少指纹")?;
    session.publish_own_key(replaced).await?;
    Ok(ok(Value::Null))
}

/// An id of the query.
pub(super) fn number(text: Option<&str>) -> Result<i64, Error> {
    let number = text.and_then(|text| text.trim().parse().ok());
    number.ok_or(Error::Invalid("用户 ID 必须是整数"))
}
