//! The turn: after it no step starts; what may have been called is compensated in order; and
//! nothing is called that nobody wanted, or too early.

use super::Judgement;
use crate::evidence::{Evidence, Took};
use crate::model::{Case, Form, Intent, Ledger, Truth, purpose};
use wholly_core::branch::{Direction, Mode, Op};
use wholly_core::effect::Call;
use wholly_core::ids::BranchId;
use wholly_core::record::Decision;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    if let Evidence::Called { call, .. } = evidence {
        called(ledger, call)?;
    }
    if let Evidence::Took(took) = evidence {
        match took.op {
            Op::Compensate => compensated_in_order(ledger, took)?,
            Op::Action => not_after_compensation(ledger, took)?,
            Op::Try | Op::Confirm | Op::Cancel | Op::Inspect => {}
        }
    }
    Ok(())
}

fn called(ledger: &Ledger, call: &Call) -> Judgement {
    let Call { gid, branch, op, .. } = call;
    let unaccounted = ledger.case(gid).is_some_and(Case::is_unaccounted);
    match (*op == Op::Inspect, unaccounted) {
        (true, true) => return Ok(()),
        (false, true) => {
            return Err(format!("{op:?} of {gid} {branch} left, and its past is lost"));
        }
        (true, false) => {
            return Err(format!("{gid} {branch} was inspected, and its past is known"));
        }
        (false, false) => {}
    }
    let Some((intent, wanted)) = ledger.wanted(&call.payload) else {
        return Err(format!("{op:?} of {gid} {branch} that nobody wanted"));
    };
    if wanted.id != *branch {
        return Err(format!("{op:?} of {gid} {branch} with the payload of {}", wanted.id));
    }
    let Some(case) = ledger.case(gid) else { return Ok(()) };
    if case.branches.get(branch).is_some_and(Truth::waits_for_operator) {
        return Err(format!("{op:?} of {gid} {branch} left, and it waits for an operator"));
    }
    let decided = case.decided.map(|(_, decision, _)| decision);
    let fits = match (op, wanted.mode, decided) {
        (Op::Try, Mode::Tcc, None) => true,
        (Op::Action, Mode::Saga, None) => wanted.direction == Direction::Reversible,
        (Op::Action, Mode::Saga, Some(Decision::Commit)) => {
            wanted.direction == Direction::ForwardOnly
        }
        (Op::Confirm, Mode::Tcc, Some(Decision::Commit)) => true,
        (Op::Cancel, Mode::Tcc, Some(_)) => true,
        (Op::Compensate, Mode::Saga, Some(_)) => wanted.direction == Direction::Reversible,
        (Op::Try | Op::Action | Op::Confirm | Op::Cancel | Op::Compensate | Op::Inspect, _, _) => {
            false
        }
    };
    if !fits {
        return Err(format!("{op:?} of {gid} {branch} left when decided {decided:?}"));
    }
    match (op, intent.form) {
        (Op::Action, Form::Plan) => after_its_predecessors(ledger, case, call),
        (_, Form::Plan | Form::Open) => Ok(()),
    }
}

fn after_its_predecessors(ledger: &Ledger, case: &Case, call: &Call) -> Judgement {
    let Some((intent, wanted)) = ledger.wanted(&call.payload) else { return Ok(()) };
    for ordinal in &wanted.after {
        let earlier = &intent.branches[*ordinal].id;
        if case.branches.get(earlier).is_none_or(|t| t.first.is_none() && t.resolved.is_none()) {
            return Err(format!("{} {} left before {earlier}", call.gid, call.branch));
        }
    }
    // Of a step that an operator had to resolve there may be no reply.
    let resolved = |id: &BranchId| case.branches.get(id).is_some_and(|t| t.resolved.is_some());
    let reads = wanted.reads.iter().map(|at| &intent.branches[*at].id);
    let read: Vec<_> = reads.filter(|id| !resolved(id)).collect();
    let handed: Vec<_> = call.replies.iter().map(|(id, _)| id).collect();
    let complete = read.iter().all(|id| handed.contains(id));
    match complete {
        true => Ok(()),
        false => Err(format!("{} {} reads {read:?}, was handed {handed:?}", call.gid, call.branch)),
    }
}

/// Whether one step of a plan comes after another, directly or through others.
fn follows(intent: &Intent, later: usize, earlier: usize) -> bool {
    let after = &intent.branches[later].after;
    after.iter().any(|at| *at == earlier || follows(intent, *at, earlier))
}

/// A step is taken back only once everything that had to come before that is.
fn compensated_in_order(ledger: &Ledger, took: &Took) -> Judgement {
    let Some(case) = ledger.case(&took.gid) else { return Ok(()) };
    let Some((number, ordinal)) = purpose(&took.payload) else { return Ok(()) };
    let intent = &ledger.intents[number];
    match intent.form {
        Form::Plan => {
            for (later, wanted) in intent.branches.iter().enumerate() {
                let open = case.branches.get(&wanted.id).is_some_and(must_go_first);
                if open && follows(intent, later, ordinal) {
                    return Err(format!(
                        "{} {} was compensated before {}",
                        took.gid, took.branch, wanted.id
                    ));
                }
            }
            Ok(())
        }
        // A commit takes back what was refused, whatever stands beside it.
        Form::Open if !is_aborted(case) => Ok(()),
        Form::Open => {
            let place = case.order.iter().position(|(id, _, _)| *id == took.branch);
            for (id, mode, payload) in case.order.iter().skip(place.map_or(0, |at| at + 1)) {
                let there = ledger.wanted(payload).map(|(_, wanted)| wanted.participant);
                let open = case.branches.get(id).is_some_and(must_go_first);
                if open && *mode == Mode::Saga && there == Some(took.participant) {
                    return Err(format!(
                        "{} {} was compensated before {id}, registered later",
                        took.gid, took.branch
                    ));
                }
            }
            Ok(())
        }
    }
}

/// Its effect stands, and no operator has said otherwise.
fn must_go_first(truth: &Truth) -> bool {
    truth.stands() && truth.resolved.is_none()
}

fn is_aborted(case: &Case) -> bool {
    case.decided.is_some_and(|(_, decision, _)| decision == Decision::Abort)
}

/// No step takes effect on the ground of one that was taken back before.
fn not_after_compensation(ledger: &Ledger, took: &Took) -> Judgement {
    let Some(case) = ledger.case(&took.gid) else { return Ok(()) };
    let Some((number, ordinal)) = purpose(&took.payload) else { return Ok(()) };
    let intent = &ledger.intents[number];
    // An operator who says how a step stands vouches that no call of it is under way.
    let vouched = case.branches.get(&took.branch).is_some_and(|truth| truth.vouched);
    if intent.form == Form::Open || vouched {
        return Ok(());
    }
    for (earlier, wanted) in intent.branches.iter().enumerate() {
        let back = case.branches.get(&wanted.id).is_some_and(|truth| truth.second.is_some());
        if back && follows(intent, ordinal, earlier) {
            return Err(format!(
                "{} {} took effect after {} was compensated",
                took.gid, took.branch, wanted.id
            ));
        }
    }
    Ok(())
}
