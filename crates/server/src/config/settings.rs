//! The table of keys: where each value goes and what it may be.

use super::Config;
use super::effective::quoted;
use super::value::Value;
use crate::egress::{Address, Reach};
use crate::spans::Place;
use std::path::PathBuf;
use wholly_tls::{Names, OldestVersion};

/// A key, by the name it has in the file.
pub(super) struct Setting {
    pub(super) key: &'static str,
    /// What it says, for messages and for the page of all keys.
    pub(super) meaning: &'static str,
    slot: Slot,
}

enum Slot {
    Listen,
    Hosts,
    Data,
    File(fn(&mut Config) -> &mut Option<PathBuf>),
    ClientNames,
    MinVersion,
    Collector,
    Service,
    Switch(fn(&mut Config) -> &mut bool),
    Count(u64, u64, fn(&mut Config) -> &mut usize),
    Number(u64, u64, fn(&mut Config) -> &mut u64),
}

impl Setting {
    /// The environment variable that says the same.
    pub(super) fn variable(&self) -> String {
        format!("WHOLLY_{}", self.key.to_uppercase().replace('.', "_"))
    }

    /// What its number counts, if its name does not say that by itself.
    pub(super) fn unit(&self) -> Option<&'static str> {
        let mut words = self.key.split(['.', '_']);
        words.find_map(|word| ["ms", "bytes", "percent"].into_iter().find(|unit| *unit == word))
    }

    /// What it may be, for the page of all keys; empty where its meaning says it.
    pub(super) fn may_be(&self) -> String {
        match self.slot {
            Slot::Number(min, u64::MAX, _) => format!("{min} or more"),
            Slot::Number(min, max, _) | Slot::Count(min, max, _) => format!("{min} to {max}"),
            Slot::Switch(_) => "true, false".to_owned(),
            Slot::MinVersion => OldestVersion::SPELLED.map(|(word, _)| word).join(", "),
            Slot::Listen
            | Slot::Hosts
            | Slot::Data
            | Slot::File(_)
            | Slot::ClientNames
            | Slot::Collector
            | Slot::Service => String::new(),
        }
    }

    /// Its value as it stands in a file; none if it has none.
    pub(super) fn written(&self, config: &Config) -> Option<String> {
        let mut config = config.clone();
        let path = |path: &std::path::Path| quoted(&path.to_string_lossy());
        match self.slot {
            Slot::Listen => Some(quoted(&config.listen.to_string())),
            Slot::Hosts => {
                let hosts: Vec<String> = config.hosts.iter().map(|host| quoted(host)).collect();
                Some(format!("[{}]", hosts.join(", ")))
            }
            Slot::Data => Some(path(&config.data)),
            Slot::File(place) => place(&mut config).as_deref().map(path),
            Slot::ClientNames => config.tls.client_names.as_ref().map(|names| {
                let names: Vec<String> = names.list().into_iter().map(quoted).collect();
                format!("[{}]", names.join(", "))
            }),
            Slot::MinVersion => Some(quoted(config.tls.min_version.spell())),
            Slot::Collector => config.tracing.otlp.as_deref().map(quoted),
            Slot::Service => Some(quoted(&config.tracing.service)),
            Slot::Switch(place) => Some(place(&mut config).to_string()),
            Slot::Count(_, _, place) => Some(place(&mut config).to_string()),
            Slot::Number(_, _, place) => Some(place(&mut config).to_string()),
        }
    }

    pub(super) fn set(&self, config: &mut Config, value: Value) -> Result<(), String> {
        match self.slot {
            Slot::Listen => {
                let text = value.text()?;
                config.listen = text.parse().map_err(|_| {
                    format!("is {text:?}; it must be an IP address and a port, as 127.0.0.1:7700")
                })?;
            }
            Slot::Hosts => config.hosts = value.list()?,
            Slot::Data => config.data = PathBuf::from(value.text()?),
            Slot::File(place) => *place(config) = Some(PathBuf::from(value.text()?)),
            Slot::ClientNames => {
                let names = Names::parse(&value.list()?).map_err(|why| why.to_string())?;
                config.tls.client_names = Some(names);
            }
            Slot::MinVersion => {
                config.tls.min_version = value.one_of(&OldestVersion::SPELLED)?;
            }
            Slot::Collector => {
                config.tracing.otlp = collector(value.text()?)?;
                config.tracing.place = Place::Below;
            }
            Slot::Service => config.tracing.service = value.text()?,
            Slot::Switch(place) => *place(config) = value.switch()?,
            Slot::Count(min, max, place) => {
                let number = within(value.number()?, min, max)?;
                *place(config) = usize::try_from(number).map_err(|error| error.to_string())?;
            }
            Slot::Number(min, max, place) => *place(config) = within(value.number()?, min, max)?,
        }
        Ok(())
    }
}

/// A URL, in the spelling of which there is one; the empty text is none.
fn collector(text: String) -> Result<Option<String>, String> {
    match text.as_str() {
        "" => Ok(None),
        url => match Address::parse(url).and_then(|address| address.check(Reach::Configured)) {
            Ok(()) => Ok(Some(text)),
            // A user's name may have a password beside it, which is for no log.
            Err(why) if text.contains('@') => Err(format!("{why}")),
            Err(why) => Err(format!("is {text:?}, which {why}")),
        },
    }
}

fn within(number: u64, min: u64, max: u64) -> Result<u64, String> {
    match (min..=max).contains(&number) {
        true => Ok(number),
        false => Err(format!("is {number}; it must be from {min} to {max}")),
    }
}

const fn number(
    key: &'static str,
    bounds: (u64, u64),
    place: fn(&mut Config) -> &mut u64,
    meaning: &'static str,
) -> Setting {
    Setting { key, meaning, slot: Slot::Number(bounds.0, bounds.1, place) }
}

const fn count(
    key: &'static str,
    bounds: (u64, u64),
    place: fn(&mut Config) -> &mut usize,
    meaning: &'static str,
) -> Setting {
    Setting { key, meaning, slot: Slot::Count(bounds.0, bounds.1, place) }
}

const fn other(key: &'static str, slot: Slot, meaning: &'static str) -> Setting {
    Setting { key, meaning, slot }
}

/// A hundred years: longer is a mistake in the unit.
const MS_MAX: u64 = 100 * 366 * 24 * 3_600_000;
const DAY_MS: u64 = 24 * 3_600_000;
const GIB: u64 = 1_024 * 1_024 * 1_024;

/// Every key but those of destinations.
pub(super) const SETTINGS: &[Setting] = &[
    other("listen", Slot::Listen, "where it listens; port 0 takes a free one"),
    other(
        "hosts",
        Slot::Hosts,
        "names by which clients may call it, besides its address and `localhost`",
    ),
    other("data", Slot::Data, "the data folder; one process per folder"),
    other(
        "dev",
        Slot::Switch(|config| &mut config.dev),
        "loopback only; every loopback URL may be called; no credential is looked at",
    ),
    other(
        "insecure",
        Slot::Switch(|config| &mut config.insecure),
        "may listen beyond loopback though clients are not authenticated, or not by TLS",
    ),
    other(
        "trace_effects",
        Slot::File(|config| &mut config.trace_effects),
        "a file that every effect is written to as it leaves, for checkers",
    ),
    other(
        "tls.certificate",
        Slot::File(|config| &mut config.tls.certificate),
        "the certificate that clients are shown, its own first; PEM, as all files of TLS",
    ),
    other("tls.key", Slot::File(|config| &mut config.tls.key), "its private key"),
    other(
        "tls.client_ca",
        Slot::File(|config| &mut config.tls.client_ca),
        "authorities one of which must have signed every client's certificate",
    ),
    other(
        "tls.client_names",
        Slot::ClientNames,
        "DNS names and URIs one of which a client's certificate must bear, exactly; `[\"*\"]` for \
         whatever `tls.client_ca` has signed, beside which it must be said",
    ),
    other(
        "tls.min_version",
        Slot::MinVersion,
        "the oldest version of TLS that clients may speak, a text",
    ),
    other(
        "tls.ca",
        Slot::File(|config| &mut config.tls.ca),
        "authorities by which `https://` destinations are known; the system's if not said",
    ),
    number(
        "calls.timeout_ms",
        (1, DAY_MS),
        |config| &mut config.limits.call_timeout_ms,
        "longest a call may take, from connect to last byte",
    ),
    number(
        "calls.backoff_ms",
        (1, DAY_MS),
        |config| &mut config.limits.backoff_ms,
        "wait before the second sending of a call; doubles with each",
    ),
    number(
        "calls.backoff_ms_max",
        (1, DAY_MS),
        |config| &mut config.limits.backoff_ms_max,
        "longest wait between two sendings",
    ),
    number(
        "calls.backoff_jitter_percent",
        (0, 100),
        |config| &mut config.limits.backoff_jitter_percent,
        "how far a wait may stray either way",
    ),
    number(
        "calls.ramp_ms",
        (0, DAY_MS),
        |config| &mut config.limits.ramp_ms,
        "span over which calls due after a start are released",
    ),
    count(
        "calls.calls_max",
        (1, 65_536),
        |config| &mut config.limits.calls_max,
        "calls in flight, all together",
    ),
    count(
        "calls.destination_calls_max",
        (1, 65_536),
        |config| &mut config.limits.destination_calls_max,
        "calls in flight to one destination",
    ),
    number(
        "calls.breaker_silent_max",
        (1, 1_000_000),
        |config| &mut config.limits.breaker_silent_max,
        "calls in a row that come to nothing before a destination is called by probes only",
    ),
    count(
        "calls.destinations_max",
        (1, 1_000_000),
        |config| &mut config.limits.destinations_max,
        "destinations that open transactions name",
    ),
    number(
        "transactions.open_timeout_ms",
        (1, MS_MAX),
        |config| &mut config.limits.open_timeout_ms,
        "deadline of an open transaction that names none",
    ),
    number(
        "transactions.timeout_ms_max",
        (1, MS_MAX),
        |config| &mut config.limits.timeout_ms_max,
        "longest deadline that may be asked for",
    ),
    number(
        "transactions.retention_ms",
        (1, MS_MAX),
        |config| &mut config.limits.retention_ms,
        "how long an ended transaction is known",
    ),
    number(
        "transactions.clock_jump_ms_max",
        (1, DAY_MS),
        |config| &mut config.limits.clock_jump_ms_max,
        "largest forward jump of the clock that is taken for time passing",
    ),
    number(
        "transactions.clock_jump_grace_ms",
        (0, DAY_MS),
        |config| &mut config.limits.clock_jump_grace_ms,
        "how long aborts by deadline are held after a larger jump",
    ),
    count(
        "transactions.branches_max",
        (1, 65_535),
        |config| &mut config.limits.branches_max,
        "branches of a transaction",
    ),
    count(
        "transactions.reads_max",
        (0, 65_535),
        |config| &mut config.limits.reads_max,
        "replies of earlier steps that one step reads",
    ),
    count(
        "transactions.payload_bytes_max",
        (0, GIB),
        |config| &mut config.limits.payload_bytes_max,
        "payload of a branch",
    ),
    count(
        "transactions.reply_bytes_max",
        (0, GIB),
        |config| &mut config.limits.reply_bytes_max,
        "reply of a branch that is kept",
    ),
    count(
        "transactions.open_max",
        (1, 100_000_000),
        |config| &mut config.limits.open_max,
        "open transactions",
    ),
    count(
        "transactions.open_bytes_max",
        (1, 1_024 * GIB),
        |config| &mut config.limits.open_bytes_max,
        "payloads and replies of open transactions; the last eighth is kept for their branches",
    ),
    count(
        "waiting.inbox_max",
        (1, 10_000_000),
        |config| &mut config.limits.inbox_max,
        "requests that wait to be taken by the coordinator's loop",
    ),
    count(
        "waiting.lookups_max",
        (1, 10_000_000),
        |config| &mut config.limits.lookups_max,
        "requests that wait for a look-up of their gid",
    ),
    count(
        "waiting.transaction_waiters_max",
        (1, 1_000_000),
        |config| &mut config.limits.transaction_waiters_max,
        "waiting requests of one transaction",
    ),
    count(
        "waiting.waiters_max",
        (1, 10_000_000),
        |config| &mut config.limits.waiters_max,
        "waiting requests, all together",
    ),
    number(
        "waiting.wait_ms_max",
        (1, DAY_MS),
        |config| &mut config.limits.wait_ms_max,
        "longest a request may wait",
    ),
    number(
        "log.lazy_ms_max",
        (1, 60_000),
        |config| &mut config.limits.lazy_ms_max,
        "longest a record that nobody waits for stays off the disk",
    ),
    number(
        "log.log_bytes_max",
        (64 * 1_024, u64::MAX),
        |config| &mut config.log.log_bytes_max,
        "bytes of the log at which new transactions are refused",
    ),
    number(
        "log.disk_free_bytes_min",
        (0, u64::MAX),
        |config| &mut config.log.disk_free_bytes_min,
        "free bytes of the disk below which new transactions are refused",
    ),
    number(
        "log.segment_bytes",
        (16 * 1_024, GIB),
        |config| &mut config.log.segment_bytes,
        "bytes of one file of the log; at most a quarter of the log",
    ),
    number(
        "log.log_per_open",
        (1, 1_000),
        |config| &mut config.log.log_per_open,
        "bytes of log for each byte of open transactions before old ones are carried forward",
    ),
    count(
        "log.ended_max",
        (1, 1_000_000_000),
        |config| &mut config.log.ended_max,
        "ended transactions that are known where there is no archive: in memory",
    ),
    number(
        "archive.archive_bytes_max",
        (1_024 * 1_024, u64::MAX),
        |config| &mut config.archive.archive_bytes_max,
        "bytes of the archive; beyond them the oldest outcomes are forgotten early",
    ),
    number(
        "archive.slice_rows_max",
        (100, 10_000_000),
        |config| &mut config.archive.slice_rows_max,
        "transactions in one file of the archive",
    ),
    count(
        "archive.bulk_rows_max",
        (1, 100_000),
        |config| &mut config.archive.bulk_rows_max,
        "ended transactions that are archived at a time",
    ),
    count(
        "requests.body_bytes_max",
        (1, GIB),
        |config| &mut config.requests.body_bytes_max,
        "body of a request",
    ),
    count(
        "requests.bodies_bytes_max",
        (1, 1_024 * GIB),
        |config| &mut config.requests.bodies_bytes_max,
        "bodies at once, beyond the first 16 KiB of each; one address has at most half of it",
    ),
    count(
        "requests.header_bytes_max",
        (8_192, 16 * 1_024 * 1_024),
        |config| &mut config.requests.header_bytes_max,
        "head of a request",
    ),
    count(
        "requests.connections_max",
        (1, 1_000_000),
        |config| &mut config.requests.connections_max,
        "connections of clients at once",
    ),
    count(
        "requests.peer_connections_max",
        (1, 1_000_000),
        |config| &mut config.requests.peer_connections_max,
        "connections at once from one address, or one IPv6 network of 64 bits",
    ),
    number(
        "requests.body_ms_max",
        (1, DAY_MS),
        |config| &mut config.requests.body_ms_max,
        "longest a body may take to arrive",
    ),
    number(
        "requests.header_ms_max",
        (1, DAY_MS),
        |config| &mut config.requests.header_ms_max,
        "longest a head may take, and longest a connection may be idle",
    ),
    number(
        "requests.handshake_ms_max",
        (1, DAY_MS),
        |config| &mut config.requests.handshake_ms_max,
        "longest a handshake of TLS may take",
    ),
    number(
        "requests.stop_ms_max",
        (0, DAY_MS),
        |config| &mut config.requests.stop_ms_max,
        "longest a stop waits for requests at hand",
    ),
    other(
        "tracing.otlp",
        Slot::Collector,
        "where spans are sent, by OTLP over HTTP: a collector's URL, as http://127.0.0.1:4318",
    ),
    other("tracing.service", Slot::Service, "under which name the collector knows it"),
    number(
        "tracing.sampled_percent",
        (0, 100),
        |config| &mut config.tracing.sampled_percent,
        "transactions that are recorded, of those that no trace brought",
    ),
    count(
        "tracing.queue_max",
        (1, 1_000_000),
        |config| &mut config.tracing.queue_max,
        "spans that wait to be sent; further ones are dropped and counted",
    ),
    count(
        "tracing.batch_max",
        (1, 65_536),
        |config| &mut config.tracing.batch_max,
        "spans of one request to the collector",
    ),
    number(
        "tracing.linger_ms",
        (0, 60_000),
        |config| &mut config.tracing.linger_ms,
        "longest a span waits for others to be sent with it",
    ),
    number(
        "tracing.timeout_ms",
        (1, 600_000),
        |config| &mut config.tracing.timeout_ms,
        "longest a request to the collector may take",
    ),
    number(
        "tracing.attempts_max",
        (1, 100),
        |config| &mut config.tracing.attempts_max,
        "sendings of a batch before it is given up and counted",
    ),
    number(
        "tracing.flush_ms_max",
        (0, 600_000),
        |config| &mut config.tracing.flush_ms_max,
        "longest a stop waits for spans to be sent",
    ),
];

/// The known key that was probably meant, if any is alike: the whole key, or its last part under
/// another section.
pub(super) fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.collect();
    let own = |text: &'a str| text.rsplit('.').next().unwrap_or(text);
    let last = key.rsplit('.').next().unwrap_or(key);
    let whole = wholly_wire::nearest::nearest(key, known.iter().copied());
    let found = whole.or_else(|| {
        let part = wholly_wire::nearest::nearest(last, known.iter().map(|name| own(name)))?;
        known.iter().copied().find(|name| own(name) == part)
    });
    found.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_named_only_where_one_is_near() {
        let check = |key: &str, expected: Option<&str>| {
            let found = nearest(key, SETTINGS.iter().map(|setting| setting.key));
            assert_eq!(found.as_deref(), expected, "{key}");
        };
        check("lisen", Some("listen"));
        check("calls.timeot_ms", Some("calls.timeout_ms"));
        check("timeout_ms", Some("calls.timeout_ms"));
        check("call.backoff_msmax", Some("calls.backoff_ms_max"));
        check("limits.branches_max", Some("transactions.branches_max"));
        check("zzzzzzzz", None);
    }

    #[test]
    fn every_limit_is_bounded_and_has_one_key_and_one_variable() {
        let mut seen = std::collections::BTreeSet::new();
        for setting in SETTINGS {
            assert!(seen.insert(setting.variable()), "{} stands twice", setting.key);
            let mut config = Config::default();
            let (min, max) = match setting.slot {
                Slot::Number(min, max, _) | Slot::Count(min, max, _) => (min, max),
                Slot::Listen
                | Slot::Hosts
                | Slot::Data
                | Slot::File(_)
                | Slot::ClientNames
                | Slot::MinVersion
                | Slot::Collector
                | Slot::Service
                | Slot::Switch(_) => continue,
            };
            for edge in [min, max] {
                assert_eq!(
                    setting.set(&mut config, Value::Number(edge)),
                    Ok(()),
                    "{}",
                    setting.key
                );
            }
            for beyond in [min.checked_sub(1), max.checked_add(1)].into_iter().flatten() {
                let refused = setting.set(&mut config, Value::Number(beyond));
                assert!(refused.is_err(), "{} {beyond}", setting.key);
            }
        }
    }
}
