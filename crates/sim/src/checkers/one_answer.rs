//! One answer: no client gets two different final answers, and unknown only before a final one.

use super::Judgement;
use crate::evidence::Evidence;
use crate::model::{Ledger, Past, is_issued, purpose};
use wholly_core::branch::Share;
use wholly_core::document::{Arrival, Document, Response};
use wholly_core::ids::Gid;
use wholly_core::input::{Request, Wait};
use wholly_core::record::{Decision, PhaseName};
use wholly_core::rejection::Rejection;
use wholly_core::time::Timestamp;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    if let Evidence::Replied { request, reply, .. } = evidence {
        known_stays_known(ledger, request, reply)?;
        outcome_stays(ledger, reply)?;
        match reply {
            Ok(Response::Begun { gid, begun, .. }) => {
                same_begin(ledger, gid, *begun)?;
                same_body(ledger, gid, request)?;
            }
            Ok(response) => {
                own_capability(request, response)?;
                good_answer(ledger, request, response)?;
            }
            Err(_) => {}
        }
    }
    if let Evidence::Audited { gid, reply: Err(rejection) } = evidence
        && let Some(told) = ledger.case(gid).and_then(|case| case.told)
        && !is_forgotten(ledger, gid)
        && !ledger.is_gone(gid)
    {
        return Err(format!("{gid} was told {told:?}, in the end {rejection:?}"));
    }
    Ok(())
}

/// After a final answer nobody hears that there is no such transaction.
fn known_stays_known(
    ledger: &Ledger,
    request: &Request,
    reply: &Result<Response, Rejection>,
) -> Judgement {
    let Some(gid) = request.gid() else { return Ok(()) };
    let case = ledger.case(gid).filter(|case| case.past != Past::Gone);
    let Some(told) = case.and_then(|case| case.told) else { return Ok(()) };
    if is_forgotten(ledger, gid) {
        return Ok(());
    }
    match reply {
        Err(Rejection::GidUnknown { .. } | Rejection::OutcomeForgotten { .. }) => {
            Err(format!("{gid} was told {told:?}, then unknown"))
        }
        Ok(Response::Begun { freshness, .. })
            if *freshness == wholly_core::document::Freshness::Created =>
        {
            Err(format!("{gid} was told {told:?}, then begun"))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_forgotten(ledger: &Ledger, gid: &Gid) -> bool {
    ledger.case(gid).is_some_and(|case| ledger.may_be_forgotten(case))
}

fn outcome_stays(ledger: &Ledger, reply: &Result<Response, Rejection>) -> Judgement {
    let Some(document) = crate::evidence::document(reply) else { return Ok(()) };
    let case = ledger.case_of(&document.gid, document.begun);
    let told = case.and_then(|case| case.told_outcome);
    match (told, document.outcome) {
        (Some(told), outcome) if Some(told) != outcome => {
            Err(format!("{} ended {told:?}, then {outcome:?}", document.gid))
        }
        (Some(_) | None, _) => Ok(()),
    }
}

/// The capability is of the begin that the log knows.
fn same_begin(ledger: &Ledger, gid: &Gid, begun: Timestamp) -> Judgement {
    match ledger.case(gid).and_then(|case| case.begun) {
        Some(known) if known == begun => Ok(()),
        known => Err(format!("{gid} was begun at {known:?}, and {begun} was answered")),
    }
}

/// Whoever repeats a begin is given its capability only for the same key and body.
fn same_body(ledger: &Ledger, gid: &Gid, request: &Request) -> Judgement {
    let Request::Begin(begin) = request else { return Ok(()) };
    let known = ledger.case(gid).and_then(|case| case.key.as_ref());
    match (known, &begin.key) {
        (None, None) => Ok(()),
        (Some(known), Some(asked)) if known == asked => Ok(()),
        (known, asked) => Err(format!("{gid} begun with {known:?} was given for {asked:?}")),
    }
}

/// A capability opens the transaction it was given for, and no other under the same gid.
fn own_capability(request: &Request, response: &Response) -> Judgement {
    let held = match request {
        Request::Register(register) => Some(register.begun),
        Request::Commit(commit) => Some(commit.begun),
        Request::Abort(abort) => Some(abort.begun),
        Request::Begin(_)
        | Request::Submit(_)
        | Request::Get { .. }
        | Request::Calls { .. }
        | Request::Operate(_) => None,
    };
    let opened = match response {
        Response::Registered { mark, .. } => Some(mark.begun),
        Response::Transaction { document, .. } => Some(document.begun),
        Response::Begun { .. } | Response::Submitted { .. } | Response::Calls(_) => None,
    };
    match (held, opened) {
        (Some(held), Some(opened)) if held != opened => {
            Err(format!("a capability of {held} opened the transaction of {opened}"))
        }
        (Some(_) | None, _) => Ok(()),
    }
}

/// A good answer says what was asked for.
fn good_answer(ledger: &Ledger, request: &Request, response: &Response) -> Judgement {
    match (request, response) {
        (Request::Commit(commit), Response::Transaction { document, arrival }) => {
            decided_as(document, Decision::Commit)?;
            as_named(ledger, commit, document)?;
            arrived(document, *arrival, commit.wait)
        }
        (Request::Abort(abort), Response::Transaction { document, arrival }) => {
            decided_as(document, Decision::Abort)?;
            arrived(document, *arrival, abort.wait)
        }
        (Request::Get { wait, .. }, Response::Transaction { document, arrival }) => {
            arrived(document, *arrival, *wait)
        }
        (Request::Submit(submit), Response::Submitted { document, arrival, .. }) => {
            same_plan(submit, document)?;
            arrived(document, *arrival, submit.wait)
        }
        (Request::Begin(_), Response::Begun { .. })
        | (Request::Register(_), Response::Registered { .. })
        | (Request::Calls { .. }, Response::Calls(_))
        | (Request::Operate(_), Response::Transaction { .. }) => Ok(()),
        (request, response) => Err(format!("{response:?} is no answer to {request:?}")),
    }
}

fn decided_as(document: &Document, wanted: Decision) -> Judgement {
    match document.decision {
        Some(decision) if decision != wanted => {
            Err(format!("{wanted:?} of {} was answered well, yet it is {decision:?}", document.gid))
        }
        Some(_) | None => Ok(()),
    }
}

/// Who commits is told yes only if what it saw done is in, and what it saw refused is out. Of two
/// initiators the second may be told of what the first named, so this is asked of those gids
/// alone that have one.
fn as_named(
    ledger: &Ledger,
    commit: &wholly_core::input::Commit,
    document: &Document,
) -> Judgement {
    if !is_issued(&document.gid) {
        return Ok(());
    }
    // What an initiator named to a log that is lost, a restored one cannot know: rows and an
    // operator told it what is in.
    if ledger.case(&document.gid).is_some_and(|case| case.past == Past::Undecided) {
        return Ok(());
    }
    for branch in &document.branches {
        let named = match (commit.tried.contains(&branch.spec.id), branch.share) {
            (true, Share::Out | Share::Untouched) => Some("tried, and is out"),
            (true, Share::In) => None,
            (false, Share::In) if commit.refused.contains(&branch.spec.id) => {
                Some("refused, and is in")
            }
            (false, Share::In | Share::Out | Share::Untouched) => None,
        };
        if let Some(named) = named {
            let (gid, id) = (&document.gid, &branch.spec.id);
            return Err(format!("commit of {gid} was answered well: {id} was named {named}"));
        }
    }
    Ok(())
}

fn arrived(document: &Document, arrival: Arrival, wait: Wait) -> Judgement {
    let there = match (arrival, wait) {
        (Arrival::NotYet, _) | (Arrival::Arrived, Wait::No) => true,
        (Arrival::Arrived, Wait::Decided { .. }) => document.decision.is_some(),
        (Arrival::Arrived, Wait::Ended { .. }) => document.state == PhaseName::Ended,
    };
    match there {
        true => Ok(()),
        false => Err(format!("{wait:?} of {} was answered before it came", document.gid)),
    }
}

/// Whoever submitted a plan is shown that plan, not another one under its gid.
fn same_plan(submit: &wholly_core::input::Submit, document: &Document) -> Judgement {
    let asked = submit.steps.first().and_then(|step| purpose(&step.payload)).map(|p| p.0);
    let shown = document.branches.first().and_then(|b| purpose(&b.spec.payload)).map(|p| p.0);
    match asked == shown {
        true => Ok(()),
        false => Err(format!("{} was answered with another plan", document.gid)),
    }
}
