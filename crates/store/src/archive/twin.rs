//! The crashing twin: an archive in memory that splits pending from durable, for the simulator.

use super::{Archive, ArchiveError, ArchiveReader, Archived, OpenedArchive, Slice, SliceFacts};
use crate::contract::{Filter, Listed, Listing, Page, ReadError};
use crate::encoding::decode_records;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use wholly_core::ids::Gid;
use wholly_core::record::Record;

/// Bytes that a row takes besides its records.
const ROW_BYTES: u64 = 64;

/// An archive that survives the process which uses it, as far as it was committed.
#[derive(Debug, Default)]
pub struct Twin {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    slices: BTreeMap<Slice, Durable>,
    pending: Vec<(Slice, Archived)>,
}

#[derive(Clone, Debug)]
struct Durable {
    facts: SliceFacts,
    rows: BTreeMap<u64, Archived>,
}

impl Twin {
    /// Takes it into use, as a process that starts does: what was not committed is gone.
    pub fn open(&self) -> OpenedArchive {
        let mut kept = self.kept();
        kept.pending.clear();
        let slices = kept.slices.values().map(|slice| slice.facts).collect();
        OpenedArchive { writer: Box::new(self.in_use()), reader: Arc::new(self.in_use()), slices }
    }

    /// A hand on it, for the process that uses it.
    pub fn in_use(&self) -> Twin {
        Twin { kept: Arc::clone(&self.kept) }
    }

    /// Another one with the same content, which goes its own way.
    pub fn copy(&self) -> Twin {
        Twin { kept: Arc::new(Mutex::new(self.kept().clone())) }
    }

    /// Every transaction that was committed, slice by slice, in order of end.
    pub fn committed(&self) -> Vec<Archived> {
        let kept = self.kept();
        kept.slices.values().flat_map(|slice| slice.rows.values().cloned()).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nobody panics while holding what is kept")
    }
}

impl Archive for Twin {
    fn put(&mut self, slice: Slice, ended: &[Archived]) -> Result<(), ArchiveError> {
        let mut kept = self.kept();
        let last = kept.slices.keys().next_back().copied();
        assert!(last.is_none_or(|last| last <= slice), "a slice that is closed stays closed");
        kept.pending.extend(ended.iter().map(|one| (slice, one.clone())));
        Ok(())
    }

    fn commit(&mut self, slice: Slice, ends: Range<u64>) -> Result<SliceFacts, ArchiveError> {
        let mut kept = self.kept();
        let pending = std::mem::take(&mut kept.pending);
        let before = kept.slices.range(..slice).next_back();
        if let Some((_, before)) = before {
            assert!(before.facts.through <= ends.start, "slices do not overlap");
        }
        let facts = SliceFacts::empty(slice, ends.start);
        let fresh = Durable { facts, rows: BTreeMap::new() };
        let durable = kept.slices.entry(slice).or_insert(fresh);
        assert_eq!(durable.facts.through, ends.start, "ends follow one another");
        for (to, one) in pending {
            assert_eq!(to, slice, "one slice is committed at a time");
            assert!(ends.contains(&one.end), "what is put is among the ends of its commit");
            durable.rows.retain(|_, row| row.gid != one.gid);
            durable.rows.insert(one.end, one);
        }
        let mut facts = SliceFacts::empty(slice, durable.facts.from);
        for one in durable.rows.values() {
            facts.count(one);
            facts.bytes += one.records.len() as u64 + ROW_BYTES;
        }
        facts.through = ends.end;
        durable.facts = facts;
        Ok(facts)
    }

    fn remove(&mut self, slice: Slice) -> Result<(), ArchiveError> {
        self.kept().slices.remove(&slice);
        Ok(())
    }
}

impl ArchiveReader for Twin {
    fn may_know(&self, gid: &Gid) -> bool {
        self.kept().latest(gid).is_some()
    }

    fn find(&self, gid: &Gid, forgotten: u64) -> Result<Option<Vec<Record>>, ReadError> {
        let kept = self.kept();
        let Some(one) = kept.latest(gid).filter(|one| one.end >= forgotten) else {
            return Ok(None);
        };
        let records = decode_records(gid, one.count, &one.records);
        let damaged = |cause| ReadError::Damaged { gid: gid.clone(), segment: 0, offset: 0, cause };
        records.map(Some).map_err(damaged)
    }

    fn list(&self, filter: &Filter, page: &Page, ends: Range<u64>) -> Result<Listing, ReadError> {
        let kept = self.kept();
        let rows = kept.slices.values().flat_map(|slice| slice.rows.values());
        let rows = rows.filter(|row| ends.contains(&row.end));
        let rows = rows.filter(|row| kept.latest(&row.gid).is_some_and(|l| l.end == row.end));
        let mut items: Vec<Listed> = rows
            .filter(|row| filter.admits(&row.gid, &row.summary))
            .map(|row| Listed { gid: row.gid.clone(), summary: row.summary.clone() })
            .filter(|item| page.after.as_ref().is_none_or(|after| item.cursor() < *after))
            .collect();
        items.sort_unstable_by_key(|item| std::cmp::Reverse(item.cursor()));
        Ok(Listing::cut(items, None, page.limit))
    }
}

impl Kept {
    /// The latest transaction of a gid.
    fn latest(&self, gid: &Gid) -> Option<&Archived> {
        let slices = self.slices.values().rev();
        slices.flat_map(|slice| slice.rows.values().rev()).find(|row| row.gid == *gid)
    }
}
