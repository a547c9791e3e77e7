//! What an input makes of a transaction: a fact, nothing, or a rejection.

use super::{Form, Past, Phase, Transaction, index_of};
use crate::branch::{Answer, BranchSpec, Caller, Direction, First, Op, Resolution, RowSeen};
use crate::ids::{BranchId, BranchIndex, Principal, Text};
use crate::limits::Limits;
use crate::modes;
use crate::mutants::{self, Mutant};
use crate::record::{Cause, Decision, Fact};
use crate::rejection::Rejection;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What happened to a transaction.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A branch is to be added.
    Register(&'a BranchSpec),
    /// The initiator wants to commit, having seen these tried and those refused.
    Commit {
        /// Done, as the initiator saw it.
        tried: &'a [BranchId],
        /// Refused, as the initiator saw it.
        refused: &'a [BranchId],
    },
    /// Somebody wants to abort, or time is over.
    Abort {
        /// Who or what.
        cause: Cause,
        /// For people.
        reason: &'a Text,
        /// The branch that made it so.
        branch: Option<&'a BranchId>,
    },
    /// An inspection said what a row says.
    Inspected {
        /// Of which branch.
        branch: BranchIndex,
        /// What it says.
        row: &'a RowSeen,
    },
    /// An operator commits what a restore left undecided.
    Account {
        /// Why.
        reason: &'a Text,
    },
    /// A call was answered.
    Answered {
        /// Of which branch.
        branch: BranchIndex,
        /// What had been asked.
        op: Op,
        /// What came.
        answer: &'a Answer,
        /// After how many sendings.
        attempts: u32,
    },
    /// An operator lets one stuck branch, or all, be called again.
    Retry {
        /// One, or all.
        branch: Option<&'a BranchId>,
        /// Who.
        by: &'a Principal,
        /// Why.
        reason: &'a Text,
    },
    /// An operator parks it.
    Park {
        /// Who.
        by: &'a Principal,
        /// Why.
        reason: &'a Text,
    },
    /// An operator says how a stuck branch stands.
    Resolve {
        /// Which.
        branch: &'a BranchId,
        /// How.
        resolution: Resolution,
        /// Who.
        by: &'a Principal,
        /// Why.
        reason: &'a Text,
    },
}

/// Which branches may have been called: all of them after a restart, else those that were.
#[derive(Clone, Copy)]
pub struct Touched<'a>(pub &'a dyn Fn(BranchIndex) -> bool);

impl Transaction {
    /// Turns what happened into a fact, or into nothing where it is already so.
    pub fn decide(
        &self,
        event: Event<'_>,
        limits: &Limits,
        touched: Touched<'_>,
    ) -> Result<Option<Fact>, Rejection> {
        self.check_past(event)?;
        match event {
            Event::Register(spec) => self.decide_register(spec, limits),
            Event::Commit { tried, refused } => self.decide_commit(tried, refused, touched),
            Event::Abort { cause, reason, branch } => {
                self.decide_abort(cause, reason, branch, touched)
            }
            Event::Inspected { branch, row } => Ok(self.decide_inspected(branch, row)),
            Event::Account { reason } => self.decide_account(reason),
            // What was asked before the log was lost is asked again once it is decided.
            Event::Answered { .. } if self.past == Past::Lost => Ok(None),
            Event::Answered { branch, op, answer, attempts } => {
                Ok(modes::decide(self, branch, op, answer, attempts))
            }
            Event::Retry { branch, by, reason } => self.decide_retry(branch, by, reason),
            Event::Park { by, reason } => self.decide_park(by, reason),
            Event::Resolve { branch, resolution, by, reason } => {
                self.decide_resolve(branch, resolution, by, reason)
            }
        }
    }

    fn decide_register(
        &self,
        spec: &BranchSpec,
        limits: &Limits,
    ) -> Result<Option<Fact>, Rejection> {
        match (&self.phase, &self.form) {
            (Phase::Open { .. }, _) => {}
            (Phase::Forward { .. }, _) => return Err(Rejection::NotOpen { gid: self.gid.clone() }),
            (Phase::Finishing { .. } | Phase::Ended { .. }, Form::Plan { .. }) => {
                return Err(Rejection::NotOpen { gid: self.gid.clone() });
            }
            (Phase::Finishing { .. } | Phase::Ended { .. }, Form::Open { .. } | Form::Lost) => {
                return Err(self.decided());
            }
        }
        if let Some(index) = self.find(&spec.id) {
            return match self.branches[index.at()].spec == *spec {
                true => Ok(None),
                false => {
                    Err(Rejection::BranchTaken { gid: self.gid.clone(), branch: spec.id.clone() })
                }
            };
        }
        if self.branches.len() >= limits.branches_max {
            let max = limits.branches_max as u64;
            return Err(Rejection::TooLarge { limit: "branches_max", max });
        }
        check_open_branch(spec, limits)?;
        Ok(Some(Fact::Registered(spec.clone())))
    }

    fn decide_commit(
        &self,
        tried: &[BranchId],
        refused: &[BranchId],
        touched: Touched<'_>,
    ) -> Result<Option<Fact>, Rejection> {
        match (&self.phase, &self.form) {
            (Phase::Open { .. }, _) => {}
            (Phase::Forward { .. }, _) => return Err(Rejection::NotOpen { gid: self.gid.clone() }),
            (Phase::Finishing { .. } | Phase::Ended { .. }, _) => {
                return self.already(Decision::Commit);
            }
        }
        let tried = self.named(tried)?;
        let refused = self.named(refused)?;
        let mut out = Vec::new();
        for (at, branch) in self.branches.iter().enumerate() {
            let index = index_of(at);
            match (tried.contains(&index), refused.contains(&index)) {
                (true, true) => {
                    let branch = branch.spec.id.clone();
                    return Err(Rejection::BranchContradicted { branch });
                }
                (false, true) if mutants::is_on(Mutant::RefusedListIgnored) => {}
                (false, true) => out.push(index),
                (true, false) if !matches!(branch.first, First::Refused(_)) => {}
                (false, false) if matches!(branch.first, First::Done { .. }) => {}
                (false, false) if branch.is_refused_and_kept() => out.push(index),
                (false, false) if mutants::is_on(Mutant::CommitIgnoresUnknown) => {}
                (true, false) | (false, false) => {
                    return Ok(Some(self.abort(
                        Cause::Unknown,
                        Text::default(),
                        Some(index),
                        touched,
                    )));
                }
            }
        }
        Ok(Some(Fact::Decided {
            decision: Decision::Commit,
            cause: Cause::Initiator,
            branch: None,
            reason: Text::default(),
            out,
            untouched: Vec::new(),
        }))
    }

    fn decide_abort(
        &self,
        cause: Cause,
        reason: &Text,
        branch: Option<&BranchId>,
        touched: Touched<'_>,
    ) -> Result<Option<Fact>, Rejection> {
        match &self.phase {
            Phase::Open { .. } | Phase::Forward { .. } => {}
            Phase::Finishing { .. } if mutants::is_on(Mutant::DecidesTwice) => {}
            Phase::Finishing { .. } | Phase::Ended { .. } => return self.already(Decision::Abort),
        }
        let branch = match branch {
            Some(id) => Some(self.known(id)?),
            None => None,
        };
        Ok(Some(self.abort(cause, reason.clone(), branch, touched)))
    }

    /// The decision to abort; for a saga, the turn.
    pub(crate) fn abort(
        &self,
        cause: Cause,
        reason: Text,
        branch: Option<BranchIndex>,
        touched: Touched<'_>,
    ) -> Fact {
        let untouched = self
            .indexes()
            .filter(|index| {
                let branch = &self.branches[index.at()];
                branch.spec.caller == Caller::Coordinator
                    && matches!(branch.first, First::Unknown)
                    && branch.spec.direction == Direction::Reversible
                    && !touched.0(*index)
            })
            .collect();
        Fact::Decided {
            decision: Decision::Abort,
            cause,
            branch,
            reason,
            out: Vec::new(),
            untouched,
        }
    }

    fn decide_retry(
        &self,
        branch: Option<&BranchId>,
        by: &Principal,
        reason: &Text,
    ) -> Result<Option<Fact>, Rejection> {
        if self.is_ended() {
            return Err(Rejection::AlreadyEnded { gid: self.gid.clone() });
        }
        let branches: Vec<BranchIndex> = match branch {
            Some(id) => Vec::from([self.known(id)?]),
            None => self.indexes().filter(|index| self.branches[index.at()].is_stuck()).collect(),
        };
        let his: Vec<_> = branches.iter().filter(|index| self.needs_word(**index)).collect();
        let is_all_his = !his.is_empty() && his.len() == branches.len();
        if is_all_his && (branch.is_some() || self.due().is_empty()) {
            return Err(Rejection::WrongPhase {
                gid: self.gid.clone(),
                why: "what is stuck has no call that could settle it; look into the \
                      participant's books, and resolve each branch",
            });
        }
        let branches = branches.into_iter().filter(|index| !self.needs_word(*index)).collect();
        Ok(Some(Fact::Retried { branches, by: by.clone(), reason: reason.clone() }))
    }

    fn decide_park(&self, by: &Principal, reason: &Text) -> Result<Option<Fact>, Rejection> {
        match &self.phase {
            Phase::Open { .. } | Phase::Forward { .. } if self.past == Past::Lost => {
                Err(Rejection::WrongPhase {
                    gid: self.gid.clone(),
                    why: "it waits for you since the log was restored; commit or abort it",
                })
            }
            Phase::Open { .. } => Err(Rejection::WrongPhase {
                gid: self.gid.clone(),
                why: "it is open, and its deadline will end it; abort it, or wait for its decision",
            }),
            Phase::Ended { .. } => Err(Rejection::AlreadyEnded { gid: self.gid.clone() }),
            Phase::Forward { .. } | Phase::Finishing { .. } => {
                Ok(Some(Fact::Parked { by: by.clone(), reason: reason.clone() }))
            }
        }
    }

    fn decide_resolve(
        &self,
        branch: &BranchId,
        resolution: Resolution,
        by: &Principal,
        reason: &Text,
    ) -> Result<Option<Fact>, Rejection> {
        let index = self.known(branch)?;
        match &self.phase {
            Phase::Open { .. } | Phase::Forward { .. } => Err(Rejection::WrongPhase {
                gid: self.gid.clone(),
                why: "it is not decided, so no branch can be resolved; decide it first",
            }),
            Phase::Ended { .. } => Err(Rejection::AlreadyEnded { gid: self.gid.clone() }),
            Phase::Finishing { .. } if !self.branches[index.at()].is_stuck() => {
                Err(Rejection::NotStuck { branch: branch.clone() })
            }
            Phase::Finishing { .. } => Ok(Some(Fact::Resolved {
                branch: index,
                resolution,
                by: by.clone(),
                reason: reason.clone(),
            })),
        }
    }

    fn indexes(&self) -> impl Iterator<Item = BranchIndex> + use<> {
        (0..self.branches.len()).map(index_of)
    }

    /// The same decision again changes nothing; the other one is refused.
    pub(super) fn already(&self, wish: Decision) -> Result<Option<Fact>, Rejection> {
        match self.verdict() {
            Some(verdict) if verdict.decision == wish => Ok(None),
            Some(_) | None => Err(self.decided()),
        }
    }

    /// The rejection that shows how it was decided.
    pub fn decided(&self) -> Rejection {
        Rejection::Decided { document: Box::new(self.document()) }
    }

    fn named(&self, ids: &[BranchId]) -> Result<Vec<BranchIndex>, Rejection> {
        ids.iter().map(|id| self.known(id)).collect()
    }

    fn known(&self, id: &BranchId) -> Result<BranchIndex, Rejection> {
        self.find(id)
            .ok_or_else(|| Rejection::BranchUnknown { gid: self.gid.clone(), branch: id.clone() })
    }
}

/// Whether a branch can stand in an open transaction.
pub(crate) fn check_open_branch(spec: &BranchSpec, limits: &Limits) -> Result<(), Rejection> {
    if spec.payload.len() > limits.payload_bytes_max {
        let max = limits.payload_bytes_max as u64;
        return Err(Rejection::TooLarge { limit: "payload_bytes_max", max });
    }
    if !spec.after.is_empty() || !spec.reads.is_empty() {
        return Err(Rejection::BranchInvalid {
            branch: spec.id.clone(),
            why: "a branch of an open transaction waits for no other; submit a plan instead",
        });
    }
    match spec.direction {
        Direction::Reversible => Ok(()),
        Direction::ForwardOnly => Err(Rejection::BranchInvalid {
            branch: spec.id.clone(),
            why: "a forward-only step belongs into a plan; submit one instead",
        }),
    }
}
