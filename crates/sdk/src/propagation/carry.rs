//! Requests that go out through a tower client.

use super::Propagation;
use http::Request;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// A tower client whose requests take the global transaction along.
#[derive(Clone, Debug)]
pub struct Carry<S> {
    inner: S,
    propagation: Propagation,
}

impl<S> Layer<S> for Propagation {
    type Service = Carry<S>;

    fn layer(&self, inner: S) -> Carry<S> {
        Carry { inner, propagation: self.clone() }
    }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Carry<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let uri = request.uri().clone();
        self.propagation.apply(&uri, request.headers_mut());
        self.inner.call(request)
    }
}
