//! What ends: sagas of one step, all alike, and a few transactions that are like none of them.

use crate::client::{Broken, Client, Target};
use crate::load::{branch, expect_as_decided, expect_ok, payload};
use crate::process::Coordinator;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpSocket;

/// Parts of the load; each ends with one rare transaction.
pub(super) const LEGS: u64 = 10;

const CLIENTS: usize = 64;

/// Where nothing listens, so that a rare one has to be resolved by hand.
const DEAD: &str = "dead";

/// What has ended so far.
pub(super) struct Filling {
    sagas: u64,
    rare: u64,
    /// Bound, so that nobody else listens there, and not listening.
    dead: TcpSocket,
}

impl Filling {
    pub(super) fn new() -> Result<Filling, Broken> {
        let tried = |e: std::io::Error| Broken(format!("a dead destination: {e}"));
        let dead = TcpSocket::new_v4().map_err(tried)?;
        dead.bind(([127, 0, 0, 1], 0).into()).map_err(tried)?;
        Ok(Filling { sagas: 0, rare: 0, dead })
    }

    /// A coordinator that knows all whom these call.
    pub(super) fn known_to(&self, mut coordinator: Coordinator) -> Result<Coordinator, Broken> {
        let dead = self.dead.local_addr().map_err(|e| Broken(format!("its address: {e}")))?;
        coordinator.destinations.push((DEAD, dead));
        Ok(coordinator)
    }

    pub(super) fn ended(&self) -> u64 {
        self.sagas + self.rare
    }

    /// Ends so many, the last of them a rare one.
    pub(super) async fn leg(&mut self, target: &Target, count: u64) -> Result<(), Broken> {
        self.sagas(target, count - 1).await?;
        rare(&mut Client::connect(target).await?, self.rare).await?;
        self.rare += 1;
        Ok(())
    }

    /// Ends so many sagas.
    pub(super) async fn sagas(&mut self, target: &Target, count: u64) -> Result<(), Broken> {
        let (next, end) = (Arc::new(AtomicU64::new(self.sagas)), self.sagas + count);
        let mut tasks = Vec::with_capacity(CLIENTS);
        for _ in 0..CLIENTS {
            let (next, target) = (Arc::clone(&next), target.clone());
            tasks.push(tokio::spawn(async move {
                let mut client = Client::connect(&target).await?;
                let step = branch("a", "", &payload());
                let plan =
                    Bytes::from(format!("{{\"name\":\"place-order\",\"steps\":[{step}}}]}}"));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return Ok::<(), Broken>(());
                    }
                    let path =
                        format!("/v1/transactions/{}?wait=ended&wait_ms=30000", order(number));
                    let (status, body) = client.send("PUT", &path, &[], plan.clone()).await?;
                    expect_as_decided(status.as_u16(), &body)?;
                }
            }));
        }
        for task in tasks {
            task.await.map_err(|e| Broken(format!("client task: {e}")))??;
        }
        self.sagas = end;
        Ok(())
    }
}

/// The gid of a saga.
pub(super) fn order(number: u64) -> String {
    format!("order-{number:07}")
}

/// One that has a name, a mode and a beginning of its gid of its own, and ends mixed: it was
/// aborted, and an operator says that its branch stands.
async fn rare(client: &mut Client, number: u64) -> Result<(), Broken> {
    let path = format!("/v1/transactions/rare-{number}");
    let begin = json!({
        "name": "refund", "gid": format!("rare-{number}"),
        "branches": [{ "branch": "a", "mode": "tcc", "to": DEAD, "operation": "a.do",
                       "payload": "x", "call": false }],
    });
    let begun = post(client, "/v1/transactions", &[], &begin).await?;
    let capability = begun["capability"].as_str().unwrap_or_default();
    let headers = [("wholly-capability", capability)];
    post(client, &format!("{path}/abort"), &headers, &json!({})).await?;
    let reason = "nothing listens there";
    post(client, &format!("{path}/park"), &[], &json!({ "reason": reason })).await?;
    let word = json!({ "branch": "a", "resolution": "applied", "reason": reason });
    post(client, &format!("{path}/resolve"), &[], &word).await?;
    let path = format!("{path}?wait=ended&wait_ms=30000");
    let shown = super::read(client, &path).await?;
    match (shown["state"].as_str(), shown["outcome"].as_str()) {
        (Some("ended"), Some("mixed")) => Ok(()),
        _ => Err(Broken(format!("it should have ended mixed: {shown}"))),
    }
}

async fn post(
    client: &mut Client,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Result<Value, Broken> {
    let (status, body) = client.send("POST", path, headers, Bytes::from(body.to_string())).await?;
    expect_ok(status.as_u16(), &body).map_err(|Broken(e)| Broken(format!("{path}: {e}")))?;
    serde_json::from_slice(&body).map_err(|e| Broken(format!("{path}: {e}")))
}
