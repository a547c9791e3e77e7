//! The mark: what a call says of its age is so, and what it says is over has ended durably.

use super::Judgement;
use crate::evidence::Evidence;
use crate::model::{Case, Ledger};
use wholly_core::effect::Call;
use wholly_core::ids::Position;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    let Evidence::Called { call, platter } = evidence else { return Ok(()) };
    marked(ledger, call, *platter)
}

fn marked(ledger: &Ledger, call: &Call, platter: Position) -> Judgement {
    let limit = call.mark.limit;
    let known = ledger.case(&call.gid).and_then(|case| case.begun);
    if known != Some(call.mark.begun) {
        return Err(format!("{} begun at {known:?} is marked {}", call.gid, call.mark.begun));
    }
    // The limit is the begin of the oldest one whose end is not durable, less the retention time.
    let oldest = limit.plus_ms(ledger.limits.retention_ms);
    if limit <= ledger.limit_told || ledger.begun_min.is_none_or(|begun| oldest <= begun) {
        return Ok(());
    }
    let is_over = |case: &Case| case.ended.is_some_and(|(at, _, _)| at <= platter);
    // A begin that was lost in a crash may be settled at any time after: nobody was called.
    let known = |case: &Case| !case.order.is_empty();
    let below = |case: &Case| case.begun.is_some_and(|begun| begun < oldest);
    let mut cases = ledger.cases.iter();
    match cases.find(|(_, case)| below(case) && known(case) && !is_over(case)) {
        Some((gid, _)) => {
            Err(format!("a call says that all before {oldest} is over; {gid} is not"))
        }
        None => Ok(()),
    }
}
