//! Carrying: a transaction that stays open for long is written once more, so that the segment it
//! began in can go.

use super::batch::DraftBody;
use super::committer::{Committer, Queued, QueuedContent, Tip};
use crate::disk::Segment;
use crate::encoding::{Naming, put_record};
use std::collections::VecDeque;
use wholly_core::ids::{Gid, Version};
use wholly_core::record::{Record, Summary};

/// Bytes that may be carried before anything else is written.
const CREDIT_BYTES: u64 = 64 << 10;
/// Bytes that may be carried at a time, however much was written besides.
const CREDIT_BYTES_MAX: u64 = 1 << 20;

/// Segments that a log may always have before anything is carried.
const SEGMENTS_MIN: u64 = 4;

/// What is being carried out of the oldest segment.
#[derive(Debug)]
pub(super) struct Carrying {
    segment: Segment,
    /// Its open transactions that are still to be carried.
    open: VecDeque<Gid>,
    /// Bytes that may be carried: no more than were written besides, so that a log full of open
    /// transactions is not written over and over.
    credit: u64,
}

impl Default for Carrying {
    fn default() -> Self {
        Carrying { segment: Segment(0), open: VecDeque::new(), credit: CREDIT_BYTES }
    }
}

impl Carrying {
    pub(super) fn earn(&mut self, bytes: usize) {
        self.credit = (self.credit + bytes as u64).min(CREDIT_BYTES_MAX);
    }
}

impl Committer {
    /// An open transaction that keeps the oldest segment from being removed while the log is
    /// larger than it should be. Its records should be read and given to [`Committer::carry`]
    /// before anything else is asked of the committer.
    pub fn to_carry(&mut self) -> Option<Gid> {
        if self.log.bytes() <= self.carried_from() || self.carrying.credit == 0 {
            return None;
        }
        let oldest = *self.log.closed.keys().next()?;
        let index = self.index.read().expect("nobody panics while holding the index");
        let ended = index.pins(oldest).is_some_and(|pins| pins.ended > 0);
        if self.archive.is_some() && ended {
            // What has ended there must be archived first.
            return None;
        }
        if self.carrying.segment != oldest {
            let open = index.open_in(oldest).into_iter().map(|(_, gid)| gid).collect();
            self.carrying.segment = oldest;
            self.carrying.open = open;
        }
        let gid = self.carrying.open.pop_front()?;
        let known = index.find(&gid)?;
        match self.heads.find(&gid) {
            None => None,
            Some(tip) if tip.version == known.version => Some(gid),
            Some(_) => {
                // Drafts of it wait for a batch; its turn comes again behind them.
                self.carrying.open.push_back(gid);
                None
            }
        }
    }

    /// From how many bytes of log on open transactions are carried. With an archive the log is as
    /// large as what is open needs, so that a start reads little.
    fn carried_from(&self) -> u64 {
        let full = self.options.log_bytes_max / 4 * 3;
        if self.archive.is_none() {
            return full;
        }
        let open = self.open_bytes * self.options.log_per_open;
        open.max(SEGMENTS_MIN * self.options.segment_bytes).min(full)
    }

    /// Writes all records of an open transaction once more, with the next batch.
    pub fn carry(&mut self, gid: &Gid, records: &[Record]) {
        let index = self.index.read().expect("nobody panics while holding the index");
        let summary = index.summary(gid).expect("what is to be carried is known");
        drop(index);
        let tip = self.heads.find(gid).expect("what is to be carried is open");
        let version = tip.version;
        assert_eq!(version.0, records.len() as u64, "all durable records of {gid} are carried");
        let mut bytes = Vec::new();
        records.iter().for_each(|record| put_record(gid, record, &mut bytes));
        self.append_carried(gid, version, summary, &bytes);
    }

    /// Queues a carried transaction, its records encoded already.
    pub(super) fn append_carried(
        &mut self,
        gid: &Gid,
        version: Version,
        summary: Summary,
        records: &[u8],
    ) {
        let (name, phase) = (summary.name.clone(), summary.phase);
        let tip = Tip { version, name, last: None, phase, bytes: 0 };
        if self.heads.find(gid).is_none() {
            self.heads.insert(gid.clone(), tip);
        }
        let (after, count, naming) = (Version(0), version.0, Naming::Written);
        let body = DraftBody { gid, after, count, summary: &summary, naming };
        let body = body.with_bytes(records);
        self.carrying.credit = self.carrying.credit.saturating_sub(body.len() as u64);
        let content = QueuedContent::Carried { gid: gid.clone(), version, summary };
        self.enqueue(Queued { position: self.appended, content, body }, 0);
    }
}
