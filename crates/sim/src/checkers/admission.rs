//! Bounded: what is open never passes its limits; of bytes, begins leave the last eighth to what is
//! open already. The coordinator counts more than is counted here: replies, and what has ended and
//! is not yet durable.

use super::Judgement;
use crate::evidence::{Evidence, begun};
use crate::model::{Case, Ledger};
use std::collections::BTreeSet;
use wholly_core::branch::BranchSpec;
use wholly_core::effect::Content;
use wholly_core::ids::Body;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    let Evidence::Appended(draft) = evidence else { return Ok(()) };
    let bytes_max = ledger.limits.open_bytes_max;
    if let Some((gid, begun)) = begun(draft) {
        let open = ledger.open().count() + 1;
        if open > ledger.limits.open_max {
            return Err(format!("{gid} began, and {open} are open"));
        }
        return fits(ledger, begun.start.branches(), bytes_max - bytes_max / 8);
    }
    let Content::Transaction { records, .. } = &draft.content else { return Ok(()) };
    match records.iter().map(|record| record.fact.branches()).find(|added| !added.is_empty()) {
        Some(added) => fits(ledger, added, bytes_max),
        None => Ok(()),
    }
}

/// Whether these branches fit beside those of what is open.
fn fits(ledger: &Ledger, branches: &[BranchSpec], bytes_max: usize) -> Judgement {
    let cases = || ledger.open().filter_map(|gid| ledger.case(gid));
    if bytes_max < SMALL_BYTES && !branches.is_empty() {
        let held: usize = cases().flat_map(payloads).map(Body::len).sum();
        let more: usize = branches.iter().map(|branch| branch.payload.len()).sum();
        if more > 0 && held + more > bytes_max {
            return Err(format!("{more} bytes come to {held}, of {bytes_max}"));
        }
    }
    let there = |payload: &Body| ledger.wanted(payload).map(|(_, wanted)| wanted.participant);
    if ledger.limits.destinations_max < crate::world::PARTICIPANTS {
        let held = cases().flat_map(payloads).filter_map(there);
        let more = branches.iter().filter_map(|branch| there(&branch.payload));
        let named: BTreeSet<usize> = held.chain(more).collect();
        if named.len() > ledger.limits.destinations_max {
            return Err(format!("what is open names {named:?}"));
        }
    }
    Ok(())
}

/// Limits above it are never met in a run.
const SMALL_BYTES: usize = 1 << 20;

fn payloads(case: &Case) -> impl Iterator<Item = &Body> {
    case.order.iter().map(|(_, _, payload)| payload)
}
