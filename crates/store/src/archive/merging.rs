//! Reading log and archive as one: a transaction is found, and listed, in exactly one of them.
//!
//! The index says up to which end the archive is to be believed, and changes that in the same
//! moment in which it lets go of what was handed over. A list is what was known in the moment of
//! one look at it, the last one; what the archive was asked for before holds as long as that
//! range is still the same.

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
    if !filter.asks_for_ended() {
        return Ok(reading(index).list(filter, page));
    }
    let mut ends = reading(index).ends();
    // Another round takes a hand-over, or a slice that is forgotten: both wait for a disk.
    loop {
        let mut older = archive.list(filter, page, ends.clone())?;
        let index = reading(index);
        // What was handed over meanwhile is in neither. What was forgotten may have gone with its
        // slice before an earlier use of its gid was held against it.
        if index.ends() != ends {
            ends = index.ends();
            continue;
        }
        // A gid that was used again names its latest transaction, which is in the same look.
        older.items.retain(|item| index.begun(&item.gid).is_none_or(|at| at == item.summary.begun));
        let recent = index.list(filter, page);
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
    use std::sync::{Arc, Mutex, RwLock};
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

    /// What befalls the index while the archive is read.
    type Befalls = fn(&mut Index);

    /// An archive that is overtaken: once, after it found its rows and before it gives them.
    struct Overtaken {
        index: SharedIndex,
        befalls: Mutex<Option<Befalls>>,
        /// The begins it finds among the ends of some numbers.
        finds: fn(Range<u64>) -> Vec<u64>,
    }

    impl ArchiveReader for Overtaken {
        fn may_know(&self, _: &Gid) -> bool {
            true
        }

        fn find(&self, _: &Gid, _: u64) -> Result<Option<Vec<Record>>, ReadError> {
            Ok(None)
        }

        fn list(&self, _: &Filter, _: &Page, ends: Range<u64>) -> Result<Listing, ReadError> {
            let items = (self.finds)(ends).into_iter().map(one).collect();
            if let Some(befalls) = self.befalls.lock().unwrap().take() {
                befalls(&mut self.index.write().unwrap());
            }
            Ok(Listing { items, next: None })
        }
    }

    fn begin(index: &mut Index, begun: u64) {
        let Listed { gid, summary } = one(begun);
        let (after, version, location) = (Version(0), Version(2), Location::default());
        index.add(Update { gid, after, version, location, summary }, location);
    }

    /// Lists a gid while something befalls; says which of its uses are shown.
    fn check(before: Befalls, finds: fn(Range<u64>) -> Vec<u64>, befalls: Befalls, shown: &[u64]) {
        let mut index = Index::default();
        before(&mut index);
        let index = Arc::new(RwLock::new(index));
        let archive =
            Overtaken { index: Arc::clone(&index), befalls: Mutex::new(Some(befalls)), finds };
        let page = Page { limit: 10, after: None };
        let listing = list(&index, &archive, &Filter::default(), &page).unwrap();
        let items = shown.iter().map(|begun| one(*begun)).collect();
        assert_eq!(listing, Listing { items, next: None });
    }

    #[test]
    fn a_gid_used_again_is_listed_once_while_it_is_handed_over() {
        let before: Befalls = |index| {
            index.set_ends(0..1);
            begin(index, 20);
        };
        let handed_over: Befalls = |index| {
            index.forget(Timestamp(20), &one(20).gid);
            index.set_ends(0..2);
        };
        check(before, |ends| vec![ends.end * 10], handed_over, &[20]);
    }

    #[test]
    fn a_gid_used_again_while_it_is_listed_is_not_missing() {
        let before: Befalls = |index| index.set_ends(0..1);
        check(before, |_| vec![10], |index| begin(index, 20), &[20]);
        // Its archive lets the first use go with the commit that brings the second.
        check(before, |_| vec![], |index| begin(index, 20), &[20]);
        check(before, |_| vec![10], |_| (), &[10]);
    }

    #[test]
    fn a_gid_used_again_is_listed_once_while_both_uses_are_forgotten() {
        // The slice of the second went before it was asked whether it has the first one's gid.
        let finds = |ends: Range<u64>| if ends.is_empty() { vec![] } else { vec![20, 10] };
        check(|index| index.set_ends(0..2), finds, |index| index.set_ends(2..2), &[]);
    }
}
