//! Report: many seeds, what they showed, for people and for machines.

use crate::tally::Tally;
use crate::trace::Lines;
use crate::world::{Order, Verdict, World};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Transactions of one seed.
pub const TRANSACTIONS: u64 = 50;

/// Which seeds, and when to stop.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The first.
    pub from: u64,
    /// How many at most.
    pub count: u64,
    /// How many transactions at most, all together.
    pub transactions: u64,
    /// Whether the first violation ends it.
    pub mood: Mood,
}

/// What a violation does to the rest of the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// They are run all the same.
    Thorough,
    /// They are left.
    Quick,
}

/// What many seeds showed.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds run.
    pub seeds: u64,
    /// Transactions.
    pub transactions: u64,
    /// Events.
    pub events: u64,
    /// Virtual time.
    pub lasted_us: u64,
    /// What happened how often.
    pub tally: Tally,
    /// Seeds that broke a promise.
    pub violations: Vec<Verdict>,
}

impl Summary {
    fn add(&mut self, verdict: Verdict) {
        self.seeds += 1;
        self.transactions += verdict.transactions;
        self.events += verdict.events;
        self.lasted_us += verdict.lasted_us;
        self.tally.add(&verdict.tally);
        if verdict.violation.is_some() {
            self.violations.push(verdict);
        }
    }
}

/// One seed. A panic of the product counts as a broken promise.
pub fn run(seed: u64, lines: Lines) -> Verdict {
    let order = Order { seed, transactions: TRANSACTIONS, lines };
    let run = AssertUnwindSafe(|| World::new(order).run(order));
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Verdict::panicked(seed, text.unwrap_or_default())
    })
}

/// Many seeds, shared out among as many threads as work on them; each seed stays within one.
#[derive(Debug)]
pub struct Work {
    seeds: Seeds,
    next: AtomicU64,
    summary: Mutex<Summary>,
}

impl Work {
    /// Seeds of which none has been run.
    pub fn new(seeds: Seeds) -> Self {
        Work { seeds, next: AtomicU64::new(0), summary: Mutex::default() }
    }

    /// Runs seeds until there is nothing left to do.
    pub fn go(&self) {
        while let Some(seed) = self.next() {
            let verdict = run(seed, Lines::Hashed);
            self.summary.lock().expect("nobody panics while holding the summary").add(verdict);
        }
    }

    fn next(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let done = self.summary.lock().expect("nobody panics while holding the summary");
        let enough = number >= self.seeds.count || done.transactions >= self.seeds.transactions;
        let broken = self.seeds.mood == Mood::Quick && !done.violations.is_empty();
        (!enough && !broken).then(|| self.seeds.from.wrapping_add(number))
    }

    /// What all of them showed.
    pub fn finish(self) -> Summary {
        let summary = self.summary.into_inner();
        let mut summary = summary.expect("nobody panics while holding the summary");
        summary.violations.sort_by_key(|verdict| verdict.seed);
        summary
    }
}

/// What broke, and the one command that repeats it.
pub fn words_of(verdict: &Verdict, mutant: Option<&str>) -> String {
    let Some(violation) = &verdict.violation else { return format!("seed {} ran", verdict.seed) };
    let mutant = mutant.map_or(String::new(), |name| format!(" --mutant {name}"));
    format!(
        "seed {}: \"{}\" was broken after {} us: {} (workload: {})\n  to see it: cargo xtask sim \
         --seed {} --trace{mutant}",
        verdict.seed,
        violation.promise,
        verdict.lasted_us,
        violation.what,
        verdict.workload,
        verdict.seed,
    )
}
