//! Watch: what a shell can see by itself of the driver's bounds: calls in flight, clocks.

use std::collections::BTreeMap;
use wholly_core::branch::Op;
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{BranchId, CallId, Gid};
use wholly_core::limits::Limits;
use wholly_core::record::{Cause, Fact, Record};
use wholly_core::time::{Instant, Now};

/// A call that left and was not answered.
pub(crate) struct Flight {
    pub(crate) gid: Gid,
    pub(crate) branch: BranchId,
    pub(crate) to: usize,
    pub(crate) op: Op,
}

/// The clocks as the process saw them last.
#[derive(Default)]
pub(crate) struct Watch {
    seen: Option<Now>,
    hold_until: Instant,
}

impl Flight {
    /// Whether one more call fits the limits, and is the only one of its branch.
    pub(crate) fn may_join(
        &self,
        others: &BTreeMap<CallId, Flight>,
        limits: &Limits,
    ) -> Result<(), String> {
        let Flight { gid, branch, to, op: _ } = self;
        let there = others.values().filter(|other| other.to == *to).count();
        if others.len() >= limits.calls_max || there >= limits.destination_calls_max {
            return Err(format!("{gid} {branch} is one call too many: {there} there"));
        }
        match others.values().any(|other| other.gid == *gid && other.branch == *branch) {
            true => Err(format!("{gid} {branch} is called while it is being called")),
            false => Ok(()),
        }
    }
}

impl Watch {
    /// Whether the wall clock went forward further than time did, by more than is believed.
    pub(crate) fn sees_jump(&mut self, clocks: Now, limits: &Limits) -> bool {
        let seen = self.seen.replace(clocks).unwrap_or(clocks);
        let wall = clocks.wall.since_ms(seen.wall);
        let passed = clocks.monotonic.since_ms(seen.monotonic);
        let jumped = wall.saturating_sub(passed) > limits.clock_jump_ms_max;
        if jumped {
            self.hold_until = clocks.monotonic.plus_ms(limits.clock_jump_grace_ms);
        }
        jumped
    }

    /// Until when a jump is waited out.
    pub(crate) fn held_until(&self) -> Instant {
        self.hold_until
    }

    /// No transaction is aborted by its deadline while a jump is waited out.
    pub(crate) fn judge(&self, draft: &Draft) -> Result<(), String> {
        let Content::Transaction { gid, records, .. } = &draft.content else { return Ok(()) };
        let held = self.seen.is_some_and(|clocks| clocks.monotonic < self.hold_until);
        let by_deadline =
            |record: &Record| matches!(record.fact, Fact::Decided { cause: Cause::Deadline, .. });
        match held && records.iter().any(by_deadline) {
            true => Err(format!("{gid} was aborted by its deadline right after a clock jump")),
            false => Ok(()),
        }
    }
}
