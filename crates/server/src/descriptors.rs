//! How many files and sockets the system lets this process have, and who gets how many of them.

use crate::config::{Config, Source};
use crate::transport::http::{PORCH_MAX, TURNED_AWAY_MAX};
use std::fs;

/// Where the system says so.
const LIMITS_FILE: &str = "/proc/self/limits";
const LIMIT_LINE: &str = "Max open files";
/// The listener, the runtime's own, the data folder's, what a resolver opens, and connections of
/// those who are turned away or wait for room.
const RESERVE: usize = 128 + TURNED_AWAY_MAX + PORCH_MAX;
/// Fewest connections in that a coordinator is of use with.
const CONNECTIONS_MIN: usize = 16;

/// The system lets the process have too few descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and the coordinator needs {needed}; raise it, for \
     instance with ulimit -n"
)]
pub struct TooFew {
    /// What there is.
    pub limit: usize,
    /// What there would have to be.
    pub needed: usize,
}

/// Lowers `requests.connections_max`, with it what one peer has of them, and `calls.calls_max` to
/// what the limit allows: were clients or calls to take the last descriptor, the log could not
/// begin its next segment.
pub(crate) fn fit(config: &mut Config) -> Result<(), TooFew> {
    match limit() {
        Some(limit) => fit_to(config, limit),
        // No limit, or a system that says none: then the configuration alone bounds.
        None => Ok(()),
    }
}

/// How many this process may have, where the system says so.
pub(crate) fn limit() -> Option<usize> {
    soft_limit(&fs::read_to_string(LIMITS_FILE).unwrap_or_default())
}

fn soft_limit(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix(LIMIT_LINE))?;
    line.split_whitespace().next()?.parse().ok()
}

fn fit_to(config: &mut Config, limit: usize) -> Result<(), TooFew> {
    let reserve = reserve(config);
    let needed = reserve.saturating_add(4 * CONNECTIONS_MIN);
    if limit < needed {
        return Err(TooFew { limit, needed });
    }
    let rest = limit - reserve;
    let (connections, calls) = (config.requests.connections_max, config.limits.calls_max);
    // Each call may leave a connection behind that is kept for the next one.
    config.limits.calls_max = calls.min(rest / 4);
    config.limits.destination_calls_max =
        config.limits.destination_calls_max.min(config.limits.calls_max);
    config.requests.connections_max = connections.min(rest - 2 * config.limits.calls_max);
    let (connections_max, calls_max) = (config.requests.connections_max, config.limits.calls_max);
    let peer = config.requests.peer_connections_max;
    if connections_max < connections {
        // The rest stays for others, as it does by default.
        config.requests.peer_connections_max = peer.min(connections_max / 4 * 3);
    }
    let lowered = [
        ("requests.connections_max", connections_max, connections),
        ("requests.peer_connections_max", config.requests.peer_connections_max, peer),
        ("calls.calls_max", calls_max, calls),
    ];
    for (key, _, _) in lowered.into_iter().filter(|(_, is, was)| is < was) {
        config.said.insert(key.to_owned(), Source::OpenFiles);
    }
    if (connections_max, calls_max) != (connections, calls) {
        tracing::warn!(
            limit,
            connections_max,
            calls_max,
            "the limit of open files is lower than requests.connections_max and calls.calls_max \
             need; they are lowered to fit, raise it with ulimit -n"
        );
    }
    Ok(())
}

/// Every segment of the log is kept open, and so is the connection to a collector of spans.
fn reserve(config: &Config) -> usize {
    let segments = config.log.log_bytes_max.div_ceil(config.log.segment_bytes);
    let collector = usize::from(config.tracing.otlp.is_some());
    usize::try_from(segments).unwrap_or(usize::MAX).saturating_add(RESERVE + collector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limit: usize, expected: Result<(usize, usize), TooFew>) {
        let mut config = Config::default();
        config.requests.connections_max = 10_000;
        config.limits.calls_max = 1_024;
        config.log.log_bytes_max = 64 << 20;
        config.log.segment_bytes = 1 << 20;
        let fitted = fit_to(&mut config, limit);
        let seen = fitted.map(|()| (config.requests.connections_max, config.limits.calls_max));
        assert_eq!(seen, expected, "{limit}");
        if let Ok((connections, calls)) = seen {
            assert!(reserve(&config) + connections + 2 * calls <= limit, "{limit}");
            assert!(config.limits.destination_calls_max <= calls, "{limit}");
            assert!(config.requests.peer_connections_max <= connections * 3 / 4, "{limit}");
            assert!(config.requests.peer_connections_max > 0, "{limit}");
        }
    }

    #[test]
    fn the_log_keeps_its_descriptors() {
        check(1_000_000, Ok((10_000, 1_024)));
        check(12_336, Ok((10_000, 1_024)));
        check(12_335, Ok((9_999, 1_024)));
        check(4_384, Ok((2_048, 1_024)));
        check(1_088, Ok((400, 200)));
        check(352, Ok((32, 16)));
        check(351, Err(TooFew { limit: 351, needed: 352 }));
        check(0, Err(TooFew { limit: 0, needed: 352 }));
    }

    #[test]
    fn a_collector_takes_a_descriptor_more() {
        let mut config = Config::default();
        let without = reserve(&config);
        config.tracing.otlp = Some("http://127.0.0.1:4318".into());
        assert_eq!(reserve(&config), without + 1);
    }

    #[test]
    fn the_soft_limit_is_read() {
        let line = "Max processes   1 2 processes\nMax open files            1024     4096   files";
        assert_eq!(soft_limit(line), Some(1_024));
        assert_eq!(soft_limit("Max open files   unlimited   unlimited   files"), None);
        assert_eq!(soft_limit(""), None);
    }
}
