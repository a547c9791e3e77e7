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

// Seeds that once found something, by what they found. A world drawn otherwise may give a seed
// another story; the rules that were mended have transcripts of their own in core.

#[test]
fn a_commit_takes_a_refused_branch_back_beside_those_that_stand() {
    check(3_004);
}

#[test]
fn a_lost_retry_leaves_a_branch_stuck_that_an_operator_sees() {
    check(396);
}

#[test]
fn what_an_operator_resolved_holds_no_later_step_back() {
    check(1_009_249);
    check(1_013_844);
}

#[test]
fn no_begin_is_given_below_the_limit_of_its_mark() {
    check(2_002_129);
}

/// The simulator's own watch had not seen the clocks at the start, and expected a deadline to act.
#[test]
fn a_clock_that_jumps_right_after_a_start_is_waited_out() {
    check(7_000_788);
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

#[test]
fn an_old_look_up_does_not_answer_those_who_ask_later() {
    check(7_004_303);
}

/// An operator said that a step had not been done, and a call of it arrived all the same.
#[test]
fn an_operator_vouches_for_what_was_resolved() {
    check(20_001_363);
}

#[test]
fn a_copy_put_back_while_nobody_runs_is_started_once() {
    check(10_709);
}

#[test]
fn a_jump_between_two_marks_makes_none_late() {
    check(4_837);
    check(300_031_616);
}

#[test]
fn an_operator_commits_what_was_restored_once_every_row_was_read() {
    check(41_003_045);
}

/// The reply to an operator's retry was held until that was durable, and showed how it had stood
/// before his decision of the same moment; before the copy it had been decided, and told.
#[test]
fn a_held_reply_shows_how_a_restored_transaction_stood_then() {
    check(4_800);
    check(7_054);
}

#[test]
fn a_resolved_step_leaves_its_readers_without_a_reply() {
    check(41_000_434);
}

/// Two woken calls were not due any more when they could leave, and nobody had their turn.
#[test]
fn a_turn_that_nobody_takes_goes_to_one_that_waits() {
    check(52_000_532);
}
