//! By what a command is known: a credential from flags and environment, never from the command
//! line, which other users of the machine can read.

use crate::arguments::{Certificates, Identity};
use crate::complaint::{Complaint, Kind};
use std::sync::Arc;
use wholly_tls::{Calling, Trust};
use wholly_wire::credential::{Credential, Secrets};

/// The variable that holds a secret, or two with a comma between.
const SECRET: &str = "WHOLLY_SECRET";

/// The credential, where one is given: an id, and the secret in a file or in the environment.
pub(crate) fn credential(identity: &Identity) -> Result<Option<Credential>, Complaint> {
    read(identity, |name| std::env::var(name).ok())
}

fn read(
    identity: &Identity,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Credential>, Complaint> {
    let wrong = |happened: String| {
        Complaint::new(Kind::Usage, happened)
            .means("nobody was asked")
            .advice("give --id or WHOLLY_ID, and --secret-file or WHOLLY_SECRET")
    };
    let text = match &identity.secret_file {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            let happened = format!("the secret cannot be read from {}", path.display());
            Complaint::because(Kind::Usage, happened, &error)
                .means("nobody was asked")
                .advice("name a file that this user may read")
        })?),
        None => variable(SECRET).filter(|text| !text.is_empty()),
    };
    let id = identity.id.as_deref().filter(|id| !id.is_empty());
    let (id, text) = match (id, text) {
        (None, None) => return Ok(None),
        (Some(id), Some(text)) => (id, text),
        (Some(id), None) => return Err(wrong(format!("there is an id, {id}, and no secret"))),
        (None, Some(_)) => return Err(wrong("there is a secret and no id".to_owned())),
    };
    let secrets =
        Secrets::parse(&text).map_err(|why| wrong(format!("the secret of {id} {why}")))?;
    let credential = Credential::new(id, secrets);
    credential.map(Some).map_err(|why| wrong(format!("the id {id:?} {why}")))
}

/// Whom a command believes within TLS, and what it shows there.
pub(crate) fn trust(certificates: &Certificates) -> Arc<Trust> {
    let Certificates { ca, certificate, key } = certificates.clone();
    Arc::new(Trust::new(Calling { ca, identity: certificate.zip(key) }))
}

/// Refuses an address of plain text where certificates are named: nobody would have to prove
/// anything, and the secret would be sent for everybody to read.
pub(crate) fn refuse_plain(url: &str, certificates: &Certificates) -> Result<(), Complaint> {
    let Certificates { ca, certificate, key } = certificates;
    let plain = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if !plain || ca.is_none() && certificate.is_none() && key.is_none() {
        return Ok(());
    }
    let happened = format!("certificates are named, and {url} is plain text");
    Err(Complaint::new(Kind::Usage, happened)
        .means("nobody was asked; no secret was sent")
        .advice("write the address as https://HOST:PORT, or name no --ca and --certificate"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn check(id: Option<&str>, file: Option<&str>, variable: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let secret_file = file.map(|text| {
            let path = folder.path().join("secret");
            std::fs::write(&path, text).unwrap();
            path
        });
        let identity = Identity { id: id.map(str::to_owned), secret_file };
        let seen = match read(&identity, |_| Some(variable.to_owned())) {
            Ok(None) => "nobody".to_owned(),
            Ok(Some(credential)) => {
                format!("{} {}", credential.id(), credential.secrets().iter().count())
            }
            Err(complaint) => complaint.to_string(),
        };
        assert!(seen.starts_with(expected) && !seen.contains(&SECRET[1..]), "{seen}");
    }

    #[test]
    fn a_credential_is_whole_or_there_is_none() {
        check(None, None, "", "nobody");
        check(Some(""), None, "", "nobody");
        check(Some("anna"), None, SECRET, "anna 1");
        check(Some("anna"), Some(SECRET), "", "anna 1");
        check(Some("anna"), Some(&format!("{SECRET}\n{SECRET}\n")), "", "anna 2");
        check(Some("anna"), Some(SECRET), "not looked at", "anna 1");
        check(Some("anna"), None, "", "there is an id, anna, and no secret");
        check(None, None, SECRET, "there is a secret and no id");
        check(Some("anna"), None, &SECRET[1..], "the secret of anna has 31 characters");
        check(Some("a:b"), None, SECRET, "the id \"a:b\" is no name");
        let missing = Identity { id: None, secret_file: Some(PathBuf::from("/nowhere/secret")) };
        let said = read(&missing, |_| None).unwrap_err().to_string();
        assert!(said.contains("/nowhere/secret"), "{said}");
    }

    #[test]
    fn certificates_are_for_addresses_within_tls() {
        let check = |url: &str, certificates: &Certificates, expected: Option<&str>| {
            let said = refuse_plain(url, certificates).err().map(|said| said.to_string());
            match (&said, expected) {
                (None, None) => {}
                (Some(said), Some(part)) => assert!(said.starts_with(part), "{said}"),
                (said, expected) => panic!("{url}: {said:?} instead of {expected:?}"),
            }
        };
        let none = Certificates::default();
        let ca = Certificates { ca: Some(PathBuf::from("ca.pem")), ..Certificates::default() };
        let file = || Some(PathBuf::from("one.pem"));
        let own = Certificates { ca: None, certificate: file(), key: file() };
        for url in ["http://wholly:7700", "HTTP://wholly"] {
            check(url, &none, None);
            let expected = format!("certificates are named, and {url} is plain text");
            check(url, &ca, Some(&expected));
            check(url, &own, Some(&expected));
        }
        for url in ["https://wholly:7700", "HTTPS://wholly", "wholly"] {
            for certificates in [&none, &ca, &own] {
                check(url, certificates, None);
            }
        }
    }
}
