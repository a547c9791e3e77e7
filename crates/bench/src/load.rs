//! The load: so many clients, each sending its next transaction when the last one has ended.

use crate::client::{Broken, Client, Target};
use bytes::Bytes;
use hdrhistogram::Histogram;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A payload of 200 bytes, quotes included.
pub(crate) fn payload() -> String {
    format!("\"{}\"", "x".repeat(198))
}

/// What a client does over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// A plan of two steps, one after the other, waited for until its end.
    Saga,
    /// Begin, two registrations side by side, commit waited for until the end.
    Tcc,
}

impl Workload {
    /// Its name in the rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::Saga => "saga-2",
            Workload::Tcc => "tcc-2",
        }
    }
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// The coordinator.
    Coordinator,
    /// The floor: the same number of exchanges and writes, and nothing else.
    Floor,
}

/// What one slice of time measured.
pub(crate) struct Slice {
    pub(crate) transactions: u64,
    pub(crate) seconds: f64,
    pub(crate) latency_us: Histogram<u64>,
}

/// Runs a workload for a while with so many clients.
pub(crate) async fn run(
    target: &Target,
    server: Server,
    workload: Workload,
    clients: usize,
    time: Duration,
) -> Result<Slice, Broken> {
    let numbers = Arc::new(AtomicU64::new(seed()));
    let start = Instant::now();
    let end = start + time;
    let mut tasks = Vec::with_capacity(clients);
    for _ in 0..clients {
        let (numbers, target) = (Arc::clone(&numbers), target.clone());
        tasks.push(tokio::spawn(async move {
            one_client(&target, server, workload, end, &numbers).await
        }));
    }
    let mut latency_us = histogram();
    for task in tasks {
        let own = task.await.map_err(|e| Broken(format!("client task: {e}")))??;
        latency_us.add(own).map_err(|e| Broken(format!("histogram: {e}")))?;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Slice { transactions: latency_us.len(), seconds, latency_us })
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000, 3).expect("the bounds are valid")
}

/// Gids differ from run to run, whatever data folder they meet.
pub(crate) fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |time| time.as_micros() as u64) << 8
}

async fn one_client(
    target: &Target,
    server: Server,
    workload: Workload,
    end: Instant,
    numbers: &AtomicU64,
) -> Result<Histogram<u64>, Broken> {
    let mut main = Client::connect(target).await?;
    let mut side = match workload {
        Workload::Tcc => Some(Client::connect(target).await?),
        Workload::Saga => None,
    };
    let payload = payload();
    let mut latency = histogram();
    while Instant::now() < end {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        match (&mut side, server) {
            (None, _) => saga(&mut main, number, &payload, server).await?,
            (Some(side), Server::Coordinator) => tcc(&mut main, side, number, &payload).await?,
            (Some(side), Server::Floor) => tcc_floor(&mut main, side, &payload).await?,
        }
        let micros = start.elapsed().as_micros() as u64;
        latency.record(micros.max(1)).map_err(|e| Broken(format!("histogram: {e}")))?;
    }
    Ok(latency)
}

pub(crate) fn branch(name: &str, mode: &str, payload: &str) -> String {
    format!(
        "{{\"branch\":\"{name}\",\"to\":\"{name}\",\"operation\":\"{name}.do\"{mode},\
         \"payload\":{payload}"
    )
}

pub(crate) async fn saga(
    client: &mut Client,
    number: u64,
    payload: &str,
    server: Server,
) -> Result<(), Broken> {
    let body = format!(
        "{{\"name\":\"bench\",\"steps\":[{}}},{},\"after\":[\"a\"]}}]}}",
        branch("a", "", payload),
        branch("b", "", payload),
    );
    let path = format!("/v1/transactions/saga-{number}?wait=ended&wait_ms=30000");
    let (status, body) = client.send("PUT", &path, &[], Bytes::from(body)).await?;
    match server {
        Server::Coordinator => expect_as_decided(status.as_u16(), &body),
        Server::Floor => expect_ok(status.as_u16(), &body),
    }
}

async fn tcc(
    main: &mut Client,
    side: &mut Client,
    number: u64,
    payload: &str,
) -> Result<(), Broken> {
    let body = format!("{{\"name\":\"bench\",\"gid\":\"tcc-{number}\"}}");
    let (status, body) = main.send("POST", "/v1/transactions", &[], Bytes::from(body)).await?;
    expect_ok(status.as_u16(), &body)?;
    let begun: Value =
        serde_json::from_slice(&body).map_err(|e| Broken(format!("begin's answer: {e}")))?;
    let capability = begun["capability"].as_str().unwrap_or_default();
    let headers = [("wholly-capability", capability)];
    let path = format!("/v1/transactions/tcc-{number}/branches");
    let tail = ",\"call\":true}";
    let register = |name| Bytes::from(branch(name, ",\"mode\":\"tcc\"", payload) + tail);
    let (a, b) = tokio::join!(
        main.send("POST", &path, &headers, register("a")),
        side.send("POST", &path, &headers, register("b")),
    );
    for (status, body) in [a?, b?] {
        expect_ok(status.as_u16(), &body)?;
    }
    let path = format!("/v1/transactions/tcc-{number}/commit?wait=ended&wait_ms=30000");
    let body = Bytes::from_static(b"{\"tried\":[\"a\",\"b\"]}");
    let (status, body) = main.send("POST", &path, &headers, body).await?;
    expect_as_decided(status.as_u16(), &body)
}

/// The same four exchanges against the floor, with bodies of the same size.
async fn tcc_floor(main: &mut Client, side: &mut Client, payload: &str) -> Result<(), Broken> {
    let begin = Bytes::from_static(b"{\"name\":\"bench\",\"gid\":\"tcc-1234567890123\"}");
    let (status, body) = main.send("POST", "/begin", &[], begin).await?;
    expect_ok(status.as_u16(), &body)?;
    let register = Bytes::from(branch("a", ",\"mode\":\"tcc\"", payload) + ",\"call\":true}");
    let (a, b) = tokio::join!(
        main.send("POST", "/register", &[], register.clone()),
        side.send("POST", "/register", &[], register),
    );
    for (status, body) in [a?, b?] {
        expect_ok(status.as_u16(), &body)?;
    }
    let commit = Bytes::from_static(b"{\"tried\":[\"a\",\"b\"]}");
    let (status, body) = main.send("POST", "/commit", &[], commit).await?;
    expect_ok(status.as_u16(), &body)
}

pub(crate) fn expect_ok(status: u16, body: &[u8]) -> Result<(), Broken> {
    match status {
        200 | 201 => Ok(()),
        other => Err(Broken(format!("status {other}: {}", String::from_utf8_lossy(body)))),
    }
}

/// A transaction counts only if it ended as decided, and committed.
pub(crate) fn expect_as_decided(status: u16, body: &[u8]) -> Result<(), Broken> {
    expect_ok(status, body)?;
    let document: Value =
        serde_json::from_slice(body).map_err(|e| Broken(format!("answer: {e}")))?;
    match (document["decision"].as_str(), document["outcome"].as_str()) {
        (Some("commit"), Some("as_decided")) => Ok(()),
        _ => Err(Broken(format!("not as decided: {document}"))),
    }
}
