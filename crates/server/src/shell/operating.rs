//! What operators do that concerns no single transaction: handed on to the driver.

use super::Shell;
use crate::orders::Order;
use wholly_core::document::Standing;
use wholly_core::input::Input;

impl Shell {
    /// Gives destinations the slots that the configuration says, and the default to all others.
    pub(crate) fn limit_destinations(&self) {
        let slots = self.egress.slots();
        self.held(|held| held.driver.limit_destinations(slots));
        self.input(Input::Woken);
    }

    /// Takes no new transactions from here on.
    pub(crate) fn drain(&self) {
        self.input(Input::Drain);
    }

    /// Has the driver obey an order that is written down.
    pub(crate) fn obey(&self, order: Order) {
        match order {
            Order::Pause(destination, pause) => {
                let has_room = self.held(|held| held.driver.pause(&destination, pause));
                assert!(has_room, "the book of orders has the same bound");
            }
            Order::Resume(destination) => {
                self.held(|held| held.driver.resume(&destination));
                self.input(Input::Woken);
            }
            Order::Drain(_) => self.held(|held| held.driver.close_intake()),
            Order::Admit => self.held(|held| held.driver.open_intake()),
        }
    }

    /// How everything stands.
    pub(crate) fn overview(&self) -> Standing {
        self.held(|held| held.driver.standing())
    }
}
