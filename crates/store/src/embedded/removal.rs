//! Removal: which segments a batch makes needless, and which outcomes it forgets.

use super::committer::{Committer, Queued, QueuedContent};
use crate::disk::Segment;
use crate::mutants::{self, Mutant};
use crate::retention::{Doomed, EndedOne, Why};
use wholly_core::ids::Version;
use wholly_core::time::Timestamp;

impl Committer {
    /// The oldest segment that is needed once the planned batch of so many bytes is durable. As
    /// long as the log would pass its limit in the next segment, what has ended in the oldest one
    /// is doomed with it.
    pub(super) fn oldest(&self, needed: u64, doomed: &mut Vec<Doomed>) -> Segment {
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
