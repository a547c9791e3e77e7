//! Operator: retries what is stuck, and sometimes parks or aborts what is not.

use crate::cells::Struck;
use crate::client::{Client, Desk, Heard, principal};
use crate::tally::Fault;
use crate::world::Season;
use wholly_core::branch::Resolution;
use wholly_core::ids::{Gid, Text};
use wholly_core::input::{Action, Operate, Request};

const ROUND_US: u64 = 30_000;

/// The one operator of a run.
#[derive(Debug, Default)]
pub struct Operator {
    /// Of so many rounds one is given to what is stuck; all are, once the world is healed.
    leisure: u64,
}

impl Client for Operator {
    fn hear(&mut self, heard: Heard, desk: &mut Desk<'_>) {
        match heard {
            Heard::Go => {
                self.leisure = *desk.stage.chance.pick(&[1, 2, 8, 24]);
                self.round(desk);
            }
            Heard::Timer { .. } => self.round(desk),
            Heard::Reply { .. }
            | Heard::Silence { .. }
            | Heard::Answer { .. }
            | Heard::Quiet { .. } => {}
        }
    }
}

impl Operator {
    fn round(&self, desk: &mut Desk<'_>) {
        desk.timer(ROUND_US);
        let leisure = match desk.stage.season {
            Season::Faults => self.leisure,
            Season::Healed { .. } => 1,
        };
        let looks = desk.stage.chance.below(leisure) == 0;
        let stuck: Vec<Gid> = match looks {
            true => desk.stage.court.ledger.stuck().take(8).cloned().collect(),
            false => Vec::new(),
        };
        for gid in stuck {
            let action = match desk.stage.chance.below(5) {
                0 => self.resolve(&gid, desk),
                _ => Action::Retry { branch: None },
            };
            self.operate(gid, action, desk);
        }
        if desk.stage.chance.below(20) == 0 {
            let gids = desk.stage.court.ledger.open().take(8).cloned().collect();
            desk.ask(Request::Calls { gids }, ROUND_US);
        }
        let cases = desk.stage.court.ledger.cases.len() as u64;
        if cases == 0 || !desk.stage.draws(Fault::OperatorMeddled) {
            return;
        }
        let place = desk.stage.chance.below(cases) as usize;
        let case = desk.stage.court.ledger.cases.iter().nth(place);
        let Some((gid, _)) = case.filter(|(_, case)| case.ended.is_none()) else { return };
        let gid = gid.clone();
        desk.stage.counts(Fault::OperatorMeddled, Struck::One(&gid));
        let action = match desk.stage.chance.below(2) {
            0 => Action::Park,
            _ => Action::Abort,
        };
        self.operate(gid, action, desk);
    }

    /// Looks into the participant's books and says what is there, or that it cannot be known.
    fn resolve(&self, gid: &Gid, desk: &mut Desk<'_>) -> Action {
        let Some(case) = desk.stage.court.ledger.case(gid).filter(|c| !c.order.is_empty()) else {
            return Action::Retry { branch: None };
        };
        let place = desk.stage.chance.below(case.order.len() as u64) as usize;
        let (branch, _, _) = case.order[place].clone();
        let stands = case.branches.get(&branch).is_some_and(|truth| truth.stands());
        let resolution = match (desk.stage.chance.below(4), stands) {
            (0, _) => Resolution::Unknown,
            (_, true) => Resolution::Applied,
            (_, false) => Resolution::NotApplied,
        };
        Action::Resolve { branch, resolution }
    }

    fn operate(&self, gid: Gid, action: Action, desk: &mut Desk<'_>) {
        let reason = Text::cut("looked into it");
        let operate = Operate { gid, action, reason, by: principal() };
        desk.ask(Request::Operate(operate), ROUND_US);
    }
}
