//! Once: each operation takes effect at most once, and none out of order.

use super::Judgement;
use crate::evidence::{Evidence, Took};
use crate::model::{Case, Ledger};
use wholly_core::branch::Op;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    match evidence {
        Evidence::Took(took) => took_once(ledger, took),
        Evidence::Closed { gid, branch, why } => match ledger.truth(gid, branch) {
            Some(truth) if truth.first.is_some() => {
                Err(format!("{gid} {branch} took effect, then {why:?}"))
            }
            Some(_) | None => Ok(()),
        },
        // An operator decided without knowing better, and the participant sees to it that nothing
        // comes of it.
        Evidence::Illegal { gid, .. } if ledger.case(gid).is_some_and(Case::is_by_operator) => {
            Ok(())
        }
        Evidence::Illegal { gid, branch, op } => {
            Err(format!("{op:?} of {gid} {branch} came in an order that nobody may send"))
        }
        Evidence::Stale { gid, begun } => match ledger.case_of(gid, *begun) {
            Some(case) if ledger.is_below_limit(case) => Ok(()),
            // Nobody who sets limits can know of it: its rows last for the retention time.
            Some(_) if ledger.is_gone(gid) => Ok(()),
            Some(_) | None => Err(format!("a call of {gid} was refused as stale, and is not")),
        },
        Evidence::Appended(_)
        | Evidence::Called { .. }
        | Evidence::Replied { .. }
        | Evidence::Operated(_)
        | Evidence::Restored { .. }
        | Evidence::Recovered { .. }
        | Evidence::Over(_)
        | Evidence::Audited { .. }
        | Evidence::Asked(_)
        | Evidence::Heard { .. }
        | Evidence::Woken { .. } => Ok(()),
    }
}

fn took_once(ledger: &Ledger, took: &Took) -> Judgement {
    let known = ledger.case(&took.gid).and_then(|case| case.begun);
    if known != Some(took.begun) {
        // An operator who says how a branch stands vouches that no call of it is under way.
        let case = ledger.case_of(&took.gid, took.begun);
        let truth = case.and_then(|case| case.branches.get(&took.branch));
        if truth.is_some_and(|truth| truth.vouched) {
            return Ok(());
        }
        let Took { gid, branch, begun, .. } = took;
        return Err(format!("{gid} {branch} took effect for a begin of {begun}, not {known:?}"));
    }
    let Took { gid, branch, op, .. } = took;
    let truth = ledger.truth(gid, branch);
    let (first, second, closed) = match truth {
        Some(truth) => (truth.first.is_some(), truth.second, truth.closed),
        None => (false, None, None),
    };
    match op {
        Op::Try | Op::Action => match (first, second, closed) {
            (false, None, None) => Ok(()),
            (true, _, _) => Err(format!("{op:?} of {gid} {branch} took effect twice")),
            (false, _, _) => {
                Err(format!("{op:?} of {gid} {branch} took effect after {closed:?} {second:?}"))
            }
        },
        Op::Confirm | Op::Cancel | Op::Compensate => match (first, second) {
            (true, None) => Ok(()),
            (false, _) => Err(format!("{op:?} of {gid} {branch} took effect without its try")),
            (true, Some(before)) => {
                Err(format!("{op:?} of {gid} {branch} took effect after {before:?}"))
            }
        },
        Op::Inspect => Err(format!("inspect of {gid} {branch} had an effect")),
    }
}
