//! Where a task stands in a distributed trace (W3C trace context): read from what comes in, sent
//! with what goes out.
//!
//! A handler stands where the coordinator's call stands, and what it asks of a coordinator names
//! that place; so does what a service behind the join layer asks. Whoever traces with a library
//! of his own says by [`spans_by`] how that one is asked; with OpenTelemetry (compiled and run with
//! opentelemetry 0.33.1 and tracing-opentelemetry 0.34.0, which this crate does not depend on) as
//!
//! ```text
//! use tracing_opentelemetry::OpenTelemetrySpanExt as _;
//!
//! opentelemetry::global::set_text_map_propagator(
//!     opentelemetry_sdk::propagation::TraceContextPropagator::new(),
//! );
//! wholly::trace::spans_by(|| {
//!     let mut headers = std::collections::HashMap::new();
//!     opentelemetry::global::get_text_map_propagator(|propagator| {
//!         propagator.inject_context(&tracing::Span::current().context(), &mut headers);
//!     });
//!     let state = headers.get("tracestate").map(String::as_str);
//!     wholly::trace::Place::parse(headers.get("traceparent")?, state)
//! });
//! ```

use http::HeaderMap;
use std::fmt;
use std::sync::OnceLock;
use tokio::task::futures::TaskLocalFuture;
use wholly_wire::headers::{TRACEPARENT, TRACESTATE};
use wholly_wire::trace::{TraceContext, TraceState};

tokio::task_local! {
    static PLACE: Option<Place>;
}

/// A future that stands somewhere in a trace.
pub type InTrace<F> = TaskLocalFuture<Option<Place>, F>;

/// A place in a trace: who asks, and what his tools hand along. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(TraceContext);

impl Place {
    /// Reads the two headers. None where the first is no place; a state that is longer than 512
    /// bytes is left out.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Place> {
        TraceContext::parse(Some(traceparent), tracestate).map(Place)
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> String {
        self.0.parent.to_string()
    }

    /// The header `tracestate`, if there is any.
    pub fn tracestate(&self) -> Option<&str> {
        self.0.state.as_ref().map(TraceState::as_str)
    }

    /// The place that a request names.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Place> {
        let parent = headers.get(TRACEPARENT)?.to_str().ok();
        let states = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok());
        TraceContext::parse(parent, states).map(Place)
    }

    /// The headers that name it.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let state = self.tracestate().map(|state| (TRACESTATE, state.to_owned()));
        std::iter::once((TRACEPARENT, self.traceparent())).chain(state)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.parent.fmt(f)
    }
}

static OWN: OnceLock<fn() -> Option<Place>> = OnceLock::new();

/// Says how this process's own tracing names the span that a task is in; where it names none, what
/// came in counts. The first that is said counts for the whole process.
pub fn spans_by(current: fn() -> Option<Place>) {
    // Whoever comes second is not heard: a library's spans have one owner.
    let _first = OWN.get_or_init(|| current);
}

/// Where this task stands. One that was spawned stands nowhere, unless it was wrapped by
/// [`within`].
pub fn current() -> Option<Place> {
    let own = OWN.get().and_then(|current| current());
    own.or_else(|| PLACE.try_with(Option::clone).ok().flatten())
}

/// Lets a future stand where this task does, wherever it runs.
pub(crate) fn kept<F: Future>(future: F) -> InTrace<F> {
    within(current(), future)
}

/// The same for a function that is not async.
pub(crate) fn within_sync<R>(place: Option<Place>, f: impl FnOnce() -> R) -> R {
    PLACE.sync_scope(place, f)
}

/// Lets a future stand somewhere, or nowhere whatever surrounds it.
pub fn within<F: Future>(place: Option<Place>, future: F) -> InTrace<F> {
    PLACE.scope(place, future)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[tokio::test]
    async fn a_task_stands_where_it_was_put() {
        let place = Place::parse(PARENT, Some("congo=t61"));
        assert_eq!(current(), None);
        let seen = within(place.clone(), async { current() }).await;
        assert_eq!(seen, place);
        let spawned = within(place.clone(), async { tokio::spawn(async { current() }).await });
        assert_eq!(spawned.await.unwrap(), None);
        let headers: Vec<_> = place.unwrap().headers().collect();
        let expected = [(TRACEPARENT, PARENT.to_owned()), (TRACESTATE, "congo=t61".to_owned())];
        assert_eq!(headers, expected);
        assert_eq!(Place::parse("odd", Some("congo=t61")), None);
    }
}
