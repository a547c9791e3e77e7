//! Bounded: what is open never passes its limits; of bytes, begins leave the last eighth to what is
//! open already. The coordinator counts more than is counted here: replies, and what has ended and
//! is not yet durable.

use super::Judgement;
use crate::evidence::Evidence;
use crate::model::{Case, Ledger};
use std::collections::BTreeSet;
use wholly_core::branch::BranchSpec;
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Body, Gid};
use wholly_core::record::{Fact, Start};

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    match evidence {
        Evidence::Appended(draft) => {
            let bytes_max = ledger.limits.open_bytes_max;
            match (begun(draft), registered(draft)) {
                (Some((gid, branches)), _) => {
                    let open = ledger.open().count() + 1;
                    if open > ledger.limits.open_max {
                        return Err(format!("{gid} began, and {open} are open"));
                    }
                    fits(ledger, branches, bytes_max - bytes_max / 8)
                }
                (None, Some(branch)) => fits(ledger, std::slice::from_ref(branch), bytes_max),
                (None, None) => Ok(()),
            }
        }
        Evidence::Called { .. }
        | Evidence::Replied { .. }
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

/// What a draft begins, if it begins something that can be refused.
pub(super) fn begun(draft: &Draft) -> Option<(&Gid, &[BranchSpec])> {
    let Content::Transaction { gid, records, .. } = &draft.content else { return None };
    let Some(Fact::Begun(begun)) = records.first().map(|record| &record.fact) else { return None };
    match &begun.start {
        Start::Open { branches, .. } | Start::Plan { steps: branches, .. } => Some((gid, branches)),
        Start::Lost => None,
    }
}

fn registered(draft: &Draft) -> Option<&BranchSpec> {
    let Content::Transaction { records, .. } = &draft.content else { return None };
    records.iter().find_map(|record| {
        if let Fact::Registered(spec) = &record.fact { Some(spec) } else { None }
    })
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
