//! An older copy of the coordinator's disk: taken once, put back much later, and told from its own.

use super::{Coordinator, Death};
use crate::cells::Struck;
use crate::model::{Past, Truth};
use crate::network::{Letter, Sender};
use crate::row;
use crate::tally::Fault;
use crate::world::{Copies, Stage};
use wholly_core::branch::{Answer, Direction, Op};
use wholly_core::ids::CallId;
use wholly_core::input::Input;
use wholly_core::time::Timestamp;

/// What the data folder says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folder {
    /// That it is the one it was.
    Own,
    /// That it is an older copy, and nobody has started on it yet.
    PutBack,
    /// The same, for whoever started died before the log said so.
    NotSaidYet,
}

/// What came of a call, as the driver hears it: of an inspection, what the row says.
pub(super) fn input_of(call: CallId, op: Op, answer: Answer) -> Input {
    match op {
        Op::Inspect => match row::heard(answer) {
            Ok(row) => Input::Inspected { call, row },
            Err(answer) => Input::Answered { call, answer },
        },
        Op::Try | Op::Confirm | Op::Cancel | Op::Action | Op::Compensate => {
            Input::Answered { call, answer }
        }
    }
}

impl Coordinator {
    /// Where its disk is a copy that was put back: up to when its past is lost. Whoever puts a copy
    /// back sees to it that the clock is not behind.
    pub(super) fn restored(&self, stage: &Stage) -> Option<Timestamp> {
        match self.folder {
            Folder::Own => None,
            Folder::PutBack | Folder::NotSaidYet => {
                let wall = stage.clock.read(stage.now_us).wall;
                Some(wall.max(stage.court.ledger.begun_max))
            }
        }
    }

    /// Its disk is copied, and much later lost: the copy is put back.
    pub(super) fn tick_copy(&mut self, stage: &mut Stage) {
        if stage.copies != Copies::One {
            return;
        }
        match self.copy.take() {
            // With a rotten bit in it, it would be of no use.
            None if stage.chance.below(8) == 0 && self.rot.is_none() => {
                self.copy = Some((self.disk.at_worst(), self.twin_copy()));
            }
            None => {}
            Some(copy) if stage.strikes(Fault::CopyPutBack, Struck::Everybody) => {
                // One that is down is about to be started: once is enough.
                if self.process.is_some() {
                    self.die(Death::Stopped, stage);
                }
                (self.disk, self.twin) = copy;
                self.rot = None;
                self.folder = Folder::PutBack;
                stage.copies = Copies::PutBack { at_us: stage.now_us, life: self.life };
            }
            Some(copy) => self.copy = Some(copy),
        }
    }
}

/// Whether a call rests on a decision that a copy put back does not know, and would come after its
/// row was read there or another decision made: nobody puts a copy back before such calls are gone.
pub(crate) fn outlives_a_restore(letter: &Letter, stage: &Stage) -> bool {
    let (Copies::PutBack { life, .. }, Sender::Coordinator { life: sent, .. }) =
        (stage.copies, letter.from)
    else {
        return false;
    };
    let ledger = &stage.court.ledger;
    let rests_on_a_decision = match letter.op {
        Op::Confirm | Op::Cancel | Op::Compensate => true,
        Op::Action => ledger
            .wanted(&letter.payload)
            .is_some_and(|(_, wanted)| wanted.direction == Direction::ForwardOnly),
        Op::Try | Op::Inspect => false,
    };
    let settled = ledger.case(&letter.gid).is_some_and(|case| {
        let read = case.branches.get(&letter.branch).is_some_and(Truth::was_inspected);
        case.past == Past::Undecided && (read || case.decided.is_some())
    });
    sent < life && rests_on_a_decision && settled
}
