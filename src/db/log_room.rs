//! Room in the write-ahead log, ahead of what is written.
//!
//! To sync what was written behind the end of a file takes about twice as long as to sync what was
//! written over: the file's new length and the new blocks have to come to the disk too. So the log
//! is lengthened with zeros before it is needed. SQLite reads them as its end, since no part of a
//! log has zeros in place of its salt (<https://sqlite.org/fileformat2.html#walformat>).
//!
//! Its index is lengthened before it. SQLite does so only when a commit is in the log already. On a
//! disk that is full the log would have room, its index none, and whoever is told that nothing was
//! stored would find it stored after a restart.

use std::fs::File;
use std::io::{Result, Write};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use super::sqlite::with_suffix;

/// So much is synced at once. Whoever syncs the file meanwhile waits for it.
const PIECE: &[u8] = &[0; 256 << 10];

/// Room is made once less is left.
const LEAST_BYTES: u64 = 2 << 20;

/// How much room is made.
const MOST_BYTES: u64 = 4 << 20;

/// How much of the log has room in its index beyond what has room in the file: as much as may
/// be written until the next look.
const INDEXED_AHEAD_BYTES: u64 = 16 << 20;

/// A piece of the index, and how much of the log it has room for, at least
/// (<https://sqlite.org/walformat.html#wal_index_format>). The pages of ours have 2 KiB or more.
const INDEX_PIECE: &[u8] = &[0; 32 << 10];
const INDEXED_BY_PIECE: u64 = 4062 * (24 + 2048);

/// The log of a database, and its index.
pub(super) struct LogRoom {
    path: PathBuf,
    /// Never closed but by the end of the process: closing a file gives up every lock that the
    /// process has on it (fcntl(2)), also those of SQLite's connections.
    index: ManuallyDrop<File>,
}

impl LogRoom {
    /// The log of the database at `path`, which is open.
    pub(super) fn of(path: &Path) -> Result<LogRoom> {
        let index = File::options()
            .append(true)
            .open(with_suffix(path, "-shm"))?;
        Ok(LogRoom {
            path: with_suffix(path, "-wal"),
            index: ManuallyDrop::new(index),
        })
    }

    /// Lengthens the log, if it has little room after its first `written` bytes.
    ///
    /// The writer can go on meanwhile. What is opened to append is written where the file ends at
    /// that moment (open(2)), so that zeros never come over what somebody else has written.
    pub(super) fn make_room(&mut self, written: u64) -> Result<()> {
        let mut end = std::fs::metadata(&self.path)?.len();
        if end >= written + LEAST_BYTES {
            return Ok(());
        }
        self.make_room_in_index(written.max(end) + MOST_BYTES + INDEXED_AHEAD_BYTES)?;
        let mut log = File::options().append(true).open(&self.path)?;
        while end < written + MOST_BYTES {
            log.write_all(PIECE)?;
            log.sync_data()?;
            end += PIECE.len() as u64;
        }
        Ok(())
    }

    /// The index needs no sync: after a crash it is made anew.
    fn make_room_in_index(&mut self, log_bytes: u64) -> Result<()> {
        let wanted = log_bytes.div_ceil(INDEXED_BY_PIECE) * INDEX_PIECE.len() as u64;
        while self.index.metadata()?.len() < wanted {
            self.index.write_all(INDEX_PIECE)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use diesel::connection::SimpleConnection;
    use diesel::dsl::sql;
    use diesel::prelude::*;
    use diesel::sql_types::BigInt;

    use super::*;
    use crate::db::sqlite::open;

    /// A log with this in it, and an empty index, that belong to no database.
    fn log_with(directory: &Path, written: &str) -> LogRoom {
        let path = directory.join("any");
        std::fs::write(with_suffix(&path, "-wal"), written).expect("room for it");
        std::fs::write(with_suffix(&path, "-shm"), "").expect("room for it");
        LogRoom::of(&path).expect("both are there")
    }

    #[test]
    fn a_log_is_lengthened_with_zeros_once_little_room_is_left() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log_file = log_with(directory.path(), "written");
        log_file.make_room(7).expect("room for it");
        let path = log_file.path.clone();
        let log = std::fs::read(&path).expect("the log");
        assert!(log.starts_with(b"written"));
        assert!(log[7..].iter().all(|byte| *byte == 0));
        let length = log.len() as u64;
        assert!(
            (7 + MOST_BYTES..7 + MOST_BYTES + 2 * LEAST_BYTES).contains(&length),
            "{length}"
        );
        for (written, is_lengthened) in [
            (length - LEAST_BYTES, false),
            (length - LEAST_BYTES + 1, true),
        ] {
            log_file.make_room(written).expect("room for it");
            let now = path.metadata().expect("the log").len();
            assert_eq!(now > length, is_lengthened, "{written}");
        }
    }

    #[test]
    fn what_the_log_has_room_for_has_room_in_its_index() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = log_with(directory.path(), "");
        log.make_room(40 << 20).expect("room for it");
        let length = |path: &Path| path.metadata().expect("a file").len();
        let pieces = length(&with_suffix(&directory.path().join("any"), "-shm")) >> 15;
        assert!(pieces * INDEXED_BY_PIECE >= length(&log.path) + INDEXED_AHEAD_BYTES);
    }

    #[test]
    fn nothing_that_is_written_meanwhile_is_lost() {
        const LINE: usize = 3000;
        let directory = tempfile::tempdir().expect("a directory");
        let mut log_file = log_with(directory.path(), "");
        let path = log_file.path.clone();
        let log = File::options().write(true).open(&path).expect("a file");
        let lines = 20_000;
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for line in 0..lines {
                    let at = (line * LINE) as u64;
                    log.write_all_at(&[b'x'; LINE], at).expect("room for it");
                }
            });
            while !writer.is_finished() {
                // As if all of it were written: the end is always near.
                let length = path.metadata().expect("the log").len();
                log_file.make_room(length).expect("room for it");
            }
        });
        let log = std::fs::read(&path).expect("the log");
        let (written, room) = log.split_at(lines * LINE);
        assert!(written.iter().all(|byte| *byte == b'x'));
        assert!(room.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_log_with_room_is_read_to_its_end_after_a_crash() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name| directory.path().join(name);
        let name = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let mut writer = open(
            &name(&path("notes.db")),
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE notes (text TEXT);",
        )
        .expect("a database");
        for _ in 0..2 {
            let note = "INSERT INTO notes VALUES (hex(randomblob(5000)))";
            writer.batch_execute(note).expect("room for it");
            let mut log = LogRoom::of(&path("notes.db")).expect("both are there");
            let length = log.path.metadata().expect("the log").len();
            log.make_room(length).expect("room for it");
        }
        // What a kill would leave.
        for suffix in ["", "-wal"] {
            let [from, to] = ["notes.db", "found.db"].map(|name| with_suffix(&path(name), suffix));
            std::fs::copy(from, to).expect("room for it");
        }
        let mut found = open(&name(&path("found.db")), "").expect("a database");
        let count = diesel::select(sql::<BigInt>("(SELECT count(*) FROM notes)"));
        assert_eq!(count.get_result(&mut found), Ok(2));
    }
}
