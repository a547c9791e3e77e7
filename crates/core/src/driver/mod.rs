//! The loop without I/O: inputs in, effects out, and nothing leaves before its version is durable.
//!
//! One driver holds every transaction that is not over. A step takes one input, lets the rules
//! decide, applies the records at once and queues them for the log; calls and replies that need
//! them are held until the log says they are durable.

mod admission;
mod breaker;
mod calls;
mod census;
mod clock;
mod entry;
mod held;
mod lanes;
mod operating;
mod requests;
mod slots;
mod waiters;

pub use slots::{NamePattern, SlotRules, is_label};

use crate::effect::{Content, Draft, Effect};
use crate::ids::{Gid, IdempotencyKey, Origin, Position, Principal, RequestId, Version};
use crate::input::{Input, Loaded, Request, Room};
use crate::limits::Limits;
use crate::mutants::{self, Mutant};
use crate::record::{Class, Fact, PhaseName, Record};
use crate::time::{Instant, Now, Timestamp};
use crate::transaction::{Past, Touched, Transaction};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use calls::Came;
pub use census::Aged;
use census::{Census, Place};
use clock::Clock;
use entry::{Entry, Slot, Slots, Taken};
use held::Held;
pub use lanes::LaneGauges;
use lanes::Lanes;
use waiters::Waiters;

/// So many deadlines are acted on in one step; the alarm rings at once for more.
const DEADLINES_PER_STEP: usize = 256;

/// The loop of one shard. A value: a model checker clones it, and knows a state by its hash.
#[derive(Clone, Hash)]
pub struct Driver {
    limits: Limits,
    origin: Origin,
    seed: u64,
    /// Of the step under way.
    now: Now,
    clock: Clock,
    slots: Slots,
    gids: BTreeMap<Gid, Slot>,
    keys: BTreeMap<(Principal, IdempotencyKey), Gid>,
    /// Every transaction whose end is not durable, by its begin.
    begun: BTreeSet<(Timestamp, Slot)>,
    /// The same, counted.
    census: Census,
    /// Transactions that silence decides, by wall time.
    deadlines: BTreeSet<(Timestamp, Slot)>,
    /// Ended transactions, by the position of their end.
    ending: BTreeMap<Position, Slot>,
    /// Requests that wait to hear what the store knows of their gid.
    lookups: BTreeMap<Gid, Vec<(RequestId, Request)>>,
    /// How many these are.
    looking: usize,
    /// Payloads and replies of all transactions.
    bytes: usize,
    timers: Timers,
    lanes: Lanes,
    held: Held,
    waiters: Waiters,
    room: Room,
    intake: Intake,
    /// Of the last record queued.
    position: Position,
    durable: Position,
    /// Up to which a flush was asked for.
    flushed: Position,
    /// When the oldest record for which no flush was asked must be flushed.
    lazy: Option<Instant>,
    alarm: Option<Instant>,
    calls_made: u64,
    log: Log,
}

/// Which log the driver was started over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Log {
    /// Its own.
    Own,
    /// An older copy of it: what came after is lost.
    Copy,
}

/// Whether new transactions are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Intake {
    Open,
    /// An operator drains it: what is open goes on.
    Drained,
    /// It is being stopped: every wait is over as well.
    Stopping,
}

/// What waits for an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Timer {
    /// A call may be sent again.
    Retry(Slot, crate::ids::BranchIndex),
    /// A waiting request is answered as things stand.
    WaitOver(RequestId),
    /// A transaction found at the start is taken up.
    TakeUp(Slot),
}

/// Timers in order; equal instants in order of setting.
#[derive(Clone, Default, Hash)]
struct Timers {
    queue: BTreeMap<(Instant, u64), Timer>,
    set: u64,
}

/// A timer that can be taken back.
type TimerKey = (Instant, u64);

impl Timers {
    fn set(&mut self, at: Instant, timer: Timer) -> TimerKey {
        self.set += 1;
        self.queue.insert((at, self.set), timer);
        (at, self.set)
    }

    fn clear(&mut self, key: TimerKey) {
        self.queue.remove(&key);
    }

    fn first(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.queue.first_entry()?;
        match entry.key().0 <= now {
            true => Some(entry.remove()),
            false => None,
        }
    }
}

/// How much of everything there is; for metrics, and for a simulator that demands zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gauges {
    /// Transactions in phase open.
    pub open: usize,
    /// In phase forward.
    pub forward: usize,
    /// In phase finishing.
    pub finishing: usize,
    /// Ended, their end not durable yet.
    pub ending: usize,
    /// Branches that wait for an operator.
    pub stuck: usize,
    /// Calls in flight.
    pub calls: usize,
    /// Calls that wait for a slot.
    pub queued: usize,
    /// Requests that wait.
    pub waiters: usize,
    /// Effects held until durable.
    pub held: usize,
    /// Requests that wait for a look-up.
    pub lookups: usize,
    /// Payloads and replies held in memory.
    pub bytes: usize,
    /// Destinations that open transactions name.
    pub destinations: usize,
    /// Those of them that are called by probes only, for nothing comes back.
    pub silent: usize,
    /// Timers set.
    pub timers: usize,
    /// Entries by which transactions are found: by gid, key, deadline, position of their end, and
    /// destination.
    pub entries: usize,
}

impl Driver {
    /// A driver over what a store loaded. Nothing moves before [`Driver::start`].
    pub fn new(limits: Limits, origin: Origin, seed: u64, loaded: Loaded) -> Driver {
        let mut driver = Driver {
            now: Now::default(),
            clock: Clock::new(loaded.mark, loaded.restored),
            limits,
            origin,
            seed,
            slots: Slots::default(),
            gids: BTreeMap::new(),
            keys: BTreeMap::new(),
            begun: BTreeSet::new(),
            census: Census::default(),
            deadlines: BTreeSet::new(),
            ending: BTreeMap::new(),
            lookups: BTreeMap::new(),
            looking: 0,
            bytes: 0,
            timers: Timers::default(),
            lanes: Lanes::default(),
            held: Held::default(),
            waiters: Waiters::default(),
            room: Room::Free,
            intake: Intake::Open,
            position: loaded.position,
            durable: loaded.position,
            flushed: loaded.position,
            lazy: None,
            alarm: None,
            calls_made: 0,
            log: match loaded.restored {
                Some(_) => Log::Copy,
                None => Log::Own,
            },
        };
        for (_, records) in &loaded.open {
            if let Some(transaction) = Transaction::fold(records) {
                assert!(!transaction.is_ended(), "the store loads only what is not over");
                driver.admit(Entry::loaded(transaction));
            }
        }
        driver
    }

    /// Starts: a first mark is queued, and what was found is taken up over `ramp_ms`.
    pub fn start(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.now = now;
        self.clock.start(now);
        let found: Vec<Slot> = self.begun.iter().map(|(_, slot)| *slot).collect();
        let count = found.len().max(1) as u64;
        let lost = mutants::is_on(Mutant::CallsLostAtStart);
        for (nth, slot) in found.into_iter().enumerate().filter(|_| !lost) {
            let at = self.now.monotonic.plus_ms(self.limits.ramp_ms * nth as u64 / count);
            self.timers.set(at, Timer::TakeUp(slot));
        }
        // The mark comes after, so that whoever is answered is answered by what they say.
        match self.log {
            Log::Own => {}
            Log::Copy if mutants::is_on(Mutant::PastTrusted) => {}
            Log::Copy => self.lose_pasts(effects),
        }
        self.mark(effects);
        self.settle(effects);
    }

    /// What was undecided in a restored copy may have been decided since.
    fn lose_pasts(&mut self, effects: &mut Vec<Effect>) {
        let slots: Vec<Slot> = self.begun.iter().map(|(_, slot)| *slot).collect();
        for slot in slots {
            let transaction = &self.slots.entry(slot).transaction;
            if transaction.verdict().is_none() && transaction.past == Past::Known {
                self.record(slot, Fact::Restored, effects);
            }
        }
    }

    /// Takes one input; effects are added in the order in which they are to happen.
    pub fn step(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        self.now = now;
        self.clock.observe(now, &self.limits);
        match input {
            Input::Request { id, request } => self.request(id, request, effects),
            Input::Gone { id } => self.gone(id),
            Input::Answered { call, answer } => {
                self.came_back(call, Came::Answer(answer), effects);
            }
            Input::Silent { call, detail } => {
                self.came_back(call, Came::Nothing(detail), effects);
            }
            Input::Inspected { call, row } => self.came_back(call, Came::Row(row), effects),
            Input::Durable(position) => self.durable(position, effects),
            Input::Found { gid, records, forgotten } => {
                self.found(gid, &records, forgotten, effects);
            }
            Input::Unreadable { gid } => self.unreadable(gid, effects),
            Input::Room(room) => self.room = room,
            Input::Woken => {}
            Input::Drain => {
                self.intake = Intake::Stopping;
                self.end_waits(effects);
            }
        }
        self.settle(effects);
    }

    /// Whether the first mark is durable, so that begins are accepted.
    pub fn is_ready(&self) -> bool {
        self.clock.is_ready()
    }

    /// The limits it runs under.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Gives destinations so many slots, and those that are not named `destination_calls_max`.
    pub fn limit_destinations(&mut self, rules: SlotRules) {
        self.lanes.rule(rules);
    }

    /// How much of everything there is.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            open: self.census.count(PhaseName::Open),
            forward: self.census.count(PhaseName::Forward),
            finishing: self.census.count(PhaseName::Finishing),
            ending: self.census.count(PhaseName::Ended),
            stuck: self.census.stuck(),
            calls: self.lanes.in_flight(),
            queued: self.lanes.queued(),
            waiters: self.waiters.len(),
            held: self.held.len(),
            lookups: self.looking,
            bytes: self.bytes,
            destinations: self.lanes.len(),
            silent: self.lanes.silent(),
            timers: self.timers.queue.len(),
            entries: self.gids.len()
                + self.keys.len()
                + self.deadlines.len()
                + self.ending.len()
                + self.lanes.len(),
        }
    }

    /// Transactions that have not ended, by how long ago they began, oldest first.
    pub fn ages(&self, now: Now) -> impl Iterator<Item = Aged> {
        self.census.ages(now.wall)
    }

    /// Every destination that calls are due to, with how they stand there.
    pub fn lanes(&self) -> impl Iterator<Item = (&crate::ids::Destination, LaneGauges)> {
        self.lanes.gauges(self.limits.destination_calls_max)
    }

    /// Whoever asked is gone: a wait is over, and what has not been begun is not done.
    fn gone(&mut self, id: RequestId) {
        self.waiters.remove(id, &mut self.slots, &mut self.timers);
        for waiting in self.lookups.values_mut() {
            let before = waiting.len();
            waiting.retain(|(asker, _)| *asker != id);
            self.looking -= before - waiting.len();
        }
    }

    /// Everything that follows from time and from what was just done.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        while let Some(timer) = self.timers.pop_due(self.now.monotonic) {
            match timer {
                Timer::Retry(slot, branch) => self.send_again(slot, branch),
                Timer::WaitOver(request) => self.wait_over(request, effects),
                Timer::TakeUp(slot) => self.take_up(slot),
            }
        }
        for (slot, branch) in self.lanes.probe(self.now.monotonic) {
            self.send_again(slot, branch);
        }
        self.deadlines_due(effects);
        if self.clock.is_mark_due(self.now) {
            self.mark(effects);
        }
        self.dispatch(effects);
        self.flush_due(effects);
        self.set_alarm(effects);
    }

    fn deadlines_due(&mut self, effects: &mut Vec<Effect>) {
        if self.clock.are_deadlines_held() {
            return;
        }
        for _ in 0..DEADLINES_PER_STEP {
            let Some((at, slot)) = self.deadlines.first().copied() else { break };
            if at > self.now.wall {
                break;
            }
            self.deadlines.remove(&(at, slot));
            self.abort_by_deadline(slot, effects);
        }
    }

    /// Asks for a flush where somebody waits, or where a lazy record has waited long enough.
    fn flush_due(&mut self, effects: &mut Vec<Effect>) {
        let waited_for = self.held.last_needed().unwrap_or_default();
        let lazy_over = self.lazy.is_some_and(|at| at <= self.now.monotonic);
        if waited_for > self.flushed || lazy_over {
            self.flushed = self.position;
            self.lazy = None;
            effects.push(Effect::Flush(self.position));
        }
    }

    fn set_alarm(&mut self, effects: &mut Vec<Effect>) {
        let deadline = self.deadlines.first().map(|(at, _)| self.clock.instant_of(*at, self.now));
        let mark = Some(self.clock.next_mark());
        let probe = self.lanes.next_probe();
        let candidates = [self.timers.first(), self.lazy, deadline, mark, probe];
        let next = candidates.into_iter().flatten().min();
        if next != self.alarm || next.is_some_and(|at| at <= self.now.monotonic) {
            self.alarm = next;
            effects.extend(next.map(Effect::Wake));
        }
    }

    /// Queues the clock's mark.
    fn mark(&mut self, effects: &mut Vec<Effect>) {
        let ended = |slot| self.slots.entry(slot).transaction.is_ended();
        let is_over = |slot| mutants::is_on(Mutant::LimitCountsQueuedEnd) && ended(slot);
        let oldest = self.begun.iter().find(|(_, slot)| !is_over(*slot)).map(|(begun, _)| *begun);
        let mark = self.clock.mark(self.now, oldest, &self.limits);
        self.position.0 += 1;
        self.clock.queued(self.position, mark);
        effects
            .push(Effect::Append(Draft { position: self.position, content: Content::Mark(mark) }));
        self.flushed = self.position;
        self.lazy = None;
        effects.push(Effect::Flush(self.position));
    }

    /// The log is durable up to here: what waited for it may leave.
    fn durable(&mut self, position: Position, effects: &mut Vec<Effect>) {
        assert!(position >= self.durable, "durability is a prefix");
        self.durable = position;
        self.clock.durable(position);
        while let Some((ended, slot)) = self.ending.first_key_value().map(|(p, s)| (*p, *s)) {
            if ended > position {
                break;
            }
            self.ending.remove(&ended);
            self.forget(slot);
        }
        self.release_held(effects);
    }

    /// Takes in a transaction.
    fn admit(&mut self, entry: Entry) -> Slot {
        let gid = entry.transaction.gid.clone();
        let begun = entry.transaction.begun;
        let lost = entry.taken == Taken::NotYet && mutants::is_on(Mutant::DeadlineLostAtStart);
        let deadline = entry.transaction.deadline().filter(|_| !lost);
        if let crate::transaction::Form::Open { key: Some((key, _)), .. } = &entry.transaction.form
        {
            self.keys.insert((entry.transaction.principal.clone(), key.clone()), gid.clone());
        }
        self.census.came(Place::of(&entry.transaction));
        let slot = self.slots.insert(Box::new(entry));
        self.begun.insert((begun, slot));
        if let Some(at) = deadline {
            self.deadlines.insert((at, slot));
        }
        let earlier = self.gids.insert(gid, slot);
        assert!(earlier.is_none(), "a gid is accepted once");
        self.claim(slot);
        slot
    }

    /// Lets go of a transaction whose end is durable: the store knows it from here on.
    fn forget(&mut self, slot: Slot) {
        let entry = self.slots.remove(slot);
        self.release(&entry);
        let transaction = &entry.transaction;
        self.census.left(Place::of(transaction));
        self.gids.remove(&transaction.gid);
        self.begun.remove(&(transaction.begun, slot));
        if let crate::transaction::Form::Open { key: Some((key, _)), .. } = &transaction.form {
            self.keys.remove(&(transaction.principal.clone(), key.clone()));
        }
    }

    /// Records a fact and all that follow from it, as one draft; then sees what is due.
    fn record(&mut self, slot: Slot, fact: Fact, effects: &mut Vec<Effect>) {
        let after = self.slots.entry(slot).transaction.version;
        self.complete(slot, after, Vec::with_capacity(3), Some(fact), effects);
    }

    /// Adds a fact, where there is one, and all that follow from the state, to a draft.
    fn complete(
        &mut self,
        slot: Slot,
        after: Version,
        mut records: Vec<Record>,
        fact: Option<Fact>,
        effects: &mut Vec<Effect>,
    ) {
        let entry = self.slots.entry_mut(slot);
        let deadline = entry.transaction.deadline();
        let place = Place::of(&entry.transaction);
        let mut next = fact.or_else(|| entry.follow());
        while let Some(fact) = next {
            let class = entry.transaction.class(&fact);
            let record = Record { at: self.now.wall, fact };
            entry.transaction.apply(&record);
            entry.match_branches();
            records.push(record);
            self.position.0 += 1;
            entry.queued(self.position, class);
            next = entry.follow();
        }
        self.census.moved(place, Place::of(&entry.transaction));
        self.claim(slot);
        self.append(slot, after, records, effects);
        self.rest_deadline(slot, deadline);
        self.evaluate(slot);
        self.answer_waiters(slot, effects);
    }

    fn append(
        &mut self,
        slot: Slot,
        after: Version,
        records: Vec<Record>,
        effects: &mut Vec<Effect>,
    ) {
        let transaction = &self.slots.entry(slot).transaction;
        effects.push(Effect::Append(Draft {
            position: self.position,
            content: Content::Transaction {
                gid: transaction.gid.clone(),
                after,
                records,
                summary: transaction.summary(),
            },
        }));
        if transaction.is_ended() {
            self.ending.insert(self.position, slot);
        }
        self.lazy.get_or_insert(self.now.monotonic.plus_ms(self.limits.lazy_ms_max));
    }

    /// Takes a deadline out of the queue once the transaction is decided.
    fn rest_deadline(&mut self, slot: Slot, before: Option<Timestamp>) {
        let after = self.slots.entry(slot).transaction.deadline();
        if let Some(at) = before.filter(|_| after.is_none()) {
            self.deadlines.remove(&(at, slot));
        }
    }
}

/// Whether a class makes later effects wait.
fn is_forced(class: Class) -> bool {
    match class {
        Class::Forced => true,
        Class::Lazy => false,
    }
}

impl Entry {
    /// The fact that the state calls for.
    fn follow(&self) -> Option<Fact> {
        let touched = |index| self.is_touched(index);
        self.transaction.follow(Touched(&touched))
    }
}

#[cfg(test)]
mod tests;
