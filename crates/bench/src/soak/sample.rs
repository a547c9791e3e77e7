//! Samples: what the coordinator takes of the machine and gives its clients, every few seconds.

use crate::report::round;
use serde_json::{Value, json};

/// One look.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Since the start.
    pub(super) seconds: f64,
    /// Which of the coordinator's lives.
    pub(super) life: u32,
    /// Kills until here, of the coordinator and of participants.
    pub(super) kills: (u32, u32),
    pub(super) per_second: f64,
    pub(super) p99_ms: f64,
    pub(super) memory_mib: f64,
    pub(super) descriptors: f64,
    pub(super) threads: f64,
    pub(super) data_mib: f64,
    pub(super) open: f64,
}

impl Sample {
    pub(super) fn json(&self) -> Value {
        json!({
            "seconds": round(self.seconds, 1),
            "life": self.life,
            "coordinator_kills": self.kills.0,
            "participant_kills": self.kills.1,
            "per_second": round(self.per_second, 0),
            "p99_ms": round(self.p99_ms, 2),
            "memory_mib": round(self.memory_mib, 1),
            "descriptors": self.descriptors,
            "threads": self.threads,
            "data_mib": round(self.data_mib, 1),
            "open": self.open,
        })
    }

    /// For whoever looks on.
    pub(super) fn line(&self) -> String {
        format!(
            "{:5.0} s: {:.0} a second, p99 {:.1} ms, {:.0} MiB, {} descriptors, {} threads, data \
             {:.0} MiB, {} open",
            self.seconds,
            self.per_second,
            self.p99_ms,
            self.memory_mib,
            self.descriptors,
            self.threads,
            self.data_mib,
            self.open
        )
    }
}

/// Rows of the table for people.
const ROWS: usize = 12;

/// The samples in a few rows: of each stretch the mean of what was given, the most of what was
/// taken.
pub(super) fn rows(samples: &[Sample]) -> Vec<Value> {
    let stretch = samples.len().div_ceil(ROWS).max(1);
    let mut before = (0, 0);
    let stretches = samples.chunks(stretch).filter_map(|some| Some((some, some.last()?)));
    let row = |(some, last): (&[Sample], &Sample)| {
        let most = |figure: fn(&Sample) -> f64| some.iter().map(figure).fold(0.0, f64::max);
        let rate = some.iter().map(|one| one.per_second).sum::<f64>() / some.len() as f64;
        let kills = (last.kills.0 - before.0, last.kills.1 - before.1);
        before = last.kills;
        json!({
            "minute": round(last.seconds / 60.0, 1),
            "per_second": round(rate, 0),
            "p99_ms": round(most(|one| one.p99_ms), 1),
            "memory_mib": round(most(|one| one.memory_mib), 0),
            "descriptors": most(|one| one.descriptors),
            "threads": most(|one| one.threads),
            "data_mib": round(most(|one| one.data_mib), 0),
            "open": most(|one| one.open),
            "killed": format!("{} + {}", kills.0, kills.1),
        })
    };
    stretches.map(row).collect()
}
