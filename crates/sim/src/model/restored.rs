//! What a copy that was put back leaves of the model: what was told stays told, what stood in the
//! log is gone.

use super::{Case, Ledger, Truth, Waits};
use wholly_core::branch::{Branch, Direction, RowSeen, Second};
use wholly_core::ids::{Gid, Position};
use wholly_core::record::{Cause, Decision};
use wholly_core::time::Timestamp;

/// Whether the log knows what became of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Past {
    /// It does.
    #[default]
    Known,
    /// A copy was put back in which it was undecided.
    Undecided,
    /// A copy was put back in which it was decided, and had not ended.
    Decided,
    /// A copy was put back in which it was not yet begun.
    Gone,
}

impl Ledger {
    /// Whether it was begun after a copy that was put back.
    pub fn is_gone(&self, gid: &Gid) -> bool {
        self.cases.get(gid).is_some_and(|case| case.past == Past::Gone)
    }

    /// A copy was put back: all that came after it is lost, though it was durable and told.
    pub(super) fn lose_after(&mut self, position: Position) {
        self.needed = self.needed.min(position);
        let lost = self.marks.iter().filter(|(at, _)| *at > position).map(|(_, mark)| mark.limit);
        self.limit_lost = lost.fold(self.limit_lost, Timestamp::max);
        for case in self.cases.values_mut() {
            let in_copy = |at: Position| at <= position;
            let begun = case.states.first().is_some_and(|(at, _)| in_copy(*at));
            let decided = case.decided.is_some_and(|(at, _, _)| in_copy(at));
            let ended = case.ended.is_some_and(|(at, _, _)| in_copy(at));
            case.past = match (begun, decided, ended) {
                (false, _, _) => Past::Gone,
                (true, false, _) => Past::Undecided,
                (true, true, false) => Past::Decided,
                (true, true, true) => Past::Known,
            };
            if !ended {
                case.told_outcome = None;
            }
            for truth in case.branches.values_mut() {
                truth.carried.clear();
            }
        }
    }
}

impl Case {
    /// Whether a restore left it undecided, and nothing has decided it since.
    pub fn is_unaccounted(&self) -> bool {
        self.past == Past::Undecided && self.decided.is_none()
    }

    /// Whether a restore left it undecided, and nothing up to a position has decided it since.
    pub fn was_unaccounted(&self, through: Position) -> bool {
        let decided = self.decided.is_some_and(|(at, _, _)| at <= through);
        self.past == Past::Undecided && !decided
    }

    /// Whether an operator decided what a restore had left undecided.
    pub fn is_by_operator(&self) -> bool {
        let cause = self.decided.map(|(_, _, cause)| cause);
        self.past == Past::Undecided && cause == Some(Cause::Operator)
    }

    /// The same, and he aborted it.
    pub fn is_aborted_by_operator(&self) -> bool {
        let decision = self.decided.map(|(_, decision, _)| decision);
        self.is_by_operator() && decision == Some(Decision::Abort)
    }

    /// Whether a restore left a branch in doubt, so that whether the commit took it is nobody's
    /// claim but an operator's.
    pub fn leaves_in_doubt(&self, branch: &Branch) -> bool {
        let is_his = branch.restored().is_some() || matches!(branch.second, Second::Resolved(_));
        self.past == Past::Undecided && is_his
    }

    /// Whether a restore left it, or a branch of it, to an operator.
    pub(super) fn is_left(&self) -> bool {
        self.left.last().is_some_and(|(_, waits)| *waits == Waits::ForOperator)
    }
}

impl Truth {
    /// Whether it may be that only an operator's word settles it: nobody can read its row any
    /// more, or it cannot be taken back.
    pub fn may_need_word(&self) -> bool {
        let row = self.rows.last().and_then(|(_, row)| row.as_ref());
        let is_for_good = self.direction == Some(Direction::ForwardOnly);
        let is_unclear = is_for_good || row == Some(&RowSeen::Stale);
        is_unclear && self.resolved.is_none()
    }

    /// What its row says, and keeps of the reply to its first op.
    pub(super) fn learn_row(&mut self, position: Position, row: &RowSeen) {
        self.rows.push((position, Some(row.clone())));
        match row {
            RowSeen::Tried { reply }
            | RowSeen::Confirmed { reply }
            | RowSeen::Cancelled { reply } => {
                self.reply.get_or_insert_with(|| (position, reply.clone()));
            }
            RowSeen::NotAsked
            | RowSeen::Absent
            | RowSeen::Stale
            | RowSeen::NullCancelled
            | RowSeen::Refused => {}
        }
    }
}
