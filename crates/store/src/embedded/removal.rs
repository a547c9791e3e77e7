//! Removal: which segments a batch makes needless, and which outcomes it forgets.

use super::committer::{Committer, Queued, QueuedContent};
use super::hand_over::{DoomedSlices, HandOver};
use crate::disk::Segment;
use crate::mutants::{self, Mutant};
use crate::retention::{Doomed, EndedOne, Why};
use wholly_core::ids::Version;
use wholly_core::time::Timestamp;

/// What a batch forgets, and what it makes needless.
pub(super) struct Removal {
    pub(super) ended: Vec<Doomed>,
    pub(super) slices: DoomedSlices,
    /// The oldest segment that is needed once the batch is durable.
    pub(super) oldest: Segment,
}

impl Removal {
    /// The begins of what is forgotten; of a slice the highest alone.
    pub(super) fn begins(&self) -> impl Iterator<Item = Timestamp> {
        let ended = self.ended.iter().map(|doomed| doomed.one.begun);
        ended.chain((self.slices.slices > 0).then_some(self.slices.begun_max))
    }
}

impl Committer {
    /// What the planned batch of so many bytes forgets. With an archive, whole slices of it: the
    /// log itself keeps what has ended until that is archived.
    pub(super) fn doom(&mut self, needed: u64) -> Removal {
        let mark = self.log.mark.map(|(mark, _)| mark);
        match &mut self.archive {
            Some(archive) => {
                let (ended, slices) = (Vec::new(), archive.doom(mark));
                Removal { ended, slices, oldest: self.oldest() }
            }
            None => {
                let mut ended = self.retention.doom(mark);
                let oldest = self.oldest_with_room(needed, &mut ended);
                Removal { ended, slices: DoomedSlices::default(), oldest }
            }
        }
    }

    /// The oldest segment in which something lies that is known or being archived, or the last
    /// mark.
    pub(super) fn oldest(&self) -> Segment {
        let index = self.index.read().expect("nobody panics while holding the index");
        let read = self.archive.as_ref().and_then(HandOver::reads_from);
        let needed = |segment: &Segment| {
            read.is_some_and(|from| from <= *segment)
                || self.log.mark.is_some_and(|(_, marked)| marked <= *segment)
                || index.pins(*segment).is_some() && !mutants::is_on(Mutant::SegmentUnlinkedEarly)
        };
        let oldest = self.log.closed.keys().find(|segment| needed(segment));
        oldest.copied().unwrap_or(self.log.seal.segment)
    }

    /// The same. As long as the log would pass its limit in the next segment, what has ended in
    /// the oldest one is doomed with it.
    fn oldest_with_room(&self, needed: u64, doomed: &mut Vec<Doomed>) -> Segment {
        let index = self.index.read().expect("nobody panics while holding the index");
        let mut bytes = self.log.bytes() + needed + self.options.segment_bytes;
        for (segment, length) in &self.log.closed {
            if self.log.mark.is_some_and(|(_, marked)| marked <= *segment) {
                return *segment;
            }
            match index.pins(*segment) {
                None => {}
                Some(_) if mutants::is_on(Mutant::SegmentUnlinkedEarly) => {}
                Some(pins) if pins.open == 0 && bytes > self.options.log_bytes_max => {
                    let ended = Timestamp::default();
                    let ones = index.ended_in(*segment).into_iter();
                    let ones = ones.map(|(begun, gid)| EndedOne { begun, gid, ended });
                    doomed.extend(ones.map(|one| Doomed { one, why: Why::Room }));
                }
                Some(_) => return *segment,
            }
            bytes = bytes.saturating_sub(*length);
        }
        self.log.seal.segment
    }

    /// Begins of ended transactions whose gids are used again by some drafts.
    pub(super) fn replaced(&self, drafts: &[Queued]) -> Vec<Timestamp> {
        let index = self.index.read().expect("nobody panics while holding the index");
        let gids = drafts.iter().filter_map(|queued| match &queued.content {
            QueuedContent::Transaction { gid, after: Version(0), .. } => Some(gid),
            QueuedContent::Transaction { .. }
            | QueuedContent::Carried { .. }
            | QueuedContent::Mark(_) => None,
        });
        gids.filter_map(|gid| index.begun(gid)).collect()
    }
}
