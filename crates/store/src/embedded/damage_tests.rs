//! Damage: what was durable and cannot be read any more is refused, never taken for a shorter log.

use super::batch::{Batch, BatchWriter, DraftBody, HEADER_BYTES, Head, Seal, mark_body};
use super::simulated_disk::SimulatedDisk;
use super::{OpenError, Options, Recovery};
use crate::contract::Completion;
use crate::disk::{Disk, DiskOp, Segment};
use crate::suite::drafts::Writer;
use std::cell::Cell;
use std::io;
use std::ops::Range;
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::Position;
use wholly_core::input::Loaded;
use wholly_core::record::{ClockMark, Record};
use wholly_core::time::Timestamp;

const SALT: u64 = 4_711;

fn options() -> Options {
    Options { segment_bytes: 3_000, prewrite_bytes: 256, salt: SALT, ..Options::default() }
}

/// A log of several segments.
struct Written {
    disk: SimulatedDisk,
    whole: Loaded,
    /// The position before the last batch.
    before_last: Position,
}

/// Makes drafts durable, a batch each.
fn write(disk: &mut SimulatedDisk, drafts: Vec<Draft>) -> Vec<Position> {
    let mut recovery = Recovery::read(disk, options()).expect("it is sound");
    while let Some(op) = recovery.next() {
        disk.carry_out(&op);
        recovery.complete(Ok(())).expect("nothing fails");
    }
    let mut committer = recovery.finish().committer;
    let mut positions = Vec::new();
    for draft in drafts {
        committer.append(draft);
        committer.flush(committer.appended());
        while let Some(op) = committer.next() {
            disk.carry_out(&op);
            for completion in committer.complete(Ok(())) {
                match completion {
                    Completion::Durable(position) => positions.push(position),
                    Completion::Room(_) | Completion::Lost { .. } | Completion::Failed(_) => {}
                }
            }
        }
    }
    positions
}

fn written() -> Written {
    let mut disk = SimulatedDisk::default();
    let mut writer = Writer::new(3);
    let drafts: Vec<Draft> = std::iter::repeat_with(|| writer.any())
        .filter(|draft| !matches!(draft.content, Content::Mark(_)) || draft.position.0 > 0)
        .take(28)
        .collect();
    let positions = write(&mut disk, drafts);
    let before_last = positions[positions.len() - 2];
    let whole = load(&disk).expect("it is sound");
    assert!(disk.list().expect("a list").len() >= 3, "it has several segments");
    Written { disk, whole, before_last }
}

fn load(disk: &SimulatedDisk) -> Result<Loaded, OpenError> {
    load_as_read(disk, disk)
}

/// What is loaded of a disk that is read in another way than it is written.
fn load_as_read(disk: &SimulatedDisk, read: &dyn Disk) -> Result<Loaded, OpenError> {
    let mut recovery = Recovery::read(read, options())?;
    let mut disk = disk.clone();
    while let Some(op) = recovery.next() {
        disk.carry_out(&op);
        recovery.complete(Ok(())).expect("nothing fails");
    }
    Ok(recovery.finish().loaded)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Whole,
    LastBatchCut,
    Refused,
}

fn found(written: &Written, disk: &SimulatedDisk) -> Found {
    match load(disk) {
        Err(OpenError::Damaged { .. } | OpenError::Missing { .. }) => Found::Refused,
        Err(error) => panic!("it is damaged, not {error}"),
        Ok(loaded) if loaded.position == written.before_last => Found::LastBatchCut,
        Ok(loaded) => {
            assert_eq!(loaded, written.whole, "nothing is invented and nothing is lost");
            Found::Whole
        }
    }
}

fn segments(disk: &SimulatedDisk) -> Vec<Segment> {
    disk.list().expect("a list").into_iter().map(|(segment, _)| segment).collect()
}

#[test]
fn no_flipped_bit_loses_what_was_durable() {
    let mut written = written();
    let segments = segments(&written.disk);
    let mut counts = [0; 3];
    for segment in &segments {
        for at in 0..written.disk.content(*segment).len() {
            let bit = 1 << (at % 8);
            written.disk.content(*segment)[at] ^= bit;
            counts[found(&written, &written.disk) as usize] += 1;
            written.disk.content(*segment)[at] ^= bit;
        }
    }
    assert!(counts.iter().all(|count| *count > 20), "each outcome is met: {counts:?}");
}

/// A log of two segments: killed with its last batch in the page cache, it was started again,
/// which wrote that batch to the second segment, and so many batches more came behind it.
fn begun_again(more: usize) -> Written {
    let mut disk = SimulatedDisk::default();
    let mut writer = Writer::new(11);
    let drafts = std::iter::repeat_with(|| writer.any()).take(5).collect();
    let first = write(&mut disk, drafts);
    let mark = |_| writer.mark(ClockMark::default());
    let second = write(&mut disk, (0..more).map(mark).collect());
    let (before, last) = (first[first.len() - 2], *first.last().expect("there are some"));
    let through: Vec<Position> = [before, last].into_iter().chain(second).collect();
    let before_last = through[through.len() - 2];
    let whole = load(&disk).expect("it is sound");
    assert_eq!(segments(&disk), [Segment(1), Segment(2)]);
    Written { disk, whole, before_last }
}

#[test]
fn an_old_copy_of_the_tail_hides_no_damage_to_what_was_written_behind_it() {
    let mut counts = [0; 3];
    for more in 0..4 {
        let sound = begun_again(more);
        let last = batches(&sound.disk, Segment(2)).pop().expect("it has some");
        for segment in segments(&sound.disk) {
            let length = sound.disk.clone().content(segment).len();
            let bits = (0..length).map(|at| (at..at + 1, 1 << (at % 8)));
            let pieces = (0..length).step_by(32).map(|at| (at..length.min(at + 32), 0xa5));
            // Where the last batch goes together with some before it, nothing is behind these.
            let apart = |place: &Range<usize>| place.end <= last.start || place.start >= last.start;
            let places = bits.chain(pieces).filter(|(place, _)| segment.0 == 1 || apart(place));
            for (place, mask) in places {
                let mut disk = sound.disk.clone();
                for byte in &mut disk.content(segment)[place.clone()] {
                    *byte ^= mask;
                }
                let found = found(&sound, &disk);
                let cuts = more > 0 && segment.0 == 2 && last.contains(&place.start);
                assert_eq!(found == Found::LastBatchCut, cuts, "{more}: {segment} at {place:?}");
                counts[found as usize] += 1;
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 100), "each outcome is met: {counts:?}");
}

/// The damage was to the very last batch, so that a start took it for a torn write and went on
/// without it; then the medium reads right again.
#[test]
fn a_batch_that_a_start_could_not_read_stays_void_when_it_can_be_read_again() {
    for more in 0..4 {
        let mut disk = SimulatedDisk::default();
        let mut writer = Writer::new(11);
        let drafts: Vec<Draft> = std::iter::repeat_with(|| writer.any()).take(6).collect();
        let mut before = Writer::new(11);
        let kept = std::iter::repeat_with(|| before.any()).take(5).count();
        let positions = write(&mut disk, drafts);
        let last = batches(&disk, Segment(1)).pop().expect("it has some");
        let bit = |disk: &mut SimulatedDisk| disk.content(Segment(1))[last.start + 20] ^= 4;
        bit(&mut disk);
        write(&mut disk, (0..more).map(|_| before.mark(ClockMark::default())).collect());
        let found = load(&disk).expect("it is taken for a torn write");
        assert_eq!(found.position.0, positions[kept - 1].0 + more);
        bit(&mut disk);
        assert_eq!(batches(&disk, Segment(1)).pop(), Some(last), "it is sound again");
        let again = load(&disk).expect("the start has said where the log goes on");
        assert_eq!(again, found, "{more} behind it");
    }
}

/// Where the batches of a segment lie.
fn batches(disk: &SimulatedDisk, segment: Segment) -> Vec<Range<usize>> {
    let mut disk = disk.clone();
    let bytes = disk.content(segment);
    let seal = Seal::read(bytes, segment).expect("a whole header");
    let mut start = HEADER_BYTES;
    let walked = Batch::walk(bytes, seal).into_iter();
    walked.map(|batch| std::mem::replace(&mut start, batch.end)..batch.end).collect()
}

/// A disk of which one reading in a few comes with a flipped bit, each time another one.
struct Flipping<'a> {
    disk: &'a SimulatedDisk,
    readings: Cell<usize>,
    /// Which reading is the first that is flipped; those two after it are sound.
    first: usize,
    bit: usize,
}

impl Disk for Flipping<'_> {
    fn list(&self) -> io::Result<Vec<(Segment, u64)>> {
        self.disk.list()
    }

    fn read(&self, segment: Segment, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.disk.read(segment, offset, length)?;
        let reading = self.readings.replace(self.readings.get() + 1);
        if reading % 3 == self.first {
            let bit = (self.bit + reading * 7) % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        Ok(bytes)
    }
}

#[test]
fn a_bit_flipped_on_its_way_loses_nothing() {
    let written = written();
    let last = *segments(&written.disk).last().expect("there are some");
    let bits = written.disk.clone().content(last).len() * 8;
    for first in 0..3 {
        for bit in (0..bits).step_by(37) {
            let disk = Flipping { disk: &written.disk, readings: Cell::new(0), first, bit };
            let loaded = load_as_read(&written.disk, &disk).expect("it is read again");
            assert_eq!(loaded, written.whole, "bit {bit}, reading {first}");
        }
    }
}

#[test]
fn a_disk_that_never_reads_the_same_twice_is_refused() {
    struct Restless<'a>(&'a SimulatedDisk, Cell<usize>);
    impl Disk for Restless<'_> {
        fn list(&self) -> io::Result<Vec<(Segment, u64)>> {
            self.0.list()
        }
        fn read(&self, segment: Segment, offset: u64, length: usize) -> io::Result<Vec<u8>> {
            let mut bytes = self.0.read(segment, offset, length)?;
            bytes[40 + self.1.replace(self.1.get() + 1)] ^= 1;
            Ok(bytes)
        }
    }
    let written = written();
    let read = Recovery::read(&Restless(&written.disk, Cell::new(0)), options());
    assert!(matches!(read, Err(OpenError::Read { .. })), "it is not believed");
}

#[test]
fn no_cut_segment_loses_what_was_durable() {
    let mut written = written();
    let segments = segments(&written.disk);
    let mut counts = [0; 3];
    for segment in &segments {
        let content = written.disk.content(*segment).clone();
        for length in (0..content.len()).step_by(7) {
            written.disk.content(*segment).truncate(length);
            let last = Some(segment) == segments.last();
            match load(&written.disk) {
                Ok(loaded) if last => assert!(loaded.position <= written.whole.position),
                Ok(_) | Err(_) => counts[found(&written, &written.disk) as usize] += 1,
            }
            *written.disk.content(*segment) = content.clone();
        }
    }
    assert_eq!(counts[Found::LastBatchCut as usize], 0, "only the last segment may be cut");
    assert!(counts[Found::Refused as usize] > 100, "{counts:?}");
}

#[test]
fn no_lost_segment_goes_unseen() {
    let written = written();
    let segments = segments(&written.disk);
    for segment in &segments[..segments.len() - 1] {
        let mut disk = written.disk.clone();
        disk.take_away(*segment);
        assert_eq!(found(&written, &disk), Found::Refused, "{segment}");
    }
}

#[test]
fn no_swapped_or_stale_segment_goes_unseen() {
    let mut written = written();
    let segments = segments(&written.disk);
    for pair in segments.windows(2) {
        let mut disk = written.disk.clone();
        let one = disk.content(pair[0]).clone();
        let other = std::mem::replace(disk.content(pair[1]), one);
        *disk.content(pair[0]) = other;
        assert_eq!(found(&written, &disk), Found::Refused, "{pair:?}");
    }
    for segment in &segments[..segments.len() - 1] {
        let content = written.disk.content(*segment).clone();
        // As it was when half of it had been written.
        written.disk.content(*segment)[content.len() / 2..].fill(0);
        assert_eq!(found(&written, &written.disk), Found::Refused, "{segment}");
        *written.disk.content(*segment) = content;
    }
}

/// The bytes of a batch that says that the log was durable up to a high position.
fn proof(salt: u64) -> Vec<u8> {
    let seal = Seal::fresh(Segment(1), salt);
    let (first, durable) = (Position(1_001), Position(1_000));
    let head = Head { first, last: first, durable, ..Head::default() };
    let mut writer = BatchWriter::new(seal, 0, &head);
    writer.mark(&mark_body(&ClockMark::default()));
    writer.finish().0
}

#[test]
fn a_payload_does_not_pass_for_a_batch() {
    for (salt, expected) in [(SALT + 1, "read"), (SALT, "refused")] {
        let mut disk = SimulatedDisk::default();
        let mut writer = Writer::new(9);
        let first = writer.begin();
        let mut second = writer.begin();
        let Content::Transaction { records, .. } = &mut second.content else {
            panic!("a begin is of a transaction")
        };
        let pretender = wholly_core::ids::Body::new(&proof(salt));
        let answer = wholly_core::branch::Answer::Done {
            reply: pretender,
            kept: wholly_core::branch::Kept::Kept,
        };
        let fact = wholly_core::record::Fact::Answered {
            branch: wholly_core::ids::BranchIndex(0),
            op: wholly_core::branch::Op::Try,
            answer,
            attempts: 1,
        };
        records.push(Record { at: Timestamp(1), fact });
        second.position.0 += 1;
        let positions = write(&mut disk, vec![first, second]);
        // The last batch is torn at its first byte; what it carries is still there.
        let content = disk.content(Segment(1));
        let torn = content.windows(4).rposition(|window| window == b"WhBa");
        let inner = torn.expect("the pretender is there");
        let outer = content[..inner].windows(4).rposition(|window| window == b"WhBa");
        content[outer.expect("its batch is there")] ^= 1;
        match load(&disk) {
            Ok(loaded) => assert_eq!((loaded.position, expected), (positions[0], "read")),
            Err(error) => assert_eq!(expected, "refused", "{error}"),
        }
    }
}

/// By a bug or by another's hand: no checksum is wrong, yet a start must refuse it.
#[test]
fn a_draft_that_tells_another_begin_than_its_transaction_is_refused() {
    let mut writer = Writer::new(5);
    let (begin, mark) = (writer.begin(), ClockMark::default());
    let gid = writer.open()[0].clone();
    let mut drafts = vec![begin, writer.go_on(&gid), writer.mark(mark), writer.mark(mark)];
    let mut disk = SimulatedDisk::default();
    write(&mut disk, drafts.clone());
    load(&disk).expect("it is sound");
    let Content::Transaction { summary, .. } = &mut drafts[1].content else {
        panic!("a draft of the transaction");
    };
    summary.begun = summary.begun.plus_ms(1);
    // The committer would panic at it, so its batches are put together by hand.
    let seal = Seal::fresh(Segment(1), SALT);
    let mut bytes = seal.header();
    let mut head = Head { epoch: 1, oldest: Segment(1), ..Head::default() };
    for draft in &drafts {
        let count = match &draft.content {
            Content::Transaction { records, .. } => records.len() as u64,
            Content::Mark(_) => 1,
        };
        head.first = Position(draft.position.0 + 1 - count);
        (head.last, head.durable) = (draft.position, Position(head.first.0 - 1));
        let mut batch = BatchWriter::new(seal, bytes.len() as u32, &head);
        let _place = match &draft.content {
            Content::Mark(mark) => batch.mark(&mark_body(mark)),
            Content::Transaction { gid, after, records, summary } => {
                let naming = crate::encoding::Naming::Written;
                let (after, count) = (*after, records.len() as u64);
                let body = DraftBody { gid, after, count, summary, naming };
                batch.transaction(None, &body.with_records(records))
            }
        };
        let (batch, checksum) = batch.finish();
        head.chain = checksum;
        bytes.extend_from_slice(&batch);
    }
    let mut disk = SimulatedDisk::default();
    disk.carry_out(&DiskOp::Create { segment: Segment(1) });
    disk.carry_out(&DiskOp::Write { segment: Segment(1), offset: 0, bytes });
    let error = load(&disk).expect_err("it contradicts itself");
    assert!(error.to_string().contains("contradicts the records before it"), "{error}");
}

#[test]
fn golden_segments() {
    let check = |version, kept: u64, header: &str, batch: &str| {
        let seal = Seal { version, segment: Segment(7), salt: 0x0102_0304_0506_0708 };
        let golden: String = batch.split_whitespace().collect();
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        let head = golden_head(kept);
        let mut writer = BatchWriter::new(seal, 32, &head);
        writer.mark(&mark_body(&ClockMark::default()));
        let back = crate::index::Location { segment: Segment(5), offset: 300 };
        let at = writer.transaction(Some(back), b"abc");
        assert_eq!((at.segment, at.offset as usize), (Segment(7), 65 + version as usize));
        writer.carried(b"d");
        let (batch, _) = writer.finish();
        assert_eq!((hex(&seal.header()).as_str(), hex(&batch)), (header, golden));
        let read = Batch::read(&batch, 0, seal).expect("a whole batch");
        assert_eq!(read.head, head, "version {version} is read");
        let header = Seal::read(&seal.header(), Segment(7)).expect("a whole header");
        assert_eq!(header, seal, "version {version} is read");
    };
    let (frame, head) = ("57684261 a577fd49 26000000 ddccbbaa", "ac02 01 00 03 05 06 02 04");
    let drafts = "04 97174d8b 02 000000  07 a8843468 01 03ac02 616263  03 0ac2d8b7 03 00 64";
    let header = "77686f6c6c790a00010000002b9038bc0700000008070605040302019690cd58";
    check(1, 0, header, &format!("{frame} {head} {drafts}"));
    let (frame, head) = ("57684261 f6685d99 27000000 ddccbbaa", "ac02 01 00 03 05 06 02 04 01");
    let header = "77686f6c6c790a0002000000c53f8dae0700000008070605040302019690cd58";
    check(2, 1, header, &format!("{frame} {head} {drafts}"));
}

/// Some head; the archive keeps so many of the ends that are gone from the log.
fn golden_head(kept: u64) -> Head {
    Head {
        chain: 0xaabb_ccdd,
        first: Position(300),
        last: Position(301),
        durable: Position(299),
        epoch: 3,
        forgotten: Timestamp(5),
        ends: 6,
        ends_archived: 2,
        ends_forgotten: 2 - kept,
        oldest: Segment(4),
    }
}
