//! A transaction in the driver: its fold, the positions effects need, and how its calls stand.

use super::{TimerKey, is_forced};
use crate::branch::{Caller, Op};
use crate::ids::{BranchIndex, CallId, Position, RequestId, Text};
use crate::mutants::{self, Mutant};
use crate::record::Class;
use crate::transaction::Transaction;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A place in the driver, and which of its successive tenants is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    at: u32,
    tenant: u32,
}

/// All places.
#[derive(Clone, Default, Hash)]
pub(super) struct Slots {
    places: Vec<(u32, Option<Box<Entry>>)>,
    free: Vec<u32>,
}

impl Slots {
    pub(super) fn insert(&mut self, entry: Box<Entry>) -> Slot {
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            u32::try_from(self.places.len() - 1).expect("open_max fits u32")
        });
        let place = &mut self.places[at as usize];
        place.0 = place.0.wrapping_add(1);
        place.1 = Some(entry);
        Slot { at, tenant: place.0 }
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Box<Entry> {
        let place = &mut self.places[slot.at as usize];
        assert!(place.0 == slot.tenant, "a slot is let go once");
        self.free.push(slot.at);
        place.1.take().expect("a slot is let go once")
    }

    /// The tenant, if it still is the one that was meant.
    pub(super) fn find(&mut self, slot: Slot) -> Option<&mut Entry> {
        let (tenant, entry) = self.places.get_mut(slot.at as usize)?;
        match *tenant == slot.tenant {
            true => entry.as_deref_mut(),
            false => None,
        }
    }

    /// The same, to be looked at.
    pub(super) fn look(&self, slot: Slot) -> Option<&Entry> {
        let (tenant, entry) = self.places.get(slot.at as usize)?;
        match *tenant == slot.tenant {
            true => entry.as_deref(),
            false => None,
        }
    }

    pub(super) fn entry(&self, slot: Slot) -> &Entry {
        self.places[slot.at as usize].1.as_deref().expect("an indexed slot has its tenant")
    }

    pub(super) fn entry_mut(&mut self, slot: Slot) -> &mut Entry {
        self.places[slot.at as usize].1.as_deref_mut().expect("an indexed slot has its tenant")
    }
}

/// Whether every call of a transaction was made by this driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    /// It was: what was called is known.
    Here,
    /// It was found in the log: anything may have been called.
    Log,
}

/// Whether a transaction's calls are made; those found at a start are taken up one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Taken {
    Up,
    NotYet,
}

/// A transaction that is not over.
#[derive(Clone, Hash)]
pub(super) struct Entry {
    pub(super) transaction: Transaction,
    origin: Origin,
    pub(super) taken: Taken,
    /// Of its last forced record: every later effect needs it.
    pub(super) forced: Position,
    /// Of its last record: final answers need it.
    pub(super) latest: Position,
    /// How the call of each branch stands.
    pub(super) lines: Vec<Line>,
    /// Requests that wait for it.
    pub(super) waiters: Vec<RequestId>,
    /// Branches whose destination knows of them.
    pub(super) claimed: usize,
    /// What it holds of payloads and replies.
    pub(super) bytes: usize,
}

impl Entry {
    /// A transaction that begins here.
    pub(super) fn begun(transaction: Transaction) -> Entry {
        Entry::new(transaction, Origin::Here)
    }

    /// A transaction found in the log; all of it is durable.
    pub(super) fn loaded(transaction: Transaction) -> Entry {
        Entry::new(transaction, Origin::Log)
    }

    fn new(transaction: Transaction, origin: Origin) -> Entry {
        let mut entry = Entry {
            transaction,
            taken: match origin {
                Origin::Here => Taken::Up,
                Origin::Log => Taken::NotYet,
            },
            origin,
            forced: Position(0),
            latest: Position(0),
            lines: Vec::new(),
            waiters: Vec::new(),
            claimed: 0,
            bytes: 0,
        };
        entry.match_branches();
        entry
    }

    /// Gives each branch its line.
    pub(super) fn match_branches(&mut self) {
        self.lines.resize_with(self.transaction.branches.len(), Line::default);
    }

    /// A record was queued at this position.
    pub(super) fn queued(&mut self, position: Position, class: Class) {
        self.latest = position;
        if is_forced(class) {
            self.forced = position;
        }
    }

    /// Whether a branch may have been called.
    pub(super) fn is_touched(&self, index: BranchIndex) -> bool {
        (self.origin == Origin::Log && !mutants::is_on(Mutant::UntouchedAfterStart))
            || self.lines[index.at()].sent == Sent::Once
            || self.transaction.branches[index.at()].spec.caller == Caller::Initiator
    }

    /// What a reply that shows this transaction needs: once it is decided, everything shown.
    pub(super) fn needed_to_show(&self) -> Position {
        match self.transaction.is_ended() {
            true => self.latest,
            false => self.forced,
        }
    }
}

/// Whether a branch's first op was ever sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Sent {
    #[default]
    Never,
    Once,
}

/// How the call of one branch stands.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Line {
    pub(super) stage: Stage,
    pub(super) sent: Sent,
    /// The position that had to be durable when this op became due.
    pub(super) needed: Position,
    /// Sendings of the present op.
    pub(super) attempts: u32,
    /// What came of the last one.
    pub(super) last: Text,
}

/// Where a call is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// Nothing is due.
    #[default]
    Idle,
    /// It waits until its version is durable.
    Held(Op),
    /// It waits for a slot of its destination.
    Queued(Op),
    /// It is under way.
    InFlight(Op, CallId),
    /// It is sent again later.
    Waiting(Op, TimerKey),
}

impl Stage {
    /// What is asked, if anything.
    pub(super) fn op(self) -> Option<Op> {
        match self {
            Stage::Idle => None,
            Stage::Held(op)
            | Stage::Queued(op)
            | Stage::InFlight(op, _)
            | Stage::Waiting(op, _) => Some(op),
        }
    }
}
