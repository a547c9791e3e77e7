//! Credentials in the configuration: a table each, with its secret or where that stands.

use super::error::{ConfigError, Source};
use super::page::Key;
use super::settings::nearest;
use super::value::Value;
use crate::keyring::Grant;
use std::path::PathBuf;
use wholly_wire::credential::{Credential, Role, Secrets};
use wholly_wire::words::Spelled;

/// Every key of a credential.
pub(super) const KEYS: [Key; 3] = [
    Key {
        name: "secret",
        default: "",
        may_be: "32 to 256 visible characters without blank and comma, or a list of two",
        says: "the first signs, each is accepted",
    },
    Key {
        name: "secret_file",
        default: "",
        may_be: "a file",
        says: "where the secret stands instead, a line each",
    },
    Key {
        name: "role",
        default: "service",
        may_be: "service, operator, metrics",
        says: "what it may ask",
    },
];

/// Reads `[credentials.NAME]`. No message quotes a secret.
pub(super) fn grant(
    source: &Source,
    name: &str,
    value: &toml::Value,
) -> Result<Grant, ConfigError> {
    let key = |key: &str| format!("credentials.{name}{key}");
    let failed =
        |at: &str, why: String| ConfigError::Value { source: source.clone(), key: key(at), why };
    let toml::Value::Table(table) = value else {
        return Err(failed("", "must be a table with secret or secret_file".to_owned()));
    };
    let (mut secrets, mut role) = (None, Role::Service);
    for (word, value) in table {
        let at = format!(".{word}");
        let value = Value::from_toml(value);
        let read = match word.as_str() {
            "role" => {
                let known: Vec<_> = Role::ALL.iter().map(|role| (role.spell(), *role)).collect();
                role = value.one_of(&known).map_err(|why| failed(&at, why))?;
                continue;
            }
            "secret" => {
                let texts = value.list().map_err(|why| failed(&at, why))?;
                Secrets::new(texts.iter().map(String::as_str))
            }
            "secret_file" => {
                let path = PathBuf::from(value.text().map_err(|why| failed(&at, why))?);
                let text = std::fs::read_to_string(&path).map_err(|cause| ConfigError::Secret {
                    credential: name.to_owned(),
                    path,
                    cause,
                })?;
                Secrets::parse(&text)
            }
            _unknown_text => {
                let nearest = nearest(word, KEYS.iter().map(|key| key.name));
                let (source, key) = (source.clone(), key(&at));
                return Err(ConfigError::Unknown { source, key, nearest });
            }
        };
        let read = read.map_err(|why| failed(&at, why.to_string()))?;
        if secrets.replace(read).is_some() {
            return Err(failed("", "has secret and secret_file; leave one out".to_owned()));
        }
    }
    let why = "has no secret; add secret, or secret_file with the file that holds it";
    let secrets = secrets.ok_or_else(|| failed("", why.to_owned()))?;
    let credential = Credential::new(name, secrets).map_err(|why| failed("", why.to_string()))?;
    Ok(Grant { credential, role })
}
