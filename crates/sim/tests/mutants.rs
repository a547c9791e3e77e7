//! Each seeded bug is found. A test of its own, for a switch holds for a whole process.
#![cfg(feature = "mutants")]

use wholly_sim::mutants::{names, switch};
use wholly_sim::report::{Mood, Seeds, Work};

#[test]
fn every_mutant_is_found_and_none_without_one() {
    std::panic::set_hook(Box::new(|_| {}));
    let found = |name: Option<&str>, count: u64| {
        assert!(switch(name));
        let mood = Mood::Quick;
        let work = Work::new(Seeds { from: 1, count, transactions: u64::MAX, mood });
        work.go();
        !work.finish().violations.is_empty()
    };
    for name in names() {
        assert!(found(Some(name), 2_000), "{name} is alive");
    }
    assert!(!found(None, 20), "without a mutant nothing is broken");
}
