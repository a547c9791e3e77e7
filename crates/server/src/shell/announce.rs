//! What the program's own log hears of transactions.

use wholly_core::effect::{Content, Draft};
use wholly_core::record::{Fact, Outcome, Record};

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
