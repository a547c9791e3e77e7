//! The modes: rules over the shared branches, one file each, in one shape.

#[cfg(test)]
mod forced;
pub mod saga;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod table;
pub mod tcc;

use crate::branch::Resolution;
use crate::branch::{
    Answer, Branch, Caller, First, Mode, Op, RowSeen, Second, Share, Standing, StuckReason,
};
use crate::ids::BranchIndex;
use crate::mutants::{self, Mutant};
use crate::record::{Decision, Fact, Outcome};
use crate::transaction::{Form, Phase, Touched, Transaction};
use alloc::vec::Vec;

/// What an answer makes of a branch: a fact, or nothing where it says nothing new or answers
/// what is not asked any more.
pub fn decide(
    transaction: &Transaction,
    index: BranchIndex,
    op: Op,
    answer: &Answer,
    attempts: u32,
) -> Option<Fact> {
    let branch = &transaction.branches[index.at()];
    let fact = || Fact::Answered { branch: index, op, answer: answer.clone(), attempts };
    if asked(&transaction.phase, branch) != Some(op) {
        return is_worth_knowing(&transaction.phase, branch, op, answer).then(fact);
    }
    match (answer, &transaction.phase) {
        (Answer::Working | Answer::Unknown { .. }, _) => None,
        // After the decision a refusal breaks the participant's word.
        (Answer::Refused(refusal), Phase::Finishing { .. }) => {
            let reason = StuckReason::Refused { op, refusal: refusal.clone() };
            Some(Fact::Stuck { branch: index, reason })
        }
        (Answer::Done { .. } | Answer::Refused(_), _) => Some(fact()),
    }
}

/// Whether the late answer to a first op still serves: its reply is handed to the second op, and
/// a refusal that is kept spares it.
fn is_worth_knowing(phase: &Phase, branch: &Branch, op: Op, answer: &Answer) -> bool {
    let late = branch.first == First::Unknown && branch.second == Second::Pending;
    match (phase, op, answer) {
        (Phase::Finishing { .. }, Op::Try | Op::Action, Answer::Done { .. }) => late,
        (Phase::Finishing { verdict }, Op::Try | Op::Action, Answer::Refused(refusal)) => {
            let back = verdict.decision == Decision::Abort || branch.share == Share::Out;
            late && back && refusal.kept == crate::branch::Kept::Kept
        }
        (Phase::Open { .. } | Phase::Forward { .. } | Phase::Ended { .. }, _, _)
        | (Phase::Finishing { .. }, Op::Confirm | Op::Cancel | Op::Compensate | Op::Inspect, _)
        | (Phase::Finishing { .. }, _, Answer::Working | Answer::Unknown { .. }) => false,
    }
}

/// What is asked while the transaction is open: the first op, unless the initiator asks itself.
fn due_open(branch: &Branch, first: Op) -> Option<Op> {
    match (branch.spec.caller, &branch.first) {
        (Caller::Coordinator, First::Unknown) => Some(first),
        (Caller::Coordinator, First::Done { .. } | First::Refused(_)) | (Caller::Initiator, _) => {
            None
        }
    }
}

/// What is asked after the decision: forth of a branch that a commit takes, else back.
fn due_finishing(branch: &Branch, decision: Decision, forth: Op, back: Op) -> Option<Op> {
    match (is_settled(branch, decision), decision, branch.share) {
        (true, _, _) => None,
        (false, Decision::Commit, Share::In) => Some(forth),
        (false, Decision::Commit, Share::Out | Share::Untouched) | (false, Decision::Abort, _) => {
            Some(back)
        }
    }
}

/// What is asked of a branch, were it not for the others.
fn asked(phase: &Phase, branch: &Branch) -> Option<Op> {
    match branch.spec.mode {
        Mode::Tcc => tcc::due(phase, branch),
        Mode::Saga => saga::due(phase, branch),
    }
}

/// Folds an answer into a branch.
pub fn apply(branch: &mut Branch, op: Op, answer: &Answer) {
    match branch.spec.mode {
        Mode::Tcc => tcc::apply(branch, op, answer),
        Mode::Saga => saga::apply(branch, op, answer),
    }
}

/// Folds the answer to a first op.
fn apply_first(branch: &mut Branch, answer: &Answer) {
    branch.first = match answer {
        Answer::Done { reply, kept } => First::Done { reply: reply.clone(), kept: *kept },
        Answer::Refused(refusal) => First::Refused(refusal.clone()),
        Answer::Working | Answer::Unknown { .. } => First::Unknown,
    };
}

/// All calls of a transaction that should be in flight.
pub fn due(transaction: &Transaction) -> Vec<(BranchIndex, Op)> {
    let held_back = saga::held_back(transaction);
    let mut calls = Vec::new();
    for (at, branch) in transaction.branches.iter().enumerate() {
        let stuck = branch.standing != Standing::Free && !mutants::is_on(Mutant::StuckCalled);
        if stuck || held_back[at] {
            continue;
        }
        if let Some(op) = asked(&transaction.phase, branch) {
            calls.push((crate::transaction::index_of(at), op));
        }
    }
    calls
}

/// The fact that a plan's steps call for before the decision.
pub fn follow(transaction: &Transaction, touched: Touched<'_>) -> Option<Fact> {
    saga::follow(transaction, touched)
}

/// The decision that a row proves to have been made, though the log that made it is lost. Nothing
/// is proved by what another decision can have left as well.
pub fn proves(branch: &Branch, row: &RowSeen, form: &Form) -> Option<Decision> {
    match branch.spec.mode {
        Mode::Tcc => tcc::proves(branch, row),
        Mode::Saga => saga::proves(branch, row, form),
    }
}

/// Of a branch that was known done its initiator cannot have seen a refusal, so that no commit
/// took it back: an abort did.
fn proves_open(branch: &Branch, row: &RowSeen) -> Option<Decision> {
    match (row, &branch.first) {
        (RowSeen::Cancelled { .. }, First::Done { .. }) => Some(Decision::Abort),
        (
            RowSeen::NotAsked
            | RowSeen::Absent
            | RowSeen::Stale
            | RowSeen::Tried { .. }
            | RowSeen::Confirmed { .. }
            | RowSeen::Cancelled { .. }
            | RowSeen::NullCancelled
            | RowSeen::Refused,
            _,
        ) => None,
    }
}

/// Whether nothing more is to be done for a branch after the decision.
pub fn is_settled(branch: &Branch, decision: Decision) -> bool {
    match (&branch.second, branch.share) {
        (Second::Pending, _) if branch.restored().is_some() => false,
        (Second::Done | Second::Resolved(_), _) | (Second::Pending, Share::Untouched) => true,
        (Second::Pending, Share::Out) => branch.is_refused_and_kept(),
        (Second::Pending, Share::In) => match branch.spec.mode {
            Mode::Tcc => tcc::is_settled(branch, decision),
            Mode::Saga => saga::is_settled(branch, decision),
        },
    }
}

/// How a settled branch stands to the decision.
pub fn standing(branch: &Branch, decision: Decision) -> Outcome {
    let follows_commit = match branch.share {
        Share::In => decision == Decision::Commit,
        Share::Out | Share::Untouched => false,
    };
    match (&branch.second, follows_commit) {
        (Second::Pending | Second::Done, _)
        | (Second::Resolved(Resolution::Applied), true)
        | (Second::Resolved(Resolution::NotApplied), false) => Outcome::AsDecided,
        (Second::Resolved(Resolution::Applied), false)
        | (Second::Resolved(Resolution::NotApplied), true) => Outcome::Mixed,
        (Second::Resolved(Resolution::Unknown), _) => Outcome::Hazard,
    }
}
