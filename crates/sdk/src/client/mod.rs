//! The client: one address, one object, cheap to clone.

mod address;
pub(crate) mod api;
pub(crate) mod connection;

use crate::barrier::BarrierDatabase;
use crate::find::Found;
use crate::outcome::Error;
use crate::participant::{self, AnyService, Service};
use crate::saga::SagaPlan;
use crate::transaction::Begin;
use crate::{Operation, calling::Calling, context};
use address::Address;
use connection::Connections;
use std::sync::Arc;
use std::time::Duration;
use wholly_core::ids::{Destination, Gid};
use wholly_wire::credential::{Credential, Secrets};

/// The files by which a coordinator of `https://` is known, and by which it knows this service.
#[cfg(feature = "tls")]
pub use wholly_tls::Calling as Tls;

/// How long a request is repeated while no answer comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A coordinator, as a service sees it: it holds connections and how long to be patient.
///
/// Making one does no I/O, so that a service starts while the coordinator is down.
#[derive(Clone, Debug)]
pub struct Wholly {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connections: Connections,
    patience: Duration,
    /// Who this service is to the coordinator, and by what it believes the coordinator's calls.
    credential: Option<Credential>,
}

impl Wholly {
    /// A client of the coordinator at this URL, as `http://127.0.0.1:7700`; or `https://` with
    /// feature `tls`.
    pub fn new(url: &str) -> Result<Wholly, Error> {
        Wholly::with_patience(url, PATIENCE)
    }

    /// A client that repeats a request for this long while no answer comes; 20 seconds otherwise.
    pub fn with_patience(url: &str, patience: Duration) -> Result<Wholly, Error> {
        let connections = Connections::new(Address::parse(url)?);
        Ok(Wholly { inner: Arc::new(Inner { connections, patience, credential: None }) })
    }

    /// The same client with a credential: it says who asks, and its router believes only calls
    /// that the coordinator has signed for it. The secret may be two with a comma between while it
    /// is changed: the first is shown, what either has signed is believed.
    pub fn credential(self, id: &str, secret: &str) -> Result<Wholly, Error> {
        let wrong = |what, why: String| Error::Invalid { what, value: id.to_owned(), why };
        let secrets =
            Secrets::parse(secret).map_err(|why| wrong("secret of credential", why.to_string()))?;
        let credential = Credential::new(id, secrets);
        let credential = credential.map_err(|why| wrong("id of a credential", why.to_string()))?;
        let connections = self.inner.connections.as_of(&credential);
        let (patience, credential) = (self.inner.patience, Some(credential));
        Ok(Wholly { inner: Arc::new(Inner { connections, patience, credential }) })
    }

    /// The same client to a coordinator of `https://` that must prove to be it by these files, and
    /// is shown a certificate where they name one. Without this, whom the system believes is
    /// believed. The files are read once, here. A coordinator of `http://` is refused: it could
    /// prove nothing, and would be sent the secret in plain text.
    #[cfg(feature = "tls")]
    pub fn tls(self, tls: &Tls) -> Result<Wholly, Error> {
        let wrong = |why| Error::Invalid { what: "TLS for", value: self.url().to_owned(), why };
        let trust = wholly_tls::Trust::new(tls.clone());
        trust.caller().map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            wrong(format!("cannot be used: {error}{}", cause.unwrap_or_default()))
        })?;
        let connections = self.inner.connections.trusting(trust);
        let connections = connections.ok_or_else(|| {
            let plain = "cannot be spoken: http:// is plain text; write https://, or name no files";
            wrong(plain.to_owned())
        })?;
        let (patience, credential) = (self.inner.patience, self.inner.credential.clone());
        Ok(Wholly { inner: Arc::new(Inner { connections, patience, credential }) })
    }

    /// A client by the environment: `WHOLLY_URL`, and its credential by `WHOLLY_ID` and
    /// `WHOLLY_SECRET`, both of them or none. With feature `tls` also the authorities by which the
    /// coordinator is known by `WHOLLY_CA`, and a certificate of its own by `WHOLLY_CERTIFICATE`
    /// and `WHOLLY_KEY`.
    pub fn from_env() -> Result<Wholly, Error> {
        Wholly::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Wholly, Error> {
        let wrong = |name: &str, why: &str| Error::Invalid {
            what: "variable",
            value: name.to_owned(),
            why: why.to_owned(),
        };
        let Some(url) = variable("WHOLLY_URL") else {
            let why = "is not set; it is the coordinator's address, as http://127.0.0.1:7700";
            return Err(wrong("WHOLLY_URL", why));
        };
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let pair = |one: &'static str, other: &'static str| match (set(one), set(other)) {
            (None, None) => Ok(None),
            (Some(one), Some(other)) => Ok(Some((one, other))),
            (Some(_), None) => Err(wrong(other, &format!("is not set, and {one} is"))),
            (None, Some(_)) => Err(wrong(one, &format!("is not set, and {other} is"))),
        };
        let wholly = Wholly::new(&url)?;
        #[cfg(feature = "tls")]
        let wholly = {
            let identity = pair("WHOLLY_CERTIFICATE", "WHOLLY_KEY")?;
            let identity = identity.map(|(certificate, key)| (certificate.into(), key.into()));
            let tls = Tls { ca: set("WHOLLY_CA").map(Into::into), identity };
            if tls == Tls::default() { wholly } else { wholly.tls(&tls)? }
        };
        #[cfg(not(feature = "tls"))]
        if let Some(name) = ["WHOLLY_CA", "WHOLLY_CERTIFICATE", "WHOLLY_KEY"]
            .into_iter()
            .find(|name| set(name).is_some())
        {
            let why = "is set, for which the feature `tls` of crate wholly is off";
            return Err(wrong(name, why));
        }
        match pair("WHOLLY_ID", "WHOLLY_SECRET")? {
            None => Ok(wholly),
            Some((id, secret)) => wholly.credential(&id, &secret),
        }
    }

    /// The coordinator's URL.
    pub fn url(&self) -> &str {
        self.inner.connections.url()
    }

    /// A service that takes part, by its name among the coordinator's destinations.
    ///
    /// # Panics
    /// If the name is none: empty, over 512 bytes, or with blanks. It stands in the code, so it
    /// is wrong at the first start.
    pub fn participant(&self, destination: &str) -> Participant {
        match Destination::new(destination) {
            Ok(destination) => Participant { destination },
            Err(error) => panic!("the destination {destination:?} {error}"),
        }
    }

    /// A global transaction of this kind, not yet begun.
    pub fn transaction(&self, name: &str) -> Begin {
        Begin::new(self.clone(), name)
    }

    /// A saga of this kind, as a plan that is handed over in one request.
    pub fn saga(&self, name: &str) -> SagaPlan {
        SagaPlan::new(self.clone(), name)
    }

    /// A service that offers nothing yet, over the database whose local transactions its
    /// operations are. The name is the destination under which the coordinator knows it.
    ///
    /// # Panics
    /// If the name is none that a destination can have.
    pub fn service<D: BarrierDatabase>(&self, name: &str, pool: sqlx::Pool<D>) -> Service<D> {
        Service::new(name, pool)
    }

    /// The operations of these services under `/wholly/`, to be merged into a router of any state.
    /// With a credential, only calls that were signed for it are believed.
    ///
    /// # Panics
    /// If two services offer one operation.
    pub fn router<S, const N: usize>(&self, services: [&dyn AnyService; N]) -> axum::Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        match &self.inner.credential {
            Some(credential) => participant::router::believing(credential, services),
            None => participant::router(services),
        }
    }

    /// A transaction by its gid, whoever began it.
    pub fn find(&self, gid: impl AsRef<str>) -> Found {
        Found::new(self.clone(), gid.as_ref())
    }
}

/// A service that takes part, by the name of its destination; its address is the coordinator's
/// business.
#[derive(Clone, Debug)]
pub struct Participant {
    destination: Destination,
}

impl Participant {
    /// Its name among the coordinator's destinations.
    pub fn name(&self) -> &str {
        self.destination.as_str()
    }

    /// Calls an operation within the global transaction that this task carries.
    pub fn call<O: Operation>(&self, operation: O) -> Calling<O::Reply> {
        match context::current() {
            Some(transaction) => transaction.call(self, operation),
            None => Calling::failed(Error::NoTransaction { operation: O::NAME }),
        }
    }

    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }
}

/// Parses a gid where one was given.
pub(crate) fn parse_gid(text: &str) -> Result<Gid, Error> {
    Gid::new(text).map_err(|why| Error::Invalid {
        what: "gid",
        value: text.to_owned(),
        why: why.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_variables(variables: &[(&str, &str)], expected: Result<&str, &str>) {
        let variable = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        match (Wholly::from_variables(variable), expected) {
            (Ok(wholly), Ok(url)) => assert_eq!(wholly.url(), url),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (seen, expected) => panic!("{seen:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn the_environment_says_where_the_coordinator_is() {
        let url = ("WHOLLY_URL", "http://wholly:7700");
        check_variables(&[url], Ok("http://wholly:7700"));
        check_variables(&[], Err("\"WHOLLY_URL\" is not set"));
        check_variables(&[("WHOLLY_URL", "wholly")], Err("lacks http://"));
        check_variables(&[url, ("WHOLLY_ID", "")], Ok("http://wholly:7700"));
        let (id, secret) = (("WHOLLY_ID", "orders"), ("WHOLLY_SECRET", SECRET));
        check_variables(&[url, id, secret], Ok("http://wholly:7700"));
        check_variables(&[url, id], Err("\"WHOLLY_SECRET\" is not set, and WHOLLY_ID is"));
        check_variables(&[url, secret], Err("\"WHOLLY_ID\" is not set, and WHOLLY_SECRET is"));
        check_variables(&[url, ("WHOLLY_ID", "a:b"), secret], Err("no name for a credential"));
        let short = ("WHOLLY_SECRET", &SECRET[1..]);
        check_variables(&[url, id, short], Err("\"orders\" has 31 characters"));
        let three = [SECRET; 3].join(",");
        check_variables(&[url, id, ("WHOLLY_SECRET", &three)], Err("more than two"));
    }

    #[test]
    fn a_secret_goes_nowhere_in_plain_text_where_tls_is_meant() {
        let (id, secret) = (("WHOLLY_ID", "orders"), ("WHOLLY_SECRET", SECRET));
        let meant = |url: &str, name: &str, expected: Result<&str, &str>| {
            check_variables(&[("WHOLLY_URL", url), (name, ""), id, secret], Ok(url));
            check_variables(&[("WHOLLY_URL", url), (name, AUTHORITIES), id, secret], expected);
        };
        let off = Err("for which the feature `tls` of crate wholly is off");
        match cfg!(feature = "tls") {
            true => {
                meant("http://wholly", "WHOLLY_CA", Err("http:// is plain text; write https://"));
                meant("https://wholly", "WHOLLY_CA", Ok("https://wholly"));
            }
            false => {
                meant("http://wholly", "WHOLLY_CA", off);
                meant("http://wholly", "WHOLLY_CERTIFICATE", off);
                meant("http://wholly", "WHOLLY_KEY", off);
            }
        }
    }

    /// Where Debian keeps the authorities that a system believes.
    const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_secret_is_in_no_message() {
        let wholly = Wholly::new("http://wholly").unwrap().credential("orders", SECRET).unwrap();
        let shown = format!("{wholly:?}");
        assert!(shown.contains("orders") && !shown.contains(&SECRET[..8]), "{shown}");
        let short = Wholly::new("http://wholly").unwrap().credential("orders", &SECRET[1..]);
        let said = short.unwrap_err();
        let said = format!("{said} {said:?}");
        assert!(!said.contains(&SECRET[1..9]), "{said}");
    }

    #[test]
    #[should_panic(expected = "the destination \"a b\" has a character at byte 1")]
    fn a_destination_that_is_none_stops_the_start() {
        Wholly::new("http://wholly").unwrap().participant("a b");
    }
}
