//! The configuration file: arbitrary text is read or refused, and what is read may stand.

use wholly_server::config::Config;
use wholly_server::egress::{Destinations, check_rule};
use wholly_server::fuzzing::configuration;

/// Whatever is read keeps the rules that a start relies on.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match configuration(text) {
        Ok(config) => may_stand(&config),
        Err(error) => assert!(!error.to_string().is_empty(), "it says what is wrong"),
    }
}

fn may_stand(config: &Config) {
    let loopback = config.listen.ip().is_loopback();
    assert!(loopback || (config.insecure && !config.dev), "closed by default: {config:?}");
    for (name, rule) in &config.destinations {
        assert_eq!(check_rule(name, rule), Ok(()), "{name}");
    }
    let table = Destinations::new(&config.destinations, config.urls(), 1);
    assert!(table.is_ok(), "{:?}", config.destinations);
    let limits = &config.limits;
    assert!(limits.backoff_ms <= limits.backoff_ms_max, "{limits:?}");
    assert!(limits.destination_calls_max <= limits.calls_max, "{limits:?}");
    for (name, value) in [
        ("call_timeout_ms", limits.call_timeout_ms),
        ("backoff_ms", limits.backoff_ms),
        ("branches_max", limits.branches_max as u64),
        ("open_max", limits.open_max as u64),
        ("calls_max", limits.calls_max as u64),
        ("destination_calls_max", limits.destination_calls_max as u64),
        ("body_bytes_max", config.requests.body_bytes_max as u64),
        ("segment_bytes", config.log.segment_bytes),
    ] {
        assert!(value > 0, "{name} of zero lets nothing through");
    }
    assert!(limits.branches_max <= usize::from(u16::MAX), "branches are counted in 16 bits");
}
