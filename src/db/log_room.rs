//! Room in the write-ahead log, ahead of what is written.
//!
//! To sync what was written behind the end of a file takes about twice as long as to sync what was
//! written over: the file's new length and the new blocks have to come to the disk too. So the log
//! is lengthened with zeros before it is needed. SQLite reads them as its end, since no part of a
//! log has zeros in place of its salt (<https://sqlite.org/fileformat2.html#walformat>).

use std::fs::File;
use std::io::{Result, Write};
use std::path::Path;

/// So much is synced at once. Whoever syncs the file meanwhile waits for it.
const PIECE: &[u8] = &[0; 256 << 10];

/// Room is made once less is left, in bytes.
const LEAST: u64 = 2 << 20;

/// How much room is made, in bytes.
const MOST: u64 = 4 << 20;

/// Lengthens the log at `path`, if it has little room after its first `written` bytes.
///
/// The writer can go on meanwhile. What is opened to append is written where the file ends at that
/// moment (open(2)), so that zeros never come over what somebody else has written.
pub(super) fn make(path: &Path, written: u64) -> Result<()> {
    let mut end = std::fs::metadata(path)?.len();
    if end >= written + LEAST {
        return Ok(());
    }
    let mut log = File::options().append(true).open(path)?;
    while end < written + MOST {
        log.write_all(PIECE)?;
        log.sync_data()?;
        end += PIECE.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use diesel::connection::SimpleConnection;
    use diesel::dsl::sql;
    use diesel::prelude::*;
    use diesel::sql_types::BigInt;

    use super::*;
    use crate::db::sqlite::{open, with_suffix};

    #[test]
    fn a_log_is_lengthened_with_zeros_once_little_room_is_left() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        std::fs::write(&path, "written").expect("room for it");
        make(&path, 7).expect("room for it");
        let log = std::fs::read(&path).expect("the log");
        assert!(log.starts_with(b"written"));
        assert!(log[7..].iter().all(|byte| *byte == 0));
        let length = log.len() as u64;
        assert!(
            (7 + MOST..7 + MOST + 2 * LEAST).contains(&length),
            "{length}"
        );
        for (written, is_lengthened) in [(length - LEAST, false), (length - LEAST + 1, true)] {
            make(&path, written).expect("room for it");
            let now = path.metadata().expect("the log").len();
            assert_eq!(now > length, is_lengthened, "{written}");
        }
    }

    #[test]
    fn nothing_that_is_written_meanwhile_is_lost() {
        const LINE: usize = 3000;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let log = File::create(&path).expect("a file");
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
                make(&path, path.metadata().expect("the log").len()).expect("room for it");
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
            let log = with_suffix(&path("notes.db"), "-wal");
            make(&log, log.metadata().expect("the log").len()).expect("room for it");
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
