//! The form of the log: segments, batches, drafts, each with a checksum.
//!
//! A segment begins with a header, written and synced before the first batch: format version,
//! number, salt. Batches follow without gaps, then zeros. The salt goes into every checksum, so
//! that no bytes in a payload can pass for a batch. A batch names the checksum of the one before
//! it and how far the log was durable when it was made; a draft names the place of the draft of
//! its transaction before it.

use crate::disk::Segment;
use crate::encoding::{
    DecodeError, Naming, Reader, mark, put_bytes, put_mark, put_number, put_summary, summary,
};
use crate::index::Location;
use crate::mutants::{self, Mutant};
use crc32fast::Hasher;
use wholly_core::ids::{Gid, Name, Position, Version};
use wholly_core::record::{ClockMark, Record, Summary};
use wholly_core::time::Timestamp;

/// The format this release writes, and the highest it reads. Version 1 knew no archive: what was
/// gone from the log was forgotten.
pub const FORMAT_VERSION: u32 = 2;
/// Bytes of a segment's header.
pub(crate) const HEADER_BYTES: usize = 32;
/// Bytes of a batch before its head.
const FRAME_BYTES: usize = 16;
/// Longest head of a batch.
pub(crate) const HEAD_BYTES_MAX: usize = FRAME_BYTES + 9 * 10;
/// Longest addition to a draft's own bytes: length, checksum, kind, back pointer.
pub(crate) const DRAFT_BYTES_MAX: usize = 10 + 4 + 1 + 20;

const SEGMENT_MAGIC: [u8; 8] = *b"wholly\n\0";
const BATCH_MAGIC: [u8; 4] = *b"WhBa";

const TRANSACTION: u8 = 1;
const MARK: u8 = 2;
const CARRIED: u8 = 3;

/// What binds checksums to one segment of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) version: u32,
    pub(crate) segment: Segment,
    pub(crate) salt: u64,
}

/// Why a segment's header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// A later release wrote it.
    Newer { version: u32 },
    /// Nothing, or not the whole of it, was written.
    Bad,
}

impl Seal {
    /// The seal of a segment that this release writes.
    pub(crate) fn fresh(segment: Segment, salt: u64) -> Seal {
        Seal { version: FORMAT_VERSION, segment, salt }
    }

    pub(crate) fn header(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out.extend_from_slice(&self.segment.0.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }

    pub(crate) fn read(bytes: &[u8], segment: Segment) -> Result<Seal, HeaderError> {
        let (head, version, salt, number) = header_fields(bytes).ok_or(HeaderError::Bad)?;
        if head.0 != SEGMENT_MAGIC || head.1 != crc32fast::hash(&bytes[..12]) {
            return Err(HeaderError::Bad);
        }
        if version > FORMAT_VERSION {
            return Err(HeaderError::Newer { version });
        }
        if head.2 != crc32fast::hash(&bytes[..28]) || number != segment.0 {
            return Err(HeaderError::Bad);
        }
        Ok(Seal { version, segment, salt })
    }

    fn hasher(self) -> Hasher {
        let mut hasher = Hasher::new();
        hasher.update(&self.salt.to_le_bytes());
        hasher.update(&self.segment.0.to_le_bytes());
        hasher
    }
}

type HeaderChecks = ([u8; 8], u32, u32);

fn header_fields(bytes: &[u8]) -> Option<(HeaderChecks, u32, u64, u32)> {
    let mut reader = Reader::new(bytes);
    let magic = reader.array().ok()?;
    let version = u32::from_le_bytes(reader.array().ok()?);
    let first = u32::from_le_bytes(reader.array().ok()?);
    let number = u32::from_le_bytes(reader.array().ok()?);
    let salt = u64::from_le_bytes(reader.array().ok()?);
    let second = u32::from_le_bytes(reader.array().ok()?);
    Some(((magic, first, second), version, salt, number))
}

/// What a batch says of itself and of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The checksum of the batch before it.
    pub(crate) chain: u32,
    /// The position of its first record.
    pub(crate) first: Position,
    /// The position of its last record.
    pub(crate) last: Position,
    /// What was durable when it was made.
    pub(crate) durable: Position,
    /// How often the log had been opened.
    pub(crate) epoch: u64,
    /// The highest begun ever forgotten, as of this batch.
    pub(crate) forgotten: Timestamp,
    /// How many transactions had ended before it.
    pub(crate) ends: u64,
    /// How many of these, the first ones, are not the log's to keep: archived, or forgotten.
    pub(crate) ends_archived: u64,
    /// How many of these, the first ones, are forgotten as of this batch.
    pub(crate) ends_forgotten: u64,
    /// The oldest segment that is still needed, as of this batch.
    pub(crate) oldest: Segment,
}

/// A batch in the making.
pub(crate) struct BatchWriter {
    seal: Seal,
    offset: u32,
    bytes: Vec<u8>,
}

impl BatchWriter {
    /// Begins a batch that will lie at an offset of a segment.
    pub(crate) fn new(seal: Seal, offset: u32, head: &Head) -> Self {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&BATCH_MAGIC);
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&head.chain.to_le_bytes());
        put_number(head.first.0, &mut bytes);
        put_number(head.last.0 - head.first.0, &mut bytes);
        put_number(head.first.0 - 1 - head.durable.0, &mut bytes);
        put_number(head.epoch, &mut bytes);
        put_number(head.forgotten.0, &mut bytes);
        put_number(head.ends, &mut bytes);
        put_number(head.ends_archived, &mut bytes);
        put_number(u64::from(head.oldest.0), &mut bytes);
        if seal.version >= 2 {
            put_number(head.ends_archived - head.ends_forgotten, &mut bytes);
        }
        BatchWriter { seal, offset, bytes }
    }

    /// Adds a draft of a transaction, and says where it lies.
    pub(crate) fn transaction(&mut self, back: Option<Location>, body: &[u8]) -> Location {
        let mut out = vec![TRANSACTION];
        match back {
            None => out.push(0),
            Some(back) => {
                let segments = self.seal.segment.0 - back.segment.0;
                put_number(u64::from(segments) + 1, &mut out);
                put_number(u64::from(back.offset), &mut out);
            }
        }
        self.draft(&out, body)
    }

    /// Adds all records of an open transaction, so that its earlier drafts are not needed.
    pub(crate) fn carried(&mut self, body: &[u8]) -> Location {
        self.draft(&[CARRIED, 0], body)
    }

    /// Adds a mark.
    pub(crate) fn mark(&mut self, body: &[u8]) -> Location {
        self.draft(&[MARK], body)
    }

    fn draft(&mut self, start: &[u8], body: &[u8]) -> Location {
        let offset = self.offset + self.bytes.len() as u32;
        put_number((start.len() + body.len()) as u64, &mut self.bytes);
        let mut hasher = Hasher::new();
        hasher.update(start);
        hasher.update(body);
        self.bytes.extend_from_slice(&hasher.finalize().to_le_bytes());
        self.bytes.extend_from_slice(start);
        self.bytes.extend_from_slice(body);
        Location { segment: self.seal.segment, offset }
    }

    /// The bytes and their checksum.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u32) {
        let length = u32::try_from(self.bytes.len() - FRAME_BYTES);
        let length = length.expect("batch_bytes_max and the request limits bound a batch");
        self.bytes[8..12].copy_from_slice(&length.to_le_bytes());
        let mut hasher = self.seal.hasher();
        hasher.update(&self.bytes[8..]);
        let checksum = hasher.finalize();
        self.bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        (self.bytes, checksum)
    }
}

/// A batch as read back: what it says, and where in its segment it lies.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) head: Head,
    pub(crate) checksum: u32,
    drafts_at: usize,
    /// Where the next batch begins.
    pub(crate) end: usize,
}

impl Batch {
    /// The batch at a place of a segment, if a whole and sound one lies there.
    pub(crate) fn read(segment: &[u8], at: usize, seal: Seal) -> Option<Batch> {
        let mut reader = Reader::new(segment.get(at..)?);
        if reader.array::<4>().ok()? != BATCH_MAGIC {
            return None;
        }
        let checksum = u32::from_le_bytes(reader.array().ok()?);
        let length = u32::from_le_bytes(reader.array().ok()?) as usize;
        let chain = u32::from_le_bytes(reader.array().ok()?);
        let end = at + FRAME_BYTES + length;
        let sealed = segment.get(at + 8..end)?;
        let mut hasher = seal.hasher();
        hasher.update(sealed);
        if hasher.finalize() != checksum && !mutants::is_on(Mutant::ChecksumIgnored) {
            return None;
        }
        let mut reader = Reader::new(&sealed[8..]);
        let head = head(chain, seal.version, &mut reader).ok()?;
        Some(Batch { head, checksum, drafts_at: end - reader.rest().len(), end })
    }

    /// The batches of a segment from its header on, as far as each follows the one before.
    pub(crate) fn walk(segment: &[u8], seal: Seal) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        let mut at = HEADER_BYTES;
        while let Some(batch) = Batch::read(segment, at, seal) {
            if batches.last().is_some_and(|before| !batch.follows(before)) {
                break;
            }
            at = batch.end;
            batches.push(batch);
        }
        batches
    }

    fn follows(&self, before: &Batch) -> bool {
        self.head.chain == before.checksum && self.head.first.0 == before.head.last.0 + 1
    }

    /// Its drafts in order.
    pub(crate) fn drafts<'a>(&self, bytes: &'a [u8], segment: Segment) -> DraftsReader<'a> {
        let reader = Reader::new(&bytes[self.drafts_at..self.end]);
        DraftsReader { segment, offset: self.drafts_at, reader }
    }
}

/// The places at which a batch may begin: for looking behind bytes that are none.
pub(crate) fn candidates(segment: &[u8], from: usize) -> impl Iterator<Item = usize> {
    let windows = segment.get(from..).unwrap_or_default().windows(BATCH_MAGIC.len());
    windows.enumerate().filter(|(_, w)| **w == BATCH_MAGIC).map(move |(at, _)| from + at)
}

fn head(chain: u32, version: u32, reader: &mut Reader<'_>) -> Result<Head, DecodeError> {
    let first = Position(reader.number()?);
    let more = reader.number()?;
    let behind = reader.number()?;
    let what = "a position";
    let last = first.0.checked_add(more).ok_or(DecodeError::Number { what })?;
    let before = first.0.checked_sub(1).ok_or(DecodeError::Number { what })?;
    let durable = before.checked_sub(behind).ok_or(DecodeError::Number { what })?;
    let (epoch, forgotten, ends) = (reader.number()?, reader.time()?, reader.number()?);
    let ends_archived = reader.number()?;
    let oldest = Segment(reader.number_as("a segment")?);
    let kept = if version >= 2 { reader.number()? } else { 0 };
    let ends_forgotten = ends_archived.checked_sub(kept).ok_or(DecodeError::Number { what })?;
    Ok(Head {
        chain,
        first,
        last: Position(last),
        durable: Position(durable),
        epoch,
        forgotten,
        ends,
        ends_archived,
        ends_forgotten,
        oldest,
    })
}

/// A draft as it lies in the log.
#[derive(Clone, Debug)]
pub(crate) enum Stored<'a> {
    Transaction(StoredDraft<'a>),
    /// All records of a transaction up to a version, once more.
    Carried(StoredDraft<'a>),
    Mark(ClockMark),
}

/// A transaction's draft as it lies in the log; the rest is read when it is known whose it is.
#[derive(Clone, Debug)]
pub(crate) struct StoredDraft<'a> {
    pub(crate) back: Option<Location>,
    pub(crate) gid: Gid,
    pub(crate) after: Version,
    pub(crate) count: u64,
    rest: Reader<'a>,
}

impl<'a> StoredDraft<'a> {
    /// The version of its last record.
    pub(crate) fn version(&self) -> Result<Version, DecodeError> {
        let version = self.after.0.checked_add(self.count);
        version.map(Version).ok_or(DecodeError::Number { what: "a version" })
    }

    /// Its summary, which may leave out the name that is known, and the bytes of its records.
    pub(crate) fn open(mut self, known: &Name) -> Result<(Summary, &'a [u8]), DecodeError> {
        let summary = summary(&mut self.rest, known)?;
        Ok((summary, self.rest.rest()))
    }
}

/// Reads drafts one after another, checksums included.
pub(crate) struct DraftsReader<'a> {
    segment: Segment,
    offset: usize,
    reader: Reader<'a>,
}

impl<'a> DraftsReader<'a> {
    /// The next one and where it lies; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(Location, Stored<'a>)>, DecodeError> {
        let before = self.reader.rest().len();
        if before == 0 {
            return Ok(None);
        }
        let location = Location { segment: self.segment, offset: self.offset as u32 };
        let stored = stored(&mut self.reader, self.segment)?;
        self.offset += before - self.reader.rest().len();
        Ok(Some((location, stored)))
    }
}

/// How many bytes a draft takes, given its first ones; none if these are too few to tell.
pub(crate) fn draft_length(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(bytes);
    let length = usize::try_from(reader.number().ok()?).ok()?;
    (bytes.len() - reader.rest().len() + 4).checked_add(length)
}

/// The draft at the front of some bytes of a segment.
pub(crate) fn stored<'a>(
    reader: &mut Reader<'a>,
    segment: Segment,
) -> Result<Stored<'a>, DecodeError> {
    let length = reader.number_as("a length")?;
    let checksum = u32::from_le_bytes(reader.array()?);
    let bytes = reader.take(length)?;
    if crc32fast::hash(bytes) != checksum {
        return Err(DecodeError::Checksum);
    }
    let mut inner = Reader::new(bytes);
    match inner.byte()? {
        TRANSACTION => Ok(Stored::Transaction(transaction(inner, segment)?)),
        CARRIED => Ok(Stored::Carried(transaction(inner, segment)?)),
        MARK => {
            let mark = mark(&mut inner)?;
            inner.end()?;
            Ok(Stored::Mark(mark))
        }
        tag => Err(DecodeError::Tag { what: "draft", tag }),
    }
}

fn transaction(mut reader: Reader<'_>, segment: Segment) -> Result<StoredDraft<'_>, DecodeError> {
    let back = match reader.number()? {
        0 => None,
        segments => Some(Location {
            segment: earlier(segment, segments - 1)?,
            offset: reader.number_as("an offset")?,
        }),
    };
    let gid = reader.name(Gid::new)?;
    let after = Version(reader.number()?);
    let count = reader.number()?;
    Ok(StoredDraft { back, gid, after, count, rest: reader })
}

fn earlier(segment: Segment, by: u64) -> Result<Segment, DecodeError> {
    let number = u64::from(segment.0).checked_sub(by).and_then(|n| u32::try_from(n).ok());
    number.map(Segment).ok_or(DecodeError::Number { what: "a segment" })
}

/// A transaction's draft as its bytes, all but the back pointer.
pub(crate) struct DraftBody<'a> {
    pub(crate) gid: &'a Gid,
    pub(crate) after: Version,
    pub(crate) count: u64,
    pub(crate) summary: &'a Summary,
    pub(crate) naming: Naming,
}

impl DraftBody<'_> {
    /// The bytes, with records that are encoded already.
    pub(crate) fn with_bytes(&self, records: &[u8]) -> Vec<u8> {
        let mut out = self.start();
        out.extend_from_slice(records);
        out
    }

    /// The bytes.
    pub(crate) fn with_records(&self, records: &[Record]) -> Vec<u8> {
        let mut out = self.start();
        for record in records {
            crate::encoding::put_record(self.gid, record, &mut out);
        }
        out
    }

    fn start(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put_bytes(self.gid.as_str().as_bytes(), &mut out);
        put_number(self.after.0, &mut out);
        put_number(self.count, &mut out);
        put_summary(self.summary, self.naming, &mut out);
        out
    }
}

/// The bytes of a mark.
pub(crate) fn mark_body(mark: &ClockMark) -> Vec<u8> {
    let mut out = Vec::new();
    put_mark(mark, &mut out);
    out
}
