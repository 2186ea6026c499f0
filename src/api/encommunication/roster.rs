//! Who is on the relay, told to everybody there whenever it changes, or a name or key of theirs does.
//!
//! One task makes the roster, once for all sockets, and no more often than sockets can take it:
//! what changes meanwhile is told together. Public keys come with the server's signature over the
//! bytes of their text. A roster that is too large for one frame of old clients is cut for each
//! receiver: see [`cut`].

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rocket::get;
use serde::Serialize;
use serde_json::value::RawValue;

use super::caller::Caller;
use super::records::user_id;
use super::{Answer, success};
use crate::api::http::{AppState, log_if_internal};
use crate::app::App;
use crate::contacts;
use crate::error::{Error, Result};
use crate::hub::{Channel, Event};
use crate::messages::correspondents;
use crate::model::{User, UserId};
use crate::users;

/// More users than this are never told in one frame.
const MOST_IN_A_FRAME: usize = 1_000;
/// The most that clients take in one frame is 1 MiB.
const LARGEST_FRAME_BYTES: usize = 1_000_000;
/// The size of a frame that is cut.
const CUT_FRAME_BYTES: usize = 512 << 10;
/// An entry with the largest key there is (RSA-8192) takes no more.
const LARGEST_USUAL_BYTES: usize = 4 << 10;
/// When to try again what failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How many users are looked up at once.
const ROWS_AT_ONCE: usize = 1_000;

const BEFORE: &str = r#"{"systemMessage":true,"message":["#;
const AFTER: &str = "]}";

/// An entry, as published. Despite its name `enpublicKey` is a signature.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    id: UserId,
    public_key: &'a str,
    #[serde(rename = "enpublicKey")]
    signature: &'a str,
    username: &'a str,
}

/// Tells everybody on the relay who is there, until the server stops.
pub(in crate::api) async fn keep(app: Arc<App>) {
    let changes = app.hub.watch(Channel::Relay);
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = changes.notified() => {}
        }
        let its_app = app.clone();
        let made = tokio::task::spawn_blocking(move || make(&its_app)).await;
        let made = made.unwrap_or_else(|cause| Err(cause.into()));
        let entries = match made {
            Ok(entries) => entries,
            Err(cause) => {
                log_if_internal(&cause);
                tokio::time::sleep(AFTER_FAILURE).await;
                changes.notify_one();
                continue;
            }
        };
        // Each user more is one more frame, longer by one entry: the rate has to fall with both.
        let pause = Duration::from_millis(entries.len() as u64);
        let frame = whole(&entries);
        app.hub
            .to_channel(Channel::Relay, None, Event::Roster { entries, frame });
        tokio::time::sleep(pause).await;
    }
}

/// The entry of everybody on the relay, by id.
fn make(app: &App) -> Result<Vec<(UserId, String)>> {
    let ids = app.hub.users_on(Channel::Relay);
    let mut entries = Vec::with_capacity(ids.len());
    for ids in ids.chunks(ROWS_AT_ONCE) {
        for user in users::list_users(app, ids)? {
            entries.push((user.id, entry(app, &user)?));
        }
    }
    entries.sort_unstable_by_key(|(id, _)| *id);
    Ok(entries)
}

/// Somebody who has stored no key (through another API) is listed with an empty one.
fn entry(app: &App, user: &User) -> Result<String> {
    let public_key = user.public_key.as_deref().unwrap_or_default();
    let signature = app.signer.sign(public_key)?;
    let entry = Entry {
        id: user.id,
        public_key,
        signature: &signature,
        username: &user.username,
    };
    Ok(serde_json::to_string(&entry).expect("an entry is plain data"))
}

/// A user as rosters list them, for whoever wants to write to somebody absent.
#[get("/publicKey?<userId>")]
#[expect(non_snake_case, reason = "named as the other parameters are")]
pub(super) async fn public_key(app: &AppState, caller: Caller, userId: Option<&str>) -> Answer {
    caller.session(app)?;
    let user = users::user_by_id(app, user_id("userId", userId)?)?;
    let its_app = (*app).clone();
    let made = tokio::task::spawn_blocking(move || entry(&its_app, &user)).await;
    let entry = made.map_err(Error::from)??;
    let entry = RawValue::from_string(entry).expect("an entry is JSON");
    Ok(success("ok", entry))
}

/// All of them in one frame, if clients can take it.
fn whole(entries: &[(UserId, String)]) -> Option<String> {
    let bytes: usize = entries.iter().map(|(_, entry)| entry.len() + 1).sum();
    let fits = entries.len() <= MOST_IN_A_FRAME && bytes <= LARGEST_FRAME_BYTES;
    fits.then(|| frame(entries.iter().map(|(_, entry)| entry.as_str())))
}

fn frame<'a>(entries: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::from(BEFORE);
    for (index, entry) in entries.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(entry);
    }
    text.push_str(AFTER);
    text
}

/// The roster for one receiver; `None` if it was made before they came, since another follows.
pub(super) fn for_receiver(
    app: &App,
    receiver: UserId,
    entries: &[(UserId, String)],
    whole: Option<&String>,
) -> Option<String> {
    entries
        .binary_search_by_key(&receiver, |(id, _)| *id)
        .ok()?;
    if whole.is_some() {
        return whole.cloned();
    }
    let close = close_to(app, receiver).unwrap_or_else(|cause| {
        log_if_internal(&cause);
        Closeness::default()
    });
    Some(cut(entries, receiver, &close))
}

/// Whose entries a receiver needs most.
#[derive(Default)]
struct Closeness {
    contacts: HashSet<UserId>,
    /// Those with whom messages have been exchanged.
    peers: HashSet<UserId>,
}

fn close_to(app: &App, receiver: UserId) -> Result<Closeness> {
    Ok(Closeness {
        contacts: contacts::list_contact_ids(app, receiver)?
            .into_iter()
            .collect(),
        peers: correspondents::list(app, receiver)?.into_iter().collect(),
    })
}

/// One frame of at most 512 KiB: the receiver, their contacts, their peers, then whoever else
/// fits; each of these by id. Entries that no key of any size needs come last, unless the receiver
/// has chosen them: anybody can write to somebody once, and be a peer.
fn cut(entries: &[(UserId, String)], receiver: UserId, close: &Closeness) -> String {
    let rank = |(id, entry): &(UserId, String)| match id {
        id if *id == receiver => 0,
        id if close.contacts.contains(id) => 1,
        _ if entry.len() > LARGEST_USUAL_BYTES => 4,
        id if close.peers.contains(id) => 2,
        _ => 3,
    };
    let mut chosen: Vec<&(UserId, String)> = entries.iter().collect();
    chosen.sort_by_key(|entry| rank(entry));
    let mut room = CUT_FRAME_BYTES - BEFORE.len() - AFTER.len();
    let fitting = chosen.into_iter().filter_map(|(_, entry)| {
        room = room.checked_sub(entry.len() + 1)?;
        Some(entry.as_str())
    });
    frame(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: i64, bytes: usize) -> Vec<(UserId, String)> {
        (1..=count)
            .map(|id| (UserId(id), format!("[{id},\"{}\"]", "x".repeat(bytes))))
            .collect()
    }

    #[test]
    fn a_roster_is_whole_up_to_a_thousand_users_and_a_megabyte() {
        assert_eq!(
            whole(&entries(2, 1)).as_deref(),
            Some(r#"{"systemMessage":true,"message":[[1,"x"],[2,"x"]]}"#)
        );
        assert!(whole(&entries(1_000, 800)).is_some());
        assert!(whole(&entries(1_001, 1)).is_none());
        assert!(whole(&entries(20, 60_000)).is_none());
    }

    #[test]
    fn a_cut_roster_holds_the_receiver_their_contacts_and_peers_first() {
        let entries = entries(5_000, 800);
        let close = Closeness {
            contacts: HashSet::from([UserId(4_500), UserId(9_999)]),
            peers: HashSet::from([UserId(4_000), UserId(4_500)]),
        };
        let text = cut(&entries, UserId(5_000), &close);
        assert!(text.len() <= CUT_FRAME_BYTES && text.len() > CUT_FRAME_BYTES - 2_000);
        let frame: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let listed = frame["message"].as_array().expect("a list");
        let ids: Vec<i64> = listed
            .iter()
            .filter_map(|entry| entry[0].as_i64())
            .collect();
        assert_eq!(ids[..5], [5_000, 4_500, 4_000, 1, 2]);
    }

    #[test]
    fn padded_keys_crowd_nobody_out() {
        let mut everybody = entries(20, 60_000);
        everybody.push((UserId(21), "[21,\"\"]".into()));
        let text = cut(&everybody, UserId(20), &Closeness::default());
        assert!(text.contains("[21,") && text.contains("[1,") && !text.contains("[19,"));
        let close = Closeness {
            contacts: HashSet::from([UserId(19)]),
            peers: (1..=18).map(UserId).collect(),
        };
        let text = cut(&everybody, UserId(20), &close);
        assert!(text.contains("[21,"), "whoever has written to the receiver");
        assert!(text.contains("[19,") && text.contains("[20,"));
    }
}
