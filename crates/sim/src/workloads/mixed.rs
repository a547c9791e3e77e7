//! Workload: one initiator, branches that try beside branches that act and are taken back.

use super::Cast;
use super::initiator::Initiator;
use super::tcc::open;
use crate::tally::Sight;
use crate::world::Stage;
use wholly_core::branch::Mode;

/// One initiator.
pub fn cast(number: u64, stage: &mut Stage) -> Cast {
    let script = open("mixed", number, |chance| *chance.pick(&[Mode::Tcc, Mode::Saga]), stage);
    if script.wishes.iter().any(|wish| wish.mode != script.wishes[0].mode) {
        stage.tally.sight(Sight::MixedModes);
    }
    vec![(0, Box::new(Initiator::new(script)))]
}
