//! The encoding of records, summaries and marks: versioned by the log's format, compact, total.
//!
//! Numbers are little-endian base 128 (LEB128), texts and bodies carry their length, each kind of
//! thing a tag of one byte. A tag is never used again for something else. Reading arbitrary bytes
//! gives an error, never a panic, and allocates no more than the bytes could mean.

mod branch;
mod bytes;
mod record;
mod summary;
#[cfg(test)]
mod tests;

pub(crate) use bytes::{Reader, put_bytes, put_number};
pub(crate) use record::{put_record, record};
#[cfg(feature = "sqlite")]
pub(crate) use summary::Glance;
pub(crate) use summary::{Naming, put_summary, summary};

use wholly_core::ids::{Gid, NameError};
use wholly_core::record::{ClockMark, Record};
use wholly_core::time::Timestamp;

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end in the middle of something.
    #[error("the bytes end too early")]
    Short,
    /// Something is said to be longer than what is there.
    #[error("a length of {length} is more than the {left} bytes that are left")]
    Length {
        /// What is said.
        length: u64,
        /// What there is.
        left: usize,
    },
    /// A number does not fit its type.
    #[error("a number is too large for {what}")]
    Number {
        /// What it should count.
        what: &'static str,
    },
    /// A tag that nothing has.
    #[error("tag {tag} is no {what}")]
    Tag {
        /// What it should tell.
        what: &'static str,
        /// The tag.
        tag: u8,
    },
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// A name that is none.
    #[error("a name {0}")]
    Name(NameError),
    /// Bytes are left over.
    #[error("{left} bytes are left over")]
    Left {
        /// How many.
        left: usize,
    },
    /// The checksum is another one.
    #[error("the checksum does not match")]
    Checksum,
    /// A draft that belongs elsewhere.
    #[error("another transaction's records are in its place")]
    Stranger,
}

/// Appends a record of a transaction.
pub fn encode_record(gid: &Gid, record: &Record, out: &mut Vec<u8>) {
    put_record(gid, record, out);
}

/// Reads so many records of a transaction, which must be all there is.
pub fn decode_records(gid: &Gid, count: u64, bytes: &[u8]) -> Result<Vec<Record>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut records = Vec::new();
    for _ in 0..count {
        records.push(record(gid, &mut reader)?);
    }
    reader.end()?;
    Ok(records)
}

pub(crate) fn put_mark(mark: &ClockMark, out: &mut Vec<u8>) {
    put_number(mark.clock.0, out);
    put_number(mark.limit.0, out);
    put_number(mark.ended_before.0, out);
}

pub(crate) fn mark(reader: &mut Reader<'_>) -> Result<ClockMark, DecodeError> {
    Ok(ClockMark {
        clock: Timestamp(reader.number()?),
        limit: Timestamp(reader.number()?),
        ended_before: Timestamp(reader.number()?),
    })
}
