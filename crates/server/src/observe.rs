//! Figures for /metrics: every label is bounded by our code or by the configuration.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wholly_core::branch::{Answer, Op};
use wholly_core::driver::Gauges;
use wholly_store::contract::Stats;
use wholly_wire::words::Spelled;

/// All figures of a coordinator.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<DestinationLabels, Histogram, fn() -> Histogram>,
    flush_seconds: Histogram,
    transactions: Family<PhaseLabels, Gauge>,
    gauges: DriverGauges,
    log: LogFigures,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    destination: String,
    op: OpLabel,
    answer: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DestinationLabels {
    destination: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct OpLabel(Op);

impl EncodeLabelValue for OpLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.0.spell(), encoder)
    }
}

/// Gauges that the driver gives.
#[derive(Default)]
struct DriverGauges {
    stuck: Gauge,
    calls: Gauge,
    queued: Gauge,
    waiters: Gauge,
    held: Gauge,
}

/// Figures that the log gives.
#[derive(Default)]
struct LogFigures {
    bytes: Gauge,
    segments: Gauge,
    ended: Gauge,
    unarchived: Gauge,
    archive_bytes: Gauge,
    slices: Gauge,
    flushes: Counter,
    syncs: Counter,
    batch_bytes: Counter,
    written_bytes: Counter,
    lost: Counter,
}

/// Counters of one destination, looked up once.
pub struct CallFigures {
    label: String,
    counters: [[OnceLock<Counter>; ANSWERS]; Op::ALL.len()],
    seconds: OnceLock<Histogram>,
}

const ANSWERS: usize = 4;

impl CallFigures {
    /// Counters under this name.
    pub fn new(label: &str) -> Self {
        CallFigures {
            label: label.to_owned(),
            counters: Default::default(),
            seconds: OnceLock::new(),
        }
    }

    /// The name.
    pub fn label(&self) -> &str {
        &self.label
    }
}

fn call_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// Every figure at nought.
    pub fn new() -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("wholly"),
            requests: Family::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(call_buckets),
            flush_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            transactions: Family::default(),
            gauges: DriverGauges::default(),
            log: LogFigures::default(),
        };
        metrics.register();
        metrics.register_log();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let gauges = &self.gauges;
        registry.register("requests", "Requests answered", self.requests.clone());
        registry.register("calls", "Calls to participants answered", self.calls.clone());
        let help = "Time of a call, from connect to last byte";
        registry.register("call_seconds", help, self.call_seconds.clone());
        let help = "Transactions that have not ended";
        registry.register("transactions", help, self.transactions.clone());
        let help = "Branches that wait for an operator";
        registry.register("branches_stuck", help, gauges.stuck.clone());
        registry.register("calls_in_flight", "Calls in flight", gauges.calls.clone());
        let help = "Calls that wait for a slot";
        registry.register("calls_queued", help, gauges.queued.clone());
        registry.register("waiters", "Requests that wait", gauges.waiters.clone());
        let help = "Effects held until what they need is durable";
        registry.register("effects_held", help, gauges.held.clone());
    }

    fn register_log(&mut self) {
        let registry = &mut self.registry;
        let log = &self.log;
        let help = "Time from the wish for durability to its coming";
        registry.register("log_flush_seconds", help, self.flush_seconds.clone());
        registry.register("log_bytes", "Bytes the log takes", log.bytes.clone());
        registry.register("log_segments", "Files the log takes", log.segments.clone());
        let help = "Ended transactions that are not archived yet";
        registry.register("archive_lag", help, log.unarchived.clone());
        let help = "Bytes the archive takes";
        registry.register("archive_bytes", help, log.archive_bytes.clone());
        registry.register("archive_slices", "Files the archive takes", log.slices.clone());
        let help = "Ended transactions that are remembered";
        registry.register("transactions_ended", help, log.ended.clone());
        registry.register("log_flushes", "Batches made durable", log.flushes.clone());
        registry.register("log_syncs", "Syncs of files and folder", log.syncs.clone());
        registry.register("log_batch_bytes", "Bytes of batches", log.batch_bytes.clone());
        let help = "Bytes written, pre-written zeros included";
        registry.register("log_written_bytes", help, log.written_bytes.clone());
        let help = "Outcomes forgotten before their retention time was over";
        registry.register("outcomes_lost", help, log.lost.clone());
    }

    /// Counts an answered request. The route is its pattern, never the path.
    pub fn requested(&self, route: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
    }

    /// Counts an answered call.
    pub fn called(&self, figures: &CallFigures, op: Op, answer: &Answer, took: Duration) {
        let (at, answer) = match answer {
            Answer::Done { .. } => (0, "done"),
            Answer::Refused(_) => (1, "refused"),
            Answer::Working => (2, "working"),
            Answer::Unknown { .. } => (3, "unknown"),
        };
        let row = Op::ALL.iter().position(|known| *known == op).expect("every op is among all");
        let counter = figures.counters[row][at].get_or_init(|| {
            let destination = figures.label.clone();
            self.calls.get_or_create_owned(&CallLabels { destination, op: OpLabel(op), answer })
        });
        counter.inc();
        let seconds = figures.seconds.get_or_init(|| {
            let destination = figures.label.clone();
            self.call_seconds.get_or_create_owned(&DestinationLabels { destination })
        });
        seconds.observe(took.as_secs_f64());
    }

    /// Notes how long somebody waited for durability.
    pub fn flushed(&self, took: Duration) {
        self.flush_seconds.observe(took.as_secs_f64());
    }

    /// Everything in the text form of OpenMetrics.
    pub fn text(&self, gauges: &Gauges, stats: &Stats) -> String {
        self.take_gauges(gauges);
        self.take_stats(stats);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes every text");
        text
    }

    fn take_gauges(&self, gauges: &Gauges) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let phases =
            [("open", gauges.open), ("forward", gauges.forward), ("finishing", gauges.finishing)];
        for (phase, count) in phases {
            self.transactions.get_or_create(&PhaseLabels { phase }).set(number(count));
        }
        self.gauges.stuck.set(number(gauges.stuck));
        self.gauges.calls.set(number(gauges.calls));
        self.gauges.queued.set(number(gauges.queued));
        self.gauges.waiters.set(number(gauges.waiters));
        self.gauges.held.set(number(gauges.held));
    }

    fn take_stats(&self, stats: &Stats) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.log.bytes.set(number(stats.log_bytes));
        self.log.segments.set(number(stats.segments));
        self.log.ended.set(number(stats.ended));
        self.log.unarchived.set(number(stats.unarchived));
        self.log.archive_bytes.set(number(stats.archive_bytes));
        self.log.slices.set(number(stats.slices));
        let counters = [
            (&self.log.flushes, stats.flushes),
            (&self.log.syncs, stats.syncs),
            (&self.log.batch_bytes, stats.batch_bytes),
            (&self.log.written_bytes, stats.written_bytes),
            (&self.log.lost, stats.lost),
        ];
        for (counter, value) in counters {
            // The log counts; this only shows.
            counter.inner().store(value, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_shown_under_its_name() {
        let metrics = Metrics::new();
        metrics.requested("/v1/transactions", 201);
        let stock = CallFigures::new("stock");
        metrics.called(&stock, Op::Try, &Answer::Working, Duration::from_millis(3));
        metrics.called(&stock, Op::Try, &Answer::Working, Duration::from_millis(3));
        metrics.flushed(Duration::from_micros(300));
        let gauges = Gauges { open: 3, stuck: 1, ..Gauges::default() };
        let stats = Stats { flushes: 7, log_bytes: 99, lost: 2, ..Stats::default() };
        let text = metrics.text(&gauges, &stats);
        for line in [
            "wholly_requests_total{route=\"/v1/transactions\",status=\"201\"} 1",
            "wholly_calls_total{destination=\"stock\",op=\"try\",answer=\"working\"} 2",
            "wholly_call_seconds_count{destination=\"stock\"} 2",
            "wholly_log_flush_seconds_count 1",
            "wholly_transactions{phase=\"open\"} 3",
            "wholly_transactions{phase=\"finishing\"} 0",
            "wholly_branches_stuck 1",
            "wholly_log_flushes_total 7",
            "wholly_log_bytes 99",
            "wholly_outcomes_lost_total 2",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
        let again = metrics.text(&gauges, &Stats { flushes: 8, ..stats });
        assert!(again.contains("wholly_log_flushes_total 8"));
    }

    #[test]
    fn counters_of_one_destination_are_made_once_each() {
        let metrics = Metrics::new();
        for destination in ["dev", "dev", "stock"] {
            let figures = CallFigures::new(destination);
            for op in Op::ALL {
                metrics.called(&figures, *op, &Answer::Working, Duration::ZERO);
            }
        }
        let text = metrics.text(&Gauges::default(), &Stats::default());
        let series = text.lines().filter(|line| line.starts_with("wholly_calls_total{")).count();
        assert_eq!(series, 2 * Op::ALL.len());
    }
}
