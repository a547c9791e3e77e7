//! Empty participants: every call is answered done, with the echo that makes it an answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Serves until the runtime ends.
pub(crate) async fn serve() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if stream.set_nodelay(true).is_err() {
                continue;
            }
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer)),
            );
        }
    });
    Ok(address)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let headers = request.headers().clone();
    // A body that breaks off ends its connection; there is nobody to answer.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(Bytes::new()));
    let answer = echo(&headers);
    if let Ok(value) = HeaderValue::from_str(&answer) {
        response.headers_mut().insert("wholly-answer", value);
    }
    Ok(response)
}

fn echo(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    format!(
        "done;gid={};branch={};operation={};op={};kept",
        text("wholly-gid"),
        text("wholly-branch"),
        text("wholly-operation"),
        text("wholly-op"),
    )
}
