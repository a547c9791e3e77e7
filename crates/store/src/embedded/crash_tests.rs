//! Crashes of the log at every operation, on a simulated disk that loses what was not synced.

use super::simulated_disk::SimulatedDisk;
use super::{Committer, FoundArchive, Options, Recovered, Recovery, SharedIndex, lookup};
use crate::archive::twin::Twin;
use crate::archive::{self, ArchiveError, ArchiveLimits, ArchiveOp, ArchiveReader, carry_out};
use crate::contract::{Completion, Filter, Listing, Lookup, Page};
use crate::disk::DiskOp;
use crate::suite::drafts::{Chance, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Gid, Position};
use wholly_core::input::Loaded;
use wholly_core::record::{ClockMark, PhaseName, Record};
use wholly_core::time::Timestamp;

/// How a life of the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Killed; the page cache stays.
    Kill,
    /// The power fails.
    Power,
    /// An operation fails, the process stops, and the power fails some time later.
    Error,
}

/// One world: a disk, and what its log was told and has promised.
struct World {
    disk: SimulatedDisk,
    options: Options,
    archive: Option<Archive>,
    chance: Chance,
    writer: Writer,
    /// Every draft that may be in the log, and the writer as it was after it.
    drafts: Vec<(Draft, Writer)>,
    /// What was reported durable.
    promised: Position,
    /// Operations until the end of this life; none for a life that goes on.
    fuse: Option<(u64, End)>,
    /// Whether this life's fault has happened.
    burnt: bool,
    seen: Seen,
}

/// An archive that is used beside the log.
struct Archive {
    twin: Twin,
    limits: ArchiveLimits,
    under_way: Option<ArchiveOp>,
}

impl Archive {
    fn new(chance: &mut Chance) -> Archive {
        let limits = ArchiveLimits {
            archive_bytes_max: chance.one_of(&[6_000, 40_000, 1_000_000]),
            slice_rows_max: chance.one_of(&[2, 7, 1_000]),
            slice_ms_max: chance.one_of(&[5, 100, 1_000_000]),
            bulk_rows_max: chance.one_of(&[1, 3, 20]),
        };
        Archive { twin: Twin::default(), limits, under_way: None }
    }

    fn reader(&self) -> std::sync::Arc<dyn ArchiveReader> {
        self.twin.copy().open().reader
    }
}

/// What a run has met: a check that meets nothing shows nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    ops: u64,
    unlinks: u64,
    creates: u64,
    promises: u64,
    failures: u64,
    losses: u64,
    rooms: u64,
    forgotten: u64,
    records_cut: u64,
    carried: u64,
    archived: u64,
    slices_removed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    GoesOn,
    Over,
}

/// Marker of a life that has ended.
struct Dead;

impl World {
    fn new(seed: u64) -> World {
        let mut chance = Chance::new(seed);
        let options = Options {
            log_per_open: chance.one_of(&[1, 2, 4]),
            ended_max: chance.one_of(&[2, 10, 1_000]),
            log_bytes_max: chance.one_of(&[12_000, 40_000, 1_000_000]),
            segment_bytes: chance.one_of(&[1_500, 6_000, 100_000]),
            prewrite_bytes: chance.one_of(&[1, 700, 4_096]),
            batch_bytes_max: chance.one_of(&[1, 3_000, 100_000]),
            salt: chance.number(),
            ..Options::default()
        };
        let writer = Writer::new(seed);
        let archive = chance.percent(70).then(|| Archive::new(&mut chance));
        World {
            archive,
            disk: SimulatedDisk::default(),
            options,
            chance,
            writer,
            drafts: Vec::new(),
            promised: Position(0),
            fuse: None,
            burnt: false,
            seen: Seen::default(),
        }
    }

    /// Carries out an operation, or dies before, during or after it.
    fn carry_out(&mut self, op: &DiskOp) -> Result<io::Result<()>, Dead> {
        self.seen.ops += 1;
        match op {
            DiskOp::Create { .. } => self.seen.creates += 1,
            DiskOp::Unlink { .. } => self.seen.unlinks += 1,
            DiskOp::Write { .. } | DiskOp::Sync { .. } | DiskOp::SyncFolder => {}
        }
        match self.due() {
            None => {
                self.disk.carry_out(op);
                Ok(Ok(()))
            }
            Some(End::Error) => {
                self.disk.fail(op, &mut self.chance);
                Ok(Err(io::Error::other("the simulated disk has a fault")))
            }
            Some(End::Kill | End::Power) => {
                if self.chance.percent(50) {
                    self.disk.carry_out(op);
                }
                Err(Dead)
            }
        }
    }

    /// What befalls the next operation.
    fn due(&mut self) -> Option<End> {
        let due = match &mut self.fuse {
            Some((0, end)) if !self.burnt => Some(*end),
            Some((left, _)) => {
                *left = left.saturating_sub(1);
                None
            }
            None => None,
        };
        self.burnt |= due.is_some();
        due
    }

    /// Gives the archive some work, or lets it do some of what it has; dies before, in the middle
    /// of, or after it.
    fn go_on_archiving(&mut self, committer: &mut Committer) -> Result<Vec<Completion>, Dead> {
        let Some(archive) = &mut self.archive else { return Ok(Vec::new()) };
        if archive.under_way.is_none() {
            archive.under_way = committer.next_archive();
        }
        if archive.under_way.is_none() || self.chance.percent(50) {
            return Ok(Vec::new());
        }
        self.seen.ops += 1;
        let due = self.due();
        let archive = self.archive.as_mut().expect("it was there");
        let op = archive.under_way.take().expect("it was there");
        match (&op, due) {
            (ArchiveOp::Commit { .. }, None) => self.seen.archived += 1,
            (ArchiveOp::Remove { .. }, None) => self.seen.slices_removed += 1,
            (ArchiveOp::Put { .. }, _) | (_, Some(_)) => {}
        }
        let happens = due.is_none() || self.chance.percent(50);
        let mut writer = archive.twin.in_use();
        let done = happens.then(|| carry_out(&op, &self.disk, &mut writer));
        let done = done.map(|done| done.expect("the twin refuses nothing"));
        match due {
            None => Ok(committer.complete_archive(Ok(done.expect("it happened")))),
            Some(End::Error) => Ok(committer.complete_archive(Err(ArchiveError::Thread))),
            Some(End::Kill | End::Power) => Err(Dead),
        }
    }

    fn find(&self, index: &SharedIndex, gid: &Gid) -> Lookup {
        let found = match &self.archive {
            Some(archive) => archive::find(&self.disk, index, &*archive.reader(), gid),
            None => lookup(&self.disk, index, gid),
        };
        found.expect("everything can be read")
    }

    fn list(&self, index: &SharedIndex, page: &Page) -> Listing {
        let filter = Filter::default();
        match &self.archive {
            Some(archive) => {
                let found = archive::list(index, &*archive.reader(), &filter, page);
                found.expect("everything can be read")
            }
            None => index.read().expect("nobody panics").list(&filter, page),
        }
    }

    /// What the end of a life does to the disk.
    fn bury(&mut self) {
        match self.fuse.take() {
            Some((_, End::Power)) => self.disk.lose_power(&mut self.chance),
            Some((_, End::Error)) if self.chance.percent(50) => {
                self.disk.lose_power(&mut self.chance);
            }
            Some((_, End::Error | End::Kill)) | None => {}
        }
    }

    /// Opens the log; none if it died over it.
    fn open(&mut self) -> Option<Recovered> {
        self.options.salt = self.chance.number();
        let found = self.archive.as_mut().map(|archive| {
            archive.under_way = None;
            FoundArchive { limits: archive.limits, slices: archive.twin.open().slices }
        });
        let recovery = Recovery::read_beside(&self.disk, found, self.options.clone());
        let mut recovery = recovery.unwrap_or_else(|error| panic!("no damage was done: {error}"));
        while let Some(op) = recovery.next() {
            let result = self.carry_out(&op).ok()?;
            recovery.complete(result).ok()?;
        }
        Some(recovery.finish())
    }

    /// Lives until the fuse is burnt: appends, flushes, checks.
    fn live(&mut self, recovered: Recovered, drafts: u64) {
        let Recovered { mut committer, loaded, .. } = recovered;
        self.accept(&loaded);
        self.check(&loaded, &committer.index());
        for _ in 0..drafts {
            let draft = self.next_draft(committer.durable());
            committer.append(draft);
            if self.chance.percent(40) {
                committer.flush(committer.appended());
            }
            while let Some(gid) = committer.to_carry() {
                let found = lookup(&self.disk, &committer.index(), &gid);
                committer.carry(&gid, &found.expect("the disk can be read").records);
                self.seen.carried += 1;
            }
            for _ in 0..self.chance.below(4) {
                let Ok(completions) = self.go_on_archiving(&mut committer) else { return };
                if self.hear(completions, &mut committer) == Life::Over {
                    return;
                }
                let Some(op) = committer.next() else { break };
                let Ok(result) = self.carry_out(&op) else { return };
                let completions = committer.complete(result);
                if self.hear(completions, &mut committer) == Life::Over {
                    return;
                }
            }
            if self.chance.percent(10) {
                let index = committer.index();
                self.check_known(committer.durable(), &index);
            }
        }
        let index = committer.index();
        self.check_known(committer.durable(), &index);
    }

    /// Takes down what the log reports.
    fn hear(&mut self, completions: Vec<Completion>, committer: &mut Committer) -> Life {
        for completion in completions {
            match completion {
                Completion::Durable(position) => {
                    self.promised = position;
                    self.seen.promises += 1;
                }
                Completion::Failed(_) => {
                    self.seen.failures += 1;
                    committer.flush(committer.appended());
                    assert_eq!(committer.next(), None, "nothing follows a failure");
                    assert_eq!(committer.next_archive(), None, "nothing follows a failure");
                    return Life::Over;
                }
                Completion::Room(_) => self.seen.rooms += 1,
                Completion::Lost { count } => self.seen.losses += count,
            }
        }
        Life::GoesOn
    }

    fn next_draft(&mut self, durable: Position) -> Draft {
        let draft = match self.chance.below(20) {
            0 => {
                let limit = self.writer.clock.minus_ms(self.chance.below(20));
                let ended_before = self.writer.clock.minus_ms(self.chance.below(10));
                self.writer.mark(ClockMark { clock: self.writer.clock, limit, ended_before })
            }
            1 => match self.reusable(durable) {
                Some(gid) => self.writer.begin_as(&gid),
                None => self.writer.begin(),
            },
            _ => self.writer.any(),
        };
        self.drafts.push((draft.clone(), self.writer.clone()));
        draft
    }

    /// A gid whose transaction has ended durably.
    fn reusable(&mut self, durable: Position) -> Option<Gid> {
        let open: BTreeSet<Gid> = self.writer.open().into_iter().collect();
        let ended = self.drafts.iter().filter(|(draft, _)| draft.position <= durable);
        let ended: Vec<Gid> = ended
            .filter_map(|(draft, _)| match &draft.content {
                Content::Transaction { gid, .. } if !open.contains(gid) => Some(gid.clone()),
                Content::Transaction { .. } | Content::Mark(_) => None,
            })
            .collect();
        let gid = ended.get(self.chance.below(ended.len().max(1) as u64) as usize)?.clone();
        // Its end may be among the drafts that are not durable.
        let durable_end = self.drafts.iter().rev().find_map(|(draft, _)| match &draft.content {
            Content::Transaction { gid: one, .. } if *one == gid => Some(draft.position),
            Content::Transaction { .. } | Content::Mark(_) => None,
        });
        (durable_end? <= durable).then_some(gid)
    }

    /// Takes what the log found for what was written: no less than it promised, no more than it
    /// was told.
    fn accept(&mut self, loaded: &Loaded) {
        assert!(loaded.position >= self.promised, "what was promised is there");
        let found = self.drafts.iter().filter(|(draft, _)| draft.position <= loaded.position);
        let found = found.count();
        self.seen.records_cut += (self.drafts.len() - found) as u64;
        self.drafts.truncate(found);
        let last = self.drafts.last().map_or(Position(0), |(draft, _)| draft.position);
        assert_eq!(last, loaded.position, "whole drafts are there");
        self.writer = self.drafts.last().map_or(Writer::new(1), |(_, writer)| writer.clone());
        self.promised = loaded.position;
    }

    /// The records, begins and phases of all transactions up to a position.
    fn known(&self, through: Position) -> BTreeMap<Gid, (Timestamp, PhaseName, Vec<Record>)> {
        let mut known = BTreeMap::new();
        for (draft, _) in self.drafts.iter().filter(|(draft, _)| draft.position <= through) {
            let Content::Transaction { gid, after, records, summary } = &draft.content else {
                continue;
            };
            let row = (summary.begun, summary.phase, Vec::new());
            let one = known.entry(gid.clone()).or_insert(row);
            one.0 = summary.begun;
            one.1 = summary.phase;
            one.2.truncate(after.0 as usize);
            one.2.extend(records.iter().cloned());
        }
        known
    }

    fn check(&mut self, loaded: &Loaded, index: &super::SharedIndex) {
        let known = self.known(loaded.position);
        let open = known.iter().filter(|(_, (_, phase, _))| *phase != PhaseName::Ended);
        let open: Vec<_> =
            open.map(|(gid, (_, _, records))| (gid.clone(), records.clone())).collect();
        assert_eq!(loaded.open, open, "what is open is there, and nothing else");
        let marks = self.drafts.iter().rev().find_map(|(draft, _)| match draft.content {
            Content::Mark(mark) => Some(mark),
            Content::Transaction { .. } => None,
        });
        assert_eq!(loaded.mark, marks, "the last mark is there");
        self.check_known(loaded.position, index);
    }

    /// What the index knows is true; what it does not know is said to be forgotten.
    fn check_known(&mut self, durable: Position, index: &super::SharedIndex) {
        let known = self.known(durable);
        let mut there = BTreeSet::new();
        for (gid, (begun, phase, records)) in &known {
            let found = self.find(index, gid);
            match found.records.is_empty() {
                false => {
                    assert_eq!(found.records, *records, "{gid} is as it was written");
                    there.insert(gid.clone());
                }
                true => {
                    self.seen.forgotten += 1;
                    assert_eq!(*phase, PhaseName::Ended, "{gid} is open and must be known");
                    assert!(*begun <= found.forgotten, "{gid} is said to be forgotten");
                }
            }
        }
        let (mut listed, mut after) = (Vec::new(), None);
        let limit = self.chance.one_of(&[1, 4, 1_000]);
        loop {
            let listing = self.list(index, &Page { limit, after });
            for item in listing.items {
                assert_eq!(item.summary.begun, known[&item.gid].0, "{} is listed", item.gid);
                listed.push(item.gid);
            }
            after = listing.next;
            if after.is_none() {
                break;
            }
        }
        listed.sort();
        let there: Vec<Gid> = there.into_iter().collect();
        assert_eq!(listed, there, "whatever can be found is listed once, and nothing else");
    }

    /// One life and its end.
    fn life(&mut self, fuse: Option<(u64, End)>, drafts: u64) {
        (self.fuse, self.burnt) = (fuse, false);
        if let Some(recovered) = self.open() {
            self.live(recovered, drafts);
        }
        self.bury();
    }
}

fn run<T>(seed: u64, what: impl FnOnce(&mut World) -> T) -> T {
    let named = Named(seed);
    let result = what(&mut World::new(seed));
    std::mem::forget(named);
    result
}

/// Says which seed failed.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        eprintln!("seed {}", self.0);
    }
}

const ENDS: [End; 3] = [End::Kill, End::Power, End::Error];

fn many_lives(world: &mut World) {
    for _ in 0..8 {
        let fuse = (world.chance.below(40), world.chance.one_of(&ENDS));
        let drafts = 5 + world.chance.below(40);
        world.life(Some(fuse), drafts);
    }
    world.life(None, 10);
}

#[test]
fn what_was_promised_survives_many_lives() {
    let mut met = [0; 11];
    for seed in 0..300 {
        let seen = run(seed, |world| {
            many_lives(world);
            world.seen
        });
        let Seen { unlinks, creates, promises, failures, losses, .. } = seen;
        let counts = [unlinks, creates, promises, failures, losses];
        let more = [seen.rooms, seen.forgotten, seen.records_cut, seen.carried];
        let more = more.into_iter().chain([seen.archived, seen.slices_removed]);
        for (met, count) in met.iter_mut().zip(counts.into_iter().chain(more)) {
            *met += count;
        }
    }
    eprintln!("met {met:?}");
    assert!(met.iter().all(|count| *count > 100), "everything is met often: {met:?}");
}

#[cfg(feature = "mutants")]
#[test]
fn every_mutant_is_found() {
    use crate::mutants::{Mutant, switch};
    // Here no gid is used again and no bit flips, so these two cannot show.
    let unseen = [Mutant::GidFreeEarly, Mutant::DoubtBelieved];
    for mutant in Mutant::ALL.iter().filter(|mutant| !unseen.contains(mutant)) {
        switch(Some(*mutant));
        let found = (0..300).any(|seed| {
            let lives = std::panic::AssertUnwindSafe(|| {
                run(seed, many_lives);
            });
            std::panic::catch_unwind(lives).is_err()
        });
        assert!(found, "{mutant:?} is found");
    }
}

#[test]
fn what_was_promised_survives_a_crash_at_every_operation() {
    for seed in 1_000..1_006 {
        for end in ENDS {
            for crash in 0.. {
                let ops = run(seed, |world| {
                    world.life(None, 15);
                    let before = world.seen.ops;
                    world.life(Some((crash, end)), 15);
                    let ops = world.seen.ops - before;
                    world.life(None, 5);
                    ops
                });
                if ops <= crash {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_recovery_may_crash_at_every_operation_and_is_repeated() {
    for seed in 2_000..2_040 {
        run(seed, |world| {
            world.life(Some((20, End::Kill)), 30);
            // No draft is appended any more: what the first recovery finds stays.
            let twin = |world: &World| world.archive.as_ref().map(|archive| archive.twin.copy());
            let before = (world.disk.clone(), world.drafts.clone(), world.promised);
            let kept = twin(world);
            for end in ENDS {
                for crash in 0..12 {
                    (world.disk, world.drafts, world.promised) = before.clone();
                    if let (Some(archive), Some(kept)) = (&mut world.archive, &kept) {
                        archive.twin = kept.copy();
                    }
                    world.life(Some((crash, end)), 0);
                    world.life(Some((crash + 1, End::Power)), 0);
                    world.life(None, 0);
                    let once = world.promised;
                    world.life(None, 0);
                    assert_eq!(world.promised, once, "the same is found again");
                }
            }
        });
    }
}

/// Killed with a batch on its way that may make segments useless; then power is lost in the start,
/// and again in the next one.
#[test]
fn two_starts_in_a_row_may_lose_power_at_every_operation() {
    let mut unlinks = 0;
    for seed in 3_000..3_002 {
        run(seed, |world| {
            world.archive = None;
            world.options.segment_bytes = 1_500;
            world.options.log_bytes_max = 12_000;
            world.options.ended_max = 2;
            world.life(None, 60);
            let full = (world.disk.clone(), world.drafts.clone(), world.promised);
            for kill in 0..20 {
                (world.disk, world.drafts, world.promised) = full.clone();
                world.life(Some((kill, End::Kill)), 30);
                let killed = (world.disk.clone(), world.drafts.clone(), world.promised);
                let before = world.seen.unlinks;
                for (first, second) in (0..8).flat_map(|first| (0..8).map(move |one| (first, one)))
                {
                    (world.disk, world.drafts, world.promised) = killed.clone();
                    world.life(Some((first, End::Power)), 0);
                    world.life(Some((second, End::Power)), 0);
                    world.life(None, 0);
                }
                unlinks += world.seen.unlinks - before;
            }
        });
    }
    assert!(unlinks > 100, "the starts remove segments: {unlinks}");
}
