//! Many open transactions: memory, and how soon a coordinator serves again after a crash.

use crate::client::{Broken, Client, Target};
use crate::load::payload;
use crate::process::Coordinator;
use bytes::Bytes;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const TRANSACTIONS: u64 = 100_000;
const CLIENTS: usize = 64;

/// What was measured.
pub(crate) struct Open {
    memory_mib: f64,
    restarted_memory_mib: f64,
    serving_seconds: f64,
}

impl Open {
    pub(crate) fn json(&self) -> Value {
        json!({
            "transactions": TRANSACTIONS,
            "memory_mib": self.memory_mib.round(),
            "restarted_memory_mib": self.restarted_memory_mib.round(),
            "serving_seconds": (self.serving_seconds * 1_000.0).round() / 1_000.0,
        })
    }

    pub(crate) fn text(&self) -> String {
        format!(
            "{TRANSACTIONS} open: {:.0} MiB, after kill -9 and start {:.0} MiB, serving after \
             {:.2} s",
            self.memory_mib, self.restarted_memory_mib, self.serving_seconds
        )
    }
}

/// Opens many, reads the memory, kills, starts again.
pub(crate) async fn measure(coordinator: &Coordinator, folder: &Path) -> Result<Open, Broken> {
    let coordinator = Coordinator { data: folder.join("open"), ..coordinator.clone() };
    let (server, _) = coordinator.start().await?;
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..CLIENTS {
        let next = Arc::clone(&next);
        let target = Target::from(server.address);
        tasks.push(tokio::spawn(async move {
            let mut client = Client::connect(&target).await?;
            let branch = format!(
                "{{\"branch\":\"a\",\"mode\":\"tcc\",\"to\":\"a\",\"operation\":\"a.do\",\
                 \"payload\":{},\"call\":false}}",
                payload()
            );
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= TRANSACTIONS {
                    return Ok::<(), Broken>(());
                }
                let body = format!(
                    "{{\"name\":\"bench\",\"gid\":\"open-{number}\",\"timeout_ms\":86400000,\
                     \"branches\":[{branch}]}}"
                );
                let (status, body) =
                    client.send("POST", "/v1/transactions", &[], Bytes::from(body)).await?;
                if status != 201 {
                    return Err(Broken(format!("{status}: {}", String::from_utf8_lossy(&body))));
                }
            }
        }));
    }
    for task in tasks {
        task.await.map_err(|e| Broken(format!("client task: {e}")))??;
    }
    let memory_mib = server.memory_mib()?;
    server.kill().await?;
    let (server, serving) = coordinator.start().await?;
    let restarted_memory_mib = server.memory_mib()?;
    server.kill().await?;
    Ok(Open { memory_mib, restarted_memory_mib, serving_seconds: serving.as_secs_f64() })
}
