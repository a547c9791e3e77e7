//! Whom a destination must prove to be: by the authorities of the system, or of a file.

use super::address::{Address, Scheme};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wholly_tls::{Caller, Calling, OldestVersion, PeerName, TlsError, Trust};

/// Each file of authorities once for each oldest version, however many destinations name it.
#[derive(Debug, Default)]
pub(super) struct Trusts(BTreeMap<(Option<PathBuf>, OldestVersion), Arc<Trust>>);

impl Trusts {
    /// That of a file; of none, the system's.
    pub(super) fn of(&mut self, ca: Option<&Path>, oldest: OldestVersion) -> Arc<Trust> {
        let ca = ca.map(Path::to_owned);
        let trust = self
            .0
            .entry((ca.clone(), oldest))
            .or_insert_with(|| Arc::new(Trust::of(Calling { ca, identity: None }, oldest)));
        Arc::clone(trust)
    }
}

/// How a destination is spoken to.
#[derive(Debug)]
pub(super) enum Security {
    /// As it is.
    Plain,
    /// Within TLS, once it has proved to be this one.
    Tls { trust: Arc<Trust>, peer: PeerName },
}

impl Security {
    pub(super) fn of(address: &Address, trust: &Arc<Trust>) -> Security {
        match address.scheme {
            Scheme::Http => Security::Plain,
            Scheme::Https => Security::Tls {
                trust: Arc::clone(trust),
                peer: address.peer().expect("an address that was parsed has a name"),
            },
        }
    }

    /// Who secures a connection, and to whom; nothing where it stays plain.
    pub(super) fn caller(&self) -> Result<Option<(&Caller, &PeerName)>, TlsError> {
        match self {
            Security::Plain => Ok(None),
            Security::Tls { trust, peer } => Ok(Some((trust.caller()?, peer))),
        }
    }
}
