//! Linear: seen from its clients, a gid is one register. An answer never shows less than what
//! anybody had heard before it was asked for, and no two final answers differ.

use super::Judgement;
use crate::evidence::{Evidence, document};
use crate::model::Ledger;
use crate::register::Shown;
use wholly_core::document::Response;
use wholly_core::ids::Gid;
use wholly_core::rejection::Rejection;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    match evidence {
        Evidence::Heard { asked_us, reply, .. } => heard(ledger, *asked_us, reply),
        Evidence::Asked(_)
        | Evidence::Appended(_)
        | Evidence::Called { .. }
        | Evidence::Replied { .. }
        | Evidence::Woken { .. }
        | Evidence::Took(_)
        | Evidence::Closed { .. }
        | Evidence::Illegal { .. }
        | Evidence::Stale { .. }
        | Evidence::Recovered { .. }
        | Evidence::Over(_)
        | Evidence::Audited { .. } => Ok(()),
    }
}

fn heard(ledger: &Ledger, asked_us: u64, reply: &Result<Response, Rejection>) -> Judgement {
    if let Err(Rejection::GidUnknown { gid }) = reply {
        return match ledger.registers.before(gid, asked_us) {
            Some(before) if !may_be_gone(ledger, gid, before) => {
                Err(format!("{gid} was shown as {before:?}, and is said to be unknown"))
            }
            Some(_) | None => Ok(()),
        };
    }
    let Some(document) = document(reply) else { return Ok(()) };
    let (gid, shown) = (&document.gid, Shown::of(document));
    for other in ledger.registers.of(gid, shown.begun) {
        let decisions = (other.decision, shown.decision);
        let outcomes = (other.outcome, shown.outcome);
        let differ = matches!(decisions, (Some(one), Some(two)) if one != two)
            || matches!(outcomes, (Some(one), Some(two)) if one != two);
        if differ {
            return Err(format!("{gid} was shown as {other:?}, and is as {shown:?}"));
        }
    }
    let Some(before) = ledger.registers.before(gid, asked_us) else { return Ok(()) };
    if shown.rank() < before.rank() {
        return Err(format!("{gid} had been shown as {before:?}, then asked, and is {shown:?}"));
    }
    match before.begun < shown.begun && !may_be_gone(ledger, gid, before) {
        true => Err(format!("{gid} was shown as {before:?}, and is another: {shown:?}")),
        false => Ok(()),
    }
}

/// What nobody was told the end of may be lost in a crash; what has ended long ago, forgotten.
fn may_be_gone(ledger: &Ledger, gid: &Gid, shown: &Shown) -> bool {
    let forgotten = || {
        let case = ledger.case_of(gid, shown.begun);
        case.is_none_or(|case| ledger.may_be_forgotten(case))
    };
    shown.decision.is_none() || forgotten()
}
