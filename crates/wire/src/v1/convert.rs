//! From the words of core to answer bodies.

use super::answer::{
    Branch, BranchState, Call, Refusal, Registered, RowWord, Stuck, StuckBranch, StuckWord,
    Summary, Transaction, TryWord,
};
use super::json::raw;
use super::time::Time;
use crate::headers::print_mark;
use wholly_core::branch::{
    self, Direction, First, Kept, Mode, RowSeen, Second, Share, Standing, StuckReason,
};
use wholly_core::document::{Attempts, Calls, Document, TryAnswer};
use wholly_core::effect::Mark;
use wholly_core::ids::{BranchId, Gid};
use wholly_core::record::{self, Decision};

/// The document of a transaction.
pub fn transaction(document: &Document) -> Transaction<'_> {
    let branches = &document.branches;
    Transaction {
        gid: document.gid.as_str().into(),
        name: document.name.as_str().into(),
        principal: document.principal.as_str().into(),
        state: document.state.into(),
        decision: document.decision.map(Into::into),
        outcome: document.outcome.map(Into::into),
        cause: document.cause.map(Into::into),
        cause_branch: document.cause_branch.as_ref().map(|branch| branch.as_str().into()),
        reason: document.reason.as_str().into(),
        parked: document.parked,
        stuck: branches.iter().filter(|branch| branch.is_stuck()).count() as u64,
        begun: Time(document.begun),
        changed: Time(document.changed),
        deadline: document.deadline.map(Time),
        branches: branches.iter().map(|b| branch(b, branches, document.decision)).collect(),
        capability: None,
    }
}

/// The document as the answer to a submit: with the capability.
pub fn submitted<'a>(document: &'a Document, capability: &'a str) -> Transaction<'a> {
    Transaction { capability: Some(capability.into()), ..transaction(document) }
}

/// The answer to a registration.
pub fn registered<'a>(id: &'a BranchId, answer: &'a TryAnswer, mark: &Mark) -> Registered<'a> {
    let (word, reply, refused) = match answer {
        TryAnswer::Done { reply } => (TryWord::Done, Some(raw(reply)), None),
        TryAnswer::Refused(refused) => (TryWord::Refused, None, Some(refusal(refused))),
        TryAnswer::Unknown => (TryWord::Unknown, None, None),
    };
    Registered {
        branch: id.as_str().into(),
        answer: word.into(),
        reply,
        refusal: refused,
        mark: print_mark(mark).into(),
    }
}

/// A row of a list.
pub fn summary<'a>(
    gid: &'a Gid,
    summary: &'a record::Summary,
    calls: Option<&'a Calls>,
) -> Summary<'a> {
    let first_stuck = calls.and_then(|calls| calls.stuck.as_ref());
    let calls = calls.map_or(&[][..], |calls| &calls.branches);
    Summary {
        gid: gid.as_str().into(),
        name: summary.name.as_str().into(),
        modes: summary.modes.iter().map(|mode| (*mode).into()).collect(),
        state: summary.phase.into(),
        decision: summary.decision.map(Into::into),
        outcome: summary.outcome.map(Into::into),
        cause: summary.cause.map(Into::into),
        parked: summary.parked,
        stuck: u64::from(summary.stuck),
        // What is stuck is told once that is durable, as the count is.
        first_stuck: first_stuck
            .filter(|_| summary.stuck > 0)
            .map(|(branch, why)| StuckBranch { branch: branch.as_str().into(), stuck: stuck(why) }),
        waits_for: summary.waits_for.iter().map(|to| to.as_str().into()).collect(),
        begun: Time(summary.begun),
        changed: Time(summary.changed),
        ended: summary.ended.map(Time),
        calls: self::calls(calls),
    }
}

pub(super) fn calls(attempts: &[Attempts]) -> Vec<Call<'_>> {
    attempts.iter().map(call).collect()
}

fn call(attempts: &Attempts) -> Call<'_> {
    Call {
        branch: attempts.branch.as_str().into(),
        op: attempts.op.into(),
        attempts: attempts.attempts,
        next_ms: attempts.next_ms,
        last: attempts.last.as_str().into(),
    }
}

fn branch<'a>(
    branch: &'a branch::Branch,
    all: &'a [branch::Branch],
    decision: Option<Decision>,
) -> Branch<'a> {
    let spec = &branch.spec;
    let (reply, refused) = match &branch.first {
        First::Done { reply, .. } if reply.is_empty() => (None, None),
        First::Done { reply, .. } => (Some(raw(reply)), None),
        First::Refused(refused) => (None, Some(refusal(refused))),
        First::Unknown => (None, None),
    };
    Branch {
        branch: spec.id.as_str().into(),
        mode: spec.mode.into(),
        to: spec.destination.as_str().into(),
        operation: spec.operation.as_str().into(),
        state: state(branch, decision).into(),
        after: spec.after.iter().map(|index| all[index.at()].spec.id.as_str().into()).collect(),
        forward: spec.direction == Direction::ForwardOnly,
        reply,
        refusal: refused,
        stuck: match &branch.standing {
            Standing::Free => None,
            Standing::Stuck(reason) => Some(stuck(reason)),
        },
        resolution: match branch.second {
            Second::Resolved(resolution) => Some(resolution.into()),
            Second::Pending | Second::Done => None,
        },
    }
}

fn state(branch: &branch::Branch, decision: Option<Decision>) -> BranchState {
    match (&branch.second, &branch.first) {
        (Second::Resolved(_), _) => BranchState::Resolved,
        (Second::Done, first) => followed(branch, first, decision),
        (Second::Pending, First::Done { .. }) => BranchState::Done,
        (Second::Pending, First::Refused(_)) => BranchState::Refused,
        (Second::Pending, First::Unknown) => match (branch.share, branch.spec.direction) {
            (Share::Untouched, _) => BranchState::Untouched,
            // A commit takes only what the initiator, or the coordinator, saw done.
            (Share::In, Direction::Reversible) if decision == Some(Decision::Commit) => {
                BranchState::Done
            }
            (Share::In | Share::Out, _) => BranchState::Unknown,
        },
    }
}

/// The state of a branch that has followed the decision.
fn followed(branch: &branch::Branch, first: &First, decision: Option<Decision>) -> BranchState {
    let is_committed = decision == Some(Decision::Commit);
    match (branch.share, branch.spec.mode, first) {
        (Share::Untouched, _, _) => BranchState::Untouched,
        (Share::In, Mode::Tcc, _) if is_committed => BranchState::Confirmed,
        (Share::In, Mode::Saga, _) if is_committed => BranchState::Done,
        (Share::In | Share::Out, _, First::Refused(refusal)) if refusal.kept == Kept::Kept => {
            BranchState::Refused
        }
        (Share::In | Share::Out, Mode::Tcc, _) => BranchState::Cancelled,
        (Share::In | Share::Out, Mode::Saga, _) => BranchState::Compensated,
    }
}

pub(super) fn refusal(refusal: &branch::Refusal) -> Refusal<'_> {
    Refusal {
        code: refusal.code.as_str().into(),
        detail: refusal.detail.as_str().into(),
        kept: refusal.kept == Kept::Kept,
    }
}

fn stuck(reason: &StuckReason) -> Stuck<'_> {
    match reason {
        StuckReason::Refused { op, refusal: refused } => Stuck {
            why: StuckWord::Refused.into(),
            op: Some((*op).into()),
            refusal: Some(refusal(refused)),
            reason: None,
            row: None,
        },
        StuckReason::Parked { reason } => Stuck {
            why: StuckWord::Parked.into(),
            op: None,
            refusal: None,
            reason: Some(reason.as_str().into()),
            row: None,
        },
        StuckReason::Restored { row } => Stuck {
            why: StuckWord::Restored.into(),
            op: None,
            refusal: None,
            reason: None,
            row: row_word(row).map(Into::into),
        },
    }
}

/// What an inspection of a row since a restore said, in a word.
pub fn row_word(row: &RowSeen) -> Option<RowWord> {
    match row {
        RowSeen::NotAsked => None,
        RowSeen::Absent => Some(RowWord::None),
        RowSeen::Stale => Some(RowWord::Stale),
        RowSeen::Tried { .. } => Some(RowWord::Tried),
        RowSeen::Confirmed { .. } => Some(RowWord::Confirmed),
        RowSeen::Cancelled { .. } => Some(RowWord::Cancelled),
        RowSeen::NullCancelled => Some(RowWord::NullCancelled),
        RowSeen::Refused => Some(RowWord::Refused),
    }
}
