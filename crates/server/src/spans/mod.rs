//! Spans: what the coordinator did and when, for whoever watches whole traces.
//!
//! A span is made once it has ended, out of ids and closed words alone, and put into a bounded
//! queue; a task of its own spells it and sends it away. Where nobody collects them, none is made.

mod export;
mod otlp;

pub(crate) use export::{Exporter, Flushing};

use crate::clocks::since_1970;
use crate::observe::{Metrics, SpanFate};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::mpsc;
use wholly_core::branch::{Mode, Op};
use wholly_core::ids::{BranchId, Destination, Gid, Name, Operation};
use wholly_core::record::{Cause, Decision, Outcome};
use wholly_core::retry::mix;
use wholly_core::time::Timestamp;
use wholly_wire::trace::{SAMPLED, TraceContext, TraceParent, TraceState};

/// Where spans are sent, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracingConfig {
    /// The collector's URL, below which OTLP over HTTP is spoken; none where nothing is traced.
    pub otlp: Option<String>,
    /// What the path of that URL is.
    pub place: Place,
    /// Under which name the collector knows this coordinator.
    pub service: String,
    /// Of the transactions that nobody's trace brought, the share that is recorded.
    pub sampled_percent: u64,
    /// Spans that wait to be sent; further ones are dropped.
    pub queue_max: usize,
    /// Spans of one request to the collector.
    pub batch_max: usize,
    /// Longest that a span waits for others to be sent with it.
    pub linger_ms: u64,
    /// Longest that a request to the collector may take.
    pub timeout_ms: u64,
    /// How often a batch is sent before it is given up.
    pub attempts_max: u64,
    /// Longest that a stop waits for what is still to be sent.
    pub flush_ms_max: u64,
}

/// Where under a collector's URL spans are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// At `/v1/traces` below it, as the protocol has it where nothing is said.
    #[default]
    Below,
    /// At its own path, whatever that is.
    Itself,
}

impl Default for TracingConfig {
    fn default() -> Self {
        TracingConfig {
            otlp: None,
            place: Place::Below,
            service: "wholly".to_owned(),
            sampled_percent: 100,
            queue_max: 8_192,
            batch_max: 512,
            linger_ms: 1_000,
            timeout_ms: 5_000,
            attempts_max: 5,
            flush_ms_max: 2_000,
        }
    }
}

/// Something that took its time, and is over.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// Where it stands.
    pub place: TraceContext,
    /// Below which span of the same trace.
    pub parent: Option<u64>,
    /// Nanoseconds since 1970.
    pub began: u64,
    /// Nanoseconds since 1970.
    pub ended: u64,
    /// What it was.
    pub about: About,
}

/// What a span says. Nothing in it is a payload, a reply, a reason or a secret.
#[derive(Clone, Debug)]
pub(crate) enum About {
    /// A request that was answered.
    Request {
        /// How it was asked.
        method: &'static str,
        /// The pattern of its path.
        route: &'static str,
        /// The status of the answer.
        status: u16,
        /// About which transaction.
        gid: Option<Gid>,
    },
    /// One sending of a call.
    Call {
        /// Of which transaction.
        gid: Gid,
        /// Of which branch.
        branch: BranchId,
        /// What the participant offers.
        operation: Operation,
        /// What was asked of it.
        op: Op,
        /// Who was called.
        destination: Destination,
        /// How many sendings there were since the start.
        attempt: u32,
        /// Done, refused, working or unknown.
        answer: &'static str,
        /// The status that came back, if any did.
        status: Option<u16>,
        /// Why nothing came back, in a word.
        failure: Option<&'static str>,
    },
    /// A transaction from its begin to its end.
    Transaction {
        /// Which.
        gid: Gid,
        /// Its name.
        name: Name,
        /// The modes of its branches.
        modes: Vec<Mode>,
        /// How it was decided.
        decision: Option<Decision>,
        /// Why.
        cause: Option<Cause>,
        /// How well that was carried out.
        outcome: Outcome,
    },
}

/// When something began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Began {
    wall: u64,
    at: Instant,
}

impl Began {
    fn here() -> Self {
        Began {
            wall: u64::try_from(since_1970().as_nanos()).unwrap_or(u64::MAX),
            at: Instant::now(),
        }
    }

    /// From then until here. A wall clock that was set meanwhile changes nothing of its length.
    pub(crate) fn until_now(self) -> (u64, u64) {
        let took = u64::try_from(self.at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        (self.wall, self.wall.saturating_add(took))
    }
}

/// Makes places in traces, and takes spans.
pub struct Spans {
    queue: Option<mpsc::Sender<Span>>,
    metrics: Arc<Metrics>,
    /// Of traces that nobody brought.
    sampled_percent: u64,
    /// Of this process: after a restart, the same sending has another span.
    salt: u64,
    count: AtomicU64,
}

impl Spans {
    /// Places without spans: nobody collects them.
    pub(crate) fn off(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Spans::of(None, &TracingConfig::default(), metrics))
    }

    /// Spans into a queue of the configured length.
    fn queued(config: &TracingConfig, metrics: Arc<Metrics>) -> (Arc<Self>, mpsc::Receiver<Span>) {
        let (sender, receiver) = mpsc::channel(config.queue_max);
        (Arc::new(Spans::of(Some(sender), config, metrics)), receiver)
    }

    fn of(
        queue: Option<mpsc::Sender<Span>>,
        config: &TracingConfig,
        metrics: Arc<Metrics>,
    ) -> Self {
        // Two processes with the same salt would only share ids of spans.
        let salt = getrandom::u64().unwrap_or_else(|_no_chance| Began::here().wall);
        let sampled_percent = config.sampled_percent;
        Spans { queue, metrics, sampled_percent, salt, count: AtomicU64::new(0) }
    }

    /// The clock of a span that may be made; none where nobody collects them.
    pub(crate) fn begin(&self) -> Option<Began> {
        self.queue.as_ref().map(|_| Began::here())
    }

    /// A span has ended. It is dropped and counted where the queue is full.
    pub(crate) fn end(&self, span: Span) {
        let Some(queue) = &self.queue else { return };
        if !span.place.parent.is_sampled() {
            return;
        }
        if queue.try_send(span).is_err() {
            self.metrics.spans(SpanFate::Dropped, 1);
        }
    }

    /// An id for a span of this process that no other has.
    pub(crate) fn fresh(&self) -> u64 {
        mix(self.salt ^ self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// The place of a transaction, whose span is the parent of those of its calls: in the trace of
    /// whoever began it, or in that which follows from its gid, so that whoever knows the gid
    /// finds it.
    pub(crate) fn transaction(&self, gid: &Gid, begun_in: Option<&TraceContext>) -> TraceContext {
        let digest = Sha256::digest(gid.as_str().as_bytes());
        let word = |at: usize| {
            let bytes = digest[at..at + 8].try_into().expect("a digest has 32 bytes");
            u64::from_be_bytes(bytes)
        };
        let own = || {
            // All zeros are no id; the odd bit keeps them away.
            let low = word(8) | 1;
            let flags = match word(0) % 100 < self.sampled_percent {
                true => SAMPLED,
                false => 0,
            };
            let trace = u128::from(word(0)) << 64 | u128::from(low);
            let parent = TraceParent::new(trace, 1, flags).expect("neither id is nought");
            TraceContext { parent, state: None }
        };
        begun_in.cloned().unwrap_or_else(own).child(word(16))
    }

    /// The place of one sending of a call, below its transaction.
    pub(crate) fn sending(&self, transaction: &TraceContext, call: u64) -> TraceContext {
        transaction.child(mix(transaction.parent.span() ^ mix(self.salt ^ call)))
    }

    /// A transaction has ended. Its begin is known from its records, so that a transaction that
    /// was begun before a restart has its whole length.
    pub(crate) fn transaction_ended(
        &self,
        gid: &Gid,
        begun_in: Option<&TraceContext>,
        (begun, ended): (Timestamp, Timestamp),
        about: impl FnOnce() -> About,
    ) {
        if self.queue.is_none() {
            return;
        }
        let place = self.transaction(gid, begun_in);
        if !place.parent.is_sampled() {
            return;
        }
        let nanoseconds = |at: Timestamp| at.0.saturating_mul(1_000_000);
        self.end(Span {
            place,
            parent: begun_in.map(|context| context.parent.span()),
            began: nanoseconds(begun),
            // The never-repeating clock may be ahead of the wall.
            ended: nanoseconds(ended.max(begun)),
            about: about(),
        });
    }
}

/// The state that goes along with a place.
pub(crate) fn state_of(place: &TraceContext) -> Option<&str> {
    place.state.as_ref().map(TraceState::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gid(text: &str) -> Gid {
        text.parse().unwrap()
    }

    #[test]
    fn a_transaction_has_one_place_and_each_sending_its_own() {
        let spans = Spans::off(Arc::default());
        let first = spans.transaction(&gid("order-1"), None);
        assert_eq!(first, spans.transaction(&gid("order-1"), None));
        assert_ne!(first.parent.trace(), spans.transaction(&gid("order-2"), None).parent.trace());
        let (one, two) = (spans.sending(&first, 1), spans.sending(&first, 2));
        assert_eq!(one.parent.trace(), first.parent.trace());
        assert!(one.parent.span() != two.parent.span(), "{one:?} {two:?}");
        assert!(one.parent.span() != first.parent.span(), "{one:?}");

        // Another process, as after a restart: the same transaction, other sendings.
        let later = Spans::off(Arc::default());
        assert_eq!(later.transaction(&gid("order-1"), None), first);
        assert_ne!(later.sending(&first, 1), one);

        let begun = TraceContext::parse(
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),
            ["congo=t61"],
        );
        let joined = spans.transaction(&gid("order-1"), begun.as_ref());
        assert_eq!(joined.parent.trace(), begun.as_ref().unwrap().parent.trace());
        assert_eq!(joined.parent.span(), first.parent.span(), "known by the gid alone");
        assert!(!joined.parent.is_sampled());
        assert_eq!(state_of(&spans.sending(&joined, 1)), Some("congo=t61"));
    }

    #[test]
    fn so_many_of_a_hundred_are_recorded() {
        let check = |percent: u64, expected: std::ops::RangeInclusive<usize>| {
            let config = TracingConfig { sampled_percent: percent, ..TracingConfig::default() };
            let spans = Spans::of(None, &config, Arc::default());
            let places =
                (0..1_000).map(|n| spans.transaction(&gid(&format!("order-{n}")), None).parent);
            let sampled = places.filter(|place| place.is_sampled()).count();
            assert!(expected.contains(&sampled), "{percent} percent: {sampled} of 1000");
        };
        check(0, 0..=0);
        check(1, 1..=40);
        check(50, 400..=600);
        check(100, 1_000..=1_000);
    }
}
