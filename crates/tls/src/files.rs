//! Files of certificates and keys, in PEM.

use crate::{Expiries, TlsError};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

/// A certificate with those that lead to its authority, and its key.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads a certificate and its key, from two files or from one that holds both.
pub(crate) fn identity(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
    Ok((certificates(certificate)?, private_key(key)?))
}

/// What goes wrong when a certificate and its key are put together.
pub(crate) fn unusable(certificate: &Path, key: &Path, source: rustls::Error) -> TlsError {
    let (certificate, key) = (certificate.to_owned(), key.to_owned());
    if let rustls::Error::InconsistentKeys(_) = source {
        return TlsError::KeyMismatch { certificate, key };
    }
    TlsError::Unusable { certificate, key, source }
}

/// The authorities whose certificates a file holds, and up to when each holds.
pub(crate) fn authorities(path: &Path) -> Result<(RootCertStore, Expiries), TlsError> {
    let mut roots = RootCertStore::empty();
    let found = certificates(path)?;
    let expiries = Expiries::of(&found);
    for certificate in found {
        let failed = |source| TlsError::Authority { path: path.to_owned(), source };
        roots.add(certificate).map_err(failed)?;
    }
    Ok((roots, expiries))
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|why| unreadable(path, &why))?;
    match found.is_empty() {
        true => Err(TlsError::NoCertificate { path: path.to_owned() }),
        false => Ok(found),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    match PrivateKeyDer::from_pem_slice(&read(path)?) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(TlsError::NoKey { path: path.to_owned() }),
        Err(why) => Err(unreadable(path, &why)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// The parser's own words may quote the line, which may be of a key.
fn unreadable(path: &Path, why: &pem::Error) -> TlsError {
    let why = if let pem::Error::MissingSectionEnd { .. } = why {
        "a part has no -----END line"
    } else if let pem::Error::Base64Decode(_) = why {
        "a part is not base64"
    } else {
        "a part is not whole"
    };
    TlsError::Pem { path: path.to_owned(), why: why.to_owned() }
}
