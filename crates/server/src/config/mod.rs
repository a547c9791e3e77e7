//! Configuration: file, then environment, then flags; every error says where, which key, and what
//! to do.

mod credentials;
mod effective;
mod error;
mod page;
mod rule;
mod settings;
mod value;

pub use error::{ConfigError, Source};
pub use page::with_tables;

use crate::egress::{Rule, Urls};
use crate::keyring::{Grant, Keyring};
use crate::spans::{Place, TracingConfig};
use crate::transport::http::RequestLimits;
use settings::SETTINGS;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use value::Value;
use wholly_core::limits::Limits;
use wholly_store::archive::ArchiveLimits;
use wholly_tls::{Clients, Listening, Names, OldestVersion};
use wholly_wire::credential::Role;

/// The file that is read from the working folder when none is named.
pub const FILE_DEFAULT: &str = "wholly.toml";
/// The data folder when none is named.
pub const DATA_DEFAULT: &str = "wholly-data";
/// Where the coordinator listens when nothing is said.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7700";

/// Everything a coordinator is told at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names by which clients may call it, beside those of the address it listens on.
    pub hosts: Vec<String>,
    /// Its data folder.
    pub data: PathBuf,
    /// For a developer's machine: loopback only, loopback URLs are called.
    pub dev: bool,
    /// It may listen beyond loopback though nothing authenticates clients.
    pub insecure: bool,
    /// By what it is known to those who connect, and by what it knows those it calls.
    pub tls: TlsConfig,
    /// Limits of the protocol.
    pub limits: Limits,
    /// Limits of the log.
    pub log: LogLimits,
    /// Limits of the archive.
    pub archive: ArchiveConfig,
    /// Limits of a request.
    pub requests: RequestLimits,
    /// Where spans are sent, and how many.
    pub tracing: TracingConfig,
    /// Who may be called.
    pub destinations: BTreeMap<String, Rule>,
    /// Who may ask, and who signs calls to whom; with `dev` they are not looked at.
    pub credentials: BTreeMap<String, Grant>,
    /// A file that every effect is written to as it leaves, a line of JSON each.
    pub trace_effects: Option<PathBuf>,
    /// Who said what differs from the default, by key; for people.
    pub said: BTreeMap<String, Source>,
}

/// Files of certificates and keys, PEM all of them, and who is spoken to by them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate that clients are shown; without it they are spoken to in plain text.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Authorities one of which must have signed the certificate of every client.
    pub client_ca: Option<PathBuf>,
    /// The names one of which that certificate must bear; with authorities and without names
    /// nobody is let in.
    pub client_names: Option<Names>,
    /// The oldest version that clients may speak.
    pub min_version: OldestVersion,
    /// Authorities by which destinations of `https://` are known; without it those that this
    /// system believes.
    pub ca: Option<PathBuf>,
}

/// Limits of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes on disk before a begin is refused.
    pub log_bytes_max: u64,
    /// Free bytes of the disk below which a begin is refused.
    pub disk_free_bytes_min: u64,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Bytes of log for each byte of what is open before old segments are written anew.
    pub log_per_open: u64,
    /// Ended transactions that are remembered where there is no archive.
    pub ended_max: usize,
}

/// Limits of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveConfig {
    /// Bytes on disk before the oldest outcomes are forgotten.
    pub archive_bytes_max: u64,
    /// Transactions of one slice.
    pub slice_rows_max: u64,
    /// Ended transactions that are archived at a time.
    pub bulk_rows_max: usize,
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        let limits = ArchiveLimits::default();
        ArchiveConfig {
            archive_bytes_max: limits.archive_bytes_max,
            slice_rows_max: limits.slice_rows_max,
            bulk_rows_max: limits.bulk_rows_max,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: LISTEN_DEFAULT.parse().expect("the default address is one"),
            hosts: Vec::new(),
            data: PathBuf::from(DATA_DEFAULT),
            dev: false,
            insecure: false,
            tls: TlsConfig::default(),
            limits: Limits::default(),
            log: LogLimits {
                log_bytes_max: 4 * 1_024 * 1_024 * 1_024,
                disk_free_bytes_min: 128 * 1_024 * 1_024,
                segment_bytes: 64 * 1_024 * 1_024,
                log_per_open: 2,
                ended_max: 1_000_000,
            },
            archive: ArchiveConfig::default(),
            requests: RequestLimits::default(),
            tracing: TracingConfig::default(),
            destinations: BTreeMap::new(),
            credentials: BTreeMap::new(),
            trace_effects: None,
            said: BTreeMap::new(),
        }
    }
}

/// What the command line said. Everything else is `KEY=VALUE` under `set`.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config FILE`
    pub config: Option<PathBuf>,
    /// `--data DIR`
    pub data: Option<PathBuf>,
    /// `--listen ADDR`
    pub listen: Option<String>,
    /// `--dev`
    pub dev: bool,
    /// `--insecure`
    pub insecure: bool,
    /// `--destination NAME=URL[,KEY=VALUE]…`
    pub destinations: Vec<String>,
    /// `--set KEY=VALUE`
    pub set: Vec<String>,
    /// `--trace-effects FILE`
    pub trace_effects: Option<PathBuf>,
}

impl Config {
    /// For a coordinator inside another program, a test for one: any free loopback port, its data
    /// in the folder, loopback URLs are called.
    pub fn in_process(data: &Path) -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: data.to_owned(),
            dev: true,
            ..Config::default()
        }
    }

    /// Reads file, environment and flags; what comes later wins.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let environment: BTreeMap<String, String> = environment.into_iter().collect();
        let mut config = Config::default();
        if let Some((path, text)) = read_file(flags, &environment)? {
            config.apply_file(&path, &text)?;
        }
        config.apply_environment(&environment)?;
        config.apply_flags(flags)?;
        config.share_connections();
        config.check()?;
        Ok(config)
    }

    /// Reads the text of a file alone, and checks what came of it.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn from_text(text: &str) -> Result<Self, ConfigError> {
        let mut config = Config::default();
        config.apply_file(Path::new(FILE_DEFAULT), text)?;
        config.share_connections();
        config.check()?;
        Ok(config)
    }

    /// Whether a loopback URL may stand for a destination.
    pub fn urls(&self) -> Urls {
        match self.dev {
            true => Urls::Loopback,
            false => Urls::Refused,
        }
    }

    /// The files by which clients are spoken to within TLS, if they are.
    pub fn listening(&self) -> Option<Listening> {
        let TlsConfig { certificate, key, client_ca, client_names, min_version, ca: _ } =
            self.tls.clone();
        let names = client_names.unwrap_or_default();
        let clients = client_ca.map(|ca| Clients { ca, names });
        Some(Listening { certificate: certificate?, key: key?, clients, oldest: min_version })
    }

    /// Who is known: nobody with `dev`, else those whom the configuration names.
    pub fn keyring(&self) -> Keyring {
        match self.dev {
            true => Keyring::default(),
            false => Keyring::new(self.credentials.values()),
        }
    }

    fn apply_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let source = Source::File(path.to_owned());
        let table: toml::Table = text.parse().map_err(|cause| syntax(path, text, &cause))?;
        for (key, value) in &table {
            match (key.as_str(), value) {
                ("destinations", toml::Value::Table(destinations)) => {
                    for (name, value) in destinations {
                        let rule = rule::from_toml(&source, name, value)?;
                        self.destinations.insert(name.clone(), rule);
                        self.say(&format!("destinations.{name}"), &source);
                    }
                }
                ("credentials", toml::Value::Table(credentials)) => {
                    for (name, value) in credentials {
                        let grant = credentials::grant(&source, name, value)?;
                        self.credentials.insert(name.clone(), grant);
                        self.say(&format!("credentials.{name}"), &source);
                    }
                }
                (section, toml::Value::Table(inner)) => {
                    for (key, value) in inner {
                        let key = format!("{section}.{key}");
                        self.set(&source, &key, Value::from_toml(value))?;
                    }
                }
                (key, value) => self.set(&source, key, Value::from_toml(value))?,
            }
        }
        Ok(())
    }

    /// Only the known variables are looked at: orchestrators set others with our prefix
    /// (`WHOLLY_PORT`, `WHOLLY_SERVICE_HOST`) for every service that is named so.
    fn apply_environment(
        &mut self,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), ConfigError> {
        self.apply_opentelemetry(environment);
        for setting in SETTINGS {
            let name = setting.variable();
            if let Some(text) = environment.get(&name) {
                self.set(&Source::Environment(name), setting.key, Value::Text(text.clone()))?;
            }
        }
        let name = "WHOLLY_DESTINATIONS";
        let source = Source::Environment(name.to_owned());
        for word in environment.get(name).map(String::as_str).unwrap_or_default().split_whitespace()
        {
            self.add_destination(&source, word)?;
        }
        Ok(())
    }

    /// The variables by which OpenTelemetry tells every program of a machine where spans go. What
    /// is said to this program alone wins, wherever it stands; what cannot be read of the rest
    /// stops no coordinator.
    fn apply_opentelemetry(&mut self, environment: &BTreeMap<String, String>) {
        let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let says = |name: &str, word: &str| {
            set(name).is_some_and(|value| value.eq_ignore_ascii_case(word))
        };
        if says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none") {
            return;
        }
        let own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "tracing.otlp"),
            (own, "tracing.otlp"),
            ("OTEL_SERVICE_NAME", "tracing.service"),
        ];
        for (name, key) in variables {
            let Some(text) = set(name) else { continue };
            let own_variable = format!("WHOLLY_{}", key.to_uppercase().replace('.', "_"));
            if matches!(self.said.get(key), Some(Source::File(_)))
                || environment.contains_key(&own_variable)
            {
                continue;
            }
            let source = Source::Environment(name.to_owned());
            match self.set(&source, key, Value::Text(text.clone())) {
                // That one names the place itself, the other what it lies below.
                Ok(()) if name == own => self.tracing.place = Place::Itself,
                Ok(()) => {}
                Err(error) => self.leave_out(key, &error),
            }
        }
    }

    /// What another variable says of the same is not what this one meant to say: then nothing is.
    fn leave_out(&mut self, key: &str, error: &ConfigError) {
        if key == "tracing.otlp" {
            self.tracing.otlp = None;
            self.said.remove(key);
        }
        let reason: &dyn std::error::Error = error;
        tracing::warn!(
            reason,
            key,
            "a variable of OpenTelemetry cannot be used and is left out; correct it, or say the \
             key where this program alone is told"
        );
    }

    fn apply_flags(&mut self, flags: &Flags) -> Result<(), ConfigError> {
        for word in &flags.set {
            let source = Source::Flag("--set".to_owned());
            let Some((key, text)) = word.split_once('=') else {
                let why = "is not of the form KEY=VALUE".to_owned();
                return Err(ConfigError::Value { source, key: word.clone(), why });
            };
            self.set(&source, key, Value::Text(text.to_owned()))?;
        }
        if let Some(data) = &flags.data {
            self.data.clone_from(data);
            self.say("data", &Source::Flag("--data".to_owned()));
        }
        if let Some(listen) = &flags.listen {
            let source = Source::Flag("--listen".to_owned());
            self.set(&source, "listen", Value::Text(listen.clone()))?;
        }
        if flags.dev {
            self.dev = true;
            self.say("dev", &Source::Flag("--dev".to_owned()));
        }
        if flags.insecure {
            self.insecure = true;
            self.say("insecure", &Source::Flag("--insecure".to_owned()));
        }
        for word in &flags.destinations {
            self.add_destination(&Source::Flag("--destination".to_owned()), word)?;
        }
        if flags.trace_effects.is_some() {
            self.trace_effects.clone_from(&flags.trace_effects);
            self.say("trace_effects", &Source::Flag("--trace-effects".to_owned()));
        }
        Ok(())
    }

    fn set(&mut self, source: &Source, key: &str, value: Value) -> Result<(), ConfigError> {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            let nearest = settings::nearest(key, SETTINGS.iter().map(|setting| setting.key));
            return Err(ConfigError::Unknown {
                source: source.clone(),
                key: key.to_owned(),
                nearest,
            });
        };
        setting.set(self, value).map_err(|why| ConfigError::Value {
            source: source.clone(),
            key: key.to_owned(),
            why: format!("{why} ({})", setting.meaning),
        })?;
        self.say(key, source);
        Ok(())
    }

    fn say(&mut self, key: &str, source: &Source) {
        self.said.insert(key.to_owned(), source.clone());
    }

    /// `NAME=URL[,KEY=VALUE]…`; a URL that is called has no comma.
    fn add_destination(&mut self, source: &Source, word: &str) -> Result<(), ConfigError> {
        let Some((name, rest)) = word.split_once('=') else {
            let why = "is not of the form NAME=URL".to_owned();
            return Err(ConfigError::Value { source: source.clone(), key: word.to_owned(), why });
        };
        let mut parts = rest.split(',');
        let mut rule = Rule::new(parts.next().unwrap_or_default());
        for part in parts {
            let (key, text) = part.split_once('=').unwrap_or((part, ""));
            rule::set(&mut rule, source, name, key, Value::Text(text.to_owned()))?;
        }
        rule::check(source, name, &rule)?;
        self.destinations.insert(name.to_owned(), rule);
        self.say(&format!("destinations.{name}"), source);
        Ok(())
    }

    /// A credential that a destination names is there, and a service's.
    fn check_signers(&self) -> Result<(), ConfigError> {
        for (destination, rule) in &self.destinations {
            let Some(name) = &rule.credential else { continue };
            let is_service = |grant: &Grant| grant.role == Role::Service;
            if !self.credentials.get(name).is_some_and(is_service) {
                let services = self.credentials.iter().filter(|(_, grant)| is_service(grant));
                let nearest = settings::nearest(name, services.map(|(name, _)| name.as_str()));
                let (destination, credential) = (destination.clone(), name.clone());
                return Err(ConfigError::Signer { destination, credential, nearest });
            }
        }
        Ok(())
    }

    /// A certificate has its key, and what is of no use without them does not stand alone.
    fn check_tls(&self) -> Result<(), ConfigError> {
        let TlsConfig { certificate, key, client_ca, client_names, .. } = &self.tls;
        let (said, missing) = match (certificate, key, client_ca, client_names) {
            (Some(_), None, _, _) => ("tls.certificate", "tls.key"),
            (None, Some(_), _, _) => ("tls.key", "tls.certificate"),
            (None, None, Some(_), _) => ("tls.client_ca", "tls.certificate"),
            (_, _, None, Some(_)) => ("tls.client_names", "tls.client_ca"),
            (Some(_), Some(_), Some(_), None) => return Err(ConfigError::Unnamed),
            (Some(_), Some(_), Some(_), Some(_)) | (_, _, None, None) => return Ok(()),
        };
        Err(ConfigError::Alone { said, missing })
    }

    /// One peer leaves some connections to others, unless it was said how many it may have.
    fn share_connections(&mut self) {
        let key = "requests.peer_connections_max";
        let share = (self.requests.connections_max / 4 * 3).max(1);
        if share < self.requests.peer_connections_max && !self.said.contains_key(key) {
            self.requests.peer_connections_max = share;
            if let Some(source) = self.said.get("requests.connections_max").cloned() {
                self.said.insert(key.to_owned(), source);
            }
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let loopback = self.listen.ip().is_loopback();
        if self.dev && !loopback {
            return Err(ConfigError::DevBeyondLoopback { listen: self.listen });
        }
        self.check_tls()?;
        if !loopback && !self.insecure {
            let listen = self.listen;
            match (self.credentials.is_empty(), self.listening()) {
                (true, _) => return Err(ConfigError::BeyondLoopback { listen }),
                (false, None) => return Err(ConfigError::WithoutTls { listen }),
                (false, Some(_)) => {}
            }
        }
        self.check_signers()?;
        let limits = &self.limits;
        let ordered = [
            ("calls.backoff_ms", limits.backoff_ms, "calls.backoff_ms_max", limits.backoff_ms_max),
            (
                "calls.destination_calls_max",
                limits.destination_calls_max as u64,
                "calls.calls_max",
                limits.calls_max as u64,
            ),
            (
                "transactions.open_timeout_ms",
                limits.open_timeout_ms,
                "transactions.timeout_ms_max",
                limits.timeout_ms_max,
            ),
            (
                "transactions.payload_bytes_max",
                limits.payload_bytes_max as u64,
                "requests.body_bytes_max",
                self.requests.body_bytes_max as u64,
            ),
            (
                "requests.peer_connections_max",
                self.requests.peer_connections_max as u64,
                "requests.connections_max",
                self.requests.connections_max as u64,
            ),
            (
                "waiting.transaction_waiters_max",
                limits.transaction_waiters_max as u64,
                "waiting.waiters_max",
                limits.waiters_max as u64,
            ),
            (
                "log.segment_bytes",
                self.log.segment_bytes,
                "log.log_bytes_max",
                self.log.log_bytes_max,
            ),
        ];
        for (small, value, large, max) in ordered {
            if value > max {
                return Err(ConfigError::Order { small, value, large, max });
            }
        }
        Ok(())
    }
}

/// Where the text is wrong, without the text: it may hold a secret.
fn syntax(path: &Path, text: &str, cause: &toml::de::Error) -> ConfigError {
    let start = cause.span().map_or(0, |span| span.start);
    let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
    ConfigError::Syntax { path: path.to_owned(), line, why: cause.message().to_owned() }
}

fn read_file(
    flags: &Flags,
    environment: &BTreeMap<String, String>,
) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let named = flags.config.clone().or(environment.get("WHOLLY_CONFIG").map(PathBuf::from));
    let path = named.clone().unwrap_or(PathBuf::from(FILE_DEFAULT));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(cause) if named.is_none() && cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(ConfigError::Read { path, cause }),
    }
}

#[cfg(test)]
mod tests;
