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
    loop {
        let (recent, ends) = {
            let index = reading(index);
            (index.list(filter, page), index.ends())
        };
        if !filter.asks_for_ended() {
            return Ok(recent);
        }
        let mut older = archive.list(filter, page, ends.clone())?;
        let index = reading(index);
        // What was handed over meanwhile is not known of here any more, so that an earlier one of
        // the same gid would stand beside it.
        if index.ends().end != ends.end {
            continue;
        }
        // A gid that was used again names its latest transaction.
        older.items.retain(|item| index.begun(&item.gid).is_none_or(|at| at == item.summary.begun));
        drop(index);
        return Ok(merge(recent, older, page.limit));
    }
}

fn reading(index: &SharedIndex) -> RwLockReadGuard<'_, Index> {
    index.read().expect("nobody panics while holding the index")
}

/// Two pages as one. Where one of them has a next, nothing is known of what lies behind it.
fn merge(one: Listing, two: Listing, limit: usize) -> Listing {
    let horizon = one.next.max(two.next);
    let mut items: Vec<Listed> = one.items.into_iter().chain(two.items).collect();
    items.sort_unstable_by_key(|item| std::cmp::Reverse(item.cursor()));
    Listing::cut(items, horizon, limit)
}

impl Listing {
    /// A page of these, newest begun first, of which nothing is known behind a horizon.
    pub(crate) fn cut(mut items: Vec<Listed>, horizon: Option<Cursor>, limit: usize) -> Listing {
        if let Some(horizon) = &horizon {
            let known = items.partition_point(|item| item.cursor() >= *horizon);
            items.truncate(known);
        }
        let cut = items.len() > limit;
        items.truncate(limit);
        let last = items.last().map(Listed::cursor);
        Listing { items, next: if cut { last } else { horizon } }
    }
}

impl Listed {
    /// Its place in a list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { begun: self.summary.begun, gid: self.gid.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Page;
    use crate::index::{Location, Update};
    use std::ops::Range;
    use std::sync::{Arc, RwLock};
    use wholly_core::ids::{Name, Version};
    use wholly_core::record::{PhaseName, Record, Summary};
    use wholly_core::time::Timestamp;

    fn one(begun: u64) -> Listed {
        let summary = Summary {
            name: Name::new("order").unwrap(),
            begun: Timestamp(begun),
            modes: Vec::new(),
            phase: PhaseName::Ended,
            decision: None,
            cause: None,
            outcome: None,
            stuck: 0,
            parked: false,
            waits_for: Vec::new(),
            changed: Timestamp(begun),
            ended: Some(Timestamp(begun)),
        };
        Listed { gid: Gid::new("again").unwrap(), summary }
    }

    /// An archive that has the first use of a gid; the second is handed over while it is first
    /// asked.
    struct Overtaken {
        index: SharedIndex,
    }

    impl ArchiveReader for Overtaken {
        fn may_know(&self, _: &Gid) -> bool {
            true
        }

        fn find(&self, _: &Gid, _: u64) -> Result<Option<Vec<Record>>, ReadError> {
            Ok(None)
        }

        fn list(&self, _: &Filter, _: &Page, ends: Range<u64>) -> Result<Listing, ReadError> {
            let items = match ends.end {
                1 => {
                    let mut index = self.index.write().unwrap();
                    index.forget(Timestamp(20), &one(20).gid);
                    index.set_ends(0..2);
                    vec![one(10)]
                }
                _later => vec![one(20)],
            };
            Ok(Listing { items, next: None })
        }
    }

    #[test]
    fn a_gid_used_again_is_listed_once_while_it_is_handed_over() {
        let mut index = Index::default();
        index.set_ends(0..1);
        let Listed { gid, summary } = one(20);
        let (after, version, location) = (Version(0), Version(2), Location::default());
        index.add(Update { gid, after, version, location, summary }, location);
        let index = Arc::new(RwLock::new(index));
        let archive = Overtaken { index: Arc::clone(&index) };
        let page = Page { limit: 10, after: None };
        let listing = list(&index, &archive, &Filter::default(), &page).unwrap();
        assert_eq!(listing, Listing { items: vec![one(20)], next: None });
    }
}
