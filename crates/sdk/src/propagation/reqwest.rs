//! Requests that go out through reqwest, by `reqwest_middleware`.

use super::Propagation;
use http::{Extensions, Uri};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};
use std::future::Future;
use std::pin::Pin;

// As `#[async_trait]` would write it, which is one dependency for one function.
impl Middleware for Propagation {
    fn handle<'a, 'b, 'c, 'all>(
        &'a self,
        mut request: Request,
        extensions: &'b mut Extensions,
        next: Next<'c>,
    ) -> Pin<Box<dyn Future<Output = Result<Response>> + Send + 'all>>
    where
        'a: 'all,
        'b: 'all,
        'c: 'all,
        Self: 'all,
    {
        if let Ok(uri) = request.url().as_str().parse::<Uri>() {
            self.apply(&uri, request.headers_mut());
        }
        Box::pin(next.run(request, extensions))
    }
}
