//! Capability: nothing is done to a transaction that nobody asked for who may.

use super::Judgement;
use crate::evidence::Evidence;
use crate::model::{Case, Form, Ledger};
use crate::wishes::Wish;
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::Gid;
use wholly_core::input::Action;
use wholly_core::record::{Begun, Cause, Decision, Fact, Start};
use wholly_core::time::Timestamp;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    let Evidence::Appended(draft) = evidence else { return Ok(()) };
    appended(ledger, draft)
}

fn appended(ledger: &Ledger, draft: &Draft) -> Judgement {
    let Content::Transaction { gid, records, .. } = &draft.content else { return Ok(()) };
    let mut form = ledger.case(gid).and_then(|case| case.form);
    let mut begun = ledger.case(gid).and_then(|case| case.begun);
    for record in records {
        if let Fact::Begun(fact) = &record.fact {
            (form, begun) = (form_of(fact), Some(fact.begun));
        }
        let begun = begun.ok_or_else(|| format!("{gid} has a record, and no begin"))?;
        if !is_asked_for(ledger, (gid, begun), form, &record.fact) {
            return Err(format!("nobody who may asked {gid} of {begun} for {:?}", record.fact));
        }
    }
    Ok(())
}

fn form_of(begun: &Begun) -> Option<Form> {
    match begun.start {
        Start::Open { .. } => Some(Form::Open),
        Start::Plan { .. } => Some(Form::Plan),
        Start::Lost => None,
    }
}

fn is_asked_for(
    ledger: &Ledger,
    (gid, begun): (&Gid, Timestamp),
    form: Option<Form>,
    fact: &Fact,
) -> bool {
    let wishes = &ledger.wishes;
    let by_operator = |is: fn(&Action) -> bool| wishes.of_operator(gid, is);
    match fact {
        // A begin needs no capability; it is what gives one. Whoever shows the capability of a
        // begin that was lost is told that it has ended.
        Fact::Begun(fact) => match fact.start {
            Start::Open { .. } | Start::Plan { .. } => true,
            Start::Lost => wishes.holds_any(gid, begun),
        },
        Fact::Registered(spec) => {
            let wish = Wish::Register(spec.id.clone(), spec.payload.clone());
            wishes.holds(gid, begun, &wish)
        }
        Fact::Decided { decision, cause, .. } => match (decision, cause, form) {
            (Decision::Commit, Cause::Operator, _) => by_operator(|a| *a == Action::Commit),
            // A row proves that somebody decided so, whoever asked for it then.
            (Decision::Abort, Cause::Unknown, _) if is_undecided(ledger, gid) => true,
            (Decision::Commit, _, Some(Form::Open)) => wishes.holds(gid, begun, &Wish::Commit),
            (Decision::Commit, _, Some(Form::Plan) | None) => true,
            (Decision::Abort, Cause::Initiator, _) => wishes.holds(gid, begun, &Wish::Abort),
            (Decision::Abort, Cause::Operator, _) => by_operator(|a| *a == Action::Abort),
            (Decision::Abort, Cause::Unknown, Some(Form::Open)) => {
                wishes.holds(gid, begun, &Wish::Commit)
            }
            (Decision::Abort, Cause::Unknown, Some(Form::Plan) | None) => true,
            (Decision::Abort, Cause::Refusal | Cause::Deadline, _) => true,
        },
        Fact::Retried { .. } => by_operator(|a| matches!(a, Action::Retry { .. })),
        Fact::Parked { .. } => by_operator(|a| *a == Action::Park),
        Fact::Resolved { .. } => by_operator(|a| matches!(a, Action::Resolve { .. })),
        Fact::Restored | Fact::Inspected { .. } => is_undecided(ledger, gid),
        Fact::Answered { .. } | Fact::Stuck { .. } | Fact::Ended { .. } => true,
    }
}

/// Whether a restore left it undecided, and nothing has decided it since.
fn is_undecided(ledger: &Ledger, gid: &Gid) -> bool {
    ledger.case(gid).is_some_and(Case::is_unaccounted)
}
