//! Empty participants: every call is answered done, with the echo that makes it an answer; where
//! they believe only what is signed, after its signature and its body are verified.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::borrow::Cow;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use wholly_tls::{Acceptor, Stream};
use wholly_wire::signature::{Forged, METHOD, PATH, Stands, Verifier};

/// Which calls they believe.
#[derive(Clone)]
pub(crate) enum Believes {
    All,
    /// Those that this credential's key has signed.
    Signed(Arc<Verifier>),
}

/// Longest that a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Serves until the runtime ends, within TLS where somebody shakes hands.
pub(crate) async fn serve(
    believes: Believes,
    within: Option<Arc<Acceptor>>,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if stream.set_nodelay(true).is_err() {
                continue;
            }
            let (believes, within) = (believes.clone(), within.clone());
            let service = service_fn(move |request| answer(believes.clone(), request));
            tokio::spawn(async move {
                let stream = match &within {
                    None => Stream::Plain(stream),
                    // Whoever is not let in hears so in the handshake.
                    Some(acceptor) => match acceptor.accept(stream, HANDSHAKE_MAX).await {
                        Ok(stream) => stream,
                        Err(_unaccepted) => return,
                    },
                };
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                // A connection that breaks off has nobody left to answer.
                let _ = served.await;
            });
        }
    });
    Ok(address)
}

async fn answer(
    believes: Believes,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    // A body that breaks off ends its connection; there is nobody to answer.
    let body = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::new()));
    match believes {
        Believes::All => {}
        Believes::Signed(verifier) => {
            if verify(&verifier, &head, &body).is_err() {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                return Ok(response);
            }
        }
    }
    if let Ok(value) = HeaderValue::from_str(&echo(&head.headers)) {
        response.headers_mut().insert("wholly-answer", value);
    }
    Ok(response)
}

fn verify(verifier: &Verifier, head: &Parts, body: &[u8]) -> Result<(), Forged> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let value = |name: &str| match name {
        METHOD => Stands::Once(Cow::from(head.method.as_str())),
        PATH => Stands::Once(Cow::from(head.uri.path())),
        header => match head.headers.get(header).map(HeaderValue::to_str) {
            Some(Ok(value)) => Stands::Once(Cow::from(value)),
            Some(Err(_)) => Stands::Unclear,
            None => Stands::Nowhere,
        },
    };
    verifier.check(now, value, |audience| ["a", "b"].contains(&audience))?.check_body(body)
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
