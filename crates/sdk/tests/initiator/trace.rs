//! Traces: what is asked of the coordinator names the place that the task stands at.

use crate::Lock;
use crate::double::Double;
use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{Request, StatusCode};
use std::cell::Cell;
use tower_service::Service as _;
use wholly::trace::{self, Place};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OWN: &str = "00-1bf7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
const STATE: &str = "congo=t61";

/// Everything that was asked, with both headers of the trace.
fn told(double: &Double) -> Vec<String> {
    let value = |heard: &crate::double::Heard, name: &str| {
        heard.headers.get(name).cloned().unwrap_or("none".into())
    };
    let heard = double.heard();
    let lines = heard.iter().map(|heard| {
        format!("{} {} {}", heard.kind, value(heard, "traceparent"), value(heard, "tracestate"))
    });
    lines.collect()
}

async fn act(double: &Double) {
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n").run(async |tx| {
        tx.call(&stock, Lock { sku: 1 }).await?;
        Ok(())
    });
    run.await.unwrap();
}

fn expected(place: &str) -> Vec<String> {
    ["begin", "register", "commit"].iter().map(|kind| format!("{kind} {place}")).collect()
}

#[tokio::test]
async fn every_request_of_a_transaction_names_the_place() {
    let double = Double::start(&[]).await;
    trace::within(Place::parse(PARENT, Some(STATE)), act(&double)).await;
    assert_eq!(told(&double), expected(&format!("{PARENT} {STATE}")));
}

#[tokio::test]
async fn who_stands_nowhere_names_none() {
    let double = Double::start(&[]).await;
    act(&double).await;
    assert_eq!(told(&double), expected("none none"));
}

#[tokio::test]
async fn a_dropped_transaction_is_aborted_in_its_trace() {
    let double = Double::start(&[]).await;
    let run = double.wholly.transaction("n").run(async |_| -> Result<(), _> { Err("no".into()) });
    assert!(trace::within(Place::parse(PARENT, None), run).await.is_err());
    assert_eq!(told(&double), [format!("begin {PARENT} none"), format!("abort {PARENT} none")]);
}

#[tokio::test]
async fn a_request_that_comes_in_brings_its_place() {
    let double = Double::start(&[]).await;
    let inner = double.clone();
    let handler = async move || act(&inner).await;
    let mut router: Router =
        Router::new().route("/order", post(handler)).layer(double.wholly.join_layer());
    let request = Request::post("/order").header("traceparent", PARENT);
    let request = request.header("tracestate", STATE).body(Body::empty()).unwrap();
    let Ok(response) = router.call(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(told(&double), expected(&format!("{PARENT} {STATE}")));
}

thread_local! {
    /// The span that this test's own tracing is in; in no other test.
    static SPAN: Cell<bool> = const { Cell::new(false) };
}

#[tokio::test]
async fn spans_of_ones_own_come_first() {
    trace::spans_by(|| SPAN.get().then(|| Place::parse(OWN, None)).flatten());
    let double = Double::start(&[]).await;
    // All tasks of this test run on its thread.
    SPAN.set(true);
    trace::within(Place::parse(PARENT, Some(STATE)), act(&double)).await;
    SPAN.set(false);
    assert_eq!(told(&double), expected(&format!("{OWN} none")));
}
