//! Where the coordinator listens, parsed once.

use crate::Error;
use http::{HeaderValue, Uri};

/// The coordinator's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `host:port`, for the socket.
    pub(crate) socket: String,
    /// For the header `host`.
    pub(crate) host: HeaderValue,
    /// What stands before `/v1`; empty for most.
    pub(crate) prefix: String,
    /// As it was given, for messages.
    pub(crate) url: String,
}

impl Address {
    /// Parses `http://host[:port][/prefix]`.
    pub(crate) fn parse(url: &str) -> Result<Address, Error> {
        let wrong = |why: &str| Error::Invalid {
            what: "coordinator's URL",
            value: url.to_owned(),
            why: why.to_owned(),
        };
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL, as http://127.0.0.1:7700"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(_) => {
                let why = "is not http://; for a coordinator beyond this machine put a proxy that \
                           speaks TLS beside the service";
                return Err(wrong(why));
            }
            None => return Err(wrong("lacks http:// and a host")),
        }
        let Some(authority) = uri.authority() else { return Err(wrong("lacks a host")) };
        if authority.as_str().contains('@') {
            return Err(wrong("holds credentials, which do not belong into a URL"));
        }
        if uri.query().is_some() {
            return Err(wrong("has a query, which a coordinator's URL has not"));
        }
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| wrong("has a host that HTTP cannot carry"))?;
        Ok(Address {
            socket: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)),
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
        check("https://wholly", Err("is not http://"));
        check("127.0.0.1:7700", Err("lacks http://"));
        check("http://id:secret@wholly", Err("holds credentials"));
        check("http://wholly?a=b", Err("has a query"));
        check("", Err("is no URL"));
    }
}
