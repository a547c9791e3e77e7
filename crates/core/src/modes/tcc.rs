//! TCC: every branch tries; then all confirm or all cancel.

use crate::branch::{Answer, Branch, Caller, First, Op, Second, Share};
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
        Phase::Open { .. } => match (branch.spec.caller, &branch.first) {
            (Caller::Coordinator, First::Unknown) => Some(Op::Try),
            (Caller::Coordinator, First::Done { .. } | First::Refused(_))
            | (Caller::Initiator, _) => None,
        },
        Phase::Finishing { verdict } if super::is_settled(branch, verdict.decision) => None,
        Phase::Finishing { verdict } => match (verdict.decision, branch.share) {
            (Decision::Commit, Share::In) => Some(Op::Confirm),
            (Decision::Commit, Share::Out | Share::Untouched) | (Decision::Abort, _) => {
                Some(Op::Cancel)
            }
        },
        Phase::Forward { .. } | Phase::Ended { .. } => None,
    }
}

/// Whether a branch that takes part needs nothing more.
pub fn is_settled(branch: &Branch, decision: Decision) -> bool {
    match decision {
        Decision::Commit => branch.second == Second::Done,
        Decision::Abort => branch.second == Second::Done || branch.is_refused_and_kept(),
    }
}
