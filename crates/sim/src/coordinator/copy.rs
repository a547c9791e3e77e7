//! An older copy of the coordinator's disk: taken once, put back much later, and told from its own.

use super::{Coordinator, Death};
use crate::cells::Struck;
use crate::disk::SimDisk;
use crate::model::{Past, Truth};
use crate::network::{Letter, Sender};
use crate::row;
use crate::tally::Fault;
use crate::world::{Age, Copies, Stage};
use wholly_core::branch::{Answer, Direction, Op};
use wholly_core::ids::{CallId, Gid};
use wholly_core::input::Input;
use wholly_core::time::Timestamp;
use wholly_store::archive::twin::Twin;

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

/// A copy of the coordinator's disk, and of the archive beside it.
pub(super) struct Copy {
    disk: SimDisk,
    twin: Option<Twin>,
    /// It is not needed before.
    until_us: u64,
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

    /// Its disk is copied, the likelier the more is undecided, and lost soon or much later: the
    /// copy is put back.
    pub(super) fn tick_copy(&mut self, stage: &mut Stage) {
        let Copies::One(age) = stage.copies else { return };
        match self.copy.take() {
            // With a rotten bit in it, it would be of no use. And what a loss of power left behind
            // the durable may yet be lost, as long as no start has read it.
            None if stage.chance.below(16) <= undecided(stage)
                && self.rot.is_none()
                && self.process.as_ref().is_some_and(|process| process.driver.is_some()) =>
            {
                let wait_us = match age {
                    Age::Young => *stage.chance.pick(&[0, 0, 100_000]),
                    Age::Old => stage.chance.within(800_000, 3_000_000),
                };
                self.copy = Some(Copy {
                    disk: self.disk.at_worst(),
                    twin: self.twin_copy(),
                    until_us: stage.now_us + wait_us,
                });
            }
            None => {}
            Some(copy)
                if stage.now_us >= copy.until_us
                    && stage.strikes(Fault::CopyPutBack, Struck::Everybody) =>
            {
                // One that is down is about to be started: once is enough.
                if self.process.is_some() {
                    self.die(Death::Stopped, stage);
                }
                (self.disk, self.twin) = (copy.disk, copy.twin);
                self.rot = None;
                self.folder = Folder::PutBack;
                stage.copies = Copies::PutBack { at_us: stage.now_us, life: self.life };
            }
            Some(copy) => self.copy = Some(copy),
        }
    }
}

/// How many transactions nobody has decided.
fn undecided(stage: &Stage) -> u64 {
    let ledger = &stage.court.ledger;
    let undecided = |gid: &&Gid| ledger.case(gid).is_some_and(|case| case.decided.is_none());
    ledger.open().filter(undecided).count() as u64
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
