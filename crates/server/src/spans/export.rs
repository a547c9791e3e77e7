//! Sending spans to a collector, in a task of its own: in batches, repeated for a while, given up
//! and counted after that. Nobody ever waits for it but a stop, and that not for long.

use super::otlp::{self, Resource};
use super::{Span, Spans, TracingConfig};
use crate::egress::{AddressError, Collector, CollectorError, Taken};
use crate::observe::{Metrics, SpanFate};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use wholly_core::ids::Origin;
use wholly_core::limits::Limits;
use wholly_core::retry::backoff_ms;

/// First and longest wait before a batch is sent again.
const BACKOFF_MS: u64 = 200;
const BACKOFF_MS_MAX: u64 = 5_000;

/// Spans on their way to a collector, not yet sent by anybody.
pub(crate) struct Exporter {
    queue: mpsc::Receiver<Span>,
    collector: Collector,
    config: TracingConfig,
    metrics: Arc<Metrics>,
}

/// The task that sends, and how it is told to come to its end.
pub(crate) struct Flushing {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    within: Duration,
}

/// Whether the collector took what it was sent last: a change is told once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Unknown,
    Takes,
    Fails,
}

impl Exporter {
    /// Where spans go as this configuration says; without a collector, nowhere.
    pub(crate) fn new(
        config: &TracingConfig,
        metrics: &Arc<Metrics>,
    ) -> Result<(Arc<Spans>, Option<Exporter>), AddressError> {
        let Some(url) = &config.otlp else {
            return Ok((Spans::off(Arc::clone(metrics)), None));
        };
        let timeout = Duration::from_millis(config.timeout_ms);
        let collector = Collector::new(url, config.place, timeout)?;
        let (spans, queue) = Spans::queued(config, Arc::clone(metrics));
        let (config, metrics) = (config.clone(), Arc::clone(metrics));
        Ok((spans, Some(Exporter { queue, collector, config, metrics })))
    }

    /// Sends from here on, in the name of this log.
    pub(crate) fn start(self, origin: &Origin) -> Flushing {
        let service = self.config.service.clone();
        let resource = Resource { service, instance: origin.as_str().to_owned() };
        let within = Duration::from_millis(self.config.flush_ms_max);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(self.run(resource, stopped));
        Flushing { stop, task, within }
    }

    async fn run(mut self, resource: Resource, mut stopped: oneshot::Receiver<()>) {
        let mut batch = Vec::new();
        let mut standing = Standing::Unknown;
        let mut is_over = false;
        loop {
            if is_over {
                // What is queued comes first, then nothing.
                if self.queue.recv_many(&mut batch, self.config.batch_max).await == 0 {
                    return;
                }
            } else {
                let closed = tokio::select! {
                    () = gather(&mut self.queue, &mut batch, &self.config) => Over::No,
                    // A handle that was dropped stops it as one that says so.
                    _ = &mut stopped => Over::Yes,
                };
                if closed == Over::Yes {
                    is_over = true;
                    self.queue.close();
                }
                if batch.is_empty() {
                    continue;
                }
            }
            let count = batch.len() as u64;
            let body = otlp::body(&resource, &batch);
            batch.clear();
            let came_of_it = self.deliver(body.into(), &mut stopped, &mut is_over).await;
            self.account(count, &came_of_it, &mut standing);
        }
    }

    /// Sends a batch until it is taken, or refused, or given up.
    async fn deliver(
        &mut self,
        body: bytes::Bytes,
        stopped: &mut oneshot::Receiver<()>,
        is_over: &mut bool,
    ) -> Result<u64, CollectorError> {
        let limits =
            Limits { backoff_ms: BACKOFF_MS, backoff_ms_max: BACKOFF_MS_MAX, ..Limits::default() };
        let attempts_max = u32::try_from(self.config.attempts_max).unwrap_or(u32::MAX);
        let mut attempt = 1;
        loop {
            let (error, pause) = match self.collector.post(body.clone()).await {
                Ok(Taken::Whole(answer)) => return Ok(otlp::rejected(&answer)),
                Ok(Taken::Later { status, after }) => (CollectorError::Status { status }, after),
                Err(error) if error.is_final() => return Err(error),
                Err(error) => (error, None),
            };
            // A stop has no time to be patient.
            if attempt >= attempts_max || *is_over {
                return Err(error);
            }
            let own = Duration::from_millis(backoff_ms(&limits, attempt, u64::from(attempt)));
            let pause = pause.unwrap_or(own).min(Duration::from_millis(BACKOFF_MS_MAX));
            if let Ok(_stopped) = timeout(pause, &mut *stopped).await {
                *is_over = true;
                self.queue.close();
            }
            attempt += 1;
        }
    }

    fn account(
        &self,
        count: u64,
        came_of_it: &Result<u64, CollectorError>,
        standing: &mut Standing,
    ) {
        match came_of_it {
            Ok(rejected) => {
                let rejected = (*rejected).min(count);
                self.metrics.spans(SpanFate::Sent, count - rejected);
                self.metrics.spans(SpanFate::Refused, rejected);
                if *standing == Standing::Fails {
                    tracing::info!("the collector takes spans again");
                }
                *standing = Standing::Takes;
            }
            Err(error) => {
                let fate = match error.is_final() {
                    true => SpanFate::Refused,
                    false => SpanFate::Lost,
                };
                self.metrics.spans(fate, count);
                if *standing != Standing::Fails {
                    let reason: &dyn std::error::Error = error;
                    tracing::warn!(reason, "spans are not taken; transactions go on without them");
                }
                *standing = Standing::Fails;
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    No,
    Yes,
}

/// Waits for a span, and a little for those that are to go with it. What it has taken when it is
/// dropped stays in the batch.
async fn gather(queue: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>, config: &TracingConfig) {
    if batch.is_empty() && queue.recv_many(batch, config.batch_max).await == 0 {
        // Nobody is left who could make one; only the stop is waited for.
        return std::future::pending().await;
    }
    let until = Instant::now() + Duration::from_millis(config.linger_ms);
    while let Some(room) = config.batch_max.checked_sub(batch.len()).filter(|room| *room > 0) {
        match timeout_at(until, queue.recv_many(batch, room)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

impl Flushing {
    /// Lets it send what it has, and waits for that; not longer than was configured.
    pub(crate) async fn flush(self) {
        let Flushing { stop, mut task, within } = self;
        // It is gone only if it panicked, and then there is nothing to wait for.
        let _ = stop.send(());
        if timeout(within, &mut task).await.is_err() {
            tracing::warn!("spans were still to be sent when the coordinator stopped");
            task.abort();
        }
    }
}
