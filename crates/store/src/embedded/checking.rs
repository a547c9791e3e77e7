//! Checking: reads a data folder that nobody uses, log and archive, compares every checksum, and
//! changes nothing.

use super::files::Files;
use super::{FoundArchive, OpenError, Options, Recovery};
use crate::archive::{ArchiveLimits, SliceFacts, sqlite};
use std::path::Path;

/// What a sound data folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Records, counted from the first one ever.
    pub records: u64,
    /// Of these, so many at the end of the log that no later batch says were durable: a start
    /// writes them anew.
    pub tail: u64,
    /// Transactions that have not ended.
    pub open: u64,
    /// Ended ones in the log, as far as they are proved.
    pub unarchived: u64,
    /// Files of the log that are needed.
    pub segments: u64,
    /// Bytes of these.
    pub log_bytes: u64,
    /// The slices of the archive, oldest first.
    pub slices: Vec<SliceFacts>,
}

/// Reads all of a data folder, as a start would, and every row of its archive besides.
pub fn check(path: &Path) -> Result<Checked, OpenError> {
    let files = Files::look_at(path)?;
    let slices = sqlite::check(path).map_err(OpenError::Archive)?;
    check_log(&files, slices)
}

/// Reads the log alone, and whether it fits what its archive says of itself.
pub(super) fn check_log(files: &Files, slices: Vec<SliceFacts>) -> Result<Checked, OpenError> {
    let limits = ArchiveLimits::default();
    let found = FoundArchive { limits, slices: slices.clone() };
    let recovery = Recovery::read_beside(files, Some(found), Options::default())?;
    let (records, stats) = recovery.found();
    Ok(Checked {
        records: records.position.0,
        tail: records.position.0 - stats.durable.0,
        open: records.open.len() as u64,
        unarchived: stats.unarchived,
        // The one that a start would open does not exist.
        segments: stats.segments - 1,
        log_bytes: stats.log_bytes,
        slices,
    })
}
