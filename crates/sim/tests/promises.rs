//! The promises hold in any world, and a world repeats with its seed.

use wholly_sim::report::{run, words_of};
use wholly_sim::tally::Fault;

/// A seed breaks no promise.
fn check(seed: u64) {
    let verdict = run(seed);
    assert!(verdict.violation.is_none(), "{}", words_of(&verdict, None));
    assert!(verdict.events > 0, "seed {seed} did nothing");
}

#[test]
fn no_promise_is_broken() {
    for seed in 1..=60 {
        check(seed);
    }
}

#[test]
fn a_seed_repeats_to_the_last_event() {
    let mut hashes = Vec::new();
    for seed in 1_000..1_010 {
        let (one, two) = (run(seed), run(seed));
        assert_eq!((one.hash, one.events), (two.hash, two.events), "seed {seed}");
        assert_eq!(one.tally, two.tally, "seed {seed}");
        hashes.push(one.hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 10, "worlds of different seeds differ");
}

#[test]
fn the_budget_names_every_fault() {
    let page = include_str!("../../../docs/internals/simulation.md");
    for fault in Fault::ALL {
        let words = fault.words();
        assert!(page.contains(&format!("| {words} | ")), "{words} is not in the budget");
    }
    let rows = page.lines().filter(|line| line.matches(" | ").count() == 2);
    let named =
        |line: &str| Fault::ALL.iter().any(|f| line.contains(&format!("| {} |", f.words())));
    assert_eq!(rows.filter(|line| named(line)).count(), Fault::ALL.len(), "each stands once");
}

// Seeds that show what once was wrong in the simulator: with the mend taken out, each fails. What
// was wrong in the product has tests of its own: `scenarios` and `table` in core's modes, the tests
// in `clock.rs`, `requests.rs` and `lanes.rs` of the driver, `damage_tests.rs` of the store.

#[test]
fn a_commit_takes_a_refused_branch_back_beside_those_that_stand() {
    check(21_816);
    check(30_019);
}

#[test]
fn a_lost_retry_leaves_a_branch_stuck_that_an_operator_sees() {
    check(396);
}

/// The simulator's own watch had not seen the clocks at the start, and expected a deadline to act.
#[test]
fn a_clock_that_jumps_right_after_a_start_is_waited_out() {
    check(3_003);
}

/// An operator said that a step had not been done, and a call of it arrived all the same.
#[test]
fn an_operator_vouches_for_what_was_resolved() {
    check(121);
    check(10_466);
}

#[test]
fn a_copy_put_back_while_nobody_runs_is_started_once() {
    check(754);
}

#[test]
fn no_copy_is_taken_with_a_rotten_bit_in_it() {
    check(22_655);
}

/// What a row says was taken back was committed by an operator, and named tried by its initiator.
#[test]
fn an_operator_answers_for_what_a_commit_of_a_restored_one_leaves_out() {
    check(6_438);
}
