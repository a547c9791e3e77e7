//! Clocks, as the shell reads them and hands them on as values.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wholly_core::time::Timestamp;

/// Wall time. A clock set before 1970 stands still.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Wall time, as the protocol counts it.
pub(crate) fn now() -> Timestamp {
    Timestamp(u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX))
}

/// Microseconds since it was first asked.
pub(crate) fn stopwatch() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let since = FIRST.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
