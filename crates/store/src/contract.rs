//! What every store offers: append and flush, completions, and reads of what is durable.

use crate::encoding::DecodeError;
use crate::spread::Spread;
use std::io;
use wholly_core::branch::Mode;
use wholly_core::effect::Draft;
use wholly_core::ids::{Destination, Gid, Name, Position};
use wholly_core::input::Room;
use wholly_core::record::{Outcome, PhaseName, Record, Summary};
use wholly_core::time::Timestamp;

/// Keeps the records of one shard. Drafts are handed over in order of position, by one writer;
/// reads may come from any thread and see durable records only.
pub trait Store: Send + Sync {
    /// Queues a draft. It is durable once a completion says so, not before. A draft that does not
    /// follow its transaction's version, or leaves a gap in the positions, is a broken promise of
    /// the writer and panics.
    fn append(&self, draft: Draft);

    /// Asks that everything up to this position become durable; what arrived besides comes along.
    fn flush(&self, through: Position);

    /// All records of a transaction, in order; none if it is not known.
    fn history(&self, gid: &Gid) -> Result<Vec<Record>, ReadError>;

    /// A page of transactions, newest begun first.
    fn list(&self, filter: &Filter, page: &Page) -> Result<Listing, ReadError>;

    /// What is known of a gid, and the highest begun ever forgotten, as of one moment.
    fn lookup(&self, gid: &Gid) -> Result<Lookup, ReadError>;

    /// The highest begun ever forgotten, if it is certain that nothing is known of the gid;
    /// answered from memory. None says that it must be looked up.
    fn missing(&self, gid: &Gid) -> Option<Timestamp>;

    /// Figures for metrics.
    fn stats(&self) -> Stats;

    /// Makes durable what has arrived, and ends; may block. Reads still work, a draft appended
    /// later is never durable.
    fn stop(&self);
}

/// What a store reports by itself, in order. A handler must not call the store.
pub type OnCompletion = Box<dyn FnMut(Completion) + Send>;

/// What a store reports.
#[derive(Debug)]
pub enum Completion {
    /// Everything up to this position is durable.
    Durable(Position),
    /// The room for new transactions has changed; it is free at the start.
    Room(Room),
    /// Outcomes were forgotten before their retention time was over, for want of room.
    Lost {
        /// How many.
        count: u64,
    },
    /// A write or sync failed: nothing further becomes durable, and nothing is tried again. The
    /// process must stop.
    Failed(Failure),
}

/// Why a store stopped.
#[derive(Debug, thiserror::Error)]
#[error(
    "{operation} failed; what was acknowledged is safe, nothing further is accepted: \
     make sure the disk has room and is sound, then start again"
)]
pub struct Failure {
    /// What was tried.
    pub operation: String,
    /// What the disk said.
    #[source]
    pub cause: io::Error,
}

/// Why a transaction could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk refused.
    #[error("reading a record of {gid} in segment {segment} at byte {offset} failed")]
    Disk {
        /// Of which transaction.
        gid: Gid,
        /// In which segment.
        segment: u32,
        /// Where.
        offset: u32,
        /// What the disk said.
        #[source]
        cause: io::Error,
    },
    /// The bytes are not those that were written.
    #[error("a record of {gid} in segment {segment} at byte {offset} is damaged")]
    Damaged {
        /// Of which transaction.
        gid: Gid,
        /// In which segment.
        segment: u32,
        /// Where.
        offset: u32,
        /// What is wrong with them.
        #[source]
        cause: DecodeError,
    },
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(crate::archive::ArchiveError),
}

/// What is known of a gid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    /// Its records in order; none if it is not known.
    pub records: Vec<Record>,
    /// The highest begun ever forgotten, by age or for want of room.
    pub forgotten: Timestamp,
}

/// Which transactions are meant; every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Where they stand.
    pub state: Option<PhaseName>,
    /// Whether a branch of theirs is stuck.
    pub stuck: Stuck,
    /// Their name.
    pub name: Option<Name>,
    /// A destination of an unfinished branch.
    pub waits_for: Option<Destination>,
    /// The mode of one of their branches.
    pub mode: Option<Mode>,
    /// Begun then or later.
    pub begun_from: Option<Timestamp>,
    /// Begun before this.
    pub begun_before: Option<Timestamp>,
    /// How they ended.
    pub outcome: Option<Outcome>,
    /// How their gid begins; empty for any.
    pub gid_prefix: String,
}

impl Filter {
    /// Whether it means this one.
    pub fn admits(&self, gid: &Gid, summary: &Summary) -> bool {
        let Filter {
            state,
            stuck,
            name,
            waits_for,
            mode,
            begun_from,
            begun_before,
            outcome,
            gid_prefix,
        } = self;
        stuck.admits(summary.stuck)
            && state.is_none_or(|state| state == summary.phase)
            && outcome.is_none_or(|outcome| summary.outcome == Some(outcome))
            && name.as_ref().is_none_or(|name| *name == summary.name)
            && mode.is_none_or(|mode| summary.modes.contains(&mode))
            && waits_for.as_ref().is_none_or(|d| summary.waits_for.contains(d))
            && begun_from.is_none_or(|from| summary.begun >= from)
            && begun_before.is_none_or(|before| summary.begun < before)
            && gid.as_str().starts_with(gid_prefix)
    }

    /// False where it certainly does not mean this one, of which a glance shows neither who it
    /// waits for nor when it was begun.
    #[cfg(feature = "sqlite")]
    pub(crate) fn may_admit(&self, gid: &str, glance: &crate::encoding::Glance<'_>) -> bool {
        let Filter {
            state,
            stuck: _,
            name,
            waits_for: _,
            mode,
            begun_from: _,
            begun_before: _,
            outcome,
            gid_prefix,
        } = self;
        let named = |name: &Name| glance.name.is_none_or(|other| other == name.as_str().as_bytes());
        state.is_none_or(|state| state == glance.phase)
            && outcome.is_none_or(|outcome| glance.outcome == Some(outcome))
            && name.as_ref().is_none_or(named)
            && mode.is_none_or(|mode| glance.has(mode))
            && gid.starts_with(gid_prefix)
    }

    /// An ended transaction has no stuck and no unfinished branch, so such filters skip them all.
    pub(crate) fn asks_for_ended(&self) -> bool {
        let state = matches!(self.state, None | Some(PhaseName::Ended));
        state && self.stuck != Stuck::Only && self.waits_for.is_none()
    }

    pub(crate) fn asks_for_open(&self) -> bool {
        self.state != Some(PhaseName::Ended) && self.outcome.is_none()
    }

    /// Everything in a page lies below this.
    pub(crate) fn below(&self, page: &Page) -> Option<(Timestamp, Gid)> {
        let least = || Gid::new("0").expect("a digit is a gid, and in order before every other");
        let begun = self.begun_before.map(|begun| (begun, least()));
        let after = page.after.as_ref().map(|cursor| (cursor.begun, cursor.gid.clone()));
        match (begun, after) {
            (Some(begun), Some(after)) => Some(begun.min(after)),
            (begun, after) => begun.or(after),
        }
    }
}

/// Whether stuck branches matter to a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stuck {
    /// They do not.
    #[default]
    Any,
    /// Only transactions with one.
    Only,
    /// Only transactions without.
    Without,
}

impl Stuck {
    /// Whether so many stuck branches are as it should be.
    pub(crate) fn admits(self, stuck: u16) -> bool {
        match self {
            Stuck::Any => true,
            Stuck::Only => stuck > 0,
            Stuck::Without => stuck == 0,
        }
    }
}

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most so many.
    pub limit: usize,
    /// Only what comes after this, from the page before.
    pub after: Option<Cursor>,
}

/// A place in a list. It stays valid whatever comes or goes: what is listed after it was begun
/// before it, or at the same time with a lower gid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// Begin of the last one listed.
    pub begun: Timestamp,
    /// Its gid.
    pub gid: Gid,
}

/// One transaction in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub gid: Gid,
    /// How it stands.
    pub summary: Summary,
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Newest begun first.
    pub items: Vec<Listed>,
    /// Where the next page begins. A page that looked at many and found few may be short, even
    /// empty, and still have a next.
    pub next: Option<Cursor>,
}

/// Figures of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Everything up to this position is durable.
    pub durable: Position,
    /// Transactions that have not ended.
    pub open: u64,
    /// Ended ones that are known, archived ones included.
    pub ended: u64,
    /// Ended ones that are not archived yet.
    pub unarchived: u64,
    /// Bytes the archive takes.
    pub archive_bytes: u64,
    /// Files the archive takes.
    pub slices: u64,
    /// Ended ones forgotten before their time, since the start.
    pub lost: u64,
    /// Bytes the log takes.
    pub log_bytes: u64,
    /// Files the log takes.
    pub segments: u64,
    /// Batches made durable since the start: the forced writes.
    pub flushes: u64,
    /// Bytes of these batches.
    pub batch_bytes: u64,
    /// The same, batch by batch.
    pub bytes_per_batch: Spread,
    /// Transactions that a batch said something of.
    pub drafts_per_batch: Spread,
    /// Microseconds that a sync took, where a stopwatch was given.
    pub us_per_sync: Spread,
    /// Bytes written since the start, pre-written zeros included.
    pub written_bytes: u64,
    /// Syncs of files and folder since the start.
    pub syncs: u64,
}
