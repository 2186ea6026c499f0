//! Writing to somebody, and what was written.

use std::sync::Arc;

use rocket::{Data, Route, State, get, post, routes};
use serde_json::json;

use super::users::number;
use super::{Answer, id, into_text, ok, read_json, user};
use crate::agent::Agent;
use crate::agent::error::Error;

/// The routes of this module, below `/api`.
pub(super) fn routes() -> Vec<Route> {
    routes![send_message, records]
}

#[post("/send_message", data = "<data>")]
async fn send_message(agent: &State<Arc<Agent>>, data: Data<'_>) -> Answer {
    let body = read_json(data).await?;
    let from = id(&body, "from_id")?;
    let to = id(&body, "target_id")?;
    let message = into_text(body, "message", "缺少消息内容")?;
    let is_held = user(agent, from)?.send(to, message).await?;
    let data = is_held.then(|| json!({"held": true}));
    Ok(ok(data))
}

#[expect(non_snake_case, reason = "the published names of the parameters")]
#[get("/chat/records?<fromId>&<toId>&<limit>&<before>")]
async fn records(
    agent: &State<Arc<Agent>>,
    fromId: Option<&str>,
    toId: Option<&str>,
    limit: Option<&str>,
    before: Option<&str>,
) -> Answer {
    let session = user(agent, number(fromId)?)?;
    let peer = number(toId)?;
    let limit = limit.map(count).transpose()?;
    let before = before.map(|text| number(Some(text))).transpose()?;
    let page = session.records(peer, limit, before).await?;
    Ok(ok(page))
}

fn count(text: &str) -> Result<usize, Error> {
    let count = text.trim().parse().ok();
    count
        .filter(|count| *count > 0)
        .ok_or(Error::Invalid("limit 必须是正整数"))
}
