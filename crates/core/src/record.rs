//! Records: the appended facts of which a transaction is the fold.

use crate::branch::{Answer, BranchSpec, Op, Resolution, RowSeen, StuckReason};
use crate::ids::{BranchIndex, Digest, Gid, IdempotencyKey, Name, Principal, Text};
use crate::time::Timestamp;
use alloc::vec::Vec;

/// One fact and when it was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// Wall time.
    pub at: Timestamp,
    /// What happened.
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// A gid was accepted; always the first record.
    Begun(Begun),
    /// A branch was registered in an open transaction.
    Registered(BranchSpec),
    /// A call was answered done or refused.
    Answered {
        /// Of which branch.
        branch: BranchIndex,
        /// What had been asked.
        op: Op,
        /// Done or refused; never working or unknown.
        answer: Answer,
        /// How many sendings it took since the coordinator's start.
        attempts: u32,
    },
    /// Commit or abort, once.
    Decided {
        /// Which.
        decision: Decision,
        /// Why.
        cause: Cause,
        /// The branch that caused it, where one did.
        branch: Option<BranchIndex>,
        /// For people; may be empty.
        reason: Text,
        /// Branches that do not follow a commit: they were refused.
        out: Vec<BranchIndex>,
        /// Branches that were never called and need nothing.
        untouched: Vec<BranchIndex>,
    },
    /// A branch waits for an operator.
    Stuck {
        /// Which.
        branch: BranchIndex,
        /// Why.
        reason: StuckReason,
    },
    /// An operator let stuck branches be called again.
    Retried {
        /// Which.
        branches: Vec<BranchIndex>,
        /// Who.
        by: Principal,
        /// Why.
        reason: Text,
    },
    /// An operator made every unfinished branch stuck.
    Parked {
        /// Who.
        by: Principal,
        /// Why.
        reason: Text,
    },
    /// An operator said how a stuck branch stands.
    Resolved {
        /// Which.
        branch: BranchIndex,
        /// How it stands.
        resolution: Resolution,
        /// Who.
        by: Principal,
        /// Why.
        reason: Text,
    },
    /// It was found undecided in a log that was restored from an older copy: what was decided
    /// since is not known.
    Restored,
    /// A participant said what its row of a branch says.
    Inspected {
        /// Of which branch.
        branch: BranchIndex,
        /// What it says.
        row: RowSeen,
    },
    /// Every branch is where it will stay.
    Ended {
        /// How well the decision was carried out.
        outcome: Outcome,
    },
}

impl Fact {
    /// The branches that it names first: a begin declares them, a registration adds one.
    pub fn branches(&self) -> &[BranchSpec] {
        match self {
            Fact::Begun(begun) => begun.start.branches(),
            Fact::Registered(spec) => core::slice::from_ref(spec),
            Fact::Answered { .. }
            | Fact::Decided { .. }
            | Fact::Stuck { .. }
            | Fact::Retried { .. }
            | Fact::Parked { .. }
            | Fact::Resolved { .. }
            | Fact::Restored
            | Fact::Inspected { .. }
            | Fact::Ended { .. } => &[],
        }
    }
}

/// How a transaction came to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Begun {
    /// Its id.
    pub gid: Gid,
    /// Its name.
    pub name: Name,
    /// When, on the coordinator's never-repeating clock.
    pub begun: Timestamp,
    /// Who began it.
    pub principal: Principal,
    /// In which form.
    pub start: Start,
}

/// The form in which a transaction begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// The initiator will decide.
    Open {
        /// Presumed aborted after this.
        deadline: Timestamp,
        /// Makes the same begin repeatable.
        key: Option<(IdempotencyKey, Digest)>,
        /// Branches declared at once.
        branches: Vec<BranchSpec>,
    },
    /// The steps will decide.
    Plan {
        /// It turns back after this.
        deadline: Option<Timestamp>,
        /// Of the parsed plan; the same again gets the same answer.
        digest: Digest,
        /// The steps, in an order in which each comes after those it waits for.
        steps: Vec<BranchSpec>,
    },
    /// A begin that was lost in a crash, and of which no participant ever heard: it has ended,
    /// aborted, cause unknown.
    Lost,
}

impl Start {
    /// The branches that are there from the beginning, in order.
    pub fn branches(&self) -> &[BranchSpec] {
        match self {
            Start::Open { branches, .. } | Start::Plan { steps: branches, .. } => branches,
            Start::Lost => &[],
        }
    }
}

/// Commit or abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Every branch is to take effect.
    Commit,
    /// No branch is to take effect.
    Abort,
}

/// Why it was decided so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The initiator asked, or the steps were all done.
    Initiator,
    /// A participant refused.
    Refusal,
    /// Something that a commit needs was not known.
    Unknown,
    /// Time was over.
    Deadline,
    /// An operator asked.
    Operator,
}

/// How well a decision was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Every branch stands as decided.
    AsDecided,
    /// A branch is known to differ.
    Mixed,
    /// A branch cannot be known.
    Hazard,
}

/// How soon a record must be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Later effects do not wait for it, except final answers.
    Lazy,
    /// Every later effect of the transaction waits for it.
    Forced,
}

/// What a store may index of a transaction, as it stands after a draft. A store gives it no
/// meaning; core makes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Summary {
    /// Its name.
    pub name: Name,
    /// Begun, on the never-repeating clock.
    pub begun: Timestamp,
    /// The modes of its branches.
    pub modes: Vec<crate::branch::Mode>,
    /// Where it stands.
    pub phase: PhaseName,
    /// The decision, once there is one.
    pub decision: Option<Decision>,
    /// Why.
    pub cause: Option<Cause>,
    /// The outcome, once it has ended.
    pub outcome: Option<Outcome>,
    /// How many branches are stuck.
    pub stuck: u16,
    /// Whether nothing more will be called before an operator acts.
    pub parked: bool,
    /// Destinations of unfinished branches.
    pub waits_for: Vec<crate::ids::Destination>,
    /// Wall time of the last record.
    pub changed: Timestamp,
    /// Wall time of the end.
    pub ended: Option<Timestamp>,
}

/// The phase without what is known in it, for lists and filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PhaseName {
    /// The initiator will decide.
    Open,
    /// The steps will decide.
    Forward,
    /// Every branch is being told.
    Finishing,
    /// Over.
    Ended,
}

/// The coordinator's memory of its own clock, one record of the shard and of no transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClockMark {
    /// The never-repeating clock; a begun is at most one second above the highest durable one.
    pub clock: Timestamp,
    /// The begin of the oldest transaction whose end was not durable, less the retention time.
    pub limit: Timestamp,
    /// Wall time before which a transaction must have ended to be forgotten.
    pub ended_before: Timestamp,
}
