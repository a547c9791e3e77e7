//! Recovery: reads the log back, refuses what is damaged, writes its tail anew. No I/O of its own
//! but reads.
//!
//! A batch is known to have been durable if a later one says so. The batches behind the last such
//! one are the tail: nobody can tell whether they ever reached the disk or lie in the page cache
//! alone, so they are written to a fresh segment and synced before anything is answered. That
//! segment's first batch names the batch it follows, and with that the old copy of the tail is
//! void.

use super::batch::{Batch, HEADER_BYTES, Seal, Stored, StoredDraft};
use super::committer::{Committer, LogState, Tip};
use super::hand_over::{HandOver, kept_ends};
use super::steady::{Whole, damaged, was_durable};
use super::{FoundArchive, OpenError, Options};
use crate::contract::{Completion, Failure};
use crate::disk::{Disk, DiskOp, Segment};
use crate::encoding::{DecodeError, decode_records};
use crate::gids::GidMap;
use crate::index::{Index, Location, Update};
use crate::mutants::{self, Mutant};
use crate::retention::{EndedOne, Retention};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, RwLock};
use wholly_core::ids::{Gid, Name, Position, Version};
use wholly_core::input::Loaded;
use wholly_core::record::{ClockMark, PhaseName, Summary};
use wholly_core::time::Timestamp;

/// A log that has been read back and is being made ready; its operations must be carried out
/// before anything else.
pub struct Recovery {
    committer: Committer,
    loaded: Loaded,
    useless: VecDeque<Segment>,
    reports: Vec<Completion>,
}

/// A log that is ready.
pub struct Recovered {
    /// Takes drafts.
    pub committer: Committer,
    /// For the driver.
    pub loaded: Loaded,
    /// What is to be reported first.
    pub reports: Vec<Completion>,
}

impl Recovery {
    /// Reads a log back that has no archive; an empty disk is a log without records.
    pub fn read(disk: &dyn Disk, options: Options) -> Result<Recovery, OpenError> {
        Recovery::read_beside(disk, None, options)
    }

    /// Reads a log back beside what was found of its archive.
    pub fn read_beside(
        disk: &dyn Disk,
        archive: Option<FoundArchive>,
        options: Options,
    ) -> Result<Recovery, OpenError> {
        let options = options.sensible();
        let segments = disk.list().map_err(|cause| OpenError::List { cause })?;
        let oldest = oldest(disk, &segments)?;
        let mut scan = Scan::default();
        for (segment, length) in &segments {
            if *segment < oldest {
                scan.useless.push_back(*segment);
            } else {
                scan.segment(disk, *segment, *length, oldest)?;
            }
        }
        if oldest > Segment(0) && !segments.iter().any(|(segment, _)| *segment == oldest) {
            return Err(OpenError::Missing { segment: oldest });
        }
        let last = segments.last().map_or(0, |(segment, _)| segment.0);
        scan.into_recovery(archive, options, Segment(last + 1))
    }

    /// What was found, before anything is changed.
    #[cfg(feature = "sqlite")]
    pub(super) fn found(&self) -> (&Loaded, crate::contract::Stats) {
        (&self.loaded, self.committer.stats())
    }

    /// The next operation to carry out.
    #[expect(clippy::should_implement_trait, reason = "no sequence: none says to come again")]
    pub fn next(&mut self) -> Option<DiskOp> {
        // A file is of no use only once the tail, which says so, is durable.
        if self.committer.is_idle()
            && let Some(segment) = self.useless.pop_front()
        {
            self.committer.plan_unlink(segment);
        }
        self.committer.next()
    }

    /// Takes the result of the operation under way.
    pub fn complete(&mut self, result: io::Result<()>) -> Result<(), Failure> {
        for completion in self.committer.complete(result) {
            match completion {
                Completion::Failed(failure) => return Err(failure),
                Completion::Durable(_) => {}
                Completion::Room(_) | Completion::Lost { .. } => self.reports.push(completion),
            }
        }
        Ok(())
    }

    /// The log, once [`Recovery::next`] has nothing more.
    pub fn finish(mut self) -> Recovered {
        assert!(self.committer.is_idle(), "a log is used once all its operations are done");
        assert!(self.useless.is_empty(), "a log is used once all its operations are done");
        self.committer.settle_archive();
        self.committer.report_room(&mut self.reports);
        Recovered { committer: self.committer, loaded: self.loaded, reports: self.reports }
    }
}

/// The oldest segment that the last batch says is needed; the first number if there is none.
fn oldest(disk: &dyn Disk, segments: &[(Segment, u64)]) -> Result<Segment, OpenError> {
    for (segment, length) in segments.iter().rev() {
        let whole = Whole::read(disk, *segment, *length)?;
        if whole.seal()?.is_none() {
            continue;
        }
        if let Some(batch) = whole.batches.last() {
            return Ok(batch.head.oldest);
        }
    }
    Ok(Segment(0))
}

/// The log as read so far.
#[derive(Default)]
struct Scan {
    replay: Replay,
    /// The last batch of which it is known that it was durable.
    applied: Option<Point>,
    /// Batches behind it.
    held: Vec<Held>,
    /// Where the last batch ends.
    end: (Segment, usize),
    latest: Latest,
    kept: BTreeMap<Segment, u64>,
    useless: VecDeque<Segment>,
}

#[derive(Clone, Copy)]
struct Point {
    position: Position,
    checksum: u32,
}

struct Held {
    batch: Batch,
    segment: Segment,
    bytes: Rc<Vec<u8>>,
}

/// What batches say of the log; it only grows.
#[derive(Default)]
struct Latest {
    epoch: u64,
    forgotten: Timestamp,
    ends_archived: u64,
    ends_forgotten: u64,
}

impl Scan {
    fn segment(
        &mut self,
        disk: &dyn Disk,
        segment: Segment,
        length: u64,
        oldest: Segment,
    ) -> Result<(), OpenError> {
        let whole = Whole::read(disk, segment, length)?;
        whole.seal()?;
        if let Some(proof) = whole.proof_behind() {
            return Err(was_durable(segment, whole.end, proof));
        }
        let Whole { bytes, batches, .. } = whole;
        let Some(first) = batches.first() else {
            self.useless.push_back(segment);
            return Ok(());
        };
        self.attach(first, segment, oldest)?;
        self.kept.insert(segment, length);
        for batch in batches {
            self.end = (segment, batch.end);
            self.latest.epoch = self.latest.epoch.max(batch.head.epoch);
            self.latest.forgotten = self.latest.forgotten.max(batch.head.forgotten);
            self.latest.ends_archived = self.latest.ends_archived.max(batch.head.ends_archived);
            self.latest.ends_forgotten = self.latest.ends_forgotten.max(batch.head.ends_forgotten);
            self.believe_last()?;
            self.held.push(Held { batch, segment, bytes: Rc::clone(&bytes) });
        }
        Ok(())
    }

    /// Lets a segment's first batch follow the one it names, and drops what came behind that.
    fn attach(
        &mut self,
        first: &Batch,
        segment: Segment,
        oldest: Segment,
    ) -> Result<(), OpenError> {
        let named =
            Point { position: Position(first.head.first.0 - 1), checksum: first.head.chain };
        let Some(applied) = self.applied else {
            if named.position > Position(0) && segment != oldest {
                return Err(damaged(oldest, HEADER_BYTES, "its first batch is damaged"));
            }
            self.replay.ends = first.head.ends;
            self.applied = Some(named);
            return Ok(());
        };
        let held = self.held.iter().rposition(|held| {
            held.batch.head.last == named.position && held.batch.checksum == named.checksum
        });
        if let Some(place) = held {
            self.held.truncate(place + 1);
        } else if applied.position == named.position && applied.checksum == named.checksum {
            self.held.clear();
        } else {
            let what = format!(
                "the records up to position {} that {segment} continues are not there",
                named.position.0
            );
            return Err(damaged(self.end.0, self.end.1, &what));
        }
        Ok(())
    }

    /// Applies what the last batch says was durable, which counts once another one follows it or
    /// the log ends there. One that a start could not read is void, with its word, even where the
    /// bit that hid it is right again.
    fn believe_last(&mut self) -> Result<(), OpenError> {
        let durable = self.held.last().map(|held| held.batch.head.durable);
        self.confirm(durable.unwrap_or_default())
    }

    /// Applies what is known to have been durable.
    fn confirm(&mut self, durable: Position) -> Result<(), OpenError> {
        let confirmed = self.held.iter().take_while(|held| held.batch.head.last <= durable).count();
        for held in self.held.drain(..confirmed) {
            self.replay.batch(&held)?;
            let position = held.batch.head.last;
            self.applied = Some(Point { position, checksum: held.batch.checksum });
        }
        Ok(())
    }

    fn last(&self) -> Position {
        let applied = self.applied.map_or(Position(0), |applied| applied.position);
        self.held.last().map_or(applied, |held| held.batch.head.last)
    }

    fn into_recovery(
        mut self,
        archive: Option<FoundArchive>,
        options: Options,
        fresh: Segment,
    ) -> Result<Recovery, OpenError> {
        self.believe_last()?;
        if mutants::is_on(Mutant::TailTrusted) {
            self.confirm(self.last())?;
        }
        if options.restored.is_some() && self.last() == Position(0) {
            self.count_on_from(archive.as_ref());
        }
        let relied = self.latest.ends_forgotten..self.latest.ends_archived;
        let kept = kept_ends(relied, archive.as_ref())?;
        self.replay.forget(&self.latest, kept.end)?;
        self.replay.add_open();
        let durable = self.replay.position(self.applied);
        let forgotten = self.latest.forgotten.max(options.restored.unwrap_or_default());
        self.replay.index.raise_forgotten(forgotten);
        let restored = options.restored;
        let log = LogState {
            seal: Seal::fresh(fresh, options.salt),
            offset: 0,
            written: 0,
            closed: self.kept,
            chain: self.applied.map_or(0, |applied| applied.checksum),
            durable,
            epoch: self.latest.epoch + 1,
            forgotten,
            ends: self.replay.ends,
            ends_durable: self.replay.ends,
            mark: self.replay.mark,
        };
        let heads = self.replay.heads();
        let mut index = std::mem::take(&mut self.replay.index);
        index.set_ends(kept.clone());
        let ended = std::mem::take(&mut self.replay.ended);
        let first_end = self.replay.ends - ended.len() as u64;
        let retention = Retention::restored(first_end, ended, options.ended_max);
        let index = Arc::new(RwLock::new(index));
        let hand_over =
            archive.map(|found| HandOver::restored(found.limits, found.slices, kept.clone()));
        let mut committer = Committer::new(options, index, heads, retention, log, hand_over);
        for held in &self.held {
            self.replay.append_again(held, &mut committer)?;
        }
        if kept.end > self.replay.ends {
            let (archived, ended) = (kept.end, self.replay.ends);
            return Err(OpenError::ArchiveAhead { archived, ended });
        }
        committer.flush(committer.appended());
        let loaded = self.replay.loaded(committer.appended())?;
        let loaded = Loaded { restored, ..loaded };
        Ok(Recovery { committer, loaded, useless: self.useless, reports: Vec::new() })
    }
}

impl Scan {
    /// The log was lost, and its archive was not: the next end is numbered behind those there.
    fn count_on_from(&mut self, archive: Option<&FoundArchive>) {
        let slices = archive.map_or(&[][..], |archive| &archive.slices);
        self.latest.ends_forgotten = slices.first().map_or(0, |facts| facts.from);
        self.latest.ends_archived = slices.last().map_or(0, |facts| facts.through);
        self.replay.ends = self.latest.ends_archived;
    }
}

/// The records as folded so far.
#[derive(Default)]
struct Replay {
    index: Index,
    open: GidMap<OpenOne>,
    ended: VecDeque<EndedOne>,
    /// How many transactions ended, from the first one ever.
    ends: u64,
    mark: Option<(ClockMark, Segment)>,
    last_mark: Option<ClockMark>,
    /// Transactions whose first draft lay in a segment that is gone: their end, or where they
    /// are carried to, is still to come.
    strangers: BTreeMap<Gid, Location>,
    /// Those of them that ended: the number of the end, and the begin.
    strangers_ended: Vec<(u64, Timestamp)>,
    placeholder: Placeholder,
}

struct OpenOne {
    tip: Tip,
    /// Where its first draft lies.
    first: Location,
    summary: Summary,
    count: u64,
    records: Vec<u8>,
}

/// A draft that has been folded.
enum Folded {
    Known { first: Location, after: Version, version: Version, summary: Summary },
    Stranger { summary: Summary },
}

impl Replay {
    fn batch(&mut self, held: &Held) -> Result<(), OpenError> {
        let Held { batch, segment, bytes } = held;
        let start = Location { segment: *segment, offset: batch.end as u32 };
        if batch.head.ends != self.ends {
            return Err(contradiction(start));
        }
        let mut drafts = batch.drafts(bytes, *segment);
        let mut position = batch.head.first.0 - 1;
        while let Some((at, stored)) = drafts.next().map_err(|cause| undecodable(start, cause))? {
            match stored {
                Stored::Mark(mark) => {
                    position += 1;
                    self.mark = Some((mark, *segment));
                    self.last_mark = Some(mark);
                }
                Stored::Transaction(draft) => {
                    position += draft.count;
                    self.draft(at, draft)?;
                }
                Stored::Carried(draft) => {
                    self.carried(at, draft)?;
                }
            }
        }
        if position != batch.head.last.0 {
            return Err(contradiction(start));
        }
        Ok(())
    }

    fn draft(&mut self, at: Location, draft: StoredDraft<'_>) -> Result<(), OpenError> {
        let gid = draft.gid.clone();
        let folded = self.fold(at, draft)?;
        let summary = match &folded {
            Folded::Known { summary, .. } | Folded::Stranger { summary } => summary,
        };
        if summary.phase == PhaseName::Ended {
            self.ends += 1;
            let ended = summary.ended.unwrap_or(summary.changed);
            self.ended.push_back(EndedOne { begun: summary.begun, gid: gid.clone(), ended });
        }
        match folded {
            Folded::Known { first, after, version, summary } => {
                // The open ones are added in the end: most of them end before that.
                if summary.phase == PhaseName::Ended {
                    let update = Update { gid, after, version, location: at, summary };
                    self.index.add(update, first);
                }
            }
            Folded::Stranger { summary } => match summary.phase {
                PhaseName::Ended => {
                    self.strangers.remove(&gid);
                    self.strangers_ended.push((self.ends - 1, summary.begun));
                }
                PhaseName::Open | PhaseName::Forward | PhaseName::Finishing => {
                    self.strangers.insert(gid, at);
                }
            },
        }
        Ok(())
    }

    /// Takes a carried transaction for what its earlier drafts, which may be gone, came to.
    fn carried(&mut self, at: Location, draft: StoredDraft<'_>) -> Result<Update, OpenError> {
        let undecodable = |cause| undecodable(at, cause);
        let (gid, count) = (draft.gid.clone(), draft.count);
        let version = draft.version().map_err(undecodable)?;
        let (summary, records) = draft.open(&self.placeholder.0).map_err(undecodable)?;
        let stale = self.open.find(&gid).is_some_and(|one| one.tip.version != version);
        if stale || summary.phase == PhaseName::Ended {
            return Err(contradiction(at));
        }
        self.strangers.remove(&gid);
        let (name, phase) = (summary.name.clone(), summary.phase);
        let bytes = records.len() as u64;
        let tip = Tip { version, name, last: Some(at), phase, bytes };
        let records = records.to_vec();
        let one = OpenOne { tip, first: at, summary: summary.clone(), count, records };
        self.open.insert(gid.clone(), one);
        Ok(Update { gid, after: Version(0), version, location: at, summary })
    }

    /// Adds a draft to its transaction, if that is known.
    fn fold(&mut self, at: Location, draft: StoredDraft<'_>) -> Result<Folded, OpenError> {
        let undecodable = |cause| undecodable(at, cause);
        let (gid, after, count) = (draft.gid.clone(), draft.after, draft.count);
        let version = draft.version().map_err(undecodable)?;
        let open = self.open.find(&gid);
        let known = open.map_or(&self.placeholder.0, |one| &one.tip.name);
        let (summary, records) = draft.open(known).map_err(undecodable)?;
        if count == 0 || open.map_or(Version(0), |one| one.tip.version) != after {
            return match open {
                None if count > 0 => Ok(Folded::Stranger { summary }),
                Some(_) | None => Err(contradiction(at)),
            };
        }
        if open.is_some_and(|one| one.summary.begun != summary.begun) {
            return Err(contradiction(at));
        }
        if summary.phase == PhaseName::Ended {
            let first = self.open.remove(&gid).map_or(at, |one| one.first);
            return Ok(Folded::Known { first, after, version, summary });
        }
        let (name, phase, last) = (summary.name.clone(), summary.phase, Some(at));
        let bytes = open.map_or(0, |one| one.tip.bytes) + records.len() as u64;
        let tip = Tip { version, name, last, phase, bytes };
        match self.open.find_mut(&gid) {
            Some(one) => {
                one.tip = tip;
                one.summary = summary.clone();
                one.count += count;
                one.records.extend_from_slice(records);
                Ok(Folded::Known { first: one.first, after, version, summary })
            }
            None => {
                let records = records.to_vec();
                let one = OpenOne { tip, first: at, summary: summary.clone(), count, records };
                self.open.insert(gid, one);
                Ok(Folded::Known { first: at, after, version, summary })
            }
        }
    }

    /// Forgets what the log says is forgotten and what is archived, which are so many ends, and
    /// makes sure that nothing else is missing.
    fn forget(&mut self, latest: &Latest, archived: u64) -> Result<(), OpenError> {
        if let Some(at) = self.strangers.values().next() {
            return Err(contradiction(*at));
        }
        let missing =
            |(number, begun): &(u64, Timestamp)| *number >= archived && *begun > latest.forgotten;
        if self.strangers_ended.iter().any(missing) {
            let what = "the first records of a transaction are not there";
            let segment = self.mark.map_or(Segment(0), |(_, segment)| segment);
            return Err(damaged(segment, 0, what));
        }
        self.index.raise_forgotten(latest.forgotten);
        let first_end = self.ends - self.ended.len() as u64;
        let gone = archived.saturating_sub(first_end) as usize;
        for one in self.ended.drain(..gone.min(self.ended.len())) {
            self.index.forget(one.begun, &one.gid);
        }
        Ok(())
    }

    /// Adds those that have not ended to the index.
    fn add_open(&mut self) {
        for (gid, one) in self.open.iter() {
            let (version, summary) = (one.tip.version, one.summary.clone());
            let location = one.tip.last.unwrap_or(one.first);
            let update = Update { gid: gid.clone(), after: Version(0), version, location, summary };
            self.index.add(update, one.first);
        }
    }

    fn position(&self, applied: Option<Point>) -> Position {
        applied.map_or(Position(0), |applied| applied.position)
    }

    fn heads(&self) -> GidMap<Tip> {
        self.open.map(|one| one.tip.clone())
    }

    /// Hands a batch of the tail to the committer, as if it had just arrived.
    fn append_again(&mut self, held: &Held, committer: &mut Committer) -> Result<(), OpenError> {
        let Held { batch, segment, bytes } = held;
        let start = Location { segment: *segment, offset: batch.end as u32 };
        let mut drafts = batch.drafts(bytes, *segment);
        while let Some((at, stored)) = drafts.next().map_err(|cause| undecodable(start, cause))? {
            let draft = match stored {
                Stored::Mark(mark) => {
                    self.last_mark = Some(mark);
                    committer.append_mark_again(mark);
                    continue;
                }
                Stored::Carried(draft) => {
                    let update = self.carried(at, draft)?;
                    let Update { gid, version, summary, .. } = update;
                    let one = self.open.find(&gid).expect("it was just taken in");
                    committer.append_carried(&gid, version, summary, &one.records);
                    continue;
                }
                Stored::Transaction(draft) => draft,
            };
            let (gid, count, copy) = (draft.gid.clone(), draft.count, draft.clone());
            let known = self.open.find(&gid).map(|one| one.tip.name.clone());
            match self.fold(at, draft)? {
                Folded::Known { after, summary, .. } => {
                    self.ends += u64::from(summary.phase == PhaseName::Ended);
                    let known = known.unwrap_or_else(|| self.placeholder.0.clone());
                    let (_, records) = copy.open(&known).map_err(|c| undecodable(at, c))?;
                    committer.append_again(gid, after, count, summary, records);
                }
                Folded::Stranger { .. } => return Err(contradiction(at)),
            }
        }
        if committer.appended() != batch.head.last {
            return Err(contradiction(start));
        }
        Ok(())
    }

    fn loaded(self, position: Position) -> Result<Loaded, OpenError> {
        let mut open = Vec::new();
        for (gid, one) in self.open.into_sorted() {
            let at = one.tip.last.unwrap_or_default();
            let records = decode_records(&gid, one.count, &one.records);
            open.push((gid, records.map_err(|cause| undecodable(at, cause))?));
        }
        Ok(Loaded { position, mark: self.last_mark, open, restored: None })
    }
}

/// Stands for a name that is not known and not needed.
struct Placeholder(Name);

impl Default for Placeholder {
    fn default() -> Self {
        Placeholder(Name::new("unknown").expect("a word is a name"))
    }
}

fn contradiction(at: Location) -> OpenError {
    damaged(at.segment, at.offset as usize, "it contradicts the records before it")
}

fn undecodable(at: Location, cause: DecodeError) -> OpenError {
    let what = format!("it cannot be decoded: {cause}");
    damaged(at.segment, at.offset as usize, &what)
}
