//! Steps of a hand-over: operations as values, as the committer asks for them, and how one is
//! carried out.

use super::{Archive, ArchiveError, Archived, Slice, SliceFacts};
use crate::disk::{Disk, Segment};
use crate::embedded::history_bytes;
use crate::index::Location;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use wholly_core::ids::{Gid, Version};
use wholly_core::record::Summary;

/// Bytes of records that are put at a time.
const PUT_BYTES: usize = 1 << 20;
/// Bytes of the log that are read at a time; what ended together was written close together.
const BLOCK_BYTES: usize = 256 << 10;
/// Blocks that are kept.
const BLOCKS_MAX: usize = 8;

/// One operation on the archive. The committer asks for one at a time and for the next only when
/// this one is done; a failed one is never asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveOp {
    /// Read these from the log and put them.
    Put {
        /// Into which slice.
        slice: Slice,
        /// What.
        ended: Vec<ToArchive>,
    },
    /// Make durable what was put.
    Commit {
        /// Of which slice.
        slice: Slice,
        /// The ends that it holds from then on.
        ends: Range<u64>,
    },
    /// Remove a slice.
    Remove {
        /// Which.
        slice: Slice,
    },
}

/// An ended transaction that is to be archived, and where its records lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToArchive {
    /// The number of its end.
    pub end: u64,
    /// Which.
    pub gid: Gid,
    /// How it ended.
    pub summary: Summary,
    /// How many records it has.
    pub version: Version,
    /// Its last draft.
    pub last: Location,
}

/// What an operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveDone {
    /// It is put, and not durable.
    Put,
    /// It is durable.
    Committed(SliceFacts),
    /// It is gone.
    Removed,
}

impl fmt::Display for ArchiveOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArchiveOp::Put { slice, ended } => {
                write!(f, "put of {} transactions into {slice}", ended.len())
            }
            ArchiveOp::Commit { slice, .. } => write!(f, "commit of {slice}"),
            ArchiveOp::Remove { slice } => write!(f, "removal of {slice}"),
        }
    }
}

/// Carries out one operation.
pub fn carry_out(
    op: &ArchiveOp,
    disk: &dyn Disk,
    archive: &mut dyn Archive,
) -> Result<ArchiveDone, ArchiveError> {
    match op {
        ArchiveOp::Put { slice, ended } => {
            put(disk, archive, *slice, ended)?;
            Ok(ArchiveDone::Put)
        }
        ArchiveOp::Commit { slice, ends } => {
            archive.commit(*slice, ends.clone()).map(ArchiveDone::Committed)
        }
        ArchiveOp::Remove { slice } => {
            archive.remove(*slice)?;
            Ok(ArchiveDone::Removed)
        }
    }
}

fn put(
    disk: &dyn Disk,
    archive: &mut dyn Archive,
    slice: Slice,
    ended: &[ToArchive],
) -> Result<(), ArchiveError> {
    let disk = ReadAhead { disk, blocks: RefCell::default() };
    let (mut read, mut bytes) = (Vec::new(), 0);
    for one in ended {
        let ToArchive { end, gid, summary, version, last } = one.clone();
        let records = history_bytes(&disk, &gid, last, version);
        let records = records.map_err(|cause| ArchiveError::Log(Box::new(cause)))?;
        bytes += records.len();
        read.push(Archived { end, gid, summary, count: version.0, records });
        if bytes >= PUT_BYTES {
            archive.put(slice, &read)?;
            read.clear();
            bytes = 0;
        }
    }
    archive.put(slice, &read)
}

/// A disk read in blocks: what lies close together is asked for once.
struct ReadAhead<'a> {
    disk: &'a dyn Disk,
    blocks: RefCell<VecDeque<Block>>,
}

struct Block {
    segment: Segment,
    number: u64,
    bytes: Vec<u8>,
}

impl ReadAhead<'_> {
    /// Appends the bytes of one block from an offset on; says whether the block goes on to its
    /// end.
    fn append(
        &self,
        (segment, number): (Segment, u64),
        range: Range<usize>,
        out: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let mut blocks = self.blocks.borrow_mut();
        let known = blocks.iter().position(|b| b.segment == segment && b.number == number);
        let block = match known.and_then(|at| blocks.remove(at)) {
            Some(block) => block,
            None => {
                let offset = number * BLOCK_BYTES as u64;
                let bytes = self.disk.read(segment, offset, BLOCK_BYTES)?;
                Block { segment, number, bytes }
            }
        };
        let end = range.end.min(block.bytes.len());
        out.extend_from_slice(&block.bytes[range.start.min(end)..end]);
        let whole = end == range.end;
        blocks.push_front(block);
        blocks.truncate(BLOCKS_MAX);
        Ok(whole)
    }
}

impl Disk for ReadAhead<'_> {
    fn list(&self) -> io::Result<Vec<(Segment, u64)>> {
        self.disk.list()
    }

    fn read(&self, segment: Segment, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(length);
        while out.len() < length {
            let at = offset + out.len() as u64;
            let from = (at % BLOCK_BYTES as u64) as usize;
            let to = BLOCK_BYTES.min(from + length - out.len());
            if !self.append((segment, at / BLOCK_BYTES as u64), from..to, &mut out)? {
                break;
            }
        }
        Ok(out)
    }
}
