//! Figures of transactions: what came of them, how many have not ended and for how long, and what
//! waits besides.

use super::number;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use wholly_core::driver::{Aged, Gauges};
use wholly_core::effect::{Content, Draft};
use wholly_core::record::{Cause, Decision, Fact, Outcome};
use wholly_wire::words::Spelled;

/// The ages, in seconds, above which transactions are counted.
pub(crate) const AGES_S: [u64; 6] = [10, 60, 600, 3_600, 21_600, 86_400];
const PHASES: [&str; 3] = ["open", "forward", "finishing"];
/// The same without those that wait for an operator alone, who are counted apart.
const AGED: [&str; 4] = ["open", "forward", "finishing", "parked"];

/// The backlog at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// How much of everything there is.
    pub gauges: Gauges,
    /// In each phase, transactions at least as old as each of [`AGES_S`].
    older: [[usize; AGES_S.len()]; AGED.len()],
    /// In each phase, the age of the oldest.
    oldest_ms: [u64; AGED.len()],
}

impl Backlog {
    /// Sums up what a driver says.
    pub(crate) fn new(gauges: Gauges, ages: impl Iterator<Item = Aged>) -> Self {
        let mut backlog = Backlog { gauges, ..Backlog::default() };
        for aged in ages {
            let Aged { open, forward, finishing, forward_parked, finishing_parked, .. } = aged;
            let (forward, finishing) = (forward - forward_parked, finishing - finishing_parked);
            let counts = [open, forward, finishing, forward_parked + finishing_parked];
            for (phase, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                let oldest = &mut backlog.oldest_ms[phase];
                *oldest = aged.age_ms.max(*oldest);
                for (at, bound) in AGES_S.iter().enumerate() {
                    if aged.age_ms >= bound * 1_000 {
                        backlog.older[phase][at] += count;
                    }
                }
            }
        }
        backlog
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AgeLabels {
    phase: &'static str,
    seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    decision: &'static str,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// Figures of all transactions.
pub(super) struct Transactions {
    begun: Counter,
    decided: Family<DecisionLabels, Counter>,
    outcomes: Family<OutcomeLabels, Counter>,
    branches_stuck: Counter,
    phases: Family<PhaseLabels, Gauge>,
    older: Family<AgeLabels, Gauge>,
    oldest: Family<PhaseLabels, Gauge>,
    stuck: Gauge,
    calls: Gauge,
    queued: Gauge,
    waiters: Gauge,
    held: Gauge,
    lookups: Gauge,
    timers: Gauge,
}

impl Default for Transactions {
    /// Every word is shown from the start, so that a rate over it knows its beginning.
    fn default() -> Self {
        let transactions = Transactions {
            begun: Counter::default(),
            decided: Family::default(),
            outcomes: Family::default(),
            branches_stuck: Counter::default(),
            phases: Family::default(),
            older: Family::default(),
            oldest: Family::default(),
            stuck: Gauge::default(),
            calls: Gauge::default(),
            queued: Gauge::default(),
            waiters: Gauge::default(),
            held: Gauge::default(),
            lookups: Gauge::default(),
            timers: Gauge::default(),
        };
        for outcome in Outcome::ALL {
            let _shown = transactions.outcome(*outcome);
        }
        for decision in Decision::ALL {
            for cause in Cause::ALL {
                let _shown = transactions.decision(*decision, *cause);
            }
        }
        transactions
    }
}

impl Transactions {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("begun", "Transactions begun", self.begun.clone());
        registry.register("decided", "Transactions decided", self.decided.clone());
        registry.register("outcomes", "Transactions ended", self.outcomes.clone());
        let help = "Branches that became stuck";
        registry.register("branches_became_stuck", help, self.branches_stuck.clone());
        let help = "Transactions that have not ended";
        registry.register("transactions", help, self.phases.clone());
        let help = "Transactions that have not ended and began at least so many seconds ago";
        registry.register("transactions_older", help, self.older.clone());
        let help = "Seconds since the begin of the oldest transaction that has not ended";
        registry.register("transactions_oldest_seconds", help, self.oldest.clone());
        let help = "Branches that wait for an operator";
        registry.register("branches_stuck", help, self.stuck.clone());
        registry.register("calls_in_flight", "Calls in flight", self.calls.clone());
        registry.register("calls_queued", "Calls that wait for a slot", self.queued.clone());
        registry.register("waiters", "Requests that wait", self.waiters.clone());
        let help = "Effects held until what they need is durable";
        registry.register("effects_held", help, self.held.clone());
        let help = "Gids that are being looked up in the log";
        registry.register("lookups", help, self.lookups.clone());
        registry.register("timers", "Timers set", self.timers.clone());
    }

    /// Counts what is about to be written down.
    pub(super) fn recorded(&self, draft: &Draft) {
        let Content::Transaction { records, .. } = &draft.content else { return };
        for record in records {
            match &record.fact {
                Fact::Begun(_) => self.begun.inc(),
                Fact::Decided { decision, cause, .. } => self.decision(*decision, *cause).inc(),
                Fact::Ended { outcome } => self.outcome(*outcome).inc(),
                Fact::Stuck { .. } => self.branches_stuck.inc(),
                Fact::Registered(_)
                | Fact::Answered { .. }
                | Fact::Inspected { .. }
                | Fact::Restored
                | Fact::Retried { .. }
                | Fact::Parked { .. }
                | Fact::Resolved { .. } => 0,
            };
        }
    }

    fn decision(&self, decision: Decision, cause: Cause) -> Counter {
        let labels = DecisionLabels { decision: decision.spell(), cause: cause.spell() };
        self.decided.get_or_create_owned(&labels)
    }

    fn outcome(&self, outcome: Outcome) -> Counter {
        self.outcomes.get_or_create_owned(&OutcomeLabels { outcome: outcome.spell() })
    }

    pub(super) fn take(&self, backlog: &Backlog) {
        let Gauges { open, forward, finishing, .. } = backlog.gauges;
        for (phase, count) in PHASES.into_iter().zip([open, forward, finishing]) {
            self.phases.get_or_create(&PhaseLabels { phase }).set(number(count));
        }
        for (at, phase) in AGED.into_iter().enumerate() {
            let oldest_s = backlog.oldest_ms[at] / 1_000;
            let oldest_s = i64::try_from(oldest_s).unwrap_or(i64::MAX);
            self.oldest.get_or_create(&PhaseLabels { phase }).set(oldest_s);
            for (seconds, older) in AGES_S.into_iter().zip(backlog.older[at]) {
                self.older.get_or_create(&AgeLabels { phase, seconds }).set(number(older));
            }
        }
        let gauges = &backlog.gauges;
        self.stuck.set(number(gauges.stuck));
        self.calls.set(number(gauges.calls));
        self.queued.set(number(gauges.queued));
        self.waiters.set(number(gauges.waiters));
        self.held.set(number(gauges.held));
        self.lookups.set(number(gauges.lookups));
        self.timers.set(number(gauges.timers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_counted_at_their_bounds() {
        let aged = |age_ms, open, finishing| Aged { age_ms, open, finishing, ..Aged::default() };
        let ages = [aged(86_400_000, 1, 0), aged(60_000, 2, 3), aged(59_999, 4, 0), aged(0, 7, 0)];
        let backlog = Backlog::new(Gauges::default(), ages.into_iter());
        assert_eq!(backlog.older[0], [7, 3, 1, 1, 1, 1]);
        assert_eq!(backlog.older[2], [3, 3, 0, 0, 0, 0]);
        assert_eq!(backlog.oldest_ms, [86_400_000, 0, 60_000, 0]);
        let parked = Aged { forward: 5, forward_parked: 2, finishing_parked: 1, ..ages[1] };
        let backlog = Backlog::new(Gauges::default(), std::iter::once(parked));
        let minute = AGES_S.iter().position(|age| *age == 60).unwrap();
        assert_eq!(backlog.older.map(|ages| ages[minute]), [2, 3, 2, 3], "parked apart");
    }
}
