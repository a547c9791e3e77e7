//! Admission: what may still begin, so that what is open does not suffer; and what is held.

use super::entry::{Entry, Slot};
use super::{Driver, Intake};
use crate::branch::{BranchSpec, First};
use crate::input::Room;
use crate::mutants::{self, Mutant};
use crate::rejection::Rejection;
use crate::time::Timestamp;

/// One part in so many of `open_bytes_max` is kept for branches of what is open.
const KEPT_PART: usize = 8;

impl Driver {
    /// Whether one more transaction may begin with these branches, and with which begun.
    pub(super) fn accept(&mut self, branches: &[BranchSpec]) -> Result<Timestamp, Rejection> {
        match self.intake {
            Intake::Open => {}
            Intake::Drained | Intake::Stopping => return Err(Rejection::Draining),
        }
        if self.room == Room::Full {
            return Err(Rejection::LogFull);
        }
        let full = self.gids.len() >= self.limits.open_max;
        if full && !mutants::is_on(Mutant::OpenLimitIgnored) {
            return Err(Rejection::OpenFull { max: self.limits.open_max as u64 });
        }
        let kept = match mutants::is_on(Mutant::KeptBytesTaken) {
            true => 0,
            false => self.limits.open_bytes_max / KEPT_PART,
        };
        let bytes_max = self.limits.open_bytes_max - kept;
        self.fits(branches, bytes_max)?;
        self.clock.begun(self.now).ok_or(Rejection::Starting)
    }

    /// Whether an open transaction may have one more branch.
    pub(super) fn admit_branch(&self, slot: Slot, spec: &BranchSpec) -> Result<(), Rejection> {
        let transaction = &self.slots.entry(slot).transaction;
        // What is over, or known, hears what became of it.
        match transaction.verdict().is_some() || transaction.find(&spec.id).is_some() {
            true => Ok(()),
            false => self.fits(core::slice::from_ref(spec), self.limits.open_bytes_max),
        }
    }

    fn fits(&self, branches: &[BranchSpec], bytes_max: usize) -> Result<(), Rejection> {
        let bytes: usize = branches.iter().map(|branch| branch.payload.len()).sum();
        // A transaction without a payload costs what `open_max` bounds.
        let full = bytes > 0 && self.bytes.saturating_add(bytes) > bytes_max;
        if full && !mutants::is_on(Mutant::OpenBytesIgnored) {
            return Err(Rejection::OpenBytesFull { max: self.limits.open_bytes_max as u64 });
        }
        let destinations = branches.iter().map(|branch| &branch.destination);
        match self.lanes.has_room(destinations, self.limits.destinations_max) {
            true => Ok(()),
            false => Err(Rejection::DestinationsFull { max: self.limits.destinations_max as u64 }),
        }
    }

    /// Counts what a transaction has come to hold, and lets destinations know of its branches.
    pub(super) fn claim(&mut self, slot: Slot) {
        let entry = self.slots.entry_mut(slot);
        let branches = &entry.transaction.branches;
        for branch in &branches[entry.claimed..] {
            self.lanes.claim(&branch.spec.destination);
        }
        entry.claimed = branches.len();
        let bytes = branches.iter().map(|branch| {
            branch.spec.payload.len()
                + match &branch.first {
                    First::Done { reply, .. } => reply.len(),
                    First::Unknown | First::Refused(_) => 0,
                }
        });
        let bytes: usize = bytes.sum();
        self.bytes = self.bytes - entry.bytes + bytes;
        entry.bytes = bytes;
    }

    /// A transaction is let go.
    pub(super) fn release(&mut self, entry: &Entry) {
        for branch in &entry.transaction.branches[..entry.claimed] {
            self.lanes.release(&branch.spec.destination);
        }
        self.bytes -= entry.bytes;
    }
}
