//! The committer: gathers what has arrived into one batch, one write, one sync. No I/O of its own.
//!
//! It asks for one disk operation at a time. Once one has failed it asks for no other, ever: what
//! a failed write or sync left behind is not known, and a second sync may say done of bytes that
//! are lost.

use super::Options;
use super::batch::{
    BatchWriter, DRAFT_BYTES_MAX, DraftBody, HEAD_BYTES_MAX, HEADER_BYTES, Head, Seal, mark_body,
};
use super::carrying::Carrying;
use super::hand_over::HandOver;
use super::removal::Removal;
use crate::contract::{Completion, Failure, Stats};
use crate::disk::{DiskOp, Segment};
use crate::encoding::Naming;
use crate::gids::GidMap;
use crate::index::{Index, Location, Update};
use crate::mutants::{self, Mutant};
use crate::retention::{Doomed, EndedOne, Retention, Why};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem;
use std::sync::{Arc, RwLock};
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Gid, Name, Position, Version};
use wholly_core::input::Room;
use wholly_core::record::{ClockMark, PhaseName, Record, Summary};
use wholly_core::time::Timestamp;

/// The index as committer and readers share it.
pub type SharedIndex = Arc<RwLock<Index>>;

/// Turns drafts into disk operations, and their results into completions.
pub struct Committer {
    pub(super) options: Options,
    pub(super) index: SharedIndex,
    pub(super) heads: GidMap<Tip>,
    pub(super) retention: Retention,
    pub(super) log: LogState,
    queue: VecDeque<Queued>,
    pub(super) appended: Position,
    wanted: Position,
    plan: VecDeque<Planned>,
    in_flight: Option<InFlight>,
    batch: Option<PlannedBatch>,
    pub(super) carrying: Carrying,
    /// Bytes of all open transactions in the log.
    pub(super) open_bytes: u64,
    /// None for a log that forgets by itself.
    pub(super) archive: Option<HandOver>,
    room: Room,
    pub(super) condition: Condition,
    stats: Stats,
}

/// An open transaction as its last queued draft leaves it.
#[derive(Clone, Debug)]
pub(super) struct Tip {
    pub(super) version: Version,
    pub(super) name: Name,
    /// Its last draft in the log; none before the first was given a place.
    pub(super) last: Option<Location>,
    pub(super) phase: PhaseName,
    /// Bytes of its drafts in the log, or of those that it was carried with and since.
    pub(super) bytes: u64,
}

/// What is known of the log as a whole.
#[derive(Clone, Debug)]
pub(super) struct LogState {
    pub(super) seal: Seal,
    /// Where the next batch goes.
    pub(super) offset: u32,
    /// How far the segment's file reaches.
    pub(super) written: u64,
    /// Segments before it, and their lengths.
    pub(super) closed: BTreeMap<Segment, u64>,
    /// The checksum of the last batch.
    pub(super) chain: u32,
    pub(super) durable: Position,
    pub(super) epoch: u64,
    pub(super) forgotten: Timestamp,
    /// How many ends lie in batches.
    pub(super) ends: u64,
    /// How many lie in durable ones.
    pub(super) ends_durable: u64,
    /// The last durable mark and its segment, which must stay.
    pub(super) mark: Option<(ClockMark, Segment)>,
}

/// A draft that waits for its batch.
pub(super) struct Queued {
    pub(super) position: Position,
    pub(super) content: QueuedContent,
    pub(super) body: Vec<u8>,
}

pub(super) enum QueuedContent {
    Transaction { gid: Gid, after: Version, version: Version, summary: Summary },
    Carried { gid: Gid, version: Version, summary: Summary },
    Mark(ClockMark),
}

struct Planned {
    op: DiskOp,
    step: Step,
}

struct InFlight {
    operation: String,
    step: Step,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Prepare,
    PrepareSync,
    BatchWrite,
    BatchSync,
    Unlink,
}

/// What a batch changes once it is durable.
struct PlannedBatch {
    head: Head,
    updates: Vec<Update>,
    doomed: Removal,
    /// How many have ended with it.
    ends: u64,
    mark: Option<(ClockMark, Segment)>,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Sound,
    Failed,
}

impl Committer {
    /// A committer whose next batch opens the segment that the log state names.
    pub(super) fn new(
        options: Options,
        index: SharedIndex,
        heads: GidMap<Tip>,
        retention: Retention,
        log: LogState,
        archive: Option<HandOver>,
    ) -> Self {
        let stats = Stats { durable: log.durable, ..Stats::default() };
        let open_bytes = heads.iter().map(|(_, tip)| tip.bytes).sum();
        let mut committer = Committer {
            appended: log.durable,
            wanted: log.durable,
            options,
            index,
            heads,
            retention,
            log,
            queue: VecDeque::new(),
            plan: VecDeque::new(),
            in_flight: None,
            batch: None,
            carrying: Carrying::default(),
            open_bytes,
            archive,
            room: Room::Free,
            condition: Condition::Sound,
            stats,
        };
        committer.plan_segment();
        committer
    }

    /// The index of what is durable, for readers.
    pub fn index(&self) -> SharedIndex {
        Arc::clone(&self.index)
    }

    /// Figures for metrics.
    pub fn stats(&self) -> Stats {
        let index = self.index.read().expect("nobody panics while holding the index");
        let archive = self.archive.as_ref();
        Stats {
            durable: self.log.durable,
            open: index.open_count() as u64,
            ended: index.ended_count() as u64 + archive.map_or(0, HandOver::rows),
            unarchived: archive.map_or(0, |_| index.ended_count() as u64),
            archive_bytes: archive.map_or(0, HandOver::bytes),
            slices: archive.map_or(0, HandOver::slices),
            log_bytes: self.log.bytes(),
            segments: self.log.closed.len() as u64 + 1,
            ..self.stats
        }
    }

    /// Everything up to this position is durable.
    pub fn durable(&self) -> Position {
        self.log.durable
    }

    /// The position of the last draft that was handed over.
    pub fn appended(&self) -> Position {
        self.appended
    }

    /// Queues a draft. Panics if it does not follow its transaction or leaves a gap.
    pub fn append(&mut self, draft: Draft) {
        let Draft { position, content } = draft;
        match content {
            Content::Transaction { gid, after, records, summary } => {
                self.append_records(position, gid, after, &records, summary);
            }
            Content::Mark(mark) => {
                let body = mark_body(&mark);
                self.enqueue(Queued { position, content: QueuedContent::Mark(mark), body }, 1);
            }
        }
    }

    /// Asks that everything up to a position become durable.
    pub fn flush(&mut self, through: Position) {
        assert!(through <= self.appended, "a flush goes no further than what was appended");
        self.wanted = self.wanted.max(through);
    }

    /// The next operation to carry out; none while one is under way, or if there is nothing to do.
    #[expect(clippy::should_implement_trait, reason = "no sequence: none says to come again")]
    pub fn next(&mut self) -> Option<DiskOp> {
        if self.in_flight.is_some() || self.condition == Condition::Failed {
            return None;
        }
        if self.plan.is_empty() && self.wanted > self.log.durable {
            self.plan_batch();
        }
        let Planned { op, step } = self.plan.pop_front()?;
        let bytes = match &op {
            DiskOp::Write { bytes, .. } => bytes.len() as u64,
            DiskOp::Create { .. }
            | DiskOp::Sync { .. }
            | DiskOp::SyncFolder
            | DiskOp::Unlink { .. } => 0,
        };
        self.in_flight = Some(InFlight { operation: op.to_string(), step, bytes });
        Some(op)
    }

    /// Takes the result of the operation under way.
    pub fn complete(&mut self, result: io::Result<()>) -> Vec<Completion> {
        let done = self.in_flight.take().expect("an operation is under way");
        if let Err(cause) = result
            && !(done.step == Step::BatchSync && mutants::is_on(Mutant::SyncErrorIgnored))
        {
            self.condition = Condition::Failed;
            self.plan.clear();
            return vec![Completion::Failed(Failure { operation: done.operation, cause })];
        }
        self.stats.written_bytes += done.bytes;
        let mut completions = Vec::new();
        match done.step {
            Step::Prepare => {}
            Step::PrepareSync => self.stats.syncs += 1,
            Step::BatchWrite => {
                if mutants::is_on(Mutant::DurableBeforeSync) {
                    self.finish_batch(&mut completions);
                }
            }
            Step::BatchSync => {
                self.stats.syncs += 1;
                self.stats.flushes += 1;
                self.finish_batch(&mut completions);
            }
            Step::Unlink => {}
        }
        completions
    }

    /// Bytes of the drafts that wait for a batch.
    #[cfg(test)]
    pub(super) fn waiting_bytes(&self) -> usize {
        self.queue.iter().map(|queued| queued.body.len()).sum()
    }

    /// Whether nothing is under way and nothing is asked for.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.plan.is_empty() && self.wanted <= self.log.durable
    }

    fn append_records(
        &mut self,
        position: Position,
        gid: Gid,
        after: Version,
        records: &[Record],
        summary: Summary,
    ) {
        assert!(!records.is_empty(), "a draft of {gid} has no record");
        let count = records.len() as u64;
        let naming = self.follow(&gid, after, count, &summary);
        let body = DraftBody { gid: &gid, after, count, summary: &summary, naming };
        let body = body.with_records(records);
        let version = Version(after.0 + count);
        let content = QueuedContent::Transaction { gid, after, version, summary };
        self.enqueue(Queued { position, content, body }, count);
    }

    /// Queues a draft whose records are encoded already: one from the tail of a log.
    pub(super) fn append_again(
        &mut self,
        gid: Gid,
        after: Version,
        count: u64,
        summary: Summary,
        records: &[u8],
    ) {
        let naming = self.follow(&gid, after, count, &summary);
        let body = DraftBody { gid: &gid, after, count, summary: &summary, naming };
        let body = body.with_bytes(records);
        let version = Version(after.0 + count);
        let content = QueuedContent::Transaction { gid, after, version, summary };
        let position = Position(self.appended.0 + count);
        self.enqueue(Queued { position, content, body }, count);
    }

    /// Checks that a draft follows its transaction, and says whether its name must be written.
    fn follow(&mut self, gid: &Gid, after: Version, count: u64, summary: &Summary) -> Naming {
        let version = Version(after.0 + count);
        let Some(tip) = self.heads.find_mut(gid) else {
            assert_eq!(after, Version(0), "{gid} is not open, yet a draft follows its records");
            let (name, phase) = (summary.name.clone(), summary.phase);
            self.heads.insert(gid.clone(), Tip { version, name, last: None, phase, bytes: 0 });
            return Naming::Written;
        };
        assert_eq!(tip.version, after, "{gid} is at another version than its draft follows");
        assert_ne!(tip.phase, PhaseName::Ended, "{gid} has ended, yet a draft follows");
        tip.version = version;
        tip.phase = summary.phase;
        if tip.name == summary.name {
            return Naming::Known;
        }
        tip.name = summary.name.clone();
        Naming::Written
    }

    pub(super) fn enqueue(&mut self, queued: Queued, count: u64) {
        self.appended.0 += count;
        assert_eq!(self.appended, queued.position, "positions have no gap");
        self.queue.push_back(queued);
    }

    fn plan_batch(&mut self) {
        let drafts = self.gather();
        let ends = self.log.ends;
        self.count_ends(&drafts);
        let needed: usize = drafts.iter().map(|d| d.body.len() + DRAFT_BYTES_MAX).sum();
        let needed = (needed + HEAD_BYTES_MAX) as u64;
        let end = u64::from(self.log.offset) + needed;
        if end > self.options.segment_bytes && self.log.offset as usize > HEADER_BYTES {
            self.roll_over();
        }
        let doomed = self.doom(needed);
        let replaced = self.replaced(&drafts);
        for begun in doomed.begins().chain(replaced) {
            self.log.forgotten = self.log.forgotten.max(begun);
        }
        let last = drafts.last().expect("a batch is planned for what waits").position;
        let archived = match &self.archive {
            Some(archive) => doomed.slices.forgotten..archive.kept().end,
            None => self.retention.forgotten()..self.retention.forgotten(),
        };
        let head = Head {
            chain: self.log.chain,
            first: Position(self.log.durable.0 + 1),
            last,
            durable: self.log.durable,
            epoch: self.log.epoch,
            forgotten: self.log.forgotten,
            ends,
            ends_archived: archived.end,
            ends_forgotten: archived.start,
            oldest: doomed.oldest,
        };
        self.plan_write(head, drafts, doomed);
    }

    /// Takes what waits, as far as a batch may go; at least one draft with a position.
    fn gather(&mut self) -> Vec<Queued> {
        let mut drafts: Vec<Queued> = Vec::new();
        let mut bytes = 0;
        while let Some(queued) = self.queue.front() {
            let positioned = drafts.last().is_some_and(|last| last.position > self.log.durable);
            if positioned && bytes + queued.body.len() > self.options.batch_bytes_max {
                break;
            }
            bytes += queued.body.len();
            drafts.extend(self.queue.pop_front());
        }
        drafts
    }

    fn count_ends(&mut self, drafts: &[Queued]) {
        for queued in drafts {
            let QueuedContent::Transaction { gid, summary, .. } = &queued.content else { continue };
            if summary.phase == PhaseName::Ended {
                self.log.ends += 1;
                let ended = summary.ended.unwrap_or(summary.changed);
                self.retention.push(EndedOne { begun: summary.begun, gid: gid.clone(), ended });
            }
        }
    }

    fn plan_write(&mut self, head: Head, drafts: Vec<Queued>, doomed: Removal) {
        let segment = self.log.seal.segment;
        let offset = self.log.offset;
        let mut writer = BatchWriter::new(self.log.seal, offset, &head);
        let mut updates = Vec::with_capacity(drafts.len());
        let mut mark = None;
        for Queued { content, body, .. } in drafts {
            match content {
                QueuedContent::Transaction { gid, after, version, summary } => {
                    let location = self.place(&gid, &summary, &body, &mut writer);
                    self.carrying.earn(body.len());
                    updates.push(Update { gid, after, version, location, summary });
                }
                QueuedContent::Carried { gid, version, summary } => {
                    let location = writer.carried(&body);
                    let tip = self.heads.find_mut(&gid).expect("a carried transaction is open");
                    tip.last = Some(location);
                    let bytes = mem::replace(&mut tip.bytes, body.len() as u64);
                    self.open_bytes = self.open_bytes + tip.bytes - bytes;
                    let after = Version(0);
                    updates.push(Update { gid, after, version, location, summary });
                }
                QueuedContent::Mark(latest) => {
                    writer.mark(&body);
                    mark = Some((latest, segment));
                }
            }
        }
        let (mut bytes, checksum) = writer.finish();
        let length = bytes.len() as u64;
        self.log.chain = checksum;
        self.log.offset += bytes.len() as u32;
        self.write_ahead(&mut bytes);
        let ends = self.log.ends;
        self.batch = Some(PlannedBatch { head, updates, doomed, ends, mark, bytes: length });
        let write = DiskOp::Write { segment, offset: u64::from(offset), bytes };
        self.plan.push_back(Planned { op: write, step: Step::BatchWrite });
        self.plan.push_back(Planned { op: DiskOp::Sync { segment }, step: Step::BatchSync });
    }

    /// Gives a draft its place in the batch.
    fn place(
        &mut self,
        gid: &Gid,
        summary: &Summary,
        body: &[u8],
        writer: &mut BatchWriter,
    ) -> Location {
        let tip = self.heads.find_mut(gid).expect("a queued draft's transaction is open");
        let location = writer.transaction(tip.last, body);
        tip.last = Some(location);
        tip.bytes += body.len() as u64;
        self.open_bytes += body.len() as u64;
        let bytes = tip.bytes;
        if summary.phase == PhaseName::Ended {
            self.heads.remove(gid);
            self.open_bytes -= bytes;
        }
        location
    }

    /// Adds zeros where a write passes the end of the file, so that the next ones do not: a sync
    /// is dear when the file has grown.
    fn write_ahead(&mut self, bytes: &mut Vec<u8>) {
        let end = u64::from(self.log.offset);
        if end <= self.log.written {
            return;
        }
        let ahead = end.next_multiple_of(self.options.prewrite_bytes);
        let ahead = ahead.min(self.options.segment_bytes).max(end);
        bytes.resize(bytes.len() + (ahead - end) as usize, 0);
        self.log.written = ahead;
    }

    fn roll_over(&mut self) {
        let Segment(number) = self.log.seal.segment;
        self.log.closed.insert(self.log.seal.segment, self.log.written);
        self.log.seal.segment = Segment(number + 1);
        self.log.offset = 0;
        self.plan_segment();
    }

    /// Creates the log's segment, header and zeros first, and syncs it, folder included.
    fn plan_segment(&mut self) {
        let segment = self.log.seal.segment;
        let mut bytes = self.log.seal.header();
        self.log.written = 0;
        self.log.offset = HEADER_BYTES as u32;
        self.write_ahead(&mut bytes);
        let write = DiskOp::Write { segment, offset: 0, bytes };
        let steps = [
            (DiskOp::Create { segment }, Step::Prepare),
            (write, Step::Prepare),
            (DiskOp::Sync { segment }, Step::PrepareSync),
            (DiskOp::SyncFolder, Step::PrepareSync),
        ];
        self.plan.extend(steps.map(|(op, step)| Planned { op, step }));
        if mutants::is_on(Mutant::FolderNotSynced) {
            self.plan.pop_back();
        }
        if mutants::is_on(Mutant::HeaderNotSynced) {
            self.plan.retain(|planned| planned.op != DiskOp::Sync { segment });
        }
    }

    fn finish_batch(&mut self, completions: &mut Vec<Completion>) {
        let Some(batch) = self.batch.take() else { return };
        self.log.durable = batch.head.last;
        self.log.mark = batch.mark.or(self.log.mark);
        self.stats.batch_bytes += batch.bytes;
        self.stats.bytes_per_batch.note(batch.bytes);
        self.stats.drafts_per_batch.note(batch.updates.len() as u64);
        self.log.ends_durable = batch.ends;
        let lost = self.publish(&batch.head, batch.updates, batch.doomed);
        completions.push(Completion::Durable(match mutants::is_on(Mutant::DurableBeyondBatch) {
            true => self.appended,
            false => self.log.durable,
        }));
        if lost > 0 {
            self.stats.lost += lost;
            completions.push(Completion::Lost { count: lost });
        }
        let needed = self.log.closed.split_off(&batch.head.oldest);
        for segment in mem::replace(&mut self.log.closed, needed).into_keys() {
            self.plan_unlink(segment);
        }
        self.report_room(completions);
    }

    /// Shows a durable batch to readers; says how many were forgotten before their time.
    fn publish(&mut self, head: &Head, updates: Vec<Update>, doomed: Removal) -> u64 {
        let mut index = self.index.write().expect("nobody panics while holding the index");
        for update in updates {
            index.apply(update);
        }
        index.raise_forgotten(head.forgotten);
        let mut lost = doomed.slices.lost;
        if let Some(archive) = &mut self.archive {
            archive.forget(&doomed.slices);
            index.set_ends(archive.kept());
        }
        for Doomed { one, why } in doomed.ended {
            let known = index.forget(one.begun, &one.gid);
            lost += match why {
                Why::Room if known => 1,
                Why::Room | Why::Age => 0,
            };
        }
        lost
    }

    pub(super) fn report_room(&mut self, completions: &mut Vec<Completion>) {
        let full = self.log.bytes() >= self.options.log_bytes_max;
        let room = if full { Room::Full } else { Room::Free };
        if room != self.room {
            self.room = room;
            completions.push(Completion::Room(room));
        }
    }

    /// Removes a file that is of no use.
    pub(super) fn plan_unlink(&mut self, segment: Segment) {
        let op = DiskOp::Unlink { segment };
        self.plan.push_back(Planned { op, step: Step::Unlink });
    }

    /// Queues a mark from the tail of a log.
    pub(super) fn append_mark_again(&mut self, mark: ClockMark) {
        let position = Position(self.appended.0 + 1);
        self.append(Draft { position, content: Content::Mark(mark) });
    }
}

impl LogState {
    /// What the log takes: closed segments whole, the last one as far as batches go.
    pub(super) fn bytes(&self) -> u64 {
        self.closed.values().sum::<u64>() + u64::from(self.offset)
    }
}
