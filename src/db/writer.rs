//! The one writer of the SQLite file: group commit.
//!
//! Callers submit pieces of work. The writer opens a transaction, runs whatever is queued, each
//! piece that may fail in a savepoint of its own so that its failure undoes only itself, commits
//! with a sync, and only then answers all of them. Under load one sync carries hundreds of sends;
//! alone, a send waits for its own. Nothing is ever answered that is not on disk.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use tokio::sync::oneshot;

use super::boundary::{BEGIN, Boundary, COMMIT, RELEASE, SAVEPOINT, UNDO, execute};
use super::checkpoints::Checkpoints;
use super::{Conn, Undo, sqlite};
use crate::error::{Error, Result};
use crate::model::Instant;

/// More would let one commit take long enough to be felt by those who wait for it.
const MOST_PER_COMMIT: usize = 512;

/// Runs the work; hands back what is to be done once the commit is known, and whether the
/// transaction is still there.
type Job = Box<dyn FnOnce(&mut Conn) -> (Ending, Transaction) + Send>;
/// Told whether the commit succeeded, answers the caller.
type Ending = Box<dyn FnOnce(bool) + Send>;

/// SQLite ends a transaction by itself when the disk is full or fails in the middle of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transaction {
    Open,
    Gone,
}

/// How a batch ended.
enum Batch {
    Committed,
    /// As if it had never been.
    Undone,
    /// The sync failed: the file may or may not hold it. Only a restart, which reads the file anew,
    /// can tell.
    Doubtful,
}

/// What the writer has done since the start.
#[derive(Debug, Default)]
pub struct WriterFigures {
    /// Commits that succeeded.
    pub commits: AtomicU64,
    /// Pieces of work in them; divided by `commits`, the batch size.
    pub jobs: AtomicU64,
    /// Pieces of work that wait now.
    pub waiting: AtomicU64,
    /// When a batch last could not be written, in microseconds since 1970; 0 for never.
    pub undone_at: AtomicI64,
}

/// The way to the writer. Cheap to clone.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    /// Emptied at the end, which ends the thread once the queue is drained.
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    figures: Arc<WriterFigures>,
    failed: Arc<AtomicBool>,
}

/// Starts the thread that owns `connection` to the database at `path`.
pub(super) fn start(connection: SqliteConnection, path: &Path, capacity: usize) -> Result<Queue> {
    let (sender, receiver) = sync_channel(capacity);
    let figures = Arc::new(WriterFigures::default());
    let failed = Arc::new(AtomicBool::new(false));
    let checkpoints = Checkpoints::start(path, failed.clone())?;
    let (its_figures, its_failed) = (figures.clone(), failed.clone());
    let thread = std::thread::Builder::new()
        .name("writer".into())
        .spawn(move || {
            run(
                Conn::Sqlite(connection),
                checkpoints,
                &receiver,
                &its_figures,
                &its_failed,
            );
        })?;
    Ok(Queue(Arc::new(Shared {
        jobs: Mutex::new(Some(sender)),
        thread: Mutex::new(Some(thread)),
        figures,
        failed,
    })))
}

impl Queue {
    /// See [`super::Db::write_undoing`].
    pub(super) async fn write<T, W, A>(&self, undo: Undo, work: W, after: A) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let (outcome, transaction) = match undo {
                Undo::Work => in_savepoint(connection, work),
                Undo::Batch => without_savepoint(connection, work),
            };
            let ending: Ending = Box::new(move |is_committed| {
                let outcome = if is_committed {
                    outcome
                } else {
                    outcome.and(Err(Error::ReadOnly))
                };
                match &outcome {
                    Ok(value) => after(value),
                    // What it holds is let go before the caller hears, as it is on success.
                    Err(_) => drop(after),
                }
                // A caller that has gone needs no answer.
                let _ = answer.send(outcome);
            });
            (ending, transaction)
        });
        self.submit(job)?;
        answered.await.unwrap_or(Err(Error::ReadOnly))
    }

    fn submit(&self, job: Job) -> Result<()> {
        if self.0.failed.load(Ordering::Acquire) {
            return Err(Error::ReadOnly);
        }
        let jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = jobs.as_ref().ok_or(Error::ReadOnly)?;
        self.0.figures.waiting.fetch_add(1, Ordering::Relaxed);
        sender.try_send(job).map_err(|refused| {
            self.0.figures.waiting.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => Error::BUSY,
                TrySendError::Disconnected(_) => Error::ReadOnly,
            }
        })
    }

    pub(super) fn figures(&self) -> &WriterFigures {
        &self.0.figures
    }

    /// Ends the thread once it has drained the queue.
    pub(super) fn close(&self) {
        self.0
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let thread = self
            .0
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer had stopped");
        }
    }
}

/// The thread: until every sender is gone, batch after batch.
fn run(
    mut connection: Conn,
    mut checkpoints: Checkpoints,
    jobs: &Receiver<Job>,
    figures: &WriterFigures,
    failed: &AtomicBool,
) {
    while let Ok(first) = jobs.recv() {
        if failed.load(Ordering::Acquire) {
            // Whoever waits for a dropped job is told that the store takes no writes.
            figures.waiting.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let mut endings = Vec::new();
        let batch = commit(&mut connection, first, jobs, &mut endings);
        let count = endings.len() as u64;
        figures.waiting.fetch_sub(count, Ordering::Relaxed);
        match batch {
            Batch::Committed => {
                figures.commits.fetch_add(1, Ordering::Relaxed);
                figures.jobs.fetch_add(count, Ordering::Relaxed);
            }
            Batch::Undone => figures.undone_at.store(Instant::now().0, Ordering::Release),
            Batch::Doubtful => failed.store(true, Ordering::Release),
        }
        for ending in endings {
            ending(matches!(batch, Batch::Committed));
        }
        if let (Batch::Committed, Conn::Sqlite(inner)) = (batch, &mut connection) {
            checkpoints.after_commit(inner);
        }
    }
    checkpoints.stop();
    if failed.load(Ordering::Acquire) {
        sqlite::leave_open(connection);
    } else if let Err(cause) = sqlite::close(connection) {
        tracing::warn!(%cause, "the last checkpoint failed; the log beside the database keeps all");
    }
}

/// One transaction over `first` and whatever else is queued.
fn commit(
    connection: &mut Conn,
    first: Job,
    jobs: &Receiver<Job>,
    endings: &mut Vec<Ending>,
) -> Batch {
    if let Err(cause) = execute(connection, Boundary::<BEGIN>) {
        tracing::error!(%cause, "no transaction could be opened");
        endings.push(Box::new(move |_| drop(first)));
        return Batch::Undone;
    }
    let mut next = Some(first);
    while let Some(job) = next {
        let (ending, transaction) = job(connection);
        endings.push(ending);
        if transaction == Transaction::Gone {
            // Fails if SQLite has rolled back by itself, which is as good.
            let _ = connection.batch_execute("ROLLBACK");
            return Batch::Undone;
        }
        next = match endings.len() {
            MOST_PER_COMMIT => None,
            _ => jobs.try_recv().ok(),
        };
    }
    let Err(cause) = execute(connection, Boundary::<COMMIT>) else {
        return Batch::Committed;
    };
    tracing::error!(%cause, "a commit failed; nothing in it was acknowledged");
    // Fails if SQLite has rolled back by itself, which is as good.
    let _ = connection.batch_execute("ROLLBACK");
    match Error::from(cause) {
        Error::ReadOnly => Batch::Undone,
        _ => Batch::Doubtful,
    }
}

/// Runs `work`; if it fails, what it wrote is undone.
fn in_savepoint<T>(
    connection: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T>,
) -> (Result<T>, Transaction) {
    if let Err(cause) = execute(connection, Boundary::<SAVEPOINT>) {
        return (Err(cause.into()), Transaction::Open);
    }
    let outcome = work(connection);
    let undone = match &outcome {
        Ok(_) => Ok(()),
        Err(_) => execute(connection, Boundary::<UNDO>),
    };
    let released = undone.and_then(|()| execute(connection, Boundary::<RELEASE>));
    match (outcome, released) {
        // What had no room for this has none for the others.
        (Err(Error::ReadOnly), _) => (Err(Error::ReadOnly), Transaction::Gone),
        (outcome, Ok(())) => (outcome, Transaction::Open),
        (Ok(_), Err(cause)) => (Err(cause.into()), Transaction::Gone),
        (Err(cause), Err(_)) => {
            tracing::error!(%cause, "a write failed and took its whole batch with it");
            (Err(Error::ReadOnly), Transaction::Gone)
        }
    }
}

/// Runs `work`; if it fails, nobody knows what it wrote, so the whole batch has to go.
fn without_savepoint<T>(
    connection: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T>,
) -> (Result<T>, Transaction) {
    match work(connection) {
        Ok(value) => (Ok(value), Transaction::Open),
        Err(cause) => {
            tracing::error!(%cause, "a write failed and took its whole batch with it");
            (Err(Error::ReadOnly), Transaction::Gone)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcomes = Arc<Mutex<Vec<bool>>>;

    fn job(undo: Undo, sql: &'static str, outcomes: &Outcomes) -> Job {
        let outcomes = outcomes.clone();
        Box::new(move |connection| {
            let work = |connection: &mut Conn| {
                connection.batch_execute("INSERT INTO notes VALUES ('half')")?;
                Ok(connection.batch_execute(sql)?)
            };
            let (outcome, transaction) = match undo {
                Undo::Work => in_savepoint(connection, work),
                Undo::Batch => without_savepoint(connection, work),
            };
            let told = move |is_committed| {
                let mut outcomes = outcomes.lock().expect("no test panics with it");
                outcomes.push(is_committed && outcome.is_ok());
            };
            (Box::new(told), transaction)
        })
    }

    /// Runs a good piece of work, one that fails half-way, and a good one; who was told of
    /// success, and how many rows there are then.
    fn batch_with_a_failure(undo: Undo) -> (Vec<bool>, usize) {
        let mut connection = SqliteConnection::establish(":memory:").expect("memory");
        connection
            .batch_execute("CREATE TABLE notes (word TEXT)")
            .expect("a table");
        let mut connection = Conn::Sqlite(connection);
        let outcomes = Outcomes::default();
        let (sender, jobs) = sync_channel(3);
        const WHOLE: &str = "INSERT INTO notes VALUES ('whole')";
        for sql in [WHOLE, "INSERT INTO nowhere VALUES (1)", WHOLE] {
            sender.send(job(undo, sql, &outcomes)).expect("room for it");
        }
        while let Ok(first) = jobs.try_recv() {
            let mut endings = Vec::new();
            let batch = commit(&mut connection, first, &jobs, &mut endings);
            for ending in endings {
                ending(matches!(batch, Batch::Committed));
            }
        }
        let rows = diesel::sql_query("DELETE FROM notes").execute(&mut connection);
        let told = outcomes.lock().expect("no test panics with it").clone();
        (told, rows.expect("the table is there"))
    }

    #[test]
    fn guarded_work_that_fails_undoes_only_itself() {
        assert_eq!(
            batch_with_a_failure(Undo::Work),
            (vec![true, false, true], 4)
        );
    }

    #[test]
    fn unguarded_work_that_fails_undoes_its_batch_and_the_next_one_goes_on() {
        assert_eq!(
            batch_with_a_failure(Undo::Batch),
            (vec![false, false, true], 2)
        );
    }
}
