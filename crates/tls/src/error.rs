//! What can be wrong with files of certificates and keys, and what to do about it.

use std::path::PathBuf;

/// Why a side of TLS cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {} failed; name a file that this user may read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not in the form that is read.
    #[error("{} is no PEM file: {why}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it; nothing of a key.
        why: String,
    },
    /// A file that should hold certificates holds none.
    #[error(
        "{} holds no certificate; it takes PEM, from -----BEGIN CERTIFICATE----- on, one's own \
         first and those between it and the authority after it",
        path.display()
    )]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// A file that should hold a private key holds none.
    #[error(
        "{} holds no private key that can be used; it takes one as PEM without a passphrase, from \
         -----BEGIN PRIVATE KEY----- on",
        path.display()
    )]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// Key and certificate were not made together.
    #[error(
        "the key in {} is not that of the first certificate in {}; name the two that were made \
         together, one's own certificate first",
        key.display(),
        certificate.display()
    )]
    KeyMismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// Certificate or key cannot be used.
    #[error(
        "the certificate in {} and the key in {} cannot be used; RSA of 2048 bits or more, ECDSA \
         on P-256 or P-384, and Ed25519 can",
        certificate.display(),
        key.display()
    )]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A file of authorities holds a certificate that cannot be one.
    #[error("a certificate in {} cannot be an authority's", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The system names no authority.
    #[error(
        "this system names no authority whose certificates are believed; install its package \
         ca-certificates, or name a file with your authority's certificate"
    )]
    NoSystemRoots,
    /// What was read cannot be put together.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
    /// Clients' certificates cannot be checked against what was read.
    #[error("clients' certificates cannot be checked by {}", path.display())]
    Verifier {
        /// The file of authorities.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}
