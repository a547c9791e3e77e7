//! Operator: retries what is stuck, sometimes parks or aborts what is not, lets destinations rest,
//! and drains the coordinator.

use crate::agenda::Event;
use crate::cells::Struck;
use crate::client::{Client, Desk, Heard, principal};
use crate::coordinator::Act;
use crate::model::{Case, Truth};
use crate::tally::Fault;
use crate::workloads::any_participant;
use crate::world::{Copies, Season, Stage};
use wholly_core::branch::Resolution;
use wholly_core::ids::{Gid, Text};
use wholly_core::input::{Action, Operate, Request};
use wholly_core::record::Decision;

const ROUND_US: u64 = 30_000;
/// The same for one who is in haste, after a copy was put back.
const HASTY_US: u64 = 3_000;

/// How long before the bound the last question is asked, so that none is left in hand there.
const QUIET_US: u64 = 100_000;

/// The one operator of a run.
#[derive(Debug, Default)]
pub struct Operator {
    /// Of so many rounds one is given to what is stuck; all are, once the world is healed.
    leisure: u64,
    /// For so long after a copy was put back, what it left undecided is decided at once, whatever
    /// participants may yet say of it.
    haste_us: u64,
}

impl Client for Operator {
    fn hear(&mut self, heard: Heard, desk: &mut Desk<'_>) {
        match heard {
            Heard::Go => {
                self.leisure = *desk.stage.chance.pick(&[1, 2, 8, 24]);
                self.haste_us = *desk.stage.chance.pick(&[0, 20_000, 100_000, 400_000]);
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
        let leisure = match desk.stage.season {
            Season::Faults => self.leisure,
            Season::Healed { bound_us, .. } if desk.stage.now_us + QUIET_US > bound_us => return,
            Season::Healed { .. } => 1,
        };
        let hasty = self.is_in_haste(desk.stage);
        desk.timer(if hasty { HASTY_US } else { ROUND_US });
        if hasty {
            return self.decide_all(desk);
        }
        let looks = desk.stage.chance.below(leisure) == 0;
        let stuck: Vec<Gid> = match looks {
            true => desk.stage.court.ledger.stuck().take(8).cloned().collect(),
            false => Vec::new(),
        };
        for gid in stuck {
            let unaccounted = desk.stage.court.ledger.case(&gid).is_some_and(Case::is_unaccounted);
            let action = match (unaccounted, desk.stage.chance.below(10)) {
                (true, 0..7) => continue,
                (true, 7..9) => self.account(&gid, desk),
                (false, 0..4) => self.resolve(&gid, desk),
                (true | false, _) => Action::Retry { branch: None },
            };
            self.operate(gid, action, desk);
        }
        if desk.stage.chance.below(20) == 0 {
            let gids = desk.stage.court.ledger.open().take(8).cloned().collect();
            desk.ask(Request::Calls { gids }, ROUND_US);
        }
        rest(desk.stage);
        let cases = desk.stage.court.ledger.cases.len() as u64;
        if cases == 0 || !desk.stage.draws(Fault::OperatorMeddled) {
            return;
        }
        let place = desk.stage.chance.below(cases) as usize;
        let case = desk.stage.court.ledger.cases.iter().nth(place);
        let meddled = case.filter(|(_, case)| case.ended.is_none() && !case.is_unaccounted());
        let Some((gid, _)) = meddled else { return };
        let gid = gid.clone();
        desk.stage.counts(Fault::OperatorMeddled, Struck::One(&gid));
        let action = match desk.stage.chance.below(2) {
            0 => Action::Park,
            _ => Action::Abort,
        };
        self.operate(gid, action, desk);
    }

    fn is_in_haste(&self, stage: &Stage) -> bool {
        match stage.copies {
            Copies::None | Copies::One(_) => false,
            Copies::PutBack { at_us, .. } => stage.now_us < at_us + self.haste_us,
        }
    }

    /// Decides whatever a restore left undecided.
    fn decide_all(&self, desk: &mut Desk<'_>) {
        let ledger = &desk.stage.court.ledger;
        let unaccounted = |gid: &&Gid| ledger.case(gid).is_some_and(Case::is_unaccounted);
        let gids: Vec<Gid> = ledger.open().filter(unaccounted).cloned().collect();
        for gid in gids {
            if desk.stage.chance.below(4) == 0 {
                let action = self.account(&gid, desk);
                self.operate(gid, action, desk);
            }
        }
    }

    /// Decides what a restore left undecided: as a client was told, where one was.
    fn account(&self, gid: &Gid, desk: &mut Desk<'_>) -> Action {
        let told = desk.stage.court.ledger.case(gid).and_then(|case| case.told);
        match (told, desk.stage.chance.below(2)) {
            (Some(Decision::Commit), _) | (None, 0) => Action::Commit,
            (Some(Decision::Abort), _) | (None, _) => Action::Abort,
        }
    }

    /// Looks into the participant's books and says what is there, or that it cannot be known.
    fn resolve(&self, gid: &Gid, desk: &mut Desk<'_>) -> Action {
        let Some(case) = desk.stage.court.ledger.case(gid).filter(|c| !c.order.is_empty()) else {
            return Action::Retry { branch: None };
        };
        // Of those that wait for him, where it is known which; of those that may, every other time.
        let of = |id| case.branches.get(id);
        let among = |is_his: fn(&Truth) -> bool| -> Vec<_> {
            case.order.iter().filter(|(id, _, _)| of(id).is_some_and(is_his)).collect()
        };
        let (waiting, unclear) = (among(Truth::waits_for_operator), among(Truth::may_need_word));
        let choice = match (waiting.is_empty(), unclear.is_empty()) {
            (false, _) => waiting,
            (true, false) if desk.stage.chance.below(2) == 0 => unclear,
            (true, _) => case.order.iter().collect(),
        };
        let place = desk.stage.chance.below(choice.len() as u64) as usize;
        let (branch, _, _) = choice[place].clone();
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

/// Lets a destination rest for a while, or drains the coordinator.
fn rest(stage: &mut Stage) {
    if stage.strikes(Fault::DestinationPaused, Struck::Everybody) {
        let participant = any_participant(&mut stage.chance);
        stage.after(100, Event::Operated(Act::Pause(participant)));
        let wait = stage.chance.within(5_000, 400_000);
        stage.after(wait, Event::Operated(Act::Resume(participant)));
    }
    if stage.strikes(Fault::IntakeClosed, Struck::Everybody) {
        stage.after(100, Event::Operated(Act::CloseIntake));
        let wait = stage.chance.within(1_000, 200_000);
        stage.after(wait, Event::Operated(Act::OpenIntake));
    }
}
