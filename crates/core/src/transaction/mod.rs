//! A global transaction: the fold of its records.
//!
//! `decide` turns what happened into a fact and changes nothing, `apply` folds one record,
//! `follow` names the fact that the state itself calls for, `due` all calls that should be in
//! flight.

mod decide;
mod restored;
mod view;

pub(crate) use decide::check_open_branch;
pub use decide::{Event, Touched};

use crate::branch::{Answer, Branch, BranchSpec, First, Kept, Op, Second, Share, Standing};
use crate::branch::{Mode, StuckReason};
use crate::ids::Version;
use crate::ids::{BranchId, BranchIndex, Digest, Gid, IdempotencyKey, Name, Principal, Text};
use crate::modes;
use crate::mutants::{self, Mutant};
use crate::record::{Begun, Cause, Class, Decision, Fact, Outcome, Record, Start};
use crate::time::Timestamp;
use alloc::vec::Vec;

/// A transaction as its records tell it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// Its id.
    pub gid: Gid,
    /// Its name.
    pub name: Name,
    /// When it was begun, on the never-repeating clock.
    pub begun: Timestamp,
    /// Who began it.
    pub principal: Principal,
    /// In which form.
    pub form: Form,
    /// How many records it has.
    pub version: Version,
    /// Wall time of the last record.
    pub changed: Timestamp,
    /// Where it stands.
    pub phase: Phase,
    /// Whether everything that was decided of it is in the log.
    pub past: Past,
    /// Its branches, in order of registration.
    pub branches: Vec<Branch>,
}

/// How it began; what makes the same request repeatable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The initiator decides.
    Open {
        /// Presumed aborted after this.
        deadline: Timestamp,
        /// The idempotency key and the digest of the body.
        key: Option<(IdempotencyKey, Digest)>,
    },
    /// The steps decide.
    Plan {
        /// It turns back after this.
        deadline: Option<Timestamp>,
        /// Of the parsed plan.
        digest: Digest,
    },
    /// Its begin was lost in a crash.
    Lost,
}

/// The one lifecycle of all modes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The initiator will decide.
    Open {
        /// Presumed aborted after this.
        deadline: Timestamp,
    },
    /// The steps will decide.
    Forward {
        /// It turns back after this.
        deadline: Option<Timestamp>,
    },
    /// Every branch is being told.
    Finishing {
        /// What was decided.
        verdict: Verdict,
    },
    /// Over.
    Ended {
        /// What was decided.
        verdict: Verdict,
        /// How well it was carried out.
        outcome: Outcome,
    },
}

/// Whether everything that was decided of a transaction is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Past {
    /// It is.
    Known,
    /// It may not be: the log was restored from an older copy, in which it was undecided.
    Lost,
}

/// A decision and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// Commit or abort.
    pub decision: Decision,
    /// Why.
    pub cause: Cause,
    /// The branch that caused it.
    pub branch: Option<BranchIndex>,
    /// Why, for people.
    pub reason: Text,
}

impl Transaction {
    /// A transaction from its first record, which is always a begin.
    pub fn begin(record: &Record) -> Transaction {
        let Fact::Begun(begun) = &record.fact else {
            unreachable!("the first record of a transaction is its begin");
        };
        let (form, phase, specs) = opening(begun);
        Transaction {
            gid: begun.gid.clone(),
            name: begun.name.clone(),
            begun: begun.begun,
            principal: begun.principal.clone(),
            form,
            version: Version(1),
            changed: record.at,
            phase,
            past: Past::Known,
            branches: specs.iter().cloned().map(Branch::new).collect(),
        }
    }

    /// Folds a whole history; none if it is empty.
    pub fn fold(records: &[Record]) -> Option<Transaction> {
        let (first, rest) = records.split_first()?;
        let mut transaction = Transaction::begin(first);
        for record in rest {
            transaction.apply(record);
        }
        Some(transaction)
    }

    /// Folds one more record.
    pub fn apply(&mut self, record: &Record) {
        self.version.0 += 1;
        self.changed = record.at;
        match &record.fact {
            Fact::Begun(_) => unreachable!("a transaction begins once"),
            Fact::Registered(spec) => self.branches.push(Branch::new(spec.clone())),
            Fact::Answered { branch, op, answer, attempts: _ } => {
                modes::apply(&mut self.branches[branch.at()], *op, answer);
            }
            Fact::Decided { decision, cause, branch, reason, out, untouched } => {
                let verdict = Verdict {
                    decision: *decision,
                    cause: *cause,
                    branch: *branch,
                    reason: reason.clone(),
                };
                self.phase = Phase::Finishing { verdict };
                for index in out {
                    self.branches[index.at()].share = Share::Out;
                }
                for index in untouched {
                    self.branches[index.at()].share = Share::Untouched;
                }
                self.account(*decision, *cause);
            }
            Fact::Stuck { branch, reason } => {
                self.branches[branch.at()].standing = Standing::Stuck(reason.clone());
            }
            Fact::Retried { branches, .. } => {
                for index in branches {
                    self.branches[index.at()].standing = self.standing_retried(*index);
                }
            }
            Fact::Parked { reason, .. } => self.park(reason),
            Fact::Resolved { branch, resolution, .. } => {
                let branch = &mut self.branches[branch.at()];
                branch.second = Second::Resolved(*resolution);
            }
            Fact::Restored => self.lose_past(),
            Fact::Inspected { branch, row } => {
                let reason = StuckReason::Restored { row: row.clone() };
                self.branches[branch.at()].standing = Standing::Stuck(reason);
            }
            Fact::Ended { outcome } => self.end(*outcome),
        }
        self.free_settled();
    }

    /// Nothing is waited for where nothing is to be done.
    fn free_settled(&mut self) {
        for at in 0..self.branches.len() {
            if self.branches[at].is_stuck() && self.is_settled(index_of(at)) {
                self.branches[at].standing = Standing::Free;
            }
        }
    }

    fn park(&mut self, reason: &Text) {
        for at in 0..self.branches.len() {
            let index = index_of(at);
            if !self.is_settled(index) && !self.branches[at].is_stuck() {
                let reason = StuckReason::Parked { reason: reason.clone() };
                self.branches[at].standing = Standing::Stuck(reason);
            }
        }
    }

    fn end(&mut self, outcome: Outcome) {
        let Some(verdict) = self.verdict().cloned() else {
            unreachable!("a transaction ends after its decision");
        };
        self.phase = Phase::Ended { verdict, outcome };
    }

    /// The first branch that waits for an operator, and why.
    pub fn first_stuck(&self) -> Option<(&BranchId, &StuckReason)> {
        self.branches.iter().find_map(|branch| match &branch.standing {
            Standing::Free => None,
            Standing::Stuck(why) => Some((&branch.spec.id, why)),
        })
    }

    /// The decision, once there is one.
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.phase {
            Phase::Open { .. } | Phase::Forward { .. } => None,
            Phase::Finishing { verdict } | Phase::Ended { verdict, .. } => Some(verdict),
        }
    }

    /// When silence decides, while it still can.
    pub fn deadline(&self) -> Option<Timestamp> {
        match (&self.phase, self.past) {
            (Phase::Open { deadline }, Past::Known) => Some(*deadline),
            (Phase::Forward { deadline }, Past::Known) => *deadline,
            (Phase::Open { .. } | Phase::Forward { .. }, Past::Lost)
            | (Phase::Finishing { .. } | Phase::Ended { .. }, _) => None,
        }
    }

    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    /// The branch of that name.
    pub fn find(&self, id: &BranchId) -> Option<BranchIndex> {
        self.branches.iter().position(|branch| branch.spec.id == *id).map(index_of)
    }

    /// Whether nothing more is to be done for a branch; before the decision, whether its first
    /// op is known.
    pub fn is_settled(&self, index: BranchIndex) -> bool {
        let branch = &self.branches[index.at()];
        match &self.phase {
            Phase::Open { .. } | Phase::Forward { .. } if self.past == Past::Lost => false,
            Phase::Open { .. } | Phase::Forward { .. } => {
                branch.spec.direction == crate::branch::Direction::Reversible
                    && !matches!(branch.first, First::Unknown)
            }
            Phase::Finishing { verdict } => modes::is_settled(branch, verdict.decision),
            Phase::Ended { .. } => true,
        }
    }

    /// All calls that should be in flight.
    pub fn due(&self) -> Vec<(BranchIndex, Op)> {
        match self.past {
            Past::Known => modes::due(self),
            Past::Lost => self.due_inspections(),
        }
    }

    /// The fact that the state itself calls for.
    pub fn follow(&self, touched: Touched<'_>) -> Option<Fact> {
        if self.past == Past::Lost {
            return self.follow_restored(touched);
        }
        match &self.phase {
            Phase::Open { .. } | Phase::Ended { .. } => None,
            Phase::Forward { .. } => modes::follow(self, touched),
            Phase::Finishing { verdict } => self.follow_finishing(verdict.decision),
        }
    }

    fn follow_finishing(&self, decision: Decision) -> Option<Fact> {
        let settled = |branch: &Branch| modes::is_settled(branch, decision);
        self.branches.iter().all(settled).then(|| Fact::Ended { outcome: self.outcome(decision) })
    }

    /// Any branch known to differ: mixed; else any unknown: hazard; else as decided.
    fn outcome(&self, decision: Decision) -> Outcome {
        let mut outcome = Outcome::AsDecided;
        for branch in &self.branches {
            match modes::standing(branch, decision) {
                Outcome::AsDecided => {}
                Outcome::Mixed => return Outcome::Mixed,
                Outcome::Hazard => outcome = Outcome::Hazard,
            }
        }
        outcome
    }

    /// How soon a fact about this transaction must be durable.
    pub fn class(&self, fact: &Fact) -> Class {
        match fact {
            Fact::Begun(begun) => match &begun.start {
                Start::Open { branches, .. } if branches.is_empty() => Class::Lazy,
                Start::Open { .. } | Start::Plan { .. } | Start::Lost => Class::Forced,
            },
            Fact::Registered(_) if mutants::is_on(Mutant::RegistrationNotForced) => Class::Lazy,
            Fact::Resolved { .. } if mutants::is_on(Mutant::ResolveNotForced) => Class::Lazy,
            Fact::Decided { decision, .. } if mutants::is_on(unforced(*decision)) => Class::Lazy,
            Fact::Registered(_)
            | Fact::Decided { .. }
            | Fact::Retried { .. }
            | Fact::Parked { .. }
            | Fact::Resolved { .. }
            | Fact::Restored => Class::Forced,
            Fact::Answered { branch, op, answer, .. } => self.class_of_answer(*branch, *op, answer),
            Fact::Stuck { .. } | Fact::Inspected { .. } | Fact::Ended { .. } => Class::Lazy,
        }
    }

    /// A refusal that may be answered otherwise next time is forced before it is told, and a
    /// reply that may, before another step reads it.
    fn class_of_answer(&self, index: BranchIndex, op: Op, answer: &Answer) -> Class {
        let again = match answer {
            Answer::Done { .. } if !self.is_read(index, op) => return Class::Lazy,
            Answer::Done { kept, .. } => *kept,
            Answer::Refused(refusal) => refusal.kept,
            Answer::Working | Answer::Unknown { .. } => return Class::Lazy,
        };
        match again {
            Kept::Kept => Class::Lazy,
            Kept::NotKept if mutants::is_on(Mutant::LazyReplyPassedOn) => Class::Lazy,
            Kept::NotKept => Class::Forced,
        }
    }

    /// Whether another step may yet be given this answer.
    fn is_read(&self, index: BranchIndex, op: Op) -> bool {
        let aborted = self.verdict().is_some_and(|verdict| verdict.decision == Decision::Abort);
        op == Op::Action
            && !aborted
            && self.branches.iter().any(|branch| branch.spec.reads.contains(&index))
    }
}

fn opening(begun: &Begun) -> (Form, Phase, &[BranchSpec]) {
    match &begun.start {
        Start::Open { deadline, key, branches } => (
            Form::Open { deadline: *deadline, key: key.clone() },
            Phase::Open { deadline: *deadline },
            branches,
        ),
        Start::Plan { deadline, digest, steps } => (
            Form::Plan { deadline: *deadline, digest: *digest },
            Phase::Forward { deadline: *deadline },
            steps,
        ),
        Start::Lost => {
            let verdict = Verdict {
                decision: Decision::Abort,
                cause: Cause::Unknown,
                branch: None,
                reason: Text::default(),
            };
            (Form::Lost, Phase::Ended { verdict, outcome: Outcome::AsDecided }, &[])
        }
    }
}

/// The bug in which a decision does not wait for the disk.
fn unforced(decision: Decision) -> Mutant {
    match decision {
        Decision::Commit => Mutant::CommitNotForced,
        Decision::Abort => Mutant::TurnNotForced,
    }
}

/// The index of a place among the branches.
pub(crate) fn index_of(at: usize) -> BranchIndex {
    BranchIndex(u16::try_from(at).expect("branches_max fits u16"))
}

/// The modes of some branches, each once.
fn modes_of(branches: &[Branch]) -> Vec<Mode> {
    let mut modes: Vec<Mode> = Vec::new();
    for branch in branches {
        if !modes.contains(&branch.spec.mode) {
            modes.push(branch.spec.mode);
        }
    }
    modes
}
