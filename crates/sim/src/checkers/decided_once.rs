//! Decided once: a decision never changes or disappears, through any crash.

use super::Judgement;
use crate::model::{Evidence, Ledger, document};
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::Gid;
use wholly_core::record::{Decision, Fact, Start};

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    match evidence {
        Evidence::Appended(draft) => appended(ledger, draft),
        Evidence::Replied { reply, .. } => match document(reply) {
            Some(document) => match document.decision {
                Some(decision) => same(ledger, &document.gid, decision),
                None => not_undecided(ledger, &document.gid),
            },
            None => Ok(()),
        },
        Evidence::Recovered { .. }
        | Evidence::Called { .. }
        | Evidence::Took(_)
        | Evidence::Closed { .. }
        | Evidence::Illegal { .. }
        | Evidence::Over(_)
        | Evidence::Audited { .. } => Ok(()),
    }
}

fn appended(ledger: &Ledger, draft: &Draft) -> Judgement {
    let Content::Transaction { gid, records, .. } = &draft.content else { return Ok(()) };
    for record in records {
        match &record.fact {
            Fact::Decided { decision, .. } => {
                same(ledger, gid, *decision)?;
                if ledger.case(gid).is_some_and(|case| case.decided.is_some()) {
                    return Err(format!("{gid} was decided a second time"));
                }
            }
            Fact::Begun(begun) => match begun.start {
                Start::Lost => same(ledger, gid, Decision::Abort)?,
                Start::Open { .. } | Start::Plan { .. } => begun_once(ledger, gid)?,
            },
            Fact::Registered(_)
            | Fact::Answered { .. }
            | Fact::Stuck { .. }
            | Fact::Retried { .. }
            | Fact::Parked { .. }
            | Fact::Resolved { .. }
            | Fact::Ended { .. } => {}
        }
    }
    Ok(())
}

fn begun_once(ledger: &Ledger, gid: &Gid) -> Judgement {
    match ledger.case(gid) {
        Some(case) if case.told.is_some() => Err(format!("{gid} was told decided, then begun")),
        Some(case) if case.decided.is_some() => Err(format!("{gid} was decided, then begun")),
        Some(_) | None => Ok(()),
    }
}

fn same(ledger: &Ledger, gid: &Gid, decision: Decision) -> Judgement {
    match ledger.case(gid).and_then(|case| case.told) {
        Some(told) if told != decision => {
            Err(format!("{gid} was told {told:?}, and is {decision:?}"))
        }
        Some(_) | None => Ok(()),
    }
}

fn not_undecided(ledger: &Ledger, gid: &Gid) -> Judgement {
    match ledger.case(gid).and_then(|case| case.told) {
        Some(told) => Err(format!("{gid} was told {told:?}, and is undecided")),
        None => Ok(()),
    }
}
