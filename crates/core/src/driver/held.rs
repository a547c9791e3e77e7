//! Effects that wait until their version is durable.

use super::Driver;
use super::entry::{Slot, Stage};
use crate::document::Response;
use crate::effect::{Effect, Proof};
use crate::ids::{BranchIndex, Position, RequestId};
use crate::mutants::{self, Mutant};
use crate::rejection::Rejection;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What waits.
#[derive(Clone, Hash)]
pub(super) enum Waiting {
    /// An answer to a client.
    Reply(RequestId, Result<Response, Rejection>),
    /// A branch's call; whether it is still due is seen when it may leave.
    Call(Slot, BranchIndex),
}

/// All that waits, by the position it needs.
#[derive(Clone, Default, Hash)]
pub(super) struct Held {
    queue: BTreeMap<Position, Vec<Waiting>>,
    len: usize,
}

impl Held {
    pub(super) fn push(&mut self, needed: Position, waiting: Waiting) {
        self.queue.entry(needed).or_default().push(waiting);
        self.len += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The highest position that anything waits for.
    pub(super) fn last_needed(&self) -> Option<Position> {
        self.queue.last_key_value().map(|(position, _)| *position)
    }

    fn pop(&mut self, durable: Position) -> Option<(Position, Vec<Waiting>)> {
        let first = self.queue.first_entry()?;
        match *first.key() <= durable {
            true => {
                let (position, waiting) = first.remove_entry();
                self.len -= waiting.len();
                Some((position, waiting))
            }
            false => None,
        }
    }
}

impl Driver {
    /// Answers a client once what the answer shows is durable.
    pub(super) fn reply(
        &mut self,
        to: RequestId,
        needed: Position,
        reply: Result<Response, Rejection>,
        effects: &mut Vec<Effect>,
    ) {
        match needed <= self.durable || mutants::is_on(Mutant::ReplyBeforeSync) {
            true => {
                let proof = Proof { needed, durable: self.durable };
                effects.push(Effect::Reply { to, reply, proof });
            }
            false => self.held.push(needed, Waiting::Reply(to, reply)),
        }
    }

    /// Lets everything leave whose position is durable.
    pub(super) fn release_held(&mut self, effects: &mut Vec<Effect>) {
        while let Some((needed, waiting)) = self.held.pop(self.durable) {
            let proof = Proof { needed, durable: self.durable };
            for one in waiting {
                match one {
                    Waiting::Reply(to, reply) => {
                        effects.push(Effect::Reply { to, reply, proof });
                    }
                    Waiting::Call(slot, index) => self.release_call(slot, index),
                }
            }
        }
    }

    /// A call may leave, unless it is not due any more: then it counts as never sent.
    fn release_call(&mut self, slot: Slot, index: BranchIndex) {
        let Some(entry) = self.slots.find(slot) else { return };
        let line = &mut entry.lines[index.at()];
        match line.stage {
            Stage::Held(op) if line.needed <= self.durable => {
                line.stage = Stage::Queued(op);
                let destination = &entry.transaction.branches[index.at()].spec.destination;
                self.lanes.push(destination, (slot, index));
            }
            // It is not due any more, or has since been held for a later position.
            Stage::Held(_)
            | Stage::Idle
            | Stage::Queued(_)
            | Stage::InFlight(..)
            | Stage::Waiting(..) => {}
        }
    }
}
