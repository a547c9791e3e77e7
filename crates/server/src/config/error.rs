//! What can be wrong with a configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In this file.
    File(PathBuf),
    /// In this variable.
    Environment(String),
    /// By this flag.
    Flag(String),
    /// By the system, which allows the process no more open files.
    OpenFiles,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Environment(name) => write!(f, "environment variable {name}"),
            Source::Flag(name) => f.write_str(name),
            Source::OpenFiles => f.write_str("lowered to the limit of open files"),
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is no TOML.
    Syntax {
        /// Which.
        path: PathBuf,
        /// In which line.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// No such key.
    Unknown {
        /// Where it stands.
        source: Source,
        /// Which.
        key: String,
        /// The known one that is most like it, if any is.
        nearest: Option<String>,
    },
    /// A value that the key cannot have.
    Value {
        /// Where it stands.
        source: Source,
        /// Of which key.
        key: String,
        /// What it would have to be.
        why: String,
    },
    /// A value above the one that bounds it.
    Order {
        /// The smaller key.
        small: &'static str,
        /// Its value.
        value: u64,
        /// The key that bounds it.
        large: &'static str,
        /// Its value.
        max: u64,
    },
    /// The file that holds a secret cannot be read.
    Secret {
        /// Whose.
        credential: String,
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A destination names a credential that is none of a service.
    Signer {
        /// Which destination.
        destination: String,
        /// What it names.
        credential: String,
        /// The known one that is most like it, if any is.
        nearest: Option<String>,
    },
    /// A file of TLS without the one that belongs to it.
    Alone {
        /// Which is named.
        said: &'static str,
        /// Which is not.
        missing: &'static str,
    },
    /// Authorities of clients without a word on which of their clients are meant.
    Unnamed,
    /// A listener beyond loopback that shows secrets to whoever is on the way.
    WithoutTls {
        /// Where it would listen.
        listen: SocketAddr,
    },
    /// A listener beyond loopback without saying so.
    BeyondLoopback {
        /// Where it would listen.
        listen: SocketAddr,
    },
    /// A listener beyond loopback with `--dev`.
    DevBeyondLoopback {
        /// Where it would listen.
        listen: SocketAddr,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Read { path, .. } => {
                write!(f, "read configuration {} failed", path.display())
            }
            ConfigError::Syntax { path, line, why } => {
                write!(f, "{} is no TOML: line {line}: {why}", path.display())
            }
            ConfigError::Unknown { source, key, nearest: Some(nearest) } => {
                write!(f, "{source}: {key} is not a known key; did you mean {nearest}?")
            }
            ConfigError::Unknown { source, key, nearest: None } => {
                write!(f, "{source}: {key} is not a known key; remove it")
            }
            ConfigError::Value { source, key, why } => write!(f, "{source}: {key} {why}"),
            ConfigError::Order { small, value, large, max } => write!(
                f,
                "{small} is {value}, above {large}, which is {max}; lower the first or raise the \
                 second"
            ),
            ConfigError::BeyondLoopback { listen } => write!(
                f,
                "listening on {listen} would let every machine that reaches it decide \
                 transactions, since no [credentials] are configured; listen on 127.0.0.1, name \
                 credentials, or say --insecure if the network keeps strangers out"
            ),
            ConfigError::Secret { credential, path, .. } => write!(
                f,
                "read the secret of credential {credential} from {} failed",
                path.display()
            ),
            ConfigError::Signer { destination, credential, nearest } => {
                let nearest = match nearest {
                    Some(nearest) => format!("did you mean {nearest}?"),
                    None => "add it under [credentials]".to_owned(),
                };
                write!(
                    f,
                    "destination {destination} is to be signed for credential {credential}, which \
                     is not named as one of a service; {nearest}"
                )
            }
            ConfigError::Alone { said, missing } => write!(
                f,
                "{said} is of no use without {missing}; name that file too, or leave both out"
            ),
            ConfigError::Unnamed => f.write_str(
                "tls.client_ca without tls.client_names does not say which of its clients are let \
                 in; list the names in their certificates, as tls.client_names = \
                 [\"orders.internal\"], or say [\"*\"] for every client of that authority",
            ),
            ConfigError::WithoutTls { listen } => write!(
                f,
                "listening on {listen} without TLS would show the secrets of all clients to \
                 whoever is on the way; name tls.certificate and tls.key, listen on 127.0.0.1 \
                 behind something that speaks TLS, or say --insecure if the network keeps \
                 strangers out"
            ),
            ConfigError::DevBeyondLoopback { listen } => write!(
                f,
                "--dev calls any loopback URL it is given and so listens on loopback only, not on \
                 {listen}; listen on 127.0.0.1, or leave --dev out"
            ),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConfigError::Read { cause, .. } => Some(cause),
            ConfigError::Secret { cause, .. } => Some(cause),
            ConfigError::Syntax { .. }
            | ConfigError::Unknown { .. }
            | ConfigError::Value { .. }
            | ConfigError::Order { .. }
            | ConfigError::BeyondLoopback { .. }
            | ConfigError::Alone { .. }
            | ConfigError::Unnamed
            | ConfigError::WithoutTls { .. }
            | ConfigError::Signer { .. }
            | ConfigError::DevBeyondLoopback { .. } => None,
        }
    }
}
