//! Clocks and chance, as a start reads them and hands them on as values.

use crate::serve::ServeError;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use wholly_core::time::Timestamp;

/// Wall time.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Microseconds since it was first asked.
pub(crate) fn stopwatch() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let since = FIRST.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) fn random() -> Result<u64, ServeError> {
    getrandom::u64().map_err(|error| ServeError::Random { why: error.to_string() })
}
