//! Unknown is neither success nor failure: nothing is claimed of a branch without evidence in the
//! participant's books, and nothing is handed on that might be answered otherwise.

use super::Judgement;
use crate::evidence::{Evidence, document};
use crate::model::{Case, Ledger, TriedOr, Truth};
use wholly_core::branch::{Branch, First, Kept, Mode, Op, Second, Share};
use wholly_core::document::{Document, Response, TryAnswer};
use wholly_core::effect::Call;
use wholly_core::ids::{Body, BranchId};
use wholly_core::input::Request;
use wholly_core::record::Decision;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    if let Evidence::Replied { request, reply, .. } = evidence {
        if let (Request::Register(register), Ok(Response::Registered { branch, answer, .. })) =
            (request, reply)
        {
            let case = ledger.case_of(&register.gid, register.begun);
            let truth = case.and_then(|case| case.branches.get(branch));
            try_answer(branch, answer, truth)?;
        }
        if let Some(document) = document(reply) {
            claims(ledger, document)?;
        }
    }
    if let Evidence::Called { call, .. } = evidence {
        recorded_replies(ledger, call)?;
        same_call(ledger, call)?;
    }
    Ok(())
}

fn has_first(truth: Option<&Truth>) -> bool {
    truth.is_some_and(|truth| truth.first.is_some())
}

fn try_answer(branch: &BranchId, answer: &TryAnswer, truth: Option<&Truth>) -> Judgement {
    let told = truth.and_then(|truth| truth.told);
    // Told done, it may be told refused after a crash: by another process of the participant that
    // has no such operation. Told refused, it stays so.
    if told == Some(TriedOr::Refused) && TriedOr::of(answer) == Some(TriedOr::Done) {
        return Err(format!("{branch} was told refused, then done"));
    }
    match answer {
        TryAnswer::Done { .. } if !has_first(truth) => {
            Err(format!("{branch} was told done, and had no effect"))
        }
        TryAnswer::Refused(refusal) if refusal.kept == Kept::Kept && stands(truth) => {
            Err(format!("{branch} was told refused for good, and its effect stands"))
        }
        TryAnswer::Done { .. } | TryAnswer::Refused(_) | TryAnswer::Unknown => Ok(()),
    }
}

fn stands(truth: Option<&Truth>) -> bool {
    truth.is_some_and(Truth::stands)
}

/// What a document says of its branches is so in the participants' books.
fn claims(ledger: &Ledger, document: &Document) -> Judgement {
    let case = ledger.case_of(&document.gid, document.begun);
    let Some(case) = case else { return Ok(()) };
    for branch in &document.branches {
        branch_claim(case, document, branch)
            .map_err(|what| format!("{} {}: {what}", document.gid, branch.spec.id))?;
    }
    Ok(())
}

fn branch_claim(case: &Case, document: &Document, branch: &Branch) -> Judgement {
    let truth = case.branches.get(&branch.spec.id);
    match &branch.first {
        First::Done { .. } if !has_first(truth) => return Err("said done, and never was".into()),
        First::Refused(refusal) if refusal.kept == Kept::Kept && stands(truth) => {
            return Err("said refused for good, and its effect stands".into());
        }
        First::Done { .. } | First::Refused(_) | First::Unknown => {}
    }
    let decision = match document.decision {
        Some(decision) => decision,
        None => return Ok(()),
    };
    let follows = decision == Decision::Commit && branch.share == Share::In;
    // An operator who commits what a restore left undecided says that it was tried.
    let is_claimed = !case.is_by_operator() && !case.leaves_in_doubt(branch);
    if follows && branch.spec.mode == Mode::Tcc && !has_first(truth) && is_claimed {
        return Err("committed without any evidence that it was tried".into());
    }
    match (&branch.second, follows) {
        (Second::Done, true) => match branch.spec.mode {
            Mode::Tcc if truth.and_then(|truth| truth.second) != Some(Op::Confirm) => {
                Err("said confirmed, and is not".into())
            }
            Mode::Tcc | Mode::Saga => Ok(()),
        },
        (Second::Done, false) if stands(truth) => Err("said undone, and its effect stands".into()),
        (Second::Done | Second::Pending | Second::Resolved(_), _) => Ok(()),
    }
}

/// What is handed on is what the log says was replied.
fn recorded_replies(ledger: &Ledger, call: &Call) -> Judgement {
    let own = call.reply.as_ref().map(|reply| (&call.branch, reply));
    let read = call.replies.iter().map(|(id, reply)| (id, reply));
    for (id, reply) in read.chain(own) {
        let recorded = ledger.truth(&call.gid, id).and_then(|truth| truth.reply.as_ref());
        match recorded {
            Some((_, recorded)) if recorded == reply => {}
            Some(_) => return Err(format!("{} {id} replied otherwise", call.gid)),
            None if reply.is_empty() => {}
            None => return Err(format!("{} {id} has not replied", call.gid)),
        }
    }
    Ok(())
}

/// Of a step that an operator resolved no reply may be left: whoever reads it had one before.
fn reads_the_same(ledger: &Ledger, call: &Call, before: &[(BranchId, Body)]) -> bool {
    let resolved =
        |id: &BranchId| ledger.truth(&call.gid, id).is_some_and(|truth| truth.resolved.is_some());
    let kept = before.iter().all(|read| call.replies.contains(read) || resolved(&read.0));
    kept && call.replies.iter().all(|read| before.contains(read) || resolved(&read.0))
}

/// Every sending of one call carries the same: what was read from an earlier reply can no more
/// change once it has been handed on. A compensation is handed what is known when it leaves.
fn same_call(ledger: &Ledger, call: &Call) -> Judgement {
    let Some(truth) = ledger.truth(&call.gid, &call.branch) else { return Ok(()) };
    let before = truth.carried.iter().find(|(op, _, _)| *op == call.op);
    match before {
        Some((_, payload, _)) if *payload != call.payload => {
            Err(format!("{:?} of {} {} changed its payload", call.op, call.gid, call.branch))
        }
        Some((_, _, replies))
            if call.op == Op::Action && !reads_the_same(ledger, call, replies) =>
        {
            Err(format!("{:?} of {} {} changed what it reads", call.op, call.gid, call.branch))
        }
        Some(_) | None => Ok(()),
    }
}
