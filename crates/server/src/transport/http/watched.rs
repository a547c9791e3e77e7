//! A request as whoever watches traces sees it: where it stands, and how long it took.

use super::super::Coordinator;
use super::handlers;
use super::routes::{Action, Route, Subject};
use crate::spans::{About, Began, Span};
use http::HeaderMap;
use wholly_core::ids::Gid;
use wholly_wire::trace::TraceContext;

/// A request about a transaction. Of all others there are figures, and no spans.
pub(super) struct Watched {
    /// Who asks, in which trace, if he says so.
    asker: Option<TraceContext>,
    span: Option<Unended>,
}

struct Unended {
    began: Began,
    method: &'static str,
    route: &'static str,
    gid: Option<Gid>,
    /// Where it stands below its asker, or below its transaction.
    place: Option<Place>,
    id: u64,
}

struct Place {
    context: TraceContext,
    parent: u64,
}

impl Watched {
    /// Nobody watches, or it is not known yet what is asked.
    pub(super) fn not() -> Self {
        Watched { asker: None, span: None }
    }

    /// A request that is admitted and known by its route.
    pub(super) fn new<C: Coordinator>(
        coordinator: &C,
        route: &Route,
        gid: Option<&Gid>,
        headers: &HeaderMap,
    ) -> Self {
        let asker = handlers::trace(headers);
        let is_about_one = route.subject == Subject::Transaction || route.action == Action::Begin;
        let began = is_about_one.then(|| coordinator.spans().begin()).flatten();
        let span = began.map(|began| {
            let id = coordinator.spans().fresh();
            let below = |context: &TraceContext| Place {
                context: context.child(id),
                parent: context.parent.span(),
            };
            let place = match (&asker, gid) {
                (Some(asker), _) => Some(below(asker)),
                (None, Some(gid)) => Some(below(&coordinator.place(gid))),
                (None, None) => None,
            };
            let (method, route) = (method(route), route.path);
            Unended { began, method, route, gid: gid.cloned(), place, id }
        });
        Watched { asker, span }
    }

    /// It begins this transaction.
    pub(super) fn begins(&mut self, gid: &Gid) {
        if let Some(span) = &mut self.span {
            span.gid = Some(gid.clone());
        }
    }

    /// The place that a transaction takes which it begins: this request's, below its asker's.
    /// Without an asker the transaction's own trace is the one.
    pub(super) fn context(&self) -> Option<TraceContext> {
        let asker = self.asker.as_ref()?;
        let own = self.span.as_ref().and_then(|span| span.place.as_ref());
        Some(own.map_or_else(|| asker.clone(), |place| place.context.clone()))
    }

    /// It was answered.
    pub(super) fn answered<C: Coordinator>(self, coordinator: &C, status: u16) {
        let Some(Unended { began, method, route, gid, place, id }) = self.span else { return };
        let of_transaction = || {
            let place = coordinator.place(gid.as_ref()?);
            Some(Place { context: place.child(id), parent: place.parent.span() })
        };
        // A begin that was refused before its gid was known has no trace that anybody looks for.
        let Some(Place { context, parent }) = place.or_else(of_transaction) else { return };
        let (began, ended) = began.until_now();
        let about = About::Request { method, route, status, gid };
        coordinator.spans().end(Span { place: context, parent: Some(parent), began, ended, about });
    }
}

/// The method of a route, as a word that lives for ever.
fn method(route: &Route) -> &'static str {
    route.method.as_str()
}
