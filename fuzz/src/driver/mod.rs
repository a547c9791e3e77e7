//! The driver: arbitrary inputs in arbitrary order, with the invariants as oracle.
//!
//! The world around it keeps the contract of its shell and its store (positions become durable in
//! order, each look-up and each call is answered at most once) and nothing else: requests are
//! forged, answers late or strangers', clocks jump, the process dies and comes back with whatever
//! of the log had reached the disk. In the end everything works again, and everything must end.

mod effects;
mod moves;
mod world;

use arbitrary::{Arbitrary, Unstructured};
use moves::Move;
use world::World;

/// Moves of one run, at most.
const MOVES_MAX: usize = 160;

/// Runs a world over arbitrary moves.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let mut world = World::new(u64::from(u8::arbitrary(&mut input).unwrap_or_default()));
    for _ in 0..MOVES_MAX {
        if input.is_empty() {
            break;
        }
        let Ok(next) = Move::arbitrary(&mut input) else { break };
        if crate::is_traced() {
            eprintln!("{next:?}");
        }
        world.make(next);
    }
    world.heal();
}
