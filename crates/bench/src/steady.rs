//! Steady load: transactions come at a fixed rate, whether the ones before have ended or not.
//!
//! Time counts from the moment a transaction was due, so that one which waits for a free client
//! waits in the figures too. Where the client was free and the timer late, it counts from the
//! moment it was sent.

use crate::client::{Broken, Client, Target};
use crate::load::{self, Server, histogram, payload, saga};
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the next is due, over all clients.
pub(crate) struct Pace {
    start: Instant,
    gap: Duration,
    turns: AtomicU64,
}

impl Pace {
    /// So many a second, from here on.
    pub(crate) fn new(per_second: f64) -> Pace {
        let gap = Duration::from_secs_f64(1.0 / per_second);
        Pace { start: Instant::now(), gap, turns: AtomicU64::new(0) }
    }

    /// Waits for the next turn and says since when it counts.
    pub(crate) async fn turn(&self) -> Instant {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let due = self.start + self.gap.mul_f64(turn as f64);
        if due <= Instant::now() {
            return due;
        }
        tokio::time::sleep_until(due.into()).await;
        Instant::now()
    }
}

/// Runs sagas of two steps at that rate for a while; says how long each took, in microseconds.
pub(crate) async fn run(
    target: &Target,
    clients: usize,
    per_second: f64,
    time: Duration,
) -> Result<Histogram<u64>, Broken> {
    let pace = Arc::new(Pace::new(per_second));
    let numbers = Arc::new(AtomicU64::new(load::seed()));
    let end = Instant::now() + time;
    let mut tasks = Vec::with_capacity(clients);
    for _ in 0..clients {
        let (pace, numbers, target) = (Arc::clone(&pace), Arc::clone(&numbers), target.clone());
        tasks.push(tokio::spawn(async move {
            let mut client = Client::connect(&target).await?;
            let (mut took, payload) = (histogram(), payload());
            loop {
                let since = pace.turn().await;
                if since >= end {
                    return Ok::<_, Broken>(took);
                }
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                saga(&mut client, number, &payload, Server::Coordinator).await?;
                let micros = since.elapsed().as_micros() as u64;
                took.record(micros.max(1)).map_err(|e| Broken(format!("histogram: {e}")))?;
            }
        }));
    }
    let mut all = histogram();
    for task in tasks {
        let own = task.await.map_err(|e| Broken(format!("client task: {e}")))??;
        all.add(own).map_err(|e| Broken(format!("histogram: {e}")))?;
    }
    Ok(all)
}
