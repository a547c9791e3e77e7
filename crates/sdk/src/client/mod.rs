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
}

impl Wholly {
    /// A client of the coordinator at this URL, as `http://127.0.0.1:7700`.
    pub fn new(url: &str) -> Result<Wholly, Error> {
        Wholly::with_patience(url, PATIENCE)
    }

    /// A client that repeats a request for this long while no answer comes; 20 seconds otherwise.
    pub fn with_patience(url: &str, patience: Duration) -> Result<Wholly, Error> {
        let connections = Connections::new(Address::parse(url)?);
        Ok(Wholly { inner: Arc::new(Inner { connections, patience }) })
    }

    /// A client by the environment: `WHOLLY_URL`. Credentials, `WHOLLY_ID` and `WHOLLY_SECRET`,
    /// are refused rather than passed over, since this release signs nothing.
    pub fn from_env() -> Result<Wholly, Error> {
        Wholly::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Wholly, Error> {
        for name in ["WHOLLY_ID", "WHOLLY_SECRET"] {
            if variable(name).is_some_and(|value| !value.is_empty()) {
                return Err(Error::Invalid {
                    what: "variable",
                    value: name.to_owned(),
                    why: "is set, but this release signs nothing; unset it and keep the \
                          coordinator on loopback"
                        .to_owned(),
                });
            }
        }
        match variable("WHOLLY_URL") {
            Some(url) => Wholly::new(&url),
            None => Err(Error::Invalid {
                what: "variable",
                value: "WHOLLY_URL".to_owned(),
                why: "is not set; it is the coordinator's address, as http://127.0.0.1:7700"
                    .to_owned(),
            }),
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
    ///
    /// # Panics
    /// If two services offer one operation.
    pub fn router<S, const N: usize>(&self, services: [&dyn AnyService; N]) -> axum::Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        participant::router(services)
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
        check_variables(&[url, ("WHOLLY_ID", "orders")], Err("\"WHOLLY_ID\" is set"));
        check_variables(&[url, ("WHOLLY_SECRET", "s")], Err("signs nothing"));
        check_variables(&[url, ("WHOLLY_ID", "")], Ok("http://wholly:7700"));
    }

    #[test]
    #[should_panic(expected = "the destination \"a b\" has a character at byte 1")]
    fn a_destination_that_is_none_stops_the_start() {
        Wholly::new("http://wholly").unwrap().participant("a b");
    }
}
