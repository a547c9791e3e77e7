//! The keys of a destination: its rule, from a file, the environment or a flag.

use super::error::{ConfigError, Source};
use super::page::Key;
use super::settings;
use super::value::Value;
use crate::egress::{Answers, BodyForm, Replies, Rule, RuleError, check_rule};
use std::path::PathBuf;
use wholly_tls::OldestVersion;

/// Every key of a destination.
pub(super) const KEYS: [Key; 9] = [
    Key {
        name: "url",
        default: "",
        may_be: "",
        says: "where its operations are, under `/wholly/`",
    },
    Key {
        name: "answers",
        default: "wholly",
        may_be: "wholly, plain",
        says: "by the header `wholly-answer`, or by the status alone (2xx done, 409 refused, 425 \
               working)",
    },
    Key {
        name: "replies",
        default: "not_kept",
        may_be: "kept, not_kept",
        says: "whether the same call always gets the same reply",
    },
    Key {
        name: "body",
        default: "payload",
        may_be: "payload, envelope",
        says: "the payload as it is, or always `{\"payload\",\"reply\",\"replies\"}`",
    },
    Key {
        name: "slots",
        default: "`calls.destination_calls_max`",
        may_be: "1 or more",
        says: "calls in flight to it",
    },
    Key {
        name: "timeout_ms",
        default: "`calls.timeout_ms`",
        may_be: "1 or more",
        says: "longest a call to it may take",
    },
    Key {
        name: "ca",
        default: "`tls.ca`",
        may_be: "a file",
        says: "authorities by which it is known, if its URL is `https://`",
    },
    Key {
        name: "tls_min_version",
        default: "1.3",
        may_be: "1.3, 1.2",
        says: "the oldest version of TLS that is spoken with it, a text",
    },
    Key {
        name: "credential",
        default: "that of its own name",
        may_be: "a service's credential",
        says: "whose secret signs calls to it; without one they go unsigned",
    },
];

pub(super) fn from_toml(
    source: &Source,
    name: &str,
    value: &toml::Value,
) -> Result<Rule, ConfigError> {
    let mut rule = Rule::new("");
    let toml::Value::Table(table) = value else {
        set(&mut rule, source, name, "url", Value::from_toml(value))?;
        check(source, name, &rule)?;
        return Ok(rule);
    };
    for (key, value) in table {
        set(&mut rule, source, name, key, Value::from_toml(value))?;
    }
    check(source, name, &rule)?;
    Ok(rule)
}

pub(super) fn check(source: &Source, name: &str, rule: &Rule) -> Result<(), ConfigError> {
    check_rule(name, rule).map_err(|why: RuleError| ConfigError::Value {
        source: source.clone(),
        key: format!("destinations.{name}"),
        why: format!("cannot stand: {why}"),
    })
}

pub(super) fn set(
    rule: &mut Rule,
    source: &Source,
    name: &str,
    key: &str,
    value: Value,
) -> Result<(), ConfigError> {
    let full = format!("destinations.{name}.{key}");
    let failed =
        |why: String| ConfigError::Value { source: source.clone(), key: full.clone(), why };
    match key {
        "url" => rule.url = value.text().map_err(failed)?,
        "answers" => {
            let known = [("wholly", Answers::Wholly), ("plain", Answers::Plain)];
            rule.answers = value.one_of(&known).map_err(failed)?;
        }
        "replies" => {
            let known = [("kept", Replies::Kept), ("not_kept", Replies::NotKept)];
            rule.replies = value.one_of(&known).map_err(failed)?;
        }
        "body" => {
            let known = [("payload", BodyForm::Payload), ("envelope", BodyForm::Envelope)];
            rule.body = value.one_of(&known).map_err(failed)?;
        }
        "slots" => {
            let slots = value.number().map_err(failed)?;
            rule.slots = Some(usize::try_from(slots).unwrap_or(usize::MAX));
        }
        "timeout_ms" => rule.timeout_ms = Some(value.number().map_err(failed)?),
        "credential" => rule.credential = Some(value.text().map_err(failed)?),
        "tls_min_version" => {
            rule.tls_min_version = value.one_of(&OldestVersion::SPELLED).map_err(failed)?;
        }
        "ca" => rule.ca = Some(PathBuf::from(value.text().map_err(failed)?)),
        _unknown_text => {
            let nearest = settings::nearest(key, KEYS.iter().map(|key| key.name));
            return Err(ConfigError::Unknown { source: source.clone(), key: full, nearest });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the table says of a key is what happens to it.
    #[test]
    fn every_key_of_the_table_is_taken_and_no_other() {
        let source = Source::Flag("--destination".to_owned());
        let set = |key: &str, value: &str| {
            let mut rule = Rule::new("http://stock:1");
            set(&mut rule, &source, "stock", key, Value::Text(value.to_owned()))
        };
        for Key { name, default, may_be, .. } in KEYS {
            let words = may_be.split(", ").filter(|_| may_be.contains(", "));
            for word in words.clone().chain((words.count() == 0).then_some("1")) {
                assert!(set(name, word).is_ok(), "{name} = {word}");
            }
            if may_be.contains(", ") {
                assert!(may_be.split(", ").any(|word| word == default), "{name}");
                assert!(set(name, "neither").is_err(), "{name}");
            }
        }
        let unknown = set("timeout", "1").unwrap_err().to_string();
        assert!(unknown.contains("timeout_ms"), "{unknown}");
    }
}
