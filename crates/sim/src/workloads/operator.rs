//! Operator: retries what is stuck, and sometimes parks or aborts what is not.

use crate::client::{Client, Desk, Heard, principal};
use wholly_core::ids::{Gid, Text};
use wholly_core::input::{Action, Operate, Request};

const ROUND_US: u64 = 30_000;

/// The one operator of a run.
#[derive(Debug, Default)]
pub struct Operator;

impl Client for Operator {
    fn hear(&mut self, heard: Heard, desk: &mut Desk<'_>) {
        match heard {
            Heard::Go | Heard::Timer { .. } => self.round(desk),
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
        let stuck: Vec<Gid> = desk.stage.court.ledger.stuck().take(8).cloned().collect();
        for gid in stuck {
            self.operate(gid, Action::Retry { branch: None }, desk);
        }
        let meddles = match desk.stage.season {
            crate::world::Season::Faults => desk.stage.chance.below(40) == 0,
            crate::world::Season::Healed => false,
        };
        let cases = desk.stage.court.ledger.cases.len() as u64;
        if !meddles || cases == 0 {
            return;
        }
        let place = desk.stage.chance.below(cases) as usize;
        let case = desk.stage.court.ledger.cases.iter().nth(place);
        let Some((gid, _)) = case.filter(|(_, case)| case.ended.is_none()) else { return };
        let gid = gid.clone();
        let action = match desk.stage.chance.below(2) {
            0 => Action::Park,
            _ => Action::Abort,
        };
        self.operate(gid, action, desk);
    }

    fn operate(&self, gid: Gid, action: Action, desk: &mut Desk<'_>) {
        let reason = Text::cut("looked into it");
        let operate = Operate { gid, action, reason, by: principal() };
        desk.ask(Request::Operate(operate), ROUND_US);
    }
}
