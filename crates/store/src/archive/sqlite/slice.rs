//! One slice: its tables, and everything that writes them.
//!
//! ```text
//! ended     begun, gid | number of the end, summary       in the order of a list
//! history   number of the end | records, their number, checksum of all that is known of it
//! facts     the one row that says what the slice holds; written by every commit
//! filter    the gids as a filter, once the slice is closed
//! ```
//!
//! An index names the few that did not end as decided. It is SQLite's own to keep, whichever
//! release writes the slice, and says nothing that is not in the rows: a slice without it is read
//! by its rows alone, and has the same format.

use super::super::filter::GidFilter;
use super::super::{ArchiveError, Archived, Slice, SliceFacts};
use super::failed;
use crate::encoding::{Naming, put_summary};
use crc32fast::Hasher;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wholly_core::ids::Gid;
use wholly_core::time::Timestamp;

/// The format this release writes, and the highest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Says of a file whose it is ("WhAr").
const APPLICATION: u32 = 0x5768_4172;
const MODE: u32 = 0o600;
/// Longest that anybody waits for another one's lock on a file.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "
    CREATE TABLE ended (
        begun INTEGER NOT NULL, gid TEXT NOT NULL, number INTEGER NOT NULL, summary BLOB NOT NULL,
        PRIMARY KEY (begun, gid)) WITHOUT ROWID;
    CREATE UNIQUE INDEX ended_by_gid ON ended (gid);
    CREATE TABLE history (
        number INTEGER PRIMARY KEY, count INTEGER NOT NULL, checksum INTEGER NOT NULL,
        records BLOB NOT NULL);
    CREATE TABLE facts (
        one INTEGER PRIMARY KEY CHECK (one = 1), first INTEGER NOT NULL, through INTEGER NOT NULL,
        transactions INTEGER NOT NULL, begun_max INTEGER NOT NULL, ended_min INTEGER NOT NULL,
        ended_max INTEGER NOT NULL);
    CREATE TABLE filter (one INTEGER PRIMARY KEY CHECK (one = 1), bits BLOB NOT NULL);";

/// True of those alone that did not end as decided, by the first byte of what is packed: an outcome
/// in bits 5 and 6, of which 1 is as decided; bit 7 is nought where something has ended.
pub(super) const UNLIKE_DECIDED: &str = "summary >= x'40' AND summary < x'80'";
/// The index of these, in the order of a list.
pub(super) const UNLIKE_DECIDED_INDEX: &str = "ended_unlike_decided";

/// A slice's file, opened for writing.
pub(super) struct SliceFile {
    path: PathBuf,
    connection: Connection,
}

/// A slice's file as it was found.
pub(super) enum Opening {
    /// Its process died before the first commit: nothing was ever said to be in it.
    NeverCommitted(SliceFile),
    /// It holds what its facts say.
    Committed(SliceFile),
}

impl SliceFile {
    /// Makes an empty slice. Nothing is in the file before the first commit.
    pub(super) fn create(path: &Path) -> Result<SliceFile, ArchiveError> {
        let options = &mut OpenOptions::new();
        let options = options.write(true).create_new(true).mode(MODE);
        options.open(path).map_err(|cause| failed("creation", path, cause))?;
        let file = SliceFile::connect(path)?;
        let pragmas = format!(
            "BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION}; \
             PRAGMA user_version = {FORMAT_VERSION}; {TABLES} \
             CREATE INDEX {UNLIKE_DECIDED_INDEX} ON ended (begun, gid) WHERE {UNLIKE_DECIDED};"
        );
        file.connection.execute_batch(&pragmas).map_err(|e| file.failed("creation", e))?;
        Ok(file)
    }

    /// Opens a slice as an earlier process left it.
    pub(super) fn open(path: &Path) -> Result<Opening, ArchiveError> {
        SliceFile::connect(path)?.opening()
    }

    /// Opens a slice that nobody uses, for reading alone.
    pub(super) fn look_at(path: &Path) -> Result<Opening, ArchiveError> {
        SliceFile { path: path.to_owned(), connection: look_at(path)? }.opening()
    }

    fn opening(self) -> Result<Opening, ArchiveError> {
        let file = self;
        check_format(&file.connection, &file.path)?;
        let count = "SELECT count(*) FROM sqlite_master WHERE name = 'facts'";
        let tables: i64 = file.value(count)?;
        Ok(if tables == 0 { Opening::NeverCommitted(file) } else { Opening::Committed(file) })
    }

    fn connect(path: &Path) -> Result<SliceFile, ArchiveError> {
        let connection = connect(path)?;
        let file = SliceFile { path: path.to_owned(), connection };
        let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                       PRAGMA cache_size = -8192;";
        file.connection.execute_batch(pragmas).map_err(|e| file.failed("opening", e))?;
        Ok(file)
    }

    /// Takes out what is known of a gid; says whether there was anything.
    pub(super) fn replace(&self, gid: &Gid) -> Result<bool, ArchiveError> {
        self.begin()?;
        let run = || {
            let number = "DELETE FROM ended WHERE gid = ? RETURNING number";
            let mut number = self.connection.prepare_cached(number)?;
            let number: Option<i64> =
                number.query_row([gid.as_str()], |row| row.get(0)).optional()?;
            let Some(number) = number else { return Ok(false) };
            self.connection.execute("DELETE FROM history WHERE number = ?", [number])?;
            Ok(true)
        };
        run().map_err(|error| self.failed("replacing a row", error))
    }

    pub(super) fn put(&self, one: &Archived) -> Result<(), ArchiveError> {
        self.begin()?;
        let mut summary = Vec::new();
        put_summary(&one.summary, Naming::Written, &mut summary);
        let checksum = checksum(one.gid.as_str(), one.end, one.count, &summary, &one.records);
        let run = || {
            let row = "INSERT INTO ended VALUES (?, ?, ?, ?)";
            let begun = signed(one.summary.begun.0);
            let mut row = self.connection.prepare_cached(row)?;
            row.execute(params![begun, one.gid.as_str(), signed(one.end), summary])?;
            let row = "INSERT INTO history VALUES (?, ?, ?, ?)";
            let mut row = self.connection.prepare_cached(row)?;
            row.execute(params![signed(one.end), signed(one.count), checksum, one.records])
        };
        run().map(drop).map_err(|error| self.failed("writing a row", error))
    }

    pub(super) fn commit(&self, facts: &SliceFacts) -> Result<(), ArchiveError> {
        self.begin()?;
        let SliceFacts { from, through, rows, begun_max, ended_min, ended_max, .. } = *facts;
        let run = || {
            let row = "INSERT OR REPLACE INTO facts VALUES (1, ?, ?, ?, ?, ?, ?)";
            let mut row = self.connection.prepare_cached(row)?;
            let ends = (signed(from), signed(through), signed(rows));
            let times = (signed(begun_max.0), signed(ended_min.0), signed(ended_max.0));
            row.execute(params![ends.0, ends.1, ends.2, times.0, times.1, times.2])?;
            self.connection.execute_batch("COMMIT")
        };
        run().map_err(|error| self.failed("commit", error))
    }

    /// Brings everything committed from the write-ahead log into the file, synced. A reader is not
    /// waited for, who may be a backup: what it keeps in the write-ahead log is synced there.
    pub(super) fn make_durable(&self) -> Result<(), ArchiveError> {
        let patience = |time| {
            self.connection.busy_timeout(time).map_err(|error| self.failed("opening", error))
        };
        patience(Duration::ZERO)?;
        let kept: i64 = self.value("PRAGMA wal_checkpoint(TRUNCATE)")?;
        patience(BUSY)?;
        if kept == 0 {
            return Ok(());
        }
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let synced = File::open(&log).and_then(|log| log.sync_all());
        synced.map_err(|cause| failed("sync", &self.path, cause))
    }

    /// Keeps the filter and closes the file; nothing is written to it any more.
    pub(super) fn close(self, filter: &GidFilter) -> Result<(), ArchiveError> {
        let row = "INSERT OR REPLACE INTO filter VALUES (1, ?)";
        let written = self.connection.execute(row, params![filter.to_bytes()]);
        written.map_err(|error| self.failed("writing the filter", error))?;
        self.make_durable()
    }

    /// What the slice holds.
    pub(super) fn facts(&self, slice: Slice) -> Result<SliceFacts, ArchiveError> {
        facts(&self.connection, slice).map_err(|error| self.failed("reading", error))
    }

    pub(super) fn bytes(&self) -> Result<u64, ArchiveError> {
        bytes(&self.connection).map_err(|error| self.failed("reading", error))
    }

    /// The filter, if the slice is closed.
    pub(super) fn closed_filter(&self) -> Result<Option<GidFilter>, ArchiveError> {
        let query = self
            .connection
            .query_row("SELECT bits FROM filter", [], |row| row.get::<_, Vec<u8>>(0));
        let bits = query.optional().map_err(|error| self.failed("reading", error))?;
        let Some(bits) = bits else { return Ok(None) };
        let what = "its filter is none".to_owned();
        let damaged = || ArchiveError::Damaged { path: self.path.clone(), what };
        GidFilter::from_bytes(&bits).map(Some).ok_or_else(damaged)
    }

    /// A filter of all gids, with room for so many.
    pub(super) fn filter(&self, room: u64) -> Result<GidFilter, ArchiveError> {
        let mut filter = GidFilter::sized(room);
        let mut run = || {
            let mut gids = self.connection.prepare("SELECT gid FROM ended")?;
            let mut rows = gids.query([])?;
            while let Some(row) = rows.next()? {
                let gid = row.get_ref(0)?.as_str()?;
                gid.parse().into_iter().for_each(|gid| filter.insert(&gid));
            }
            Ok(())
        };
        run().map_err(|error| self.failed("reading", error))?;
        Ok(filter)
    }

    fn begin(&self) -> Result<(), ArchiveError> {
        if !self.connection.is_autocommit() {
            return Ok(());
        }
        let begun = self.connection.execute_batch("BEGIN IMMEDIATE");
        begun.map_err(|error| self.failed("beginning", error))
    }

    fn value<T: rusqlite::types::FromSql>(&self, query: &str) -> Result<T, ArchiveError> {
        let value = self.connection.query_row(query, [], |row| row.get(0));
        value.map_err(|error| self.failed("reading", error))
    }

    fn failed(&self, act: &'static str, error: rusqlite::Error) -> ArchiveError {
        refused(act, &self.path, error)
    }
}

/// A connection to a file that exists.
pub(super) fn connect(path: &Path) -> Result<Connection, ArchiveError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let run = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        Ok(connection)
    };
    run().map_err(|error| refused("opening", path, error))
}

/// A connection that cannot write, to a file that nobody uses.
pub(super) fn look_at(path: &Path) -> Result<Connection, ArchiveError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|error| refused("opening", path, error))
}

/// Refuses a file of a later release, and one that is none of ours.
pub(super) fn check_format(connection: &Connection, path: &Path) -> Result<(), ArchiveError> {
    let pragma = |name: &str| {
        let value = connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, u32>(0));
        value.map_err(|error| refused("reading", path, error))
    };
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if version > FORMAT_VERSION {
        let (path, known) = (path.to_owned(), FORMAT_VERSION);
        return Err(ArchiveError::Newer { path, version, known });
    }
    // An empty file has neither.
    if (application, version) != (APPLICATION, FORMAT_VERSION) && (application, version) != (0, 0) {
        let what = "it is no slice of an archive".to_owned();
        return Err(ArchiveError::Damaged { path: path.to_owned(), what });
    }
    Ok(())
}

/// What a slice holds, by its own word.
pub(super) fn facts(connection: &Connection, slice: Slice) -> rusqlite::Result<SliceFacts> {
    let query = "SELECT first, through, transactions, begun_max, ended_min, ended_max FROM facts";
    let bytes = bytes(connection)?;
    connection.query_row(query, [], |row| {
        let number = |at| row.get::<_, i64>(at).map(unsigned);
        Ok(SliceFacts {
            slice,
            from: number(0)?,
            through: number(1)?,
            rows: number(2)?,
            bytes,
            begun_max: Timestamp(number(3)?),
            ended_min: Timestamp(number(4)?),
            ended_max: Timestamp(number(5)?),
        })
    })
}

fn bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    connection.query_row(query, [], |row| row.get::<_, i64>(0)).map(unsigned)
}

/// What stands behind a row: everything that is known of the transaction.
pub(super) fn checksum(gid: &str, end: u64, count: u64, summary: &[u8], records: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    for number in [gid.len() as u64, end, count, summary.len() as u64] {
        hasher.update(&number.to_le_bytes());
    }
    for bytes in [gid.as_bytes(), summary, records] {
        hasher.update(bytes);
    }
    hasher.finalize()
}

/// Numbers of SQLite have a sign; ours stay far below where it matters.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// An error of SQLite's as one of the archive's.
pub(super) fn refused(act: &'static str, path: &Path, error: rusqlite::Error) -> ArchiveError {
    let unlike_ours = matches!(
        error,
        rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::QueryReturnedNoRows
    );
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {}
        Some(_) | None if unlike_ours => {}
        Some(_) | None => return failed(act, path, error),
    }
    ArchiveError::Damaged { path: path.to_owned(), what: error.to_string() }
}
