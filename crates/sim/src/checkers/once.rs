//! Once: each operation takes effect at most once, and none out of order.

use super::Judgement;
use crate::evidence::{Evidence, Took};
use crate::model::{Case, Ledger};
use wholly_core::branch::Op;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    if let Evidence::Took(took) = evidence {
        took_once(ledger, took)?;
    }
    if let Evidence::Closed { gid, branch, why } = evidence
        && ledger.truth(gid, branch).is_some_and(|truth| truth.first.is_some())
    {
        return Err(format!("{gid} {branch} took effect, then {why:?}"));
    }
    // Where an operator aborted without knowing better, the participant sees to it that nothing
    // comes of it. Who commits has been told by every row what may be confirmed.
    if let Evidence::Illegal { gid, branch, op } = evidence
        && !ledger.case(gid).is_some_and(Case::is_aborted_by_operator)
    {
        return Err(format!("{op:?} of {gid} {branch} came in an order that nobody may send"));
    }
    if let Evidence::Stale { gid, begun } = evidence {
        let case = ledger.case_of(gid, *begun);
        // Of what is gone nobody who sets limits can know: its rows last for the retention time.
        if !case.is_some_and(|case| ledger.is_below_limit(case) || ledger.is_gone(gid)) {
            return Err(format!("a call of {gid} was refused as stale, and is not"));
        }
    }
    Ok(())
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
