//! Restored: what a copy that was put back left undecided is decided by the rows of all its
//! branches, or by an operator; and where a row proves nothing, his word alone settles its branch.

use super::Judgement;
use crate::evidence::{Evidence, document};
use crate::model::{Case, Ledger, Past, Truth};
use wholly_core::branch::{Branch, Direction, RowSeen, Second, Share};
use wholly_core::document::Document;
use wholly_core::effect::{Content, Draft};
use wholly_core::record::{Cause, Decision, Fact, Record};

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    if let Evidence::Appended(draft) = evidence {
        decided_on_all_rows(ledger, draft)?;
    }
    if let Evidence::Replied { reply, .. } = evidence
        && let Some(document) = document(reply)
    {
        settled_by_evidence(ledger, document)?;
    }
    Ok(())
}

/// An operator may abort before every row was read; nobody may commit, or find a proof.
fn decided_on_all_rows(ledger: &Ledger, draft: &Draft) -> Judgement {
    let Content::Transaction { gid, records, .. } = &draft.content else { return Ok(()) };
    let unaccounted = ledger.case(gid).filter(|case| case.is_unaccounted());
    let Some(case) = unaccounted else { return Ok(()) };
    for record in records {
        let Fact::Decided { decision, cause, .. } = &record.fact else { continue };
        if (*decision, *cause) == (Decision::Abort, Cause::Operator) {
            continue;
        }
        if let Some(branch) = unread(case, records) {
            return Err(format!("{gid} was decided {decision:?}, and nobody read {branch}'s row"));
        }
    }
    Ok(())
}

/// A branch whose row was not read, neither before these records nor by them.
fn unread<'a>(case: &'a Case, records: &[Record]) -> Option<&'a str> {
    let reads = |at: usize| {
        records.iter().any(|record| {
            let Fact::Inspected { branch, .. } = &record.fact else { return false };
            branch.at() == at
        })
    };
    let known = |id| case.branches.get(id).is_some_and(|truth| truth.row().is_some());
    let mut order = case.order.iter().enumerate();
    order.find(|(at, (id, _, _))| !known(id) && !reads(*at)).map(|(_, (id, _, _))| id.as_str())
}

/// A commit leaves no branch as it is of which nobody can tell whether it was taken back since; an
/// abort none that may have been done and cannot be taken back.
fn settled_by_evidence(ledger: &Ledger, document: &Document) -> Judgement {
    let case = ledger.case_of(&document.gid, document.begun);
    let restored = case.filter(|case| case.past == Past::Undecided);
    let (Some(case), Some(decision), Some(_)) = (restored, document.decision, document.outcome)
    else {
        return Ok(());
    };
    for branch in &document.branches {
        if needs_a_word(case, decision, branch) && !matches!(branch.second, Second::Resolved(_)) {
            let (gid, id) = (&document.gid, &branch.spec.id);
            return Err(format!("{gid} ended {decision:?}, and its row does not tell how {id} is"));
        }
    }
    Ok(())
}

fn needs_a_word(case: &Case, decision: Decision, branch: &Branch) -> bool {
    let row = case.branches.get(&branch.spec.id).and_then(Truth::row);
    match (decision, branch.spec.direction, row) {
        (Decision::Commit, _, row) => {
            branch.share == Share::In && matches!(row, Some(RowSeen::Stale))
        }
        (Decision::Abort, Direction::Reversible, _)
        | (
            Decision::Abort,
            Direction::ForwardOnly,
            Some(RowSeen::Absent | RowSeen::Cancelled { .. } | RowSeen::NullCancelled),
        ) => false,
        (Decision::Abort, Direction::ForwardOnly, Some(_) | None) => true,
    }
}
