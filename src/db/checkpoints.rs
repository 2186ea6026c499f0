//! Checkpoints: what is committed moves from the log into the database file.
//!
//! The log starts anew once all of it is in the file, which only the writer can see to. Copying
//! tens of thousands of pages would hold it up for as long as all that waits in its queue can feel.
//! So a thread of its own copies the bulk and syncs the file while the writer goes on, and the
//! writer is left with what was committed meanwhile. In between it makes [room](super::log_room) in the log.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use diesel::prelude::*;
use diesel::sql_types::Integer;

use super::log_room::LogRoom;
use super::sqlite;
use crate::error::{Error, Result};

/// So many pages (of 2 KiB) are copied at once. Rather many: a page that is changed by every other
/// commit is copied once for all of them.
const BULK_PAGES: i32 = 40_000;

/// A log of so many pages is the writer's own work: the thread does not keep up.
const MOST_PAGES: i32 = 96_000;

/// What a page takes in the log: a header, and itself.
const LOGGED_PAGE_BYTES: u64 = 24 + 2048;

/// How much the thread stands back for those that are waited for.
const NICENESS: i32 = 10;

/// The thread looks at the log after so many commits; under load each has some hundred pages.
const COMMITS_PER_LOOK: u32 = 16;

/// The writer's way to the thread that copies.
pub(super) struct Checkpoints {
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    commits: u32,
}

struct Shared {
    /// The bulk is copied: the rest is for the writer.
    is_prepared: AtomicBool,
    is_over: AtomicBool,
    /// Set for good when nothing more may be written before the next start.
    failed: Arc<AtomicBool>,
}

impl Shared {
    /// A checkpoint came to nothing. If it was for want of room, the next one tries again. Otherwise
    /// a sync may have failed, and the next one would pass though pages never came to the disk. The
    /// log still has them, and the next start reads it anew, as long as it does not start over.
    fn failed_with(&self, cause: &Error) {
        if matches!(cause, Error::ReadOnly) {
            tracing::warn!("no room for a checkpoint; the log grows");
            return;
        }
        tracing::error!(%cause, "a checkpoint failed; nothing more is written");
        self.failed.store(true, Ordering::Release);
    }
}

/// How far the log has been copied, in pages.
#[derive(QueryableByName)]
struct Progress {
    #[diesel(sql_type = Integer)]
    log: i32,
    #[diesel(sql_type = Integer)]
    checkpointed: i32,
}

impl Progress {
    fn is_bulk_left(&self) -> bool {
        self.log - self.checkpointed >= BULK_PAGES
    }

    /// Up to where the log is in use, in bytes; nothing if it starts anew with the next commit, or
    /// somebody else is at it.
    fn written(&self) -> Option<u64> {
        let pages = u64::try_from(self.log).ok()?;
        (self.log > self.checkpointed).then_some(pages * LOGGED_PAGE_BYTES)
    }
}

/// Looks, without copying anything.
fn look(connection: &mut SqliteConnection) -> QueryResult<Progress> {
    diesel::sql_query("PRAGMA wal_checkpoint(NOOP)").get_result(connection)
}

/// Copies what no reader needs to stay where it is, without waiting for anybody.
fn copy(connection: &mut SqliteConnection) -> QueryResult<Progress> {
    diesel::sql_query("PRAGMA wal_checkpoint(PASSIVE)").get_result(connection)
}

impl Checkpoints {
    /// Starts the thread, with a connection of its own to the database at `path`. It sets `failed`
    /// when the file cannot be synced.
    pub(super) fn start(path: &Path, failed: Arc<AtomicBool>) -> Result<Checkpoints> {
        let mut connection = sqlite::open_for_checkpoints(path)?;
        // Never closed but by the end of the process: closing a file gives up every lock that the
        // process has on it (fcntl(2)), also those of SQLite's connections.
        let file = ManuallyDrop::new(File::open(path)?);
        let mut log = LogRoom::of(path)?;
        let shared = Arc::new(Shared {
            is_prepared: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            failed,
        });
        let its_shared = shared.clone();
        let thread = std::thread::Builder::new()
            .name("checkpoints".into())
            .spawn(move || {
                // On Linux this is the niceness of this thread alone.
                let _ = rustix::process::setpriority_process(None, NICENESS);
                loop {
                    std::thread::park();
                    if its_shared.is_over.load(Ordering::Acquire) {
                        break;
                    }
                    let outcome = look_after(&mut connection, &file, &mut log, &its_shared);
                    if let Err(cause) = outcome {
                        its_shared.failed_with(&cause);
                    }
                }
            })?;
        Ok(Checkpoints {
            thread: Some(thread),
            shared,
            commits: 0,
        })
    }

    /// To be called by the writer after each commit: finishes what is prepared, or overdue.
    pub(super) fn after_commit(&mut self, connection: &mut SqliteConnection) {
        self.commits = (self.commits + 1) % COMMITS_PER_LOOK;
        let is_due = self.commits == 0;
        let is_overdue = is_due && look(connection).is_ok_and(|log| log.log >= MOST_PAGES);
        if is_overdue || self.shared.is_prepared.load(Ordering::Acquire) {
            // A reader can keep the log from starting anew; then the next commit tries again,
            // unless so much has gathered meanwhile that it is the thread's work once more.
            let is_done = match copy(connection) {
                Ok(progress) => progress.log < BULK_PAGES || progress.is_bulk_left(),
                Err(cause) => {
                    self.shared.failed_with(&cause.into());
                    true
                }
            };
            self.shared.is_prepared.store(!is_done, Ordering::Release);
        } else if let (true, Some(thread)) = (is_due, &self.thread) {
            thread.thread().unpark();
        }
    }

    /// Ends the thread, once it has finished what it is doing.
    pub(super) fn stop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the checkpoints had stopped");
            }
        }
    }
}

/// Copies the bulk, if there is one, or else sees to it that the log has room.
fn look_after(
    connection: &mut SqliteConnection,
    file: &File,
    log: &mut LogRoom,
    shared: &Shared,
) -> Result<()> {
    let before = look(connection)?;
    if before.is_bulk_left() {
        return prepare(connection, &before, file, shared);
    }
    if let Some(written) = before.written() {
        // Without room commits take longer, and that is all.
        let _ = log.make_room(written);
    }
    Ok(())
}

/// Copies the bulk and syncs the file, after which the writer can do the rest.
fn prepare(
    connection: &mut SqliteConnection,
    before: &Progress,
    file: &File,
    shared: &Shared,
) -> Result<()> {
    let after = copy(connection)?;
    // SQLite leaves the sync to whoever copies the last page.
    if after.checkpointed > before.checkpointed {
        file.sync_data()?;
    }
    // Where somebody else is at it there is nothing to see: both are -1.
    let is_prepared = after.log >= 0 && !after.is_bulk_left();
    shared.is_prepared.store(is_prepared, Ordering::Release);
    Ok(())
}
