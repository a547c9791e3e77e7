//! Reading the archive: what is in memory of each slice, and a few connections for the rest.

use super::super::filter::{GidFilter, hash};
use super::super::{ArchiveError, ArchiveReader, Slice, SliceFacts};
use super::failed;
use super::slice::{
    UNLIKE_DECIDED, UNLIKE_DECIDED_INDEX, checksum, connect, look_at, refused, signed, unsigned,
};
use crate::contract::{Cursor, Filter, Listed, Listing, Page, ReadError};
use crate::encoding::{Glance, Reader, decode_records, summary};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use wholly_core::ids::{Gid, Name};
use wholly_core::record::{Outcome, Record};
use wholly_core::time::Timestamp;

/// Rows looked at for one page: a filter that matches little must not take long.
const LOOKED_AT_MAX: usize = 10_000;
/// Rows of each slice that may be looked at all the same, so that every page gets on.
const LOOKED_AT_MIN: usize = 1_000;
/// Rows of a slice that are found by how their gids begin, at most; of more, those that are meant
/// are close together in the order of a list.
const PREFIXED_MAX: u32 = 1_000;
/// Rows in the order of a list that could be looked at instead of one found by its gid.
const PREFIXED_COST: usize = 10;
/// Connections that are kept.
const CONNECTIONS_MAX: usize = 8;

/// How an archive is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Beside its writer.
    InUse,
    /// While nobody uses it: nothing is changed.
    Looked,
}

/// What writer and readers share.
pub(super) struct Shared {
    pub(super) folder: PathBuf,
    access: Access,
    known: RwLock<BTreeMap<Slice, Known>>,
    connections: Mutex<Vec<(Slice, Connection)>>,
}

/// What is in memory of a slice.
pub(super) struct Known {
    pub(super) facts: SliceFacts,
    pub(super) filter: GidFilter,
}

impl Shared {
    pub(super) fn new(folder: PathBuf, access: Access) -> Self {
        Shared { folder, access, known: RwLock::default(), connections: Mutex::default() }
    }

    pub(super) fn path(&self, slice: Slice) -> PathBuf {
        self.folder.join(slice.to_string())
    }

    pub(super) fn publish(&self, slice: Slice, known: Known) {
        self.writing().insert(slice, known);
    }

    /// Takes in what a commit brought.
    pub(super) fn grow(&self, facts: SliceFacts, gids: &[Gid], fresh: impl Fn() -> GidFilter) {
        let mut slices = self.writing();
        let known = slices.entry(facts.slice);
        let known = known.or_insert_with(|| Known { facts, filter: fresh() });
        known.facts = facts;
        gids.iter().for_each(|gid| known.filter.insert(gid));
    }

    pub(super) fn forget(&self, slice: Slice) {
        self.writing().remove(&slice);
        self.connections().retain(|(of, _)| *of != slice);
    }

    pub(super) fn remove_files(&self, slice: Slice) -> Result<(), ArchiveError> {
        let path = self.path(slice);
        for suffix in ["-wal", "-shm", ""] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            match fs::remove_file(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(|cause| failed("removal", &path, cause))?,
            }
        }
        Ok(())
    }

    fn reading(&self) -> RwLockReadGuard<'_, BTreeMap<Slice, Known>> {
        self.known.read().expect("nobody panics while holding what is known")
    }

    fn writing(&self) -> RwLockWriteGuard<'_, BTreeMap<Slice, Known>> {
        self.known.write().expect("nobody panics while holding what is known")
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<(Slice, Connection)>> {
        self.connections.lock().expect("nobody panics while holding the connections")
    }

    /// Reads from a slice; none if it has been removed.
    fn read<T>(
        &self,
        slice: Slice,
        read: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        let mut connections = self.connections();
        let kept = connections.iter().position(|(of, _)| *of == slice);
        let kept = kept.map(|at| connections.swap_remove(at).1);
        drop(connections);
        let connection = match kept.map_or_else(|| self.connect(slice), Ok) {
            Ok(connection) => connection,
            Err(_) if !self.reading().contains_key(&slice) => return Ok(None),
            Err(cause) => return Err(ReadError::Archive(cause)),
        };
        let found = read(&connection);
        if self.reading().contains_key(&slice) {
            let mut connections = self.connections();
            if connections.len() >= CONNECTIONS_MAX {
                connections.remove(0);
            }
            connections.push((slice, connection));
        }
        found.map(Some)
    }

    fn connect(&self, slice: Slice) -> Result<Connection, ArchiveError> {
        let path = self.path(slice);
        let connection = match self.access {
            Access::InUse => connect(&path)?,
            Access::Looked => look_at(&path)?,
        };
        let pragmas = "PRAGMA query_only = 1; PRAGMA cache_size = -512;";
        connection.execute_batch(pragmas).map_err(|error| refused("opening", &path, error))?;
        Ok(connection)
    }

    fn failed(&self, slice: Slice, error: rusqlite::Error) -> ReadError {
        ReadError::Archive(refused("reading", &self.path(slice), error))
    }

    fn damaged(&self, slice: Slice, what: String) -> ReadError {
        ReadError::Archive(ArchiveError::Damaged { path: self.path(slice), what })
    }
}

/// Reads the archive of one data folder.
pub struct SqliteReader {
    shared: Arc<Shared>,
}

/// A page in the making.
struct Paging<'a> {
    filter: &'a Filter,
    below: Option<(Timestamp, Gid)>,
    limit: usize,
    ends: Range<u64>,
    items: Vec<Listed>,
    /// Behind it nothing is known.
    horizon: Option<Cursor>,
    /// Rows that may still be looked at.
    left: usize,
}

impl SqliteReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        SqliteReader { shared }
    }

    /// The slices that may know a gid, the latest first.
    fn candidates(&self, gid: &Gid, forgotten: u64) -> Vec<Slice> {
        let hash = hash(gid);
        let known = self.shared.reading();
        let kept = known.iter().rev().filter(|(_, known)| known.facts.through > forgotten);
        let slices = kept.filter(|(_, known)| known.filter.may_contain(hash));
        slices.map(|(slice, _)| *slice).collect()
    }

    fn find_in(&self, slice: Slice, gid: &Gid) -> Result<Option<Vec<Record>>, ReadError> {
        let found = self.shared.read(slice, |connection| {
            let query = "SELECT number, summary, count, checksum, records \
                         FROM ended JOIN history USING (number) WHERE gid = ?";
            let run = || {
                let mut query = connection.prepare_cached(query)?;
                let row = query.query_row([gid.as_str()], |row| {
                    let number = |at| row.get::<_, i64>(at).map(unsigned);
                    let bytes = |at| row.get::<_, Vec<u8>>(at);
                    Ok((number(0)?, bytes(1)?, number(2)?, row.get::<_, u32>(3)?, bytes(4)?))
                });
                row.optional()
            };
            run().map_err(|error| self.shared.failed(slice, error))
        })?;
        let Some((end, summary, count, stored, records)) = found.flatten() else {
            return Ok(None);
        };
        if stored != checksum(gid.as_str(), end, count, &summary, &records) {
            let what = format!("the checksum of {gid} does not match");
            return Err(self.shared.damaged(slice, what));
        }
        let records = decode_records(gid, count, &records);
        let damaged = |cause| self.shared.damaged(slice, format!("the records of {gid}: {cause}"));
        records.map(Some).map_err(damaged)
    }

    /// Whether a later slice than this one has the gid again.
    fn is_used_again(&self, slice: Slice, gid: &Gid) -> Result<bool, ReadError> {
        for later in self.candidates(gid, 0).into_iter().take_while(|later| *later > slice) {
            let found = self.shared.read(later, |connection| {
                let found = connection.prepare_cached("SELECT 1 FROM ended WHERE gid = ?");
                let found = found.and_then(|mut query| query.exists([gid.as_str()]));
                found.map_err(|error| self.shared.failed(later, error))
            })?;
            if found == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds to a page what a slice has for it.
    fn page(&self, slice: Slice, paging: &mut Paging<'_>) -> Result<(), ReadError> {
        let before = paging.items.len();
        let read = self.shared.read(slice, |connection| {
            match self.prefixed(slice, connection, paging)? {
                Some(found) => Ok((found, None)),
                None => self.in_order(slice, connection, paging),
            }
        })?;
        let Some((found, cut)) = read else { return Ok(()) };
        paging.horizon = paging.horizon.take().max(cut);
        for listed in found {
            if !self.is_used_again(slice, &listed.gid)? {
                paging.items.push(listed);
            }
        }
        if before > 0 {
            paging.items.sort_unstable_by_key(|item| std::cmp::Reverse(item.cursor()));
        }
        Ok(())
    }

    /// Looks at rows in the order of a list, until there are enough; and where it left off.
    fn in_order(
        &self,
        slice: Slice,
        connection: &Connection,
        paging: &mut Paging<'_>,
    ) -> Result<(Vec<Listed>, Option<Cursor>), ReadError> {
        let failed = |error| self.shared.failed(slice, error);
        let query = ordered(connection, paging.filter).map_err(failed)?;
        let mut query = connection.prepare_cached(&query).map_err(failed)?;
        let (begun, gid) = paging.below();
        let below = params![signed(begun.0), gid, paging.from()];
        let mut rows = query.query(below).map_err(failed)?;
        let (mut found, mut looked_at) = (Vec::new(), 0);
        let budget = paging.left.max(LOOKED_AT_MIN);
        let mut last = (0, String::new());
        while let Some(row) = rows.next().map_err(failed)? {
            if found.len() >= paging.limit || looked_at >= budget {
                paging.left = paging.left.saturating_sub(looked_at);
                let gid = last.1.parse();
                let gid = gid.map_err(|error| self.damaged_row(slice, &last.1, error))?;
                return Ok((found, Some(Cursor { begun: Timestamp(unsigned(last.0)), gid })));
            }
            looked_at += 1;
            let begun: i64 = row.get(0).map_err(failed)?;
            let gid = row.get_ref(1).and_then(|gid| gid.as_str().map_err(Into::into));
            let gid = gid.map_err(failed)?;
            let beyond =
                |horizon: &Cursor| (unsigned(begun), gid) < (horizon.begun.0, horizon.gid.as_str());
            if paging.horizon.as_ref().is_some_and(beyond) {
                break;
            }
            last.0 = begun;
            last.1.clear();
            last.1.push_str(gid);
            found.extend(self.meant(slice, row, paging)?);
        }
        paging.left = paging.left.saturating_sub(looked_at);
        Ok((found, None))
    }

    /// The rows whose gids begin as asked, if there are few of them, in the order of a list.
    fn prefixed(
        &self,
        slice: Slice,
        connection: &Connection,
        paging: &mut Paging<'_>,
    ) -> Result<Option<Vec<Listed>>, ReadError> {
        let prefix = &paging.filter.gid_prefix;
        if prefix.is_empty() {
            return Ok(None);
        }
        let failed = |error| self.shared.failed(slice, error);
        // Behind every character that a gid may have.
        let behind = format!("{prefix}\u{7f}");
        let few = "SELECT count(*) FROM (SELECT 1 FROM ended WHERE gid >= ? AND gid < ? LIMIT ?)";
        let mut few = connection.prepare_cached(few).map_err(failed)?;
        let limit = PREFIXED_MAX + 1;
        let count: u32 =
            few.query_row(params![prefix, behind, limit], |row| row.get(0)).map_err(failed)?;
        let cost = count as usize * PREFIXED_COST;
        if count > PREFIXED_MAX || cost > paging.left {
            return Ok(None);
        }
        paging.left -= cost;
        // By its key it would look at every row that was begun in time.
        let query = "SELECT begun, gid, number, summary FROM ended INDEXED BY ended_by_gid \
                     WHERE gid >= ? AND gid < ? AND (+begun, gid) < (?, ?) AND +begun >= ?";
        let mut query = connection.prepare_cached(query).map_err(failed)?;
        let (begun, gid) = paging.below();
        let asked = params![prefix, behind, signed(begun.0), gid, paging.from()];
        let mut rows = query.query(asked).map_err(failed)?;
        let mut found: Vec<Listed> = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.extend(self.meant(slice, row, paging)?);
        }
        found.sort_unstable_by_key(|listed| std::cmp::Reverse(listed.cursor()));
        Ok(Some(found))
    }

    /// What a row says, if it is meant; most that are not are told by a glance.
    fn meant(
        &self,
        slice: Slice,
        row: &rusqlite::Row<'_>,
        paging: &Paging<'_>,
    ) -> Result<Option<Listed>, ReadError> {
        let failed = |error| self.shared.failed(slice, error);
        let gid = row.get_ref(1).and_then(|gid| gid.as_str().map_err(Into::into));
        let bytes = row.get_ref(3).and_then(|bytes| bytes.as_blob().map_err(Into::into));
        let (gid, bytes) = (gid.map_err(failed)?, bytes.map_err(failed)?);
        let glance = Glance::of(bytes).map_err(|error| self.damaged_row(slice, gid, error))?;
        if !paging.filter.may_admit(gid, &glance) {
            return Ok(None);
        }
        let (end, listed) = self.row(slice, row)?;
        let meant = paging.filter.admits(&listed.gid, &listed.summary);
        Ok((paging.ends.contains(&end) && meant).then_some(listed))
    }

    fn damaged_row(&self, slice: Slice, gid: &str, what: impl std::fmt::Display) -> ReadError {
        self.shared.damaged(slice, format!("the row of {gid}: {what}"))
    }

    fn row(&self, slice: Slice, row: &rusqlite::Row<'_>) -> Result<(u64, Listed), ReadError> {
        let failed = |error| self.shared.failed(slice, error);
        let text = row.get_ref(1).and_then(|gid| gid.as_str().map_err(Into::into));
        let text = text.map_err(failed)?;
        let gid: Gid = text.parse().map_err(|error| self.damaged_row(slice, text, error))?;
        let end = unsigned(row.get(2).map_err(failed)?);
        let bytes = row.get_ref(3).and_then(|bytes| bytes.as_blob().map_err(Into::into));
        let mut reader = Reader::new(bytes.map_err(failed)?);
        let none = Name::new("unknown").expect("a word is a name");
        let summary = summary(&mut reader, &none);
        let summary = summary.map_err(|error| self.damaged_row(slice, text, error))?;
        Ok((end, Listed { gid, summary }))
    }
}

impl ArchiveReader for SqliteReader {
    fn may_know(&self, gid: &Gid) -> bool {
        let hash = hash(gid);
        self.shared.reading().values().any(|known| known.filter.may_contain(hash))
    }

    fn find(&self, gid: &Gid, forgotten: u64) -> Result<Option<Vec<Record>>, ReadError> {
        for slice in self.candidates(gid, forgotten) {
            if let Some(records) = self.find_in(slice, gid)? {
                return Ok(Some(records));
            }
        }
        Ok(None)
    }

    fn list(&self, filter: &Filter, page: &Page, ends: Range<u64>) -> Result<Listing, ReadError> {
        let below = filter.below(page);
        let mut slices: Vec<SliceFacts> = {
            let known = self.shared.reading();
            let facts = known.values().map(|known| known.facts);
            let from = filter.begun_from.unwrap_or_default();
            let meant = |facts: &SliceFacts| {
                facts.from < ends.end && facts.through > ends.start && facts.begun_max >= from
            };
            facts.filter(meant).collect()
        };
        slices.sort_unstable_by_key(|facts| std::cmp::Reverse(facts.begun_max));
        let (limit, items) = (page.limit, Vec::new());
        let mut paging =
            Paging { filter, below, limit, ends, items, horizon: None, left: LOOKED_AT_MAX };
        for facts in slices {
            let behind = |cursor: &Cursor| cursor.begun > facts.begun_max;
            // Whatever is in this slice comes after what the page can show.
            if paging.horizon.as_ref().is_some_and(behind) {
                break;
            }
            if paging
                .items
                .get(limit.saturating_sub(1))
                .map(Listed::cursor)
                .is_some_and(|c| behind(&c))
            {
                let after = paging.items.last().map(Listed::cursor);
                paging.horizon = paging.horizon.max(after);
                break;
            }
            self.page(facts.slice, &mut paging)?;
        }
        Ok(paging.finish())
    }
}

/// The rows of a slice that are looked at for a filter, in the order of a list: all of them, or
/// those that did not end as decided, where the slice has an index of them.
fn ordered(connection: &Connection, filter: &Filter) -> rusqlite::Result<String> {
    let indexed = match filter.outcome {
        None | Some(Outcome::AsDecided) => false,
        Some(Outcome::Mixed | Outcome::Hazard) => {
            let index = "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?";
            connection.prepare_cached(index)?.exists([UNLIKE_DECIDED_INDEX])?
        }
    };
    let (by, meant) = match indexed {
        true => (format!("INDEXED BY {UNLIKE_DECIDED_INDEX}"), UNLIKE_DECIDED),
        false => (String::new(), "TRUE"),
    };
    Ok(format!(
        "SELECT begun, gid, number, summary FROM ended {by} WHERE {meant} \
         AND (begun, gid) < (?, ?) AND begun >= ? ORDER BY begun DESC, gid DESC"
    ))
}

impl Paging<'_> {
    /// Everything that the page may show lies below this.
    fn below(&self) -> (Timestamp, &str) {
        match &self.below {
            Some((begun, gid)) => (*begun, gid.as_str()),
            None => (Timestamp(u64::MAX), ""),
        }
    }

    /// The first begin that is meant.
    fn from(&self) -> i64 {
        signed(self.filter.begun_from.unwrap_or_default().0)
    }

    fn finish(self) -> Listing {
        Listing::cut(self.items, self.horizon, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::sqlite::slice::{Opening, SliceFile};
    use crate::encoding::{Naming, put_summary};
    use wholly_core::record::{Decision, PhaseName, Summary};

    /// How SQLite goes about a filter in an empty slice.
    fn plan(outcome: Option<Outcome>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Slice(1).to_string());
        let file = SliceFile::create(&path).unwrap();
        file.commit(&SliceFacts::empty(Slice(1), 0)).unwrap();
        drop(file);
        assert!(matches!(SliceFile::open(&path).unwrap(), Opening::Committed(_)));
        let connection = connect(&path).unwrap();
        let query = ordered(&connection, &Filter { outcome, ..Filter::default() }).unwrap();
        let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let steps = query.query_map(params![9, "order", 0], |row| row.get::<_, String>(3)).unwrap();
        steps.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    }

    #[test]
    fn rare_outcomes_are_looked_for_among_themselves_and_nothing_is_sorted() {
        let by_key = "SEARCH ended USING PRIMARY KEY (begun>? AND (begun,gid)<(?,?))";
        let by_index =
            "SEARCH ended USING INDEX ended_unlike_decided (begun>? AND (begun,gid)<(?,?))";
        assert_eq!(plan(None), by_key);
        assert_eq!(plan(Some(Outcome::AsDecided)), by_key);
        assert_eq!(plan(Some(Outcome::Mixed)), by_index);
        assert_eq!(plan(Some(Outcome::Hazard)), by_index);
    }

    #[test]
    fn the_index_has_what_did_not_end_as_decided_and_nothing_else() {
        let connection = Connection::open_in_memory().unwrap();
        let check = |outcome: Outcome, decision: Option<Decision>| {
            let summary = Summary {
                name: Name::new("order").unwrap(),
                begun: Timestamp(1),
                modes: Vec::new(),
                phase: PhaseName::Ended,
                decision,
                cause: None,
                outcome: Some(outcome),
                stuck: 0,
                parked: false,
                waits_for: Vec::new(),
                changed: Timestamp(1),
                ended: Some(Timestamp(1)),
            };
            let mut packed = Vec::new();
            put_summary(&summary, Naming::Written, &mut packed);
            let query = format!("SELECT {UNLIKE_DECIDED} FROM (SELECT ? AS summary)");
            let within: bool = connection.query_row(&query, [packed], |row| row.get(0)).unwrap();
            assert_eq!(within, outcome != Outcome::AsDecided, "{outcome:?}, {decision:?}");
        };
        for decision in [None, Some(Decision::Commit), Some(Decision::Abort)] {
            for outcome in [Outcome::AsDecided, Outcome::Mixed, Outcome::Hazard] {
                check(outcome, decision);
            }
        }
    }
}
