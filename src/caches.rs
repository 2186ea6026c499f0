//! Small memories of rows that are asked for with each request. It knows nothing of what changes
//! them: writers forget what they change.

use std::collections::HashMap;
use std::hash::Hash;

use quick_cache::sync::Cache;

use crate::error::Result;
use crate::model::{Instant, MessageId, Name, SessionId, UserId};

/// What is remembered: rows that hardly ever change.
pub(crate) struct Caches {
    /// Ids by username.
    pub(crate) ids: Cache<String, UserId>,
    /// Usernames by id.
    pub(crate) names: Cache<UserId, Name>,
    /// Live sessions.
    pub(crate) sessions: Cache<SessionId, (UserId, Instant)>,
    /// Pairs known to be in `correspondents`.
    pub(crate) correspondents: Cache<(UserId, UserId), ()>,
    /// How many messages a pair has exchanged, up to and including one; a deletion forgets it.
    pub(crate) totals: Cache<i64, (i64, MessageId)>,
    /// Messages known to be read; none becomes unread again.
    pub(crate) read: Cache<MessageId, ()>,
}

impl Caches {
    /// Each remembers so many; with 0 nothing is remembered.
    pub(crate) fn of(entries: usize) -> Caches {
        Caches {
            ids: Cache::new(entries),
            names: Cache::new(entries),
            sessions: Cache::new(entries),
            correspondents: Cache::new(entries),
            totals: Cache::new(entries),
            read: Cache::new(entries),
        }
    }
}

/// Looks something up and remembers it in `cache`; as [`remembered_all`].
pub(crate) fn remembered<K, V>(
    cache: &Cache<K, V>,
    key: K,
    look_up: impl Fn() -> Result<Option<V>>,
) -> Result<Option<V>>
where
    K: Clone + Eq + Hash,
    V: Clone + PartialEq,
{
    let look_up = |keys: &[K]| Ok(keys.iter().cloned().zip(look_up()?).collect());
    let found = remembered_all(cache, &[key], look_up)?;
    Ok(found.into_values().next())
}

/// Looks several things up and remembers in `cache` what there is, unless nothing is remembered here.
///
/// A change that was made between look-up and remembering would be missed, so all is looked up once
/// more after it has been remembered. What is another then, or cannot be looked up, is forgotten.
pub(crate) fn remembered_all<K, V>(
    cache: &Cache<K, V>,
    keys: &[K],
    mut look_up: impl FnMut(&[K]) -> Result<HashMap<K, V>>,
) -> Result<HashMap<K, V>>
where
    K: Clone + Eq + Hash,
    V: Clone + PartialEq,
{
    let found = look_up(keys)?;
    if found.is_empty() || cache.capacity() == 0 {
        return Ok(found);
    }
    for (key, value) in &found {
        cache.insert(key.clone(), value.clone());
    }
    let found_again = look_up(keys);
    for (key, value) in &found {
        let again = found_again.as_ref().ok().and_then(|again| again.get(key));
        if again != Some(value) {
            cache.remove(key);
        }
    }
    found_again
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// What is answered, and what is remembered, where two looks at one thing find this.
    fn two_looks(
        first: Option<i64>,
        second: Result<Option<i64>>,
    ) -> (Result<Option<i64>>, Option<i64>) {
        let cache = Cache::new(10);
        let looks = std::cell::RefCell::new(vec![second, Ok(first)]);
        let look_up = || looks.borrow_mut().pop().expect("at most two looks");
        let answer = remembered(&cache, "key", look_up);
        (answer, cache.get("key"))
    }

    #[test]
    fn only_what_was_found_twice_is_remembered() {
        for (first, second, kept) in [
            (Some(1), Some(1), Some(1)),
            (Some(1), Some(2), None),
            (Some(1), None, None),
        ] {
            let (answer, remembered) = two_looks(first, Ok(second));
            assert_eq!(answer.expect("it is looked up"), second);
            assert_eq!(remembered, kept, "{first:?}, then {second:?}");
        }
        let (answer, remembered) = two_looks(Some(1), Err(Error::BUSY));
        assert!(answer.is_err());
        assert_eq!(remembered, None, "it may have changed in between");
    }
}
