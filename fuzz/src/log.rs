//! The log: sound ones, then torn, spliced and changed; read back by the shipped recovery.
//!
//! What is read back without a complaint is a prefix of what was written, and not a shorter one
//! than a sound batch says was durable. Where the checksums are made right again after the change,
//! only a refusal without a panic is asked for.

use arbitrary::{Arbitrary, Unstructured};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Gid, Position};
use wholly_core::input::Loaded;
use wholly_core::record::{PhaseName, Record};
use wholly_store::disk::{Disk, DiskOp, Segment};
use wholly_store::embedded::{Committer, Options, Recovery, lookup};
use wholly_store::suite::drafts::Writer;

/// How often a log is opened, and how many batches are written each time.
const PARTS: usize = 2;
const BATCHES: usize = 5;
const HEADER_BYTES: usize = 32;
const FRAME_BYTES: usize = 16;
const BATCH_MAGIC: &[u8] = b"WhBa";
/// Numbers between a batch's frame and its drafts.
const HEAD_NUMBERS: usize = 8;

/// What happens to the files.
#[derive(Debug, Arbitrary)]
enum Damage<'a> {
    Byte { file: u8, at: u16, value: u8 },
    Cut { file: u8, at: u16 },
    Zero { file: u8, at: u16, length: u16 },
    Splice { from: u8, from_at: u16, length: u16, file: u8, at: u16 },
    Write { file: u8, at: u16, bytes: &'a [u8] },
    Remove { file: u8 },
}

/// Whether checksums are made right again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary)]
enum Checksums {
    Left,
    Mended,
}

/// Which log it is; few, so that each is written once and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Arbitrary)]
struct Shape {
    seed: u8,
    batch_drafts: u8,
    ended_max: u8,
}

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    shape: Shape,
    checksums: Checksums,
    damages: Vec<Damage<'a>>,
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
struct Files(BTreeMap<Segment, Vec<u8>>);

impl Disk for Files {
    fn list(&self) -> io::Result<Vec<(Segment, u64)>> {
        Ok(self.0.iter().map(|(segment, bytes)| (*segment, bytes.len() as u64)).collect())
    }

    fn read(&self, segment: Segment, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.0.get(&segment).ok_or(io::ErrorKind::NotFound)?;
        let from = usize::try_from(offset).map_err(io::Error::other)?.min(bytes.len());
        Ok(bytes[from..(from.saturating_add(length)).min(bytes.len())].to_vec())
    }
}

impl Files {
    fn carry_out(&mut self, op: DiskOp) {
        match op {
            DiskOp::Create { segment } => {
                let before = self.0.insert(segment, Vec::new());
                assert!(before.is_none(), "{segment} exists");
            }
            DiskOp::Write { segment, offset, bytes } => {
                let file = self.0.get_mut(&segment).expect("only what exists is written");
                let at = offset as usize;
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            DiskOp::Sync { .. } | DiskOp::SyncFolder => {}
            DiskOp::Unlink { segment } => {
                self.0.remove(&segment).expect("only what exists is removed");
            }
        }
    }
}

thread_local! {
    static WRITTEN: RefCell<BTreeMap<Shape, Log>> = const { RefCell::new(BTreeMap::new()) };
}

/// A batch where it was written.
#[derive(Clone)]
struct Written {
    segment: Segment,
    at: usize,
    bytes: Vec<u8>,
    /// What it says was durable.
    durable: Position,
}

/// A log that was written without a fault, and what was written.
#[derive(Clone)]
struct Log {
    files: Files,
    drafts: Vec<Draft>,
    batches: Vec<Written>,
}

/// A changed log is refused, or read as a prefix that holds all that was durable.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let Shape { seed, batch_drafts, ended_max } = input.shape;
    let shape = Shape { seed: seed % 8, batch_drafts: batch_drafts % 4, ended_max: ended_max % 4 };
    let write = || Log::write(shape);
    let mut log = WRITTEN.with_borrow_mut(|all| all.entry(shape).or_insert_with(write).clone());
    for damage in &input.damages {
        log.damage(damage);
    }
    match input.checksums {
        Checksums::Left => {
            let files = log.files.clone();
            if let Some((files, committer, loaded)) = read_back(files, shape) {
                log.check(&files, &committer, &loaded);
            }
        }
        Checksums::Mended => {
            mend(&mut log.files);
            if let Some((files, committer, loaded)) = read_back(log.files, shape) {
                for (gid, _) in &loaded.open {
                    drop(lookup(&files, &committer.index(), gid));
                }
            }
        }
    }
}

fn options(shape: Shape) -> Options {
    Options {
        ended_max: [1, 4, 16, 1_000][usize::from(shape.ended_max)],
        segment_bytes: 4_096,
        prewrite_bytes: 1_024,
        salt: u64::from(shape.seed) << 32 | 7,
        ..Options::default()
    }
}

/// Reads files back and carries out what recovery asks for; none if they are refused.
fn read_back(mut files: Files, shape: Shape) -> Option<(Files, Committer, Loaded)> {
    let mut recovery = Recovery::read(&files, options(shape)).ok()?;
    while let Some(op) = recovery.next() {
        files.carry_out(op);
        recovery.complete(Ok(())).expect("nothing fails here");
    }
    let recovered = recovery.finish();
    Some((files, recovered.committer, recovered.loaded))
}

impl Log {
    fn write(shape: Shape) -> Log {
        let mut writer = Writer::new(u64::from(shape.seed));
        let mut log = Log { files: Files::default(), drafts: Vec::new(), batches: Vec::new() };
        // Each part ends with a stop, so that the next begins with a tail that is rewritten.
        for _part in 0..PARTS {
            let files = std::mem::take(&mut log.files);
            let (files, mut committer, loaded) =
                read_back(files, shape).expect("a sound log is read");
            let written = log.drafts.last().map(|draft| draft.position).unwrap_or_default();
            assert_eq!(loaded.position, written, "nothing is lost");
            log.files = files;
            for batch in 0..BATCHES {
                for _draft in 0..1 + (usize::from(shape.batch_drafts) + batch) % 4 {
                    let draft = writer.any();
                    log.drafts.push(draft.clone());
                    committer.append(draft);
                }
                committer.flush(committer.appended());
                log.pump(&mut committer);
            }
        }
        log
    }

    fn pump(&mut self, committer: &mut Committer) {
        loop {
            let durable = committer.durable();
            let Some(op) = committer.next() else { break };
            if let DiskOp::Write { segment, offset, bytes } = &op
                && bytes.starts_with(BATCH_MAGIC)
            {
                let (at, bytes) = (*offset as usize, bytes.clone());
                self.batches.push(Written { segment: *segment, at, bytes, durable });
            }
            self.files.carry_out(op);
            committer.complete(Ok(()));
        }
    }

    fn damage(&mut self, damage: &Damage<'_>) {
        let named: Vec<Segment> = self.files.0.keys().copied().collect();
        let pick = |file: u8| named.get(usize::from(file) % named.len().max(1)).copied();
        let part = |length: usize, at: u16, wanted: usize| {
            let from = usize::from(at) % (length + 1);
            from..(from + wanted).min(length)
        };
        let files = &mut self.files.0;
        let mut put = |file: u8, at: u16, bytes: &[u8]| {
            if let Some(content) = pick(file).and_then(|segment| files.get_mut(&segment)) {
                let place = part(content.len(), at, bytes.len());
                let length = place.len();
                content[place].copy_from_slice(&bytes[..length]);
            }
        };
        match damage {
            Damage::Byte { file, at, value } => put(*file, *at, &[*value]),
            Damage::Zero { file, at, length } => put(*file, *at, &vec![0; usize::from(*length)]),
            Damage::Write { file, at, bytes } => put(*file, *at, bytes),
            Damage::Splice { from, from_at, length, file, at } => {
                let source = pick(*from).and_then(|segment| self.files.0.get(&segment));
                let bytes = source.map(|content| {
                    content[part(content.len(), *from_at, usize::from(*length))].to_vec()
                });
                let bytes = bytes.unwrap_or_default();
                self.damage(&Damage::Write { file: *file, at: *at, bytes: &bytes });
            }
            Damage::Cut { file, at } => {
                if let Some(content) = pick(*file).and_then(|segment| files.get_mut(&segment)) {
                    content.truncate(usize::from(*at) % (content.len() + 1));
                }
            }
            Damage::Remove { file } => {
                pick(*file).and_then(|segment| files.remove(&segment));
            }
        }
    }

    /// What was read back is what was written up to a place, and that is late enough.
    fn check(&self, files: &Files, committer: &Committer, loaded: &Loaded) {
        let position = loaded.position;
        let ends = self.drafts.iter().map(|draft| draft.position);
        let is_end = position == Position(0) || ends.clone().any(|end| end == position);
        assert!(is_end, "{position:?} lies within a draft");
        for batch in &self.batches {
            let file = self.files.0.get(&batch.segment);
            let there = file.and_then(|file| file.get(batch.at..batch.at + batch.bytes.len()));
            if there == Some(&batch.bytes) {
                assert!(batch.durable <= position, "{:?} was durable", batch.durable);
            }
        }
        let written = self.written(position);
        let open: Vec<(&Gid, &Vec<Record>)> = written
            .iter()
            .filter(|(_, (_, phase))| *phase != PhaseName::Ended)
            .map(|(gid, (records, _))| (gid, records))
            .collect();
        let seen: Vec<(&Gid, &Vec<Record>)> =
            loaded.open.iter().map(|(gid, records)| (gid, records)).collect();
        assert_eq!(seen, open, "what is open is what was written");
        for (gid, (records, phase)) in &written {
            let found = lookup(files, &committer.index(), gid).expect("what was taken is read");
            let is_forgotten = *phase == PhaseName::Ended && found.records.is_empty();
            assert!(is_forgotten || found.records == *records, "{gid} is what was written");
        }
    }

    fn written(&self, through: Position) -> BTreeMap<Gid, (Vec<Record>, PhaseName)> {
        let mut written = BTreeMap::new();
        for draft in self.drafts.iter().filter(|draft| draft.position <= through) {
            if let Content::Transaction { gid, records, summary, .. } = &draft.content {
                let (all, phase) =
                    written.entry(gid.clone()).or_insert((Vec::new(), PhaseName::Open));
                all.extend(records.iter().cloned());
                *phase = summary.phase;
            }
        }
        written
    }
}

/// Makes the checksums right of whatever looks like a segment, so that what lies behind them is
/// reached.
fn mend(files: &mut Files) {
    let mut chains: BTreeMap<u32, u32> = BTreeMap::new();
    for (segment, bytes) in &mut files.0 {
        if bytes.len() < HEADER_BYTES {
            continue;
        }
        let first = crc32fast::hash(&bytes[..12]).to_le_bytes();
        bytes[12..16].copy_from_slice(&first);
        bytes[16..20].copy_from_slice(&segment.0.to_le_bytes());
        let second = crc32fast::hash(&bytes[..28]).to_le_bytes();
        bytes[28..32].copy_from_slice(&second);
        let salt = bytes[20..28].to_vec();
        let mut at = HEADER_BYTES;
        while let Some(end) = mend_batch(bytes, at, (&salt, *segment), &mut chains) {
            at = end;
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(four.try_into().expect("four bytes")))
}

fn mend_batch(
    bytes: &mut [u8],
    at: usize,
    (salt, segment): (&[u8], Segment),
    chains: &mut BTreeMap<u32, u32>,
) -> Option<usize> {
    if !bytes.get(at..)?.starts_with(BATCH_MAGIC) {
        return None;
    }
    let before = word(bytes, at + 4)?;
    let end = at + FRAME_BYTES + word(bytes, at + 8)? as usize;
    let chain = word(bytes, at + 12)?;
    if let Some(chain) = chains.get(&chain) {
        bytes[at + 12..at + 16].copy_from_slice(&chain.to_le_bytes());
    }
    let batch = bytes.get_mut(at..end)?;
    let mut place = FRAME_BYTES;
    for _ in 0..HEAD_NUMBERS {
        number(batch, &mut place)?;
    }
    while let Some(length) = number(batch, &mut place) {
        let start = place + 4;
        let Some(draft) = batch.get(start..).and_then(|rest| rest.get(..length)) else { break };
        let checksum = crc32fast::hash(draft).to_le_bytes();
        batch[place..start].copy_from_slice(&checksum);
        place = start + length;
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(salt);
    hasher.update(&segment.0.to_le_bytes());
    hasher.update(&batch[8..]);
    let after = hasher.finalize();
    batch[4..8].copy_from_slice(&after.to_le_bytes());
    chains.insert(before, after);
    Some(end)
}

/// A number in base 128, little end first.
fn number(bytes: &[u8], place: &mut usize) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*place)?;
        *place += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
