//! Figures of the process, as the system gives them under `/proc`; on a system without it, none.

use crate::clocks::since_1970;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fs;

const STATUS_FILE: &str = "/proc/self/status";
const DESCRIPTORS: &str = "/proc/self/fd";

/// Under the names that every Prometheus library gives them.
pub(super) struct Process {
    resident_bytes: Gauge,
    threads: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    started: Gauge,
}

impl Default for Process {
    fn default() -> Self {
        let process = Process {
            resident_bytes: Gauge::default(),
            threads: Gauge::default(),
            open_fds: Gauge::default(),
            max_fds: Gauge::default(),
            started: Gauge::default(),
        };
        process
            .started
            .set(super::number(usize::try_from(since_1970().as_secs()).unwrap_or(usize::MAX)));
        process
    }
}

impl Process {
    pub(super) fn register(&self, registry: &mut Registry) {
        let figures = [
            ("resident_memory_bytes", "Memory in use", &self.resident_bytes),
            ("threads", "Threads", &self.threads),
            ("open_fds", "Files and sockets open", &self.open_fds),
            ("max_fds", "Files and sockets that may be open", &self.max_fds),
            ("start_time_seconds", "When the coordinator started, since 1970", &self.started),
        ];
        for (name, help, gauge) in figures {
            registry.register(format!("process_{name}"), help, gauge.clone());
        }
    }

    /// Reads them; what cannot be read stays as it was.
    pub(super) fn take(&self) {
        let status = fs::read_to_string(STATUS_FILE).unwrap_or_default();
        let show = |gauge: &Gauge, value: Option<u64>| {
            if let Some(value) = value.and_then(|value| i64::try_from(value).ok()) {
                gauge.set(value);
            }
        };
        // The file counts in units of 1,024 bytes.
        show(&self.resident_bytes, field(&status, "VmRSS:").map(|units| units * 1_024));
        show(&self.threads, field(&status, "Threads:"));
        let open = fs::read_dir(DESCRIPTORS).map(|entries| entries.count() as u64);
        show(&self.open_fds, open.ok());
        show(&self.max_fds, crate::descriptors::limit().map(|limit| limit as u64));
    }
}

/// The number in the line that begins so.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_by_its_name() {
        let status = "Name:\twholly\nVmHWM:\t  99 kB\nVmRSS:\t    2048 kB\nThreads:\t5\n";
        assert_eq!(field(status, "VmRSS:"), Some(2_048));
        assert_eq!(field(status, "Threads:"), Some(5));
        assert_eq!(field(status, "VmSwap:"), None);
        assert_eq!(field("VmRSS:\tmuch", "VmRSS:"), None);
    }
}
