//! Slots and lanes: how many calls are in flight, all together and per destination, and who is
//! next.

use super::entry::Slot;
use crate::ids::{BranchIndex, CallId, Destination};
use crate::mutants::{self, Mutant};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

/// So many sendings in a row without an answer make a destination silent. Once it answers again,
/// each answer wakes a few of those that wait, until none does.
const SILENT_AFTER: u32 = 3;
/// So many: it doubles what is under way after an outage, and keeps a busy one from a storm.
const WOKEN_PER_ANSWER: usize = 2;

/// All lanes.
#[derive(Clone, Default, Hash)]
pub(super) struct Lanes {
    lanes: BTreeMap<Destination, Lane>,
    /// Lanes that have a call and a slot for it, in turn.
    ready: VecDeque<Destination>,
    calls: BTreeMap<CallId, (Slot, BranchIndex, Destination)>,
    limits: BTreeMap<Destination, usize>,
    queued: usize,
}

/// One destination's.
#[derive(Clone, Default, Hash)]
struct Lane {
    queue: VecDeque<(Slot, BranchIndex)>,
    in_flight: usize,
    /// Calls that wait to be sent again.
    waiting: BTreeSet<(Slot, BranchIndex)>,
    unanswered: u32,
    mood: Mood,
    turn: Turn,
}

/// Whether a destination has come back after a silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Mood {
    #[default]
    Steady,
    /// Some still wait from the time it was silent.
    Returning,
}

/// Whether a lane stands in the row of those that are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Turn {
    #[default]
    Out,
    In,
}

/// What an answer says of the one who gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sign {
    /// It answers.
    Life,
    /// It does not, or not in words we understand.
    Silence,
}

impl Lanes {
    /// Takes these limits in place of those before. Who waited for a slot is looked at again.
    pub(super) fn limit(&mut self, limits: impl IntoIterator<Item = (Destination, usize)>) {
        self.limits = limits.into_iter().collect();
        for (destination, lane) in &mut self.lanes {
            if lane.turn == Turn::Out && !lane.queue.is_empty() {
                lane.turn = Turn::In;
                self.ready.push_back(destination.clone());
            }
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Puts a call into its lane.
    pub(super) fn push(&mut self, destination: &Destination, call: (Slot, BranchIndex)) {
        if !self.lanes.contains_key(destination) {
            self.lanes.insert(destination.clone(), Lane::default());
        }
        let lane = self.lanes.get_mut(destination).expect("a lane was made for it");
        lane.queue.push_back(call);
        self.queued += 1;
        if lane.turn == Turn::Out {
            lane.turn = Turn::In;
            self.ready.push_back(destination.clone());
        }
    }

    /// The next call that has a slot, in turn of the destinations.
    pub(super) fn pop(
        &mut self,
        calls_max: usize,
        destination_calls_max: usize,
    ) -> Option<(Destination, (Slot, BranchIndex))> {
        if self.calls.len() >= calls_max {
            return None;
        }
        while let Some(destination) = self.ready.pop_front() {
            let lane = self.lanes.get_mut(&destination).expect("a ready lane exists");
            lane.turn = Turn::Out;
            let own = self.limits.get(&destination).copied().unwrap_or(destination_calls_max);
            let own = own + usize::from(mutants::is_on(Mutant::SlotTooMany));
            if lane.in_flight >= own {
                continue;
            }
            if let Some(call) = lane.queue.pop_front() {
                self.queued -= 1;
                if !lane.queue.is_empty() {
                    lane.turn = Turn::In;
                    self.ready.push_back(destination.clone());
                }
                return Some((destination, call));
            }
        }
        None
    }

    /// A call left.
    pub(super) fn sent(&mut self, id: CallId, call: (Slot, BranchIndex, Destination)) {
        if let Some(lane) = self.lanes.get_mut(&call.2) {
            lane.in_flight += 1;
        }
        self.calls.insert(id, call);
    }

    /// A call came back; none if it is not known.
    pub(super) fn came_back(&mut self, id: CallId) -> Option<(Slot, BranchIndex, Destination)> {
        self.calls.remove(&id)
    }

    /// Gives the slot of a call back, and says which calls its answer wakes.
    pub(super) fn free(
        &mut self,
        destination: &Destination,
        sign: Sign,
    ) -> Vec<(Slot, BranchIndex)> {
        let Some(lane) = self.lanes.get_mut(destination) else { return Vec::new() };
        lane.in_flight -= 1;
        if lane.turn == Turn::Out && !lane.queue.is_empty() {
            lane.turn = Turn::In;
            self.ready.push_back(destination.clone());
        }
        match sign {
            Sign::Silence => {
                lane.unanswered = lane.unanswered.saturating_add(1);
                Vec::new()
            }
            Sign::Life => lane.wake(),
        }
    }

    pub(super) fn wait(&mut self, destination: &Destination, call: (Slot, BranchIndex)) {
        if let Some(lane) = self.lanes.get_mut(destination) {
            lane.waiting.insert(call);
        }
    }

    pub(super) fn wait_over(&mut self, destination: &Destination, call: (Slot, BranchIndex)) {
        if let Some(lane) = self.lanes.get_mut(destination) {
            lane.waiting.remove(&call);
        }
    }

    /// Lets go of a lane in which nothing is left.
    pub(super) fn tidy(&mut self, destination: &Destination) {
        let idle = self.lanes.get(destination).is_some_and(|lane| {
            lane.queue.is_empty()
                && lane.in_flight == 0
                && lane.waiting.is_empty()
                && lane.turn == Turn::Out
        });
        if idle {
            self.lanes.remove(destination);
        }
    }
}

/// How the calls to one destination stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneGauges {
    /// Under way: slots in use.
    pub in_flight: usize,
    /// Slots that are free.
    pub free: usize,
    /// Waiting for a slot.
    pub queued: usize,
    /// Waiting to be sent again.
    pub waiting: usize,
}

impl Lanes {
    /// Every destination with something left to do, as it stands.
    pub(super) fn gauges(
        &self,
        destination_calls_max: usize,
    ) -> impl Iterator<Item = (&Destination, LaneGauges)> {
        self.lanes.iter().map(move |(destination, lane)| {
            let slots = self.limits.get(destination).copied().unwrap_or(destination_calls_max);
            let gauges = LaneGauges {
                in_flight: lane.in_flight,
                free: slots.saturating_sub(lane.in_flight),
                queued: lane.queue.len(),
                waiting: lane.waiting.len(),
            };
            (destination, gauges)
        })
    }
}

impl Lane {
    /// It answered: some of those that wait since its silence are woken.
    fn wake(&mut self) -> Vec<(Slot, BranchIndex)> {
        if self.unanswered >= SILENT_AFTER {
            self.mood = Mood::Returning;
        }
        self.unanswered = 0;
        let mut woken = Vec::new();
        while self.mood == Mood::Returning && woken.len() < WOKEN_PER_ANSWER {
            match self.waiting.pop_first() {
                Some(call) => woken.push(call),
                None => self.mood = Mood::Steady,
            }
        }
        woken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes whatever has a slot, as the driver does; says how many calls that were.
    fn send(lanes: &mut Lanes, from: u64) -> u64 {
        let mut sent = 0;
        while let Some((destination, (slot, branch))) = lanes.pop(100, 4) {
            lanes.sent(CallId(from + sent), (slot, branch, destination));
            sent += 1;
        }
        sent
    }

    #[test]
    fn limits_are_replaced_whole_and_at_once() {
        let stock = Destination::new("stock").unwrap();
        let mut lanes = Lanes::default();
        for branch in 0..20 {
            lanes.push(&stock, (Slot::default(), BranchIndex(branch)));
        }
        let mut sent = 0;
        let mut check = |limits: &[(&str, usize)], expected: u64| {
            let limits = limits.iter().map(|(name, max)| (Destination::new(name).unwrap(), *max));
            lanes.limit(limits);
            let more = send(&mut lanes, sent);
            assert_eq!(more, expected);
            sent += more;
        };
        check(&[("stock", 1)], 1);
        check(&[("stock", 1)], 0);
        check(&[("stock", 3), ("points", 1)], 2);
        // What is not named has the default back; what is above its limit gets no more.
        check(&[("points", 1)], 1);
        check(&[("stock", 2)], 0);
        check(&[], 0);
        assert_eq!((lanes.in_flight(), lanes.queued()), (4, 16));
    }
}
