//! Requests that wait: for a try's answer, a decision, or an end; never longer than they said.

use super::entry::{Entry, Slot, Slots};
use super::{Driver, Intake, Timer, TimerKey, Timers};
use crate::branch::First;
use crate::document::{Arrival, Freshness, Response, TryAnswer};
use crate::effect::{Effect, Mark};
use crate::ids::{BranchIndex, RequestId};
use crate::input::Wait;
use crate::mutants::{self, Mutant};
use crate::rejection::Rejection;
use crate::time::Timestamp;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Awaited {
    /// An answer to the try of this branch.
    Try(BranchIndex),
    /// The decision.
    Decision,
    /// The end.
    End,
}

/// In which form it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    /// As a submit.
    Submitted(Freshness),
    /// As a registration.
    Registered(Freshness),
    /// As the transaction.
    Transaction,
}

#[derive(Clone, Hash)]
struct Waiter {
    slot: Slot,
    awaited: Awaited,
    shape: Shape,
    timer: TimerKey,
}

/// All requests that wait.
#[derive(Clone, Default, Hash)]
pub(super) struct Waiters {
    waiters: BTreeMap<RequestId, Waiter>,
}

impl Waiters {
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whoever waited is gone, or has been answered.
    pub(super) fn remove(&mut self, id: RequestId, slots: &mut Slots, timers: &mut Timers) {
        let Some(waiter) = self.waiters.remove(&id) else { return };
        timers.clear(waiter.timer);
        if let Some(entry) = slots.find(waiter.slot) {
            entry.waiters.retain(|waiting| *waiting != id);
        }
    }
}

/// What a request asks to wait for, and for how long.
pub(super) fn awaited(wait: Wait) -> Option<(Awaited, u64)> {
    match wait {
        Wait::No => None,
        Wait::Decided { wait_ms } => Some((Awaited::Decision, wait_ms)),
        Wait::Ended { wait_ms } => Some((Awaited::End, wait_ms)),
    }
}

impl Driver {
    /// Answers a request, at once if what it waits for is there.
    pub(super) fn answer_or_wait(
        &mut self,
        id: RequestId,
        slot: Slot,
        wait: Option<(Awaited, u64)>,
        shape: Shape,
        effects: &mut Vec<Effect>,
    ) {
        let entry = self.slots.entry(slot);
        let (awaited, wait_ms) = match wait {
            Some((awaited, wait_ms)) if !has_come(entry, awaited) => (awaited, wait_ms),
            Some((awaited, _)) => {
                return self.answer(id, slot, Some(awaited), shape, effects);
            }
            None => return self.answer(id, slot, None, shape, effects),
        };
        // What was asked is done; there is only no room to wait for what comes of it.
        if self.full_for(slot, awaited).is_some() || self.intake == Intake::Stopping {
            return self.answer(id, slot, Some(awaited), shape, effects);
        }
        let at = self.now.monotonic.plus_ms(wait_ms.min(self.limits.wait_ms_max));
        let timer = self.timers.set(at, Timer::WaitOver(id));
        self.waiters.waiters.insert(id, Waiter { slot, awaited, shape, timer });
        self.slots.entry_mut(slot).waiters.push(id);
    }

    /// Why a wait for what has not come yet finds no room, if it finds none.
    pub(super) fn full_for(&self, slot: Slot, awaited: Awaited) -> Option<Rejection> {
        let entry = self.slots.entry(slot);
        let limits = [
            ("transaction_waiters_max", entry.waiters.len(), self.limits.transaction_waiters_max),
            ("waiters_max", self.waiters.len(), self.limits.waiters_max),
        ];
        let (limit, _, max) = limits.into_iter().find(|(_, waiting, max)| waiting >= max)?;
        (!has_come(entry, awaited)).then_some(Rejection::WaitersFull { limit, max: max as u64 })
    }

    /// Answers everybody for whom what they wait for has come.
    pub(super) fn answer_waiters(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let waiting = self.slots.entry(slot).waiters.clone();
        for id in waiting {
            let Some(waiter) = self.waiters.waiters.get(&id) else { continue };
            let (awaited, shape) = (waiter.awaited, waiter.shape);
            if has_come(self.slots.entry(slot), awaited) {
                self.waiters.remove(id, &mut self.slots, &mut self.timers);
                self.answer(id, slot, Some(awaited), shape, effects);
            }
        }
    }

    /// Every wait is over, for the coordinator is being stopped.
    pub(super) fn end_waits(&mut self, effects: &mut Vec<Effect>) {
        let waiting: Vec<RequestId> = self.waiters.waiters.keys().copied().collect();
        for id in waiting {
            self.wait_over(id, effects);
        }
    }

    /// Time is over: the answer is how things stand.
    pub(super) fn wait_over(&mut self, id: RequestId, effects: &mut Vec<Effect>) {
        let Some(waiter) = self.waiters.waiters.get(&id) else { return };
        let (slot, awaited, shape) = (waiter.slot, waiter.awaited, waiter.shape);
        self.waiters.remove(id, &mut self.slots, &mut self.timers);
        self.answer(id, slot, Some(awaited), shape, effects);
    }

    fn answer(
        &mut self,
        id: RequestId,
        slot: Slot,
        awaited: Option<Awaited>,
        shape: Shape,
        effects: &mut Vec<Effect>,
    ) {
        let mark = self.mark_of(self.slots.entry(slot).transaction.begun);
        let entry = self.slots.entry(slot);
        let arrival = match awaited {
            Some(awaited) if !has_come(entry, awaited) => Arrival::NotYet,
            Some(_) | None => Arrival::Arrived,
        };
        let needed = entry.needed_to_show();
        let reply = match (shape, awaited) {
            (Shape::Submitted(freshness), _) => Ok(Response::Submitted {
                document: entry.transaction.document(),
                freshness,
                arrival,
            }),
            (Shape::Registered(freshness), Some(Awaited::Try(index))) => {
                registered(entry, index, freshness, mark)
            }
            (Shape::Registered(_), Some(Awaited::Decision | Awaited::End) | None)
            | (Shape::Transaction, _) => {
                Ok(Response::Transaction { document: entry.transaction.document(), arrival })
            }
        };
        self.reply(id, needed, reply, effects);
    }

    /// What calls of a transaction carry.
    pub(super) fn mark_of(&self, begun: Timestamp) -> Mark {
        Mark { origin: self.origin.clone(), begun, limit: self.clock.call_limit() }
    }
}

/// Whether what is waited for is there.
fn has_come(entry: &Entry, awaited: Awaited) -> bool {
    let decided = entry.transaction.verdict().is_some();
    match awaited {
        Awaited::Try(index) => {
            let branch = &entry.transaction.branches[index.at()];
            decided
                || branch.spec.caller == crate::branch::Caller::Initiator
                || branch.first != First::Unknown
        }
        Awaited::Decision => decided,
        Awaited::End if mutants::is_on(Mutant::WaiterToldEarly) => decided,
        Awaited::End => entry.transaction.is_ended(),
    }
}

/// The answer to a registration; after a decision, the decision.
fn registered(
    entry: &Entry,
    index: BranchIndex,
    freshness: Freshness,
    mark: Mark,
) -> Result<Response, Rejection> {
    if entry.transaction.verdict().is_some() {
        return Err(entry.transaction.decided());
    }
    let branch = &entry.transaction.branches[index.at()];
    let answer = match &branch.first {
        First::Unknown => TryAnswer::Unknown,
        First::Done { reply, .. } => TryAnswer::Done { reply: reply.clone() },
        First::Refused(refusal) => TryAnswer::Refused(refusal.clone()),
    };
    Ok(Response::Registered { branch: branch.spec.id.clone(), answer, mark, freshness })
}
