//! Sights: what a run has really met, so that a world too kind is noticed.

use crate::model::{Case, Ledger};
use crate::tally::{Sight, Tally};
use crate::watch::Flight;
use std::collections::BTreeMap;
use wholly_core::branch::{Op, Standing, StuckReason};
use wholly_core::document::{Arrival, Freshness, Response};
use wholly_core::effect::{Call, Content, Draft};
use wholly_core::ids::{CallId, Gid, Position};
use wholly_core::input::{Request, Wait};
use wholly_core::record::{Cause, Decision, Fact, Outcome, Start};
use wholly_core::rejection::Rejection;

/// What a draft shows.
pub(crate) fn of_draft(
    draft: &Draft,
    in_flight: &BTreeMap<CallId, Flight>,
    ledger: &Ledger,
    tally: &mut Tally,
) {
    let Content::Transaction { gid, records, .. } = &draft.content else { return };
    for record in records {
        match &record.fact {
            Fact::Begun(begun) if begun.start == Start::Lost => tally.sight(Sight::LostBegin),
            Fact::Decided { decision: Decision::Commit, out, cause, .. } => {
                tally.sight(Sight::Committed);
                of_accounted(gid, (Decision::Commit, *cause), ledger, tally);
                if !out.is_empty() {
                    tally.sight(Sight::CommittedWithout);
                }
            }
            Fact::Decided { decision: Decision::Abort, cause, .. } => {
                tally.sight(Sight::Aborted);
                of_accounted(gid, (Decision::Abort, *cause), ledger, tally);
                tally.sight(match cause {
                    Cause::Initiator => Sight::AbortedByInitiator,
                    Cause::Refusal => Sight::AbortedByRefusal,
                    Cause::Unknown => Sight::AbortedByUnknown,
                    Cause::Deadline => Sight::AbortedByDeadline,
                    Cause::Operator => Sight::AbortedByOperator,
                });
                let calls = in_flight.values().filter(|flight| flight.gid == *gid).count();
                if calls > 1 && is_plan(ledger, gid) {
                    tally.sight(Sight::TurnWithConcurrentSteps);
                }
            }
            Fact::Stuck { reason: StuckReason::Refused { .. }, .. } => tally.sight(Sight::Stuck),
            Fact::Parked { .. } => tally.sight(Sight::Parked),
            Fact::Retried { .. } => tally.sight(Sight::Retried),
            Fact::Resolved { .. } => tally.sight(Sight::Resolved),
            Fact::Begun(begun) if ledger.is_taken_by_another(gid, begun.begun) => {
                tally.sight(Sight::GidUsedAgain);
            }
            Fact::Restored => tally.sight(Sight::Unaccounted),
            Fact::Begun(_)
            | Fact::Inspected { .. }
            | Fact::Registered(_)
            | Fact::Answered { .. }
            | Fact::Stuck { .. }
            | Fact::Ended { .. } => {}
        }
    }
}

/// What the log has lost when a coordinator starts.
pub(crate) fn of_start(position: Position, ledger: &Ledger, tally: &mut Tally) {
    let cases = || ledger.cases.values();
    if cases().any(|case| case.decided.is_some_and(|(at, _, _)| at > position)) {
        tally.sight(Sight::DecisionLost);
    }
    if cases().any(|case| case.ended.is_some_and(|(at, _, _)| at > position)) {
        tally.sight(Sight::EndLost);
    }
}

/// What decided a transaction that a restore had left undecided.
fn of_accounted(
    gid: &Gid,
    (decision, cause): (Decision, Cause),
    ledger: &Ledger,
    tally: &mut Tally,
) {
    if ledger.case(gid).is_some_and(Case::is_unaccounted) {
        tally.sight(match (cause, decision) {
            (Cause::Operator, _) => Sight::AccountedByOperator,
            (Cause::Initiator | Cause::Refusal | Cause::Unknown | Cause::Deadline, decision) => {
                match decision {
                    Decision::Commit => Sight::CommitProven,
                    Decision::Abort => Sight::AbortProven,
                }
            }
        });
    }
}

fn is_plan(ledger: &Ledger, gid: &Gid) -> bool {
    let case = ledger.case(gid);
    let payload = case.and_then(|case| case.order.first()).map(|(_, _, payload)| payload);
    let wanted = payload.and_then(|payload| ledger.wanted(payload));
    wanted.is_some_and(|(intent, _)| intent.form == crate::model::Form::Plan)
}

/// What a call shows.
pub(crate) fn of_call(call: &Call, ledger: &Ledger, tally: &mut Tally) {
    match call.op {
        Op::Cancel | Op::Compensate => {
            let answered = ledger.truth(&call.gid, &call.branch).is_some_and(|t| t.answered);
            if !answered {
                tally.sight(Sight::UnansweredCompensated);
            }
        }
        Op::Try | Op::Action | Op::Confirm | Op::Inspect => {}
    }
}

/// What a reply shows.
pub(crate) fn of_reply(request: &Request, reply: &Result<Response, Rejection>, tally: &mut Tally) {
    match reply {
        Ok(
            Response::Begun { freshness, .. }
            | Response::Registered { freshness, .. }
            | Response::Submitted { freshness, .. },
        ) if *freshness == Freshness::Repeated => tally.sight(Sight::Repeated),
        Ok(Response::Transaction { document, arrival }) => {
            let stuck = |branch: &wholly_core::branch::Branch| match &branch.standing {
                Standing::Stuck(StuckReason::Parked { .. }) => true,
                Standing::Stuck(StuckReason::Refused { .. } | StuckReason::Restored { .. })
                | Standing::Free => false,
            };
            if document.branches.iter().any(stuck) {
                tally.sight(Sight::SeenParked);
            }
            if *arrival == Arrival::NotYet {
                tally.sight(Sight::WaitOver);
            }
            let waited = matches!(request, Request::Get { wait: Wait::Ended { .. }, .. });
            if waited && *arrival == Arrival::Arrived {
                tally.sight(Sight::WaitedForEnd);
            }
            match document.outcome {
                Some(Outcome::Mixed) => tally.sight(Sight::Mixed),
                Some(Outcome::Hazard) => tally.sight(Sight::Hazard),
                Some(Outcome::AsDecided) | None => {}
            }
        }
        Ok(_) => {}
        Err(rejection) => of_rejection(rejection, tally),
    }
}

fn of_rejection(rejection: &Rejection, tally: &mut Tally) {
    match rejection {
        Rejection::GidTaken { .. } => tally.sight(Sight::GidTaken),
        Rejection::IdempotencyMismatch { .. } => tally.sight(Sight::IdempotencyMismatch),
        Rejection::BranchTaken { .. } => tally.sight(Sight::BranchTaken),
        Rejection::Decided { .. } => tally.sight(Sight::TooLate),
        Rejection::OutcomeForgotten { .. } => tally.sight(Sight::Forgotten),
        Rejection::Starting => tally.sight(Sight::Starting),
        Rejection::OpenFull { .. } => tally.sight(Sight::OpenFull),
        // Nothing in the simulated world comes near these.
        Rejection::LookupsFull { .. } | Rejection::InboxFull { .. } => {}
        Rejection::DestinationsFull { .. } => tally.sight(Sight::DestinationsFull),
        Rejection::OpenBytesFull { .. } => tally.sight(Sight::OpenBytesFull),
        Rejection::WaitersFull { .. } => tally.sight(Sight::WaitersFull),
        Rejection::Unaccounted { .. } => tally.sight(Sight::NotDecidedByClient),
        Rejection::Unreadable { .. }
        | Rejection::GidUnknown { .. }
        | Rejection::BranchUnknown { .. }
        | Rejection::BranchContradicted { .. }
        | Rejection::NotOpen { .. }
        | Rejection::PlanInvalid(_)
        | Rejection::BranchInvalid { .. }
        | Rejection::TooLarge { .. }
        | Rejection::NotStuck { .. }
        | Rejection::AlreadyEnded { .. }
        | Rejection::WrongPhase { .. } => {}
        Rejection::LogFull => tally.sight(Sight::LogFull),
        Rejection::Draining => tally.sight(Sight::Draining),
    }
}
