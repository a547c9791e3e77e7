//! Reading: a transaction's records, from its last draft back to its first.

use super::batch::{Stored, StoredDraft, draft_length, stored};
use super::committer::SharedIndex;
use crate::contract::{Lookup, ReadError};
use crate::disk::Disk;
use crate::encoding::{DecodeError, Reader, decode_records};
use crate::index::{Index, Location};
use wholly_core::ids::{Gid, Name, Version};
use wholly_core::record::Record;

/// Readings of a history before what looks damaged is believed: a bit may flip on its way.
const READINGS_MAX: u32 = 4;

/// Bytes read at a guess; most drafts are shorter.
const GUESS_BYTES: usize = 2_048;

/// All durable records of a transaction, and what was forgotten, as of one moment.
pub fn lookup(disk: &dyn Disk, index: &SharedIndex, gid: &Gid) -> Result<Lookup, ReadError> {
    let look = |index: &Index| (index.find(gid), index.forgotten());
    let mut readings = 0;
    let (mut known, mut forgotten) = look(&index.read().expect("nobody panics in the index"));
    loop {
        let Some(found) = known else {
            return Ok(Lookup { records: Vec::new(), forgotten });
        };
        let failed = match history(disk, gid, found.last, found.version) {
            Ok(records) => return Ok(Lookup { records, forgotten }),
            Err(failed) => failed,
        };
        // It may have been forgotten, and its segment removed, while it was being read.
        let again = look(&index.read().expect("nobody panics in the index"));
        readings += u32::from(again.0 == known);
        if readings == READINGS_MAX {
            return Err(failed);
        }
        (known, forgotten) = again;
    }
}

/// The records of a transaction whose last draft lies at a place.
fn history(
    disk: &dyn Disk,
    gid: &Gid,
    last: Location,
    version: Version,
) -> Result<Vec<Record>, ReadError> {
    let bytes = history_bytes(disk, gid, last, version)?;
    decode_records(gid, version.0, &bytes).map_err(|cause| damaged(gid, last, cause))
}

/// The same, encoded.
pub(crate) fn history_bytes(
    disk: &dyn Disk,
    gid: &Gid,
    last: Location,
    version: Version,
) -> Result<Vec<u8>, ReadError> {
    let mut drafts = Vec::new();
    let mut place = Some(last);
    let mut expected = version;
    while let Some(at) = place {
        let damaged = |cause| damaged(gid, at, cause);
        let bytes = draft_bytes(disk, gid, at)?;
        let draft = read_draft(&bytes, gid, at, expected).map_err(damaged)?;
        place = draft.back;
        expected = draft.after;
        let any = Name::new("any").expect("a word is a name");
        let (_, records) = draft.open(&any).map_err(damaged)?;
        drafts.push(records.to_vec());
    }
    match expected {
        Version(0) => Ok(drafts.into_iter().rev().flatten().collect()),
        Version(_) => Err(damaged(gid, last, DecodeError::Stranger)),
    }
}

fn read_draft<'a>(
    bytes: &'a [u8],
    gid: &Gid,
    at: Location,
    version: Version,
) -> Result<StoredDraft<'a>, DecodeError> {
    match stored(&mut Reader::new(bytes), at.segment)? {
        Stored::Transaction(draft) | Stored::Carried(draft)
            if draft.gid == *gid && draft.count > 0 && draft.version()? == version =>
        {
            Ok(draft)
        }
        Stored::Transaction(_) | Stored::Carried(_) | Stored::Mark(_) => Err(DecodeError::Stranger),
    }
}

fn draft_bytes(disk: &dyn Disk, gid: &Gid, at: Location) -> Result<Vec<u8>, ReadError> {
    let read = |length| {
        disk.read(at.segment, u64::from(at.offset), length).map_err(|cause| ReadError::Disk {
            gid: gid.clone(),
            segment: at.segment.0,
            offset: at.offset,
            cause,
        })
    };
    let bytes = read(GUESS_BYTES)?;
    match draft_length(&bytes) {
        Some(length) if length > bytes.len() => read(length),
        Some(_) | None => Ok(bytes),
    }
}

fn damaged(gid: &Gid, at: Location, cause: DecodeError) -> ReadError {
    ReadError::Damaged { gid: gid.clone(), segment: at.segment.0, offset: at.offset, cause }
}
