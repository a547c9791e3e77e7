//! Steady reading: what looks damaged is read again before it is believed, for a bit may flip on
//! its way from the disk, and the last batch, so flipped, looks like a write that was torn.

use super::OpenError;
use super::batch::{Batch, FORMAT_VERSION, HEADER_BYTES, HeaderError, Seal, candidates};
use crate::disk::{Disk, Segment};
use crate::mutants::{self, Mutant};
use std::io;
use std::rc::Rc;
use wholly_core::ids::Position;

/// Readings of one segment, of which two must agree.
pub(super) const READINGS_MAX: u32 = 8;

/// A segment as it was read.
pub(super) struct Whole {
    pub(super) segment: Segment,
    pub(super) bytes: Rc<Vec<u8>>,
    /// None if its header is none.
    pub(super) seal: Result<Seal, HeaderError>,
    /// As far as each follows the one before.
    pub(super) batches: Vec<Batch>,
    /// Where the last of them ends.
    pub(super) end: usize,
}

impl Whole {
    /// Reads a segment: until there is nothing to doubt, or two readings in a row are the same.
    pub(super) fn read(disk: &dyn Disk, segment: Segment, length: u64) -> Result<Self, OpenError> {
        let length = usize::try_from(length).expect("a segment fits the address space");
        let failed = |cause| OpenError::Read { segment, cause };
        let mut before = None;
        for _ in 0..READINGS_MAX {
            let bytes = Rc::new(disk.read(segment, 0, length).map_err(failed)?);
            let read = Whole::of(segment, bytes);
            let believed = read.is_beyond_doubt() || mutants::is_on(Mutant::DoubtBelieved);
            if believed || before.as_ref() == Some(&read.bytes) {
                return Ok(read);
            }
            before = Some(read.bytes);
        }
        Err(failed(io::Error::other("no two readings of it agree: disk or memory is failing")))
    }

    pub(super) fn of(segment: Segment, bytes: Rc<Vec<u8>>) -> Self {
        let seal = Seal::read(&bytes, segment);
        let batches = seal.map(|seal| Batch::walk(&bytes, seal)).unwrap_or_default();
        let end = batches.last().map_or(HEADER_BYTES, |batch| batch.end);
        Whole { segment, bytes, seal, batches, end }
    }

    /// Behind its last batch: what a sound one says was durable that is not among the batches.
    pub(super) fn proof_behind(&self) -> Option<Position> {
        let seal = self.seal.ok()?;
        let strays = candidates(&self.bytes, self.end);
        let strays = strays.filter_map(|at| Batch::read(&self.bytes, at, seal));
        let proof = strays.map(|stray| stray.head.durable).max()?;
        // What was durable in this segment must be read from it: an older copy of the same
        // positions is another batch, which nothing behind the damage follows.
        let found = self.batches.last().map_or(Position(0), |last| last.head.last);
        (proof > found).then_some(proof)
    }

    /// Whether all bytes are accounted for: batches, or zeros that were written for later ones.
    fn is_beyond_doubt(&self) -> bool {
        let from = match self.seal {
            Ok(_) => self.end,
            Err(HeaderError::Newer { .. } | HeaderError::Bad) => 0,
        };
        self.bytes.get(from..).is_none_or(|rest| rest.iter().all(|byte| *byte == 0))
    }

    /// A segment's seal; none if the segment was never ready for use.
    pub(super) fn seal(&self) -> Result<Option<Seal>, OpenError> {
        let segment = self.segment;
        match self.seal {
            Ok(seal) => Ok(Some(seal)),
            Err(HeaderError::Newer { version }) => {
                Err(OpenError::Newer { segment, version, known: FORMAT_VERSION })
            }
            Err(HeaderError::Bad) => {
                // The header is durable before the first batch is written.
                let after = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
                match after.iter().any(|byte| *byte != 0) {
                    true => Err(damaged(segment, 0, "its header is damaged")),
                    false => Ok(None),
                }
            }
        }
    }
}

/// Records that were durable cannot be read.
pub(super) fn damaged(segment: Segment, offset: usize, what: &str) -> OpenError {
    OpenError::Damaged { segment, offset: offset as u64, what: what.to_owned() }
}

/// Records cannot be read of which a later batch says that they were durable.
pub(super) fn was_durable(segment: Segment, offset: usize, through: Position) -> OpenError {
    let what = "a record was durable there, for a later one says that the log was durable up to";
    damaged(segment, offset, &format!("{what} position {}", through.0))
}
