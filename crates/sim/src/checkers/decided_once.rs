//! Decided once: a decision never changes or disappears, through any crash.

use super::Judgement;
use crate::evidence::{Evidence, document};
use crate::model::{Case, Ledger, Past};
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Gid, Position};
use wholly_core::record::{Decision, Fact, Start};
use wholly_core::time::Timestamp;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    if let Evidence::Appended(draft) = evidence {
        appended(ledger, draft)?;
    }
    if let Evidence::Replied { reply, proof, .. } = evidence
        && let Some(document) = document(reply)
    {
        let case = ledger.case_of(&document.gid, document.begun);
        match document.decision {
            Some(decision) => same(&document.gid, case, decision)?,
            None => not_undecided(&document.gid, case, proof.needed)?,
        }
    }
    Ok(())
}

fn appended(ledger: &Ledger, draft: &Draft) -> Judgement {
    let Content::Transaction { gid, records, .. } = &draft.content else { return Ok(()) };
    let case = match records.first().map(|record| &record.fact) {
        Some(Fact::Begun(begun)) => ledger.case_of(gid, begun.begun),
        Some(_) | None => ledger.case(gid),
    };
    for record in records {
        match &record.fact {
            Fact::Decided { decision, .. } => {
                same(gid, case, *decision)?;
                if case.is_some_and(|case| case.decided.is_some()) {
                    return Err(format!("{gid} was decided a second time"));
                }
            }
            Fact::Begun(begun) => match begun.start {
                Start::Lost => {
                    not_gone(gid, ledger.case_of(gid, begun.begun))?;
                    same(gid, ledger.case_of(gid, begun.begun), Decision::Abort)?;
                    begun_once(ledger, gid)?;
                }
                Start::Open { .. } | Start::Plan { .. } => {
                    begun_once(ledger, gid)?;
                    never_given_twice(ledger, gid, begun.begun)?;
                    if begun.begun <= ledger.begun_before {
                        let before = ledger.begun_before;
                        return Err(format!("{gid} begun at {}, after {before}", begun.begun));
                    }
                }
            },
            Fact::Registered(_)
            | Fact::Answered { .. }
            | Fact::Stuck { .. }
            | Fact::Retried { .. }
            | Fact::Parked { .. }
            | Fact::Resolved { .. }
            | Fact::Restored
            | Fact::Inspected { .. }
            | Fact::Ended { .. } => {}
        }
    }
    Ok(())
}

/// A gid is begun when nothing is known of it, or when what was known may be forgotten.
fn begun_once(ledger: &Ledger, gid: &Gid) -> Judgement {
    let Some(case) = ledger.case(gid) else { return Ok(()) };
    let settled = case.told.is_some() || case.decided.is_some() || !case.order.is_empty();
    match settled && !ledger.may_be_forgotten(case) {
        true => Err(format!("{gid} is known, told {:?}, yet begun", case.told)),
        false => Ok(()),
    }
}

/// No begin has the time of another for which somebody holds a capability.
fn never_given_twice(ledger: &Ledger, gid: &Gid, begun: Timestamp) -> Judgement {
    let past = ledger.past.iter().filter(|(known, _)| known == gid).map(|(_, case)| case);
    let mut cases = ledger.case(gid).into_iter().chain(past);
    match cases.any(|case| case.capability == Some(begun)) {
        true => Err(format!("{gid} was begun at {begun} a second time")),
        false => Ok(()),
    }
}

fn same(gid: &Gid, case: Option<&Case>, decision: Decision) -> Judgement {
    match case.and_then(|case| case.told) {
        Some(told) if told != decision => {
            Err(format!("{gid} was told {told:?}, and is {decision:?}"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whatever was begun after a copy that was put back may have been committed.
fn not_gone(gid: &Gid, case: Option<&Case>) -> Judgement {
    match case.map(|case| case.past) {
        Some(Past::Gone) => Err(format!("{gid} was begun after the copy, and is said aborted")),
        Some(Past::Known | Past::Undecided | Past::Decided) | None => Ok(()),
    }
}

/// A reply shows how it stood at the position that the reply waited for: after a restore it may
/// have been decided again meanwhile.
fn not_undecided(gid: &Gid, case: Option<&Case>, shown: Position) -> Judgement {
    if case.is_some_and(|case| case.was_unaccounted(shown)) {
        return Ok(());
    }
    match case.and_then(|case| case.told) {
        Some(told) => Err(format!("{gid} was told {told:?}, and is undecided")),
        None => Ok(()),
    }
}
