//! Figures of the log: how full it is, and what it has written.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use wholly_store::contract::Stats;
use wholly_store::spread::Spread;

/// Figures that the log gives.
#[derive(Default)]
pub(super) struct LogFigures {
    bytes: Gauge,
    segments: Gauge,
    ended: Gauge,
    unarchived: Gauge,
    archive_bytes: Gauge,
    slices: Gauge,
    flushes: Counter,
    syncs: Counter,
    batch_bytes: Counter,
    written_bytes: Counter,
    lost: Counter,
    spreads: Spreads,
}

impl LogFigures {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("log_bytes", "Bytes the log takes", self.bytes.clone());
        registry.register("log_segments", "Files the log takes", self.segments.clone());
        let help = "Ended transactions that are not archived yet";
        registry.register("archive_lag", help, self.unarchived.clone());
        let help = "Bytes the archive takes";
        registry.register("archive_bytes", help, self.archive_bytes.clone());
        registry.register("archive_slices", "Files the archive takes", self.slices.clone());
        let help = "Ended transactions that are remembered";
        registry.register("transactions_ended", help, self.ended.clone());
        registry.register("log_flushes", "Batches made durable", self.flushes.clone());
        registry.register("log_syncs", "Syncs of files and folder", self.syncs.clone());
        registry.register("log_batch_bytes", "Bytes of batches", self.batch_bytes.clone());
        let help = "Bytes written, pre-written zeros included";
        registry.register("log_written_bytes", help, self.written_bytes.clone());
        let help = "Outcomes forgotten before their retention time was over";
        registry.register("outcomes_lost", help, self.lost.clone());
        registry.register_collector(Box::new(self.spreads.clone()));
    }

    pub(super) fn take(&self, stats: &Stats) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.bytes.set(number(stats.log_bytes));
        self.segments.set(number(stats.segments));
        self.ended.set(number(stats.ended));
        self.unarchived.set(number(stats.unarchived));
        self.archive_bytes.set(number(stats.archive_bytes));
        self.slices.set(number(stats.slices));
        self.spreads.set(*stats);
        let counters = [
            (&self.flushes, stats.flushes),
            (&self.syncs, stats.syncs),
            (&self.batch_bytes, stats.batch_bytes),
            (&self.written_bytes, stats.written_bytes),
            (&self.lost, stats.lost),
        ];
        for (counter, value) in counters {
            // The log counts; this only shows.
            counter.inner().store(value, Ordering::Relaxed);
        }
    }
}

/// What the log has counted by size, shown as histograms.
#[derive(Clone, Debug, Default)]
struct Spreads(Arc<Mutex<Stats>>);

impl Spreads {
    fn set(&self, stats: Stats) {
        *self.0.lock().expect("nothing panics under this lock") = stats;
    }
}

impl Collector for Spreads {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = *self.0.lock().expect("nothing panics under this lock");
        let spreads = [
            ("log_batch_transactions", "Transactions per batch", stats.drafts_per_batch, 1.0),
            ("log_batch_size_bytes", "Bytes per batch", stats.bytes_per_batch, 1.0),
            ("log_sync_seconds", "Time of a sync", stats.us_per_sync, 1e-6),
        ];
        for (name, help, spread, unit) in spreads {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            encode(metric, &spread, unit)?;
        }
        Ok(())
    }
}

/// Every second bound is shown, so that there are a dozen.
fn encode(mut metric: MetricEncoder<'_>, spread: &Spread, unit: f64) -> Result<(), fmt::Error> {
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    let mut below = 0;
    let mut counted = 0;
    for (at, (bound, count)) in spread.within().enumerate() {
        below += count;
        if at % 2 == 1 {
            buckets.push((bound as f64 * unit, std::mem::take(&mut below)));
        }
        counted += count;
    }
    buckets.push((f64::INFINITY, spread.count() - counted));
    let sum = spread.sum() as f64 * unit;
    metric.encode_histogram::<NoLabelSet>(sum, spread.count(), &buckets, None)
}
