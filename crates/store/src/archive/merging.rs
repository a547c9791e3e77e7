//! Reading log and archive as one: a transaction is found, and listed, in exactly one of them.
//!
//! The index says up to which end the archive is to be believed, and changes that in the same
//! moment in which it lets go of what was handed over. A reader takes both from one look at it.

use super::ArchiveReader;
use crate::contract::{Cursor, Filter, Listed, Listing, Lookup, Page, ReadError};
use crate::disk::Disk;
use crate::embedded::{SharedIndex, lookup};
use crate::index::Index;
use std::sync::RwLockReadGuard;
use wholly_core::ids::Gid;

/// All durable records of a transaction, and what was forgotten, as of one moment.
pub fn find(
    disk: &dyn Disk,
    index: &SharedIndex,
    archive: &dyn ArchiveReader,
    gid: &Gid,
) -> Result<Lookup, ReadError> {
    loop {
        let forgotten = reading(index).ends().start;
        let found = lookup(disk, index, gid)?;
        if !found.records.is_empty() {
            return Ok(found);
        }
        if let Some(records) = archive.find(gid, forgotten)? {
            return Ok(Lookup { records, ..found });
        }
        // It may have gone with its slice while it was being looked for.
        if reading(index).ends().start == forgotten {
            return Ok(found);
        }
    }
}

/// A page of log and archive, newest begun first.
pub fn list(
    index: &SharedIndex,
    archive: &dyn ArchiveReader,
    filter: &Filter,
    page: &Page,
) -> Result<Listing, ReadError> {
    let (recent, ends) = {
        let index = reading(index);
        (index.list(filter, page), index.ends())
    };
    if !filter.asks_for_ended() {
        return Ok(recent);
    }
    let mut older = archive.list(filter, page, ends)?;
    // A gid that was used again names its latest transaction.
    let index = reading(index);
    older.items.retain(|item| index.begun(&item.gid).is_none_or(|at| at == item.summary.begun));
    drop(index);
    Ok(merge(recent, older, page.limit))
}

fn reading(index: &SharedIndex) -> RwLockReadGuard<'_, Index> {
    index.read().expect("nobody panics while holding the index")
}

/// Two pages as one. Where one of them has a next, nothing is known of what lies behind it.
fn merge(one: Listing, two: Listing, limit: usize) -> Listing {
    let horizon = one.next.max(two.next);
    let mut items: Vec<Listed> = one.items.into_iter().chain(two.items).collect();
    items.sort_unstable_by_key(|item| std::cmp::Reverse(item.cursor()));
    if let Some(horizon) = &horizon {
        let known = items.partition_point(|item| item.cursor() >= *horizon);
        items.truncate(known);
    }
    let cut = items.len() > limit;
    items.truncate(limit);
    let last = items.last().map(Listed::cursor);
    Listing { items, next: if cut { last } else { horizon } }
}

impl Listed {
    /// Its place in a list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { begun: self.summary.begun, gid: self.gid.clone() }
    }
}
