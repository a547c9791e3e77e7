//! Figures of calls: how many, how they were answered, how long they took; and how each
//! destination stands.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;
use wholly_core::branch::{Answer, Op};
use wholly_core::driver::LaneGauges;
use wholly_wire::words::Spelled;

/// Each destination has these, so they are few.
const SECONDS: [f64; 5] = [0.01, 0.05, 0.25, 1.0, 5.0];
const ANSWERS: [&str; 4] = ["done", "refused", "working", "unknown"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    destination: String,
    answer: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpLabels {
    op: &'static str,
    answer: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DestinationLabels {
    destination: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DueLabels {
    destination: String,
    state: &'static str,
}

/// Figures of all calls.
pub(super) struct Calls {
    answered: Family<AnswerLabels, Counter>,
    by_op: Family<OpLabels, Counter>,
    seconds: Family<DestinationLabels, Histogram, fn() -> Histogram>,
    due: Family<DueLabels, Gauge>,
    free: Family<DestinationLabels, Gauge>,
    silent: Family<DestinationLabels, Gauge>,
    paused: Family<DestinationLabels, Gauge>,
    ops: [[OnceLock<Counter>; ANSWERS.len()]; Op::ALL.len()],
}

fn place(answer: &Answer) -> usize {
    match answer {
        Answer::Done { .. } => 0,
        Answer::Refused(_) => 1,
        Answer::Working => 2,
        Answer::Unknown { .. } => 3,
    }
}

/// An answer in a word, without anything that the participant said.
pub(crate) fn word(answer: &Answer) -> &'static str {
    ANSWERS[place(answer)]
}

/// Counters of one destination, looked up once.
pub(crate) struct CallFigures {
    label: String,
    counters: [OnceLock<Counter>; ANSWERS.len()],
    seconds: OnceLock<Histogram>,
}

impl CallFigures {
    /// Counters under this name.
    pub(crate) fn new(label: &str) -> Self {
        CallFigures {
            label: label.to_owned(),
            counters: Default::default(),
            seconds: OnceLock::new(),
        }
    }

    /// The name.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }
}

fn call_buckets() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Calls {
    fn default() -> Self {
        Calls {
            answered: Family::default(),
            by_op: Family::default(),
            seconds: Family::new_with_constructor(call_buckets),
            due: Family::default(),
            free: Family::default(),
            silent: Family::default(),
            paused: Family::default(),
            ops: Default::default(),
        }
    }
}

impl Calls {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("calls", "Calls to participants answered", self.answered.clone());
        let help = "Calls answered, by what was asked";
        registry.register("calls_by_op", help, self.by_op.clone());
        let help = "Time of a call, from connect to last byte";
        registry.register("call_seconds", help, self.seconds.clone());
        let help = "Calls due: in flight, queued for a slot, or waiting to be sent again";
        registry.register("calls_due", help, self.due.clone());
        registry.register("slots_free", "Further calls a destination may get", self.free.clone());
        let help = "Destinations from which nothing comes back: they are called by probes only";
        registry.register("destinations_silent", help, self.silent.clone());
        let help = "Destinations that an operator lets rest";
        registry.register("destinations_paused", help, self.paused.clone());
    }

    pub(super) fn answered(&self, figures: &CallFigures, op: Op, answer: &Answer, took: Duration) {
        let at = place(answer);
        let answer = ANSWERS[at];
        let row = Op::ALL.iter().position(|known| *known == op).expect("every op is among all");
        let by_op = self.ops[row][at]
            .get_or_init(|| self.by_op.get_or_create_owned(&OpLabels { op: op.spell(), answer }));
        by_op.inc();
        let counter = figures.counters[at].get_or_init(|| {
            let destination = figures.label.clone();
            self.answered.get_or_create_owned(&AnswerLabels { destination, answer })
        });
        counter.inc();
        let seconds = figures.seconds.get_or_init(|| {
            let destination = figures.label.clone();
            self.seconds.get_or_create_owned(&DestinationLabels { destination })
        });
        seconds.observe(took.as_secs_f64());
    }

    /// Shows these destinations, by label, and no other.
    pub(super) fn take(&self, lanes: &BTreeMap<String, LaneGauges>) {
        self.due.clear();
        self.free.clear();
        self.silent.clear();
        self.paused.clear();
        for (destination, lane) in lanes {
            let states =
                [("in_flight", lane.in_flight), ("queued", lane.queued), ("waiting", lane.waiting)];
            for (state, count) in states {
                let labels = DueLabels { destination: destination.clone(), state };
                self.due.get_or_create(&labels).set(super::number(count));
            }
            let labels = DestinationLabels { destination: destination.clone() };
            self.free.get_or_create(&labels).set(super::number(lane.free));
            // Seldom, so shown only where it is so: each destination's figures are few.
            for (family, count) in [(&self.silent, lane.silent), (&self.paused, lane.paused)] {
                if count > 0 {
                    family.get_or_create(&labels).set(super::number(count));
                }
            }
        }
    }
}
