//! Restored: a transaction that was undecided in a log restored from an older copy. What was
//! decided since is read off the participants' rows where they prove it; else an operator says.

use super::{Event, Form, Past, Phase, Touched, Transaction, index_of};
use crate::branch::{Branch, Direction, First, Kept, Op, RowSeen, Share, Standing, StuckReason};
use crate::ids::{BranchIndex, Text};
use crate::modes;
use crate::mutants::{self, Mutant};
use crate::record::{Cause, Decision, Fact};
use crate::rejection::Rejection;
use alloc::vec::Vec;

impl Transaction {
    /// Nothing but evidence and an operator decides it from here on.
    pub(super) fn lose_past(&mut self) {
        self.past = Past::Lost;
        for branch in &mut self.branches {
            branch.standing = Standing::Stuck(StuckReason::Restored { row: RowSeen::NotAsked });
        }
    }

    /// How a branch stands after a retry: it is inspected once more, or called again.
    pub(super) fn standing_retried(&self, index: BranchIndex) -> Standing {
        match self.past {
            Past::Known if self.needs_word(index) => self.branches[index.at()].standing.clone(),
            Past::Known => Standing::Free,
            Past::Lost => Standing::Stuck(StuckReason::Restored { row: RowSeen::NotAsked }),
        }
    }

    /// Whether a branch has no call that could settle it, only an operator's word: it cannot be
    /// taken back, or nobody can read its row any more.
    pub(super) fn needs_word(&self, index: BranchIndex) -> bool {
        let branch = &self.branches[index.at()];
        match (self.past, branch.spec.direction, branch.restored()) {
            (Past::Known, Direction::ForwardOnly, Some(_))
            | (Past::Known, Direction::Reversible, Some(RowSeen::Stale)) => true,
            (Past::Known, Direction::Reversible | Direction::ForwardOnly, _)
            | (Past::Lost, _, _) => false,
        }
    }

    /// It is decided: what the rows say of the first ops is known from here on, and the branches
    /// are called, but for those of which nobody can tell whether the commit took them.
    pub(super) fn account(&mut self, decision: Decision, cause: Cause) {
        self.past = Past::Known;
        let is_plan = self.is_plan();
        for branch in &mut self.branches {
            let Some(row) = branch.restored().cloned() else { continue };
            let doubtful = match (decision, is_plan) {
                (Decision::Abort, true) if mutants::is_on(Mutant::LeftStanding) => false,
                (Decision::Commit, _)
                    if row == RowSeen::Stale && mutants::is_on(Mutant::StaleSettles) =>
                {
                    false
                }
                (Decision::Abort, true) => may_stand_for_good(branch, &row),
                (Decision::Abort, false) => false,
                (Decision::Commit, true) => row == RowSeen::Stale,
                (Decision::Commit, false) => {
                    branch.share == Share::In
                        && match cause {
                            Cause::Operator => row == RowSeen::Stale,
                            Cause::Initiator
                            | Cause::Refusal
                            | Cause::Unknown
                            | Cause::Deadline => is_doubtful(branch, &row),
                        }
                }
            };
            if !doubtful {
                branch.standing = Standing::Free;
            }
            if let (First::Unknown, Some(reply)) = (&branch.first, reply_of(&row)) {
                branch.first = First::Done { reply: reply.clone(), kept: Kept::Kept };
            }
        }
    }

    /// What clients and time may not do while its past is lost.
    pub(super) fn check_past(&self, event: Event<'_>) -> Result<(), Rejection> {
        let may = match event {
            Event::Register(_) | Event::Commit { .. } => false,
            Event::Abort { cause, .. } => cause == Cause::Operator,
            Event::Answered { .. }
            | Event::Inspected { .. }
            | Event::Account { .. }
            | Event::Retry { .. }
            | Event::Park { .. }
            | Event::Resolve { .. } => true,
        };
        match self.past {
            Past::Lost if !may => Err(Rejection::Unaccounted { gid: self.gid.clone() }),
            Past::Lost | Past::Known => Ok(()),
        }
    }

    /// Every row that has not been read.
    pub(super) fn due_inspections(&self) -> Vec<(BranchIndex, Op)> {
        let unread = |branch: &Branch| branch.restored() == Some(&RowSeen::NotAsked);
        let indexes = (0..self.branches.len()).filter(|at| unread(&self.branches[*at]));
        indexes.map(|at| (index_of(at), Op::Inspect)).collect()
    }

    pub(super) fn decide_inspected(&self, index: BranchIndex, row: &RowSeen) -> Option<Fact> {
        let asked = self.branches[index.at()].restored() == Some(&RowSeen::NotAsked);
        (asked && self.past == Past::Lost)
            .then(|| Fact::Inspected { branch: index, row: row.clone() })
    }

    /// Once every row has been read: the decision that one of them proves, if any.
    pub(super) fn follow_restored(&self, touched: Touched<'_>) -> Option<Fact> {
        let mut proof = None;
        for (at, branch) in self.branches.iter().enumerate() {
            match branch.restored() {
                Some(RowSeen::NotAsked) if mutants::is_on(Mutant::FirstProof) => {}
                Some(RowSeen::NotAsked) | None => return None,
                Some(row) => match (modes::proves(branch, row, &self.form), proof) {
                    (Some(Decision::Commit), None | Some((_, Decision::Abort)))
                    | (Some(Decision::Abort), None) => {
                        proof = modes::proves(branch, row, &self.form).map(|d| (index_of(at), d));
                    }
                    (Some(_) | None, _) => {}
                },
            }
        }
        match proof? {
            (index, Decision::Abort) => {
                let reason = self.told_by(index, Decision::Abort);
                Some(self.abort(Cause::Unknown, reason, Some(index), touched))
            }
            (index, Decision::Commit) => {
                let reason = self.told_by(index, Decision::Commit);
                self.first_missing().is_none().then(|| Fact::Decided {
                    decision: Decision::Commit,
                    cause: Cause::Initiator,
                    branch: None,
                    reason,
                    out: self.left_out(),
                    untouched: Vec::new(),
                })
            }
        }
    }

    fn told_by(&self, index: BranchIndex, decision: Decision) -> Text {
        let id = &self.branches[index.at()].spec.id;
        let word = match decision {
            Decision::Commit => "committed",
            Decision::Abort => "not committed",
        };
        Text::cut(&alloc::format!("restored from a copy; the row of {id} proves it was {word}"))
    }

    /// An operator's word that it was committed, or shall be.
    pub(super) fn decide_account(&self, reason: &Text) -> Result<Option<Fact>, Rejection> {
        let wrong = |why| Err(Rejection::WrongPhase { gid: self.gid.clone(), why });
        match (&self.phase, self.past) {
            (Phase::Ended { .. } | Phase::Finishing { .. }, _) => {
                return self.already(Decision::Commit);
            }
            (Phase::Open { .. } | Phase::Forward { .. }, Past::Known) => {
                return wrong(
                    "its initiator or its steps commit it; an operator only commits \
                              what was undecided in a restored log",
                );
            }
            (Phase::Open { .. } | Phase::Forward { .. }, Past::Lost) => {}
        }
        // Also of a branch that was done when the copy was made: it may have been taken back since.
        let unread = |branch: &Branch| branch.restored() == Some(&RowSeen::NotAsked);
        if self.branches.iter().any(unread) && !mutants::is_on(Mutant::CommittedUnread) {
            return wrong(
                "a participant has not said how its branch stands; make it answer, then \
                          ask again",
            );
        }
        if self.first_missing().is_some() {
            return wrong(
                "a step of its plan has not been done, so it was not committed; abort it",
            );
        }
        Ok(Some(Fact::Decided {
            decision: Decision::Commit,
            cause: Cause::Operator,
            branch: None,
            reason: reason.clone(),
            out: self.left_out(),
            untouched: Vec::new(),
        }))
    }

    /// A step of a plan that a commit needs and of which nobody says that it was done.
    fn first_missing(&self) -> Option<BranchIndex> {
        let missing = |branch: &Branch| {
            let done = matches!(branch.first, First::Done { .. });
            // Of a stale one nobody can tell any more: it stays stuck after the decision.
            let tried = matches!(branch.restored(), Some(RowSeen::Tried { .. } | RowSeen::Stale));
            branch.spec.direction == Direction::Reversible && !done && !tried
        };
        match self.form {
            Form::Plan { .. } => self.branches.iter().position(missing).map(index_of),
            Form::Open { .. } | Form::Lost => None,
        }
    }

    /// Branches that a commit cannot have taken: nothing of theirs stands.
    fn left_out(&self) -> Vec<BranchIndex> {
        let is_out = |branch: &Branch| match (&branch.first, branch.restored()) {
            (First::Done { .. }, _) => false,
            (
                First::Unknown | First::Refused(_),
                Some(
                    RowSeen::Absent
                    | RowSeen::Cancelled { .. }
                    | RowSeen::NullCancelled
                    | RowSeen::Refused,
                ),
            ) => true,
            (
                First::Unknown | First::Refused(_),
                Some(
                    RowSeen::NotAsked
                    | RowSeen::Stale
                    | RowSeen::Tried { .. }
                    | RowSeen::Confirmed { .. },
                )
                | None,
            ) => false,
        };
        match self.form {
            Form::Plan { .. } => Vec::new(),
            Form::Open { .. } | Form::Lost => (0..self.branches.len())
                .filter(|at| is_out(&self.branches[*at]))
                .map(index_of)
                .collect(),
        }
    }
}

/// Whether a commit may have taken a branch or left it out: it was not known done when the copy
/// was made, so its initiator may have seen it refused, and a late copy of its call took effect.
fn is_doubtful(branch: &Branch, row: &RowSeen) -> bool {
    match row {
        RowSeen::Tried { .. } => !matches!(branch.first, First::Done { .. }),
        // Nobody can tell: what was done when the copy was made may have been taken back since.
        RowSeen::Stale => true,
        RowSeen::NotAsked
        | RowSeen::Absent
        | RowSeen::Confirmed { .. }
        | RowSeen::Cancelled { .. }
        | RowSeen::NullCancelled
        | RowSeen::Refused => false,
    }
}

/// Whether a step that cannot be taken back may have been done: an abort, by an operator who did
/// not know, leaves it standing.
fn may_stand_for_good(branch: &Branch, row: &RowSeen) -> bool {
    let may_stand = match row {
        RowSeen::NotAsked
        | RowSeen::Stale
        | RowSeen::Tried { .. }
        | RowSeen::Confirmed { .. }
        | RowSeen::Refused => true,
        RowSeen::Absent | RowSeen::Cancelled { .. } | RowSeen::NullCancelled => false,
    };
    branch.spec.direction == Direction::ForwardOnly && may_stand
}

/// What the first op replied, where the row says that it took effect.
fn reply_of(row: &RowSeen) -> Option<&crate::ids::Body> {
    match row {
        RowSeen::Tried { reply } | RowSeen::Confirmed { reply } | RowSeen::Cancelled { reply } => {
            Some(reply)
        }
        RowSeen::NotAsked
        | RowSeen::Absent
        | RowSeen::Stale
        | RowSeen::NullCancelled
        | RowSeen::Refused => None,
    }
}
