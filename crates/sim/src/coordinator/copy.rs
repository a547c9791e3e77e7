//! An older copy of the coordinator's disk: taken once, put back much later, and told from its own.

use super::{Coordinator, Death};
use crate::cells::Struck;
use crate::row;
use crate::tally::Fault;
use crate::world::{Copies, Stage};
use wholly_core::branch::{Answer, Op};
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
        if stage.copies == Copies::None {
            return;
        }
        match self.copy.take() {
            None if stage.chance.below(8) == 0 => {
                self.copy = Some((self.disk.at_worst(), self.twin_copy()));
            }
            None => {}
            Some(copy) if stage.strikes(Fault::CopyPutBack, Struck::Everybody) => {
                stage.copies = Copies::None;
                // One that is down is about to be started: once is enough.
                if self.process.is_some() {
                    self.die(Death::Stopped, stage);
                }
                (self.disk, self.twin) = copy;
                self.rot = None;
                self.folder = Folder::PutBack;
            }
            Some(copy) => self.copy = Some(copy),
        }
    }
}
