//! Hand-over: ended transactions go to the archive in bulk, in the order of their ends; only what
//! is durable there leaves the log. No I/O of its own: one operation at a time, beside the disk's.
//!
//! Everything that has ended passes the archive, so that "the first n ends are archived, the first
//! m of them forgotten" says all there is to say, in few bytes, in each batch. A crash between two
//! steps leaves some of the ends in both; the archive's own word, that it holds the first n,
//! settles at the start in which of them they are known.

use super::committer::{Committer, Condition};
use super::{FoundArchive, OpenError};
use crate::archive::{
    ArchiveDone, ArchiveError, ArchiveLimits, ArchiveOp, Slice, SliceFacts, ToArchive,
};
use crate::contract::{Completion, Failure};
use crate::disk::Segment;
use crate::mutants::{self, Mutant};
use crate::retention::{EndedOne, Why};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use wholly_core::record::ClockMark;
use wholly_core::time::Timestamp;

/// Handed-over transactions that leave the index in one go: nobody who reads it waits for long.
const PUBLISHED_MAX: u64 = 512;

/// What is known of the archive, and what is under way there.
pub(super) struct HandOver {
    limits: ArchiveLimits,
    slices: VecDeque<SliceFacts>,
    /// The next slice has this number.
    next: Slice,
    plan: VecDeque<ArchiveOp>,
    in_flight: Option<String>,
    bulk: Option<Bulk>,
    /// So many ends are archived, for readers as well.
    archived: u64,
    /// So many of them are forgotten.
    forgotten: u64,
    /// So many slices go once the batch under way is durable; nothing is put into them any more.
    doomed: usize,
}

/// What is being handed over.
struct Bulk {
    slice: Slice,
    ends: Range<u64>,
    /// The oldest segment that it may be read from, also where its gid is used again meanwhile.
    from: Segment,
}

/// How a hand-over stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archiving {
    /// An operation is under way.
    UnderWay,
    /// Its next operation is to be asked for.
    Planned,
    /// None has been begun.
    Idle,
}

/// Slices that a batch forgets.
#[derive(Debug, Default)]
pub(super) struct DoomedSlices {
    pub(super) slices: usize,
    pub(super) begun_max: Timestamp,
    /// Transactions in them whose retention time is not over.
    pub(super) lost: u64,
    /// So many ends are forgotten with them.
    pub(super) forgotten: u64,
}

/// The ends that the archive keeps, which is at least what the log relies on.
pub(super) fn kept_ends(
    relied: Range<u64>,
    archive: Option<&FoundArchive>,
) -> Result<Range<u64>, OpenError> {
    let slices = archive.map_or(&[][..], |archive| &archive.slices);
    let mut through = relied.start;
    for facts in slices.iter().filter(|facts| facts.through > relied.start) {
        if facts.from > through {
            return Err(OpenError::ArchiveMissing { from: through, through: facts.from });
        }
        through = facts.through;
    }
    if through < relied.end {
        return Err(OpenError::ArchiveMissing { from: through, through: relied.end });
    }
    if mutants::is_on(Mutant::HandedOverTwice) {
        through = relied.end;
    }
    Ok(relied.start..through)
}

impl HandOver {
    /// An archive as it was found: the ends that are kept there, and its slices, useless ones
    /// included.
    pub(super) fn restored(
        limits: ArchiveLimits,
        slices: Vec<SliceFacts>,
        kept: Range<u64>,
    ) -> HandOver {
        let next = Slice(slices.last().map_or(0, |facts| facts.slice.0) + 1);
        let (useless, slices): (Vec<_>, Vec<_>) =
            slices.into_iter().partition(|facts| facts.through <= kept.start);
        let remove = |facts: &SliceFacts| ArchiveOp::Remove { slice: facts.slice };
        HandOver {
            limits,
            slices: slices.into(),
            next,
            plan: useless.iter().map(remove).collect(),
            in_flight: None,
            bulk: None,
            archived: kept.end,
            forgotten: kept.start,
            doomed: 0,
        }
    }

    /// The ends that are archived and not forgotten.
    pub(super) fn kept(&self) -> Range<u64> {
        self.forgotten..self.archived
    }

    /// The oldest segment that is still read for what is being handed over.
    pub(super) fn reads_from(&self) -> Option<Segment> {
        self.bulk.as_ref().map(|bulk| bulk.from)
    }

    pub(super) fn rows(&self) -> u64 {
        self.slices.iter().map(|facts| facts.rows).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.slices.iter().map(|facts| facts.bytes).sum()
    }

    pub(super) fn slices(&self) -> u64 {
        self.slices.len() as u64
    }

    /// Which slices the next batch forgets: the oldest ones, if all in them are old enough under
    /// the last durable mark, or if the archive takes more than it may.
    pub(super) fn doom(&mut self, mark: Option<ClockMark>) -> DoomedSlices {
        let mut doomed = DoomedSlices { forgotten: self.forgotten, ..DoomedSlices::default() };
        let mut bytes = self.bytes();
        let growing = self.bulk.as_ref().map(|bulk| bulk.slice);
        for facts in &self.slices {
            let aged = mark.is_some_and(|mark| {
                let counts = facts.begun_max >= mark.limit && !mutants::is_on(Mutant::GidFreeEarly);
                !counts && facts.ended_max < mark.ended_before
            });
            let why = match (aged, bytes > self.limits.archive_bytes_max) {
                (true, _) => Why::Age,
                (false, true) => Why::Room,
                (false, false) => break,
            };
            if growing == Some(facts.slice) {
                break;
            }
            bytes -= facts.bytes;
            doomed.slices += 1;
            doomed.begun_max = doomed.begun_max.max(facts.begun_max);
            doomed.forgotten = facts.through;
            doomed.lost += match why {
                Why::Room => facts.rows,
                Why::Age => 0,
            };
        }
        self.doomed = doomed.slices;
        if mutants::is_on(Mutant::SliceRemovedEarly) {
            self.plan_removal(doomed.slices);
        }
        doomed
    }

    /// The batch that forgets some slices is durable: they go.
    pub(super) fn forget(&mut self, doomed: &DoomedSlices) {
        if !mutants::is_on(Mutant::SliceRemovedEarly) {
            self.plan_removal(doomed.slices);
        }
        self.slices.drain(..doomed.slices);
        self.forgotten = doomed.forgotten;
        self.doomed = 0;
    }

    fn plan_removal(&mut self, count: usize) {
        let doomed = self.slices.iter().take(count);
        self.plan.extend(doomed.map(|facts| ArchiveOp::Remove { slice: facts.slice }));
    }

    /// The slice into which one goes that ended then.
    fn slice_for(&self, ended: Timestamp) -> Slice {
        let Some(last) = self.slices.range(self.doomed..).next_back() else { return self.next };
        let full = last.rows >= self.limits.slice_rows_max
            || last.bytes >= self.limits.slice_bytes_max()
            || ended.since_ms(last.ended_min) > self.limits.slice_ms_max;
        if full { self.next } else { last.slice }
    }

    /// Takes in what a commit made of a slice.
    fn take_in(&mut self, facts: SliceFacts) {
        match self.slices.back_mut() {
            Some(last) if last.slice == facts.slice => *last = facts,
            Some(_) | None => self.slices.push_back(facts),
        }
        self.next = Slice(facts.slice.0 + 1);
    }
}

impl Committer {
    /// The next operation on the archive; none while one is under way, or if there is nothing to
    /// do. It may be carried out beside those on the disk, and take its time.
    pub fn next_archive(&mut self) -> Option<ArchiveOp> {
        if self.condition == Condition::Failed || self.archive.as_ref()?.in_flight.is_some() {
            return None;
        }
        if self.archive.as_ref()?.plan.is_empty() {
            self.plan_bulk();
        }
        let archive = self.archive.as_mut()?;
        let op = archive.plan.pop_front()?;
        archive.in_flight = Some(op.to_string());
        Some(op)
    }

    /// How the hand-over stands that has been begun.
    pub fn archiving(&self) -> Archiving {
        match &self.archive {
            Some(archive) if archive.in_flight.is_some() => Archiving::UnderWay,
            Some(archive) if !archive.plan.is_empty() => Archiving::Planned,
            Some(_) | None => Archiving::Idle,
        }
    }

    /// Takes the result of the archive's operation under way.
    pub fn complete_archive(
        &mut self,
        result: Result<ArchiveDone, ArchiveError>,
    ) -> Vec<Completion> {
        let archive = self.archive.as_mut().expect("only an archive's operation is completed");
        let operation = archive.in_flight.take().expect("an operation is under way");
        match result {
            Ok(ArchiveDone::Put) if mutants::is_on(Mutant::ArchivedBeforeCommit) => {
                let bulk = archive.bulk.as_ref().expect("what is put is to be committed");
                let ends = bulk.ends.clone();
                self.publish_archived(ends);
            }
            Ok(ArchiveDone::Put | ArchiveDone::Removed) => {}
            Ok(ArchiveDone::Committed(facts)) => {
                archive.take_in(facts);
                let bulk = archive.bulk.take().expect("what is committed was put");
                self.publish_archived(bulk.ends);
            }
            Err(error) => {
                self.condition = Condition::Failed;
                let cause = io::Error::other(error);
                return vec![Completion::Failed(Failure { operation, cause })];
            }
        }
        Vec::new()
    }

    /// Plans to hand over the oldest ends, if there are enough of them, or if they keep a segment
    /// that could go.
    fn plan_bulk(&mut self) {
        let from = self.oldest();
        let Some(archive) = &mut self.archive else { return };
        let first = self.retention.forgotten();
        let waiting = self.log.ends_durable.saturating_sub(first);
        if waiting == 0 {
            return;
        }
        let index = self.index.read().expect("nobody panics while holding the index");
        let Some(oldest) = self.retention.front() else { return };
        let writing = self.log.seal.segment;
        let held_up = index.ended_one(oldest.begun, &oldest.gid);
        let held_up = held_up.is_none_or(|(_, known)| known.last.segment < writing);
        let aged = self.log.mark.is_some_and(|(mark, _)| is_over(oldest, &mark));
        let enough = waiting >= archive.limits.bulk_rows_max as u64;
        if !(enough || held_up || aged) {
            return;
        }
        let count = waiting.min(archive.limits.bulk_rows_max as u64);
        let ended: Vec<ToArchive> = (first..first + count)
            .zip(self.retention.iter())
            .filter_map(|(end, one)| {
                // One whose gid was used again is forgotten.
                let (summary, known) = index.ended_one(one.begun, &one.gid)?;
                let (version, last) = (known.version, known.last);
                Some(ToArchive { end, gid: one.gid.clone(), summary, version, last })
            })
            .collect();
        let slice = archive.slice_for(oldest.ended);
        // Ends that were gone with a segment before they could be handed over have no row.
        let ends = archive.archived..first + count;
        archive.bulk = Some(Bulk { slice, ends: ends.clone(), from });
        archive.plan.push_back(ArchiveOp::Put { slice, ended });
        archive.plan.push_back(ArchiveOp::Commit { slice, ends });
    }

    /// What the archive holds already, though the log found it behind its last proof.
    pub(super) fn settle_archive(&mut self) {
        if let Some(archive) = &self.archive {
            let kept = archive.kept();
            self.publish_archived(kept);
        }
    }

    /// What was handed over leaves the index, while readers are told to ask the archive for it.
    fn publish_archived(&mut self, ends: Range<u64>) {
        let archive = self.archive.as_mut().expect("somebody has committed");
        let mut at = self.retention.forgotten();
        while at < ends.end {
            let next = (at + PUBLISHED_MAX).min(ends.end);
            let mut index = self.index.write().expect("nobody panics while holding the index");
            let leaves = !mutants::is_on(Mutant::ListedTwice);
            for one in self.retention.hand_over((next - at) as usize).filter(|_| leaves) {
                index.forget(one.begun, &one.gid);
            }
            archive.archived = archive.archived.max(next);
            if !mutants::is_on(Mutant::LostInBetween) {
                index.set_ends(archive.kept());
            }
            at = next;
        }
    }
}

/// Whether an ended transaction may be forgotten because of its age.
fn is_over(one: &EndedOne, mark: &ClockMark) -> bool {
    one.begun < mark.limit && one.ended < mark.ended_before
}
