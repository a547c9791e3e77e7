//! Stranger: looks at other people's transactions with forged, old and borrowed capabilities.

use super::initiator::wish;
use crate::cells::Struck;
use crate::client::{Client, Desk, Heard, branch_name, declare, principal};
use crate::model::{Form, Intent, Wanted};
use crate::tally::Fault;
use crate::world::Stage;
use wholly_core::branch::{BranchSpec, Caller, Direction, Mode};
use wholly_core::ids::{Gid, Text};
use wholly_core::input::{Abort, Commit, Register, Request, Wait};
use wholly_core::time::Timestamp;

/// Branches of strangers have names that no initiator gives.
const FIRST_BRANCH: usize = 1_000;

/// Somebody who comes a few times.
#[derive(Debug)]
pub struct Stranger {
    visits: u64,
}

impl Stranger {
    /// One who comes so many times.
    pub fn new(visits: u64) -> Self {
        Stranger { visits }
    }

    fn visit(&mut self, desk: &mut Desk<'_>) {
        let past = desk.stage.court.ledger.past.len() as u64;
        let gids = desk.stage.gids.len() as u64;
        let of = if past > 0 && desk.stage.chance.below(2) == 0 { past } else { gids };
        let place = desk.stage.chance.below(of) as usize;
        let gid = match of == past {
            true => desk.stage.court.ledger.past.get(place).map(|(gid, _)| gid),
            false => desk.stage.gids.get(place),
        };
        if let Some(gid) = gid.cloned() {
            self.meddle(gid, desk);
        }
        match self.visits.checked_sub(1) {
            Some(visits) => {
                self.visits = visits;
                let wait = desk.stage.chance.within(1_000, 60_000);
                desk.timer(wait);
            }
            None => desk.leave(),
        }
    }

    fn meddle(&self, gid: Gid, desk: &mut Desk<'_>) {
        let struck = Struck::One(&gid);
        let patience = desk.stage.limits.call_timeout_ms * 1_000;
        if desk.stage.strikes(Fault::CapabilityForged, struck) {
            let (shown, begun) = forged(&gid, desk.stage);
            let request = any(&gid, begun, desk.stage);
            desk.ask_with(shown, request);
        }
        let old = old(&gid, desk.stage);
        if let Some(begun) = old.filter(|_| desk.stage.strikes(Fault::CapabilityOld, struck)) {
            let request = any(&gid, begun, desk.stage);
            desk.ask(request, patience);
        }
        let Some(begun) = capability(&gid, desk.stage) else { return };
        if desk.stage.strikes(Fault::RegisteredBesides, struck) {
            let request = register(gid.clone(), begun, desk.stage);
            desk.ask(request, patience);
        }
        if desk.stage.strikes(Fault::AbortRaced, struck) {
            desk.ask(abort(gid.clone(), begun), patience);
        }
    }
}

impl Client for Stranger {
    fn hear(&mut self, heard: Heard, desk: &mut Desk<'_>) {
        match heard {
            Heard::Go | Heard::Timer { .. } => self.visit(desk),
            Heard::Reply { .. }
            | Heard::Silence { .. }
            | Heard::Answer { .. }
            | Heard::Quiet { .. } => {}
        }
    }
}

/// A capability that somebody was really given for the begin that the log knows.
fn capability(gid: &Gid, stage: &Stage) -> Option<Timestamp> {
    let case = stage.court.ledger.case(gid)?;
    case.capability.filter(|begun| case.begun == Some(*begun))
}

/// One for another begin of the same gid: it was lost in a crash, or the gid was used again.
fn old(gid: &Gid, stage: &Stage) -> Option<Timestamp> {
    let ledger = &stage.court.ledger;
    let known = ledger.case(gid);
    let past = ledger.past.iter().filter(|(other, _)| other == gid).map(|(_, case)| case);
    let begun = known.and_then(|case| case.begun);
    let mut given = past.chain(known).filter_map(|case| case.capability);
    given.find(|given| Some(*given) != begun)
}

/// A text in the form of a capability, and the begin it names.
fn forged(gid: &Gid, stage: &mut Stage) -> (Box<str>, Timestamp) {
    let begun = stage.court.ledger.case(gid).and_then(|case| case.begun);
    let begun = begun.unwrap_or(stage.clock.read(stage.now_us).wall);
    let tag = match stage.chance.below(3) {
        0 => String::new(),
        1 => "A".repeat(43),
        _ => "A".repeat(stage.chance.below(64) as usize),
    };
    (format!("{}.{tag}", begun.0).into(), begun)
}

fn any(gid: &Gid, begun: Timestamp, stage: &mut Stage) -> Request {
    match stage.chance.below(3) {
        0 => abort(gid.clone(), begun),
        1 => Request::Commit(Commit {
            gid: gid.clone(),
            begun,
            tried: Vec::new(),
            refused: Vec::new(),
            wait: Wait::No,
            principal: principal(),
        }),
        _ => register(gid.clone(), begun, stage),
    }
}

fn abort(gid: Gid, begun: Timestamp) -> Request {
    let reason = Text::cut("none of my business");
    Request::Abort(Abort {
        gid,
        begun,
        reason,
        branch: None,
        wait: Wait::No,
        principal: principal(),
    })
}

fn register(gid: Gid, begun: Timestamp, stage: &mut Stage) -> Request {
    let spec = spec(stage);
    Request::Register(Register { gid, begun, spec, wait_ms: Some(5), principal: principal() })
}

/// A branch of its own, made known as one intent.
fn spec(stage: &mut Stage) -> BranchSpec {
    let id = branch_name(FIRST_BRANCH + stage.court.ledger.intents.len());
    let mode = *stage.chance.pick(&[Mode::Tcc, Mode::Saga]);
    let participant = super::any_participant(&mut stage.chance);
    let wanted = Wanted {
        id: id.clone(),
        mode,
        participant,
        after: Vec::new(),
        reads: Vec::new(),
        direction: Direction::Reversible,
    };
    let intent = Intent { workload: "stranger", form: Form::Open, branches: vec![wanted] };
    let (_, payloads) = declare(intent, stage);
    let mut spec = wish(id, mode, participant, Caller::Coordinator);
    spec.payload = payloads.into_iter().next().expect("one branch has one payload");
    spec
}
