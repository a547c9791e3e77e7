//! Watch: what a shell can see by itself of the driver: calls in flight, clocks, and that those
//! who wait for a destination are called once it answers again.

use std::collections::BTreeMap;
use wholly_core::branch::{Answer, Op};
use wholly_core::driver::LaneGauges;
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{BranchId, CallId, Destination, Gid, Position};
use wholly_core::input::Input;
use wholly_core::limits::Limits;
use wholly_core::record::{Cause, Fact, Record};
use wholly_core::time::{Instant, Now};

/// A call that left and was not answered.
pub(crate) struct Flight {
    pub(crate) gid: Gid,
    pub(crate) branch: BranchId,
    pub(crate) to: usize,
    pub(crate) op: Op,
    /// The last position that was appended before it left.
    pub(crate) appended: Position,
}

/// The clocks as the process saw them last.
#[derive(Default)]
pub(crate) struct Watch {
    seen: Option<Now>,
    hold_until: Instant,
}

/// Silences after which an answer wakes those who wait.
const SILENT_AFTER: u32 = 3;
/// How many it must wake, if any wait.
const WOKEN_MIN: usize = 1;

/// Slots that a destination has at the least once it has answered.
const ALLOWED_MIN: usize = 2;

/// What was heard of each participant in this life, and which calls wait to be sent again.
#[derive(Default)]
pub(crate) struct Silences(BTreeMap<usize, Silence>);

#[derive(Default)]
struct Silence {
    unanswered: u32,
    waiting: Vec<(Gid, BranchId)>,
    /// How often a call left, or what waited came to want something else.
    left: u64,
    /// Calls in a row that came to nothing.
    silent: u64,
    /// The one call that may be out while nothing comes back.
    probe: Option<CallId>,
    /// Slots since an outage: one more with each answer; none if there was no outage.
    slots: Option<usize>,
    rest: Rest,
}

/// Whether an operator lets a destination rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rest {
    #[default]
    None,
    Paused,
}

impl Silences {
    /// A call came to an end: a silence grows, or is over.
    pub(crate) fn ends(&mut self, id: CallId, flight: &Flight, input: &Input, limits: &Limits) {
        let silence = self.0.entry(flight.to).or_default();
        let silent = silence.silent >= limits.breaker_silent_max;
        if matches!(input, Input::Silent { .. }) {
            silence.probe = silence.probe.filter(|probe| *probe != id);
            silence.silent += u64::from(!silent);
            return;
        }
        if silent {
            silence.slots = Some(1);
        }
        let slots = silence.slots.map(|slots| slots + 1);
        silence.slots = slots.filter(|slots| *slots < limits.destination_calls_max);
        (silence.silent, silence.probe) = (0, None);
    }

    /// An operator lets a participant rest, or has it called again.
    pub(crate) fn rests(&mut self, participant: usize, rest: Rest) {
        self.0.entry(participant).or_default().rest = rest;
    }

    /// Of what nothing open names any more it is forgotten how it answered.
    pub(crate) fn forget_unless<I: Iterator<Item = usize>>(&mut self, named: impl Fn() -> I) {
        for (participant, silence) in &mut self.0 {
            let kept = silence.silent > 0 || silence.slots.is_some();
            if kept && !named().any(|one| one == *participant) {
                (silence.silent, silence.probe, silence.slots) = (0, None, None);
            }
        }
    }

    /// A call came back, after the last record of its transaction: how many calls to the same
    /// participant must have left before anything else happens, if slots are free.
    pub(crate) fn hears(&mut self, flight: &Flight, input: &Input, recorded: Position) -> u64 {
        let silence = self.0.entry(flight.to).or_default();
        if !is_silence(input) {
            let woken = match std::mem::take(&mut silence.unanswered) {
                SILENT_AFTER.. if silence.rest == Rest::None => {
                    silence.waiting.len().min(WOKEN_MIN)
                }
                0.. => 0,
            };
            return silence.left + woken as u64;
        }
        silence.unanswered += 1;
        // What was recorded meanwhile may want something else, or nothing.
        if recorded <= flight.appended {
            silence.waiting.push((flight.gid.clone(), flight.branch.clone()));
        } else if silence.waiting.is_empty() {
            silence.unanswered = 0;
        }
        silence.left
    }

    /// How often a call to a participant left, or waited for nothing any more.
    pub(crate) fn left(&self, participant: usize) -> u64 {
        self.0.get(&participant).map_or(0, |silence| silence.left)
    }

    /// A call leaves, beside others: none does while a probe is out, and after an outage no more
    /// than slots are back.
    pub(crate) fn leaves(
        &mut self,
        (id, flight): (CallId, &Flight),
        others: &BTreeMap<CallId, Flight>,
        limits: &Limits,
    ) -> Result<(), String> {
        let silence = self.0.entry(flight.to).or_default();
        let Flight { gid, branch, to, .. } = flight;
        let mut judgement = Ok(());
        if silence.silent >= limits.breaker_silent_max {
            if silence.probe.replace(id).is_some() {
                judgement = Err(format!("{gid} {branch} left for {to}, and its probe is out"));
            }
        } else if let Some(slots) = silence.slots {
            let there = others.values().filter(|other| other.to == *to).count();
            if there >= slots {
                judgement = Err(format!("{gid} {branch} left for {to}, {there} are there"));
            }
        }
        silence.left += 1;
        let own = |(gid, branch): &(Gid, BranchId)| *gid == flight.gid && *branch == flight.branch;
        silence.waiting.retain(|waiting| !own(waiting));
        judgement
    }

    /// Something was recorded of a transaction: what waited may wait for nothing any more. Where
    /// nobody waits, a silence may be forgotten.
    pub(crate) fn moves_on(&mut self, moved: &Gid) {
        for silence in self.0.values_mut() {
            let before = silence.waiting.len();
            silence.waiting.retain(|(gid, _)| gid != moved);
            silence.left += (before - silence.waiting.len()) as u64;
            if silence.waiting.is_empty() {
                silence.unanswered = 0;
            }
        }
    }
}

/// The participant of a lane that something open names: one that rests is among the lanes anyway.
pub(crate) fn named(destination: &Destination, lane: &LaneGauges) -> Option<usize> {
    let open = lane.branches + lane.in_flight + lane.queued + lane.waiting > 0;
    open.then(|| number_of(destination))
}

pub(crate) fn number_of(destination: &Destination) -> usize {
    let number = destination.as_str().strip_prefix('p').and_then(|n| n.parse().ok());
    number.expect("destinations of the simulator are numbered")
}

fn is_silence(input: &Input) -> bool {
    matches!(
        input,
        Input::Silent { .. }
            | Input::Answered { answer: Answer::Working | Answer::Unknown { .. }, .. }
    )
}

impl Flight {
    /// Whether one more call may leave for its destination: also after an outage, when slots come
    /// back one by one, and where a destination has to leave as many to others as it takes.
    pub(crate) fn has_room(&self, others: &BTreeMap<CallId, Flight>, limits: &Limits) -> bool {
        let there = others.values().filter(|other| other.to == self.to).count();
        let free = limits.calls_max.saturating_sub(others.len());
        let own = limits.destination_calls_max.min(ALLOWED_MIN);
        there < own.min(free)
    }

    /// Whether one more call fits the limits, and is the only one of its branch.
    pub(crate) fn may_join(
        &self,
        others: &BTreeMap<CallId, Flight>,
        limits: &Limits,
    ) -> Result<(), String> {
        let Flight { gid, branch, to, op: _, appended: _ } = self;
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
