//! How a subscription ends: by the hub, or when the time of its login is up.

use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::End;
use crate::model::{Instant, Session};

pub(super) struct Ending {
    pub(super) why: OnceLock<End>,
    pub(super) signal: CancellationToken,
    /// When the login is over, in microseconds since 1970.
    expires_at: AtomicI64,
}

impl Ending {
    /// Of what depends on a login, or on none.
    pub(super) fn new(session: Option<Session>) -> Self {
        let expires_at = session.map_or(i64::MAX, |session| session.expires_at.0);
        Ending {
            why: OnceLock::new(),
            signal: CancellationToken::new(),
            expires_at: AtomicI64::new(expires_at),
        }
    }

    pub(super) fn end(&self, why: End) {
        // The first reason stays.
        let _ = self.why.set(why);
        self.signal.cancel();
    }

    /// Lets the time be up at another instant, which is never an earlier one.
    pub(super) fn put_off(&self, until: Instant) {
        self.expires_at.store(until.0, Ordering::Relaxed);
    }

    pub(super) fn is_time_up(&self) -> bool {
        self.rest().is_zero()
    }

    /// How long until the time is up.
    fn rest(&self) -> Duration {
        let expires_at = self.expires_at.load(Ordering::Relaxed);
        let micros = expires_at.saturating_sub(Instant::now().0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

/// Waits for the end of a login's time.
pub(super) struct Expiry {
    ending: Arc<Ending>,
    /// Until when the time was up when one last looked; nothing where there is no login.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Expiry {
    pub(super) fn new(session: Option<Session>, ending: Arc<Ending>) -> Self {
        let sleep = session.map(|_| Box::pin(sleep(ending.rest())));
        Expiry { ending, sleep }
    }

    /// Resolves when the time is up, again and again. It may have been put off meanwhile.
    pub(super) async fn passed(&mut self) {
        let Some(sleep) = &mut self.sleep else {
            return std::future::pending().await;
        };
        loop {
            sleep.as_mut().await;
            let rest = self.ending.rest();
            if rest.is_zero() {
                return;
            }
            sleep.as_mut().reset(tokio::time::Instant::now() + rest);
        }
    }
}
