//! Operators are heard: what rests is not called, nothing begins while the intake is closed, and
//! nobody is turned away for that once it is open again.

use super::Judgement;
use crate::coordinator::participant_of;
use crate::evidence::Evidence;
use crate::model::{Intake, Ledger};
use wholly_core::rejection::Rejection;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    match evidence {
        Evidence::Called { call, .. } => match ledger.resting.contains(&participant_of(call)) {
            true => Err(format!(
                "{:?} of {} {} left, and its destination rests",
                call.op, call.gid, call.branch
            )),
            false => Ok(()),
        },
        Evidence::Appended(draft) => match (ledger.intake, super::admission::begun(draft)) {
            (Intake::Closed | Intake::Stopping, Some((gid, _))) => {
                Err(format!("{gid} began, and the intake is {:?}", ledger.intake))
            }
            (Intake::Open | Intake::Closed | Intake::Stopping, _) => Ok(()),
        },
        Evidence::Replied { request, reply: Err(Rejection::Draining), .. } => match ledger.intake {
            Intake::Open => Err(format!("{request:?} was turned away, and the intake is open")),
            Intake::Closed | Intake::Stopping => Ok(()),
        },
        Evidence::Replied { .. }
        | Evidence::Took(_)
        | Evidence::Closed { .. }
        | Evidence::Illegal { .. }
        | Evidence::Stale { .. }
        | Evidence::Operated(_)
        | Evidence::Restored { .. }
        | Evidence::Recovered { .. }
        | Evidence::Over(_)
        | Evidence::Audited { .. }
        | Evidence::Asked(_)
        | Evidence::Heard { .. }
        | Evidence::Woken { .. } => Ok(()),
    }
}
