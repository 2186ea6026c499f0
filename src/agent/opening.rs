//! Opening what was sealed for this user: live messages and records.
//!
//! AES-GCM tells the right key from the wrong one, so keys are tried in the order of what they
//! cost: those at hand first for a long history, the message's own first when it is new.

use std::fmt;

use quick_cache::sync::Cache;

use super::crypto::{AesKey, PrivateKey, Sealed};
use super::wire::{Record, UserId};

/// Wrapped keys remembered with what they hold: each costs a millisecond to unwrap.
const UNWRAPPED_KEPT: usize = 4_096;
/// What authenticates in about the time of an unwrapping.
const UNWRAPPING_BYTES: usize = 1024 * 1024;
/// What is authenticated at most to find the key of one text: a peer who has shared a thousand
/// keys and sends the largest text that none of them opens keeps the link for a tenth of a second.
const TRIED_BYTES: usize = 64 * 1024 * 1024;
/// Keys that are tried whatever the size of the text.
const LEAST_TRIED: usize = 4;

/// What became of a sealed message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// It opened, with this key.
    Text(String, AesKey),
    /// No key at hand is the one.
    NoKey,
    /// Its own key was found, but the content does not authenticate or is no text.
    Altered,
}

impl Opened {
    /// The text for people: the published words stand for what could not be opened.
    pub(super) fn shown(self) -> String {
        match self {
            Self::Text(text, _) => text,
            Self::NoKey => "[无法解密消息]".into(),
            Self::Altered => "[解密失败]".into(),
        }
    }
}

/// One user's private key, at work.
pub(super) struct Opener {
    private: PrivateKey,
    unwrapped: Cache<String, Option<AesKey>>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener(…)")
    }
}

impl Opener {
    pub(super) fn new(private: PrivateKey) -> Self {
        let unwrapped = Cache::new(UNWRAPPED_KEPT);
        Self { private, unwrapped }
    }

    /// The AES key in `wrapped`, if it was wrapped for this user.
    pub(super) fn unwrap_key(&self, wrapped: &str) -> Option<AesKey> {
        if wrapped.is_empty() {
            return None;
        }
        if let Some(known) = self.unwrapped.get(wrapped) {
            return known;
        }
        let key = self.private.unwrap_key(wrapped);
        self.unwrapped.insert(wrapped.to_owned(), key.clone());
        key
    }

    /// Opens a message that just came: by its own key, then by those kept of its sender.
    pub(super) fn message(&self, sealed: &str, wrapped: Option<&str>, kept: &[AesKey]) -> Opened {
        let own = wrapped.and_then(|wrapped| self.unwrap_key(wrapped));
        let sealed = Sealed::from_base64(sealed);
        let kept = &kept[..tried(sealed.len(), kept.len())];
        let opened = try_keys(&sealed, own.iter().chain(kept));
        match opened {
            Opened::NoKey if own.is_some() => Opened::Altered,
            opened => opened,
        }
    }

    /// Opens a record of `reader`'s: by the keys kept of the peer as long as they are the cheaper
    /// ones, by the two stored with it, and by the others that are kept.
    pub(super) fn record(&self, record: &Record, reader: UserId, kept: &[AesKey]) -> Opened {
        let sealed = Sealed::from_base64(record.message.as_deref().unwrap_or_default());
        let kept = &kept[..tried(sealed.len(), kept.len())];
        let cheap = affordable(sealed.len(), UNWRAPPING_BYTES).min(kept.len());
        let (cheap, dear) = kept.split_at(cheap);
        let (from, to) = (record.from_key.as_deref(), record.to_key.as_deref());
        let stored = if record.to == reader {
            [from, to]
        } else {
            [to, from]
        };
        let opened = try_keys(&sealed, cheap);
        if opened != Opened::NoKey {
            return opened;
        }
        let mut outcome = Opened::NoKey;
        for wrapped in stored.into_iter().flatten() {
            if let Some(key) = self.unwrap_key(wrapped) {
                match try_keys(&sealed, [&key]) {
                    Opened::NoKey => outcome = Opened::Altered,
                    opened => return opened,
                }
            }
        }
        match try_keys(&sealed, dear) {
            Opened::NoKey => outcome,
            opened => opened,
        }
    }
}

/// How many of the first `kept` keys are tried on a text of this size.
fn tried(size: usize, kept: usize) -> usize {
    affordable(size, TRIED_BYTES).max(LEAST_TRIED).min(kept)
}

/// For how many keys a text of this size makes `bytes`.
fn affordable(size: usize, bytes: usize) -> usize {
    bytes / size.max(1)
}

/// Opens `sealed` with the first key that fits; never says that it was altered unless a key
/// fits and what comes out is no text.
fn try_keys<'a>(sealed: &Sealed, keys: impl IntoIterator<Item = &'a AesKey>) -> Opened {
    for key in keys {
        if let Some(plain) = sealed.open(key) {
            return String::from_utf8(plain)
                .map_or(Opened::Altered, |text| Opened::Text(text, key.clone()));
        }
    }
    Opened::NoKey
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::crypto;

    fn opener() -> (Opener, crypto::PublicKey) {
        let private = PrivateKey::generate();
        let public = private.public();
        (Opener::new(private), public)
    }

    fn record(from: UserId, to: UserId, message: &str, keys: [Option<String>; 2]) -> Record {
        let [from_key, to_key] = keys;
        Record {
            id: 1,
            from,
            to,
            message: Some(message.into()),
            from_key,
            to_key,
            created: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_message_opens_by_its_own_key_then_by_the_kept_ones() {
        let (opener, public) = opener();
        let (own, kept) = (AesKey::generate(), AesKey::generate());
        let sealed = crypto::seal(&own, "你好".as_bytes());
        let text = Opened::Text("你好".into(), own.clone());
        let wrapped = public.wrap_key(&own);
        assert_eq!(opener.message(&sealed, Some(&wrapped), &[]), text);
        assert_eq!(opener.message(&sealed, None, &[kept.clone(), own]), text);
        assert_eq!(opener.message(&sealed, None, &[kept]), Opened::NoKey);
        let other = public.wrap_key(&AesKey::generate());
        assert_eq!(opener.message(&sealed, Some(&other), &[]), Opened::Altered);
    }

    #[test]
    fn a_record_opens_by_either_stored_key_or_a_kept_one() {
        let (opener, public) = opener();
        let key = AesKey::generate();
        let sealed = crypto::seal(&key, b"hi");
        let text = || Opened::Text("hi".into(), key.clone());
        let mine = || Some(public.wrap_key(&key));
        let (_, stranger) = self::opener();
        let theirs = || Some(stranger.wrap_key(&key));

        let sent = record(1, 2, &sealed, [theirs(), mine()]);
        assert_eq!(opener.record(&sent, 1, &[]), text());
        let received = record(2, 1, &sealed, [mine(), theirs()]);
        assert_eq!(opener.record(&received, 1, &[]), text());
        let lost = record(1, 2, &sealed, [theirs(), None]);
        assert_eq!(opener.record(&lost, 1, &[]), Opened::NoKey);
        assert_eq!(opener.record(&lost, 1, std::slice::from_ref(&key)), text());
        let large = crypto::seal(&key, "x".repeat(UNWRAPPING_BYTES).as_bytes());
        for from_key in [mine(), theirs(), Some(public.wrap_key(&AesKey::generate()))] {
            let large = record(2, 1, &large, [from_key, None]);
            let opened = opener.record(&large, 1, &[AesKey::generate(), key.clone()]);
            assert!(matches!(opened, Opened::Text(..)), "{opened:?}");
        }
        let bent = record(2, 1, "AAAA", [mine(), None]);
        assert_eq!(opener.record(&bent, 1, &[]), Opened::Altered);
        assert_eq!(Opened::Altered.shown(), "[解密失败]");
        assert_eq!(Opened::NoKey.shown(), "[无法解密消息]");
    }

    #[test]
    fn the_larger_a_text_the_fewer_keys_are_tried_on_it_but_always_some() {
        let mib = 1024 * 1024;
        let check = |size, kept, expected| assert_eq!(tried(size, kept), expected);
        check(0, 1_000, 1_000);
        check(1_000, 1_000, 1_000);
        check(mib, 1_000, 64);
        check(9 * mib, 1_000, 7);
        check(1_000 * mib, 1_000, LEAST_TRIED);
        check(1_000 * mib, 1, 1);
    }
}
