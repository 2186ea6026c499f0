//! The database: many readers, one writer, two back ends.
//!
//! [`Db::read`] lends a read connection for one short piece of work; [`Db::write`] hands a piece of
//! work to the writer and returns only once it is on disk. Apart from the logins that a restore
//! ends, and a write that only tests, it knows nothing of what is stored: the nouns bring their
//! queries with them.

mod boundary;
mod checkpoints;
mod copies;
mod log_file;
mod log_room;
mod lost_time;
mod migrations;
mod origin;
mod postgres;
mod scans;
mod sqlite;
mod writer;

pub use copies::{backup, check_is_backup, restore};
pub use origin::{Origin, check_is_writable, origin};
pub use postgres::server_origin;
pub(crate) use postgres::{Turns, take_turns};
pub use sqlite::integrity_problems;
pub(crate) use sqlite::last_inserted;
pub use writer::WriterFigures;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::model::Instant;
use scans::Scans;

pub use connection::Conn;

mod connection {
    #![allow(
        missing_docs,
        reason = "the derive makes public items that nobody can document"
    )]

    use diesel::prelude::*;

    /// One connection to either back end. Most queries run on it as they are.
    #[derive(diesel::MultiConnection)]
    pub enum Conn {
        /// Tried first, since SQLite would take any text for a file name.
        Postgres(PgConnection),
        /// The default.
        Sqlite(SqliteConnection),
    }
}

/// Runs the same typed query on whichever connection is inside: for what [`Conn`] itself
/// does not support (upserts, batches), and for the hottest queries, which this spares a layer.
macro_rules! on_inner {
    ($connection:expr, $inner:ident => $query:expr) => {
        match $connection {
            $crate::db::Conn::Sqlite($inner) => $query,
            $crate::db::Conn::Postgres($inner) => $query,
        }
    };
}
pub(crate) use on_inner;

/// Where the data is.
#[derive(Clone)]
pub enum Location {
    /// A SQLite file.
    File(PathBuf),
    /// A `postgres://` URL; holds a password, so it is never shown.
    Server(String),
}

/// How long a store that had no room for a write counts as not writable.
const NO_ROOM_SECS: i64 = 10;

/// What a scan goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What one user has: messages, rooms.
    Own,
    /// What everybody has.
    All,
}

/// What is undone when a piece of work fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// The work: it is guarded by a savepoint of its own.
    Work,
    /// Everything that would have been committed with it; all of that is answered with
    /// [`Error::ReadOnly`]. Spares the savepoint, for hot work that has nothing to fail of.
    Batch,
}

/// How the database is to be opened.
#[derive(Clone)]
pub struct Settings {
    /// Which database.
    pub location: Location,
    /// How many connections, at most: on SQLite to read by, beside those of the scans that take
    /// turns; on PostgreSQL to write by as well.
    pub readers: u32,
    /// How many writes may wait; more are refused with [`Error::Busy`].
    pub queue_capacity: usize,
}

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    readers: r2d2::Pool<Connector>,
    /// Of a queue of their own, so that nobody's letters wait behind searches.
    own_scans: Arc<Scans>,
    all_scans: Arc<Scans>,
    writer: Writer,
    location: Arc<Location>,
}

#[derive(Clone)]
enum Writer {
    /// One thread, one transaction for whatever is queued.
    Grouped(writer::Queue),
    /// The engine groups commits itself.
    Pooled {
        pool: r2d2::Pool<Connector>,
        /// As many places as writes may wait.
        places: Arc<Semaphore>,
    },
}

impl Db {
    /// Opens the database, brings its schema up to date and starts the writer.
    ///
    /// Errors: a database newer than this program or of another one, which stays as it was; one
    /// that cannot be opened.
    pub fn open(settings: &Settings) -> Result<Db> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let most = processors.div_ceil(2);
        let scans = || Arc::new(Scans::new(most));
        let readers = |manager, scanning| {
            r2d2::Pool::builder()
                .max_size(settings.readers + u32::try_from(scanning).unwrap_or(0))
                .min_idle(Some(1))
                .test_on_check_out(false)
                .connection_timeout(Duration::from_secs(5))
                .build(manager)
        };
        let (writer, readers) = match &settings.location {
            Location::File(path) => {
                let queue = sqlite::open_for_writing(path)
                    .and_then(|first| writer::start(first, path, settings.queue_capacity))
                    .map_err(|cause| sqlite::with_advice(path, cause))?;
                (
                    Writer::Grouped(queue),
                    // Those of one's own and those of everybody; whoever reads waits for neither.
                    readers(Connector::Reader(path.clone()), 2 * most)?,
                )
            }
            Location::Server(url) => {
                postgres::migrate(url)?;
                let pool = readers(Connector::Server(url.clone()), 0)?;
                let places = Arc::new(Semaphore::new(settings.queue_capacity));
                let writer = Writer::Pooled {
                    pool: pool.clone(),
                    places,
                };
                (writer, pool)
            }
        };
        Ok(Db {
            readers,
            own_scans: scans(),
            all_scans: scans(),
            writer,
            location: Arc::new(settings.location.clone()),
        })
    }

    /// Lends a read connection to `work`.
    ///
    /// On SQLite the work runs right here, since a page of a few rows costs less than a hop to
    /// another thread; work that scans belongs into [`Db::scan`]. On PostgreSQL it waits for the
    /// network, so the runtime is told.
    pub fn read<T>(&self, work: impl FnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        match *self.location {
            Location::File(_) => self.lend(work),
            Location::Server(_) => tokio::task::block_in_place(|| self.lend(work)),
        }
    }

    /// Like [`Db::read`], for work that takes the longer the more is stored: other tasks go on
    /// meanwhile. On SQLite such work takes turns, so that however much of it is asked for, there
    /// are processors left to the rest.
    ///
    /// Errors: [`Error::Busy`] if its turn does not come soon.
    pub fn scan<T>(&self, extent: Extent, work: impl FnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        let scans = match extent {
            Extent::Own => &self.own_scans,
            Extent::All => &self.all_scans,
        };
        tokio::task::block_in_place(|| {
            let _turn = match *self.location {
                Location::File(_) => Some(scans.turn()?),
                Location::Server(_) => None,
            };
            self.lend(work)
        })
    }

    fn lend<T>(&self, work: impl FnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        let mut connection = self.readers.get()?;
        let outcome = work(&mut connection);
        if let (Err(Error::Busy { .. }), Conn::Postgres(inner)) = (&outcome, &mut *connection) {
            postgres::notice_loss(inner);
        }
        outcome
    }

    /// Runs `work` in a transaction and returns its result once that is on disk.
    ///
    /// An error of the work undoes the work and is returned. Errors beyond those of the work:
    /// [`Error::Busy`] when too many writes wait, [`Error::ReadOnly`] when the commit failed,
    /// [`Error::InDoubt`] when PostgreSQL was lost before it had answered the commit.
    pub async fn write<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        self.write_then(work, |_| ()).await
    }

    /// Like [`Db::write`]; `after` is run once the work is on disk, before the caller hears of it.
    ///
    /// On SQLite it runs on the writer's own thread, so that what it publishes keeps the order of
    /// the commits and happens even if the caller is gone. It must be quick and must not write.
    pub async fn write_then<T, W, A>(&self, work: W, after: A) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        self.write_undoing(Undo::Work, work, after).await
    }

    /// Like [`Db::write_then`], and says what a failure undoes. PostgreSQL makes no difference:
    /// each work is a transaction there.
    pub async fn write_undoing<T, W, A>(&self, undo: Undo, work: W, after: A) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        match &self.writer {
            Writer::Grouped(queue) => queue.write(undo, work, after).await,
            Writer::Pooled { pool, places } => {
                let place = places
                    .clone()
                    .try_acquire_owned()
                    .map_err(|_| Error::BUSY)?;
                let pool = pool.clone();
                let job = move || {
                    let _place = place;
                    postgres::write(&mut *pool.get()?, work, after)
                };
                tokio::task::spawn_blocking(job).await?
            }
        }
    }

    /// Whether what follows writes, as [`Db::write_then`] has it, comes in the order of the commits.
    pub fn tells_in_order(&self) -> bool {
        matches!(self.writer, Writer::Grouped(_))
    }

    /// Whether a write would be taken now; makes one that changes nothing.
    ///
    /// False for some seconds after a write found no room: what is too full for a message may
    /// still hold the single page that is tried here.
    pub async fn is_writable(&self) -> bool {
        let had_no_room = self.writer_figures().is_some_and(|figures| {
            let undone_at = figures.undone_at.load(Ordering::Acquire);
            Instant(undone_at).plus_secs(NO_ROOM_SECS) > Instant::now()
        });
        !had_no_room && self.write(touch).await.is_ok()
    }

    /// The size of the database in bytes.
    pub fn size_bytes(&self) -> Result<u64> {
        match &*self.location {
            Location::File(path) => Ok(sqlite::size_bytes(path)?),
            Location::Server(_) => self.scan(Extent::All, postgres::size_bytes),
        }
    }

    /// What the writer has done so far; `None` on PostgreSQL.
    pub fn writer_figures(&self) -> Option<&WriterFigures> {
        match &self.writer {
            Writer::Grouped(queue) => Some(queue.figures()),
            Writer::Pooled { .. } => None,
        }
    }

    /// Takes no more writes, finishes those that wait, and puts everything into the one file.
    /// Blocks until that is done. On PostgreSQL there is nothing to do.
    pub fn close(&self) {
        if let Writer::Grouped(queue) = &self.writer {
            queue.close();
        }
    }
}

/// A write that changes nothing, yet has to go through: on SQLite a page to the disk, since a
/// statement that meets no row would pass on a full one.
fn touch(connection: &mut Conn) -> Result<()> {
    use crate::schema::sessions::dsl::{created_at, id, sessions};
    match connection {
        Conn::Sqlite(inner) => inner.batch_execute("PRAGMA user_version = 0")?,
        Conn::Postgres(inner) => {
            let nobodys = sessions.filter(id.eq(-1_i64));
            diesel::update(nobodys)
                .set(created_at.eq(0_i64))
                .execute(inner)?;
        }
    }
    Ok(())
}

/// Makes connections for the pools.
enum Connector {
    Reader(PathBuf),
    Server(String),
}

impl r2d2::ManageConnection for Connector {
    type Connection = Conn;
    type Error = diesel::ConnectionError;

    fn connect(&self) -> Result<Conn, Self::Error> {
        match self {
            Connector::Reader(path) => sqlite::open_for_reading(path).map(Conn::Sqlite),
            Connector::Server(url) => postgres::connect(url).map(Conn::Postgres),
        }
    }

    fn is_valid(&self, _: &mut Conn) -> Result<(), Self::Error> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Conn) -> bool {
        match connection {
            Conn::Sqlite(_) => std::thread::panicking(),
            Conn::Postgres(inner) => diesel::r2d2::R2D2Connection::is_broken(inner),
        }
    }
}

/// The database file inside a data directory; if that is a link, what it leads to, since SQLite
/// keeps its log beside that.
pub fn file_in(data_dir: &Path) -> PathBuf {
    let path = data_dir.join("sealpost.db");
    match path.read_link() {
        Ok(linked) => {
            let linked = data_dir.join(linked);
            linked.canonicalize().unwrap_or(linked)
        }
        Err(_) => path,
    }
}
