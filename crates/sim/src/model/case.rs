//! Case: what is known of one gid and of its branches.

use super::{Form, Past};
use crate::evidence::Closed;
use crate::tally::State;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use wholly_core::branch::{Answer, Direction, Mode, Op, Resolution, RowSeen};
use wholly_core::document::TryAnswer;
use wholly_core::ids::{Body, BranchId, BranchIndex, Digest, IdempotencyKey, Position};
use wholly_core::record::{Begun, Cause, Decision, Outcome, Record, Start, Summary};
use wholly_core::time::Timestamp;

/// A try's final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriedOr {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
}

impl TriedOr {
    /// What an answer to a registration says, if it is final.
    pub fn of(answer: &TryAnswer) -> Option<TriedOr> {
        match answer {
            TryAnswer::Done { .. } => Some(TriedOr::Done),
            TryAnswer::Refused(_) => Some(TriedOr::Refused),
            TryAnswer::Unknown => None,
        }
    }
}

/// What a call carried: op, payload, replies of earlier steps.
pub type Carried = (Op, Body, Vec<(BranchId, Body)>);

/// What is known of one branch.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Its try or action: at which count of effects, with what payload.
    pub first: Option<Body>,
    /// Its confirm, cancel or compensate.
    pub second: Option<Op>,
    /// It will take no effect.
    pub closed: Option<Closed>,
    /// Whether an answer of it was ever recorded.
    pub answered: bool,
    /// The reply to its first op, in the log that survived.
    pub reply: Option<(Position, Body)>,
    /// The position at which its registration was appended.
    pub registered: Option<Position>,
    /// When it came to wait for an operator, and when it no more did.
    pub waits: Vec<(Position, Waits)>,
    /// What an initiator was told of its try.
    pub told: Option<TriedOr>,
    /// What an operator said of it, in the log that survived.
    pub resolved: Option<(Position, Resolution)>,
    /// Whether one ever did, also in a log of which an older copy was put back since.
    pub vouched: bool,
    /// Whether it can be taken back, once it is registered.
    pub direction: Option<Direction>,
    /// What its row said to a restored coordinator, and when an operator had it read once more.
    pub rows: Vec<(Position, Option<RowSeen>)>,
    /// What its calls carried: op, payload, replies.
    pub carried: Vec<Carried>,
}

/// Whether a branch waits for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// One does.
    ForOperator,
    /// None does.
    ForNobody,
}

/// What records come to, as two numbers: the records themselves, and how the coordinator summed
/// them up when it wrote the last of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    records: u64,
    summary: u64,
}

impl Fold {
    /// Of all records of a transaction.
    pub fn of(records: &[Record], summary: &Summary) -> Self {
        Fold::default().with(records, summary)
    }

    /// Of some more.
    pub(super) fn with(self, records: &[Record], summary: &Summary) -> Self {
        let mut folded = self.records;
        for record in records {
            folded = hash_of(&(folded, record));
        }
        Fold { records: folded, summary: hash_of(summary) }
    }
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// How transactions were decided, and how those that ended did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Decided to commit.
    pub committed: u64,
    /// Decided to abort.
    pub aborted: u64,
    /// Of both, ended mixed.
    pub mixed: u64,
    /// Of both, ended with a hazard.
    pub hazard: u64,
}

impl Fates {
    /// All that were decided.
    pub fn decided(&self) -> u64 {
        self.committed + self.aborted
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Fates) {
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.mixed += other.mixed;
        self.hazard += other.hazard;
    }

    pub(super) fn count(&mut self, case: &Case) {
        match case.decided {
            Some((_, Decision::Commit, _)) => self.committed += 1,
            Some((_, Decision::Abort, _)) => self.aborted += 1,
            None => {}
        }
        match case.ended.map(|(_, _, outcome)| outcome) {
            Some(Outcome::Mixed) => self.mixed += 1,
            Some(Outcome::Hazard) => self.hazard += 1,
            Some(Outcome::AsDecided) | None => {}
        }
    }
}

/// What is known of one gid.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Its branches.
    pub branches: BTreeMap<BranchId, Truth>,
    /// Branches in the order in which the coordinator registered them.
    pub order: Vec<(BranchId, Mode, Body)>,
    /// The decision in the log that survived.
    pub decided: Option<(Position, Decision, Cause)>,
    /// The end in the log that survived: its wall time, and how well the decision was carried out.
    pub ended: Option<(Position, Timestamp, Outcome)>,
    /// Begun when.
    pub begun: Option<Timestamp>,
    /// What makes its begin repeatable.
    pub key: Option<(IdempotencyKey, Digest)>,
    /// When an operator parked it, and when one retried it.
    pub parked: Vec<(Position, Waits)>,
    /// Whether somebody holds its capability.
    pub capability: Option<Timestamp>,
    /// The first final answer that left.
    pub told: Option<Decision>,
    /// The outcome that left.
    pub told_outcome: Option<Outcome>,
    /// Whether the log knows what became of it.
    pub past: Past,
    /// When a restore came to leave it, or a branch of it, to an operator, and when it no more did.
    pub left: Vec<(Position, Waits)>,
    /// When it is aborted or turns back by itself.
    pub deadline: Option<Timestamp>,
    /// In which form it began, if not lost.
    pub form: Option<Form>,
    /// How it stood after each draft of the log that survived.
    pub states: Vec<(Position, State)>,
    /// What its records came to after each draft of the log that survived.
    pub folds: Vec<(Position, Fold)>,
}

impl Case {
    /// How it stood at a point of the log.
    pub fn state_at(&self, position: Position) -> State {
        let states = self.states.iter().rev();
        states.into_iter().find(|(at, _)| *at <= position).map_or(State::None, |(_, state)| *state)
    }

    /// What its records came to at a point of the log.
    pub fn fold_at(&self, position: Position) -> Option<Fold> {
        let folds = self.folds.iter().rev();
        folds.into_iter().find(|(at, _)| *at <= position).map(|(_, fold)| *fold)
    }

    /// How it stands, as the coordinator last wrote it down.
    pub fn state(&self) -> State {
        self.states.last().map_or(State::None, |(_, state)| *state)
    }

    pub(super) fn truth_mut(&mut self, branch: &BranchId) -> &mut Truth {
        if !self.branches.contains_key(branch) {
            self.branches.insert(branch.clone(), Truth::default());
        }
        self.branches.get_mut(branch).expect("inserted above")
    }

    /// What was read of rows is asked for once more.
    pub(super) fn read_again(&mut self, position: Position, branches: &[BranchIndex]) {
        for index in branches {
            if let Some((id, _, _)) = self.order.get(index.at()).cloned() {
                self.truth_mut(&id).rows.push((position, None));
            }
        }
    }

    pub(super) fn wait(&mut self, of: impl Iterator<Item = BranchIndex>, waits: (Position, Waits)) {
        for index in of {
            if let Some((id, _, _)) = self.order.get(index.at()).cloned() {
                self.truth_mut(&id).waits.push(waits);
            }
        }
    }

    /// What was left to an operator stays his until nothing of it is stuck.
    pub(super) fn learn_whether_left(&mut self, position: Position, summary: &Summary) {
        if self.left.last().is_some_and(|(_, waits)| *waits == Waits::ForOperator) {
            let waits = match summary.stuck > 0 || summary.parked {
                true => Waits::ForOperator,
                false => Waits::ForNobody,
            };
            self.left.push((position, waits));
        }
    }

    pub(super) fn learn_begun(&mut self, (position, at): (Position, Timestamp), begun: &Begun) {
        self.begun = Some(begun.begun);
        self.order.clear();
        self.key = match &begun.start {
            Start::Open { key, .. } => key.clone(),
            Start::Plan { .. } | Start::Lost => None,
        };
        self.form = match &begun.start {
            Start::Open { .. } => Some(Form::Open),
            Start::Plan { .. } => Some(Form::Plan),
            Start::Lost => None,
        };
        self.deadline = match &begun.start {
            Start::Open { deadline, .. } => Some(*deadline),
            Start::Plan { deadline, .. } => *deadline,
            Start::Lost => None,
        };
        for spec in begun.start.branches() {
            self.learn_branch(position, spec);
        }
        if begun.start == Start::Lost {
            self.decided = Some((position, Decision::Abort, Cause::Unknown));
            self.ended = Some((position, at, Outcome::AsDecided));
        }
    }

    pub(super) fn learn_branch(
        &mut self,
        position: Position,
        spec: &wholly_core::branch::BranchSpec,
    ) {
        self.order.push((spec.id.clone(), spec.mode, spec.payload.clone()));
        let truth = self.truth_mut(&spec.id);
        (truth.registered, truth.direction) = (Some(position), Some(spec.direction));
    }
}

impl Truth {
    /// Whether its row was asked for, since a copy was put back.
    pub fn was_inspected(&self) -> bool {
        self.carried.iter().any(|(op, _, _)| *op == Op::Inspect)
    }

    /// What its row said to a restored coordinator.
    pub fn row(&self) -> Option<&RowSeen> {
        self.rows.last().and_then(|(_, row)| row.as_ref())
    }

    pub(super) fn learn_answer(&mut self, position: Position, op: Op, answer: &Answer) {
        self.answered = true;
        match (op, answer) {
            (Op::Try | Op::Action, Answer::Done { reply, .. }) => {
                self.reply = Some((position, reply.clone()));
            }
            (Op::Try | Op::Action | Op::Confirm | Op::Cancel | Op::Compensate | Op::Inspect, _) => {
            }
        }
    }

    /// Whether nobody may call it before an operator acts.
    pub fn waits_for_operator(&self) -> bool {
        self.waits.last().is_some_and(|(_, waits)| *waits == Waits::ForOperator)
    }

    /// Whether its effect stands.
    pub fn stands(&self) -> bool {
        self.first.is_some() && !matches!(self.second, Some(Op::Cancel | Op::Compensate))
    }
}
