//! Effects: everything the driver asks of the outside.

use crate::branch::Op;
use crate::document::Response;
use crate::ids::{
    Body, BranchId, CallId, Destination, Gid, Operation, Origin, Position, RequestId, Version,
};
use crate::record::{ClockMark, Record, Summary};
use crate::rejection::Rejection;
use crate::time::{Instant, Timestamp};
use alloc::vec::Vec;

/// Something the outside is asked to do. Effects of one step are in order; an `Append` must reach
/// the committer in that order. Every other effect may leave at once: the driver has held it
/// until the version it needs was durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Queue records for the log.
    Append(Draft),
    /// Make everything up to this position durable soon: somebody waits, or it has waited long
    /// enough.
    Flush(Position),
    /// Send a call. Its answer, or a timeout, comes back as an input without fail.
    Call(Call),
    /// Answer a client.
    Reply {
        /// To which request.
        to: RequestId,
        /// With what.
        reply: Result<Response, Rejection>,
        /// What had to be durable, for the shell's trace.
        proof: Proof,
    },
    /// Ask the store what it knows of a gid; the answer comes back as an input.
    Lookup {
        /// Which.
        gid: Gid,
    },
    /// Wake the driver at this instant or soon after; replaces the alarm set before.
    Wake(Instant),
}

/// What an effect needed and what was durable when it left. A checker's material: `needed` is
/// never above `durable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Proof {
    /// The position that had to be durable.
    pub needed: Position,
    /// The position that was.
    pub durable: Position,
}

/// Records to be appended, atomically and in order of position.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Draft {
    /// The shard's position of the last record in this draft.
    pub position: Position,
    /// What is appended.
    pub content: Content,
}

/// What a draft holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Records of one transaction.
    Transaction {
        /// Which.
        gid: Gid,
        /// The version these follow; zero for a new one.
        after: Version,
        /// The records.
        records: Vec<Record>,
        /// How it stands after them.
        summary: Summary,
    },
    /// The coordinator's memory of its own clock.
    Mark(ClockMark),
}

/// A call to a participant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Which sending.
    pub id: CallId,
    /// Of which transaction.
    pub gid: Gid,
    /// Of which branch.
    pub branch: BranchId,
    /// Where to.
    pub destination: Destination,
    /// What the participant offers.
    pub operation: Operation,
    /// What is asked of it.
    pub op: Op,
    /// What it is given.
    pub payload: Body,
    /// Replies of the steps it reads, by name.
    pub replies: Vec<(BranchId, Body)>,
    /// The reply of its own first op, where it is known: for a confirm, cancel or compensate.
    pub reply: Option<Body>,
    /// The transaction's place among its peers.
    pub mark: Mark,
    /// Longest it may take, from connect to last byte.
    pub timeout_ms: u64,
    /// How many sendings of this op there were since the coordinator's start, this one included.
    pub attempt: u32,
    /// What had to be durable.
    pub proof: Proof,
}

/// What lets a participant tell late calls from live ones: `wholly-mark`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The coordinator's log.
    pub origin: Origin,
    /// The begin of this transaction on that log's clock.
    pub begun: Timestamp,
    /// Every transaction begun below has ended long ago.
    pub limit: Timestamp,
}
