//! What is uploaded is there whole, for those it is meant for, or not at all.

use super::*;
use crate::config::Config;
use crate::users::{self, Registration};

/// An application in a directory of its own, with two users.
async fn world() -> (tempfile::TempDir, std::sync::Arc<App>, UserId, UserId) {
    let home = tempfile::tempdir().expect("a directory");
    let config = Config {
        data_dir: home.path().to_owned(),
        ..Config::default()
    };
    let app = App::open(config).expect("it opens");
    let mut ids = Vec::new();
    for name in ["alice", "bob"] {
        let registration = Registration {
            username: name.into(),
            email: None,
            secret: "secret".into(),
            public_key: None,
        };
        ids.push(
            users::register(&app, registration)
                .await
                .expect("registered")
                .id,
        );
    }
    (home, app, ids[0], ids[1])
}

fn files_in(app: &App) -> usize {
    std::fs::read_dir(app.config.uploads_dir())
        .expect("a directory")
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_or_too_large_leaves_nothing() {
    let (_home, app, alice, _) = world().await;
    let mut given_up = Incoming::begin(&app, 100).await.expect("it begins");
    given_up.write(b"half a fi").await.expect("it fits");
    assert_eq!(files_in(&app), 1);
    drop(given_up);
    assert_eq!(files_in(&app), 0);
    let mut large = Incoming::begin(&app, 100).await.expect("it begins");
    let refused = large.write(&[0; 101]).await;
    assert!(matches!(refused, Err(Error::TooLarge { limit_bytes: 100 })));
    drop(large);
    assert_eq!(files_in(&app), 0);
    let orphan = Incoming::begin(&app, 100).await.expect("it begins");
    let nobody = UserId(alice.0 + 100);
    let refused = orphan.finish(&app, nobody, Audience::Everyone, "a").await;
    assert!(refused.is_err(), "there is no such owner");
    assert_eq!(files_in(&app), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_opens_only_for_those_it_is_meant_for_until_its_owner_removes_it() {
    let (_home, app, alice, bob) = world().await;
    let mut incoming = Incoming::begin(&app, 100).await.expect("it begins");
    incoming.write(b"GIF89a...").await.expect("it fits");
    let upload = incoming
        .finish(&app, alice, Audience::User(bob), "../a.png")
        .await;
    let upload = upload.expect("it is stored");
    assert_eq!(
        (upload.file_name.as_str(), upload.media_type.as_str()),
        ("a.png", "image/gif")
    );
    for (reader, may) in [
        (Some(alice), true),
        (Some(bob), true),
        (Some(UserId(99)), false),
        (None, false),
    ] {
        assert_eq!(
            open_for(&app, reader, &upload.slug).await.is_ok(),
            may,
            "{reader:?}"
        );
    }
    remove(&app, bob, upload.slug.clone())
        .await
        .expect("no error");
    assert_eq!(files_in(&app), 1, "it is not bob's");
    remove(&app, alice, upload.slug.clone())
        .await
        .expect("removed");
    assert!(open_for(&app, Some(alice), &upload.slug).await.is_err());
    assert_eq!(files_in(&app), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_message_hands_over_is_not_removed_as_unsent() {
    let (_home, app, alice, bob) = world().await;
    let incoming = Incoming::begin(&app, 100).await.expect("it begins");
    let upload = incoming.finish(&app, alice, Audience::User(bob), "a").await;
    let upload = upload.expect("it is stored");
    let id = upload.id;
    let work = move |conn: &mut Conn| {
        let sql = format!(
            "INSERT INTO messages (sender_id, recipient_id, pair, kind, content, is_encrypted, sent_at)
             VALUES ({}, {}, 1, 'file', 'its path', 0, 0)",
            alice.0, bob.0
        );
        diesel::sql_query(sql).execute(conn)?;
        hand_over(conn, id, MessageId(1))
    };
    app.db.write(work).await.expect("noted");
    let removed = remove(&app, alice, upload.slug.clone()).await;
    removed.expect("no error");
    assert!(open_for(&app, Some(bob), &upload.slug).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_run_left_half_done_is_removed() {
    let (_home, app, alice, _) = world().await;
    let incoming = Incoming::begin(&app, 100).await.expect("it begins");
    let whole = incoming
        .finish(&app, alice, Audience::Everyone, "whole")
        .await
        .expect("stored");
    std::mem::forget(Incoming::begin(&app, 100).await.expect("it begins").unkept);
    assert_eq!(files_in(&app), 2);
    remove_partial(&app).expect("removed");
    assert_eq!(files_in(&app), 1);
    assert!(open_for(&app, None, &whole.slug).await.is_ok());
}

#[test]
fn what_another_node_is_writing_is_left_alone_and_what_it_gave_up_is_removed() {
    let home = tempfile::tempdir().expect("a directory");
    let of_age = |name: &str, age: Duration| {
        let file = std::fs::File::create(home.path().join(name)).expect("made");
        let written = std::time::SystemTime::now() - age;
        file.set_modified(written).expect("dated");
    };
    of_age("under way.partial", Duration::ZERO);
    of_age("given up.partial", ABANDONED_AFTER * 2);
    of_age("whole", ABANDONED_AFTER * 2);
    let count = || std::fs::read_dir(home.path()).expect("there").count();
    remove_partial_in(home.path(), true).expect("removed");
    assert_eq!(count(), 2);
    remove_partial_in(home.path(), false).expect("removed");
    assert_eq!(count(), 1);
}
