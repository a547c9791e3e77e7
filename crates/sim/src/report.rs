//! Report: many seeds, what they showed, and the words for what broke.

use crate::model::Fates;
use crate::order::Order;
use crate::tally::Tally;
use crate::world::{Verdict, World};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// How transactions were decided and ended.
    pub fates: Fates,
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
        self.fates.add(&verdict.fates);
        self.events += verdict.events;
        self.lasted_us += verdict.lasted_us;
        self.tally.add(&verdict.tally);
        if verdict.violation.is_some() {
            self.violations.push(verdict);
        }
    }
}

/// One whole seed.
pub fn run(seed: u64) -> Verdict {
    carry_out(&Order::new(seed))
}

/// One run. A panic of the product counts as a broken promise.
pub fn carry_out(order: &Order) -> Verdict {
    let run = AssertUnwindSafe(|| World::new(order).run());
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Verdict::panicked(order, text.unwrap_or_default())
    })
}

/// Many seeds, shared out among as many threads as work on them; each seed stays within one.
/// What they show does not depend on the number of threads: verdicts count in order of seeds.
#[derive(Debug)]
pub struct Work {
    seeds: Seeds,
    next: AtomicU64,
    done: Mutex<Done>,
}

#[derive(Debug, Default)]
struct Done {
    summary: Summary,
    /// Of seeds after one that is still being run.
    early: BTreeMap<u64, Verdict>,
}

impl Done {
    fn is_enough(&self, seeds: &Seeds) -> bool {
        let broken = seeds.mood == Mood::Quick && !self.summary.violations.is_empty();
        broken || self.summary.fates.decided() >= seeds.transactions
    }
}

impl Work {
    /// Seeds of which none has been run.
    pub fn new(seeds: Seeds) -> Self {
        Work { seeds, next: AtomicU64::new(0), done: Mutex::default() }
    }

    /// Runs seeds until there is nothing left to do.
    pub fn go(&self) {
        self.go_and_tell(|_| {});
    }

    /// The same, and shows each time how far all of them are.
    pub fn go_and_tell(&self, tell: impl Fn(&Summary)) {
        while let Some(number) = self.next() {
            let verdict = run(self.seeds.from.wrapping_add(number));
            let mut done = self.done.lock().expect("nobody panics while holding the summary");
            done.early.insert(number, verdict);
            while !done.is_enough(&self.seeds) {
                let number = done.summary.seeds;
                let Some(verdict) = done.early.remove(&number) else { break };
                done.summary.add(verdict);
            }
            tell(&done.summary);
        }
    }

    fn next(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let done = self.done.lock().expect("nobody panics while holding the summary");
        let enough = number >= self.seeds.count || done.is_enough(&self.seeds);
        (!enough).then_some(number)
    }

    /// What all of them showed.
    pub fn finish(self) -> Summary {
        self.done.into_inner().expect("nobody panics while holding the summary").summary
    }
}

/// What broke, and the one command that repeats it.
pub fn words_of(verdict: &Verdict, mutant: Option<&str>) -> String {
    let order = verdict.order.words();
    let Some(violation) = &verdict.violation else { return format!("{order}: no promise broken") };
    let mutant = mutant.map_or(String::new(), |name| format!(" --mutant {name}"));
    format!(
        "seed {}: \"{}\" was broken after {} us: {} (workload: {})\n  to see it: cargo xtask sim \
         {order}{mutant} --trace",
        verdict.order.seed, violation.promise, verdict.lasted_us, violation.what, verdict.workload,
    )
}
