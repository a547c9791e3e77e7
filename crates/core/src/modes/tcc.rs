//! TCC: every branch tries; then all confirm or all cancel.

use crate::branch::{Answer, Branch, Op, RowSeen, Second};
use crate::record::Decision;
use crate::transaction::Phase;

/// Folds an answer.
pub fn apply(branch: &mut Branch, op: Op, answer: &Answer) {
    match op {
        Op::Try => super::apply_first(branch, answer),
        Op::Confirm | Op::Cancel => branch.second = Second::Done,
        Op::Action | Op::Compensate | Op::Inspect => unreachable!("no op of tcc"),
    }
}

/// What should be in flight.
pub fn due(phase: &Phase, branch: &Branch) -> Option<Op> {
    match phase {
        Phase::Open { .. } => super::due_open(branch, Op::Try),
        Phase::Finishing { verdict } => {
            super::due_finishing(branch, verdict.decision, Op::Confirm, Op::Cancel)
        }
        Phase::Forward { .. } | Phase::Ended { .. } => None,
    }
}

/// Whether a branch that takes part, and has not followed the decision yet, needs nothing more.
pub fn is_settled(branch: &Branch, decision: Decision) -> bool {
    match decision {
        Decision::Commit => false,
        Decision::Abort => branch.is_refused_and_kept(),
    }
}

/// What a row proves: only a commit confirms.
pub fn proves(branch: &Branch, row: &RowSeen) -> Option<Decision> {
    match row {
        RowSeen::Confirmed { .. } => Some(Decision::Commit),
        RowSeen::NotAsked
        | RowSeen::Absent
        | RowSeen::Stale
        | RowSeen::Tried { .. }
        | RowSeen::Cancelled { .. }
        | RowSeen::NullCancelled
        | RowSeen::Refused => super::proves_open(branch, row),
    }
}
