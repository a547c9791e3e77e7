//! The document of a transaction: what every answer shows of it.

use crate::branch::{Branch, Op, Refusal, StuckReason};
use crate::effect::Mark;
use crate::ids::{Body, BranchId, Destination, Gid, Name, Principal, Text};
use crate::record::{Cause, Decision, Outcome, PhaseName};
use crate::time::Timestamp;
use alloc::vec::Vec;

/// A transaction as its records tell it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Document {
    /// Its id.
    pub gid: Gid,
    /// Its name.
    pub name: Name,
    /// Who began it.
    pub principal: Principal,
    /// When, on the never-repeating clock.
    pub begun: Timestamp,
    /// When the last record was found.
    pub changed: Timestamp,
    /// Where it stands.
    pub state: PhaseName,
    /// When it is aborted or turns back, while that can still happen.
    pub deadline: Option<Timestamp>,
    /// Commit or abort, once decided.
    pub decision: Option<Decision>,
    /// Why.
    pub cause: Option<Cause>,
    /// The branch that caused it.
    pub cause_branch: Option<BranchId>,
    /// Why, for people.
    pub reason: Text,
    /// How well it was carried out, once ended.
    pub outcome: Option<Outcome>,
    /// Whether nothing more will be called before an operator acts.
    pub parked: bool,
    /// Its branches in order of registration.
    pub branches: Vec<Branch>,
}

/// A good answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response {
    /// To a begin.
    Begun {
        /// The id.
        gid: Gid,
        /// What the capability is made of.
        begun: Timestamp,
        /// Presumed aborted after this.
        deadline: Timestamp,
        /// Whether this request made it.
        freshness: Freshness,
    },
    /// To a submit.
    Submitted {
        /// The transaction.
        document: Document,
        /// Whether this request made it.
        freshness: Freshness,
        /// Whether what was waited for came.
        arrival: Arrival,
    },
    /// To a registration.
    Registered {
        /// The branch.
        branch: BranchId,
        /// What is known of its try.
        answer: TryAnswer,
        /// For an initiator that calls by itself.
        mark: Mark,
        /// Whether this request made it.
        freshness: Freshness,
    },
    /// To commit, abort, get and the operator's actions.
    Transaction {
        /// The transaction.
        document: Document,
        /// Whether what was waited for came.
        arrival: Arrival,
    },
    /// To calls.
    Calls(Vec<Calls>),
}

/// Whether a request made what it asked for, or found it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// It did.
    Created,
    /// The same request had been here before.
    Repeated,
}

/// Whether what a request waited for came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// It did, or nothing was waited for.
    Arrived,
    /// Time was over first.
    NotYet,
}

/// What is known of a try.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TryAnswer {
    /// It was done.
    Done {
        /// What the participant said.
        reply: Body,
    },
    /// It was refused.
    Refused(Refusal),
    /// Nothing yet.
    Unknown,
}

/// How the calls of one open transaction stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Calls {
    /// Which.
    pub gid: Gid,
    /// A row per branch that is being called or will be.
    pub branches: Vec<Attempts>,
    /// The first branch that waits for an operator, and why.
    pub stuck: Option<(BranchId, StuckReason)>,
}

/// How the coordinator stands: for operators.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Whether new transactions are taken.
    pub intake: IntakeStanding,
    /// Transactions that have not ended, by how they stand.
    pub counts: Counts,
    /// The same by their age.
    pub backlog: Vec<AgeBand>,
    /// Stuck branches, by why: the code of a refusal, or that an operator parked them.
    pub stuck: Vec<(Text, usize)>,
    /// Every destination that an open transaction names or an operator lets rest.
    pub destinations: Vec<DestinationStanding>,
}

/// Whether new transactions are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntakeStanding {
    /// They are.
    Open,
    /// An operator drains the coordinator.
    Drained,
    /// It is being stopped.
    Stopping,
}

/// How many transactions stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    /// In phase open.
    pub open: Tally,
    /// In phase forward.
    pub forward: Tally,
    /// In phase finishing.
    pub finishing: Tally,
    /// Of all these, those with a branch that waits for an operator.
    pub stuck: Tally,
}

/// How many, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tally {
    /// How many.
    pub count: usize,
    /// How long ago the oldest began, a second too little at most; none if there is none.
    pub oldest_ms: Option<u64>,
}

impl Tally {
    /// Counts some more, begun so long ago.
    pub fn add(&mut self, count: usize, age_ms: u64) {
        if count > 0 {
            self.count += count;
            self.oldest_ms = self.oldest_ms.max(Some(age_ms));
        }
    }
}

/// How many transactions are of an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AgeBand {
    /// Not older than this; none for the rest.
    pub age_ms_max: Option<u64>,
    /// In phase open.
    pub open: usize,
    /// In phase forward.
    pub forward: usize,
    /// In phase finishing.
    pub finishing: usize,
}

/// How a destination stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DestinationStanding {
    /// Which.
    pub destination: Destination,
    /// Branches of open transactions that name it.
    pub branches: usize,
    /// Calls in flight to it.
    pub in_flight: usize,
    /// Calls that wait for a slot.
    pub queued: usize,
    /// Calls that wait to be sent again.
    pub waiting: usize,
    /// Calls that may be in flight at once.
    pub slots: usize,
    /// Whether it is called freely.
    pub breaker: BreakerStanding,
    /// Who lets it rest, if anybody does.
    pub pause: Option<Pause>,
}

/// Whether a destination is called freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerStanding {
    /// It is.
    Closed,
    /// Nothing came back: it is called by one probe at a time.
    Open {
        /// Since when.
        since: Timestamp,
        /// Probes that came to nothing.
        probes: u32,
        /// Milliseconds until the next; none if it is due or in flight.
        next_ms: Option<u64>,
    },
}

/// An operator lets something rest until it is taken back: a destination, or the intake.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pause {
    /// Who.
    pub by: Principal,
    /// Why.
    pub reason: Text,
    /// Since when.
    pub since: Timestamp,
}

/// How one branch's call stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attempts {
    /// Which branch.
    pub branch: BranchId,
    /// What is asked.
    pub op: Op,
    /// Sendings since the coordinator's start.
    pub attempts: u32,
    /// Milliseconds until the next, if it is waited for; none while one is in flight.
    pub next_ms: Option<u64>,
    /// What came of the last one; empty if nothing yet.
    pub last: Text,
}
