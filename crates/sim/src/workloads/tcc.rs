//! Workload: one initiator, branches that try.

use super::initiator::{Initiator, Script, script, wish};
use super::{Cast, any_participant, gid};
use crate::chance::Chance;
use crate::client::{branch_name, declare};
use crate::model::{Form, Intent, Wanted};
use crate::world::{Naming, Stage};
use wholly_core::branch::{BranchSpec, Caller, Direction, Mode};
use wholly_core::ids::{Digest, Gid, IdempotencyKey};

/// One initiator.
pub fn cast(number: u64, stage: &mut Stage) -> Cast {
    let script = open("tcc", number, |_| Mode::Tcc, stage);
    vec![(0, Box::new(Initiator::new(script)))]
}

/// What an initiator means to do, its gid given by it or issued, or derived from a key.
pub(crate) fn open(
    workload: &'static str,
    number: u64,
    mode: impl Fn(&mut Chance) -> Mode,
    stage: &mut Stage,
) -> Script {
    let wishes = wishes(workload, mode, stage);
    let choice = stage.chance.below(3);
    match (choice, stage.naming) {
        (0, _) | (_, Naming::Issued) => script(None, wishes, &mut stage.chance),
        (1, Naming::Free) => {
            let gid = gid(number, stage);
            script(Some(gid), wishes, &mut stage.chance)
        }
        (_, Naming::Free) => {
            let (gid, key) = keyed(number, stage);
            let mut script = script(Some(gid), wishes, &mut stage.chance);
            script.key = Some((key, Digest([1; 32])));
            script
        }
    }
}

/// A gid as the edge derives it from an idempotency key.
pub(crate) fn keyed(number: u64, stage: &mut Stage) -> (Gid, IdempotencyKey) {
    let key = IdempotencyKey::new(&format!("key-{number}")).expect("a key");
    (gid(number, stage), key)
}

/// Branches, made known as one intent.
pub(crate) fn wishes(
    workload: &'static str,
    mode: impl Fn(&mut Chance) -> Mode,
    stage: &mut Stage,
) -> Vec<BranchSpec> {
    let count = stage.chance.skewed(1, stage.branches_max) as usize;
    let mut wishes = Vec::with_capacity(count);
    let mut wanted = Vec::with_capacity(count);
    for ordinal in 0..count {
        let id = branch_name(ordinal);
        let mode = mode(&mut stage.chance);
        let participant = any_participant(&mut stage.chance);
        let caller = match stage.chance.below(4) {
            0 => Caller::Initiator,
            _ => Caller::Coordinator,
        };
        wanted.push(Wanted {
            id: id.clone(),
            mode,
            participant,
            after: Vec::new(),
            reads: Vec::new(),
            direction: Direction::Reversible,
        });
        wishes.push(wish(id, mode, participant, caller));
    }
    let (_, payloads) = declare(Intent { workload, form: Form::Open, branches: wanted }, stage);
    for (wish, payload) in wishes.iter_mut().zip(payloads) {
        wish.payload = payload;
    }
    wishes
}
