//! Limits: bytes of the log, batches, segments; what a saga costs.

use super::simulated_disk::SimulatedDisk;
use super::{Committer, FoundArchive, Options, Recovery, lookup};
use crate::archive::twin::Twin;
use crate::archive::{ArchiveLimits, ArchiveOp, carry_out};
use crate::contract::Completion;
use crate::disk::{Disk, DiskOp, Segment};
use crate::suite::drafts::Writer;
use wholly_core::branch::{Answer, BranchSpec, Caller, Direction, Kept, Mode, Op};
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{
    Body, BranchId, BranchIndex, Destination, Digest, Gid, Name, Operation, Position, Principal,
    Text, Version,
};
use wholly_core::input::Room;
use wholly_core::record::{
    Begun, Cause, ClockMark, Decision, Fact, Outcome, PhaseName, Record, Start, Summary,
};
use wholly_core::time::Timestamp;

/// A committer and its disk, on which nothing fails.
struct Desk {
    disk: SimulatedDisk,
    committer: Committer,
    reports: Vec<Completion>,
    ops: Vec<String>,
}

impl Desk {
    fn new(options: Options) -> Desk {
        Desk::beside(None, options)
    }

    fn beside(archive: Option<FoundArchive>, options: Options) -> Desk {
        let mut disk = SimulatedDisk::default();
        let mut recovery = Recovery::read_beside(&disk, archive, options).expect("it is empty");
        while let Some(op) = recovery.next() {
            disk.carry_out(&op);
            recovery.complete(Ok(())).expect("nothing fails");
        }
        let recovered = recovery.finish();
        let (committer, reports) = (recovered.committer, recovered.reports);
        Desk { disk, committer, reports, ops: Vec::new() }
    }

    fn flush(&mut self) {
        self.committer.flush(self.committer.appended());
        while let Some(op) = self.committer.next() {
            self.disk.carry_out(&op);
            self.ops.push(match &op {
                DiskOp::Write { bytes, .. } => format!("write {}", bytes.len()),
                DiskOp::Create { .. }
                | DiskOp::Sync { .. }
                | DiskOp::SyncFolder
                | DiskOp::Unlink { .. } => op.to_string(),
            });
            self.reports.extend(self.committer.complete(Ok(())));
        }
        let durable = self.committer.durable();
        assert_eq!(durable, self.committer.appended(), "all that was asked for is durable");
    }

    fn commit(&mut self, draft: Draft) {
        self.committer.append(draft);
        self.flush();
    }

    fn rooms(&mut self) -> Vec<Room> {
        let reports = self.reports.drain(..);
        let rooms = reports.filter_map(|report| match report {
            Completion::Room(room) => Some(room),
            Completion::Durable(_) | Completion::Lost { .. } | Completion::Failed(_) => None,
        });
        rooms.collect()
    }

    fn knows(&self, gid: &Gid) -> bool {
        let found = lookup(&self.disk, &self.committer.index(), gid).expect("it can be read");
        !found.records.is_empty()
    }
}

fn gid_of(draft: &Draft) -> Gid {
    match &draft.content {
        Content::Transaction { gid, .. } => gid.clone(),
        Content::Mark(_) => panic!("a mark has no gid"),
    }
}

const LOG_BYTES_MAX: u64 = 120_000;

fn small() -> Options {
    Options {
        log_bytes_max: LOG_BYTES_MAX,
        segment_bytes: 12_000,
        prewrite_bytes: 100,
        ..Options::default()
    }
}

#[test]
fn the_room_is_full_from_the_limit_on() {
    let mut desk = Desk::new(Options::default());
    let mut writer = Writer::new(1);
    for _ in 0..10 {
        desk.commit(writer.begin());
    }
    let bytes = desk.committer.stats().log_bytes;
    for (log_bytes_max, expected) in [(bytes + 1, vec![]), (bytes, vec![Room::Full])] {
        let segment_bytes = bytes * 4;
        let mut desk = Desk::new(Options { log_bytes_max, ..Options::default() });
        // One segment, as above.
        desk.committer.options.segment_bytes = segment_bytes;
        let mut writer = Writer::new(1);
        for _ in 0..9 {
            desk.commit(writer.begin());
        }
        assert_eq!(desk.rooms(), []);
        desk.commit(writer.begin());
        assert_eq!(desk.rooms(), expected, "limit {log_bytes_max}, log {bytes}");
    }
}

#[test]
fn a_segment_goes_once_nothing_in_it_is_needed() {
    let mut desk = Desk::new(Options { log_bytes_max: 1 << 20, ..small() });
    let mut writer = Writer::new(2);
    let first = writer.begin();
    let first_gid = gid_of(&first);
    desk.commit(first);
    while desk.committer.stats().segments < 4 {
        let begin = writer.begin();
        let gid = gid_of(&begin);
        desk.commit(begin);
        desk.commit(writer.end(&gid));
    }
    let forget = |writer: &mut Writer| {
        let clock = writer.clock.plus_ms(1);
        writer.mark(ClockMark { clock, limit: clock, ended_before: clock })
    };
    for _ in 0..4 {
        desk.commit(forget(&mut writer));
    }
    assert_eq!(desk.committer.stats().ended, 0);
    assert!(desk.committer.stats().segments >= 4, "the oldest is needed, so all stay");
    desk.commit(writer.end(&first_gid));
    for _ in 0..4 {
        desk.commit(forget(&mut writer));
    }
    assert!(!desk.knows(&first_gid));
    assert_eq!(desk.committer.stats().segments, 1);
    assert_eq!(desk.disk.list().expect("a list").len(), 1);
    assert_eq!(desk.committer.stats().lost, 0);
}

#[test]
fn a_segment_stays_while_a_hand_over_reads_from_it() {
    let limits = ArchiveLimits { bulk_rows_max: 1, ..ArchiveLimits::default() };
    let archive = FoundArchive { limits, slices: Vec::new() };
    let mut desk = Desk::beside(Some(archive), Options { segment_bytes: 2_000, ..small() });
    let mut writer = Writer::new(2);
    let begin = writer.begin();
    let gid = gid_of(&begin);
    desk.commit(begin);
    desk.commit(writer.end(&gid));
    let oldest = |desk: &Desk| desk.disk.list().expect("a list")[0].0;
    let fill = |desk: &mut Desk, writer: &mut Writer| {
        for _ in 0..200 {
            desk.commit(writer.mark(ClockMark::default()));
        }
    };
    fill(&mut desk, &mut writer);
    assert_eq!(oldest(&desk), Segment(1), "what has ended is not archived");
    let mut twin = Twin::default();
    let mut go_on = |desk: &mut Desk| {
        let op = desk.committer.next_archive().expect("one has ended");
        // The gid is used again while the hand-over is under way.
        if matches!(op, ArchiveOp::Put { .. }) {
            desk.commit(writer.begin_as(&gid));
            fill(desk, &mut writer);
        }
        let done = carry_out(&op, &desk.disk, &mut twin).expect("all of it is there");
        desk.committer.complete_archive(Ok(done));
    };
    go_on(&mut desk);
    go_on(&mut desk);
    assert_eq!(twin.committed().len(), 1);
    desk.commit(writer.mark(ClockMark::default()));
    assert!(oldest(&desk) > Segment(1), "what has been read may go");
}

/// A log beside an archive in memory, whose steps are carried out by hand.
struct Beside {
    desk: Desk,
    twin: Twin,
    writer: Writer,
}

impl Beside {
    fn new(limits: ArchiveLimits) -> Beside {
        let archive = Some(FoundArchive { limits, slices: Vec::new() });
        let desk = Desk::beside(archive, Options::default());
        Beside { desk, twin: Twin::default(), writer: Writer::new(11) }
    }

    /// So many begin and end, each a millisecond after the one before.
    fn end(&mut self, count: usize) {
        for _ in 0..count {
            let begin = self.writer.begin();
            let gid = gid_of(&begin);
            self.desk.commit(begin);
            self.desk.commit(self.writer.end(&gid));
        }
    }

    /// What a mark forgets goes with what is written after it.
    fn mark(&mut self, mark: ClockMark) {
        for _ in 0..2 {
            self.desk.commit(self.writer.mark(mark));
        }
    }

    /// Carries out what there is to do, and says what it was.
    fn hand_over(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        while let Some(op) = self.desk.committer.next_archive() {
            done.push(op.to_string());
            let came = carry_out(&op, &self.desk.disk, &mut self.twin).expect("nothing fails");
            self.desk.committer.complete_archive(Ok(came));
        }
        done
    }

    /// Transactions of each slice.
    fn rows(&self) -> Vec<u64> {
        self.twin.open().slices.iter().map(|facts| facts.rows).collect()
    }
}

#[test]
fn a_bulk_goes_at_its_limit_and_takes_no_more() {
    let limits = ArchiveLimits { bulk_rows_max: 5, ..ArchiveLimits::default() };
    let bulk = ["put of 5 transactions into 0000000001.slice", "commit of 0000000001.slice"];
    for (count, expected) in [(4, &[][..]), (5, &bulk), (6, &bulk)] {
        let mut beside = Beside::new(limits);
        beside.end(count);
        assert_eq!(beside.hand_over(), expected, "{count}");
        let rows = if expected.is_empty() { 0 } else { 5 };
        assert_eq!(beside.rows().iter().sum::<u64>(), rows, "{count}");
        // The rest goes with the next one.
        beside.end(10 - count);
        beside.hand_over();
        assert_eq!(beside.rows(), [10], "{count}");
    }
}

#[test]
fn a_slice_takes_so_many_and_the_next_one_begins_another() {
    let limits = ArchiveLimits { bulk_rows_max: 1, slice_rows_max: 5, ..Default::default() };
    let mut beside = Beside::new(limits);
    for (count, expected) in [(4, &[4][..]), (1, &[5]), (1, &[5, 1]), (4, &[5, 5]), (1, &[5, 5, 1])]
    {
        beside.end(count);
        beside.hand_over();
        assert_eq!(beside.rows(), expected);
    }
}

#[test]
fn an_archive_keeps_all_at_its_limit_and_a_slice_less_one_byte_above() {
    let limits = ArchiveLimits { bulk_rows_max: 1, slice_rows_max: 1, ..Default::default() };
    let filled = |limits: ArchiveLimits| {
        let mut beside = Beside::new(limits);
        beside.end(20);
        beside.hand_over();
        beside.mark(ClockMark::default());
        beside
    };
    let bytes = filled(limits).desk.committer.stats().archive_bytes;
    for (archive_bytes_max, lost) in [(bytes, 0), (bytes - 1, 1)] {
        let mut beside = filled(ArchiveLimits { archive_bytes_max, ..limits });
        let removed: &[&str] = if lost == 0 { &[] } else { &["removal of 0000000001.slice"] };
        assert_eq!(beside.hand_over(), removed, "{archive_bytes_max}");
        assert_eq!(beside.rows().len() as u64, 20 - lost);
        let stats = beside.desk.committer.stats();
        assert_eq!((stats.ended, stats.lost), (20 - lost, lost));
        let told = beside.desk.reports.iter().map(|report| match report {
            Completion::Lost { count } => *count,
            Completion::Durable(_) | Completion::Room(_) | Completion::Failed(_) => 0,
        });
        assert_eq!(told.sum::<u64>(), lost, "it is told of");
    }
}

/// Its last one ends at the moment at which it begins, and the next slice's a millisecond later.
#[test]
fn a_slice_is_kept_until_its_last_one_is_too_old_by_a_millisecond() {
    let limits = ArchiveLimits { bulk_rows_max: 1, slice_rows_max: 3, ..Default::default() };
    let mut beside = Beside::new(limits);
    beside.end(6);
    beside.hand_over();
    let slices = beside.twin.open().slices;
    let (clock, at) = (beside.writer.clock, slices[0].ended_max);
    assert_eq!((slices[0].begun_max, slices[1].ended_max), (at, at.plus_ms(3)));
    for (limit, ended_before, expected) in [
        (at.plus_ms(1), at, &[3, 3][..]),
        (at, at.plus_ms(1), &[3, 3]),
        (at.plus_ms(1), at.plus_ms(1), &[3]),
        (at.plus_ms(4), at.plus_ms(3), &[3]),
        (at.plus_ms(4), at.plus_ms(4), &[]),
    ] {
        beside.mark(ClockMark { clock, limit, ended_before });
        beside.hand_over();
        assert_eq!(beside.rows(), expected, "{limit:?} {ended_before:?}");
        assert_eq!(beside.desk.committer.stats().lost, 0);
    }
}

#[test]
fn at_its_limit_the_log_forgets_the_ended_first_and_counts_them() {
    let mut desk = Desk::new(small());
    let mut writer = Writer::new(3);
    let mut ended = 0;
    for _ in 0..200 {
        let begin = writer.begin();
        let gid = gid_of(&begin);
        desk.commit(begin);
        desk.commit(writer.end(&gid));
        desk.commit(writer.mark(ClockMark::default()));
        ended += 1;
        assert!(desk.knows(&gid), "the latest is known");
    }
    let stats = desk.committer.stats();
    assert!(stats.lost > 100, "{stats:?}");
    assert_eq!(stats.lost + stats.ended, ended);
    let reported: u64 = desk
        .reports
        .iter()
        .map(|report| match report {
            Completion::Lost { count } => *count,
            Completion::Durable(_) | Completion::Room(_) | Completion::Failed(_) => 0,
        })
        .sum();
    assert_eq!(reported, stats.lost);
    assert_eq!(desk.rooms(), [], "there was always room");
    assert!(stats.log_bytes < LOG_BYTES_MAX, "{stats:?}");
}

#[test]
fn a_log_full_of_open_ones_says_so_and_says_when_that_is_over() {
    let mut desk = Desk::new(small());
    let mut writer = Writer::new(4);
    while desk.rooms() != [Room::Full] {
        desk.commit(writer.begin());
    }
    for gid in writer.open() {
        desk.commit(writer.end(&gid));
    }
    for _ in 0..10 {
        desk.commit(writer.mark(ClockMark::default()));
    }
    assert_eq!(desk.rooms(), [Room::Free]);
    desk.commit(writer.begin());
}

#[test]
fn one_long_open_transaction_does_not_fill_the_log() {
    let mut desk = Desk::new(small());
    let mut writer = Writer::new(5);
    let first = writer.begin();
    let first_gid = gid_of(&first);
    let expected = match &first.content {
        Content::Transaction { records, .. } => records.clone(),
        Content::Mark(_) => panic!("a begin is of a transaction"),
    };
    desk.commit(first);
    for _ in 0..300 {
        let begin = writer.begin();
        let gid = gid_of(&begin);
        desk.commit(begin);
        desk.commit(writer.end(&gid));
        desk.commit(writer.mark(ClockMark::default()));
        while let Some(gid) = desk.committer.to_carry() {
            let found = lookup(&desk.disk, &desk.committer.index(), &gid).expect("it is there");
            desk.committer.carry(&gid, &found.records);
        }
    }
    assert_eq!(desk.rooms(), [], "there was always room");
    let found = lookup(&desk.disk, &desk.committer.index(), &first_gid).expect("it is there");
    assert_eq!(found.records, expected);
    desk.commit(writer.end(&first_gid));
    let found = lookup(&desk.disk, &desk.committer.index(), &first_gid).expect("it is there");
    assert_eq!(found.records.len(), expected.len() + 1);
}

#[test]
fn one_flush_is_one_write_and_one_sync() {
    let mut desk = Desk::new(Options::default());
    let mut writer = Writer::new(6);
    for count in [1, 100] {
        desk.ops.clear();
        for _ in 0..count {
            desk.committer.append(writer.any());
        }
        desk.flush();
        assert_eq!(desk.ops.len(), 2, "{:?}", desk.ops);
        assert!(desk.ops[0].starts_with("write "));
        assert_eq!(desk.ops[1], "sync of 0000000001.log");
    }
    assert_eq!(desk.committer.stats().flushes, 2);
    desk.ops.clear();
    desk.flush();
    assert_eq!(desk.ops, Vec::<String>::new(), "nothing is asked for what is durable");
}

#[test]
fn a_batch_takes_what_fits_its_limit() {
    let mut probe = Desk::new(Options::default());
    let drafts: Vec<Draft> = {
        let mut writer = Writer::new(7);
        (0..3).map(|_| writer.begin()).collect()
    };
    for draft in &drafts {
        probe.committer.append(draft.clone());
    }
    let bytes = probe.committer.waiting_bytes();
    for (batch_bytes_max, expected) in [(bytes, 1), (bytes - 1, 2), (1, 3)] {
        let mut desk = Desk::new(Options { batch_bytes_max, ..Options::default() });
        for draft in &drafts {
            desk.committer.append(draft.clone());
        }
        desk.flush();
        assert_eq!(desk.committer.stats().flushes, expected, "limit {batch_bytes_max}");
    }
}

#[test]
fn a_draft_larger_than_a_segment_has_one_of_its_own() {
    let mut desk = Desk::new(small());
    let mut writer = Writer::new(8);
    desk.commit(writer.begin());
    let gid = writer.open()[0].clone();
    let payload = Body::new(&[7; 10_000]);
    let answer = Answer::Done { reply: payload, kept: Kept::Kept };
    let fact = Fact::Answered { branch: BranchIndex(0), op: Op::Try, answer, attempts: 1 };
    let mut large = writer.go_on(&gid);
    let Content::Transaction { records, .. } = &mut large.content else {
        panic!("it goes on with a transaction")
    };
    records[0].fact = fact;
    desk.commit(large);
    let found = lookup(&desk.disk, &desk.committer.index(), &gid).expect("it can be read");
    assert!(found.records.len() > 1);
    let recovery = Recovery::read(&desk.disk, small());
    recovery.expect("it can be read back");
}

fn step(id: &str, after: Vec<BranchIndex>) -> BranchSpec {
    BranchSpec {
        id: BranchId::new(id).expect("a branch"),
        mode: Mode::Saga,
        destination: Destination::new(id).expect("a destination"),
        operation: Operation::new(&format!("{id}.lock-now")).expect("an operation"),
        payload: Body::new(&[b'x'; 200]),
        caller: Caller::Coordinator,
        after,
        reads: Vec::new(),
        direction: Direction::Reversible,
    }
}

/// The records of a saga of two steps, each with a payload of 200 B and a reply of 40 B, as the
/// driver appends them.
fn saga() -> Vec<Draft> {
    let gid = Gid::new("0123456789abcdef0123456789abcdef").expect("a gid");
    let name = Name::new("place-order").expect("a name");
    let now = Timestamp(1_790_000_000_000);
    let steps = vec![step("stock", Vec::new()), step("points", vec![BranchIndex(0)])];
    let start = Start::Plan { deadline: None, digest: Digest([7; 32]), steps };
    let principal = Principal::new("anonymous").expect("a principal");
    let begun = Begun { gid: gid.clone(), name: name.clone(), begun: now, principal, start };
    let done = |branch| Fact::Answered {
        branch: BranchIndex(branch),
        op: Op::Action,
        answer: Answer::Done { reply: Body::new(&[b'y'; 40]), kept: Kept::Kept },
        attempts: 1,
    };
    let decided = Fact::Decided {
        decision: Decision::Commit,
        cause: Cause::Initiator,
        branch: None,
        reason: Text::default(),
        out: Vec::new(),
        untouched: Vec::new(),
    };
    let ended = Fact::Ended { outcome: Outcome::AsDecided };
    let waits_for = |names: &[&str]| {
        names.iter().map(|name| Destination::new(name).expect("a destination")).collect()
    };
    let forward = Summary {
        name,
        begun: now,
        modes: vec![Mode::Saga],
        phase: PhaseName::Forward,
        decision: None,
        cause: None,
        outcome: None,
        stuck: 0,
        parked: false,
        waits_for: waits_for(&["stock", "points"]),
        changed: now,
        ended: None,
    };
    let second = Summary { waits_for: waits_for(&["points"]), ..forward.clone() };
    let last = Summary {
        phase: PhaseName::Ended,
        decision: Some(Decision::Commit),
        cause: Some(Cause::Initiator),
        outcome: Some(Outcome::AsDecided),
        waits_for: Vec::new(),
        ended: Some(now),
        ..forward.clone()
    };
    let mut position = Position(0);
    let mut drafts = Vec::new();
    for (facts, summary) in [
        (vec![Fact::Begun(begun)], forward),
        (vec![done(0)], second),
        (vec![done(1), decided, ended], last),
    ] {
        let after = Version(position.0);
        position.0 += facts.len() as u64;
        let records = facts.into_iter().map(|fact| Record { at: now, fact }).collect();
        let content = Content::Transaction { gid: gid.clone(), after, records, summary };
        drafts.push(Draft { position, content });
    }
    drafts
}

#[test]
fn a_saga_of_two_steps_fits_1200_bytes() {
    let mut desk = Desk::new(Options::default());
    // At its dearest: each draft is a batch of its own.
    for draft in saga() {
        desk.commit(draft);
    }
    let bytes = desk.committer.stats().batch_bytes;
    assert!(bytes <= 1_200, "{bytes} bytes");
    eprintln!("{bytes} bytes");
    assert!(bytes > 480, "its payloads and replies are among them");
}
