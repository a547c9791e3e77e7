//! The table of keys: where each value goes and what it may be.

use super::Config;
use std::path::PathBuf;

/// A value as it was written, before its key gives it a meaning.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A TOML string, or anything from environment and flags.
    Text(String),
    Number(u64),
    Switch(bool),
    List(Vec<String>),
    /// Something no key takes.
    Odd,
}

impl Value {
    pub(super) fn from_toml(value: &toml::Value) -> Self {
        match value {
            toml::Value::String(text) => Value::Text(text.clone()),
            toml::Value::Integer(number) => {
                u64::try_from(*number).map_or(Value::Odd, Value::Number)
            }
            toml::Value::Boolean(switch) => Value::Switch(*switch),
            toml::Value::Array(items) => {
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                texts.collect::<Option<Vec<_>>>().map_or(Value::Odd, Value::List)
            }
            toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => Value::Odd,
        }
    }

    pub(super) fn text(self) -> Result<String, String> {
        match self {
            Value::Text(text) => Ok(text),
            Value::Number(_) | Value::Switch(_) | Value::List(_) | Value::Odd => {
                Err("must be a text".to_owned())
            }
        }
    }

    pub(super) fn number(self) -> Result<u64, String> {
        let failed = || "must be a whole number that is not negative".to_owned();
        match self {
            Value::Number(number) => Ok(number),
            Value::Text(text) => text.replace('_', "").parse().map_err(|_| failed()),
            Value::Switch(_) | Value::List(_) | Value::Odd => Err(failed()),
        }
    }

    fn switch(self) -> Result<bool, String> {
        let failed = || "must be true or false".to_owned();
        match self {
            Value::Switch(switch) => Ok(switch),
            Value::Text(text) => text.parse().map_err(|_| failed()),
            Value::Number(_) | Value::List(_) | Value::Odd => Err(failed()),
        }
    }

    fn list(self) -> Result<Vec<String>, String> {
        match self {
            Value::List(list) => Ok(list),
            Value::Text(text) => {
                let words = text.split([',', ' ']).filter(|word| !word.is_empty());
                Ok(words.map(str::to_owned).collect())
            }
            Value::Number(_) | Value::Switch(_) | Value::Odd => {
                Err("must be a list of texts".to_owned())
            }
        }
    }

    pub(super) fn one_of<T: Copy>(self, known: &[(&str, T)]) -> Result<T, String> {
        let text = self.text()?;
        match known.iter().find(|(name, _)| *name == text) {
            Some((_, found)) => Ok(*found),
            None => {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                Err(format!("is {text:?}; it must be one of: {}", names.join(", ")))
            }
        }
    }
}

/// A key, by the name it has in the file.
pub(super) struct Setting {
    pub(super) key: &'static str,
    slot: Slot,
}

enum Slot {
    Listen,
    Hosts,
    Data,
    Trace,
    Switch(fn(&mut Config) -> &mut bool),
    Count(u64, u64, fn(&mut Config) -> &mut usize),
    Number(u64, u64, fn(&mut Config) -> &mut u64),
}

impl Setting {
    /// The environment variable that says the same.
    pub(super) fn variable(&self) -> String {
        format!("WHOLLY_{}", self.key.to_uppercase().replace('.', "_"))
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
            Slot::Trace => config.trace_effects = Some(PathBuf::from(value.text()?)),
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
) -> Setting {
    Setting { key, slot: Slot::Number(bounds.0, bounds.1, place) }
}

const fn count(
    key: &'static str,
    bounds: (u64, u64),
    place: fn(&mut Config) -> &mut usize,
) -> Setting {
    Setting { key, slot: Slot::Count(bounds.0, bounds.1, place) }
}

/// A hundred years: longer is a mistake in the unit.
const MS_MAX: u64 = 100 * 366 * 24 * 3_600_000;
const DAY_MS: u64 = 24 * 3_600_000;
const GIB: u64 = 1_024 * 1_024 * 1_024;

/// Every key but those of destinations.
pub(super) const SETTINGS: &[Setting] = &[
    Setting { key: "listen", slot: Slot::Listen },
    Setting { key: "hosts", slot: Slot::Hosts },
    Setting { key: "data", slot: Slot::Data },
    Setting { key: "dev", slot: Slot::Switch(|config| &mut config.dev) },
    Setting { key: "insecure", slot: Slot::Switch(|config| &mut config.insecure) },
    Setting { key: "trace_effects", slot: Slot::Trace },
    number("calls.timeout_ms", (1, DAY_MS), |config| &mut config.limits.call_timeout_ms),
    number("calls.backoff_ms", (1, DAY_MS), |config| &mut config.limits.backoff_ms),
    number("calls.backoff_ms_max", (1, DAY_MS), |config| &mut config.limits.backoff_ms_max),
    number("calls.backoff_jitter_percent", (0, 100), |config| {
        &mut config.limits.backoff_jitter_percent
    }),
    number("calls.ramp_ms", (0, DAY_MS), |config| &mut config.limits.ramp_ms),
    count("calls.calls_max", (1, 65_536), |config| &mut config.limits.calls_max),
    count("calls.destination_calls_max", (1, 65_536), |config| {
        &mut config.limits.destination_calls_max
    }),
    number("transactions.open_timeout_ms", (1, MS_MAX), |config| {
        &mut config.limits.open_timeout_ms
    }),
    number("transactions.timeout_ms_max", (1, MS_MAX), |config| &mut config.limits.timeout_ms_max),
    number("transactions.retention_ms", (1, MS_MAX), |config| &mut config.limits.retention_ms),
    number("transactions.clock_jump_ms_max", (1, DAY_MS), |config| {
        &mut config.limits.clock_jump_ms_max
    }),
    number("transactions.clock_jump_grace_ms", (0, DAY_MS), |config| {
        &mut config.limits.clock_jump_grace_ms
    }),
    count("transactions.branches_max", (1, 65_535), |config| &mut config.limits.branches_max),
    count("transactions.payload_bytes_max", (0, GIB), |config| {
        &mut config.limits.payload_bytes_max
    }),
    count("transactions.reply_bytes_max", (0, GIB), |config| &mut config.limits.reply_bytes_max),
    count("transactions.open_max", (1, 100_000_000), |config| &mut config.limits.open_max),
    count("waiting.transaction_waiters_max", (1, 1_000_000), |config| {
        &mut config.limits.transaction_waiters_max
    }),
    count("waiting.waiters_max", (1, 10_000_000), |config| &mut config.limits.waiters_max),
    number("waiting.wait_ms_max", (1, DAY_MS), |config| &mut config.limits.wait_ms_max),
    number("log.lazy_ms_max", (1, 60_000), |config| &mut config.limits.lazy_ms_max),
    number("log.log_bytes_max", (64 * 1_024, u64::MAX), |config| &mut config.log.log_bytes_max),
    number("log.segment_bytes", (16 * 1_024, 4 * GIB), |config| &mut config.log.segment_bytes),
    count("log.ended_max", (1, 1_000_000_000), |config| &mut config.log.ended_max),
    count("requests.body_bytes_max", (1, GIB), |config| &mut config.requests.body_bytes_max),
    count("requests.header_bytes_max", (8_192, 16 * 1_024 * 1_024), |config| {
        &mut config.requests.header_bytes_max
    }),
    count("requests.connections_max", (1, 1_000_000), |config| {
        &mut config.requests.connections_max
    }),
    number("requests.body_ms_max", (1, DAY_MS), |config| &mut config.requests.body_ms_max),
    number("requests.header_ms_max", (1, DAY_MS), |config| &mut config.requests.header_ms_max),
    number("requests.stop_ms_max", (0, DAY_MS), |config| &mut config.requests.stop_ms_max),
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
                Slot::Listen | Slot::Hosts | Slot::Data | Slot::Trace | Slot::Switch(_) => continue,
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
