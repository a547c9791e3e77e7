//! HTTP/1.1 and JSON: the API of v1, straight on hyper.

mod answer;
mod bodies;
mod body;
mod entrance;
mod guests;
mod handlers;
mod list;
mod looking;
mod operating;
mod query;
mod routes;
mod serve;
mod stalled;
mod stopped;
mod watched;

pub(crate) use entrance::Entrance;
pub use entrance::EntranceError;
#[cfg(feature = "fuzzing")]
pub(crate) use list::read as read_list;
pub(crate) use serve::serve;
pub use serve::{PORCH_MAX, TURNED_AWAY_MAX};
pub use stopped::{Stopped, Told};

use super::{Coordinator, Refused};
use crate::access::Access;
use crate::observe::TurnedAway;
use ::http::header::CONNECTION;
use ::http::{HeaderMap, HeaderValue, Request};
use answer::Answer;
use bodies::{Bodies, Share};
use guests::NoRoom;
use hyper::body::Incoming;
use routes::{Action, Admitted, Matched, UNKNOWN_ROUTE};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use watched::Watched;
use wholly_core::ids::{Gid, Principal};
use wholly_wire::credential::Role;
use wholly_wire::edge::EdgeRejection;

/// The API description that `GET /v1/openapi.json` gives.
pub const OPENAPI: &str = include_str!("openapi.json");

/// What bounds a request on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Largest body.
    pub body_bytes_max: usize,
    /// Bodies at once, of all clients; one peer has at most half of it.
    pub bodies_bytes_max: usize,
    /// Largest head: request line and headers.
    pub header_bytes_max: usize,
    /// Longest a body may take to arrive.
    pub body_ms_max: u64,
    /// Longest a head may take to arrive, and longest a connection may be idle.
    pub header_ms_max: u64,
    /// Longest the handshake of TLS may take.
    pub handshake_ms_max: u64,
    /// Connections at once; for further ones those that are idle are closed, or
    /// they are turned away.
    pub connections_max: usize,
    /// Connections of one peer at once; further ones are turned away.
    pub peer_connections_max: usize,
    /// Longest the requests at hand may take once the server is being stopped.
    pub stop_ms_max: u64,
}

impl Default for RequestLimits {
    fn default() -> Self {
        RequestLimits {
            body_bytes_max: 1024 * 1024,
            bodies_bytes_max: 256 * 1024 * 1024,
            header_bytes_max: 16 * 1024,
            body_ms_max: 10_000,
            header_ms_max: 60_000,
            handshake_ms_max: 10_000,
            connections_max: 10_000,
            peer_connections_max: 7_500,
            stop_ms_max: 10_000,
        }
    }
}

/// Everything that a request is answered from.
#[derive(Debug)]
pub(crate) struct Api<C> {
    coordinator: Arc<C>,
    access: Access,
    limits: RequestLimits,
    bodies: Arc<Bodies>,
    entrance: Arc<Entrance>,
}

impl<C: Coordinator> Api<C> {
    /// The API of a coordinator, for clients that come in so.
    pub(crate) fn new(
        coordinator: Arc<C>,
        access: Access,
        limits: RequestLimits,
        entrance: Arc<Entrance>,
    ) -> Api<C> {
        let bodies = Bodies::new(limits.bodies_bytes_max, limits.body_bytes_max);
        Api { coordinator, access, limits, bodies, entrance }
    }

    /// Lets a connection in.
    fn admit_stream<S>(&self, stream: S) -> entrance::Entering<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let within = Duration::from_millis(self.limits.handshake_ms_max);
        let coordinator = Arc::clone(&self.coordinator);
        self.entrance.admit(stream, within, move |error| {
            tracing::debug!(error = error as &dyn std::error::Error, "a client was not let in");
            coordinator.unaccepted(error.word());
        })
    }

    /// Answers one request, of a peer that has this share of all bodies. Dropped before its end,
    /// it is as if the asker were gone.
    async fn answer(&self, request: Request<Incoming>, share: &Arc<Share>) -> Answer {
        let mut asked = Asked { route: UNKNOWN_ROUTE, gid: None, watched: Watched::not() };
        let result = self.handle(request, share, &mut asked).await;
        let answer = match result {
            Ok(answer) => answer,
            Err(refused) => {
                if let Some(why) = turned_away(&refused) {
                    self.coordinator.turned_away(why);
                }
                answer::problem(&refused, asked.gid.as_ref())
            }
        };
        let status = answer.status().as_u16();
        self.coordinator.requested(asked.route, status);
        asked.watched.answered(&*self.coordinator, status);
        answer
    }

    /// Answers whoever is not let in: that it runs, if he asks no more, and else why.
    fn turn_away(&self, why: NoRoom, asked: &Request<Incoming>) -> Answer {
        let (route, mut answer) = match self.asks_for_health(asked) {
            Some(route) => (route, handlers::health()),
            None => {
                let limits = &self.limits;
                let why = match why {
                    NoRoom::Peer => {
                        let max = limits.peer_connections_max as u64;
                        EdgeRejection::ConnectionsFull { max }
                    }
                    NoRoom::House => {
                        EdgeRejection::Overloaded { max: limits.connections_max as u64 }
                    }
                };
                (UNKNOWN_ROUTE, answer::problem(&why.into(), None))
            }
        };
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        self.coordinator.requested(route, answer.status().as_u16());
        answer
    }

    /// The route of a health check, if this is one.
    fn asks_for_health(&self, asked: &Request<Incoming>) -> Option<&'static str> {
        self.access.check(asked.uri().authority(), asked.headers()).ok()?;
        let found = routes::find(asked.method(), asked.uri().path()).ok()?;
        (found.route.action == Action::Health).then_some(found.route.path)
    }

    /// Who asks, if it may ask this. Strangers are not told whether a path exists.
    fn admit(
        &self,
        matched: Option<&Matched<'_>>,
        headers: &HeaderMap,
    ) -> Result<Principal, EdgeRejection> {
        match matched.map(|matched| matched.route.action.admitted()) {
            Some(Admitted::Anyone) => Ok(self.access.nobody()),
            None => self.access.identify(headers).map(|asker| asker.principal),
            Some(Admitted::Roles(roles)) => {
                let asker = self.access.identify(headers)?;
                match asker.role {
                    Some(role) if !roles.contains(&role) => {
                        Err(EdgeRejection::RoleForbidden { role, needs: in_words(roles) })
                    }
                    Some(_) | None => Ok(asker.principal),
                }
            }
        }
    }

    async fn handle(
        &self,
        request: Request<Incoming>,
        share: &Arc<Share>,
        asked: &mut Asked,
    ) -> Result<Answer, Refused> {
        let (head, body) = request.into_parts();
        let line = head.method.as_str().len() + head.uri.path().len();
        check_size(line, &head.uri, &head.headers, self.limits.header_bytes_max)?;
        self.access.check(head.uri.authority(), &head.headers)?;
        let found = routes::find(&head.method, head.uri.path());
        let principal = self.admit(found.as_ref().ok(), &head.headers)?;
        let matched = found?;
        asked.route = matched.route.path;
        let Matched { route, segment } = matched;
        let query = query::Query::parse(head.uri.query(), route.parameters)?;
        let gid = match (route.subject, &segment) {
            (routes::Subject::Transaction, Some(segment)) => Some(read_gid(segment)?),
            (routes::Subject::Transaction | routes::Subject::Code | routes::Subject::None, _) => {
                None
            }
        };
        asked.gid = gid.clone();
        asked.watched = Watched::new(&*self.coordinator, route, gid.as_ref(), &head.headers);
        let mut room = self.bodies.room(share);
        let bytes = match route.body {
            routes::Body::Json => {
                body::read_json(&head.headers, body, &self.limits, &mut room).await?
            }
            routes::Body::None => bytes::Bytes::new(),
        };
        let body = handlers::Body { bytes, room };
        let headers = &head.headers;
        let watched = &mut asked.watched;
        let parts = handlers::Parts { gid, segment, headers, body, principal, watched };
        handlers::handle(self, route.action, parts, &query).await
    }
}

/// Why somebody was not let in, where that is what was wrong.
fn turned_away(refused: &Refused) -> Option<TurnedAway> {
    match refused {
        Refused::AtEdge(EdgeRejection::CredentialMissing) => Some(TurnedAway::Missing),
        Refused::AtEdge(EdgeRejection::CredentialWrong) => Some(TurnedAway::Wrong),
        Refused::AtEdge(EdgeRejection::RoleForbidden { .. }) => Some(TurnedAway::Role),
        Refused::AtEdge(_anything_else) => None,
        Refused::ByRules(_) => None,
    }
}

/// Roles in words: `services and operators`.
fn in_words(roles: &[Role]) -> String {
    let names = roles.iter().map(|role| match role {
        Role::Service => "services",
        Role::Operator => "operators",
        Role::Metrics => "scrapers of metrics",
    });
    names.collect::<Vec<_>>().join(" and ")
}

/// Every path that requests are counted under.
#[cfg(test)]
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    let paths: std::collections::BTreeSet<_> = routes::ROUTES.iter().map(|r| r.path).collect();
    paths.into_iter().chain([UNKNOWN_ROUTE])
}

/// What is known of a request, for its answer and its count.
struct Asked {
    route: &'static str,
    gid: Option<Gid>,
    watched: Watched,
}

fn read_gid(segment: &str) -> Result<Gid, EdgeRejection> {
    Gid::new(segment).map_err(|why| EdgeRejection::invalid("gid", why))
}

fn check_size(
    line: usize,
    uri: &::http::Uri,
    headers: &HeaderMap,
    max: usize,
) -> Result<(), EdgeRejection> {
    let query = uri.query().map_or(0, str::len);
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    match line + query + fields.sum::<usize>() > max {
        true => Err(EdgeRejection::HeaderTooLarge { max: max as u64 }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
