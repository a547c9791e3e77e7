//! The archive: where ended transactions are kept, in slices by time; what every archive offers.
//!
//! The log hands ended transactions over in bulk and lets its segments go only once the archive
//! says that they are durable there. Every end has a number, counted from the first end ever; a
//! slice holds the ends of one range of numbers, and slices follow one another without a gap.
//! Whoever forgets, forgets whole slices, the oldest first.

#[cfg(feature = "sqlite")]
mod filter;
mod merging;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod steps;
pub mod twin;

pub use merging::{find, list};
pub use steps::{ArchiveDone, ArchiveOp, ToArchive, carry_out};

use crate::contract::{Filter, Listing, Page, ReadError};
use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use wholly_core::ids::Gid;
use wholly_core::record::{Record, Summary};
use wholly_core::time::Timestamp;

/// A slice of the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slice(pub u32);

impl Slice {
    /// The slice whose file has this name.
    pub fn named(name: &str) -> Option<Slice> {
        let slice = Slice(name.strip_suffix(".slice")?.parse().ok()?);
        (slice.to_string() == name).then_some(slice)
    }
}

impl fmt::Display for Slice {
    /// As the file is called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}.slice", self.0)
    }
}

/// An ended transaction as it is archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The number of its end.
    pub end: u64,
    /// Which.
    pub gid: Gid,
    /// How it ended.
    pub summary: Summary,
    /// How many records it has.
    pub count: u64,
    /// Its records, encoded.
    pub records: Vec<u8>,
}

/// What is known of a slice without reading its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceFacts {
    /// Which.
    pub slice: Slice,
    /// The number of the first end it is for.
    pub from: u64,
    /// The number of the first end behind it.
    pub through: u64,
    /// Transactions in it.
    pub rows: u64,
    /// Bytes it takes.
    pub bytes: u64,
    /// The highest begin in it.
    pub begun_max: Timestamp,
    /// The first end in it.
    pub ended_min: Timestamp,
    /// The last end in it.
    pub ended_max: Timestamp,
}

impl SliceFacts {
    /// A slice without transactions.
    pub fn empty(slice: Slice, from: u64) -> Self {
        let none = Timestamp(0);
        SliceFacts {
            slice,
            from,
            through: from,
            rows: 0,
            bytes: 0,
            begun_max: none,
            ended_min: none,
            ended_max: none,
        }
    }

    /// Counts one more.
    pub(crate) fn count(&mut self, one: &Archived) {
        let ended = one.summary.ended.unwrap_or(one.summary.changed);
        self.ended_min = if self.rows == 0 { ended } else { self.ended_min.min(ended) };
        self.ended_max = self.ended_max.max(ended);
        self.begun_max = self.begun_max.max(one.summary.begun);
        self.rows += 1;
    }
}

/// What bounds an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Bytes of all slices; beyond it the oldest goes.
    pub archive_bytes_max: u64,
    /// Transactions of a slice.
    pub slice_rows_max: u64,
    /// Time from the first end of a slice to its last.
    pub slice_ms_max: u64,
    /// Transactions handed over at a time.
    pub bulk_rows_max: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        ArchiveLimits {
            archive_bytes_max: 20 << 30,
            slice_rows_max: 500_000,
            slice_ms_max: 12 * 3_600_000,
            bulk_rows_max: 2_048,
        }
    }
}

impl ArchiveLimits {
    /// Bytes from which on a slice is full: one that goes is a small part of the whole.
    pub(crate) fn slice_bytes_max(&self) -> u64 {
        (self.archive_bytes_max / 16).max(1)
    }
}

/// Writes the archive. One at a time, on one thread; what fails is never tried again on the same
/// archive.
pub trait Archive: Send {
    /// Puts ended transactions into a slice, which is created where it is missing; slices before
    /// it are closed for good. They are neither seen nor durable before the commit. One with the
    /// gid of another replaces it, and the same one put twice is there once.
    fn put(&mut self, slice: Slice, ended: &[Archived]) -> Result<(), ArchiveError>;

    /// Makes durable what was put, and that the slice holds all ends of these numbers; all of it
    /// or nothing.
    fn commit(&mut self, slice: Slice, ends: Range<u64>) -> Result<SliceFacts, ArchiveError>;

    /// Removes a slice. Who reads it at this moment reads on.
    fn remove(&mut self, slice: Slice) -> Result<(), ArchiveError>;
}

/// Reads what was committed to the archive, from any thread.
pub trait ArchiveReader: Send + Sync {
    /// Whether a gid may be known; a no is certain. Answered from memory.
    fn may_know(&self, gid: &Gid) -> bool;

    /// The records of the latest transaction of this gid; none if it is not known, or if its end
    /// was one of the first so many, which are forgotten.
    fn find(&self, gid: &Gid, forgotten: u64) -> Result<Option<Vec<Record>>, ReadError>;

    /// A page of the ended ones with these numbers, newest begun first.
    fn list(&self, filter: &Filter, page: &Page, ends: Range<u64>) -> Result<Listing, ReadError>;
}

/// An archive taken into use.
pub struct OpenedArchive {
    /// Writes it.
    pub writer: Box<dyn Archive>,
    /// Reads it.
    pub reader: Arc<dyn ArchiveReader>,
    /// What it holds, durably, in order.
    pub slices: Vec<SliceFacts>,
}

/// Why an archive cannot be used, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The disk or the database refused.
    #[error("{act} of the archive's {path} failed")]
    Disk {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// A later release wrote it.
    #[error(
        "the archive's {path} has format {version}, this release knows {known} and lower; nothing \
         was changed: start the release that wrote it, or a later one"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        version: u32,
        /// The highest that is known.
        known: u32,
    },
    /// It is not as it was written.
    #[error(
        "the archive's {path} is damaged: {what}; outcomes may be missing, so nothing was started \
         or changed: restore the data folder from a copy"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// What should be handed over cannot be read from the log.
    #[error("reading back what is to be archived failed")]
    Log(#[source] Box<ReadError>),
    /// The thread that writes it broke off.
    #[error("the archive's thread broke off, see its message")]
    Thread,
}
