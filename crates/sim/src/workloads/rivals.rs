//! Workload: two clients and one gid. They share a key, or a plan, or neither.

use super::Cast;
use super::initiator::{Ending, Initiator};
use super::saga::plan;
use super::submitter::Submitter;
use super::tcc::{keyed, open, wishes};
use crate::tally::Fault;
use crate::world::Stage;
use wholly_core::branch::Mode;
use wholly_core::ids::Digest;
use wholly_core::input::GidSource;

/// A retention time that passes within a run.
const SHORT_MS: u64 = 10_000;

/// Two clients, the second a little later.
pub fn cast(number: u64, stage: &mut Stage) -> Cast {
    let wait = stage.chance.within(0, 30_000);
    match stage.chance.below(6) {
        0 => one_key(number, wait, stage),
        1 => one_key_two_bodies(number, wait, stage),
        2 => one_gid(number, wait, stage),
        3 => two_plans(number, wait, stage),
        4 => after_retention(number, stage),
        _ => one_plan(number, wait, stage),
    }
}

/// The same begin from two processes: one may commit what the other aborts.
fn one_key(number: u64, wait: u64, stage: &mut Stage) -> Cast {
    let mut script = open("one key", number, |_| Mode::Tcc, stage);
    let (gid, key) = keyed(number, stage);
    (script.gid, script.key) = (Some(gid), Some((key, Digest([1; 32]))));
    let mut other = script.clone();
    other.ending = *stage.chance.pick(&[Ending::Commit, Ending::Abort]);
    other.rival = Some(Fault::TwoInitiators);
    vec![(0, Box::new(Initiator::new(script))), (wait, Box::new(Initiator::new(other)))]
}

/// One key, two bodies: the second is refused, whichever it is. Branches of one name differ.
fn one_key_two_bodies(number: u64, wait: u64, stage: &mut Stage) -> Cast {
    let mut script = open("one key, two bodies", number, |_| Mode::Tcc, stage);
    let (gid, key) = keyed(number, stage);
    (script.gid, script.key) = (Some(gid), Some((key.clone(), Digest([1; 32]))));
    let mut other = script.clone();
    other.wishes = wishes("one key, two bodies", |_| Mode::Tcc, stage);
    other.declared = 0;
    other.rival = Some(Fault::KeyReused);
    // With the same digest the second gets the same capability, and registers its own branches.
    let digest = stage.chance.within(1, 2) as u8;
    other.key = Some((key, Digest([digest; 32])));
    if digest == 1 {
        script.declared = 0;
    }
    vec![(0, Box::new(Initiator::new(script))), (wait, Box::new(Initiator::new(other)))]
}

/// One gid, no key: only one of them gets it.
fn one_gid(number: u64, wait: u64, stage: &mut Stage) -> Cast {
    let gid = super::gid(number, stage);
    let mut script = open("one gid", number, |_| Mode::Tcc, stage);
    (script.gid, script.key) = (Some(gid.clone()), None);
    let mut other = open("one gid", number, |_| Mode::Saga, stage);
    (other.gid, other.key) = (Some(gid), None);
    other.rival = Some(Fault::GidContested);
    vec![(0, Box::new(Initiator::new(script))), (wait, Box::new(Initiator::new(other)))]
}

/// One gid, two plans: only one of them is accepted.
fn two_plans(number: u64, wait: u64, stage: &mut Stage) -> Cast {
    let gid = super::gid(number, stage);
    let mut script = plan("two plans", number, stage);
    let mut other = plan("two plans", number, stage);
    for script in [&mut script, &mut other] {
        (script.gid, script.source) = (Some(gid.clone()), GidSource::Client);
    }
    other.rival = Some(Fault::GidContested);
    vec![(0, Box::new(Submitter::new(script))), (wait, Box::new(Submitter::new(other)))]
}

/// One gid, used again when the first use has been forgotten, or so its second user hopes.
fn after_retention(number: u64, stage: &mut Stage) -> Cast {
    let retention_us = match stage.limits.retention_ms < SHORT_MS {
        true => stage.limits.retention_ms * 1_000,
        false => 15_000,
    };
    let wait = stage.chance.within(retention_us, 2 * retention_us);
    match stage.chance.below(2) {
        0 => one_gid(number, wait, stage),
        _ => two_plans(number, wait, stage),
    }
}

/// One plan from two processes, one of which may abort it.
fn one_plan(number: u64, wait: u64, stage: &mut Stage) -> Cast {
    let gid = super::gid(number, stage);
    let mut script = plan("one plan", number, stage);
    (script.gid, script.source) = (Some(gid), GidSource::Client);
    let mut other = script.clone();
    other.abort_after_us = Some(stage.chance.within(0, 20_000));
    other.rival = Some(Fault::Resubmitted);
    vec![(0, Box::new(Submitter::new(script))), (wait, Box::new(Submitter::new(other)))]
}
