//! Looking: log and archive of a data folder that nobody uses, read as a start would; what a start
//! would write is kept in memory, and nothing is changed.

use super::files::Files;
use super::{FoundArchive, OpenError, Options, Recovered, Recovery, SharedIndex};
use crate::archive::{self, ArchiveLimits, sqlite};
use crate::contract::{Filter, Listing, Lookup, Page, ReadError};
use crate::disk::{Disk, DiskOp, Segment};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use wholly_core::ids::Gid;

/// What a data folder says, while nobody else uses it.
pub struct Looked {
    disk: Overlay,
    index: SharedIndex,
    archive: sqlite::SqliteReader,
}

impl Looked {
    /// Reads the log back. The folder stays in use until this is dropped.
    pub fn open(path: &Path) -> Result<Looked, OpenError> {
        let mut disk = Overlay { files: Files::look_at(path)?, written: BTreeMap::new() };
        let (archive, slices) = sqlite::look_at(path).map_err(OpenError::Archive)?;
        let found = FoundArchive { limits: ArchiveLimits::default(), slices };
        let mut recovery = Recovery::read_beside(&disk, Some(found), Options::default())?;
        while let Some(op) = recovery.next() {
            disk.keep(op);
            recovery.complete(Ok(())).map_err(OpenError::Failed)?;
        }
        let Recovered { committer, .. } = recovery.finish();
        Ok(Looked { disk, index: committer.index(), archive })
    }

    /// A page of transactions, newest begun first.
    pub fn list(&self, filter: &Filter, page: &Page) -> Result<Listing, ReadError> {
        archive::list(&self.index, &self.archive, filter, page)
    }

    /// What is known of a gid.
    pub fn lookup(&self, gid: &Gid) -> Result<Lookup, ReadError> {
        archive::find(&self.disk, &self.index, &self.archive, gid)
    }
}

/// The segments of a folder, and over them what a start would have written.
struct Overlay {
    files: Files,
    written: BTreeMap<Segment, Vec<u8>>,
}

impl Overlay {
    fn keep(&mut self, op: DiskOp) {
        match op {
            DiskOp::Create { segment } => drop(self.written.insert(segment, Vec::new())),
            DiskOp::Write { segment, offset, bytes } => {
                let file = self.written.entry(segment).or_default();
                let offset = usize::try_from(offset).expect("a segment fits the address space");
                let end = offset + bytes.len();
                file.resize(file.len().max(end), 0);
                file[offset..end].copy_from_slice(&bytes);
            }
            DiskOp::Sync { .. } | DiskOp::SyncFolder | DiskOp::Unlink { .. } => {}
        }
    }
}

impl Disk for Overlay {
    fn list(&self) -> io::Result<Vec<(Segment, u64)>> {
        let mut segments: BTreeMap<_, _> = self.files.list()?.into_iter().collect();
        segments.extend(self.written.iter().map(|(segment, bytes)| (*segment, bytes.len() as u64)));
        Ok(segments.into_iter().collect())
    }

    fn read(&self, segment: Segment, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let Some(bytes) = self.written.get(&segment) else {
            return self.files.read(segment, offset, length);
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = bytes.get(offset..).unwrap_or_default();
        Ok(from[..length.min(from.len())].to_vec())
    }
}
