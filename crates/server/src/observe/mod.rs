//! Figures for /metrics: every label is bounded by our code or by the configuration.

mod backlog;
mod calls;
mod log;
mod process;
mod upkeep;

pub(crate) use backlog::Backlog;
pub(crate) use calls::{CallFigures, word};
pub(crate) use upkeep::{CertificateOf, Upkeep};

use crate::config::Config;
use backlog::Transactions;
use calls::Calls;
use log::LogFigures;
use process::Process;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use upkeep::UpkeepFigures;
use wholly_core::branch::{Answer, Op};
use wholly_core::driver::LaneGauges;
use wholly_core::effect::Draft;
use wholly_store::contract::Stats;
use wholly_tls::Unaccepted;

/// All figures of a coordinator.
pub(crate) struct Metrics {
    /// One shows them at a time, for what is shown is set first.
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    handshakes_failed: Family<HandshakeLabels, Counter>,
    turned_away: Family<WhyLabels, Counter>,
    calls: Calls,
    transactions: Transactions,
    log: LogFigures,
    upkeep: UpkeepFigures,
    process: Process,
    flush_seconds: Histogram,
    late_seconds: Histogram,
    /// The last time, and the most.
    late_ms: [AtomicU64; 2],
    limits: Family<LimitLabels, Gauge>,
    spans: Family<SpanLabels, Counter>,
    ready: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    key: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpanLabels {
    fate: &'static str,
}

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanFate {
    /// The collector has it.
    Sent,
    /// There was no room in the queue.
    Dropped,
    /// The collector did not take it, and would not another time.
    Refused,
    /// The collector could not be reached, or had no time, for too long.
    Lost,
}

impl SpanFate {
    const ALL: [SpanFate; 4] =
        [SpanFate::Sent, SpanFate::Dropped, SpanFate::Refused, SpanFate::Lost];

    fn word(self) -> &'static str {
        match self {
            SpanFate::Sent => "sent",
            SpanFate::Dropped => "dropped",
            SpanFate::Refused => "refused",
            SpanFate::Lost => "lost",
        }
    }
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// It did not say who it is.
    Missing,
    /// It has shown what nobody known has.
    Wrong,
    /// It may ask other things.
    Role,
}

impl TurnedAway {
    const ALL: [TurnedAway; 3] = [TurnedAway::Missing, TurnedAway::Wrong, TurnedAway::Role];

    fn word(self) -> &'static str {
        match self {
            TurnedAway::Missing => "missing",
            TurnedAway::Wrong => "wrong",
            TurnedAway::Role => "role",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhyLabels {
    why: &'static str,
}

/// Whether it has started, and does not stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepting {
    /// They are.
    Yes,
    /// Not yet, or not any more.
    No,
}

/// What is shown, beside what was counted.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// What has not ended.
    pub backlog: Backlog,
    /// How each destination stands, by the label under which it is counted.
    pub lanes: BTreeMap<String, LaneGauges>,
    /// What the log says of itself.
    pub stats: Stats,
    /// What an operator must see to in time.
    pub upkeep: Upkeep,
    /// Whether it has started, and does not stop.
    pub accepting: Accepting,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// Every figure at nought.
    pub(crate) fn new() -> Self {
        let metrics = Metrics {
            registry: Mutex::default(),
            requests: Family::default(),
            handshakes_failed: Family::default(),
            turned_away: Family::default(),
            calls: Calls::default(),
            transactions: Transactions::default(),
            log: LogFigures::default(),
            upkeep: UpkeepFigures::default(),
            process: Process::default(),
            flush_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            late_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 8)),
            late_ms: Default::default(),
            limits: Family::default(),
            spans: Family::default(),
            ready: Gauge::default(),
        };
        SpanFate::ALL.into_iter().for_each(|fate| metrics.spans(fate, 0));
        let mut registry = Registry::default();
        metrics.process.register(&mut registry);
        metrics.register(registry.sub_registry_with_prefix("wholly"));
        *metrics.registry.lock().expect("nobody else has it") = registry;
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which release runs", build);
        let help = "Whether it has started and does not stop, drained or not: 1 or 0";
        registry.register("ready", help, self.ready.clone());
        let help = "What the configuration allows, by key";
        registry.register("limit", help, self.limits.clone());
        registry.register("requests", "Requests answered", self.requests.clone());
        let help = "Clients whose handshake of TLS came to nothing, by why";
        registry.register("handshakes_failed", help, self.handshakes_failed.clone());
        for why in Unaccepted::WORDS {
            // Shown at nought, so that the first one is an increase.
            drop(self.handshakes_failed.get_or_create(&HandshakeLabels { why }));
        }
        let help = "Requests refused for who asks, by why";
        registry.register("credentials_refused", help, self.turned_away.clone());
        // Shown from the start, so that a rate knows its beginning.
        for why in TurnedAway::ALL {
            let _shown = self.turned_away.get_or_create(&WhyLabels { why: why.word() });
        }
        self.transactions.register(registry);
        self.calls.register(registry);
        let help = "Time from the wish for durability to its coming";
        registry.register("log_flush_seconds", help, self.flush_seconds.clone());
        let help = "How late the alarm rang that wakes the coordinator";
        registry.register("timer_late_seconds", help, self.late_seconds.clone());
        registry.register("spans", "Spans made, by what became of them", self.spans.clone());
        self.log.register(registry);
        self.upkeep.register(registry);
    }

    /// Shows a limit under the key that it has in the configuration.
    pub(crate) fn limited(&self, key: &'static str, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.limits.get_or_create(&LimitLabels { key }).set(value);
    }

    /// Shows the limits at which something is refused, so that a graph shows how far away they are.
    pub(crate) fn show_limits(&self, config: &Config) {
        let limits = &config.limits;
        let count = |count: usize| count as u64;
        for (key, value) in [
            ("transactions.open_max", count(limits.open_max)),
            ("calls.calls_max", count(limits.calls_max)),
            ("waiting.waiters_max", count(limits.waiters_max)),
            ("log.log_bytes_max", config.log.log_bytes_max),
            ("log.disk_free_bytes_min", config.log.disk_free_bytes_min),
            ("requests.connections_max", count(config.requests.connections_max)),
            ("requests.peer_connections_max", count(config.requests.peer_connections_max)),
            ("requests.bodies_bytes_max", count(config.requests.bodies_bytes_max)),
        ] {
            self.limited(key, value);
        }
    }

    /// Counts an answered request. The route is its pattern, never the path.
    pub(crate) fn requested(&self, route: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
    }

    /// Counts a client that was not let in.
    pub(crate) fn unaccepted(&self, why: &'static str) {
        self.handshakes_failed.get_or_create(&HandshakeLabels { why }).inc();
    }

    /// Counts somebody who was not let in.
    pub(crate) fn turned_away(&self, why: TurnedAway) {
        self.turned_away.get_or_create(&WhyLabels { why: why.word() }).inc();
    }

    /// Counts an answered call.
    pub(crate) fn called(&self, figures: &CallFigures, op: Op, answer: &Answer, took: Duration) {
        self.calls.answered(figures, op, answer, took);
    }

    /// Counts spans.
    pub(crate) fn spans(&self, fate: SpanFate, count: u64) {
        self.spans.get_or_create(&SpanLabels { fate: fate.word() }).inc_by(count);
    }

    /// Counts what goes to the log.
    pub(crate) fn recorded(&self, draft: &Draft) {
        self.transactions.recorded(draft);
    }

    /// Notes how long somebody waited for durability.
    pub(crate) fn flushed(&self, took: Duration) {
        self.flush_seconds.observe(took.as_secs_f64());
    }

    /// Notes how long after its time the alarm rang.
    pub(crate) fn rang(&self, late: Duration) {
        self.late_seconds.observe(late.as_secs_f64());
        let ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        self.late_ms[0].store(ms, Ordering::Relaxed);
        self.late_ms[1].fetch_max(ms, Ordering::Relaxed);
    }

    /// How late the alarm rang, in milliseconds: the last time, and at most.
    pub(crate) fn late_ms(&self) -> (u64, u64) {
        let [last, most] = &self.late_ms;
        (last.load(Ordering::Relaxed), most.load(Ordering::Relaxed))
    }

    /// Everything in the text form of OpenMetrics.
    pub(crate) fn text(&self, snapshot: &Snapshot) -> String {
        let registry = self.registry.lock().expect("nothing panics while it shows figures");
        self.transactions.take(&snapshot.backlog);
        self.calls.take(&snapshot.lanes);
        self.log.take(&snapshot.stats);
        self.upkeep.take(&snapshot.upkeep);
        self.process.take();
        self.ready.set(match snapshot.accepting {
            Accepting::Yes => 1,
            Accepting::No => 0,
        });
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes every text");
        text
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
