//! Inputs: everything that can happen to the driver.

use crate::branch::{Answer, BranchSpec, Resolution, RowSeen};
use crate::ids::{
    BranchId, CallId, Digest, Gid, IdempotencyKey, Name, Position, Principal, RequestId, Text,
};
use crate::plan::Step;
use crate::record::Record;
use crate::time::Timestamp;
use alloc::vec::Vec;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A client asks.
    Request {
        /// The number under which the reply goes back.
        id: RequestId,
        /// What it asks.
        request: Request,
    },
    /// A client that waited is gone; its reply is not needed.
    Gone {
        /// Which.
        id: RequestId,
    },
    /// A call came back, or its time is over.
    Answered {
        /// Which sending.
        call: CallId,
        /// What came of it.
        answer: Answer,
    },
    /// An inspection came back with what the row says. One that brought nothing is answered as
    /// unknown.
    Inspected {
        /// Which sending.
        call: CallId,
        /// What the row says.
        row: RowSeen,
    },
    /// Nothing came back of a call: no connection, or no answer in time. Its answer is unknown, and
    /// its destination may be gone.
    Silent {
        /// Which sending.
        call: CallId,
        /// What was seen.
        detail: Text,
    },
    /// Everything up to this position is durable.
    Durable(Position),
    /// What the store knows of a gid, as asked for by [`crate::effect::Effect::Lookup`].
    Found {
        /// Which gid.
        gid: Gid,
        /// Its records in order, empty if it has none.
        records: Vec<Record>,
        /// The highest begun the store ever forgot, by age or by bytes.
        forgotten: Timestamp,
    },
    /// The store cannot say what it knows of a gid: its records cannot be read.
    Unreadable {
        /// Which gid.
        gid: Gid,
    },
    /// The store's room for new transactions has changed.
    Room(Room),
    /// The alarm rang.
    Woken,
    /// Stop taking new transactions; what is open goes on, and every wait is over at once.
    Drain,
}

/// Whether the store takes new transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Room {
    /// It does.
    Free,
    /// The log is at its limit.
    Full,
}

/// How long a client waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// Until the request is durable, and not beyond.
    No,
    /// Until the decision, at most so many milliseconds.
    Decided {
        /// At most the limit `wait_ms_max`.
        wait_ms: u64,
    },
    /// Until the end, at most so many milliseconds.
    Ended {
        /// At most the limit `wait_ms_max`.
        wait_ms: u64,
    },
}

/// What a client asks. Names are valid, the capability has been verified to be ours for this gid;
/// whether its begun is this transaction's is seen by the driver.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Open a transaction.
    Begin(Begin),
    /// Hand over a plan.
    Submit(Submit),
    /// Add a branch.
    Register(Register),
    /// Decide to commit.
    Commit(Commit),
    /// Decide to abort.
    Abort(Abort),
    /// Show a transaction, perhaps wait for it.
    Get {
        /// Which.
        gid: Gid,
        /// Until when.
        wait: Wait,
    },
    /// How the calls of open transactions stand: for lists and timelines.
    Calls {
        /// Which; gids that are not open are left out of the reply.
        gids: Vec<Gid>,
    },
    /// An operator acts.
    Operate(Operate),
}

impl Request {
    /// The transaction it is about, where it is about one.
    pub fn gid(&self) -> Option<&Gid> {
        match self {
            Request::Begin(begin) => Some(&begin.gid),
            Request::Submit(submit) => Some(&submit.gid),
            Request::Register(register) => Some(&register.gid),
            Request::Commit(commit) => Some(&commit.gid),
            Request::Abort(abort) => Some(&abort.gid),
            Request::Get { gid, .. } => Some(gid),
            Request::Operate(operate) => Some(&operate.gid),
            Request::Calls { .. } => None,
        }
    }
}

/// How a gid was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GidSource {
    /// By the client: it may be in use.
    Client,
    /// By the coordinator, at random: it cannot be.
    Issued,
}

/// A begin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Begin {
    /// The id.
    pub gid: Gid,
    /// Who chose it.
    pub source: GidSource,
    /// The kind of transaction.
    pub name: Name,
    /// How long it may stay open; the limit `open_timeout_ms` if not said.
    pub timeout_ms: Option<u64>,
    /// Makes it repeatable: the key and the digest of the body.
    pub key: Option<(IdempotencyKey, Digest)>,
    /// Branches declared at once.
    pub branches: Vec<BranchSpec>,
    /// Who asks.
    pub principal: Principal,
}

/// A plan handed over in one request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Submit {
    /// The id.
    pub gid: Gid,
    /// Who chose it.
    pub source: GidSource,
    /// The kind of transaction.
    pub name: Name,
    /// It turns back after this long; never if not said.
    pub timeout_ms: Option<u64>,
    /// The steps as the client ordered them.
    pub steps: Vec<Step>,
    /// Of the parsed plan, name and timeout included.
    pub digest: Digest,
    /// Who asks.
    pub principal: Principal,
    /// Until when the reply may wait.
    pub wait: Wait,
}

/// A branch to be added.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Register {
    /// To which transaction.
    pub gid: Gid,
    /// The begun that the capability names.
    pub begun: Timestamp,
    /// The branch; `after` and `reads` are empty.
    pub spec: BranchSpec,
    /// How long the reply waits for the try's answer; one call timeout if not said.
    pub wait_ms: Option<u64>,
    /// Who asks.
    pub principal: Principal,
}

/// A wish to commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    /// Which transaction.
    pub gid: Gid,
    /// The begun that the capability names.
    pub begun: Timestamp,
    /// Branches whose try the initiator saw done.
    pub tried: Vec<BranchId>,
    /// Branches that the initiator saw refused.
    pub refused: Vec<BranchId>,
    /// Until when the reply may wait.
    pub wait: Wait,
    /// Who asks.
    pub principal: Principal,
}

/// A wish to abort.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Abort {
    /// Which transaction.
    pub gid: Gid,
    /// The begun that the capability names.
    pub begun: Timestamp,
    /// Why.
    pub reason: Text,
    /// The branch that made it so, where one did.
    pub branch: Option<BranchId>,
    /// Until when the reply may wait.
    pub wait: Wait,
    /// Who asks.
    pub principal: Principal,
}

/// An operator's action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operate {
    /// On which transaction.
    pub gid: Gid,
    /// What.
    pub action: Action,
    /// Why; never empty.
    pub reason: Text,
    /// Who.
    pub by: Principal,
}

/// What an operator can do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Let stuck branches be called again, all or one, and call what waits at once.
    Retry {
        /// One branch, or all.
        branch: Option<BranchId>,
    },
    /// Make every unfinished branch stuck.
    Park,
    /// Say how a stuck branch stands.
    Resolve {
        /// Which.
        branch: BranchId,
        /// How.
        resolution: Resolution,
    },
    /// Abort what is not decided.
    Abort,
    /// Commit what was left undecided in a restored log.
    Commit,
}

/// What a store gives a driver at the start: everything that is not over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Loaded {
    /// Of the last record in the log; all of it durable.
    pub position: Position,
    /// The last mark in the log.
    pub mark: Option<crate::record::ClockMark>,
    /// The records of every transaction that has not ended, in order.
    pub open: Vec<(Gid, Vec<Record>)>,
    /// Where the log was restored from an older copy: nothing that was lost was begun after this.
    pub restored: Option<Timestamp>,
}
