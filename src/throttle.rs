//! How often somebody may fail to log in: a bucket of failures for each key, refilled over time.
//!
//! Only failures count, so that somebody who knows the password is never slowed down by own logins.
//! A try under way counts as one until it is over: else any number could be made at once. Whom
//! only that stands in the way of waits for its end.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::error::{Error, Result};

/// How long one waits for the end of other tries.
const PATIENCE: Duration = Duration::from_secs(2);

/// Past this many keys, those with a full bucket are forgotten.
const MOST_KEYS: usize = 100_000;

/// Buckets of failures by key.
pub(crate) struct Throttle<K> {
    burst: u32,
    refill: Duration,
    /// A full bucket without tries needs no entry.
    buckets: Mutex<HashMap<K, Bucket>>,
    /// A try has ended.
    ended: Notify,
}

struct Bucket {
    /// When it will be full again, if no try fails.
    full_at: Instant,
    /// How many tries are under way, each of which may fail.
    tries: u32,
}

/// A try under way. Dropped without a word it has not counted: nobody has learnt anything from it.
pub(crate) struct Try<'a, K: Hash + Eq> {
    throttle: &'a Throttle<K>,
    key: K,
    outcome: Outcome,
}

enum Outcome {
    None,
    Failure,
    Success,
}

impl<K: Hash + Eq + Clone> Throttle<K> {
    /// `burst` failures at once, then one more each `refill`.
    pub(crate) fn new(burst: u32, refill: Duration) -> Self {
        Throttle {
            burst,
            refill,
            buckets: Mutex::default(),
            ended: Notify::new(),
        }
    }

    /// Begins a try. Where the bucket would be empty if all tries under way failed, it waits for
    /// their end.
    ///
    /// Errors: [`Error::TooManyAttempts`] for a key whose bucket is empty, [`Error::Busy`] when
    /// the others take long.
    pub(crate) async fn begin(&self, key: K) -> Result<Try<'_, K>> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            // From now on no end is missed.
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            if let Some(begun) = self.begin_now(key.clone())? {
                return Ok(begun);
            }
            if timeout_at(deadline, ended).await.is_err() {
                return Err(Error::Busy {
                    retry_after_secs: 2,
                });
            }
        }
    }

    /// Like [`Throttle::begin`]; `None` in place of waiting.
    fn begin_now(&self, key: K) -> Result<Option<Try<'_, K>>> {
        let now = Instant::now();
        let mut buckets = self.buckets();
        if buckets.len() >= MOST_KEYS {
            buckets.retain(|_, bucket| bucket.full_at > now || bucket.tries > 0);
        }
        let bucket = buckets.entry(key.clone()).or_insert(Bucket {
            full_at: now,
            tries: 0,
        });
        let missing = bucket.full_at.saturating_duration_since(now);
        let wait = (missing + self.refill).saturating_sub(self.refill * self.burst);
        if !wait.is_zero() {
            return Err(Error::TooManyAttempts {
                retry_after_secs: wait.as_secs() + 1,
            });
        }
        if missing + self.refill * (bucket.tries + 1) > self.refill * self.burst {
            return Ok(None);
        }
        bucket.tries += 1;
        Ok(Some(Try {
            throttle: self,
            key,
            outcome: Outcome::None,
        }))
    }
}

impl<K: Hash + Eq> Throttle<K> {
    fn buckets(&self) -> MutexGuard<'_, HashMap<K, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Try<'_, K> {
    /// Takes one failure out of the bucket.
    pub(crate) fn fail(mut self) {
        self.outcome = Outcome::Failure;
    }

    /// Fills the bucket.
    pub(crate) fn succeed(mut self) {
        self.outcome = Outcome::Success;
    }
}

impl<K: Hash + Eq> Drop for Try<'_, K> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut buckets = self.throttle.buckets();
        let Some(bucket) = buckets.get_mut(&self.key) else {
            return;
        };
        bucket.tries -= 1;
        match self.outcome {
            Outcome::None => {}
            Outcome::Failure => bucket.full_at = bucket.full_at.max(now) + self.throttle.refill,
            Outcome::Success => bucket.full_at = now,
        }
        if bucket.tries == 0 && bucket.full_at <= now {
            buckets.remove(&self.key);
        }
        drop(buckets);
        self.throttle.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin<'a>(throttle: &'a Throttle<&'static str>, key: &'static str) -> Try<'a, &'static str> {
        let begun = throttle.begin_now(key).expect("the bucket is not empty");
        begun.expect("no try stands in the way")
    }

    fn assert_refused(throttle: &Throttle<&'static str>, key: &'static str) {
        assert!(matches!(
            throttle.begin_now(key).err(),
            Some(Error::TooManyAttempts {
                retry_after_secs: 1..=61
            })
        ));
    }

    fn assert_waits(throttle: &Throttle<&'static str>, key: &'static str) {
        assert!(matches!(throttle.begin_now(key), Ok(None)));
    }

    #[test]
    fn a_key_is_refused_after_its_burst_and_others_are_not() {
        let throttle = Throttle::new(3, Duration::from_secs(60));
        for _ in 0..2 {
            begin(&throttle, "a").fail();
        }
        let last = begin(&throttle, "a");
        assert_waits(&throttle, "a");
        last.fail();
        assert_refused(&throttle, "a");
        begin(&throttle, "b").fail();
    }

    #[test]
    fn a_success_fills_the_bucket_and_a_try_without_outcome_costs_nothing() {
        let throttle = Throttle::new(2, Duration::from_secs(60));
        begin(&throttle, "a").fail();
        let right = begin(&throttle, "a");
        assert_waits(&throttle, "a");
        right.succeed();
        for _ in 0..3 {
            drop(begin(&throttle, "a"));
        }
        assert!(throttle.buckets().is_empty());
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_a_try_ends() {
        let throttle = Throttle::new(1, Duration::from_secs(60));
        let first = begin(&throttle, "a");
        let (second, ()) = tokio::join!(throttle.begin("a"), async { first.succeed() });
        second.expect("the bucket is full again").fail();
        assert_refused(&throttle, "a");
    }
}
