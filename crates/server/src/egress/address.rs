//! Where a call may go: one strict spelling of a URL, and the check of the addresses behind it.

use super::names::Names;
use super::ranges;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use wholly_tls::PeerName;

/// Longest URL in bytes; a destination's name has the same bound.
const URL_BYTES_MAX: usize = wholly_core::ids::DESTINATION_BYTES_MAX;

/// A parsed URL: host, port and path prefix, each in its one canonical spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Who is called.
    pub host: Host,
    /// At which port.
    pub port: u16,
    /// Host and port as the `host` header says them.
    pub authority: String,
    /// What stands before `/wholly/`; empty, or begins with a slash and does not end with one.
    pub prefix: String,
}

/// What stands before `://`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In plain text.
    Http,
    /// Within TLS.
    Https,
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// A host, by name or by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A DNS name in lower case.
    Name(String),
    /// An IP address in its shortest form.
    Ip(IpAddr),
}

/// Which addresses a destination may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Whatever the operator's configuration names.
    Configured,
    /// What whoever asked wrote in place of a pattern's `*`: any host but this machine.
    Filled,
    /// This machine alone: 127.0.0.0/8 and ::1.
    Loopback,
}

/// Why a text is no URL that is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Longer than a destination may be.
    TooLong,
    /// A blank, control or non-ASCII character.
    Character,
    /// Something else than `http://` and `https://`.
    Scheme,
    /// A user name or password.
    UserInfo,
    /// A query or a fragment.
    Query,
    /// No host, or one that is not in canonical form.
    Host,
    /// An IP address that is not in canonical form.
    IpSpelling,
    /// An address that is no single host's.
    IpKind,
    /// An address of the local link, or of a cloud's metadata service.
    IpPrivate,
    /// No number from 1 to 65535.
    Port,
    /// A path with escapes, dots, empty parts or odd characters.
    Path,
    /// Not this machine.
    NotLoopback,
    /// This machine, where it may not be.
    Loopback,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressError::TooLong => "is longer than 512 bytes",
            AddressError::Character => {
                "has a blank, control or non-ASCII character; write names in their ASCII form"
            }
            AddressError::Scheme => "does not begin with http:// or https://",
            AddressError::UserInfo => "has a user name or password; take it out",
            AddressError::Query => "has a query or a fragment; end it after the path",
            AddressError::Host => {
                "has no host in canonical form; use a lower-case name without a final dot, or an \
                 IP address"
            }
            AddressError::IpSpelling => {
                "has an IP address in an odd spelling; write it as 127.0.0.1 or [::1]"
            }
            AddressError::IpKind => "has an address that is no single host's; write the host's own",
            AddressError::IpPrivate => {
                "has an address of the local link or of a cloud's metadata service; no participant \
                 is called there"
            }
            AddressError::Port => "has a port that is no number from 1 to 65535",
            AddressError::Path => {
                "has a path with escapes, dots or empty parts; use letters, digits and . _ ~ -"
            }
            AddressError::NotLoopback => {
                "is not on this machine; with --dev only 127.0.0.1, [::1] and localhost are called"
            }
            AddressError::Loopback => {
                "is on this machine; the * of a pattern cannot stand for that, name the \
                 destination in full"
            }
        })
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Parses a URL. There is one spelling of each address; every other is refused, so that what
    /// was checked is what is called.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > URL_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AddressError::Character);
        }
        let schemes = [("http://", Scheme::Http), ("https://", Scheme::Https)];
        let mut split =
            schemes.iter().filter_map(|(start, scheme)| Some((scheme, text.strip_prefix(start)?)));
        let (&scheme, rest) = split.next().ok_or(AddressError::Scheme)?;
        if rest.contains(['?', '#']) {
            return Err(AddressError::Query);
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(AddressError::UserInfo);
        }
        let (host, port) = split_authority(authority)?;
        let port = port.unwrap_or(scheme.port());
        let prefix = parse_path(path)?;
        let address = Address { scheme, host, port, authority: authority.to_owned(), prefix };
        match (scheme, address.peer()) {
            (Scheme::Https, None) => Err(AddressError::Host),
            (Scheme::Https, Some(_)) | (Scheme::Http, _) => Ok(address),
        }
    }

    /// Its host as a certificate names it; none if no certificate can.
    pub(super) fn peer(&self) -> Option<PeerName> {
        match &self.host {
            Host::Name(name) => PeerName::new(name),
            Host::Ip(ip) => PeerName::new(&ip.to_string()),
        }
    }

    /// Whether the spelling alone may lead where the reach allows.
    pub fn check(&self, reach: Reach) -> Result<(), AddressError> {
        let is_here = match &self.host {
            Host::Name(name) => name == "localhost",
            Host::Ip(ip) => ranges::is_loopback(*ip),
        };
        match (reach, is_here) {
            (Reach::Configured, _) | (Reach::Filled, false) | (Reach::Loopback, true) => Ok(()),
            (Reach::Filled, true) => Err(AddressError::Loopback),
            (Reach::Loopback, false) => Err(AddressError::NotLoopback),
        }
    }

    /// Resolves the name, if it is one, to addresses that may be connected to. One address out of
    /// reach spoils them all: a name that leads elsewhere too is not to be trusted.
    pub(super) async fn resolve(
        &self,
        reach: Reach,
        names: &Names,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let found: Vec<SocketAddr> = match &self.host {
            Host::Ip(ip) => vec![SocketAddr::new(*ip, self.port)],
            Host::Name(name) => names
                .look_up(name, self.port)
                .await
                .map_err(|source| ResolveError::Lookup { name: name.clone(), source })?,
        };
        self.within_reach(reach, found)
    }

    /// What was found, if all of it may be connected to.
    pub(crate) fn within_reach(
        &self,
        reach: Reach,
        found: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        for address in &found {
            let ip = address.ip().to_canonical();
            let allowed = match reach {
                Reach::Configured => true,
                Reach::Filled => !ranges::is_loopback(ip),
                Reach::Loopback => ip.is_loopback(),
            };
            if !allowed || check_ip(ip).is_err() {
                let authority = self.authority.clone();
                return Err(ResolveError::OutOfReach { authority, ip });
            }
        }
        match found.is_empty() {
            true => Err(ResolveError::Nothing { authority: self.authority.clone() }),
            false => Ok(found),
        }
    }
}

/// Why no address was found that may be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The resolver failed.
    #[error("look up {name} failed")]
    Lookup {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The resolver knows no address.
    #[error("{authority} has no address")]
    Nothing {
        /// Host and port.
        authority: String,
    },
    /// The name leads where no call may go.
    #[error("{authority} leads to {ip}, which is not called")]
    OutOfReach {
        /// Host and port.
        authority: String,
        /// Where it leads.
        ip: IpAddr,
    },
}

/// The host, and the port if one is said.
fn split_authority(authority: &str) -> Result<(Host, Option<u16>), AddressError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inner, tail) = rest.split_once(']').ok_or(AddressError::Host)?;
            (Host::Ip(IpAddr::V6(parse_ipv6(inner)?)), tail)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            (parse_name_or_ipv4(&authority[..end])?, &authority[end..])
        }
    };
    match port.strip_prefix(':') {
        Some(digits) => Ok((host, Some(parse_port(digits)?))),
        None if port.is_empty() => Ok((host, None)),
        None => Err(AddressError::Host),
    }
}

fn parse_port(digits: &str) -> Result<u16, AddressError> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    match digits.parse() {
        Ok(port) if plain => Ok(port),
        Ok(_) | Err(_) => Err(AddressError::Port),
    }
}

fn parse_ipv6(text: &str) -> Result<Ipv6Addr, AddressError> {
    let ip: Ipv6Addr = text.parse().map_err(|_| AddressError::IpSpelling)?;
    // An IPv4 address inside an IPv6 one is a second spelling of the same host.
    if ip.to_string() != text || ranges::carries_ipv4(ip) {
        return Err(AddressError::IpSpelling);
    }
    check_ip(IpAddr::V6(ip)).map(|()| ip)
}

/// Refuses addresses to which no call goes, however they were come by.
fn check_ip(ip: IpAddr) -> Result<(), AddressError> {
    if ranges::is_nobodys(ip) {
        return Err(AddressError::IpKind);
    }
    match ranges::is_private_to_machine(ip) {
        true => Err(AddressError::IpPrivate),
        false => Ok(()),
    }
}

fn parse_name_or_ipv4(text: &str) -> Result<Host, AddressError> {
    let last = text.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    let ends_in_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    // Resolvers read such a host as an IPv4 address in one of many spellings (inet_aton).
    if ends_in_number && !last.is_empty() {
        let ip: Ipv4Addr = text.parse().map_err(|_| AddressError::IpSpelling)?;
        return check_ip(IpAddr::V4(ip)).map(|()| Host::Ip(IpAddr::V4(ip)));
    }
    match text.len() <= 253 && text.split('.').all(wholly_core::driver::is_label) {
        true => Ok(Host::Name(text.to_owned())),
        false => Err(AddressError::Host),
    }
}

fn parse_path(path: &str) -> Result<String, AddressError> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let Some(parts) = path.strip_prefix('/') else {
        return Ok(String::new());
    };
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    for part in parts.split('/') {
        if part.is_empty() || part == "." || part == ".." || !part.bytes().all(plain) {
            return Err(AddressError::Path);
        }
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, reach: Reach, expected: Result<(&str, u16, &str), AddressError>) {
        let parsed = Address::parse(text).and_then(|address| {
            address.check(reach)?;
            Ok((address.authority, address.port, address.prefix))
        });
        let parsed =
            parsed.as_ref().map(|(host, port, path)| (host.as_str(), *port, path.as_str()));
        assert_eq!(parsed, expected.as_ref().map(|seen| *seen), "{text}");
    }

    #[test]
    fn one_spelling_of_each_address_is_read() {
        let ok = |text, host, port, path| check(text, Reach::Configured, Ok((host, port, path)));
        ok("http://stock:8080", "stock:8080", 8080, "");
        ok("http://stock", "stock", 80, "");
        ok("http://stock/", "stock", 80, "");
        ok("http://my_stock.shop.internal:1/a/b.c/", "my_stock.shop.internal:1", 1, "/a/b.c");
        ok("http://10.0.0.7:65535/v1", "10.0.0.7:65535", 65535, "/v1");
        ok("http://[2001:db8::7]:9", "[2001:db8::7]:9", 9, "");
        ok("http://[::1]/x", "[::1]", 80, "/x");
        ok("http://3com.example", "3com.example", 80, "");
        ok("https://stock", "stock", 443, "");
        ok("https://my_stock.shop.internal:8443/a/", "my_stock.shop.internal:8443", 8443, "/a");
        ok("https://10.0.0.7", "10.0.0.7", 443, "");
        ok("https://[2001:db8::7]:9", "[2001:db8::7]:9", 9, "");
    }

    #[test]
    fn with_dev_only_this_machine_is_reached() {
        check("http://127.0.0.1:8080", Reach::Loopback, Ok(("127.0.0.1:8080", 8080, "")));
        check("http://127.9.8.7:8080", Reach::Loopback, Ok(("127.9.8.7:8080", 8080, "")));
        check("http://[::1]:8080", Reach::Loopback, Ok(("[::1]:8080", 8080, "")));
        check("http://localhost:8080", Reach::Loopback, Ok(("localhost:8080", 8080, "")));
        for far in ["10.0.0.1", "192.168.1.1", "128.0.0.1", "[fd00::1]", "stock"] {
            check(&format!("http://{far}"), Reach::Loopback, Err(AddressError::NotLoopback));
        }
    }

    #[test]
    fn every_other_spelling_is_refused() {
        use AddressError::{
            Character, Host, IpKind, IpPrivate, IpSpelling, Path, Port, Query, Scheme, TooLong,
            UserInfo,
        };
        let long = format!("http://stock/{}", "a".repeat(URL_BYTES_MAX));
        let table = [
            (long.as_str(), TooLong),
            ("", Scheme),
            ("stock", Scheme),
            ("//stock", Scheme),
            ("HTTP://stock", Scheme),
            ("ftp://stock", Scheme),
            ("file:///etc/passwd", Scheme),
            ("gopher://stock", Scheme),
            ("HTTPS://stock", Scheme),
            ("https:/stock", Scheme),
            ("http:/stock", Scheme),
            ("http:\\\\stock", Scheme),
            ("http://", Host),
            ("http:///", Host),
            ("http:///stock", Host),
            ("http://:80", Host),
            ("http://stock:", Port),
            ("http://stock:0", Port),
            ("http://stock:080", Port),
            ("http://stock:65536", Port),
            ("http://stock:+80", Port),
            ("http://stock:80:80", Port),
            ("http://stock:8o", Port),
            ("http://user@stock", UserInfo),
            ("http://user:word@stock", UserInfo),
            ("http://stock@evil.example", UserInfo),
            ("http://stock:80@evil.example", UserInfo),
            ("http://@stock", UserInfo),
            ("http://stock?x", Query),
            ("http://stock/#x", Query),
            ("http://evil.example#@stock", Query),
            ("http://stock\\@evil.example", UserInfo),
            ("http://stock\\evil", Host),
            ("http://st ock", Character),
            ("http://stock\t", Character),
            ("http://stock\r\nx: y", Character),
            ("http://stock\0", Character),
            ("http://st\u{f6}ck", Character),
            ("http://\u{2488}27.0.0.1", Character),
            ("http://\u{ff11}27.0.0.1", Character),
            ("http://Stock", Host),
            ("http://stock.", Host),
            ("http://.stock", Host),
            ("http://a..b", Host),
            ("http://-stock", Host),
            ("http://stock-", Host),
            ("http://st%6fck", Host),
            ("http://st*ck", Host),
            ("http://127.1", IpSpelling),
            ("http://127.0.1", IpSpelling),
            ("http://2130706433", IpSpelling),
            ("http://0x7f000001", IpSpelling),
            ("http://0x7f.0.0.1", IpSpelling),
            ("http://0X7F.0.0.0X1", IpSpelling),
            ("http://0177.0.0.1", IpSpelling),
            ("http://127.0.0.01", IpSpelling),
            ("http://127.0.0.1.", Host),
            ("http://127.0.0.256", IpSpelling),
            ("http://1.2.3.4.5", IpSpelling),
            ("http://0.0.0.0", IpKind),
            ("http://0.1.2.3", IpKind),
            ("http://255.255.255.255", IpKind),
            ("http://224.0.0.1", IpKind),
            ("http://240.0.0.1", IpKind),
            ("http://169.254.169.254", IpPrivate),
            ("http://100.100.100.200", IpPrivate),
            ("http://[fe80::1]", IpPrivate),
            ("http://[fd00:ec2::254]", IpPrivate),
            ("http://[2001:0:102:304::80ff:fffe]", IpSpelling),
            ("http://[::]", IpKind),
            ("http://[ff02::1]", IpKind),
            ("http://[::1", Host),
            ("http://::1", Host),
            ("http://[::1]x", Host),
            ("http://[0:0:0:0:0:0:0:1]", IpSpelling),
            ("http://[::0001]", IpSpelling),
            ("http://[::ffff:127.0.0.1]", IpSpelling),
            ("http://[::ffff:7f00:1]", IpSpelling),
            ("http://[::127.0.0.1]", IpSpelling),
            ("http://[64:ff9b::7f00:1]", IpSpelling),
            ("http://[2002:7f00:1::]", IpSpelling),
            ("http://[fe80::1%25eth0]", IpSpelling),
            ("http://[fe80::1%eth0]", IpSpelling),
            ("http://[127.0.0.1]", IpSpelling),
            ("http://[2001:DB8::7]", IpSpelling),
            ("http://stock//x", Path),
            ("http://stock/./x", Path),
            ("http://stock/../x", Path),
            ("http://stock/%2e%2e/x", Path),
            ("http://stock/a//", Path),
            ("http://stock/a;b", Path),
            ("http://stock/a\\b", Path),
            ("http://stock//", Path),
        ];
        for (text, error) in table {
            if let Some(rest) = text.strip_prefix("http://") {
                check(&format!("https://{rest}"), Reach::Configured, Err(error.clone()));
            }
            check(text, Reach::Configured, Err(error));
        }
    }

    #[tokio::test]
    async fn an_address_out_of_reach_is_not_resolved_to() {
        let address = Address::parse("http://10.0.0.1").unwrap();
        let refused = address.resolve(Reach::Loopback, &Names::default()).await;
        assert!(matches!(refused, Err(ResolveError::OutOfReach { .. })));
        let local = Address::parse("http://localhost:7").unwrap();
        let found = local.resolve(Reach::Loopback, &Names::default()).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
    }
}
