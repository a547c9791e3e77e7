//! The scenes: mode × fault × who is killed in the middle, and how each must end.

use super::world::Victim;
use std::fmt;
use std::time::Duration;
use wholly_shop::faults::{Fault, What};
use wholly_shop::order::{Mode, Order};
use wholly_shop::service::Role;

/// One cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scene {
    /// The pattern that carries the order.
    pub(crate) mode: Mode,
    /// What goes wrong.
    pub(crate) trouble: Trouble,
    /// Who is killed in the middle.
    pub(crate) death: Death,
}

/// What goes wrong, as the design numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    Nothing,
    /// 1: the order service cannot write its order.
    OrderFails,
    /// 2: stock cannot be locked.
    NoStock,
    /// 3: stock was locked, the reply was lost.
    ReplyLost,
    /// 4: stock was locked, then points fail.
    PointsFail,
}

/// Who is killed with SIGKILL in the middle, and started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Nobody.
    Nobody,
    /// A service.
    Service,
    /// The coordinator.
    Coordinator,
}

/// How a scene may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The order is placed, wholly.
    Placed,
    /// Nothing of it is left.
    Undone,
    /// Either, for the initiator may have missed an answer; never a half.
    Either,
}

/// The middle of a scene: the call at which somebody is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// At which service.
    pub(crate) at: Role,
    /// On which operation.
    pub(crate) operation: &'static str,
    /// What is asked of it.
    pub(crate) op: &'static str,
    /// Before its effect, or after it.
    pub(crate) side: Side,
    /// Which service dies, where a service does.
    pub(crate) service: Role,
}

/// Before or after the effect of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Its handler has not run.
    Before,
    /// Its handler has committed, its reply has not left.
    After,
}

impl Scene {
    /// All of them, in the order of the table.
    pub(crate) fn all() -> Vec<Scene> {
        let mut scenes = Vec::new();
        for mode in [Mode::Tcc, Mode::Saga] {
            for trouble in Trouble::ALL {
                for death in [Death::Nobody, Death::Service, Death::Coordinator] {
                    scenes.push(Scene { mode, trouble, death });
                }
            }
        }
        scenes
    }

    /// The order that is placed. What the business refuses needs no fault: the vase is sold out,
    /// bob has no points, and no order is for more than a hundred pieces.
    pub(crate) fn order(self) -> Order {
        let (sku, quantity, customer) = match self.trouble {
            Trouble::Nothing | Trouble::ReplyLost => ("tea", 2, "ann"),
            Trouble::OrderFails => ("tea", 101, "ann"),
            Trouble::NoStock => ("vase", 2, "ann"),
            Trouble::PointsFail => ("tea", 2, "bob"),
        };
        Order {
            order: "1".to_owned(),
            sku: sku.to_owned(),
            quantity,
            customer: customer.to_owned(),
            points: quantity * 30,
        }
    }

    /// The fault that is set before the order comes, and where.
    pub(crate) fn fault(self, gid: &str) -> Option<(Role, Fault)> {
        match self.trouble {
            Trouble::ReplyLost => {
                let (operation, op) = self.lock();
                Some((Role::Stock, fault(gid, (operation, op), What::LoseReply)))
            }
            Trouble::Nothing | Trouble::OrderFails | Trouble::NoStock | Trouble::PointsFail => None,
        }
    }

    /// When somebody is killed.
    pub(crate) fn moment(self) -> Moment {
        let moment =
            |at, (operation, op), side, service| Moment { at, operation, op, side, service };
        let (stock, order, points) = (Role::Stock, Role::Order, Role::Points);
        match (self.mode, self.trouble) {
            (_, Trouble::Nothing) => moment(stock, self.lock(), Side::After, stock),
            (Mode::Tcc, Trouble::OrderFails) => {
                moment(points, ("points.deduct", "try"), Side::After, order)
            }
            (Mode::Saga, Trouble::OrderFails) => {
                moment(order, ("orders.create", "action"), Side::Before, order)
            }
            (_, Trouble::NoStock) => moment(stock, self.lock(), Side::Before, stock),
            (Mode::Tcc, Trouble::ReplyLost) => {
                moment(points, ("points.deduct", "try"), Side::After, points)
            }
            (Mode::Saga, Trouble::ReplyLost) => {
                moment(points, ("points.deduct-now", "action"), Side::After, points)
            }
            (Mode::Tcc, Trouble::PointsFail) => {
                moment(stock, ("stock.lock", "cancel"), Side::Before, stock)
            }
            (Mode::Saga, Trouble::PointsFail) => {
                moment(stock, ("stock.lock-now", "compensate"), Side::After, stock)
            }
        }
    }

    /// Who is killed.
    pub(crate) fn victim(self) -> Option<Victim> {
        match self.death {
            Death::Nobody => None,
            Death::Service => Some(Victim::Service(self.moment().service)),
            Death::Coordinator => Some(Victim::Coordinator),
        }
    }

    /// How it must end. A scope's initiator that loses its coordinator or its participant in the
    /// middle may give up; a plan that was handed over may not.
    pub(crate) fn ending(self) -> Ending {
        match (self.trouble, self.mode, self.death) {
            (Trouble::OrderFails | Trouble::NoStock | Trouble::PointsFail, _, _) => Ending::Undone,
            (Trouble::Nothing | Trouble::ReplyLost, _, Death::Nobody) => Ending::Placed,
            (Trouble::Nothing | Trouble::ReplyLost, Mode::Saga, _) => Ending::Placed,
            (Trouble::Nothing | Trouble::ReplyLost, Mode::Tcc, _) => Ending::Either,
        }
    }

    /// How long the order may take before it is undone: short where it is the deadline that ends
    /// the scene.
    pub(crate) fn patience(self) -> Duration {
        match self.trouble {
            Trouble::OrderFails => Duration::from_millis(1_500),
            Trouble::Nothing | Trouble::NoStock | Trouble::ReplyLost | Trouble::PointsFail => {
                Duration::from_secs(10)
            }
        }
    }

    /// The call that locks the stock.
    fn lock(self) -> (&'static str, &'static str) {
        match self.mode {
            Mode::Tcc => ("stock.lock", "try"),
            Mode::Saga => ("stock.lock-now", "action"),
        }
    }
}

impl Moment {
    /// The fault that holds the call, so that somebody can be killed meanwhile.
    pub(crate) fn fault(self, gid: &str) -> Fault {
        let what = match self.side {
            Side::Before => What::HoldBefore,
            Side::After => What::HoldAfter,
        };
        fault(gid, (self.operation, self.op), what)
    }
}

impl Trouble {
    /// All of them, in the order of the design.
    pub(crate) const ALL: [Trouble; 5] = [
        Trouble::Nothing,
        Trouble::OrderFails,
        Trouble::NoStock,
        Trouble::ReplyLost,
        Trouble::PointsFail,
    ];
}

fn fault(gid: &str, call: (&str, &str), what: What) -> Fault {
    let (operation, op) = (call.0.to_owned(), call.1.to_owned());
    Fault { gid: gid.to_owned(), operation, op, what, times: 1 }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::Nothing => "nothing goes wrong",
            Trouble::OrderFails => "1 the order fails",
            Trouble::NoStock => "2 no stock to lock",
            Trouble::ReplyLost => "3 locked, reply lost",
            Trouble::PointsFail => "4 locked, points fail",
        })
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = spell(self.mode);
        write!(f, "{mode}, {}, ", self.trouble)?;
        match self.victim() {
            None => f.write_str("nobody killed"),
            Some(victim) => write!(f, "{victim} killed"),
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Victim::Service(role) => role.name(),
            Victim::Coordinator => "coordinator",
        })
    }
}

/// A mode's name.
pub(crate) fn spell(mode: Mode) -> &'static str {
    match mode {
        Mode::Tcc => "tcc",
        Mode::Saga => "saga",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_meets_every_trouble_with_and_without_a_death() {
        let scenes = Scene::all();
        assert_eq!(scenes.len(), 2 * 5 * 3);
        for (at, scene) in scenes.iter().enumerate() {
            assert!(!scenes[..at].contains(scene), "{scene} stands twice");
            assert_eq!(scene.victim().is_some(), scene.death != Death::Nobody, "{scene}");
        }
    }

    #[test]
    fn only_an_initiator_that_lost_its_partner_may_end_either_way() {
        for scene in Scene::all() {
            let may = scene.mode == Mode::Tcc && scene.death != Death::Nobody;
            assert!(may || scene.ending() != Ending::Either, "{scene}");
        }
    }
}
