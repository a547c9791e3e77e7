//! Seeded bugs are found, and without one nothing is.
#![cfg(feature = "mutants")]

use wholly_sim::hunt::{SEEDS_MAX, Seeded, hunt, switch};
use wholly_sim::report::run;

/// One of each crate: `cargo xtask mutants` hunts them all.
#[test]
fn a_mutant_is_found_wherever_it_lives() {
    std::panic::set_hook(Box::new(|_| {}));
    for name in ["reply-before-sync", "tail-trusted", "barrier-without-tombstone"] {
        let seeded = Seeded::find(name).expect("it is one of them");
        let hunt = hunt(seeded, 1, SEEDS_MAX);
        assert!(hunt.found.is_some(), "{name} is alive after {} seeds", hunt.seeds);
    }
}

#[test]
fn without_a_mutant_nothing_is_broken() {
    switch(None);
    for seed in 1..=20 {
        assert!(run(seed).violation.is_none(), "seed {seed}");
    }
}

#[test]
fn each_mutant_has_a_name_of_its_own() {
    let mut names: Vec<_> = Seeded::all().map(Seeded::name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(names.iter().all(|name| Seeded::find(name).map(Seeded::name) == Some(*name)));
}
