//! The only way out: calls to the destinations that the configuration names, within a deadline
//! and a bound on what comes back.

mod address;
mod answer;
mod collector;
mod connection;
mod destinations;
mod names;
mod ranges;
mod request;
mod trust;

pub use address::{Address, AddressError, Host, Reach, ResolveError, Scheme};
pub(crate) use collector::{Collector, CollectorError, Taken};
pub use destinations::{
    Answers, BodyForm, Destinations, NotNamed, Replies, Rule, RuleError, Urls, check_rule,
};

use crate::observe::{self, Metrics};
use crate::spans::{About, Span, Spans};
use connection::{Connection, ExchangeError, NotOpen, Seen};
use destinations::Place;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, RwLock, Weak};
use std::time::Duration;
use tokio::time::Instant;
use wholly_core::branch::{Answer, Kept, Op, Refusal};
use wholly_core::driver::{LaneGauges, SlotRules};
use wholly_core::effect::{Call, Mark, Proof};
use wholly_core::ids::{Body, BranchId, CallId, Code, Destination, Gid, Operation, Text};
use wholly_tls::{Expiries, TlsError};
use wholly_wire::trace::TraceContext;
use wholly_wire::v1::call::NO_ROW_KEPT;
use wholly_wire::words::Spelled;

/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Sends calls and judges their answers.
pub(crate) struct Egress {
    destinations: RwLock<Arc<Destinations>>,
    reply_bytes_max: usize,
    metrics: Arc<Metrics>,
    spans: Arc<Spans>,
}

/// Which branch is inspected.
#[derive(Clone, Debug)]
pub struct Inspect {
    /// Of which transaction.
    pub gid: Gid,
    /// Which.
    pub branch: BranchId,
    /// Where its operation is offered.
    pub destination: Destination,
    /// What the participant offers.
    pub operation: Operation,
    /// The transaction's place among its peers.
    pub mark: Mark,
    /// Longest it may take.
    pub timeout_ms: u64,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    NotNamed(#[from] NotNamed),
    #[error("the payload and replies of the call make no body")]
    Body(#[source] serde_json::Error),
    #[error("no answer within {timeout_ms} ms")]
    Timeout { timeout_ms: u64 },
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("connect to {authority} failed")]
    Connect {
        authority: String,
        #[source]
        source: NotOpen,
    },
    #[error(transparent)]
    Authorities(#[from] TlsError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Something came back, or nothing was sent: this is what it says.
    Judged(Answer),
    /// No connection, or no answer in time.
    Silent(Text),
}

impl Sent {
    /// The answer: where nothing came back, unknown.
    pub fn answer(self) -> Answer {
        match self {
            Sent::Judged(answer) => answer,
            Sent::Silent(detail) => Answer::Unknown { detail },
        }
    }
}

impl CallError {
    /// Whether nothing came back, so that the destination may be gone.
    fn is_silence(&self) -> bool {
        match self {
            CallError::Timeout { .. } | CallError::Resolve(_) | CallError::Connect { .. } => true,
            CallError::Exchange(error) => error.is_silence(),
            CallError::NotNamed(_) | CallError::Body(_) | CallError::Authorities(_) => false,
        }
    }

    /// The kind in a word, without anything that came from outside.
    fn word(&self) -> &'static str {
        match self {
            CallError::NotNamed(_) => "not_named",
            CallError::Body(_) => "body",
            CallError::Timeout { .. } => "timeout",
            CallError::Resolve(_) => "resolve",
            CallError::Connect { .. } => "connect",
            CallError::Exchange(_) => "exchange",
            CallError::Authorities(_) => "authorities",
        }
    }

    /// The whole chain in one line, for people.
    fn detail(&self) -> Text {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Text::cut(&text)
    }
}

impl Egress {
    /// An egress to these destinations; each sending is a span. Inside a runtime it closes idle
    /// connections by and by.
    pub(crate) fn watched(
        destinations: Destinations,
        reply_bytes_max: usize,
        metrics: Arc<Metrics>,
        spans: Arc<Spans>,
    ) -> Arc<Self> {
        let egress = Arc::new(Egress {
            destinations: RwLock::new(Arc::new(destinations)),
            reply_bytes_max,
            metrics,
            spans,
        });
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(sweep(Arc::downgrade(&egress)));
        }
        egress
    }

    /// Where spans go.
    pub(crate) fn spans(&self) -> &Arc<Spans> {
        &self.spans
    }

    /// Whether calls to it go anywhere.
    pub(crate) fn check(&self, destination: &Destination) -> Result<(), NotNamed> {
        self.destinations().check(destination)
    }

    /// How destinations stand, by the label under which each is counted. One that is named exactly
    /// and has nothing to do has all its slots free.
    pub(crate) fn lanes(
        &self,
        busy: Vec<(Destination, LaneGauges)>,
        slots_max: usize,
    ) -> BTreeMap<String, LaneGauges> {
        let destinations = self.destinations();
        let idle = |(label, slots): (&str, Option<usize>)| {
            let free = slots.unwrap_or(slots_max);
            (label.to_owned(), LaneGauges { free, ..LaneGauges::default() })
        };
        let mut lanes: BTreeMap<_, _> = destinations.named().map(idle).collect();
        for (destination, lane) in busy {
            // One that the configuration does not name any more is called no more.
            let Ok(place) = destinations.place(&destination) else { continue };
            let label = place.figures.label();
            match lanes.get_mut(label) {
                Some(shown) if destinations.is_named(&destination) => *shown = lane,
                Some(shown) => {
                    shown.branches += lane.branches;
                    shown.in_flight += lane.in_flight;
                    shown.free += lane.free;
                    shown.queued += lane.queued;
                    shown.waiting += lane.waiting;
                    shown.silent += lane.silent;
                    shown.paused += lane.paused;
                }
                None => drop(lanes.insert(label.to_owned(), lane)),
            }
        }
        lanes
    }

    /// The slots that the configuration gives, by name and by pattern.
    pub(crate) fn slots(&self) -> SlotRules {
        self.destinations().slots()
    }

    /// Up to when the authorities hold by which destinations are known.
    pub(crate) fn authorities(&self) -> Expiries {
        self.destinations().authorities()
    }

    /// Takes other destinations from here on; calls under way end where they began.
    pub(crate) fn replace(&self, destinations: Destinations) {
        *self.destinations.write().expect("nothing panics under this lock") =
            Arc::new(destinations);
    }

    /// Sends a call and says what came of it; never later than its timeout.
    pub(crate) async fn call(&self, call: &Call) -> Answer {
        self.call_in(call, None).await.answer()
    }

    /// The same, of a transaction that was begun in a distributed trace; without one, in the
    /// transaction's own. Each sending has a place of its own, which its `traceparent` names.
    pub(crate) async fn call_in(&self, call: &Call, begun_in: Option<&TraceContext>) -> Sent {
        let place = match self.destinations().place(&call.destination) {
            Ok(place) => place,
            Err(error) => {
                let detail = CallError::from(error).detail();
                return Sent::Judged(Answer::Unknown { detail });
            }
        };
        match (call.op, place.rule.answers) {
            // It may not look at the op, and take this for the call itself.
            (Op::Inspect, Answers::Plain) => return Sent::Judged(no_row_kept()),
            (Op::Inspect, Answers::Wholly)
            | (Op::Try | Op::Confirm | Op::Cancel | Op::Action | Op::Compensate, _) => {}
        }
        let parent = self.spans.transaction(&call.gid, begun_in);
        let trace = self.spans.sending(&parent, call.id.0);
        let watched = self.spans.begin();
        let begun = Instant::now();
        let (answer, silent, came) = match self.exchange(&place, call, &trace).await {
            Ok(seen) => {
                let came = Came { status: Some(seen.head.status.as_u16()), failure: None };
                (answer::judge(call, &place.rule, &seen), None, came)
            }
            Err(error) => {
                let detail = error.detail();
                let silent = error.is_silence().then(|| detail.clone());
                let came = Came { status: None, failure: Some(error.word()) };
                (Answer::Unknown { detail }, silent, came)
            }
        };
        let took = begun.elapsed();
        self.metrics.called(&place.figures, call.op, &answer, took);
        tracing::debug!(
            gid = %call.gid,
            branch = %call.branch,
            operation = %call.operation,
            op = call.op.spell(),
            destination = %call.destination,
            attempt = call.attempt,
            answer = observe::word(&answer),
            trace = %trace.parent,
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "called"
        );
        if let Some(began) = watched {
            let (began, ended) = began.until_now();
            let about = about(call, &answer, came);
            let parent = Some(parent.parent.span());
            self.spans.end(Span { place: trace, parent, began, ended, about });
        }
        silent.map_or(Sent::Judged(answer), Sent::Silent)
    }

    /// Asks a participant what its barrier row of a branch says; no effect. Done brings
    /// `{"state":..}`, all else says that nothing is known.
    pub(crate) async fn inspect(&self, branch: Inspect) -> Answer {
        self.call(&Call {
            // No number of the driver's, which count from one: its span is its own.
            id: CallId(self.spans.fresh()),
            gid: branch.gid,
            branch: branch.branch,
            destination: branch.destination,
            operation: branch.operation,
            op: Op::Inspect,
            payload: Body::default(),
            replies: Vec::new(),
            reply: None,
            mark: branch.mark,
            timeout_ms: branch.timeout_ms,
            attempt: 1,
            proof: Proof::default(),
        })
        .await
    }

    fn destinations(&self) -> Arc<Destinations> {
        Arc::clone(&self.destinations.read().expect("nothing panics under this lock"))
    }

    async fn exchange(
        &self,
        place: &Place,
        call: &Call,
        trace: &TraceContext,
    ) -> Result<Seen, CallError> {
        let timeout_ms = place.rule.timeout_ms.unwrap_or(call.timeout_ms);
        let timeout = Duration::from_millis(timeout_ms);
        let body = request::body(call, place.rule.body, trace).map_err(CallError::Body)?;
        let deadline = Instant::now() + timeout;
        let attempt = self.attempt(place, call, &body, deadline, timeout_ms);
        match tokio::time::timeout_at(deadline, attempt).await {
            Ok(result) => result,
            Err(_elapsed) => Err(CallError::Timeout { timeout_ms }),
        }
    }

    /// One sending. A connection kept from an earlier call may have been closed by the other side
    /// meanwhile; then the request goes out once more on a fresh one. Whether the first copy was
    /// read cannot be known, but every operation passes a barrier, so that a repeat does no harm.
    async fn attempt(
        &self,
        place: &Place,
        call: &Call,
        body: &request::CallBody,
        deadline: Instant,
        timeout_ms: u64,
    ) -> Result<Seen, CallError> {
        let request = || request::request(place, call, body, timeout_ms);
        if let Some(mut kept) = place.pool.take().await {
            match kept.exchange(request(), self.reply_bytes_max).await {
                Ok(seen) => {
                    place.pool.put(kept).await;
                    return Ok(seen);
                }
                Err(ExchangeError::Stale(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Rare, so kept out of the future that every call is.
        let mut fresh = Box::pin(open(place, deadline)).await?;
        let seen = fresh.exchange(request(), self.reply_bytes_max).await?;
        place.pool.put(fresh).await;
        Ok(seen)
    }
}

/// What came back, or why nothing did.
struct Came {
    status: Option<u16>,
    failure: Option<&'static str>,
}

/// What the span of a sending says.
fn about(call: &Call, answer: &Answer, came: Came) -> About {
    About::Call {
        gid: call.gid.clone(),
        branch: call.branch.clone(),
        operation: call.operation.clone(),
        op: call.op,
        destination: call.destination.clone(),
        attempt: call.attempt,
        answer: observe::word(answer),
        status: came.status,
        failure: came.failure,
    }
}

fn no_row_kept() -> Answer {
    let detail = "a destination whose answers are plain is never inspected";
    let code = Code::new(NO_ROW_KEPT).expect("codes of ours are names");
    Answer::Refused(Refusal { code, detail: Text::cut(detail), kept: Kept::NotKept })
}

async fn open(place: &Place, deadline: Instant) -> Result<Box<Connection>, CallError> {
    let addresses = place.address.resolve(place.reach, &place.names).await?;
    let secured = place.security.caller()?;
    let opened = Connection::open(&addresses, secured, deadline).await;
    opened
        .map_err(|source| CallError::Connect { authority: place.address.authority.clone(), source })
}

async fn sweep(egress: Weak<Egress>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        match egress.upgrade() {
            Some(egress) => egress.destinations().sweep(),
            None => return,
        }
    }
}

/// Judges what came back, put together by hand.
#[cfg(feature = "fuzzing")]
pub(crate) fn judge(
    call: &Call,
    rule: &Rule,
    status: http::StatusCode,
    headers: http::HeaderMap,
    body: bytes::Bytes,
) -> Answer {
    let (mut head, ()) = http::Response::new(()).into_parts();
    (head.status, head.headers) = (status, headers);
    answer::judge(call, rule, &Seen { head, body })
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
