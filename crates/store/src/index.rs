//! The index: every known transaction by gid and by begin, in memory, durable ones only.

use crate::contract::{Cursor, Filter, Listed, Listing, Page};
use crate::disk::Segment;
use crate::gids::GidMap;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::Range;
use wholly_core::branch::Mode;
use wholly_core::ids::{Destination, Gid, Name, Version};
use wholly_core::record::{Cause, Decision, Outcome, PhaseName, Summary};
use wholly_core::time::Timestamp;

/// Entries looked at for one page, at most: a filter that matches little must not hold the index.
const LOOKED_AT_MAX: usize = 100_000;
/// Texts that are kept once and shared.
const SHARED_MAX: usize = 10_000;

/// Where a draft lies in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// In which segment.
    pub segment: Segment,
    /// At which byte.
    pub offset: u32,
}

/// A draft that has become durable.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub(crate) gid: Gid,
    /// The version it follows; zero for the first of its transaction.
    pub(crate) after: Version,
    /// The version its last record has.
    pub(crate) version: Version,
    pub(crate) location: Location,
    pub(crate) summary: Summary,
}

/// What the index knows of a gid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) version: Version,
    pub(crate) last: Location,
}

/// How many known transactions have their first draft in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pins {
    pub(crate) open: u64,
    pub(crate) ended: u64,
    begun_min: Timestamp,
    begun_max: Timestamp,
}

/// A summary without what its key says, packed.
#[derive(Clone, Debug)]
struct Entry {
    name: Name,
    waits_for: Box<[Destination]>,
    changed: Timestamp,
    ended: Option<Timestamp>,
    version: Version,
    first: Location,
    last: Location,
    stuck: u16,
    modes: u8,
    phase: PhaseName,
    decision: Option<Decision>,
    cause: Option<Cause>,
    outcome: Option<Outcome>,
    parked: bool,
}

type Key = (Timestamp, Gid);

/// Every known transaction.
#[derive(Debug, Default)]
pub struct Index {
    begun: GidMap<Timestamp>,
    open: BTreeMap<Key, Entry>,
    ended: BTreeMap<Key, Entry>,
    pins: BTreeMap<Segment, Pins>,
    names: BTreeSet<Name>,
    destinations: BTreeSet<Destination>,
    forgotten: Timestamp,
    /// Ends that the archive is to be asked for: those from the first on were not dropped, those
    /// up to the last were handed over.
    archived: Range<u64>,
}

impl Index {
    /// How many have not ended.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// How many ended ones are known.
    pub fn ended_count(&self) -> usize {
        self.ended.len()
    }

    /// The highest begun ever forgotten.
    pub fn forgotten(&self) -> Timestamp {
        self.forgotten
    }

    /// The numbers of the ends for which the archive stands.
    pub fn ends(&self) -> Range<u64> {
        self.archived.clone()
    }

    /// From here on the archive stands for the ends of these numbers; what was handed over with
    /// them is to be forgotten before anybody else sees the index.
    pub(crate) fn set_ends(&mut self, ends: Range<u64>) {
        self.archived = ends;
    }

    /// The ended transaction that began then under a gid, and where its last draft lies.
    pub(crate) fn ended_one(&self, begun: Timestamp, gid: &Gid) -> Option<(Summary, Known)> {
        let entry = self.ended.get(&(begun, gid.clone()))?;
        let known = Known { version: entry.version, last: entry.last };
        Some((entry.summary(begun), known))
    }

    /// A page of those that match, newest begun first.
    pub fn list(&self, filter: &Filter, page: &Page) -> Listing {
        let none = BTreeMap::new();
        let open = if filter.asks_for_open() { &self.open } else { &none };
        let ended = if filter.asks_for_ended() { &self.ended } else { &none };
        let below = filter.below(page);
        let mut open = range(open, below.as_ref()).peekable();
        let mut ended = range(ended, below.as_ref()).peekable();
        let mut listing = Listing::default();
        let mut last = None;
        for _ in 0..LOOKED_AT_MAX {
            if listing.items.len() >= page.limit {
                break;
            }
            let Some(((begun, gid), entry)) = newer(&mut open, &mut ended) else {
                return listing;
            };
            if filter.begun_from.is_some_and(|from| *begun < from) {
                return listing;
            }
            last = Some((begun, gid));
            if matches(filter, gid, entry) {
                listing.items.push(Listed { gid: gid.clone(), summary: entry.summary(*begun) });
            }
        }
        let more = open.peek().is_some() || ended.peek().is_some();
        listing.next = match last {
            Some((begun, gid)) if more => Some(Cursor { begun: *begun, gid: gid.clone() }),
            Some(_) | None => None,
        };
        listing
    }

    /// How a known transaction stands.
    pub(crate) fn summary(&self, gid: &Gid) -> Option<Summary> {
        let begun = *self.begun.find(gid)?;
        Some(self.entry(gid)?.summary(begun))
    }

    pub(crate) fn find(&self, gid: &Gid) -> Option<Known> {
        let entry = self.entry(gid)?;
        Some(Known { version: entry.version, last: entry.last })
    }

    /// The gids of those that have not ended, oldest begun first.
    pub(crate) fn open_gids(&self) -> Vec<Gid> {
        self.open.keys().map(|(_, gid)| gid.clone()).collect()
    }

    /// When a known transaction was begun.
    pub(crate) fn begun(&self, gid: &Gid) -> Option<Timestamp> {
        self.begun.find(gid).copied()
    }

    /// Takes in a durable draft. The first draft of a transaction replaces an ended one of the
    /// same gid; a later one follows an open one.
    pub(crate) fn apply(&mut self, update: Update) {
        if update.after == Version(0) {
            let first = update.location;
            return self.add(update, first);
        }
        let Update { gid, version, location, summary, .. } = update;
        let key = (summary.begun, gid);
        let before = self.open.get(&key);
        let first = before.expect("a later draft follows an open transaction").first;
        let entry = self.pack(summary, Place { version, first, last: location });
        if entry.phase != PhaseName::Ended {
            self.open.insert(key, entry);
            return;
        }
        self.open.remove(&key);
        self.unpin(first.segment, |pins| &mut pins.open);
        self.pin(&key, first.segment, |pins| &mut pins.ended);
        self.ended.insert(key, entry);
    }

    /// Takes in a transaction as its last draft leaves it, and the place of its first. It replaces
    /// what was known under its gid.
    pub(crate) fn add(&mut self, update: Update, first: Location) {
        let Update { gid, version, location, summary, .. } = update;
        let key = (summary.begun, gid);
        self.replace(&key);
        let entry = self.pack(summary, Place { version, first, last: location });
        match entry.phase {
            PhaseName::Ended => {
                self.pin(&key, first.segment, |pins| &mut pins.ended);
                self.ended.insert(key, entry);
            }
            PhaseName::Open | PhaseName::Forward | PhaseName::Finishing => {
                self.pin(&key, first.segment, |pins| &mut pins.open);
                self.open.insert(key, entry);
            }
        }
    }

    /// Files a begin under its gid, and drops what was known under it.
    fn replace(&mut self, key: &Key) {
        let Some(begun) = self.begun.insert(key.1.clone(), key.0) else { return };
        let old = (begun, key.1.clone());
        if let Some(entry) = self.open.remove(&old) {
            self.unpin(entry.first.segment, |pins| &mut pins.open);
        }
        if let Some(entry) = self.ended.remove(&old) {
            self.unpin(entry.first.segment, |pins| &mut pins.ended);
        }
    }

    /// Raises the highest begun ever forgotten.
    pub(crate) fn raise_forgotten(&mut self, begun: Timestamp) {
        self.forgotten = self.forgotten.max(begun);
    }

    /// Forgets an ended transaction; says whether it was known.
    pub(crate) fn forget(&mut self, begun: Timestamp, gid: &Gid) -> bool {
        let key = (begun, gid.clone());
        let Some(entry) = self.ended.remove(&key) else { return false };
        self.begun.remove(gid);
        self.unpin(entry.first.segment, |pins| &mut pins.ended);
        true
    }

    /// What keeps a segment from being removed.
    pub(crate) fn pins(&self, segment: Segment) -> Option<Pins> {
        self.pins.get(&segment).copied()
    }

    /// The ended ones whose first draft lies in a segment.
    pub(crate) fn ended_in(&self, segment: Segment) -> Vec<(Timestamp, Gid)> {
        self.in_segment(&self.ended, segment)
    }

    /// The open ones whose first draft lies in a segment.
    pub(crate) fn open_in(&self, segment: Segment) -> Vec<(Timestamp, Gid)> {
        self.in_segment(&self.open, segment)
    }

    fn in_segment(&self, entries: &BTreeMap<Key, Entry>, segment: Segment) -> Vec<Key> {
        let Some(pins) = self.pins.get(&segment) else { return Vec::new() };
        let from = (pins.begun_min, least_gid());
        let to = (pins.begun_max.plus_ms(1), least_gid());
        let within = entries.range(from..to);
        within.filter(|(_, e)| e.first.segment == segment).map(|(key, _)| key.clone()).collect()
    }

    fn entry(&self, gid: &Gid) -> Option<&Entry> {
        let key = (*self.begun.find(gid)?, gid.clone());
        self.open.get(&key).or_else(|| self.ended.get(&key))
    }

    fn pin(&mut self, key: &Key, segment: Segment, count: impl Fn(&mut Pins) -> &mut u64) {
        let fresh = Pins { open: 0, ended: 0, begun_min: key.0, begun_max: key.0 };
        let pins = self.pins.entry(segment).or_insert(fresh);
        pins.begun_min = pins.begun_min.min(key.0);
        pins.begun_max = pins.begun_max.max(key.0);
        *count(pins) += 1;
    }

    fn unpin(&mut self, segment: Segment, count: impl Fn(&mut Pins) -> &mut u64) {
        let pins = self.pins.get_mut(&segment).expect("an entry pins its segment");
        *count(pins) -= 1;
        if pins.open + pins.ended == 0 {
            self.pins.remove(&segment);
        }
    }

    fn pack(&mut self, summary: Summary, place: Place) -> Entry {
        let waits_for = summary.waits_for.into_iter();
        Entry {
            name: share(&mut self.names, summary.name),
            waits_for: waits_for.map(|d| share(&mut self.destinations, d)).collect(),
            changed: summary.changed,
            ended: summary.ended,
            version: place.version,
            first: place.first,
            last: place.last,
            stuck: summary.stuck,
            modes: summary.modes.iter().fold(0, |bits, mode| bits | bit(*mode)),
            phase: summary.phase,
            decision: summary.decision,
            cause: summary.cause,
            outcome: summary.outcome,
            parked: summary.parked,
        }
    }
}

struct Place {
    version: Version,
    first: Location,
    last: Location,
}

impl Entry {
    fn summary(&self, begun: Timestamp) -> Summary {
        Summary {
            name: self.name.clone(),
            begun,
            modes: MODES.into_iter().filter(|mode| self.modes & bit(*mode) != 0).collect(),
            phase: self.phase,
            decision: self.decision,
            cause: self.cause,
            outcome: self.outcome,
            stuck: self.stuck,
            parked: self.parked,
            waits_for: self.waits_for.to_vec(),
            changed: self.changed,
            ended: self.ended,
        }
    }
}

const MODES: [Mode; 2] = [Mode::Tcc, Mode::Saga];

fn bit(mode: Mode) -> u8 {
    match mode {
        Mode::Tcc => 1,
        Mode::Saga => 2,
    }
}

/// Equal texts share one allocation, as far as the table's bound goes.
fn share<T: Ord + Clone>(shared: &mut BTreeSet<T>, text: T) -> T {
    if let Some(known) = shared.get(&text) {
        return known.clone();
    }
    if shared.len() < SHARED_MAX {
        shared.insert(text.clone());
    }
    text
}

/// The lowest gid there can be: it is in order before every other.
fn least_gid() -> Gid {
    Gid::new("0").expect("a digit is a gid")
}

fn range<'a>(
    entries: &'a BTreeMap<Key, Entry>,
    below: Option<&Key>,
) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
    use std::ops::Bound::{Excluded, Unbounded};
    let upper = below.map_or(Unbounded, Excluded);
    entries.range::<Key, _>((Unbounded, upper)).rev()
}

/// The newer of the heads of two lists that are newest first.
fn newer<'a, I, J>(one: &mut Peekable<I>, two: &mut Peekable<J>) -> Option<(&'a Key, &'a Entry)>
where
    I: Iterator<Item = (&'a Key, &'a Entry)>,
    J: Iterator<Item = (&'a Key, &'a Entry)>,
{
    match (one.peek(), two.peek()) {
        (Some((a, _)), Some((b, _))) if a > b => one.next(),
        (Some(_), None) => one.next(),
        (Some(_) | None, Some(_)) => two.next(),
        (None, None) => None,
    }
}

/// What [`Filter::admits`] says of a summary, without unpacking it; the range sees to the times.
fn matches(filter: &Filter, gid: &Gid, entry: &Entry) -> bool {
    // Each condition by name: one that is added to a filter is to be looked at here.
    let Filter {
        state,
        stuck,
        name,
        waits_for,
        mode,
        begun_from: _,
        begun_before: _,
        outcome,
        gid_prefix,
    } = filter;
    stuck.admits(entry.stuck)
        && state.is_none_or(|state| state == entry.phase)
        && name.as_ref().is_none_or(|name| *name == entry.name)
        && waits_for.as_ref().is_none_or(|d| entry.waits_for.contains(d))
        && outcome.is_none_or(|outcome| entry.outcome == Some(outcome))
        && mode.is_none_or(|mode| entry.modes & bit(mode) != 0)
        && gid.as_str().starts_with(gid_prefix)
}
