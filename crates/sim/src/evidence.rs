//! Evidence: what is put before the checkers, as it happens.

use crate::coordinator::Act;
use wholly_core::branch::Op;
use wholly_core::document::{Document, Response};
use wholly_core::effect::{Call, Content, Draft, Proof};
use wholly_core::ids::{Body, BranchId, Gid, Position};
use wholly_core::input::Request;
use wholly_core::record::{Begun, Fact, Record, Start};
use wholly_core::rejection::Rejection;
use wholly_core::time::{Instant, Now, Timestamp};

/// Something that a checker may judge.
#[derive(Debug)]
pub enum Evidence<'a> {
    /// A request reached the coordinator, at its edge.
    Asked(&'a Request),
    /// The driver asked for records to be appended, and has applied them.
    Appended(&'a Draft),
    /// A call left the coordinator while so much was really on the platter.
    Called {
        /// The call.
        call: &'a Call,
        /// Everything up to here would survive a loss of power.
        platter: Position,
    },
    /// A reply left the coordinator.
    Replied {
        /// What was asked.
        request: &'a Request,
        /// What was said.
        reply: &'a Result<Response, Rejection>,
        /// What the driver says it needed and had.
        proof: Proof,
        /// Everything up to here would survive a loss of power.
        platter: Position,
    },
    /// A reply reached the client that had asked.
    Heard {
        /// When it had asked.
        asked_us: u64,
        /// When it heard.
        heard_us: u64,
        /// What was said.
        reply: &'a Result<Response, Rejection>,
    },
    /// The alarm rang, and the driver has done what was due.
    Woken {
        /// The clocks as the driver read them.
        now: Now,
        /// Until when a jump of the wall clock is waited out.
        held_until: Instant,
        /// When the alarm rings next.
        alarm: Option<Instant>,
    },
    /// An operator acted on more than one transaction.
    Operated(Act),
    /// A participant committed a local transaction with an effect of the business.
    Took(&'a Took),
    /// A participant kept a refusal, or the word that a branch was cancelled before it began.
    Closed {
        /// Of which transaction.
        gid: &'a Gid,
        /// Of which branch.
        branch: &'a BranchId,
        /// Why nothing will take effect.
        why: Closed,
    },
    /// A participant met a call that no order of the coordinator's can have sent.
    Illegal {
        /// Of which transaction.
        gid: &'a Gid,
        /// Of which branch.
        branch: &'a BranchId,
        /// What was asked.
        op: Op,
    },
    /// A participant refused a call, for its transaction ended longer ago than anything is kept.
    Stale {
        /// Of which transaction.
        gid: &'a Gid,
        /// Begun when.
        begun: Timestamp,
    },
    /// A copy of the coordinator's disk was put back, and so much is in it.
    Restored {
        /// The last position in it.
        position: Position,
    },
    /// The coordinator came back and found so much.
    Recovered {
        /// The last position it found.
        position: Position,
        /// What it would find if power were lost at this moment.
        worst: Position,
        /// The transactions that have not ended, by their records.
        open: &'a [(Gid, Vec<Record>)],
    },
    /// The world was healed long enough ago: everything must have ended.
    Over(Remains),
    /// What a transaction looked like to an auditor after that.
    Audited {
        /// Which.
        gid: &'a Gid,
        /// What the coordinator said.
        reply: &'a Result<Response, Rejection>,
    },
}

/// What the coordinator still holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Whether it is up and ready.
    pub ready: Ready,
    /// Open transactions.
    pub open: u64,
    /// Calls that left and were not answered.
    pub in_flight: u64,
    /// Requests that wait.
    pub waiters: u64,
    /// Effects held back.
    pub held: u64,
    /// Timers set.
    pub timers: u64,
    /// Entries by which transactions would be found.
    pub entries: u64,
    /// How far the mark is behind what it should say, if it is.
    pub mark_late_ms: u64,
    /// Barrier rows, by participant, once those that may be cleared are.
    pub rows: Vec<Rows>,
}

/// The rows of one participant's barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Which participant.
    pub participant: usize,
    /// Those below this were cleared.
    pub limit: Timestamp,
    /// How many there are.
    pub count: usize,
}

/// Whether the coordinator serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ready {
    /// It does.
    Yes,
    /// It does not.
    #[default]
    No,
}

/// An effect in a participant's books.
#[derive(Clone, Debug)]
pub struct Took {
    /// Of which transaction.
    pub gid: Gid,
    /// Begun when.
    pub begun: Timestamp,
    /// Of which branch.
    pub branch: BranchId,
    /// What was done.
    pub op: Op,
    /// With what.
    pub payload: Body,
    /// With which replies of earlier steps.
    pub replies: Vec<(BranchId, Body)>,
    /// At which participant.
    pub participant: usize,
}

/// Why a branch will take no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The business refused, and the row keeps it.
    Refused,
    /// It was cancelled before it began.
    NullCancelled,
}

/// The document in a reply, if it holds one.
pub fn document(reply: &Result<Response, Rejection>) -> Option<&Document> {
    match reply {
        Ok(Response::Submitted { document, .. } | Response::Transaction { document, .. }) => {
            Some(document)
        }
        Err(Rejection::Decided { document }) => Some(document),
        Ok(Response::Begun { .. } | Response::Registered { .. } | Response::Calls(_)) => None,
        Err(_) => None,
    }
}

/// What a draft begins, if it begins something that can be refused.
pub fn begun(draft: &Draft) -> Option<(&Gid, &Begun)> {
    let Content::Transaction { gid, records, .. } = &draft.content else { return None };
    let Some(Fact::Begun(begun)) = records.first().map(|record| &record.fact) else { return None };
    (begun.start != Start::Lost).then_some((gid, begun))
}
