//! How often somebody may fail to log in: a bucket of failures for each key, refilled over time.
//!
//! Only failures count, so that somebody who knows the password is never slowed down by own logins.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Past this many keys, those with a full bucket are forgotten.
const MOST_KEYS: usize = 100_000;

/// Buckets of failures by key.
pub(crate) struct Throttle<K> {
    burst: u32,
    refill: Duration,
    /// For each key, when its bucket will be full again. A full bucket needs no entry.
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Hash + Eq> Throttle<K> {
    /// `burst` failures at once, then one more each `refill`.
    pub(crate) fn new(burst: u32, refill: Duration) -> Self {
        Throttle {
            burst,
            refill,
            full_at: Mutex::default(),
        }
    }

    /// Refuses a key whose bucket is empty.
    pub(crate) fn check(&self, key: &K) -> Result<()> {
        let full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(full_at) = full_at.get(key) else {
            return Ok(());
        };
        let missing = full_at.saturating_duration_since(Instant::now());
        let wait = (missing + self.refill).saturating_sub(self.refill * self.burst);
        if wait.is_zero() {
            return Ok(());
        }
        Err(Error::TooManyAttempts {
            retry_after_secs: wait.as_secs() + 1,
        })
    }

    /// Takes one failure out of a key's bucket.
    pub(crate) fn note_failure(&self, key: K) {
        let now = Instant::now();
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= MOST_KEYS {
            full_at.retain(|_, instant| *instant > now);
        }
        let entry = full_at.entry(key).or_insert(now);
        *entry = (*entry).max(now) + self.refill;
    }

    /// Fills a key's bucket.
    pub(crate) fn forgive(&self, key: &K) {
        self.full_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_refused_after_its_burst_and_others_are_not() {
        let throttle = Throttle::new(3, Duration::from_secs(60));
        for _ in 0..3 {
            assert!(throttle.check(&"a").is_ok());
            throttle.note_failure("a");
        }
        assert!(matches!(
            throttle.check(&"a"),
            Err(Error::TooManyAttempts {
                retry_after_secs: 1..=60
            })
        ));
        assert!(throttle.check(&"b").is_ok());
        throttle.forgive(&"a");
        assert!(throttle.check(&"a").is_ok());
    }
}
