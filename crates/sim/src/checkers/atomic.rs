//! Atomic: in the end all branches stand, or none does, as everybody was told.

use super::Judgement;
use crate::model::{Case, Evidence, Form, Ledger, Truth, document};
use wholly_core::branch::{Branch, Mode, Op, Share};
use wholly_core::document::Document;
use wholly_core::ids::Gid;
use wholly_core::record::{Decision, Outcome};

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    match evidence {
        Evidence::Audited { gid, reply } => match (ledger.case(gid), document(reply)) {
            (Some(case), Some(document)) => {
                whole(ledger, case, document).map_err(|what| format!("{gid} {what}"))
            }
            (Some(case), None) => nothing_happened(gid, case),
            (None, _) => Ok(()),
        },
        Evidence::Appended(_)
        | Evidence::Called { .. }
        | Evidence::Replied { .. }
        | Evidence::Took(_)
        | Evidence::Closed { .. }
        | Evidence::Illegal { .. }
        | Evidence::Recovered { .. }
        | Evidence::Over(_) => Ok(()),
    }
}

/// Of a gid that the coordinator knows nothing of, no participant has heard.
fn nothing_happened(gid: &Gid, case: &Case) -> Judgement {
    match case.branches.iter().find(|(_, truth)| truth.first.is_some()) {
        Some((branch, _)) => Err(format!("{gid} is not known, and {branch} took effect")),
        None => Ok(()),
    }
}

fn whole(ledger: &Ledger, case: &Case, document: &Document) -> Judgement {
    if document.outcome != Some(Outcome::AsDecided) {
        return Err(format!("ended {:?} though no participant broke its word", document.outcome));
    }
    let decision = document.decision.ok_or("has ended without a decision")?;
    for branch in &document.branches {
        let truth = case.branches.get(&branch.spec.id).cloned().unwrap_or_default();
        branch_is_whole(decision, branch, &truth)
            .map_err(|what| format!("was decided {decision:?}: {} {what}", branch.spec.id))?;
    }
    for (id, truth) in &case.branches {
        let shown = document.branches.iter().any(|branch| branch.spec.id == *id);
        if truth.stands() && !shown {
            return Err(format!("does not know of {id}, which took effect"));
        }
    }
    complete(ledger, document, decision)
}

fn branch_is_whole(decision: Decision, branch: &Branch, truth: &Truth) -> Judgement {
    let share = match decision {
        Decision::Commit => branch.share,
        Decision::Abort => Share::Out,
    };
    match (share, branch.spec.mode) {
        (Share::In, Mode::Tcc) => match (truth.first.is_some(), truth.second) {
            (true, Some(Op::Confirm)) => Ok(()),
            (tried, second) => Err(format!("is tried: {tried}, then {second:?}")),
        },
        (Share::In, Mode::Saga) if truth.stands() => Ok(()),
        (Share::In, Mode::Saga) => Err("does not stand".into()),
        (Share::Out, _) if truth.stands() => Err("was not taken back".into()),
        (Share::Untouched, _) if truth.first.is_some() => Err("was touched".into()),
        (Share::Out | Share::Untouched, _) => Ok(()),
    }
}

/// A plan that was committed did all it names.
fn complete(ledger: &Ledger, document: &Document, decision: Decision) -> Judgement {
    let first = document.branches.first().and_then(|b| ledger.wanted(&b.spec.payload));
    let Some((intent, _)) = first else { return Ok(()) };
    if intent.form == Form::Open || decision == Decision::Abort {
        return Ok(());
    }
    let all_in = document.branches.iter().all(|branch| branch.share == Share::In);
    match all_in && document.branches.len() == intent.branches.len() {
        true => Ok(()),
        false => Err("was committed without all its steps".into()),
    }
}
