//! Small memories of rows that are asked for with each request. It knows nothing of what changes
//! them: writers forget what they change.

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

/// Looks something up and remembers it in `cache`, unless nothing is remembered here.
///
/// A change that was made between look-up and remembering would be missed, so it is looked up once
/// more after it has been remembered.
pub(crate) fn remembered<K, V>(
    cache: &Cache<K, V>,
    key: K,
    look_up: impl Fn() -> Result<Option<V>>,
) -> Result<Option<V>>
where
    K: Clone + Eq + std::hash::Hash,
    V: Clone + PartialEq,
{
    let found = look_up()?;
    let Some(value) = found.clone().filter(|_| cache.capacity() > 0) else {
        return Ok(found);
    };
    cache.insert(key.clone(), value);
    let found_again = look_up()?;
    if found_again != found {
        cache.remove(&key);
    }
    Ok(found_again)
}
