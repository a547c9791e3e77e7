//! Propagation: the transaction goes along to named hosts, and is joined there.

use crate::Lock;
use crate::double::{Act, CAPABILITY, Double, refused, tried};
use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{Request, Response, StatusCode};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;
use wholly::{Error, Wholly};

/// A client that sends nothing, and says in its answer what the request would have carried.
#[derive(Clone)]
struct Mirror;

impl Service<Request<()>> for Mirror {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let mut response = Response::new(());
        *response.headers_mut() = request.headers().clone();
        ready(Ok(response))
    }
}

async fn mirrored(wholly: &Wholly, uri: &str) -> String {
    let mut client = wholly.propagate_to(["points"]).layer(Mirror);
    let request = Request::builder().uri(uri).body(()).unwrap();
    let Ok(response) = client.call(request).await;
    let value = |name: &str| {
        response.headers().get(name).map_or("none", |value| value.to_str().unwrap()).to_owned()
    };
    format!("{} {}", value("wholly-gid"), value("wholly-capability"))
}

#[tokio::test]
async fn named_hosts_are_told_and_others_are_not() {
    let double = Double::start(&[]).await;
    let wholly = &double.wholly;
    assert_eq!(mirrored(wholly, "http://points/deduct").await, "none none");
    let run = wholly.transaction("n").run(async |_| {
        let brought = format!("g-1 {CAPABILITY}");
        assert_eq!(mirrored(wholly, "http://points/deduct").await, brought);
        assert_eq!(mirrored(wholly, "http://bank/deduct").await, "none none");
        Ok(())
    });
    run.await.unwrap();
}

/// A service that joins; its handler calls stock and answers as `answer` says.
fn joining(wholly: &Wholly) -> Router {
    let stock = wholly.participant("stock");
    let handler = async move || match stock.call(Lock { sku: 1 }).await {
        Ok(_) => StatusCode::OK,
        Err(Error::NoTransaction { .. }) => StatusCode::IM_A_TEAPOT,
        Err(_) => StatusCode::OK,
    };
    Router::new().route("/deduct", post(handler)).layer(wholly.join_layer())
}

async fn ask(wholly: &Wholly, headers: &[(&str, &str)]) -> StatusCode {
    let mut request = Request::post("/deduct");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut service = joining(wholly);
    let request = request.body(Body::empty()).unwrap();
    Service::<Request<Body>>::call(&mut service, request).await.unwrap().status()
}

/// The capability of another service's transaction.
const OTHERS: &str = "9.canary-secret-capability";
const BROUGHT: &[(&str, &str)] =
    &[("wholly-gid", "g-9"), ("wholly-capability", OTHERS), ("wholly-timeout-ms", "300")];

#[tokio::test]
async fn a_request_that_brings_a_transaction_joins_it() {
    let double = Double::start(&[]).await;
    assert_eq!(ask(&double.wholly, BROUGHT).await, StatusCode::OK);
    assert_eq!(double.kinds(), "register");
    let register = double.first("register").await;
    assert!(register.line.starts_with("POST /v1/transactions/g-9/branches"), "{}", register.line);
    assert_eq!(register.headers["wholly-capability"], OTHERS);
    // Its default name cannot be one that the initiator has taken.
    assert!(register.body.starts_with(r#"{"branch":"stock.lock:"#), "{}", register.body);
}

async fn check_brought(headers: &[(&str, &str)], expected: StatusCode) {
    let double = Double::start(&[]).await;
    assert_eq!(ask(&double.wholly, headers).await, expected, "{headers:?}");
    assert_eq!(double.kinds(), "", "{headers:?}");
}

#[tokio::test]
async fn what_brings_nothing_joins_nothing_and_what_is_broken_is_not_done() {
    check_brought(&[], StatusCode::IM_A_TEAPOT).await;
    check_brought(&[("wholly-gid", "g-9"), ("wholly-timeout-ms", "300")], StatusCode::IM_A_TEAPOT)
        .await;
    check_brought(&[("wholly-capability", OTHERS)], StatusCode::BAD_REQUEST).await;
    check_brought(&[BROUGHT[1], BROUGHT[2], ("wholly-gid", "a b")], StatusCode::BAD_REQUEST).await;
    check_brought(&[BROUGHT[0], BROUGHT[1], ("wholly-timeout-ms", "x")], StatusCode::BAD_REQUEST)
        .await;
    check_brought(&[BROUGHT[0], BROUGHT[1]], StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn a_joined_refusal_is_the_initiators_business() {
    let double = Double::start(&[("register", &[refused("out_of_stock")])]).await;
    assert_eq!(ask(&double.wholly, BROUGHT).await, StatusCode::OK);
    assert_eq!(double.kinds(), "register");
}

#[tokio::test]
async fn a_joined_call_that_stays_unknown_aborts_before_the_answer() {
    let double = Double::start(&[("register", &[tried(r#""unknown""#)])]).await;
    assert_eq!(ask(&double.wholly, BROUGHT).await, StatusCode::OK);
    assert!(double.kinds().ends_with("register abort"), "{}", double.kinds());
    let script: &[(&str, &[Act])] =
        &[("register", &[tried(r#""unknown""#)]), ("abort", &[Act::HangUp])];
    let double = Double::start(script).await;
    assert_eq!(ask(&double.wholly, BROUGHT).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn reqwest_takes_the_transaction_along() {
    let double = Double::start(&[]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, joining(&double.wholly)).into_future());
    let propagation = double.wholly.propagate_to([address.to_string()]);
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new());
    let client = client.with(propagation).build();
    let run = double.wholly.transaction("n").run(async |_| {
        let answer = client.post(format!("http://{address}/deduct")).send().await?;
        assert_eq!(answer.status().as_u16(), 200);
        Ok(())
    });
    run.await.unwrap();
    server.abort();
    assert_eq!(double.kinds(), "begin register commit");
    assert_eq!(double.first("register").await.headers["wholly-capability"], "1.cap");
}
