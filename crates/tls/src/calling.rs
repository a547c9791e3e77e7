//! The side that calls: whom it believes to be the one it calls, and how it says who it is itself.

use crate::stream::Stream;
use crate::{ALPN, Expiries, OldestVersion, TlsError, files, provider};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, TlsStream};

/// The files of one who calls. Nothing said: whom this system believes is believed, and no
/// certificate is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calling {
    /// Authorities one of which must have signed the certificate of whoever is called, instead of
    /// those that this system believes.
    pub ca: Option<PathBuf>,
    /// A certificate to be shown to whoever asks for one, with its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Secures connections that go out.
#[derive(Clone)]
pub struct Caller {
    connector: TlsConnector,
    authorities: Expiries,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caller")
    }
}

/// Whom one who calls believes, read from its files when that is needed first: who calls nobody
/// within TLS needs none.
#[derive(Debug, Default)]
pub struct Trust {
    calling: Calling,
    oldest: OldestVersion,
    caller: OnceLock<Caller>,
}

impl Trust {
    /// By these files, unread; nothing but 1.3 is spoken.
    pub fn new(calling: Calling) -> Trust {
        Trust::of(calling, OldestVersion::default())
    }

    /// By these files, unread; nothing older than this is spoken.
    pub fn of(calling: Calling, oldest: OldestVersion) -> Trust {
        Trust { calling, oldest, caller: OnceLock::new() }
    }

    /// Who secures connections by them, if they were read already.
    pub fn read(&self) -> Option<&Caller> {
        self.caller.get()
    }

    /// Who secures connections by them.
    pub fn caller(&self) -> Result<&Caller, TlsError> {
        if let Some(caller) = self.caller.get() {
            return Ok(caller);
        }
        let opened = Caller::read(&self.calling, self.oldest.versions())?;
        Ok(self.caller.get_or_init(|| opened))
    }
}

/// A host as its certificate must name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerName(ServerName<'static>);

impl PeerName {
    /// A DNS name, or an IP address; one of IPv6 with its brackets or without. None if no
    /// certificate can name it.
    pub fn new(host: &str) -> Option<PeerName> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        ServerName::try_from(bare.to_owned()).ok().map(PeerName)
    }
}

/// Why a connection that goes out was not secured: nothing but a handshake was sent on it.
#[derive(Debug, thiserror::Error)]
#[error("TLS with {peer} failed")]
pub struct Unsecured {
    /// Who was called.
    pub peer: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Caller {
    /// Reads the files; nothing but 1.3 is spoken.
    pub fn open(calling: &Calling) -> Result<Caller, TlsError> {
        Caller::read(calling, OldestVersion::default().versions())
    }

    /// For tests alone: one that speaks 1.2 and nothing later.
    #[cfg(feature = "authority")]
    pub fn outdated(calling: &Calling) -> Result<Caller, TlsError> {
        Caller::read(calling, &[&rustls::version::TLS12])
    }

    fn read(
        calling: &Calling,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Caller, TlsError> {
        let (roots, authorities) = match &calling.ca {
            Some(path) => files::authorities(path)?,
            None => (system_roots()?, Expiries::default()),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(TlsError::Setup)?
            .with_root_certificates(roots);
        let mut config = match &calling.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, own_key) = files::identity(certificate, key)?;
                builder
                    .with_client_auth_cert(chain, own_key)
                    .map_err(|source| files::unusable(certificate, key, source))?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Caller { connector: TlsConnector::from(Arc::new(config)), authorities })
    }

    /// Up to when the authorities of its file hold; of those of the system nothing is said.
    pub fn authorities(&self) -> &Expiries {
        &self.authorities
    }

    /// Shakes hands with whoever is at the other end, who must prove to be this one.
    pub async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        peer: &PeerName,
        stream: S,
    ) -> Result<Stream<S>, Unsecured> {
        match self.connector.connect(peer.0.clone(), stream).await {
            Ok(secured) => Ok(Stream::Secured(Box::new(TlsStream::Client(secured)))),
            Err(source) => Err(Unsecured { peer: peer.0.to_str().into_owned(), source }),
        }
    }
}

/// A system's list may hold what is no authority by the rules of today; the others count.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(TlsError::NoSystemRoots),
        false => Ok(roots),
    }
}
