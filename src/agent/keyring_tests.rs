//! The key store: what comes back, to whom, and what is on disk meanwhile.

use std::os::unix::fs::PermissionsExt;

use super::peer::{KEYS_KEPT, UNUSED_KEPT};
use super::*;
use crate::agent::home::Home;

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// Where the keys of a user go whose agent keeps its data in `data`.
fn dir_in(data: &Path) -> PathBuf {
    let home = Home::open(data, "http://a").expect("a home");
    home.unclaimed("alice").expect("a directory")
}

/// The user's own new keys, sealed under the password `p`.
fn settled(dir: &Path) -> Keyring {
    let keyring = Keyring::create(dir, "p").expect("keys");
    keyring.settle().expect("settled");
    keyring
}

#[test]
fn keys_and_peers_come_back_with_the_password_alone() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = dir_in(data.path());
    assert!(Keyring::open(&dir, "p").expect("no keys").is_none());

    let mut keyring = settled(&dir);
    let (old, new) = (AesKey::generate(), AesKey::generate());
    keyring.peer_mut(7).public_key = Some("pem".into());
    assert!(keyring.use_key(7, &old, Use::Agreed));
    assert!(keyring.use_key(7, &new, Use::Chosen));
    assert!(!keyring.use_key(7, &new, Use::Chosen));
    keyring.save().expect("saved");

    let again = Keyring::open(&dir, "p").expect("opens");
    let again = again.expect("is there");
    assert_eq!(again.private().to_der(), keyring.private().to_der());
    assert_eq!(again.keys_with(7), [new, old]);
    assert_eq!(again.peers()[&7].public_key.as_deref(), Some("pem"));
    let wrong = Keyring::open(&dir, "q");
    assert!(matches!(wrong, Err(Error::LockedKeys)), "{wrong:?}");
}

#[test]
fn keys_that_have_served_outlast_a_flood_of_those_that_have_not() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = dir_in(data.path());
    let mut keyring = settled(&dir);
    let [idle, sealing, opening, late, doubted] = std::array::from_fn(|_| AesKey::generate());
    keyring.use_key(7, &idle, Use::Agreed);
    keyring.use_key(7, &sealing, Use::Agreed);
    assert!(keyring.mark_used(7, &sealing) && !keyring.mark_used(7, &sealing));
    assert!(keyring.keep_key(7, &opening, true));
    for _ in 0..UNUSED_KEPT / 2 {
        keyring.use_key(7, &AesKey::generate(), Use::Agreed);
    }
    keyring.save().expect("saved");
    let again = Keyring::open(&dir, "p").expect("opens");
    let mut keyring = again.expect("is there");
    for _ in 0..UNUSED_KEPT {
        keyring.use_key(7, &AesKey::generate(), Use::Agreed);
    }
    assert!(keyring.keep_key(7, &late, true));
    keyring.use_key(7, &idle, Use::Agreed);
    for _ in 0..UNUSED_KEPT {
        assert!(keyring.keep_key(7, &AesKey::generate(), false));
    }
    assert!(keyring.keep_key(7, &doubted, false), "the last of them");
    let keys = keyring.keys_with(7);
    assert_eq!((keys.len(), &keys[0]), (UNUSED_KEPT + 3, &idle));
    for key in [&sealing, &opening, &late] {
        assert!(keys[1..4].contains(key), "they are tried first");
    }
    assert!(keys.contains(&doubted));
}

#[test]
fn keys_that_have_served_are_bounded_as_well_and_the_newest_is_one_of_them() {
    let data = tempfile::tempdir().expect("a directory");
    let mut keyring = settled(&dir_in(data.path()));
    for _ in 0..KEYS_KEPT {
        assert!(keyring.keep_key(7, &AesKey::generate(), true));
    }
    let [late, newest] = std::array::from_fn(|_| AesKey::generate());
    assert!(!keyring.keep_key(7, &late, true) && !keyring.keep_key(7, &late, false));
    keyring.use_key(7, &newest, Use::Agreed);
    let keys = keyring.keys_with(7);
    assert_eq!((keys.len(), &keys[0]), (KEYS_KEPT, &newest));
}

#[test]
fn keys_from_an_older_file_count_as_used_and_go_in_their_order() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = dir_in(data.path());
    let keyring = settled(&dir);
    let keys: Vec<AesKey> = (0..KEYS_KEPT).map(|_| AesKey::generate()).collect();
    let texts: Vec<String> = keys.iter().map(AesKey::to_base64).collect();
    let file = serde_json::json!({"7": {
        "username": "bob", "public_key": null, "keys": texts, "newest": "agreed",
    }});
    keyring.write_sealed("peers.sealed", &file).expect("saved");
    let again = Keyring::open(&dir, "p").expect("opens");
    let mut keyring = again.expect("is there");
    assert!(!keyring.mark_used(7, &keys[0]));
    for _ in 0..2 {
        keyring.use_key(7, &AesKey::generate(), Use::Agreed);
    }
    let kept = keyring.keys_with(7);
    assert!(!kept.contains(&keys[0]) && kept.contains(&keys[1]));
}

#[test]
fn no_name_leaves_the_directory_and_no_file_is_open_to_others() {
    let data = tempfile::tempdir().expect("a directory");
    let home = Home::open(&data.path().join("inner"), "http://a/../b").expect("a home");
    let long = "长".repeat(200);
    for name in ["../../evil", "a/b", ".", "\"'\\", "\0", long.as_str()] {
        let keyring =
            Keyring::create(&home.unclaimed(name).expect("a directory"), "p").expect("keys");
        keyring.settle().expect("settled");
        keyring.save().expect("saved");
        let again = Keyring::open(&home.unclaimed(name).expect("a directory"), "p").expect("opens");
        assert!(again.is_some(), "{name:?}");
    }
    home.pin_server_key("pem").expect("pinned");
    assert_eq!(fs::read_dir(data.path()).expect("a directory").count(), 1);
    let files = files_under(data.path());
    assert_eq!(files.len(), 14);
    for file in files {
        let mode = fs::metadata(&file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn nothing_on_disk_tells_a_key_without_the_password() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = dir_in(data.path());
    let mut keyring = settled(&dir);
    let key = AesKey::generate();
    keyring.use_key(7, &key, Use::Agreed);
    keyring.save().expect("saved");
    let held = BTreeMap::from([(7, vec!["held text"])]);
    keyring.save_held(&held).expect("saved");
    assert_eq!(keyring.held().expect("read")[&7], ["held text"]);
    for file in files_under(data.path()) {
        let text = fs::read_to_string(file).expect("text");
        assert!(!text.contains(&key.to_base64()));
        assert!(!text.contains("PRIVATE KEY"));
        assert!(!text.contains("alice"));
        assert!(!text.contains("held text"));
    }
}

#[test]
fn a_refused_registration_leaves_older_keys_alone() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = dir_in(data.path());
    settled(&dir);
    let other = Keyring::create(&dir, "q").expect("keys");
    other.discard().expect("discarded");
    assert!(matches!(Keyring::open(&dir, "q"), Err(Error::LockedKeys)));
    assert!(Keyring::open(&dir, "p").expect("opens").is_some());
}

#[test]
fn keys_of_a_registration_whose_answer_was_lost_are_found() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = dir_in(data.path());
    let fresh = Keyring::create(&dir, "p").expect("keys");
    let found = Keyring::open(&dir, "p").expect("opens");
    let found = found.expect("is there");
    assert_eq!(found.private().to_der(), fresh.private().to_der());
}

#[test]
fn unconfirmed_keys_never_replace_others_by_themselves() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = dir_in(data.path());
    let mine = settled(&dir);
    let fresh = Keyring::create(&dir, "q").expect("keys");
    for _ in 0..2 {
        let locked = Keyring::open(&dir, "q");
        assert!(matches!(locked, Err(Error::LockedKeys)), "{locked:?}");
    }
    let again = Keyring::open(&dir, "p").expect("opens");
    let der = again.expect("is there").private().to_der();
    assert_eq!(der, mine.private().to_der());

    let none = Keyring::open_unconfirmed(&dir, "p").expect("readable");
    assert!(none.is_none());
    let found = Keyring::open_unconfirmed(&dir, "q").expect("opens");
    let der = found.expect("is there").private().to_der();
    assert_eq!(der, fresh.private().to_der());
}

#[test]
fn another_password_opens_everything_in_its_place() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = dir_in(data.path());
    let mut keyring = settled(&dir);
    let key = AesKey::generate();
    keyring.use_key(7, &key, Use::Agreed);
    keyring.save().expect("saved");
    keyring.reseal("q").expect("sealed again");
    let old = Keyring::open(&dir, "p");
    assert!(matches!(old, Err(Error::LockedKeys)), "{old:?}");
    let again = Keyring::open(&dir, "q").expect("opens");
    assert_eq!(again.expect("is there").keys_with(7), [key]);
}

#[test]
fn keys_sealed_under_the_password_alone_still_open() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = dir_in(data.path());
    let keyring = settled(&dir);
    let (salt, cost) = (crypto::salt(), KdfCost::NEW);
    let vault = crypto::derive("p", &salt, cost).expect("a key");
    let file = KeyFile {
        kdf: "argon2id".into(),
        cost,
        salt: BASE64_STANDARD.encode(salt),
        vault: None,
        sealed: crypto::seal(&vault, &keyring.private().to_der()),
    };
    write_json(&dir.join("key.json"), &file).expect("written");
    let again = Keyring::open(&dir, "p").expect("opens");
    let der = again.expect("is there").private().to_der();
    assert_eq!(der, keyring.private().to_der());
}
