//! What operators see and do that concerns no single transaction: destinations that rest, a
//! coordinator that is drained, and how all of it stands. None of it is written down here: whoever
//! starts a driver says it again.

use super::entry::{Entry, Line, Slot, Stage};
use super::{Driver, Intake};
use crate::branch::{Branch, Standing as BranchStanding, StuckReason};
use crate::document::{AgeBand, Attempts, Calls, Counts, IntakeStanding, Pause, Standing};
use crate::ids::{Destination, Text};
use crate::mutants::{self, Mutant};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Ages by which the backlog is told.
const AGES_MS: [Option<u64>; 5] =
    [Some(10_000), Some(60_000), Some(600_000), Some(3_600_000), None];

impl Driver {
    /// Calls to a destination are held until it is resumed; those in flight come back as ever.
    /// Says whether there is room for one more that rests.
    pub fn pause(&mut self, destination: &Destination, pause: Pause) -> bool {
        self.lanes.pause(destination, pause, self.limits.destinations_max)
    }

    /// Calls to a destination leave again, with the next step; says whether it rested.
    pub fn resume(&mut self, destination: &Destination) -> bool {
        if mutants::is_on(Mutant::ResumeIgnored) {
            return false;
        }
        self.lanes.resume(destination)
    }

    /// Takes no new transactions, until it is told otherwise; what is open goes on.
    pub fn close_intake(&mut self) {
        if self.intake == Intake::Open && !mutants::is_on(Mutant::DrainIgnored) {
            self.intake = Intake::Drained;
        }
    }

    /// Takes new transactions again, unless the coordinator is being stopped.
    pub fn open_intake(&mut self) {
        if self.intake == Intake::Drained && !mutants::is_on(Mutant::DrainedForEver) {
            self.intake = Intake::Open;
        }
    }

    /// How everything stands.
    pub fn standing(&self) -> Standing {
        let mut backlog = AGES_MS
            .map(|age_ms_max| AgeBand { age_ms_max, open: 0, forward: 0, finishing: 0 })
            .to_vec();
        let mut counts = Counts::default();
        for aged in self.ages(self.now) {
            let within = |band: &&mut AgeBand| band.age_ms_max.is_none_or(|max| aged.age_ms <= max);
            let band = backlog.iter_mut().find(within).expect("the last age has no end");
            band.open += aged.open;
            band.forward += aged.forward;
            band.finishing += aged.finishing;
            counts.open.add(aged.open, aged.age_ms);
            counts.forward.add(aged.forward, aged.age_ms);
            counts.finishing.add(aged.finishing, aged.age_ms);
        }
        let mut stuck: BTreeMap<String, usize> = BTreeMap::new();
        if self.census.stuck() > 0 {
            let open = self.begun.iter().map(|(_, slot)| &self.slots.entry(*slot).transaction);
            for open in open.filter(|open| !open.is_ended()) {
                let is_stuck = open.branches.iter().any(Branch::is_stuck);
                let age_ms = self.now.wall.since_ms(open.begun);
                counts.stuck.add(usize::from(is_stuck), age_ms);
                for why in open.branches.iter().filter_map(why_stuck) {
                    *stuck.entry(why).or_default() += 1;
                }
            }
        }
        Standing {
            intake: match self.intake {
                Intake::Open => IntakeStanding::Open,
                Intake::Drained => IntakeStanding::Drained,
                Intake::Stopping => IntakeStanding::Stopping,
            },
            counts,
            backlog,
            stuck: stuck.iter().map(|(why, count)| (Text::cut(why), *count)).collect(),
            destinations: self.lanes.standing(&self.limits, self.now),
        }
    }

    /// An operator wants to see what a transaction's destinations say: their probes are due.
    pub(super) fn probe_for(&mut self, slot: Slot) {
        let transaction = &self.slots.entry(slot).transaction;
        let names = transaction.branches.iter().map(|branch| branch.spec.destination.clone());
        for destination in names.collect::<Vec<_>>() {
            if let Some((slot, index)) = self.lanes.probe_at_once(&destination) {
                self.send_again(slot, index);
            }
        }
    }

    /// How the calls of a transaction stand.
    pub(super) fn attempts(&self, entry: &Entry) -> Calls {
        let row = |(at, line): (usize, &Line)| {
            let spec = &entry.transaction.branches[at].spec;
            let (op, next_ms) = match line.stage {
                Stage::Waiting(op, (until, _)) => (op, Some(until.since_ms(self.now.monotonic))),
                Stage::Queued(op) => (op, Some(0)),
                Stage::InFlight(op, _) => (op, None),
                // What is held follows from what is not durable: nobody hears of it.
                Stage::Held(_) | Stage::Idle => return None,
            };
            Some(Attempts {
                branch: spec.id.clone(),
                op,
                attempts: line.attempts,
                next_ms,
                last: self.last_of(line, &spec.destination),
            })
        };
        Calls {
            gid: entry.transaction.gid.clone(),
            branches: entry.lines.iter().enumerate().filter_map(row).collect(),
            stuck: entry.transaction.first_stuck().map(|(id, why)| (id.clone(), why.clone())),
        }
    }

    /// What came of a branch's last call, or what keeps its first one.
    fn last_of(&self, line: &Line, destination: &Destination) -> Text {
        match line.stage {
            Stage::InFlight(..) | Stage::Held(_) | Stage::Idle => line.last.clone(),
            Stage::Queued(_) | Stage::Waiting(..) if self.lanes.is_paused(destination) => {
                Text::cut("its destination is paused by an operator")
            }
            Stage::Queued(_) | Stage::Waiting(..)
                if line.last.is_empty() && self.lanes.is_silent(destination) =>
            {
                Text::cut("nothing comes back from its destination; it is probed")
            }
            Stage::Queued(_) | Stage::Waiting(..) => line.last.clone(),
        }
    }
}

/// Why a branch waits for an operator, in a word.
fn why_stuck(branch: &Branch) -> Option<String> {
    match &branch.standing {
        BranchStanding::Free => None,
        BranchStanding::Stuck(StuckReason::Refused { refusal, .. }) => {
            Some(String::from(refusal.code.as_str()))
        }
        BranchStanding::Stuck(StuckReason::Parked { .. }) => Some(String::from("parked")),
        BranchStanding::Stuck(StuckReason::Restored { .. }) => Some(String::from("restored")),
    }
}
