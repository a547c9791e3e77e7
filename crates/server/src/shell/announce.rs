//! What the program's own log hears of transactions, and what whoever watches traces does.

use crate::spans::{About, Spans};
use wholly_core::effect::{Content, Draft};
use wholly_core::record::{Fact, Outcome, Record, Summary};
use wholly_wire::trace::TraceContext;

/// Tells the log of the program that a transaction began, was decided, ended. At debug: at the
/// default level, lines for every transaction would cost a good part of the throughput.
pub(super) fn announce(draft: &Draft) {
    let Content::Transaction { gid, records, .. } = &draft.content else { return };
    for Record { fact, .. } in records {
        match fact {
            Fact::Begun(begun) => tracing::debug!(%gid, name = %begun.name, "began"),
            Fact::Decided { decision, cause, .. } => {
                tracing::debug!(%gid, ?decision, ?cause, "decided");
            }
            Fact::Ended { outcome: Outcome::AsDecided } => tracing::debug!(%gid, "ended"),
            Fact::Ended { outcome: outcome @ (Outcome::Mixed | Outcome::Hazard) } => {
                tracing::warn!(%gid, ?outcome, "ended otherwise than decided");
            }
            Fact::Restored => {
                tracing::warn!(%gid, "undecided in a restored log: what was decided is not known");
            }
            Fact::Stuck { branch, .. } => {
                let branch = branch.0;
                tracing::warn!(%gid, branch, "a branch is stuck until an operator acts");
            }
            Fact::Registered(_)
            | Fact::Answered { .. }
            | Fact::Inspected { .. }
            | Fact::Retried { .. }
            | Fact::Parked { .. }
            | Fact::Resolved { .. } => {}
        }
    }
}

/// Makes the span of a transaction that has ended.
pub(super) fn traced(draft: &Draft, begun_in: Option<&TraceContext>, spans: &Spans) {
    let Content::Transaction { gid, records, summary, .. } = &draft.content else { return };
    let is_end = |record: &&Record| matches!(record.fact, Fact::Ended { .. });
    let Some(end) = records.iter().find(is_end) else { return };
    let Summary { name, begun, modes, decision, cause, outcome, .. } = summary;
    spans.transaction_ended(gid, begun_in, (*begun, end.at), || About::Transaction {
        gid: gid.clone(),
        name: name.clone(),
        modes: modes.clone(),
        decision: *decision,
        cause: *cause,
        outcome: outcome.expect("what has ended has an outcome"),
    });
}
