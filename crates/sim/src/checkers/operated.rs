//! Operators are heard: what rests is not called, nothing begins while the intake is closed, and
//! nobody is turned away for that once it is open again.

use super::Judgement;
use crate::coordinator::participant_of;
use crate::evidence::{Evidence, begun};
use crate::model::{Intake, Ledger};
use wholly_core::effect::Call;
use wholly_core::rejection::Rejection;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    if let Evidence::Called { call, .. } = evidence
        && ledger.resting.contains(&participant_of(call))
    {
        let Call { op, gid, branch, .. } = &**call;
        return Err(format!("{op:?} of {gid} {branch} left, and its destination rests"));
    }
    if let Evidence::Appended(draft) = evidence
        && ledger.intake != Intake::Open
        && let Some((gid, _)) = begun(draft)
    {
        return Err(format!("{gid} began, and the intake is {:?}", ledger.intake));
    }
    if let Evidence::Replied { request, reply: Err(Rejection::Draining), .. } = evidence
        && ledger.intake == Intake::Open
    {
        return Err(format!("{request:?} was turned away, and the intake is open"));
    }
    Ok(())
}
