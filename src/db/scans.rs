//! Turns at scanning: how many scan at once, and how many wait for it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};

/// How long a scan waits for its turn.
const WITHIN: Duration = Duration::from_secs(2);

/// Each that waits holds a thread, of which the runtime has 512.
const MOST_WAITING: usize = 64;

/// Who scans, and who waits for it.
pub(super) struct Scans {
    most: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    scanning: usize,
    waiting: usize,
}

/// A turn, until it is dropped.
pub(super) struct Turn<'a>(&'a Scans);

impl Scans {
    /// Lets `most` scan at once.
    pub(super) fn new(most: usize) -> Scans {
        Scans {
            most,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits for a turn, on this thread: with all of them waiting, the runtime's own timers stand
    /// still.
    ///
    /// Errors: [`Error::Busy`] if it has not come within [`WITHIN`], or too many wait already.
    pub(super) fn turn(&self) -> Result<Turn<'_>> {
        let mut state = self.lock();
        if state.scanning >= self.most {
            if state.waiting >= MOST_WAITING {
                return Err(Error::BUSY);
            }
            state.waiting += 1;
            let is_full = |state: &mut State| state.scanning >= self.most;
            let waited = self.freed.wait_timeout_while(state, WITHIN, is_full);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
            if state.scanning >= self.most {
                return Err(Error::BUSY);
            }
        }
        state.scanning += 1;
        Ok(Turn(self))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().scanning -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{RwLock, mpsc};

    use super::*;
    use crate::db::{Db, Extent, Location, Settings};

    #[test]
    fn whoever_waits_has_the_turn_once_it_is_free() {
        let scans = Scans::new(1);
        let first = scans.turn().expect("it is free");
        std::thread::scope(|scope| {
            let second = scope.spawn(|| scans.turn().is_ok());
            while scans.lock().waiting == 0 {
                std::thread::yield_now();
            }
            drop(first);
            assert!(second.join().expect("it does not panic"));
        });
        assert!(scans.turn().is_ok());
    }

    #[test]
    fn where_too_many_wait_the_next_is_refused_at_once() {
        let scans = Scans::new(1);
        let _first = scans.turn().expect("it is free");
        scans.lock().waiting = MOST_WAITING;
        assert!(matches!(scans.turn(), Err(Error::Busy { .. })));
    }

    #[test]
    fn however_many_scan_there_is_a_connection_left_to_read_with() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let settings = Settings {
            location: Location::File(home.path().join("sealpost.db")),
            readers: 1,
            queue_capacity: 1,
        };
        let db = Db::open(&settings).expect("it opens");
        let (scanning, scans) = mpsc::channel();
        let over = RwLock::new(());
        std::thread::scope(|scope| {
            let _not_yet = over.write();
            for extent in [Extent::Own, Extent::All] {
                for _ in 0..db.own_scans.most {
                    let (db, over, scanning) = (&db, &over, scanning.clone());
                    scope.spawn(move || {
                        db.scan(extent, |_| {
                            scanning.send(()).expect("somebody listens");
                            drop(over.read());
                            Ok(())
                        })
                    });
                }
            }
            for _ in 0..2 * db.own_scans.most {
                let scan = scans.recv_timeout(Duration::from_secs(60));
                scan.expect("each scan has a connection");
            }
            assert!(db.read(|_| Ok(())).is_ok());
        });
        db.close();
    }
}
