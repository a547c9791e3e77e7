//! Who may ask: by host and origin, and by credential where the configuration names any.

use crate::keyring::Keyring;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, RwLock};
use wholly_core::ids::Principal;
use wholly_wire::credential::{Role, Shown};
use wholly_wire::edge::EdgeRejection;

/// Who everybody is where nobody is known.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// By what name.
    pub principal: Principal,
    /// What it may ask; everything where nobody is known.
    pub role: Option<Role>,
}

/// Which hosts a listener answers for. A web page can make a browser on this machine send requests
/// to a loopback address, under the page's own name (DNS rebinding) or from the page's origin;
/// both are refused.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    listen: IpAddr,
    hosts: Vec<String>,
    anonymous: Principal,
    keyring: Arc<RwLock<Arc<Keyring>>>,
}

impl Access {
    /// A listener at this address, known under these names besides, for whoever is on the ring.
    pub(crate) fn new(listen: SocketAddr, hosts: &[String], keyring: Keyring) -> Access {
        Access {
            listen: listen.ip(),
            hosts: hosts.to_vec(),
            anonymous: Principal::new(ANONYMOUS).expect("a valid name"),
            keyring: Arc::new(RwLock::new(Arc::new(keyring))),
        }
    }

    /// Knows others from here on.
    pub(crate) fn replace(&self, keyring: Keyring) {
        *self.keyring.write().expect("nothing panics under this lock") = Arc::new(keyring);
    }

    /// Who is known.
    pub(crate) fn keyring(&self) -> Keyring {
        let keyring = self.keyring.read().expect("nothing panics under this lock");
        Keyring::clone(&keyring)
    }

    /// Who asks where nobody needs to be known.
    pub(crate) fn nobody(&self) -> Principal {
        self.anonymous.clone()
    }

    /// Who asks, by what it shows. Of two headers none is believed.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Asker, EdgeRejection> {
        let keyring = Arc::clone(&self.keyring.read().expect("nothing panics under this lock"));
        if keyring.is_empty() {
            return Ok(Asker { principal: self.nobody(), role: None });
        }
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let shown = match (shown.next(), shown.next()) {
            (None, _) => return Err(EdgeRejection::CredentialMissing),
            (Some(shown), None) => shown.to_str().ok().and_then(Shown::parse),
            (Some(_), Some(_)) => None,
        };
        let shown = shown.ok_or(EdgeRejection::CredentialWrong)?;
        keyring.find(&shown).ok_or(EdgeRejection::CredentialWrong)
    }

    /// Refuses requests to other hosts, and those of web pages of other hosts. The authority is
    /// that of a request line in absolute form.
    pub(crate) fn check(
        &self,
        authority: Option<&Authority>,
        headers: &HeaderMap,
    ) -> Result<(), EdgeRejection> {
        let mut hosts = headers.get_all(HOST).iter();
        let forbidden = |host: &str| EdgeRejection::HostForbidden { host: shown(host) };
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().map_err(|_| forbidden("not ASCII"))?,
            (None, _) => return Err(forbidden("")),
            (Some(_), Some(_)) => return Err(forbidden("two hosts")),
        };
        if !self.answers_for(host) {
            return Err(forbidden(host));
        }
        if let Some(authority) = authority
            && !self.answers_for(authority.as_str())
        {
            return Err(forbidden(authority.as_str()));
        }
        for origin in headers.get_all(ORIGIN) {
            let is_same = origin.to_str().is_ok_and(|origin| is_same_host(origin, host));
            if !is_same {
                let origin = shown(&String::from_utf8_lossy(origin.as_bytes()));
                return Err(EdgeRejection::OriginForbidden { origin });
            }
        }
        Ok(())
    }

    fn answers_for(&self, host: &str) -> bool {
        let Some(name) = name_of(host) else {
            return false;
        };
        let is =
            |known: &String| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host);
        if self.hosts.iter().any(is) {
            return true;
        }
        match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            // A page cannot take an address for its own name.
            Ok(address) => {
                address.is_loopback() || address == self.listen || self.listen.is_unspecified()
            }
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

/// The host without its port; none if it is not of that form.
fn name_of(host: &str) -> Option<&str> {
    if host.contains('@') {
        return None;
    }
    let authority_end = match host.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(authority_end);
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.parse::<u16>().is_ok() && !digits.starts_with('+'),
        None => port.is_empty(),
    };
    (is_port && !name.is_empty()).then_some(name)
}

fn is_same_host(origin: &str, host: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
}

/// As much as helps in a message.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listen: &str, authority: Option<&str>, headers: &[(&str, &str)]) -> String {
        let access = Access::new(
            listen.parse().unwrap(),
            &["wholly.internal".to_string()],
            Keyring::default(),
        );
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let authority = authority.map(|text| text.parse::<Authority>().unwrap());
        match access.check(authority.as_ref(), &map) {
            Ok(()) => "allowed".to_string(),
            Err(rejection) => rejection.code().to_string(),
        }
    }

    fn check_host(host: &str, expected: &str) {
        let seen = heard("127.0.0.1:7700", None, &[("host", host)]);
        assert_eq!(seen, expected, "{host}");
    }

    #[test]
    fn only_our_own_names_are_answered_for() {
        for host in [
            "localhost",
            "localhost:7700",
            "LOCALHOST:1",
            "127.0.0.1:7700",
            "127.0.0.2",
            "[::1]:7700",
            "[::1]",
            "wholly.internal",
            "Wholly.Internal:80",
        ] {
            check_host(host, "allowed");
        }
        for host in [
            "evil.example",
            "evil.example:7700",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "192.168.1.1:7700",
            "[2001:db8::1]",
            "localhost:",
            "localhost:x",
            "localhost:+1",
            "localhost:99999",
            "user@localhost",
            "[::1",
            "[::1]x",
            ":7700",
            "",
            "0x7f000001",
            "2130706433",
            "127.1",
            "::1",
            "localhost.",
        ] {
            check_host(host, "host_forbidden");
        }
    }

    #[test]
    fn a_listener_answers_for_its_own_address() {
        let check = |listen: &str, host: &str, expected: &str| {
            assert_eq!(heard(listen, None, &[("host", host)]), expected, "{listen} {host}");
        };
        check("10.0.0.5:7700", "10.0.0.5:7700", "allowed");
        check("10.0.0.5:7700", "10.0.0.6:7700", "host_forbidden");
        check("0.0.0.0:7700", "10.0.0.6:7700", "allowed");
        check("[::]:7700", "[2001:db8::1]:7700", "allowed");
        check("0.0.0.0:7700", "evil.example", "host_forbidden");
    }

    #[test]
    fn one_host_must_be_named() {
        let check = |authority: Option<&str>, headers: &[(&str, &str)], expected: &str| {
            assert_eq!(heard("127.0.0.1:7700", authority, headers), expected, "{headers:?}");
        };
        check(None, &[], "host_forbidden");
        check(None, &[("host", "localhost"), ("host", "localhost")], "host_forbidden");
        check(Some("localhost:7700"), &[("host", "localhost:7700")], "allowed");
        check(Some("evil.example"), &[("host", "localhost:7700")], "host_forbidden");
        check(Some("localhost"), &[("host", "evil.example")], "host_forbidden");
    }

    #[test]
    fn pages_of_other_hosts_are_refused() {
        let check = |origin: &str, expected: &str| {
            let headers = [("host", "localhost:7700"), ("origin", origin)];
            assert_eq!(heard("127.0.0.1:7700", None, &headers), expected, "{origin}");
        };
        check("http://localhost:7700", "allowed");
        check("https://LOCALHOST:7700", "allowed");
        check("http://localhost", "origin_forbidden");
        check("http://localhost:7701", "origin_forbidden");
        check("http://127.0.0.1:7700", "origin_forbidden");
        check("http://evil.example", "origin_forbidden");
        check("null", "origin_forbidden");
        check("", "origin_forbidden");
        check("file://", "origin_forbidden");
        let two = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "null")];
        assert_eq!(heard("127.0.0.1:7700", None, &two), "origin_forbidden");
    }
}
