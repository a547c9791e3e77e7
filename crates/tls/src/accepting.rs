//! The side that listens: its certificate, read again while it runs, and whom it lets in.

use crate::clients::{self, Clients, NotNamed};
use crate::stream::Stream;
use crate::{ALPN, Expiries, OldestVersion, TlsError, files, provider};
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsStream};

/// The files of a listener, and whom it speaks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Its certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// The key of the first of them.
    pub key: PathBuf,
    /// Who is let in by a certificate; without it clients need none.
    pub clients: Option<Clients>,
    /// The oldest version that clients may speak.
    pub oldest: OldestVersion,
}

impl Listening {
    /// Lets everybody in who speaks 1.3.
    pub fn new(certificate: PathBuf, key: PathBuf) -> Listening {
        Listening { certificate, key, clients: None, oldest: OldestVersion::default() }
    }
}

/// Takes connections in. What it was told last counts for the next one; those that stand go on.
#[derive(Debug)]
pub struct Acceptor {
    read: RwLock<Arc<Read>>,
}

/// What the files held when they were read.
#[derive(Debug)]
struct Read {
    config: Arc<ServerConfig>,
    own: Expiries,
    clients: Expiries,
}

/// Why a connection was not let in.
#[derive(Debug, thiserror::Error)]
pub enum Unaccepted {
    /// The handshake was not over in time.
    #[error("the handshake took longer than {within_ms} ms")]
    Late {
        /// How long it had.
        within_ms: u128,
    },
    /// The client showed no certificate, or none that is believed.
    #[error("the client is not believed")]
    Certificate(#[source] io::Error),
    /// The client showed a certificate that is believed, and is not among those who are let in.
    #[error("the client is not named")]
    NotNamed(#[source] NotNamed),
    /// The client does not believe us, or what it said is no TLS that is spoken here.
    #[error("the handshake failed")]
    Failed(#[source] io::Error),
    /// The client went away.
    #[error("the connection broke in its handshake")]
    Broken(#[source] io::Error),
}

impl Unaccepted {
    /// Every word that there is.
    pub const WORDS: [&str; 5] = ["late", "certificate", "not_named", "failed", "broken"];

    /// A word for figures.
    pub fn word(&self) -> &'static str {
        match self {
            Unaccepted::Late { .. } => "late",
            Unaccepted::Certificate(_) => "certificate",
            Unaccepted::NotNamed(_) => "not_named",
            Unaccepted::Failed(_) => "failed",
            Unaccepted::Broken(_) => "broken",
        }
    }

    fn new(error: io::Error) -> Unaccepted {
        use rustls::Error::{InvalidCertificate, NoCertificatesPresented};
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(why) = cause.and_then(NotNamed::why) {
            return Unaccepted::NotNamed(why);
        }
        match cause {
            Some(InvalidCertificate(_) | NoCertificatesPresented) => Unaccepted::Certificate(error),
            Some(_) => Unaccepted::Failed(error),
            None => Unaccepted::Broken(error),
        }
    }
}

impl Acceptor {
    /// Reads the files.
    pub fn open(listening: &Listening) -> Result<Acceptor, TlsError> {
        Ok(Acceptor { read: RwLock::new(Arc::new(read(listening)?)) })
    }

    /// For tests alone: one that speaks 1.2 and nothing later.
    #[cfg(feature = "authority")]
    pub fn outdated(listening: &Listening) -> Result<Acceptor, TlsError> {
        let read = read_for(listening, &[&rustls::version::TLS12])?;
        Ok(Acceptor { read: RwLock::new(Arc::new(read)) })
    }

    /// Reads the files again. Where one is wrong, all stays as it was.
    pub fn reload(&self, listening: &Listening) -> Result<(), TlsError> {
        let read = Arc::new(read(listening)?);
        *self.read.write().expect("nothing panics under this lock") = read;
        Ok(())
    }

    /// Up to when the certificate that clients are shown holds, with those that vouch for it.
    pub fn own(&self) -> Expiries {
        self.current().own.clone()
    }

    /// Up to when the authorities hold by which clients are known.
    pub fn clients(&self) -> Expiries {
        self.current().clients.clone()
    }

    fn current(&self) -> Arc<Read> {
        Arc::clone(&self.read.read().expect("nothing panics under this lock"))
    }

    /// Shakes hands over a connection, within a time.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        within: Duration,
    ) -> Result<Stream<S>, Unaccepted> {
        let config = Arc::clone(&self.current().config);
        match tokio::time::timeout(within, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(secured)) => Ok(Stream::Secured(Box::new(TlsStream::Server(secured)))),
            Ok(Err(error)) => Err(Unaccepted::new(error)),
            Err(_elapsed) => Err(Unaccepted::Late { within_ms: within.as_millis() }),
        }
    }
}

fn read(listening: &Listening) -> Result<Read, TlsError> {
    read_for(listening, listening.oldest.versions())
}

fn read_for(
    listening: &Listening,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Read, TlsError> {
    let Listening { certificate, key, clients, oldest: _ } = listening;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(TlsError::Setup)?;
    let (builder, clients) = match clients {
        None => (builder.with_no_client_auth(), Expiries::default()),
        Some(clients) => {
            let (verifier, expiries) = clients::verifier(clients)?;
            (builder.with_client_cert_verifier(verifier), expiries)
        }
    };
    let (chain, own_key) = files::identity(certificate, key)?;
    let own = Expiries::of(&chain);
    let mut config = builder
        .with_single_cert(chain, own_key)
        .map_err(|source| files::unusable(certificate, key, source))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Read { config: Arc::new(config), own, clients })
}
