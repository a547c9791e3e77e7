//! Figures of what an operator must see to before it is late: room on the disk, backups,
//! certificates.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Whose certificates may cease to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CertificateOf {
    /// That which clients are shown.
    Listener,
    /// Authorities by which clients are known.
    Clients,
    /// Authorities by which destinations are known.
    Destinations,
}

impl CertificateOf {
    /// A word for figures and for people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            CertificateOf::Listener => "listener",
            CertificateOf::Clients => "clients",
            CertificateOf::Destinations => "destinations",
        }
    }
}

/// What is known of it. What is not known is not shown: a figure of nought would be a lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Upkeep {
    /// Bytes that are free where the data folder is, and of how many.
    pub disk_bytes: Option<(u64, u64)>,
    /// When a backup was asked for last, in seconds since 1970.
    pub backup_tried_s: Option<u64>,
    /// The same of the last that is whole.
    pub backup_s: Option<u64>,
    /// When certificates cease to hold, in seconds since 1970.
    pub certificates: Vec<(CertificateOf, u64)>,
}

/// Shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct UpkeepFigures(Arc<Mutex<Upkeep>>);

impl UpkeepFigures {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    pub(super) fn take(&self, upkeep: &Upkeep) {
        self.0.lock().expect("nothing panics under this lock").clone_from(upkeep);
    }
}

impl Collector for UpkeepFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let upkeep = self.0.lock().expect("nothing panics under this lock").clone();
        let figures = [
            (
                "disk_free_bytes",
                "Bytes that are free on the disk of the data folder",
                upkeep.disk_bytes.map(|(free, _)| free),
            ),
            (
                "disk_bytes",
                "Bytes of the disk of the data folder",
                upkeep.disk_bytes.map(|(_, size)| size),
            ),
            (
                "backup_time_seconds",
                "When the last backup that is whole was asked for, since 1970",
                upkeep.backup_s,
            ),
            (
                "backup_tried_time_seconds",
                "When a backup was asked for last, whatever came of it, since 1970",
                upkeep.backup_tried_s,
            ),
        ];
        for (name, help, value) in figures {
            let Some(value) = value else { continue };
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            gauge(value).encode(metric)?;
        }
        if upkeep.certificates.is_empty() {
            return Ok(());
        }
        let name = "certificate_expiry_time_seconds";
        let help = "When a certificate ceases to hold, by whose it is, since 1970";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (of, value) in upkeep.certificates {
            let labels = [("of", of.word())];
            gauge(value).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}
