//! Tells friends who comes, who goes, and who changes their status.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::lists::friend_ids_in;
use crate::app::App;
use crate::error::Result;
use crate::hub::Event;
use crate::model::{Status, UserId};
use crate::users::user_in;

/// How often it is looked who has silently gone: a login counts for minutes, and ends unheard.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Tells friends whenever what they see of a user has changed. Runs until the server's end; there
/// is one such task.
///
/// Users of whom nothing was announced yet count as offline, so only the others are remembered.
pub async fn announce_changes(app: Arc<App>) {
    let Some(mut watch) = app.hub.watch_changes() else {
        return;
    };
    let mut announced: HashMap<UserId, Status> = HashMap::new();
    let mut failed: HashSet<UserId> = HashSet::new();
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            changed = watch.recv() => match changed {
                Some(user) => note(&app, &mut announced, &mut failed, user),
                None => return,
            },
            _ = sweep.tick() => {
                app.presence.forget_expired();
                let is_gone = |user: &UserId| !app.presence.is_online(*user);
                let gone: Vec<UserId> = announced.keys().copied().filter(is_gone).collect();
                for user in std::mem::take(&mut failed).into_iter().chain(gone) {
                    note(&app, &mut announced, &mut failed, user);
                }
            }
        }
    }
}

/// Announces what others see of a user now, unless that is what they were told last. If it fails,
/// the next sweep tries again.
fn note(
    app: &App,
    announced: &mut HashMap<UserId, Status>,
    failed: &mut HashSet<UserId>,
    user: UserId,
) {
    if let Err(cause) = try_note(app, announced, user) {
        tracing::warn!(%cause, "a change of status could not be announced");
        failed.insert(user);
    }
}

fn try_note(app: &App, announced: &mut HashMap<UserId, Status>, id: UserId) -> Result<()> {
    let before = announced.get(&id).copied().unwrap_or(Status::Offline);
    if before == Status::Offline && !app.presence.is_online(id) {
        return Ok(());
    }
    let (user, friends) = app
        .db
        .read(|conn| Ok((user_in(conn, id)?, friend_ids_in(conn, id)?)))?;
    let status = app.presence.visible_status(id, user.status);
    if status == before {
        return Ok(());
    }
    match status {
        Status::Offline => announced.remove(&id),
        _ => announced.insert(id, status),
    };
    app.hub.to_users(
        &friends,
        Event::StatusChanged {
            user: id,
            username: user.username,
            status,
        },
    );
    Ok(())
}
