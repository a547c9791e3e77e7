//! Where the coordinator listens, parsed once.

use crate::Error;
use http::{HeaderValue, Uri};

/// The coordinator's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// How it is spoken to.
    pub(crate) scheme: Scheme,
    /// `host:port`, for the socket.
    pub(crate) socket: String,
    /// For the header `host`.
    pub(crate) host: HeaderValue,
    /// What stands before `/v1`; empty for most.
    pub(crate) prefix: String,
    /// As it was given, for messages.
    pub(crate) url: String,
}

/// What stands before `://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In plain text.
    Http,
    /// Within TLS, once it has proved to be this one.
    #[cfg(feature = "tls")]
    Https(wholly_tls::PeerName),
}

impl Address {
    /// Parses `http://host[:port][/prefix]`, and the same of `https://` where TLS is built in.
    pub(crate) fn parse(url: &str) -> Result<Address, Error> {
        let wrong = |why: &str| Error::Invalid {
            what: "coordinator's URL",
            value: url.to_owned(),
            why: why.to_owned(),
        };
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL, as http://127.0.0.1:7700"))?;
        let scheme = uri.scheme_str().ok_or_else(|| wrong("lacks http:// and a host"))?;
        let Some(authority) = uri.authority() else { return Err(wrong("lacks a host")) };
        if authority.as_str().contains('@') {
            return Err(wrong("holds credentials, which do not belong into a URL"));
        }
        if uri.query().is_some() {
            return Err(wrong("has a query, which a coordinator's URL has not"));
        }
        let (scheme, port) = match scheme {
            "http" => (Scheme::Http, 80),
            #[cfg(feature = "tls")]
            "https" => {
                let peer = wholly_tls::PeerName::new(authority.host());
                let peer = peer.ok_or_else(|| wrong("has a host that no certificate can name"))?;
                (Scheme::Https(peer), 443)
            }
            #[cfg(not(feature = "tls"))]
            "https" => {
                return Err(wrong(
                    "is https://, for which the feature `tls` of crate wholly is off",
                ));
            }
            _another => return Err(wrong("is neither http:// nor https://")),
        };
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| wrong("has a host that HTTP cannot carry"))?;
        Ok(Address {
            scheme,
            socket: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(port)),
            host,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            url: url.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Result<(&str, &str), &str>) {
        match (Address::parse(url), expected) {
            (Ok(address), Ok((socket, prefix))) => {
                assert_eq!((address.socket.as_str(), address.prefix.as_str()), (socket, prefix));
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{url}: {error}"),
            (seen, expected) => panic!("{url}: {seen:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn an_address_is_a_plain_http_url() {
        check("http://127.0.0.1:7700", Ok(("127.0.0.1:7700", "")));
        check("http://127.0.0.1:7700/", Ok(("127.0.0.1:7700", "")));
        check("http://[::1]:7700", Ok(("[::1]:7700", "")));
        check("http://wholly", Ok(("wholly:80", "")));
        check("http://gateway/wholly/", Ok(("gateway:80", "/wholly")));
        check("ftp://wholly", Err("is neither http:// nor https://"));
        match cfg!(feature = "tls") {
            true => check("https://wholly/a/", Ok(("wholly:443", "/a"))),
            false => check("https://wholly", Err("feature `tls` of crate wholly is off")),
        }
        check("127.0.0.1:7700", Err("lacks http://"));
        check("http://id:secret@wholly", Err("holds credentials"));
        check("http://wholly?a=b", Err("has a query"));
        check("", Err("is no URL"));
    }
}
