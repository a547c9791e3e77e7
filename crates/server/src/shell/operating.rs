//! What operators do that concerns no single transaction: handed on to the driver.

use super::Shell;
use wholly_core::document::{Pause, Standing};
use wholly_core::ids::Destination;
use wholly_core::input::Input;

impl Shell {
    /// Gives destinations the slots that the configuration says, and the default to all others.
    pub fn limit_destinations(&self) {
        let slots = self.egress.slots();
        self.held(|held| held.driver.limit_destinations(slots));
        self.input(Input::Woken);
    }

    /// Takes no new transactions from here on.
    pub fn drain(&self) {
        self.input(Input::Drain);
    }

    /// Lets a destination rest; says whether there is room for one more that does.
    pub fn pause(&self, destination: &Destination, pause: Pause) -> bool {
        self.held(|held| held.driver.pause(destination, pause))
    }

    /// Calls to a destination leave again; says whether it rested.
    pub fn resume(&self, destination: &Destination) -> bool {
        let rested = self.held(|held| held.driver.resume(destination));
        self.input(Input::Woken);
        rested
    }

    /// Takes no new transactions, until it is told otherwise; what is open goes on.
    pub fn close_intake(&self) {
        self.held(|held| held.driver.close_intake());
    }

    /// Takes new transactions again.
    pub fn open_intake(&self) {
        self.held(|held| held.driver.open_intake());
    }

    /// How everything stands.
    pub fn overview(&self) -> Standing {
        self.held(|held| held.driver.standing())
    }
}
