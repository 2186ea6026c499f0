//! Waiting for what nothing announces.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before the test gives up; generous, for a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What `find` finds, as soon as it does; `None` if that takes longer than `patience`.
pub(crate) fn poll<T>(patience: Duration, mut find: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + patience;
    loop {
        let found = find();
        if found.is_some() || Instant::now() >= until {
            return found;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// What `find` finds, as soon as it does.
#[track_caller]
pub(crate) fn wait_for<T>(find: impl FnMut() -> Option<T>) -> T {
    poll(PATIENCE, find).expect("it comes in time")
}
