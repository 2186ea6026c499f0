//! A new socket of a user begins when what their older ones have read is stored.
//!
//! A client whose socket was cut compares what it had sent with the records, and sends again what
//! is not there. A frame that still waited for the database would be doubled.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::model::UserId;

/// Users share places, so that there are never more of them. To share one with somebody costs a new
/// socket some milliseconds.
const PLACES: i64 = 1_024;
/// How long a new socket waits. Clients give up after some ten seconds.
const WITHIN: Duration = Duration::from_secs(8);

/// Who stores a frame, and who opens a socket.
#[derive(Clone)]
pub(in crate::api) struct Turns(Arc<[RwLock<()>]>);

impl Default for Turns {
    fn default() -> Self {
        Turns((0..PLACES).map(|_| RwLock::default()).collect())
    }
}

impl Turns {
    /// To be held while a frame is stored. Frames do not wait for one another.
    pub(super) async fn store(&self, user: UserId) -> RwLockReadGuard<'_, ()> {
        self.place(user).read().await
    }

    /// Waits until the frames of a user that are being stored are.
    ///
    /// Errors: [`Error::Busy`] if that takes too long.
    pub(super) async fn begin(&self, user: UserId) -> Result<()> {
        let alone = timeout(WITHIN, self.place(user).write()).await;
        alone.map(drop).map_err(|_| Error::BUSY)
    }

    fn place(&self, user: UserId) -> &RwLock<()> {
        let place = usize::try_from(user.0.rem_euclid(PLACES));
        &self.0[place.expect("it is less than the places")]
    }
}
