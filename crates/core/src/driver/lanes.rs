//! Slots and lanes: how many calls are in flight, all together and per destination, and who is
//! next.
//!
//! What keeps a dead destination from holding what a healthy one needs: it takes no more slots
//! than are left to the others; after so many calls that came to nothing it has one, for a probe;
//! and when it answers again, its slots come back with its answers.

use super::breaker::{Breaker, Moment, Outage, Probe};
use super::entry::Slot;
use super::slots::SlotRules;
use crate::document::{BreakerStanding, DestinationStanding, Pause};
use crate::ids::{BranchIndex, CallId, Destination};
use crate::limits::Limits;
use crate::mutants::{self, Mutant};
use crate::time::{Instant, Now};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

/// So many sendings in a row of which nothing was learned make a destination absent. Once it
/// answers again, each answer wakes a few of those that wait, until none does.
const ABSENT_AFTER: u32 = 3;
/// So many: it doubles what is under way after an outage, and keeps a busy one from a storm.
const WOKEN_PER_ANSWER: usize = 2;

/// So many calls that are not due any more may stand in a lane, however short it is.
const STALE_KEPT_MAX: usize = 64;

/// All lanes: one for each destination that a transaction names which is not over.
#[derive(Clone, Default, Hash)]
pub(super) struct Lanes {
    lanes: BTreeMap<Destination, Lane>,
    /// Lanes that have a call and perhaps a slot for it, in turn.
    ready: VecDeque<Destination>,
    /// Lanes that hold as many slots as are left to the others: they wait for any slot.
    held_back: VecDeque<Destination>,
    calls: BTreeMap<CallId, (Slot, BranchIndex, Destination)>,
    rules: SlotRules,
    /// When the next probe of a destination is due.
    probes: BTreeSet<(Instant, Destination)>,
    /// Destinations that an operator lets rest.
    paused: BTreeMap<Destination, Pause>,
    /// Calls in all queues, and those of them that are not due any more.
    queued: usize,
    stale: usize,
}

/// One destination's.
#[derive(Clone, Hash)]
struct Lane {
    queue: VecDeque<(Slot, BranchIndex)>,
    /// Calls in the queue that are not due any more.
    stale: usize,
    in_flight: usize,
    /// Calls that wait to be sent again.
    waiting: BTreeSet<(Slot, BranchIndex)>,
    unanswered: u32,
    mood: Mood,
    turn: Turn,
    breaker: Breaker,
    /// Slots since an outage: one more with each answer.
    allowance: usize,
    /// Slots that the configuration gives it.
    slots: Option<usize>,
    /// Branches of open transactions that name it.
    branches: usize,
}

impl Lane {
    fn new(slots: Option<usize>) -> Lane {
        Lane {
            queue: VecDeque::new(),
            stale: 0,
            in_flight: 0,
            waiting: BTreeSet::new(),
            unanswered: 0,
            mood: Mood::Steady,
            turn: Turn::Out,
            breaker: Breaker::default(),
            allowance: usize::MAX,
            slots,
            branches: 0,
        }
    }
}

/// Whether a destination has come back after it was absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Mood {
    #[default]
    Steady,
    /// Some still wait from the time it was absent.
    Returning,
}

/// Whether a lane stands in a row: of those that are ready, or of those held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Turn {
    #[default]
    Out,
    In,
}

/// What came of a call, as its destination goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sign {
    /// It answers.
    Life,
    /// It is there, yet still at work, or it speaks words that we do not understand.
    Murmur,
    /// Nothing came back.
    Silence,
}

impl Lanes {
    /// Takes these rules in place of those before. Who waited for a slot is looked at again.
    pub(super) fn rule(&mut self, rules: SlotRules) {
        self.rules = rules;
        for (destination, lane) in &mut self.lanes {
            lane.slots = self.rules.of(destination);
            lane.line_up(destination, &mut self.ready);
        }
    }

    /// How many stand in the longest lane, due or not.
    #[cfg(test)]
    pub(super) fn longest(&self) -> usize {
        self.lanes.values().map(|lane| lane.queue.len()).max().unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn queued(&self) -> usize {
        self.queued - self.stale
    }

    /// Destinations that are called by probes only.
    pub(super) fn silent(&self) -> usize {
        let open = |lane: &&Lane| matches!(lane.breaker, Breaker::Open(_));
        self.lanes.values().filter(open).count()
    }

    /// Whether these destinations make no more than so many.
    pub(super) fn has_room<'a>(
        &self,
        destinations: impl Iterator<Item = &'a Destination>,
        destinations_max: usize,
    ) -> bool {
        let further: BTreeSet<&Destination> =
            destinations.filter(|destination| !self.lanes.contains_key(*destination)).collect();
        let limitless = mutants::is_on(Mutant::DestinationsIgnored);
        limitless || further.is_empty() || self.lanes.len() + further.len() <= destinations_max
    }

    /// A branch of an open transaction names a destination.
    pub(super) fn claim(&mut self, destination: &Destination) {
        self.lane(destination).branches += 1;
    }

    /// Its transaction is over.
    pub(super) fn release(&mut self, destination: &Destination) {
        if let Some(lane) = self.lanes.get_mut(destination) {
            lane.branches -= 1;
            self.tidy(destination);
        }
    }

    fn lane(&mut self, destination: &Destination) -> &mut Lane {
        if !self.lanes.contains_key(destination) {
            let lane = Lane::new(self.rules.of(destination));
            self.lanes.insert(destination.clone(), lane);
        }
        self.lanes.get_mut(destination).expect("a lane was made for it")
    }

    /// Puts a call into its lane.
    pub(super) fn push(&mut self, destination: &Destination, call: (Slot, BranchIndex)) {
        self.lane(destination).queue.push_back(call);
        self.queued += 1;
        let lane = self.lanes.get_mut(destination).expect("a lane was made for it");
        lane.line_up(destination, &mut self.ready);
    }

    /// The next call that has a slot, in turn of the destinations.
    pub(super) fn pop(
        &mut self,
        calls_max: usize,
        destination_calls_max: usize,
    ) -> Option<(Destination, (Slot, BranchIndex))> {
        let free = calls_max.saturating_sub(self.calls.len());
        if free == 0 {
            return None;
        }
        while let Some(destination) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&destination) else { continue };
            lane.turn = Turn::Out;
            let own = lane.slots.unwrap_or(destination_calls_max).min(lane.allowance);
            let own = own + usize::from(mutants::is_on(Mutant::SlotTooMany));
            let rests =
                self.paused.contains_key(&destination) && !mutants::is_on(Mutant::PauseIgnored);
            if lane.in_flight >= own || rests || !lane.breaker.lets_through() {
                continue;
            }
            // It leaves to the others at least as many as it takes.
            if lane.in_flight >= free && !lane.queue.is_empty() {
                lane.turn = Turn::In;
                self.held_back.push_back(destination);
                continue;
            }
            if let Some(call) = lane.queue.pop_front() {
                self.queued -= 1;
                lane.line_up(&destination, &mut self.ready);
                return Some((destination, call));
            }
            self.tidy(&destination);
        }
        None
    }

    /// A call that stands in a lane is not due any more. Says whether more than half of the lane
    /// is such, so that it should be cleared of them: a lane may stand still for long.
    pub(super) fn goes_stale(&mut self, destination: &Destination) -> bool {
        let Some(lane) = self.lanes.get_mut(destination) else { return false };
        lane.stale += 1;
        self.stale += 1;
        lane.stale > STALE_KEPT_MAX && lane.stale > lane.queue.len() / 2
    }

    /// A call that came up was not due any more. It may have been a probe, or have been woken by
    /// an answer, of which nothing would come: so it gives its turn to one that waits.
    pub(super) fn was_stale(&mut self, destination: &Destination) -> Option<(Slot, BranchIndex)> {
        let lane = self.lanes.get_mut(destination)?;
        lane.stale -= 1;
        self.stale -= 1;
        let woken = match lane.breaker {
            Breaker::Closed { .. } => lane.wake_one(),
            Breaker::Open(_) if lane.queue.is_empty() => lane.waiting.pop_first(),
            Breaker::Open(_) => None,
        };
        if woken.is_none() {
            self.tidy(destination);
        }
        woken
    }

    /// Clears a lane of the calls that are not due; says which calls have their turn.
    pub(super) fn clear(
        &mut self,
        destination: &Destination,
        is_due: impl Fn(Slot, BranchIndex) -> bool,
    ) -> Vec<(Slot, BranchIndex)> {
        let Some(lane) = self.lanes.get_mut(destination) else { return Vec::new() };
        let mut kept = BTreeSet::new();
        let before = lane.queue.len();
        lane.queue.retain(|(slot, index)| is_due(*slot, *index) && kept.insert((*slot, *index)));
        let cleared = before - lane.queue.len();
        assert!(cleared == lane.stale, "what is stale in a lane is counted");
        self.queued -= cleared;
        self.stale -= cleared;
        lane.stale = 0;
        match lane.breaker {
            Breaker::Closed { .. } => lane.wake(),
            // Whatever would have been the probe is gone: it gives its turn to one that waits.
            Breaker::Open(_) if lane.queue.is_empty() && lane.breaker.lets_through() => {
                lane.waiting.pop_first().into_iter().collect()
            }
            Breaker::Open(_) => Vec::new(),
        }
    }

    /// A call left.
    pub(super) fn sent(&mut self, id: CallId, call: (Slot, BranchIndex, Destination)) {
        if let Some(lane) = self.lanes.get_mut(&call.2) {
            lane.in_flight += 1;
            lane.breaker.sent(id);
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
        (id, destination): (CallId, &Destination),
        sign: Sign,
        moment: Moment<'_>,
    ) -> Vec<(Slot, BranchIndex)> {
        self.ready.append(&mut self.held_back);
        let Some(lane) = self.lanes.get_mut(destination) else { return Vec::new() };
        lane.in_flight -= 1;
        let woken = match sign {
            Sign::Silence => {
                lane.unanswered = lane.unanswered.saturating_add(1);
                if let Some(at) = lane.breaker.silent(id, moment)
                    && !mutants::is_on(Mutant::ProbeNeverSent)
                {
                    self.probes.insert((at, destination.clone()));
                }
                Vec::new()
            }
            Sign::Murmur => {
                let woken = match lane.come_back() {
                    Some(outage) => {
                        rest_no_more(&mut self.probes, destination, outage);
                        lane.wake()
                    }
                    None => Vec::new(),
                };
                lane.unanswered = lane.unanswered.saturating_add(1);
                woken
            }
            Sign::Life => {
                if let Some(outage) = lane.come_back() {
                    rest_no_more(&mut self.probes, destination, outage);
                }
                if lane.unanswered >= ABSENT_AFTER {
                    lane.mood = Mood::Returning;
                }
                lane.unanswered = 0;
                lane.wake()
            }
        };
        lane.line_up(destination, &mut self.ready);
        woken
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

    /// When the next probe is due.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.probes.first().map(|(at, _)| *at)
    }

    /// Lets the probes go that are due by then; gives the calls that are to be sent for it, where
    /// none stands in the lane.
    pub(super) fn probe(&mut self, now: Instant) -> Vec<(Slot, BranchIndex)> {
        let mut called = Vec::new();
        while let Some((at, destination)) = self.probes.first().cloned() {
            if at > now {
                break;
            }
            called.extend(self.probe_at_once(&destination));
        }
        called
    }

    /// The next call to a destination is its probe, whatever the backoff says.
    pub(super) fn probe_at_once(
        &mut self,
        destination: &Destination,
    ) -> Option<(Slot, BranchIndex)> {
        let lane = self.lanes.get_mut(destination)?;
        let at = lane.breaker.due()?;
        self.probes.remove(&(at, destination.clone()));
        lane.line_up(destination, &mut self.ready);
        match lane.queue.is_empty() {
            true => lane.waiting.first().copied(),
            false => None,
        }
    }

    /// Lets a destination rest until it is resumed; says whether there is room for one more.
    pub(super) fn pause(
        &mut self,
        destination: &Destination,
        pause: Pause,
        destinations_max: usize,
    ) -> bool {
        let is_full = self.paused.len() >= destinations_max;
        if is_full && !self.paused.contains_key(destination) {
            return false;
        }
        self.paused.insert(destination.clone(), pause);
        true
    }

    /// A destination is called again; says whether it rested.
    pub(super) fn resume(&mut self, destination: &Destination) -> bool {
        let rested = self.paused.remove(destination).is_some();
        if let Some(lane) = self.lanes.get_mut(destination) {
            lane.line_up(destination, &mut self.ready);
        }
        rested
    }

    /// Whether an operator lets it rest.
    pub(super) fn is_paused(&self, destination: &Destination) -> bool {
        self.paused.contains_key(destination)
    }

    /// Whether it is called by probes only.
    pub(super) fn is_silent(&self, destination: &Destination) -> bool {
        let lane = self.lanes.get(destination);
        lane.is_some_and(|lane| matches!(lane.breaker, Breaker::Open(_)))
    }

    /// How each destination stands, by name; those that rest are among them.
    pub(super) fn standing(&self, limits: &Limits, now: Now) -> Vec<DestinationStanding> {
        let names: BTreeSet<&Destination> = self.lanes.keys().chain(self.paused.keys()).collect();
        let none = Lane::new(None);
        let show = |destination: &Destination| {
            let lane = self.lanes.get(destination).unwrap_or(&none);
            let slots = self.rules.of(destination).unwrap_or(limits.destination_calls_max);
            DestinationStanding {
                destination: destination.clone(),
                branches: lane.branches,
                in_flight: lane.in_flight,
                queued: lane.queue.len() - lane.stale,
                waiting: lane.waiting.len(),
                slots,
                breaker: shown(&lane.breaker, now),
                pause: self.paused.get(destination).cloned(),
            }
        };
        names.into_iter().map(show).collect()
    }

    /// Lets go of a lane in which nothing is left.
    pub(super) fn tidy(&mut self, destination: &Destination) {
        let Some(lane) = self.lanes.get(destination) else { return };
        let idle = lane.branches == 0
            && lane.queue.is_empty()
            && lane.in_flight == 0
            && lane.waiting.is_empty()
            && lane.turn == Turn::Out;
        if idle {
            if let Some(at) = lane.breaker.rests_until() {
                self.probes.remove(&(at, destination.clone()));
            }
            self.lanes.remove(destination);
        }
    }
}

/// How the calls to one destination stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneGauges {
    /// Branches of open transactions that name it.
    pub branches: usize,
    /// Under way: slots in use.
    pub in_flight: usize,
    /// Slots that are free.
    pub free: usize,
    /// Waiting for a slot.
    pub queued: usize,
    /// Waiting to be sent again.
    pub waiting: usize,
    /// One if nothing comes back from it, so that it is called by probes only.
    pub silent: usize,
    /// One if an operator lets it rest.
    pub paused: usize,
}

impl Lanes {
    /// Every destination that a transaction names, as it stands.
    pub(super) fn gauges(
        &self,
        destination_calls_max: usize,
    ) -> impl Iterator<Item = (&Destination, LaneGauges)> {
        let lanes = self.lanes.iter().map(move |(destination, lane)| {
            let slots = lane.slots.unwrap_or(destination_calls_max);
            let gauges = LaneGauges {
                branches: lane.branches,
                in_flight: lane.in_flight,
                free: slots.saturating_sub(lane.in_flight),
                queued: lane.queue.len() - lane.stale,
                waiting: lane.waiting.len(),
                silent: usize::from(matches!(lane.breaker, Breaker::Open(_))),
                paused: usize::from(self.paused.contains_key(destination)),
            };
            (destination, gauges)
        });
        let idle = self.paused.keys().filter(|name| !self.lanes.contains_key(*name));
        lanes.chain(idle.map(move |destination| {
            let free = self.rules.of(destination).unwrap_or(destination_calls_max);
            (destination, LaneGauges { free, paused: 1, ..LaneGauges::default() })
        }))
    }
}

/// An outage is over: its next probe is not waited for.
fn rest_no_more(
    probes: &mut BTreeSet<(Instant, Destination)>,
    destination: &Destination,
    outage: Outage,
) {
    match outage.probe {
        Probe::Resting(at) => {
            probes.remove(&(at, destination.clone()));
        }
        Probe::Due | Probe::InFlight(_) => {}
    }
}

fn shown(breaker: &Breaker, now: Now) -> BreakerStanding {
    match breaker {
        Breaker::Closed { .. } => BreakerStanding::Closed,
        Breaker::Open(Outage { since, probes, .. }) => BreakerStanding::Open {
            since: *since,
            probes: *probes,
            next_ms: breaker.rests_until().map(|at| at.since_ms(now.monotonic)),
        },
    }
}

impl Lane {
    /// Puts it among those that are ready, if it has a call.
    fn line_up(&mut self, destination: &Destination, ready: &mut VecDeque<Destination>) {
        if self.turn == Turn::Out && !self.queue.is_empty() {
            self.turn = Turn::In;
            ready.push_back(destination.clone());
        }
    }

    /// Something came back from it: after an outage its slots come back one by one.
    fn come_back(&mut self) -> Option<Outage> {
        let outage = self.breaker.answered();
        if outage.is_some() {
            let all = mutants::is_on(Mutant::SlotsBackAtOnce);
            self.allowance = if all { usize::MAX } else { 1 };
            self.mood = Mood::Returning;
        }
        self.allowance = self.allowance.saturating_add(1);
        outage
    }

    /// It answered: some of those that wait since it was absent are woken.
    fn wake(&mut self) -> Vec<(Slot, BranchIndex)> {
        (0..WOKEN_PER_ANSWER).map_while(|_| self.wake_one()).collect()
    }

    fn wake_one(&mut self) -> Option<(Slot, BranchIndex)> {
        if self.mood == Mood::Steady || mutants::is_on(Mutant::WaitingNotWoken) {
            return None;
        }
        let woken = self.waiting.pop_first();
        if woken.is_none() {
            self.mood = Mood::Steady;
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
    fn what_was_woken_for_nothing_gives_its_turn_to_one_that_waits() {
        let stock = Destination::new("stock").unwrap();
        let call = |branch| (Slot::default(), BranchIndex(branch));
        let limits = Limits::default();
        let moment = Moment { now: Now::default(), limits: &limits, seed: 0 };
        let mut lanes = Lanes::default();
        lanes.claim(&stock);
        let answer = |lanes: &mut Lanes, id, sign| {
            lanes.sent(CallId(id), (Slot::default(), BranchIndex(9), stock.clone()));
            lanes.came_back(CallId(id));
            lanes.free((CallId(id), &stock), sign, moment)
        };
        for id in 0..u64::from(ABSENT_AFTER) {
            assert_eq!(answer(&mut lanes, id, Sign::Silence), []);
        }
        for branch in 0..5 {
            lanes.wait(&stock, call(branch));
        }
        let woken = answer(&mut lanes, 10, Sign::Life);
        assert_eq!(woken, [call(0), call(1)]);
        // Both stand in the lane when their transaction turns: neither is sent.
        for call in woken {
            lanes.push(&stock, call);
            lanes.goes_stale(&stock);
        }
        for turn in [2, 3] {
            assert!(lanes.pop(100, 4).is_some());
            assert_eq!(lanes.was_stale(&stock), Some(call(turn)));
        }
    }

    /// A silent destination whose probe stands in its lane, due, with nothing due to be sent: what
    /// is cleared of it, so many of its calls kept, gives the turn to these.
    fn check_cleared(rest: Rest, kept: u16, expected: &[u16]) {
        let stock = Destination::new("stock").unwrap();
        let call = |branch| (Slot::default(), BranchIndex(branch));
        let limits = Limits { breaker_silent_max: 1, ..Limits::default() };
        let mut now = Now::default();
        let mut lanes = Lanes::default();
        lanes.claim(&stock);
        lanes.sent(CallId(1), (Slot::default(), BranchIndex(0), stock.clone()));
        lanes.came_back(CallId(1));
        let moment = Moment { now, limits: &limits, seed: 0 };
        assert_eq!(lanes.free((CallId(1), &stock), Sign::Silence, moment), []);
        (0..3).for_each(|branch| lanes.wait(&stock, call(branch)));
        (3..9).for_each(|branch| lanes.push(&stock, call(branch)));
        match rest {
            Rest::Over => {
                now.monotonic = lanes.next_probe().unwrap();
                assert_eq!(lanes.probe(now.monotonic), [], "it stands in the lane");
            }
            Rest::Lasts => {}
        }
        // No slot is free meanwhile.
        assert!(lanes.pop(0, 0).is_none());
        for _ in kept..6 {
            assert!(!lanes.goes_stale(&stock), "so few may stay");
        }
        let turn = lanes.clear(&stock, |_, branch| branch.0 < 3 + kept);
        let expected: Vec<_> = expected.iter().map(|branch| call(*branch)).collect();
        assert_eq!(turn, expected, "{rest:?}, {kept} kept");
    }

    #[derive(Clone, Copy, Debug)]
    enum Rest {
        Over,
        Lasts,
    }

    #[test]
    fn a_probe_that_is_cleared_away_gives_its_turn_to_one_that_waits() {
        check_cleared(Rest::Over, 0, &[0]);
        check_cleared(Rest::Over, 1, &[]);
        check_cleared(Rest::Lasts, 0, &[]);
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
            let exact =
                limits.iter().map(|(name, max)| (Destination::new(name).unwrap(), Some(*max)));
            lanes.rule(SlotRules { exact: exact.collect(), patterns: Vec::new() });
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
