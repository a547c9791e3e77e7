//! Linear: seen from its clients, a gid is one register. An answer never shows less than what
//! anybody had heard before it was asked for, and no two final answers differ.

use super::Judgement;
use crate::evidence::{Evidence, document};
use crate::model::{Ledger, Past};
use crate::register::Shown;
use wholly_core::document::Response;
use wholly_core::ids::Gid;
use wholly_core::rejection::Rejection;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    let Evidence::Heard { asked_us, reply, .. } = evidence else { return Ok(()) };
    heard(ledger, *asked_us, reply)
}

fn heard(ledger: &Ledger, asked_us: u64, reply: &Result<Response, Rejection>) -> Judgement {
    if let Err(Rejection::GidUnknown { gid }) = reply {
        return match ledger.registers.before(gid, asked_us) {
            Some(before) if !may_be_gone(ledger, gid, before) && !ledger.is_gone(gid) => {
                Err(format!("{gid} was shown as {before:?}, and is said to be unknown"))
            }
            Some(_) | None => Ok(()),
        };
    }
    let Some(document) = document(reply) else { return Ok(()) };
    let (gid, shown) = (&document.gid, Shown::of(document));
    let is_lost = is_lost(ledger, gid);
    for other in ledger.registers.of(gid, shown.begun) {
        let decisions = (other.decision, shown.decision);
        let outcomes = (other.outcome, shown.outcome);
        // What was heard of an end that is lost, a restored coordinator may reach otherwise.
        let differ = matches!(decisions, (Some(one), Some(two)) if one != two)
            || !is_lost && matches!(outcomes, (Some(one), Some(two)) if one != two);
        if differ {
            return Err(format!("{gid} was shown as {other:?}, and is as {shown:?}"));
        }
    }
    let before = ledger.registers.before(gid, asked_us).filter(|_| !is_lost);
    let Some(before) = before else { return Ok(()) };
    if shown.rank() < before.rank() {
        return Err(format!("{gid} had been shown as {before:?}, then asked, and is {shown:?}"));
    }
    match before.begun < shown.begun && !may_be_gone(ledger, gid, before) {
        true => Err(format!("{gid} was shown as {before:?}, and is another: {shown:?}")),
        false => Ok(()),
    }
}

/// Whether a copy that was put back knows less of it than what was told.
fn is_lost(ledger: &Ledger, gid: &Gid) -> bool {
    match ledger.case(gid).map(|case| case.past) {
        Some(Past::Undecided | Past::Decided | Past::Gone) => true,
        Some(Past::Known) | None => false,
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
