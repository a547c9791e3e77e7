//! No effect before its version is durable: measured at the platter, not at the driver's word.

use super::Judgement;
use crate::evidence::{Evidence, document};
use crate::model::{Case, Ledger};
use wholly_core::branch::{Branch, Op, Second};
use wholly_core::document::Document;
use wholly_core::effect::Proof;
use wholly_core::ids::{BranchId, Gid, Position};

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    if let Evidence::Called { call, platter } = evidence {
        proven(call.proof, *platter)?;
        call_is_durable(ledger, (&call.gid, &call.branch), call.op, *platter)?;
    }
    if let Evidence::Replied { reply, proof, platter, .. } = evidence {
        proven(*proof, *platter)?;
        if let Some(document) = document(reply) {
            told_is_durable(ledger, document, *platter)?;
        }
    }
    if let Evidence::Recovered { position, worst, .. } = evidence {
        if *position < ledger.needed {
            let needed = ledger.needed;
            return Err(format!("something left that needed {needed:?}; {position:?} is left"));
        }
        if worst < position {
            return Err(format!("{position:?} was found, {worst:?} is on the platter"));
        }
    }
    Ok(())
}

fn proven(proof: Proof, platter: Position) -> Judgement {
    if proof.needed > proof.durable {
        return Err(format!("left needing {:?} with {:?} durable", proof.needed, proof.durable));
    }
    on_platter("an effect left", Some(proof.needed), platter)
}

fn on_platter(what: &str, needed: Option<Position>, platter: Position) -> Judgement {
    match needed {
        Some(needed) if needed <= platter => Ok(()),
        Some(needed) => Err(format!("{what} that needs {needed:?}; on the platter {platter:?}")),
        None => Err(format!("{what} of which the log that survived has no record")),
    }
}

/// What a document tells is on the platter.
fn told_is_durable(ledger: &Ledger, document: &Document, platter: Position) -> Judgement {
    let Some(case) = ledger.case_of(&document.gid, document.begun) else {
        return Err(format!("{} was told of a begin nobody made", document.gid));
    };
    if document.decision.is_some() {
        let at = case.decided.map(|(at, _, _)| at);
        on_platter("a decision was told", at, platter)?;
    }
    for branch in &document.branches {
        operators_word_is_durable(case, branch, platter)?;
    }
    if document.outcome.is_some() {
        on_platter("an end was told", case.ended.map(|(at, _, _)| at), platter)?;
    }
    Ok(())
}

/// Once somebody is told what an operator said of a branch, it stays said.
fn operators_word_is_durable(case: &Case, branch: &Branch, platter: Position) -> Judgement {
    match branch.second {
        Second::Resolved(_) => {
            let resolved = case.branches.get(&branch.spec.id).and_then(|truth| truth.resolved);
            on_platter("an operator's word was told", resolved.map(|(at, _)| at), platter)
        }
        Second::Pending | Second::Done => Ok(()),
    }
}

fn call_is_durable(
    ledger: &Ledger,
    (gid, branch): (&Gid, &BranchId),
    op: Op,
    platter: Position,
) -> Judgement {
    let case = ledger.case(gid).ok_or_else(|| format!("a call of {gid}, which is unknown"))?;
    let registered = case.branches.get(branch).and_then(|truth| truth.registered);
    on_platter("a call left for a branch", registered, platter)?;
    match op {
        Op::Try | Op::Action | Op::Inspect => Ok(()),
        Op::Confirm | Op::Cancel | Op::Compensate => {
            on_platter("a decision was carried out", case.decided.map(|(at, _, _)| at), platter)
        }
    }
}
