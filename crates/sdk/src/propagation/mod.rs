//! Propagation: a request takes the global transaction along, to hosts that were named.
//!
//! Gid, capability and remaining time travel as headers. Whoever holds the capability may commit
//! and abort, so it goes to no host that is not named.

mod carry;
mod join;
#[cfg(feature = "reqwest")]
mod reqwest;

pub use carry::Carry;
pub use join::{Join, JoinLayer};

use crate::client::Wholly;
use crate::context;
use crate::transaction::Transaction;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use std::fmt;
use std::sync::Arc;
use wholly_wire::headers;

impl Wholly {
    /// A layer for a service's requests that come in: it joins the global transaction that they
    /// bring. Tower's services take it, axum's and tonic's among them.
    pub fn join_layer(&self) -> JoinLayer {
        JoinLayer::new(self.clone())
    }

    /// What takes the global transaction of a task along with requests that go out, to these
    /// hosts only: a tower layer, and a middleware of reqwest.
    ///
    /// A host is `name` for each of its ports, or `name:port`. A client that follows redirects
    /// would carry the capability along: switch that off for it.
    pub fn propagate_to<H: AsRef<str>>(&self, hosts: impl IntoIterator<Item = H>) -> Propagation {
        let hosts = hosts.into_iter().map(|host| host.as_ref().to_ascii_lowercase()).collect();
        Propagation { hosts }
    }
}

/// Takes the global transaction of a task along with its requests.
#[derive(Clone)]
pub struct Propagation {
    hosts: Arc<[String]>,
}

impl fmt::Debug for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Propagation").field(&self.hosts).finish()
    }
}

impl Propagation {
    /// Adds the headers, if the task carries a transaction and the request goes to a named host.
    fn apply(&self, uri: &Uri, headers: &mut HeaderMap) {
        let Some(transaction) = context::current() else { return };
        let authority = match uri.authority() {
            Some(authority) => Some(authority.as_str().to_owned()),
            None => {
                headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned)
            }
        };
        if authority.is_some_and(|authority| self.names(&authority, uri.scheme_str())) {
            carry(&transaction, headers);
        }
    }

    fn names(&self, authority: &str, scheme: Option<&str>) -> bool {
        let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
        let host = authority.host().to_ascii_lowercase();
        let port = authority.port_u16().unwrap_or(match scheme {
            Some("https") => 443,
            Some(_) | None => 80,
        });
        let whole = format!("{host}:{port}");
        self.hosts.iter().any(|named| *named == host || *named == whole)
    }
}

fn carry(transaction: &Transaction, headers: &mut HeaderMap) {
    let open = transaction.open();
    let left = transaction.remaining().as_millis().to_string();
    let pairs = [
        (headers::GID, open.gid.as_str()),
        (headers::CAPABILITY, open.capability.as_str()),
        (headers::TIMEOUT_MS, left.as_str()),
    ];
    for (name, value) in pairs {
        // A gid and a number always fit; a capability is the coordinator's own text.
        let Ok(mut value) = HeaderValue::from_str(value) else { continue };
        value.set_sensitive(name == headers::CAPABILITY);
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(named: &[&str], uri: &str, expected: bool) {
        let wholly = Wholly::new("http://127.0.0.1:7700").unwrap();
        let uri: Uri = uri.parse().unwrap();
        let authority = uri.authority().unwrap().as_str();
        let seen = wholly.propagate_to(named).names(authority, uri.scheme_str());
        assert_eq!(seen, expected, "{named:?} {uri}");
    }

    #[test]
    fn only_named_hosts_are_told() {
        check(&["points"], "http://points/deduct", true);
        check(&["points"], "http://points:8080/deduct", true);
        check(&["Points"], "http://POINTS/deduct", true);
        check(&["points:8080"], "http://points:8080/deduct", true);
        check(&["points:8080"], "http://points:8081/deduct", false);
        check(&["points:80"], "http://points/deduct", true);
        check(&["points:443"], "https://points/deduct", true);
        check(&["points:80"], "https://points/deduct", false);
        check(&["[::1]:8080"], "http://[::1]:8080/", true);
        check(&["points"], "http://points.evil.example/", false);
        check(&["points"], "http://evil.example/points", false);
        check(&["points"], "http://points@evil.example/", false);
        check(&[], "http://points/", false);
    }
}
