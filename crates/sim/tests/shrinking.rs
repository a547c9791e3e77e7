//! A run that broke a promise shrinks, as a rule to a few transactions.
#![cfg(feature = "mutants")]

use wholly_sim::hunt::{SEEDS_MAX, Seeded, hunt, switch};
use wholly_sim::order::Order;
use wholly_sim::report::carry_out;
use wholly_sim::shrink::shrink;

/// The first run that a mutant breaks, shrunk: it breaks the same promise, with less, and with no
/// more than so many transactions.
fn check(mutant: &str, transactions_max: usize) {
    let seeded = Seeded::find(mutant).expect("it is a mutant");
    let broken = hunt(seeded, 1, SEEDS_MAX).found.expect("every mutant is found");
    switch(Some(seeded));
    let shrunk = shrink(&broken.order).expect("it breaks a promise");
    let promise = |verdict: &wholly_sim::world::Verdict| {
        verdict.violation.as_ref().map(|violation| violation.promise)
    };
    assert_eq!(promise(&shrunk.verdict), promise(&broken), "{mutant}");
    let again = carry_out(&asked_for(&shrunk.order.words()));
    assert_eq!(again.hash, shrunk.verdict.hash, "{mutant}: its words ask for the same run");
    let (less, all) = (shrunk.verdict.events, broken.events);
    assert!(less < all, "{mutant} needs {less} events instead of {all}");
    let order = &shrunk.order;
    let left = (0..order.transactions).filter(|number| order.seats(*number)).count();
    assert!(left <= transactions_max, "{mutant} needs {left} transactions");
}

fn asked_for(words: &str) -> Order {
    let mut order = Order::new(0);
    let mut words = words.split(' ').map(str::to_owned);
    while let Some(word) = words.next() {
        let taken = order.take(&word, || words.next().ok_or_else(|| "no value".to_owned()));
        assert_eq!(taken, Ok(true), "{word}");
    }
    order
}

#[test]
fn a_broken_run_shrinks_to_a_smaller_one_that_breaks_the_same() {
    for mutant in [
        "timeout-is-done",
        "reply-before-sync",
        "begun-given-twice",
        "limit-above-open",
        "restored-committed-unread",
        "waiting-not-woken",
        "breaker-never-closes",
        "pause-ignored",
        "archived-before-commit",
        "in-doubt-participant-gives-up",
    ] {
        check(mutant, 10);
    }
    // A crash strikes at one operation of the disk: with fewer clients that is another one.
    check("tail-trusted", 25);
    switch(None);
    assert!(shrink(&Order::new(1)).is_none(), "what breaks nothing cannot shrink");
}
