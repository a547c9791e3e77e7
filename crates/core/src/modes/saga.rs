//! Saga: steps go forward; a refusal sends back whatever may have happened.

use crate::branch::{Answer, Branch, Direction, First, Mode, Op, RowSeen, Second};
use crate::ids::Text;
use crate::mutants::{self, Mutant};
use crate::record::{Cause, Decision, Fact};
use crate::transaction::{Form, Phase, Touched, Transaction, index_of};
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

/// Folds an answer.
pub fn apply(branch: &mut Branch, op: Op, answer: &Answer) {
    match op {
        Op::Action => super::apply_first(branch, answer),
        Op::Compensate => branch.second = Second::Done,
        Op::Try | Op::Confirm | Op::Cancel | Op::Inspect => unreachable!("no op of saga"),
    }
}

/// What should be in flight, unless it is held back by others.
pub fn due(phase: &Phase, branch: &Branch) -> Option<Op> {
    match phase {
        Phase::Open { .. } => super::due_open(branch, Op::Action),
        Phase::Forward { .. } => match (branch.spec.direction, &branch.first) {
            (Direction::Reversible, First::Unknown) => Some(Op::Action),
            (Direction::Reversible, First::Done { .. } | First::Refused(_))
            | (Direction::ForwardOnly, _) => None,
        },
        Phase::Finishing { verdict } => {
            super::due_finishing(branch, verdict.decision, Op::Action, Op::Compensate)
        }
        Phase::Ended { .. } => None,
    }
}

/// Whether a branch that takes part needs nothing more.
pub fn is_settled(branch: &Branch, decision: Decision) -> bool {
    match (decision, branch.spec.direction) {
        (Decision::Commit, Direction::Reversible) => true,
        (Decision::Commit, Direction::ForwardOnly) => matches!(branch.first, First::Done { .. }),
        // The decision to commit is forced before a forward-only step is called.
        (Decision::Abort, Direction::ForwardOnly) => true,
        (Decision::Abort, Direction::Reversible) => {
            let skipped =
                mutants::is_on(Mutant::TurnSkipsUnknown) && branch.first == First::Unknown;
            branch.is_refused_and_kept() || skipped
        }
    }
}

/// Which branches must wait for others: a step for those it comes after; on the way back, a step
/// for all after it, and an open branch for the later ones at its destination.
pub fn held_back(transaction: &Transaction) -> Vec<bool> {
    let branches = &transaction.branches;
    let mut held = vec![false; branches.len()];
    match &transaction.phase {
        Phase::Open { .. } | Phase::Ended { .. } => {}
        Phase::Forward { .. } => hold_for_earlier(branches, &mut held),
        Phase::Finishing { verdict } => match (verdict.decision, transaction.is_plan()) {
            (Decision::Commit, true) => hold_for_earlier(branches, &mut held),
            (Decision::Abort, true) if mutants::is_on(Mutant::CompensatesAtOnce) => {}
            (Decision::Abort, true) => hold_for_later(branches, verdict.decision, &mut held),
            (Decision::Commit | Decision::Abort, false) => {
                hold_for_destination(branches, verdict.decision, &mut held);
            }
        },
    }
    held
}

fn hold_for_earlier(branches: &[Branch], held: &mut [bool]) {
    for (at, branch) in branches.iter().enumerate() {
        held[at] = branch.spec.after.iter().any(|earlier| !is_over(&branches[earlier.at()]));
    }
}

/// Whether a step lets those after it go on: it is done, or an operator has said how it stands.
fn is_over(branch: &Branch) -> bool {
    matches!(branch.first, First::Done { .. }) || matches!(branch.second, Second::Resolved(_))
}

/// Steps stand in an order in which each comes after those it waits for, so that one pass from
/// the end holds back all that a step comes after, directly or through others.
fn hold_for_later(branches: &[Branch], decision: Decision, held: &mut [bool]) {
    for (at, branch) in branches.iter().enumerate().rev() {
        if held[at] || !super::is_settled(branch, decision) {
            for earlier in &branch.spec.after {
                held[earlier.at()] = true;
            }
        }
    }
}

/// Reverse order of registration, one after another per destination.
fn hold_for_destination(branches: &[Branch], decision: Decision, held: &mut [bool]) {
    let mut busy = BTreeSet::new();
    for (at, branch) in branches.iter().enumerate().rev() {
        if branch.spec.mode != Mode::Saga || super::is_settled(branch, decision) {
            continue;
        }
        held[at] = !busy.insert(&branch.spec.destination);
    }
}

/// A refusal turns the saga; once every reversible step is done, it commits.
pub fn follow(transaction: &Transaction, touched: Touched<'_>) -> Option<Fact> {
    let branches = &transaction.branches;
    let refused = |branch: &Branch| matches!(branch.first, First::Refused(_));
    if let Some(at) = branches.iter().position(refused) {
        let branch = Some(index_of(at));
        return Some(transaction.abort(Cause::Refusal, Text::default(), branch, touched));
    }
    let done = branches
        .iter()
        .filter(|branch| branch.spec.direction == Direction::Reversible)
        .all(|branch| matches!(branch.first, First::Done { .. }));
    done.then(|| Fact::Decided {
        decision: Decision::Commit,
        cause: Cause::Initiator,
        branch: None,
        reason: Text::default(),
        out: Vec::new(),
        untouched: Vec::new(),
    })
}

/// What a row proves. A plan is compensated only after its turn, it commits only once all its
/// reversible steps are done, and its forward-only steps are called only after that.
pub fn proves(branch: &Branch, row: &RowSeen, form: &Form) -> Option<Decision> {
    match (form, branch.spec.direction, row) {
        (Form::Open { .. } | Form::Lost, _, _) => super::proves_open(branch, row),
        (
            Form::Plan { .. },
            Direction::ForwardOnly,
            RowSeen::Tried { .. } | RowSeen::Confirmed { .. } | RowSeen::Refused,
        ) => Some(Decision::Commit),
        (
            Form::Plan { .. },
            Direction::Reversible,
            RowSeen::Cancelled { .. } | RowSeen::NullCancelled | RowSeen::Refused,
        ) => Some(Decision::Abort),
        (Form::Plan { .. }, Direction::Reversible, RowSeen::Absent) => match branch.first {
            First::Unknown | First::Refused(_) => Some(Decision::Abort),
            // Its row is lost with whatever else the participant lost.
            First::Done { .. } => None,
        },
        (
            Form::Plan { .. },
            Direction::Reversible,
            RowSeen::NotAsked | RowSeen::Stale | RowSeen::Tried { .. } | RowSeen::Confirmed { .. },
        )
        | (
            Form::Plan { .. },
            Direction::ForwardOnly,
            RowSeen::NotAsked
            | RowSeen::Absent
            | RowSeen::Stale
            | RowSeen::Cancelled { .. }
            | RowSeen::NullCancelled,
        ) => None,
    }
}
