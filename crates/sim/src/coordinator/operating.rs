//! Operating: what an operator does that concerns no single transaction, as the coordinator's shell
//! hands it on to the driver.

use super::{Coordinator, Death};
use crate::evidence::Evidence;
use crate::watch::Rest;
use crate::workloads::destination;
use crate::world::{PARTICIPANTS, Season, Stage};
use wholly_core::document::Pause;
use wholly_core::ids::Text;
use wholly_core::input::Input;
use wholly_core::time::Timestamp;

/// What an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A destination rests.
    Pause(usize),
    /// It is called again.
    Resume(usize),
    /// Nothing more begins.
    CloseIntake,
    /// Transactions begin again.
    OpenIntake,
    /// The process is to stop: nothing more begins, and every wait is over.
    Stop,
}

impl Coordinator {
    /// An operator acts.
    pub fn operated(&mut self, act: Act, stage: &mut Stage) {
        let begins = match act {
            Act::Pause(_) | Act::CloseIntake | Act::Stop => Season::Faults,
            Act::Resume(_) | Act::OpenIntake => stage.season,
        };
        let Some(process) = &mut self.process else { return };
        let Some(driver) = &mut process.driver else { return };
        let resting = &stage.court.ledger.resting;
        let full = matches!(act, Act::Pause(_)) && resting.len() >= self.limits.destinations_max;
        if begins != stage.season || full {
            return;
        }
        stage.note([25, 0, 0], || format!("core < operator: {act:?}"));
        stage.hear(&Evidence::Operated(act));
        let input = match act {
            Act::Pause(to) => {
                let by = crate::client::principal();
                let (reason, since) = (Text::cut("it is being mended"), Timestamp(0));
                let rests = driver.pause(&destination(to), Pause { by, reason, since });
                debug_assert!(rests, "there is room for it");
                process.silences.rests(to, Rest::Paused);
                Input::Woken
            }
            Act::Resume(to) => {
                driver.resume(&destination(to));
                process.silences.rests(to, Rest::None);
                Input::Woken
            }
            Act::CloseIntake => {
                driver.close_intake();
                return;
            }
            Act::OpenIntake => {
                driver.open_intake();
                return;
            }
            Act::Stop => Input::Drain,
        };
        self.step(input, stage);
    }

    /// It was asked to stop a while ago.
    pub fn stop(&mut self, life: u32, stage: &mut Stage) {
        if life == self.life {
            self.die(Death::Stopped, stage);
        }
    }

    /// Nothing rests from here on.
    pub(super) fn resume_all(&mut self, stage: &mut Stage) {
        for participant in 0..PARTICIPANTS {
            self.operated(Act::Resume(participant), stage);
        }
        self.operated(Act::OpenIntake, stage);
    }
}
