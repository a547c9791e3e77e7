//! Everybody who is known: who may ask what, and who vouches for calls to whom.

use crate::access::Asker;
use std::collections::BTreeMap;
use std::sync::Arc;
use wholly_wire::credential::{Credential, Fingerprint, Role, Shown};
use wholly_wire::signature::SigningKey;

/// A credential as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Id and secrets.
    pub credential: Credential,
    /// What it is for.
    pub role: Role,
}

/// All credentials, ready for use. Empty, everybody may ask everything and nothing is signed.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    known: BTreeMap<String, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    asker: Asker,
    /// The first and, while the secret is changed, a second.
    fingerprints: Vec<Fingerprint>,
    signer: Arc<Signer>,
}

/// What calls are signed with, and in whose name.
#[derive(Clone, Debug)]
pub struct Signer {
    pub(crate) keyid: String,
    pub(crate) key: SigningKey,
}

impl Keyring {
    /// A ring of these, by name.
    pub fn new<'a>(grants: impl IntoIterator<Item = &'a Grant>) -> Keyring {
        let known = grants.into_iter().map(|Grant { credential, role }| {
            let principal = credential.id().clone();
            let id = principal.to_string();
            let key = credential.secrets().first().signing_key();
            let known = Known {
                asker: Asker { principal, role: Some(*role) },
                fingerprints: credential.secrets().iter().map(|one| one.fingerprint()).collect(),
                signer: Arc::new(Signer { keyid: id.clone(), key }),
            };
            (id, known)
        });
        Keyring { known: known.collect() }
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Who shows this. An unknown name costs as much time as a wrong secret.
    pub(crate) fn find(&self, shown: &Shown) -> Option<Asker> {
        let Some(known) = self.known.get(&shown.id) else {
            let _nobody = Fingerprint::NOBODY.is_of(&shown.secret);
            return None;
        };
        let fits = known.fingerprints.iter().filter(|print| print.is_of(&shown.secret)).count();
        (fits > 0).then(|| known.asker.clone())
    }

    /// Who signs calls to a service: its own credential.
    pub fn signer(&self, name: &str) -> Option<Arc<Signer>> {
        let known = self.known.get(name)?;
        (known.asker.role == Some(Role::Service)).then(|| Arc::clone(&known.signer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wholly_wire::credential::Secrets;

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const TWO: &str = "fedcba9876543210fedcba9876543210";

    fn ring() -> Keyring {
        let grant = |id: &str, secrets: &str, role| {
            let secrets = Secrets::parse(secrets).unwrap();
            Grant { credential: Credential::new(id, secrets).unwrap(), role }
        };
        let both = format!("{TWO},{ONE}");
        let stock = grant("stock", ONE, Role::Service);
        Keyring::new(&[
            stock,
            grant("anna", TWO, Role::Operator),
            grant("new", &both, Role::Service),
        ])
    }

    fn check(id: &str, secret: &str, expected: Option<Role>) {
        let shown = Shown { id: id.to_owned(), secret: secret.as_bytes().to_vec() };
        let found = ring().find(&shown);
        assert_eq!(found.as_ref().and_then(|asker| asker.role), expected, "{id}");
        assert_eq!(found.map(|asker| asker.principal.to_string()), expected.map(|_| id.to_owned()));
    }

    #[test]
    fn who_has_the_secret_of_its_own_name_is_known() {
        check("stock", ONE, Some(Role::Service));
        check("anna", TWO, Some(Role::Operator));
        check("new", ONE, Some(Role::Service));
        check("new", TWO, Some(Role::Service));
        check("stock", TWO, None);
        check("anna", ONE, None);
        check("Stock", ONE, None);
        check("stock", "", None);
        check("nobody", ONE, None);
        check("", ONE, None);
    }

    #[test]
    fn only_services_are_signed_for() {
        assert!(ring().signer("stock").is_some());
        assert!(ring().signer("anna").is_none());
        assert!(ring().signer("nobody").is_none());
        assert!(Keyring::default().is_empty() && !ring().is_empty());
    }
}
