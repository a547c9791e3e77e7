//! A branch: one participant's share of a transaction, and what is known of it.

use crate::ids::{Body, BranchId, BranchIndex, Code, Destination, Operation, Text};
use crate::mutants::{self, Mutant};
use alloc::vec::Vec;

/// The rule set a branch follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Try reserves, confirm uses, cancel releases.
    Tcc,
    /// An action goes forward, a compensation takes it back.
    Saga,
}

/// What is asked of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Reserve (tcc).
    Try,
    /// Use what was reserved (tcc).
    Confirm,
    /// Release what was reserved (tcc).
    Cancel,
    /// Go forward (saga).
    Action,
    /// Take the action back (saga).
    Compensate,
    /// Read the barrier row; no effect.
    Inspect,
}

/// Who sends the first op of a branch in an open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The coordinator, once the registration is durable.
    Coordinator,
    /// The initiator itself, once it has the answer to its registration.
    Initiator,
}

/// Whether a step of a saga can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It has a compensation.
    Reversible,
    /// It is retried, never undone.
    ForwardOnly,
}

/// What the initiator said of a branch; never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BranchSpec {
    /// Its name in the transaction.
    pub id: BranchId,
    /// Its rules.
    pub mode: Mode,
    /// Where its operation is offered.
    pub destination: Destination,
    /// What the participant offers.
    pub operation: Operation,
    /// What the operation is given.
    pub payload: Body,
    /// Who sends the first op, while the transaction is open.
    pub caller: Caller,
    /// Steps that must be done before this one starts; all earlier in the plan's order.
    pub after: Vec<BranchIndex>,
    /// Steps whose replies are handed to this one; all among those it comes after, directly or
    /// through others.
    pub reads: Vec<BranchIndex>,
    /// Whether it can be taken back.
    pub direction: Direction,
}

/// Whether the same answer will be given again, come what may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kept {
    /// The participant keeps it in its barrier row.
    Kept,
    /// Another copy of the call may be answered otherwise, or may have had an effect.
    NotKept,
}

/// A participant's final no.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Why, for programs.
    pub code: Code,
    /// Why, for people.
    pub detail: Text,
    /// Whether it will be said again.
    pub kept: Kept,
}

/// What came of one sending of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It took effect, this time or before.
    Done {
        /// What the participant says; empty for most.
        reply: Body,
        /// Whether the same reply will be given again.
        kept: Kept,
    },
    /// It has no effect and never will, unless the refusal is not kept.
    Refused(Refusal),
    /// The participant is at it.
    Working,
    /// Nothing is known: a timeout, a lost reply, an answer that is none.
    Unknown {
        /// What was seen, for people.
        detail: Text,
    },
}

/// What is known of a branch's first op (try, action).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum First {
    /// Nothing: not called, or no answer yet.
    Unknown,
    /// Done, with its reply.
    Done {
        /// What the participant said.
        reply: Body,
        /// Whether it will say so again.
        kept: Kept,
    },
    /// Refused.
    Refused(Refusal),
}

/// How far a branch has followed the decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Second {
    /// Not yet, or nothing to follow.
    Pending,
    /// It did.
    Done,
    /// An operator said how it stands.
    Resolved(Resolution),
}

/// An operator's word on whether a branch's effect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// The branch's effect is in place.
    Applied,
    /// The branch has no effect.
    NotApplied,
    /// It cannot be known.
    Unknown,
}

/// Whether a branch may be called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It may.
    Free,
    /// Not until an operator's retry.
    Stuck(StuckReason),
}

/// Why a branch waits for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StuckReason {
    /// The participant refused what it may not refuse.
    Refused {
        /// What was asked.
        op: Op,
        /// What it said.
        refusal: Refusal,
    },
    /// An operator parked the transaction.
    Parked {
        /// Why.
        reason: Text,
    },
    /// The log was restored from an older copy, and what was decided since is not known.
    Restored {
        /// What the participant's row said since.
        row: RowSeen,
    },
}

/// What the barrier row of a branch said when it was inspected.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RowSeen {
    /// It has not been inspected.
    NotAsked,
    /// There is none.
    Absent,
    /// It is too old to count: its transaction ended, and the participant was told so. Or none is
    /// kept at all. Nobody can tell.
    Stale,
    /// The try or action took effect, and nothing came after it.
    Tried {
        /// What it replied.
        reply: Body,
    },
    /// It was confirmed.
    Confirmed {
        /// What the try replied.
        reply: Body,
    },
    /// It was cancelled or compensated.
    Cancelled {
        /// What the try or action replied.
        reply: Body,
    },
    /// It was cancelled or compensated before anything took effect.
    NullCancelled,
    /// The business refused it.
    Refused,
}

/// Whether a branch follows a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    /// It is told the decision.
    In,
    /// It was refused: at a commit it is taken back, as at an abort.
    Out,
    /// It was never called, and never will be: nothing to take back.
    Untouched,
}

/// A branch as folded from its records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Branch {
    /// What the initiator said.
    pub spec: BranchSpec,
    /// What is known of its first op.
    pub first: First,
    /// How far it has followed the decision.
    pub second: Second,
    /// Whether it may be called.
    pub standing: Standing,
    /// Whether it follows a commit; settled by the decision.
    pub share: Share,
}

impl Branch {
    /// A branch of which nothing is known yet.
    pub fn new(spec: BranchSpec) -> Self {
        Branch {
            spec,
            first: First::Unknown,
            second: Second::Pending,
            standing: Standing::Free,
            share: Share::In,
        }
    }

    /// Whether its refusal will be said again, so that nothing needs taking back.
    pub fn is_refused_and_kept(&self) -> bool {
        match &self.first {
            First::Refused(refusal) => match refusal.kept {
                Kept::Kept => true,
                Kept::NotKept => mutants::is_on(Mutant::RefusedLeftAlone),
            },
            First::Unknown | First::Done { .. } => false,
        }
    }

    /// What its row said since a restore, while it waits for that.
    pub fn restored(&self) -> Option<&RowSeen> {
        match &self.standing {
            Standing::Stuck(StuckReason::Restored { row }) => Some(row),
            Standing::Stuck(StuckReason::Refused { .. } | StuckReason::Parked { .. })
            | Standing::Free => None,
        }
    }

    /// Whether an operator is waited for.
    pub fn is_stuck(&self) -> bool {
        matches!(self.standing, Standing::Stuck(_))
    }
}
