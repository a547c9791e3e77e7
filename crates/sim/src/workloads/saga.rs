//! Workload: a plan handed over in one request, steps side by side where they may, replies read,
//! some never undone; deadlines, second submissions, and aborts that race with the end.

use super::submitter::{Asks, Script, Submitter};
use super::{Cast, any_participant, destination, gid, operation};
use crate::chance::Chance;
use crate::client::{branch_name, declare};
use crate::model::{Form, Intent, Wanted};
use crate::world::{Naming, Stage};
use wholly_core::branch::{Direction, Mode};
use wholly_core::ids::Digest;
use wholly_core::input::{GidSource, Wait};
use wholly_core::plan::Step;

/// One submitter.
pub fn cast(number: u64, stage: &mut Stage) -> Cast {
    let script = plan("saga", number, stage);
    vec![(0, Box::new(Submitter::new(script)))]
}

/// What a submitter means to do.
pub(crate) fn plan(workload: &'static str, number: u64, stage: &mut Stage) -> Script {
    let steps = steps(workload, stage);
    let choice = stage.chance.below(5);
    let (gid, source) = match (choice, stage.naming) {
        (0, _) | (_, Naming::Issued) => (None, GidSource::Issued),
        (_, Naming::Free) => (Some(gid(number, stage)), GidSource::Client),
    };
    let chance = &mut stage.chance;
    Script {
        gid,
        source,
        steps: steps.0,
        digest: digest(steps.1),
        timeout_ms: match chance.below(3) {
            0 => Some(chance.within(5, 1_500)),
            _ => None,
        },
        wait: wait(chance),
        abort_after_us: match chance.below(6) {
            0 => Some(chance.within(0, 20_000)),
            _ => None,
        },
        asks: match chance.below(4) {
            0 => Asks::Nothing,
            _ => Asks::TheEnd,
        },
        submits: if chance.below(5) == 0 { 2 } else { 1 },
        rival: None,
    }
}

fn wait(chance: &mut Chance) -> Wait {
    match chance.below(3) {
        0 => Wait::No,
        1 => Wait::Decided { wait_ms: chance.within(1, 300) },
        _ => Wait::Ended { wait_ms: chance.within(1, 300) },
    }
}

/// The digest of a plan, by the number of its intent.
pub(crate) fn digest(intent: usize) -> Digest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(intent as u64).to_le_bytes());
    Digest(bytes)
}

/// A random plan, made known as one intent.
fn steps(workload: &'static str, stage: &mut Stage) -> (Vec<Step>, usize) {
    let count = stage.chance.skewed(1, stage.branches_max) as usize;
    let forward = match stage.chance.below(3) {
        0 => stage.chance.below(count as u64 + 1) as usize,
        _ => 0,
    };
    let wanted: Vec<Wanted> =
        (0..count).map(|ordinal| want(ordinal, count - forward, &mut stage.chance)).collect();
    let intent = Intent { workload, form: Form::Plan, branches: wanted.clone() };
    let (number, payloads) = declare(intent, stage);
    let names = |ordinals: &[usize]| ordinals.iter().map(|at| wanted[*at].id.clone()).collect();
    let mut steps: Vec<Step> = wanted
        .iter()
        .zip(payloads)
        .map(|(want, payload)| Step {
            branch: want.id.clone(),
            destination: destination(want.participant),
            operation: operation(),
            payload,
            after: names(&want.after),
            reads: names(&want.reads),
            direction: want.direction,
        })
        .collect();
    if stage.chance.below(2) == 0 {
        steps.reverse();
    }
    (steps, number)
}

/// One step: it may come after any before it; a forward-only one after all that can be undone.
fn want(ordinal: usize, reversible: usize, chance: &mut Chance) -> Wanted {
    let forward = ordinal >= reversible;
    let mut after = Vec::new();
    for earlier in 0..ordinal {
        let must = forward && earlier < reversible;
        if must || chance.below(2) == 0 {
            after.push(earlier);
        }
    }
    let reads = after.iter().copied().filter(|_| chance.below(2) == 0).collect();
    Wanted {
        id: branch_name(ordinal),
        mode: Mode::Saga,
        participant: any_participant(chance),
        after,
        reads,
        direction: match forward {
            true => Direction::ForwardOnly,
            false => Direction::Reversible,
        },
    }
}
