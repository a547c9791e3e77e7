//! Atomic: in the end all branches stand, or none does, as everybody was told.

use super::Judgement;
use crate::evidence::{Evidence, document};
use crate::model::{Case, Form, Ledger, Past, Truth};
use wholly_core::branch::{Branch, Mode, Op, Resolution, Second, Share};
use wholly_core::document::Document;
use wholly_core::ids::Gid;
use wholly_core::record::{Decision, Outcome};

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    if let Evidence::Audited { gid, reply } = evidence {
        let known = ledger.case(gid).filter(|case| case.past != Past::Gone);
        let Some(case) = known else { return Ok(()) };
        whole_in_the_books(ledger, case).map_err(|what| format!("{gid} {what}"))?;
        match document(reply) {
            Some(document) => {
                whole(ledger, case, document).map_err(|what| format!("{gid} {what}"))?;
            }
            None if ledger.may_be_forgotten(case) => {}
            None => nothing_happened(gid, case)?,
        }
    }
    if let Evidence::Over(_) = evidence {
        for (gid, case) in &ledger.past {
            whole_in_the_books(ledger, case).map_err(|what| format!("{gid} {what}"))?;
        }
    }
    Ok(())
}

/// Of a gid that the coordinator knows nothing of, no participant has heard.
fn nothing_happened(gid: &Gid, case: &Case) -> Judgement {
    match case.branches.iter().find(|(_, truth)| truth.first.is_some()) {
        Some((branch, _)) => Err(format!("{gid} is not known, and {branch} took effect")),
        None => Ok(()),
    }
}

/// Measured by what was told and by the participants' books alone.
fn whole_in_the_books(ledger: &Ledger, case: &Case) -> Judgement {
    let decision = case.told.or(case.decided.map(|(_, decision, _)| decision));
    for (id, truth) in &case.branches {
        let payload = truth.first.as_ref();
        let wanted = payload.and_then(|payload| ledger.wanted(payload));
        let Some((intent, wanted)) = wanted.filter(|_| truth.resolved.is_none()) else { continue };
        if is_unheard_of(case, truth) {
            continue;
        }
        let right = match (decision, intent.form, wanted.mode) {
            (Some(Decision::Abort) | None, _, _) => !truth.stands(),
            (Some(Decision::Commit), Form::Plan, _) => truth.stands(),
            (Some(Decision::Commit), Form::Open, Mode::Tcc) => truth.second.is_some(),
            (Some(Decision::Commit), Form::Open, Mode::Saga) => true,
        };
        if !right {
            return Err(format!("was decided {decision:?}; {id} stands: {}", truth.stands()));
        }
    }
    Ok(())
}

/// A branch that was registered after a copy that was put back: the log has lost it.
fn is_unheard_of(case: &Case, truth: &Truth) -> bool {
    case.past == Past::Undecided && truth.registered.is_none()
}

fn whole(ledger: &Ledger, case: &Case, document: &Document) -> Judgement {
    let decision = document.decision.ok_or("has ended without a decision")?;
    let outcome = outcome(decision, document);
    if document.outcome != Some(outcome) {
        return Err(format!("ended {:?}, where {outcome:?} is known", document.outcome));
    }
    for branch in &document.branches {
        let truth = case.branches.get(&branch.spec.id).cloned().unwrap_or_default();
        branch_is_whole(decision, branch, &truth)
            .map_err(|what| format!("was decided {decision:?}: {} {what}", branch.spec.id))?;
    }
    for (id, truth) in &case.branches {
        let shown = document.branches.iter().any(|branch| branch.spec.id == *id);
        if truth.stands() && !shown && !is_unheard_of(case, truth) {
            return Err(format!("does not know of {id}, which took effect"));
        }
    }
    complete(ledger, document, decision)
}

fn share(decision: Decision, branch: &Branch) -> Share {
    match decision {
        Decision::Commit => branch.share,
        Decision::Abort => Share::Out,
    }
}

/// As decided, unless an operator had to say otherwise.
fn outcome(decision: Decision, document: &Document) -> Outcome {
    let mut outcome = Outcome::AsDecided;
    for branch in &document.branches {
        let Second::Resolved(resolution) = branch.second else { continue };
        let differs = match (resolution, share(decision, branch)) {
            (Resolution::Unknown, _) => {
                outcome = if outcome == Outcome::Mixed { outcome } else { Outcome::Hazard };
                continue;
            }
            (Resolution::Applied, Share::In) => false,
            (Resolution::NotApplied, Share::In) => true,
            (Resolution::Applied, Share::Out | Share::Untouched) => true,
            (Resolution::NotApplied, Share::Out | Share::Untouched) => false,
        };
        if differs {
            outcome = Outcome::Mixed;
        }
    }
    outcome
}

fn branch_is_whole(decision: Decision, branch: &Branch, truth: &Truth) -> Judgement {
    if let Second::Resolved(_) = branch.second {
        return Ok(());
    }
    match (share(decision, branch), branch.spec.mode) {
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
