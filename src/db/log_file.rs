//! The write-ahead log, written in large pieces.
//!
//! SQLite writes each page of a commit to its log with two system calls, and a commit of some
//! thirty sends has a hundred pages. A VFS (<https://sqlite.org/vfs.html>) in front of SQLite's own
//! gathers what follows one another in the log and hands it on in pieces of 64 KiB: at the latest
//! before the sync, and before anything else is asked of that file. Every other file is left to
//! SQLite's own VFS.
//!
//! Other connections see a commit once it is announced in shared memory. With `synchronous = FULL`
//! that is after the sync, so they never look for pages that are still held here; with less it
//! would not be. Hence only the writer opens its file this way. A write that fails here is the
//! sync's failure, which undoes the commit as a failed write would have.
//!
//! What a transaction has written before it is rolled back may reach the log later. It is
//! overwritten then, since nobody else writes: the data directory is locked for one process, and
//! SQLite's default of power-safe overwrite is kept, without which it would write after the sync.
//!
//! The only module with unsafe code.
#![allow(unsafe_code, reason = "SQLite calls it through C function pointers")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "C counts some KiB in an `int`"
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::path::Path;
use std::{ptr, slice};

use diesel::{ConnectionError, ConnectionResult};
use libsqlite3_sys as ffi;

const NAME: &CStr = c"sealpost";

/// One piece; SQLite's own VFS takes less than 128 KiB at once.
const PIECE_BYTES: usize = 64 << 10;

/// The URI by which SQLite opens `path` through this VFS.
///
/// Errors: the path is not UTF-8, or SQLite has no VFS of its own here.
pub(super) fn uri(path: &Path) -> ConnectionResult<String> {
    register().map_err(|problem| ConnectionError::BadConnection(problem.into()))?;
    super::sqlite::uri(path, "vfs=sealpost")
}

type File = *mut ffi::sqlite3_file;

/// Our VFS; SQLite knows the first field.
#[repr(C)]
struct Vfs {
    base: ffi::sqlite3_vfs,
    own: *mut ffi::sqlite3_vfs,
}

/// An open log; SQLite knows the first field. In memory, the file as SQLite's own VFS knows it
/// follows.
#[repr(C)]
struct Log {
    base: ffi::sqlite3_file,
    held: Held,
}

/// Bytes for one place in the log, not yet written.
#[derive(Default)]
struct Held {
    offset: i64,
    bytes: Vec<u8>,
}

impl Held {
    /// Whether `count` bytes for `offset` go on where these end, and fit into the piece.
    fn takes(&self, count: usize, offset: i64) -> bool {
        let held = self.bytes.len();
        held == 0 || (self.offset + held as i64 == offset && held + count <= PIECE_BYTES)
    }

    fn add(&mut self, bytes: &[u8], offset: i64) {
        if self.bytes.is_empty() {
            self.offset = offset;
        }
        self.bytes.extend_from_slice(bytes);
    }
}

/// Makes the VFS known to SQLite, once.
fn register() -> Result<(), &'static str> {
    // SAFETY: the name is a C string. What SQLite keeps is leaked on purpose: it keeps it for good.
    unsafe {
        if !ffi::sqlite3_vfs_find(NAME.as_ptr()).is_null() {
            return Ok(());
        }
        let own = ffi::sqlite3_vfs_find(ptr::null());
        if own.is_null() {
            return Err("SQLite has no way to files here");
        }
        let base = ffi::sqlite3_vfs {
            szOsFile: size_of::<Log>() as c_int + (*own).szOsFile,
            pNext: ptr::null_mut(),
            zName: NAME.as_ptr(),
            xOpen: Some(open),
            ..*own
        };
        let vfs = Box::into_raw(Box::new(Vfs { base, own }));
        match ffi::sqlite3_vfs_register(vfs.cast(), 0) {
            ffi::SQLITE_OK => Ok(()),
            _ => Err("SQLite takes no other way to files"),
        }
    }
}

/// Opens a log as ours, anything else as SQLite's own VFS does.
unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: File,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands in the VFS that was registered, and memory of its `szOsFile` bytes.
    unsafe {
        let own = (*vfs.cast::<Vfs>()).own;
        let Some(open) = (*own).xOpen else {
            return ffi::SQLITE_CANTOPEN;
        };
        if flags & ffi::SQLITE_OPEN_WAL == 0 {
            return open(own, name, file, flags, out_flags);
        }
        let outcome = open(own, name, inner(file), flags, out_flags);
        // SQLite closes whatever has methods, opened or not.
        let base = ffi::sqlite3_file {
            pMethods: if (*inner(file)).pMethods.is_null() {
                ptr::null()
            } else {
                &raw const METHODS
            },
        };
        let held = Held::default();
        file.cast::<Log>().write(Log { base, held });
        outcome
    }
}

/// The file as SQLite's own VFS knows it.
///
/// # Safety
/// `file` is a [`Log`] with that file behind it.
unsafe fn inner(file: File) -> File {
    // SAFETY: both lie in one piece of memory, and the size of a `Log` is a multiple of its
    // alignment, which is that of a pointer.
    unsafe { file.cast::<Log>().add(1).cast() }
}

/// Calls a method of SQLite's own VFS on the log.
macro_rules! call {
    ($method:ident($file:ident $(, $argument:expr)*)) => {{
        let inner = inner($file);
        match (*(*inner).pMethods).$method {
            Some(method) => method(inner $(, $argument)*),
            None => ffi::SQLITE_IOERR,
        }
    }};
}

/// Calls a method of SQLite's own VFS on the log, with nothing held any more.
macro_rules! pass_on {
    ($method:ident($file:ident $(, $argument:expr)*)) => {
        // SAFETY: SQLite calls methods on files that it has opened, and one at a time.
        unsafe {
            match write_held($file) {
                ffi::SQLITE_OK => call!($method($file $(, $argument)*)),
                problem => problem,
            }
        }
    };
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    // SQLite locks and maps the database file only, never a log.
    xLock: None,
    xUnlock: None,
    xCheckReservedLock: None,
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Writes what is held, and holds nothing any more if that succeeds.
///
/// # Safety
/// `file` is an open [`Log`] that nobody else uses meanwhile.
unsafe fn write_held(file: File) -> c_int {
    // SAFETY: as the caller promises.
    unsafe {
        let held = &mut (*file.cast::<Log>()).held;
        if held.bytes.is_empty() {
            return ffi::SQLITE_OK;
        }
        let (bytes, count) = (held.bytes.as_ptr().cast(), held.bytes.len() as c_int);
        let outcome = call!(xWrite(file, bytes, count, held.offset));
        if outcome == ffi::SQLITE_OK {
            held.bytes.clear();
        }
        outcome
    }
}

unsafe extern "C" fn write(file: File, bytes: *const c_void, count: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite hands in that many bytes, at most a page's, and an open log.
    unsafe {
        let held = &raw mut (*file.cast::<Log>()).held;
        let bytes = slice::from_raw_parts(bytes.cast::<u8>(), count as usize);
        if !(*held).takes(bytes.len(), offset) {
            let outcome = write_held(file);
            if outcome != ffi::SQLITE_OK {
                // SQLite undoes the transaction.
                (*held).bytes.clear();
                return outcome;
            }
        }
        (*held).add(bytes, offset);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: File) -> c_int {
    // SAFETY: SQLite closes a file once. What is still held belongs to no commit.
    unsafe {
        ptr::drop_in_place(&raw mut (*file.cast::<Log>()).held);
        call!(xClose(file))
    }
}

/// If what is held cannot be written it stays: SQLite may let a transaction go on whose reading
/// met a full disk.
unsafe extern "C" fn read(file: File, bytes: *mut c_void, count: c_int, offset: i64) -> c_int {
    pass_on!(xRead(file, bytes, count, offset))
}

unsafe extern "C" fn truncate(file: File, size: i64) -> c_int {
    pass_on!(xTruncate(file, size))
}

unsafe extern "C" fn sync(file: File, flags: c_int) -> c_int {
    let outcome = pass_on!(xSync(file, flags));
    // If it failed, SQLite undoes the commit.
    // SAFETY: SQLite syncs files that it has opened.
    unsafe { (*file.cast::<Log>()).held.bytes.clear() };
    outcome
}

unsafe extern "C" fn file_size(file: File, size: *mut i64) -> c_int {
    pass_on!(xFileSize(file, size))
}

unsafe extern "C" fn file_control(file: File, operation: c_int, argument: *mut c_void) -> c_int {
    pass_on!(xFileControl(file, operation, argument))
}

unsafe extern "C" fn sector_size(file: File) -> c_int {
    // SAFETY: SQLite calls methods on files that it has opened.
    unsafe { call!(xSectorSize(file)) }
}

unsafe extern "C" fn device_characteristics(file: File) -> c_int {
    // SAFETY: SQLite calls methods on files that it has opened.
    unsafe { call!(xDeviceCharacteristics(file)) }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::dsl::sql;
    use diesel::prelude::*;
    use diesel::sql_types::BigInt;

    use super::*;

    const KIB: usize = 1 << 10;

    fn holding(offset: i64, count: usize) -> Held {
        let mut held = Held::default();
        held.add(&vec![0; count], offset);
        held
    }

    #[test]
    fn what_follows_is_held_until_a_piece_is_full() {
        assert!(Held::default().takes(64 * KIB, 32));
        assert!(holding(32, 24).takes(2 * KIB, 56));
        assert!(holding(0, 62 * KIB).takes(2 * KIB, 62 << 10));
        assert!(!holding(0, 63 * KIB).takes(2 * KIB, 63 << 10));
    }

    #[test]
    fn what_does_not_follow_is_not_held() {
        assert!(!holding(32, 24).takes(2048, 57));
        assert!(!holding(4096, 24).takes(24, 32));
    }

    fn connect(path: &Path, pragmas: &str) -> SqliteConnection {
        let uri = uri(path).expect("a usable path");
        let mut connection = SqliteConnection::establish(&uri).expect("a database");
        connection.batch_execute(pragmas).expect("pragmas");
        connection
    }

    fn count(connection: &mut SqliteConnection) -> i64 {
        let rows = diesel::select(sql::<BigInt>("(SELECT count(*) FROM notes)"));
        rows.get_result(connection).expect("the table is there")
    }

    #[test]
    fn every_path_names_the_file_that_it_says() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["plain.db", "what?#now.db", "100%41 ü.db"] {
            let path = directory.path().join(name);
            drop(connect(&path, "CREATE TABLE notes (text TEXT)"));
            assert!(path.is_file(), "{name}");
        }
    }

    /// A transaction that does not fit into SQLite's cache is written to the log before its end,
    /// and pages in it are written twice.
    const LARGE: &str = "
        INSERT INTO notes SELECT hex(randomblob(500)) FROM generated;
        UPDATE notes SET text = text || '!';
    ";

    #[test]
    fn readers_see_a_large_transaction_once_it_is_committed_and_never_a_rolled_back_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notes.db");
        let mut writer = connect(
            &path,
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = 10;
             CREATE TABLE notes (text TEXT);
             CREATE VIEW generated AS WITH RECURSIVE numbers (n) AS
                 (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000) SELECT n FROM numbers;",
        );
        let plain = path.to_str().expect("UTF-8");
        let mut reader = SqliteConnection::establish(plain).expect("the same database");
        for (end, before, after) in [
            ("ROLLBACK", 0, 0),
            ("COMMIT", 0, 1000),
            ("ROLLBACK", 1000, 1000),
        ] {
            writer
                .batch_execute(&format!("BEGIN; {LARGE}"))
                .expect("room for it");
            assert_eq!(count(&mut reader), before, "before {end}");
            writer.batch_execute(end).expect("an open transaction");
            assert_eq!(count(&mut reader), after, "after {end}");
        }
        drop(writer);
        let problems = super::super::integrity_problems(&path).expect("a database");
        assert!(problems.is_empty(), "{problems:?}");
    }
}
