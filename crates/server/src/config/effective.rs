//! The configuration as it is in effect: every key, its unit, and who said so; secrets masked.

use super::Config;
use super::error::Source;
use super::settings::SETTINGS;
use crate::descriptors::{self, TooFew};
use crate::egress::{Answers, BodyForm, Replies, Rule};
use crate::keyring::Grant;
use std::fmt::Write;
use wholly_wire::credential::Role;
use wholly_wire::words::Spelled;

/// Where the remarks begin, if the line leaves room.
const REMARK_COLUMN: usize = 48;

impl Config {
    /// Every key with its value, a line each, as a file that could be read again. A credential is
    /// only a remark in it, for its secret is not shown.
    pub fn effective(&self) -> String {
        let mut text = String::new();
        for setting in SETTINGS {
            let origin = self.origin(setting.key);
            match setting.written(self) {
                Some(value) => {
                    let remark = match setting.unit() {
                        Some(unit) => format!("{unit}; {origin}"),
                        None => origin,
                    };
                    line(&mut text, &format!("{} = {value}", setting.key), &remark);
                }
                None => line(&mut text, &format!("# {} is not set", setting.key), &origin),
            }
        }
        for (name, rule) in &self.destinations {
            destination(&mut text, name, rule, &self.origin(&format!("destinations.{name}")));
            self.inherited(&mut text, name, rule);
        }
        for (name, Grant { role, .. }) in &self.credentials {
            let key =
                format!("# credentials.{}: role {}, secret masked", quoted(name), role.spell());
            line(&mut text, &key, &self.origin(&format!("credentials.{name}")));
        }
        text
    }

    /// What applies to a destination though its own keys do not say it. A remark each, for said in
    /// a file it would be its own.
    fn inherited(&self, text: &mut String, name: &str, rule: &Rule) {
        let key = format!("destinations.{}", quoted(name));
        if rule.slots.is_none() {
            let slots = self.limits.destination_calls_max;
            line(
                text,
                &format!("# {key}.slots = {slots}"),
                "calls.destination_calls_max by default",
            );
        }
        if rule.timeout_ms.is_none() {
            let timeout_ms = self.limits.call_timeout_ms;
            line(
                text,
                &format!("# {key}.timeout_ms = {timeout_ms}"),
                "ms; calls.timeout_ms by default",
            );
        }
        if rule.ca.is_none() && rule.url.starts_with("https://") {
            match &self.tls.ca {
                Some(ca) => {
                    let ca = quoted(&ca.to_string_lossy());
                    line(text, &format!("# {key}.ca = {ca}"), "tls.ca");
                }
                None => line(text, &format!("# {key}.ca is not set"), "the system's authorities"),
            }
        }
        if rule.credential.is_some() || self.dev {
            return;
        }
        let is_signer = self.credentials.get(name).is_some_and(|known| known.role == Role::Service);
        match (is_signer, name.contains('*')) {
            (true, _) => {
                let said = format!("# {key}.credential = {}", quoted(name));
                line(text, &said, "the credential of its name");
            }
            (false, true) => {
                let remark = "the credential of each name, where there is one";
                line(text, &format!("# {key}.credential is not set"), remark);
            }
            (false, false) => {
                let remark = "no credential has its name: calls to it go unsigned";
                line(text, &format!("# {key}.credential is not set"), remark);
            }
        }
    }

    /// Lowers what the system's limit of open files does not allow, as a start does.
    pub fn fit_open_files(&mut self) -> Result<(), TooFew> {
        descriptors::fit(self)
    }

    /// Who said it.
    fn origin(&self, key: &str) -> String {
        self.said.get(key).map_or("default".to_owned(), Source::to_string)
    }
}

fn destination(text: &mut String, name: &str, rule: &Rule, origin: &str) {
    let key = format!("destinations.{}", quoted(name));
    let Rule { url, answers, replies, body, slots, timeout_ms, credential, ca, tls_min_version } =
        rule;
    let answers = match answers {
        Answers::Wholly => "wholly",
        Answers::Plain => "plain",
    };
    let replies = match replies {
        Replies::Kept => "kept",
        Replies::NotKept => "not_kept",
    };
    let body = match body {
        BodyForm::Payload => "payload",
        BodyForm::Envelope => "envelope",
    };
    let version = tls_min_version.spell();
    let said = [("url", url.as_str()), ("answers", answers), ("replies", replies), ("body", body)];
    for (word, value) in said {
        line(text, &format!("{key}.{word} = {}", quoted(value)), origin);
    }
    if url.starts_with("https://") {
        line(text, &format!("{key}.tls_min_version = {}", quoted(version)), origin);
    }
    if let Some(slots) = slots {
        line(text, &format!("{key}.slots = {slots}"), origin);
    }
    if let Some(timeout_ms) = timeout_ms {
        line(text, &format!("{key}.timeout_ms = {timeout_ms}"), &format!("ms; {origin}"));
    }
    if let Some(credential) = credential {
        line(text, &format!("{key}.credential = {}", quoted(credential)), origin);
    }
    if let Some(ca) = ca {
        line(text, &format!("{key}.ca = {}", quoted(&ca.to_string_lossy())), origin);
    }
}

fn line(text: &mut String, said: &str, remark: &str) {
    writeln!(text, "{said:REMARK_COLUMN$} # {remark}").expect("a string takes every text");
}

/// A text as TOML writes it: every escape of JSON is one of TOML.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("every text can be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    fn load(file: &str, environment: &[(&str, &str)], flags: Flags) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wholly.toml");
        std::fs::write(&path, file).unwrap();
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&Flags { config: Some(path), ..flags }, environment).unwrap()
    }

    const FILE: &str = r#"
        hosts = ["coordinator.internal"]
        tls = { certificate = "c", key = "k", client_ca = "a", client_names = ["B.internal", "a"] }
        calls.timeout_ms = 1000
        log.segment_bytes = 1048576
        [destinations]
        safe = { url = "https://safe", ca = "/etc/shop.pem", tls_min_version = "1.2" }
        points = "http://points"
        "svc-*" = { url = "http://*.internal", slots = 4, timeout_ms = 9, answers = "plain" }
        [credentials.orders]
        secret = "correct-horse-battery-staple-0123456789"
        [credentials.stock]
        secret = "correct-horse-battery-staple-9876543210"
    "#;

    #[test]
    fn every_key_is_shown_with_its_unit_and_who_said_so() {
        let flags = Flags { set: vec!["calls.backoff_ms=7".into()], ..Flags::default() };
        let environment = [
            ("WHOLLY_LOG_LAZY_MS_MAX", "9"),
            ("WHOLLY_DESTINATIONS", "stock=http://stock:8 mail=https://mail,credential=orders"),
        ];
        let text = load(FILE, &environment, flags).effective();
        let check = |key: &str, remark: &str| {
            let line = text.lines().find(|line| line.starts_with(key));
            let line = line.unwrap_or_else(|| panic!("{key} is not in\n{text}"));
            assert!(line.ends_with(remark), "{line:?} does not say {remark:?}");
        };
        check("calls.timeout_ms = 1000 ", "wholly.toml");
        check("calls.backoff_ms = 7 ", "# ms; --set");
        check("log.lazy_ms_max = 9 ", "# ms; environment variable WHOLLY_LOG_LAZY_MS_MAX");
        check("transactions.reply_bytes_max = 65536 ", "# bytes; default");
        check("transactions.branches_max = 1024 ", "# default");
        check("hosts = [\"coordinator.internal\"]", "wholly.toml");
        check("tls.client_names = [\"a\", \"b.internal\"] ", "wholly.toml");
        check("tls.min_version = \"1.3\" ", "# default");
        check("destinations.\"safe\".tls_min_version = \"1.2\" ", "wholly.toml");
        check("destinations.\"mail\".tls_min_version = \"1.3\" ", "WHOLLY_DESTINATIONS");
        check("# trace_effects is not set", "# default");
        check("destinations.\"stock\".url = \"http://stock:8\"", "WHOLLY_DESTINATIONS");
        check("# credentials.\"orders\": role service, secret masked", "wholly.toml");
        // What is not said of a destination applies to it all the same.
        check("# destinations.\"stock\".slots = 256 ", "# calls.destination_calls_max by default");
        check("# destinations.\"stock\".timeout_ms = 1000 ", "# ms; calls.timeout_ms by default");
        check("# destinations.\"stock\".credential = \"stock\"", "# the credential of its name");
        check("# destinations.\"svc-*\".credential is not set", "of each name, where there is one");
        check("# destinations.\"points\".credential is not set", "calls to it go unsigned");
        check("destinations.\"mail\".credential = \"orders\"", "WHOLLY_DESTINATIONS");
        check("# destinations.\"mail\".ca is not set", "the system's authorities");
        check("destinations.\"svc-*\".slots = 4 ", "wholly.toml");
        for inherited in [
            "\"mail\".credential",
            "\"svc-*\".slots",
            "\"svc-*\".timeout_ms",
            "\"safe\".ca",
            "\"points\".ca",
        ] {
            let inherited = format!("# destinations.{inherited}");
            assert!(!text.contains(&inherited), "{inherited} is said, or does not apply");
        }
        for setting in SETTINGS {
            let set = format!("{} = ", setting.key);
            let unset = format!("# {} is not set", setting.key);
            let shown = |line: &str| line.starts_with(&set) || line.starts_with(&unset);
            assert_eq!(text.lines().filter(|line| shown(line)).count(), 1, "{}", setting.key);
        }
        assert!(!text.contains("correct-horse"), "{text}");
    }

    #[test]
    fn what_is_shown_says_the_same_when_it_is_read() {
        let config = load(FILE, &[], Flags::default());
        let again = load(&config.effective(), &[], Flags::default());
        let nobody = |config: Config| Config {
            said: Default::default(),
            credentials: Default::default(),
            ..config
        };
        assert_eq!(nobody(again), nobody(config));
    }
}
