//! Clients that show a certificate: of whose authority it must be, and which names it must bear.

use crate::{Expiries, TlsError, files, provider};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use webpki::EndEntityCert;

/// Names of a refused certificate that are said, and characters of each.
const SAID_MAX: usize = 4;
const SAID_CHARS_MAX: usize = 253;

/// Which clients are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// Authorities one of which must have signed a client's certificate.
    pub ca: PathBuf,
    /// Which names it must bear.
    pub names: Names,
}

/// The names one of which a client's certificate must bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Whatever an authority has signed is let in.
    Any,
    /// One of these DNS names, in small letters, or URIs; where there are none, nobody is let in.
    Only(BTreeSet<String>),
}

/// Nobody was named.
impl Default for Names {
    fn default() -> Names {
        Names::Only(BTreeSet::new())
    }
}

/// Why a list of names is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// It names nobody.
    #[error("names nobody; name who is let in, or say [\"*\"] for whoever has a certificate")]
    Nobody,
    /// Names beside one that takes in everybody.
    #[error(
        "says \"*\" beside names, which then count for nothing; leave out the one or the others"
    )]
    AnyAndMore,
    /// A certificate is not known by that.
    #[error(
        "says {name:?}; it takes DNS names and URIs as certificates bear them, whole: no pattern, \
         no IP address"
    )]
    Name {
        /// What stands there.
        name: String,
    },
}

impl Names {
    /// Those of a list; `*` alone is any.
    pub fn parse(list: &[String]) -> Result<Names, NamesError> {
        match list {
            [] => Err(NamesError::Nobody),
            [any] if any == "*" => Ok(Names::Any),
            several if several.iter().any(|name| name == "*") => Err(NamesError::AnyAndMore),
            several => {
                several.iter().map(|name| one(name)).collect::<Result<_, _>>().map(Names::Only)
            }
        }
    }

    /// As a list says them.
    pub fn list(&self) -> Vec<&str> {
        match self {
            Names::Any => vec!["*"],
            Names::Only(names) => names.iter().map(String::as_str).collect(),
        }
    }

    /// A certificate that proves a pattern of names proves none of them by itself, and so is not
    /// let in for one.
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let Names::Only(names) = self else { return Ok(()) };
        let certificate = EndEntityCert::try_from(certificate)
            .map_err(|_unreadable| CertificateError::BadEncoding)?;
        let is_named = certificate.valid_dns_names().any(|dns| names.contains(&dns.to_lowercase()))
            || certificate.valid_uri_names().any(|uri| names.contains(uri));
        match is_named {
            true => Ok(()),
            false => {
                Err(CertificateError::Other(OtherError(Arc::new(NotNamed::of(&certificate))))
                    .into())
            }
        }
    }
}

/// A name as it is compared: DNS knows no large letters, and a URI has a colon.
fn one(name: &str) -> Result<String, NamesError> {
    let is_uri = name.contains(':') && name.parse::<IpAddr>().is_err() && !name.contains('*');
    let is_dns = matches!(ServerName::try_from(name), Ok(ServerName::DnsName(_)));
    match (is_uri, is_dns) {
        (true, _) => Ok(name.to_owned()),
        (false, true) => Ok(name.to_lowercase()),
        (false, false) => Err(NamesError::Name { name: name.to_owned() }),
    }
}

/// A certificate of the authority that bears no name of the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its certificate is for {names:?}, and the list of clients has none of them")]
pub struct NotNamed {
    /// Some of the names that it bears.
    pub names: Vec<String>,
}

impl NotNamed {
    fn of(certificate: &EndEntityCert<'_>) -> NotNamed {
        let names = certificate.valid_dns_names().chain(certificate.valid_uri_names());
        let said = |name: &str| name.chars().take(SAID_CHARS_MAX).collect();
        NotNamed { names: names.take(SAID_MAX).map(said).collect() }
    }

    /// Whether this is why a handshake failed.
    pub(crate) fn why(error: &Error) -> Option<NotNamed> {
        let Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error else {
            return None;
        };
        cause.downcast_ref::<NotNamed>().cloned()
    }
}

/// Who looks at the certificates of clients, and up to when its authorities hold.
pub(crate) fn verifier(
    clients: &Clients,
) -> Result<(Arc<dyn ClientCertVerifier>, Expiries), TlsError> {
    let Clients { ca, names } = clients;
    let (roots, expiries) = files::authorities(ca)?;
    let by_authority = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let failed = |source| TlsError::Verifier { path: ca.clone(), source };
    let by_authority = by_authority.build().map_err(failed)?;
    Ok((Arc::new(Named { by_authority, names: names.clone() }), expiries))
}

/// Believes what is of an authority and bears a name of the list.
#[derive(Debug)]
struct Named {
    by_authority: Arc<dyn ClientCertVerifier>,
    names: Names,
}

impl ClientCertVerifier for Named {
    fn offer_client_auth(&self) -> bool {
        self.by_authority.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.by_authority.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_authority.root_hint_subjects()
    }

    /// The names are looked at last: what nobody has signed says nothing.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.by_authority.verify_client_cert(end_entity, intermediates, now)?;
        self.names.check(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_whole_names_or_anybody() {
        let check = |list: &[&str], expected: Result<&[&str], &str>| {
            let owned: Vec<String> = list.iter().map(|name| (*name).to_owned()).collect();
            match (Names::parse(&owned), expected) {
                (Ok(names), Ok(expected)) => assert_eq!(names.list(), expected),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{error}");
                }
                (seen, expected) => panic!("{list:?}: {seen:?}, not {expected:?}"),
            }
        };
        check(&["*"], Ok(&["*"]));
        check(&["stock", "Orders.Internal"], Ok(&["orders.internal", "stock"]));
        check(&["spiffe://Shop/orders"], Ok(&["spiffe://Shop/orders"]));
        check(&[], Err("names nobody"));
        check(&["*", "orders"], Err("beside names"));
        for name in ["*.internal", "spiffe://shop/*", "10.0.0.7", "::1", "", "a b"] {
            check(&[name], Err("no pattern"));
        }
    }
}
