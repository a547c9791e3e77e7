//! Checking: every slice of a folder that nobody uses, row by row; nothing is changed.

use super::slice::{check_format, checksum, facts, look_at, refused, unsigned};
use super::{ArchiveError, FOLDER, Slice, SliceFacts, failed, slices_in};
use crate::encoding::{Reader, decode_records, summary};
use rusqlite::{OptionalExtension, Row};
use std::io;
use std::path::Path;
use wholly_core::ids::{Gid, Name};

/// What the slices of a data folder hold, all of it read and compared with its checksums.
pub fn check(data: &Path) -> Result<Vec<SliceFacts>, ArchiveError> {
    let folder = data.join(FOLDER);
    let slices = match slices_in(&folder) {
        // A folder of a release that knew no archive, or one that has not been started.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        slices => slices.map_err(|cause| failed("listing", &folder, cause))?,
    };
    let mut found = Vec::new();
    for slice in slices {
        found.extend(check_slice(slice, &folder.join(slice.to_string()))?);
    }
    Ok(found)
}

/// None if nothing was ever committed to it.
fn check_slice(slice: Slice, path: &Path) -> Result<Option<SliceFacts>, ArchiveError> {
    let failed = |error| refused("reading", path, error);
    let damaged = |what: String| ArchiveError::Damaged { path: path.to_owned(), what };
    let connection = look_at(path)?;
    check_format(&connection, path)?;
    let tables = "SELECT 1 FROM sqlite_master WHERE name = 'facts'";
    let tables = connection.query_row(tables, [], |_| Ok(())).optional().map_err(failed)?;
    if tables.is_none() {
        return Ok(None);
    }
    let sound = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    let sound: String = sound.map_err(failed)?;
    if sound != "ok" {
        return Err(damaged(sound));
    }
    let facts = facts(&connection, slice).map_err(failed)?;
    let query = "SELECT gid, number, summary, count, checksum, records, begun \
                 FROM ended LEFT JOIN history USING (number)";
    let mut query = connection.prepare(query).map_err(failed)?;
    let mut rows = query.query([]).map_err(failed)?;
    let mut counted = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        counted += 1;
        check_row(row, &facts).map_err(failed)?.map_err(damaged)?;
    }
    match counted == facts.rows {
        true => Ok(Some(facts)),
        false => Err(damaged(format!("it holds {counted} rows and says {}", facts.rows))),
    }
}

/// What is wrong with a row, if anything is.
fn check_row(row: &Row<'_>, facts: &SliceFacts) -> rusqlite::Result<Result<(), String>> {
    let text: String = row.get(0)?;
    let (end, count) = (unsigned(row.get(1)?), unsigned(row.get(3)?));
    let (bytes, records): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(5)?);
    let begun = unsigned(row.get(6)?);
    if row.get::<_, u32>(4)? != checksum(&text, end, count, &bytes, &records) {
        return Ok(Err(format!("the checksum of {text} does not match")));
    }
    let none = Name::new("unknown").expect("a word is a name");
    let read = || {
        let gid: Gid = text.parse().map_err(|error| format!("the gid {text} {error}"))?;
        let undecodable = |error| format!("what is known of {text} cannot be decoded: {error}");
        decode_records(&gid, count, &records).map_err(undecodable)?;
        summary(&mut Reader::new(&bytes), &none).map_err(undecodable)
    };
    Ok(read().and_then(|summary| {
        let numbered = (facts.from..facts.through).contains(&end);
        match numbered && summary.begun.0 == begun {
            true => Ok(()),
            false => Err(format!("the row of {text} is not in its place")),
        }
    }))
}
