//! Requests that come in and bring a global transaction.

use crate::client::Wholly;
use crate::context;
use crate::deciding;
use crate::ledger::Verdict;
use crate::scope::{AbortOnDrop, Failing};
use crate::trace::{self, Place};
use crate::transaction::{Transaction, Wait};
use http::{HeaderMap, Request, Response, StatusCode};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;
use wholly_core::ids::Gid;
use wholly_wire::headers;

/// Lets a service join the global transaction that a request brings.
#[derive(Clone, Debug)]
pub struct JoinLayer {
    client: Wholly,
}

/// A service that joins the global transaction that a request brings.
///
/// It never commits. Where a call of its own was dropped, stayed unknown, or a function under
/// `#[global_transaction]` failed, it aborts before it answers. A request whose headers are
/// broken is answered 400: doing its work outside of the transaction would be worse.
#[derive(Clone, Debug)]
pub struct Join<S> {
    inner: S,
    client: Wholly,
}

impl JoinLayer {
    pub(crate) fn new(client: Wholly) -> Self {
        JoinLayer { client }
    }
}

impl<S> Layer<S> for JoinLayer {
    type Service = Join<S>;

    fn layer(&self, inner: S) -> Join<S> {
        Join { inner, client: self.client.clone() }
    }
}

impl<S, A, B> Service<Request<A>> for Join<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Default + Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        // Where the request names no place, whatever surrounds it counts.
        let place = Place::of(request.headers()).or_else(trace::current);
        match brought(&self.client, request.headers()) {
            Brought::Nothing => {
                let inner = trace::within_sync(place.clone(), || {
                    context::within_sync(None, || self.inner.call(request))
                });
                Box::pin(trace::within(place, context::within(None, inner)))
            }
            Brought::Broken => Box::pin(async { Ok(empty(StatusCode::BAD_REQUEST)) }),
            Brought::Transaction(transaction) => {
                let carried = Some(transaction.clone());
                let inner = trace::within_sync(place.clone(), || {
                    context::within_sync(carried, || self.inner.call(request))
                });
                Box::pin(trace::within(place, join(transaction, inner)))
            }
        }
    }
}

enum Brought {
    Nothing,
    Broken,
    Transaction(Transaction),
}

/// A coordinator's call names a gid too, but shows no capability: it is not joined.
fn brought(client: &Wholly, headers: &HeaderMap) -> Brought {
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let Some(capability) = value(headers::CAPABILITY) else { return Brought::Nothing };
    let gid = value(headers::GID).and_then(|gid| gid.parse::<Gid>().ok());
    let left = value(headers::TIMEOUT_MS).and_then(|ms| ms.parse().ok());
    let (Some(gid), Some(left), false) = (gid, left, capability.is_empty()) else {
        return Brought::Broken;
    };
    let left = Duration::from_millis(left).min(LEFT_MAX);
    Brought::Transaction(Transaction::joined(client.clone(), gid, capability.to_owned(), left))
}

/// Longest remaining time that is believed.
const LEFT_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

async fn join<F, B, E>(transaction: Transaction, inner: F) -> Result<Response<B>, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default,
{
    let open = transaction.open().clone();
    let guard = AbortOnDrop::new(open.clone());
    let answer = context::within(Some(transaction), inner).await;
    open.ledger().close();
    guard.disarm();
    let verdict = open.ledger().verdict();
    let Verdict::Abort { why } = verdict else { return answer };
    let failing = Failing { reason: why.to_string(), branch: None };
    match deciding::abort(open, failing, Wait::Decided).await {
        Ok(_) => answer,
        // The initiator may not take this for done: its commit would find the branch undecided.
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "abort not acknowledged");
            Ok(empty(StatusCode::SERVICE_UNAVAILABLE))
        }
    }
}

fn empty<B: Default>(status: StatusCode) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = status;
    response
}
