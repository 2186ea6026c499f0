//! Waiting for what nothing announces.

use std::thread;
use std::time::{Duration, Instant};

use super::World;

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

impl World {
    /// Waits until the server counts one live connection of a channel.
    #[track_caller]
    pub(crate) fn wait_until_live(&self, channel: &str) {
        let live = format!("sealpost_live{{channel=\"{channel}\"}} 1\n");
        wait_for(|| {
            let metrics = self.get("/metrics", &[]).text;
            metrics.contains(&live).then_some(())
        });
    }
}
