//! TCC: every branch tries; then all confirm or all cancel.

use super::Reception;
use crate::branch::{Answer, Branch, Caller, First, Op, Second, Share};
use crate::record::Decision;
use crate::transaction::Phase;

/// How an answer is received.
pub fn decide(phase: &Phase, branch: &Branch, op: Op) -> Reception {
    match (op, phase) {
        (Op::Try, Phase::Open { .. }) if branch.first == First::Unknown => Reception::MayRefuse,
        (Op::Confirm | Op::Cancel, Phase::Finishing { .. }) if branch.second == Second::Pending => {
            Reception::MustDo
        }
        (Op::Try | Op::Confirm | Op::Cancel | Op::Action | Op::Compensate | Op::Inspect, _) => {
            Reception::Late
        }
    }
}

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
