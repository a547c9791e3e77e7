//! Calls: what is due goes out through its lane, comes back, or is sent again.

use super::breaker::Moment;
use super::entry::{Sent, Slot, Stage, Taken};
use super::held::Waiting;
use super::lanes::Sign;
use super::{Driver, Timer};
use crate::branch::{Answer, BranchSpec, First, Op, RowSeen};
use crate::effect::{Call, Effect, Proof};
use crate::ids::{Body, BranchId, BranchIndex, CallId, Destination, Text};
use crate::mutants::{self, Mutant};
use crate::retry;
use crate::transaction::{Event, Touched, Transaction};
use alloc::vec;
use alloc::vec::Vec;

impl Driver {
    /// Compares what is due with what is on its way; level, not edge.
    pub(super) fn evaluate(&mut self, slot: Slot) {
        let entry = self.slots.entry(slot);
        if entry.taken == Taken::NotYet {
            return;
        }
        let mut due = vec![None; entry.lines.len()];
        for (index, op) in entry.transaction.due() {
            due[index.at()] = Some(op);
        }
        for (at, op) in due.into_iter().enumerate() {
            let index = crate::transaction::index_of(at);
            match (self.slots.entry(slot).lines[at].stage, op) {
                // One call per branch at a time: what is under way is answered first.
                (Stage::InFlight(..), _) if !mutants::is_on(Mutant::CompensatesInFlight) => {}
                (Stage::Idle, None) => {}
                (stage, op) if stage.op() == op => {}
                (stage, op) => {
                    self.give_up(slot, index, stage);
                    match op {
                        Some(op) => self.line_up(slot, index, op),
                        None => self.slots.entry_mut(slot).lines[at].stage = Stage::Idle,
                    }
                }
            }
        }
    }

    /// What was on its way out is not due any more.
    fn give_up(&mut self, slot: Slot, index: BranchIndex, stage: Stage) {
        let spec = &self.slots.entry(slot).transaction.branches[index.at()].spec;
        let destination = &spec.destination;
        match stage {
            Stage::Waiting(_, timer) => {
                self.timers.clear(timer);
                self.lanes.wait_over(destination, (slot, index));
                self.lanes.tidy(destination);
            }
            Stage::Queued(_) => {
                if self.lanes.goes_stale(destination) {
                    let destination = destination.clone();
                    self.slots.entry_mut(slot).lines[index.at()].stage = Stage::Idle;
                    self.clear_lane(&destination);
                }
            }
            Stage::Idle | Stage::Held(_) | Stage::InFlight(..) => {}
        }
    }

    fn clear_lane(&mut self, destination: &Destination) {
        let slots = &self.slots;
        let woken = self.lanes.clear(destination, |slot, index| {
            let entry = slots.look(slot);
            entry.is_some_and(|entry| matches!(entry.lines[index.at()].stage, Stage::Queued(_)))
        });
        for (slot, index) in woken {
            self.send_again(slot, index);
        }
    }

    /// A branch has something new to be asked.
    fn line_up(&mut self, slot: Slot, index: BranchIndex, op: Op) {
        let durable = self.durable;
        let entry = self.slots.entry_mut(slot);
        let needed = entry.forced;
        let line = &mut entry.lines[index.at()];
        line.attempts = 0;
        line.last = Text::default();
        line.needed = needed;
        match needed <= durable || mutants::is_on(Mutant::CallBeforeSync) {
            true => {
                line.stage = Stage::Queued(op);
                let destination = &entry.transaction.branches[index.at()].spec.destination;
                self.lanes.push(destination, (slot, index));
            }
            false => {
                line.stage = Stage::Held(op);
                self.held.push(needed, Waiting::Call(slot, index));
            }
        }
    }

    /// A transaction found at the start is taken up.
    pub(super) fn take_up(&mut self, slot: Slot) {
        if let Some(entry) = self.slots.find(slot) {
            entry.taken = Taken::Up;
            self.evaluate(slot);
        }
    }

    /// A waiting call stands in its lane again.
    pub(super) fn send_again(&mut self, slot: Slot, index: BranchIndex) {
        let Some(entry) = self.slots.find(slot) else { return };
        let Stage::Waiting(op, timer) = entry.lines[index.at()].stage else { return };
        self.timers.clear(timer);
        entry.lines[index.at()].stage = Stage::Queued(op);
        let destination = &entry.transaction.branches[index.at()].spec.destination;
        self.lanes.wait_over(destination, (slot, index));
        self.lanes.push(destination, (slot, index));
    }

    /// Sends what has a slot.
    pub(super) fn dispatch(&mut self, effects: &mut Vec<Effect>) {
        let calls_max = self.limits.calls_max;
        let destination_max = self.limits.destination_calls_max;
        while let Some((destination, (slot, index))) = self.lanes.pop(calls_max, destination_max) {
            match self.slots.find(slot).map(|entry| entry.lines[index.at()].stage) {
                Some(Stage::Queued(op)) => self.send(slot, index, op, effects),
                Some(Stage::Idle | Stage::Held(_) | Stage::InFlight(..) | Stage::Waiting(..))
                | None => {
                    if let Some((slot, index)) = self.lanes.was_stale(&destination) {
                        self.send_again(slot, index);
                    }
                }
            }
        }
    }

    fn send(&mut self, slot: Slot, index: BranchIndex, op: Op, effects: &mut Vec<Effect>) {
        self.calls_made += 1;
        let id = CallId(self.calls_made);
        let durable = self.durable;
        let mark = self.mark_of(self.slots.entry(slot).transaction.begun);
        let entry = self.slots.entry_mut(slot);
        let line = &mut entry.lines[index.at()];
        line.stage = Stage::InFlight(op, id);
        line.attempts = line.attempts.saturating_add(1);
        line.sent = Sent::Once;
        let attempt = line.attempts;
        let needed = line.needed;
        let transaction = &entry.transaction;
        let branch = &transaction.branches[index.at()];
        let call = Call {
            id,
            gid: transaction.gid.clone(),
            branch: branch.spec.id.clone(),
            destination: branch.spec.destination.clone(),
            operation: branch.spec.operation.clone(),
            op,
            payload: payload_of(&branch.spec, op),
            replies: replies_read(transaction, index),
            reply: own_reply(&branch.first, op),
            mark,
            timeout_ms: self.limits.call_timeout_ms,
            attempt,
            proof: Proof { needed, durable },
        };
        if !mutants::is_on(Mutant::CallEntryLost) || !id.0.is_multiple_of(16) {
            self.lanes.sent(id, (slot, index, call.destination.clone()));
        }
        effects.push(Effect::Call(call));
    }

    /// A call came back.
    pub(super) fn came_back(&mut self, call: CallId, came: Came, effects: &mut Vec<Effect>) {
        let Some((slot, index, destination)) = self.lanes.came_back(call) else { return };
        let sign = match came {
            Came::Answer(Answer::Done { .. } | Answer::Refused(_)) | Came::Row(_) => Sign::Life,
            Came::Answer(Answer::Working | Answer::Unknown { .. }) => Sign::Murmur,
            Came::Nothing(_) => Sign::Silence,
        };
        let seed = retry::mix(self.seed ^ !call.0);
        let moment = Moment { now: self.now, limits: &self.limits, seed };
        for (slot, index) in self.lanes.free((call, &destination), sign, moment) {
            self.send_again(slot, index);
        }
        // It may have ended meanwhile: its branch was resolved, or named tried.
        if let Some(entry) = self.slots.find(slot) {
            let line = &mut entry.lines[index.at()];
            let Stage::InFlight(op, _) = line.stage else { return };
            line.stage = Stage::Idle;
            line.last = seen(&came);
            let attempts = line.attempts;
            self.take_answer(slot, Answered { call, index, op, came, attempts }, effects);
        }
        self.lanes.tidy(&destination);
    }

    fn take_answer(&mut self, slot: Slot, answered: Answered, effects: &mut Vec<Effect>) {
        let Answered { index, op, ref came, attempts, .. } = answered;
        let entry = self.slots.entry(slot);
        let touched = |index| entry.is_touched(index);
        let nothing;
        let event = match came {
            Came::Answer(answer) => Event::Answered { branch: index, op, answer, attempts },
            Came::Nothing(detail) => {
                nothing = Answer::Unknown { detail: detail.clone() };
                Event::Answered { branch: index, op, answer: &nothing, attempts }
            }
            Came::Row(row) => Event::Inspected { branch: index, row },
        };
        let fact = entry
            .transaction
            .decide(event, &self.limits, Touched(&touched))
            .expect("an answer is never rejected");
        match fact {
            Some(fact) => self.record(slot, fact, effects),
            None => self.ask_again(slot, answered),
        }
    }

    /// Nothing new was learned: the same is asked later if it is still due, else what is.
    fn ask_again(&mut self, slot: Slot, answered: Answered) {
        let Answered { call, index, op, attempts, .. } = answered;
        let entry = self.slots.entry(slot);
        if !entry.transaction.due().contains(&(index, op)) {
            self.evaluate(slot);
            return;
        }
        let seed = retry::mix(self.seed ^ call.0);
        let at = self.now.monotonic.plus_ms(retry::backoff_ms(&self.limits, attempts, seed));
        let entry = self.slots.entry_mut(slot);
        let timer = self.timers.set(at, Timer::Retry(slot, index));
        entry.lines[index.at()].stage = Stage::Waiting(op, timer);
        let destination = &entry.transaction.branches[index.at()].spec.destination;
        self.lanes.wait(destination, (slot, index));
    }

    /// Silence has decided.
    pub(super) fn abort_by_deadline(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let entry = self.slots.entry(slot);
        let touched = |index| entry.is_touched(index);
        let event = Event::Abort {
            cause: crate::record::Cause::Deadline,
            reason: &Text::default(),
            branch: None,
        };
        let decided = entry.transaction.decide(event, &self.limits, Touched(&touched));
        if let Ok(Some(fact)) = decided {
            self.record(slot, fact, effects);
        }
    }
}

/// What a call brings: an inspection needs nothing.
fn payload_of(spec: &BranchSpec, op: Op) -> Body {
    match op {
        Op::Inspect => Body::default(),
        Op::Try | Op::Action | Op::Confirm | Op::Cancel | Op::Compensate => spec.payload.clone(),
    }
}

/// What came of a call.
pub(super) enum Came {
    Answer(Answer),
    /// No connection, or no answer in time.
    Nothing(Text),
    /// Of an inspection: what the row says.
    Row(RowSeen),
}

/// An answer and what it answers.
struct Answered {
    call: CallId,
    index: BranchIndex,
    op: Op,
    came: Came,
    attempts: u32,
}

/// Replies of the steps that a step reads.
fn replies_read(transaction: &Transaction, index: BranchIndex) -> Vec<(BranchId, Body)> {
    let reads = &transaction.branches[index.at()].spec.reads;
    let reply = |read: &BranchIndex| {
        let branch = &transaction.branches[read.at()];
        match &branch.first {
            First::Done { reply, .. } => Some((branch.spec.id.clone(), reply.clone())),
            First::Unknown | First::Refused(_) => None,
        }
    };
    reads.iter().filter_map(reply).collect()
}

/// The reply of a branch's own first op, for the second.
fn own_reply(first: &First, op: Op) -> Option<Body> {
    match (op, first) {
        (Op::Confirm | Op::Cancel | Op::Compensate, First::Done { reply, .. }) => {
            Some(reply.clone())
        }
        (Op::Confirm | Op::Cancel | Op::Compensate, First::Unknown | First::Refused(_))
        | (Op::Try | Op::Action | Op::Inspect, _) => None,
    }
}

/// What came of a call, in a few words.
fn seen(came: &Came) -> Text {
    match came {
        Came::Row(_) => Text::cut("inspected"),
        Came::Answer(Answer::Done { .. }) => Text::cut("done"),
        Came::Answer(Answer::Refused(refusal)) => {
            Text::cut(&alloc::format!("refused: {}", refusal.code))
        }
        Came::Answer(Answer::Working) => Text::cut("still working"),
        Came::Answer(Answer::Unknown { detail }) | Came::Nothing(detail) => detail.clone(),
    }
}
