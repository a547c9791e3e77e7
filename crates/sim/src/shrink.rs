//! Shrinking: of a run that broke a promise, leaves out transactions, then kinds of faults, then
//! single strikes, as long as the same promise is broken.

use crate::order::Order;
use crate::report::carry_out;
use crate::tally::Fault;
use crate::world::Verdict;

/// Runs that shrinking may take; each lasts some milliseconds.
const RUNS_MAX: u32 = 1_500;

/// A run that breaks a promise with less.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What is left of the order.
    pub order: Order,
    /// How that went.
    pub verdict: Verdict,
    /// Runs it took.
    pub runs: u32,
}

/// The smallest run found that breaks the same promise; none if this one breaks none.
pub fn shrink(order: &Order) -> Option<Shrunk> {
    let verdict = carry_out(order);
    let promise = verdict.violation.as_ref()?.promise;
    let mut search = Search { best: order.clone(), verdict, promise, runs: 0, from: End::First };
    // What is left out moves everything after it: another round may find what the last could not.
    let mut in_vain = 0;
    while in_vain < 2 {
        let before = size(&search.best, &search.verdict);
        search.from = search.from.other();
        search.fewer_transactions();
        search.fewer_kinds();
        search.fewer_strikes();
        search.fewer_words();
        let smaller = size(&search.best, &search.verdict) < before;
        in_vain = if smaller { 0 } else { in_vain + 1 };
    }
    Some(Shrunk { order: search.best, verdict: search.verdict, runs: search.runs })
}

/// What a reader of the trace has to read, most important first.
fn size(order: &Order, verdict: &Verdict) -> (u64, u64, usize, usize) {
    let seats = (0..order.transactions).filter(|number| order.seats(*number)).count();
    (verdict.events, verdict.tally.faults_total(), seats, order.without.len())
}

struct Search {
    best: Order,
    verdict: Verdict,
    promise: &'static str,
    runs: u32,
    from: End,
}

/// Where leaving out begins. What comes before a thing left out stays as it was, so the last is
/// the surest to begin with; but another way may lead further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    First,
    Last,
}

impl End {
    fn other(self) -> Self {
        match self {
            End::First => End::Last,
            End::Last => End::First,
        }
    }
}

impl Search {
    /// Whether the same promise is broken by a smaller run; then that is the best so far.
    fn takes(&mut self, order: Order) -> bool {
        if self.runs >= RUNS_MAX {
            return false;
        }
        self.runs += 1;
        let verdict = carry_out(&order);
        let same = verdict.violation.as_ref().is_some_and(|found| found.promise == self.promise);
        let smaller = same && size(&order, &verdict) < size(&self.best, &self.verdict);
        if smaller {
            (self.best, self.verdict) = (order, verdict);
        }
        smaller
    }

    fn fewer_transactions(&mut self) {
        let all = (0..self.best.transactions).filter(|number| self.best.seats(*number));
        let all: Vec<u64> = all.collect();
        let with = |order: Order, only: Vec<u64>| Order { only: Some(only), ..order };
        for number in &all {
            if all.len() > 1 && self.takes(with(self.best.clone(), vec![*number])) {
                break;
            }
        }
        let all = all.into_iter().filter(|number| self.best.seats(*number)).collect();
        self.fewer(all, with);
    }

    fn fewer_kinds(&mut self) {
        let struck = |fault: &Fault| self.verdict.tally.count_of_fault(*fault) > 0;
        let all: Vec<u64> = (0..Fault::ALL.len() as u64)
            .filter(|number| struck(&Fault::ALL[*number as usize]))
            .collect();
        let (kinds, before) = (all.clone(), self.best.without.clone());
        self.fewer(all, move |order, left| {
            let gone = kinds.iter().filter(|number| !left.contains(number));
            let gone = gone.map(|number| Fault::ALL[*number as usize]);
            Order { without: before.iter().copied().chain(gone).collect(), ..order }
        });
    }

    fn fewer_strikes(&mut self) {
        let all = self.verdict.strikes.clone();
        self.fewer(all, |order, strikes| Order { strikes: Some(strikes), ..order });
    }

    /// A kind that would not have struck anyway need not be named.
    fn fewer_words(&mut self) {
        for fault in self.best.without.clone() {
            let mut order = self.best.clone();
            order.without.retain(|kind| *kind != fault);
            self.takes(order);
        }
    }

    /// Leaves out ever smaller parts of a list, half of it first (Zeller and Hildebrandt 2002).
    fn fewer(&mut self, all: Vec<u64>, with: impl Fn(Order, Vec<u64>) -> Order) {
        let mut left = all;
        let mut part = left.len().div_ceil(2);
        while part > 0 && !left.is_empty() {
            let before = left.len();
            let mut parts: Vec<Vec<u64>> = left.chunks(part).map(<[u64]>::to_vec).collect();
            if self.from == End::Last {
                parts.reverse();
            }
            for part in parts {
                let less: Vec<u64> =
                    left.iter().filter(|number| !part.contains(number)).copied().collect();
                if self.takes(with(self.best.clone(), less.clone())) {
                    left = less;
                }
            }
            part = match (part, left.len() < before) {
                (1, false) => 0,
                (1, true) => 1,
                (part, _) => part.div_ceil(2).min(left.len().max(1)),
            };
        }
    }
}
