//! Addresses: no spelling and no answer of a resolver leads where no call may go.
//!
//! The oracle reads a URL in a way of its own, and knows addresses by their octets.

use arbitrary::{Arbitrary, Unstructured};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use wholly_core::ids::Destination;
use wholly_server::egress::{Address, Destinations, Host, Reach, Rule, Urls};
use wholly_server::fuzzing;

/// What a resolver says, and names that meet a pattern.
#[derive(Debug, Arbitrary)]
struct Input<'a> {
    found: Vec<IpAddr>,
    name: &'a str,
    url: &'a str,
}

/// What is let through is where it may lead.
pub(crate) fn run(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    url(text);
    dev(text);
    by_pattern(text);
    if let Ok(input) = Input::arbitrary(&mut Unstructured::new(bytes)) {
        url(input.url);
        dev(input.url);
        by_pattern(input.name);
        resolved(&input.found);
    }
}

fn url(text: &str) {
    let Ok(address) = Address::parse(text) else { return };
    let (host, port, path) = taken_apart(text);
    assert_eq!(address.port, port, "{text}");
    assert_eq!(address.prefix, path.strip_suffix('/').unwrap_or(path), "{text}");
    assert!(path.bytes().all(|byte| !b"%\\?#@:".contains(&byte)), "{text}");
    assert!(path.split('/').all(|part| part != "." && part != ".."), "{text}");
    match &address.host {
        Host::Ip(IpAddr::V4(ip)) => assert_eq!(host, ip.to_string(), "{text}"),
        Host::Ip(IpAddr::V6(ip)) => assert_eq!(host, format!("[{ip}]"), "{text}"),
        Host::Name(name) => {
            assert_eq!(host, *name, "{text}");
            assert!(!is_number_to_some_resolver(name), "{text} may be read as an address");
            let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
            assert!(name.bytes().all(plain), "{text}");
        }
    }
    if let Host::Ip(ip) = address.host {
        assert!(!is_forbidden(ip), "{text} is no single host's");
        assert_eq!(ip, ip.to_canonical(), "{text} is a second spelling of an IPv4 address");
    }
    assert_eq!(Address::parse(text), Ok(address.clone()), "{text}");
    assert!(address.check(Reach::Configured).is_ok(), "{text}");
    let here = match &address.host {
        Host::Name(name) => name == "localhost",
        Host::Ip(ip) => is_here(*ip),
    };
    assert_eq!(address.check(Reach::Loopback).is_ok(), here, "{text}");
}

/// Scheme, authority and path by the first `//` and the first `/` behind it, and nothing else.
fn taken_apart(text: &str) -> (&str, u16, &str) {
    let (rest, default) = match text.strip_prefix("https://") {
        Some(rest) => (rest, 443),
        None => (text.strip_prefix("http://").expect("only these two are called"), 80),
    };
    assert!(rest.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    assert!(!rest.contains(['@', '?', '#', '\\', '%']), "{text}");
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let authority = &rest[..rest.len() - path.len()];
    let after_ip = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_ip..].find(':') {
        None => (authority, default, path),
        Some(colon) => {
            let (host, port) = authority.split_at(after_ip + colon);
            let number: u16 = port[1..].parse().expect("a port is a number");
            assert_eq!(port, format!(":{number}"), "one spelling of a port: {text}");
            assert!(number > 0, "{text}");
            (host, number, path)
        }
    }
}

/// Whether `inet_aton` would take it: one to four parts, each decimal, octal or hexadecimal.
fn is_number_to_some_resolver(name: &str) -> bool {
    let is_number = |part: &str| {
        let hexadecimal = part.strip_prefix("0x").or(part.strip_prefix("0X"));
        match hexadecimal {
            Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
            None => !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()),
        }
    };
    name.strip_suffix('.').unwrap_or(name).split('.').all(is_number)
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn four(ip: IpAddr) -> Option<[u8; 4]> {
    let octets = octets(ip);
    let (head, tail) = octets.split_at(12);
    let tail = [tail[0], tail[1], tail[2], tail[3]];
    (*head == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]).then_some(tail)
}

/// 127.0.0.0/8 and ::1, the former also where it is mapped into IPv6.
fn is_here(ip: IpAddr) -> bool {
    four(ip).is_some_and(|four| four[0] == 127) || ip == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

/// Unspecified, "this network", multicast, broadcast, reserved, of the link, a cloud's metadata;
/// so itself, or by an IPv4 address that is carried in it.
fn is_forbidden(ip: IpAddr) -> bool {
    let octets = octets(ip);
    let own = match four(ip) {
        Some(_) => false,
        None => {
            octets == [0; 16]
                || octets[0] == 0xff
                || (octets[0] == 0xfe && octets[1] & 0xc0 == 0x80)
                || CLOUDS.contains(&ip)
        }
    };
    own || carried(octets).iter().any(|four| is_forbidden_four(*four))
}

const CLOUDS: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
];

fn is_forbidden_four(four: [u8; 4]) -> bool {
    four[0] == 0
        || four[0] >= 224
        || four[..2] == [169, 254]
        || [[100, 100, 100, 200], [168, 63, 129, 16], [192, 0, 0, 192]].contains(&four)
}

/// This machine, itself or by an IPv4 address that is carried in it.
fn leads_here(ip: IpAddr) -> bool {
    is_here(ip) || carried(octets(ip)).iter().any(|four| four[0] == 127)
}

/// IPv4 addresses carried in these octets, or spelled by them.
fn carried(octets: [u8; 16]) -> Vec<[u8; 4]> {
    let at = |places: [usize; 4]| places.map(|place| octets[place]);
    let last = at([12, 13, 14, 15]);
    let starts = |prefix: &[u8]| octets.starts_with(prefix);
    if starts(&[0; 15]) && octets[15] <= 1 {
        return Vec::new();
    }
    let plain = starts(&[0; 12])
        || starts(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
        || starts(&[0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]);
    if starts(&[0, 0x64, 0xff, 0x9b, 0, 1]) {
        let both = [last, at([6, 7, 9, 10])];
        return both.into_iter().filter(|four| *four != [0; 4]).collect();
    }
    if plain || starts(&[0, 0x64, 0xff, 0x9b]) {
        return vec![last];
    }
    if starts(&[0x20, 2]) {
        return vec![at([2, 3, 4, 5])];
    }
    if starts(&[0x20, 1, 0, 0]) {
        return vec![at([4, 5, 6, 7]), last.map(|octet| !octet)];
    }
    match octets[8] & !2 == 0 && octets[9..12] == [0, 0x5e, 0xfe] {
        true => vec![last],
        false => Vec::new(),
    }
}

/// With `--dev`, a URL stands for itself if it is this machine's, and nothing else does.
fn dev(text: &str) {
    let Ok(destination) = Destination::new(text) else { return };
    let none = BTreeMap::new();
    let refused = Destinations::new(&none, Urls::Refused, 1).expect("no rule is wrong");
    assert!(refused.check(&destination).is_err(), "{text} has no name");
    let dev = Destinations::new(&none, Urls::Loopback, 1).expect("no rule is wrong");
    if let Ok((address, reach)) = fuzzing::address(&dev, &destination) {
        assert_eq!(reach, Reach::Loopback, "{text}");
        match address.host {
            Host::Name(name) => assert_eq!(name, "localhost", "{text}"),
            Host::Ip(ip) => assert!(is_here(ip), "{text}"),
        }
    }
}

/// What a pattern's star matches is one part of a name, so it leads nowhere else.
fn by_pattern(text: &str) {
    let Ok(destination) = Destination::new(text) else { return };
    let rules =
        [("svc-*", "http://*.internal:1"), ("*.pay", "http://pay/*"), ("bare-*", "http://*")];
    let rules: BTreeMap<String, Rule> =
        rules.into_iter().map(|(name, url)| (name.to_owned(), Rule::new(url))).collect();
    let Ok(table) = Destinations::new(&rules, Urls::Refused, 1) else {
        panic!("the patterns stand by themselves");
    };
    let Ok((address, _)) = fuzzing::address(&table, &destination) else { return };
    match (&address.host, address.authority.as_str()) {
        (Host::Name(name), authority) if authority.ends_with(".internal:1") => {
            assert_eq!(name.matches('.').count(), 1, "{text} leads to {name}");
        }
        (Host::Name(name), "pay") if address.prefix.len() > 1 => assert_eq!(name, "pay", "{text}"),
        (Host::Name(name), authority) => {
            assert!(name == authority && !name.contains('.'), "{text} leads to {name}");
        }
        (Host::Ip(ip), _) => panic!("{text} leads to {ip}, which no pattern says"),
    }
}

/// One address out of reach spoils them all.
fn resolved(found: &[IpAddr]) {
    let address = Address::parse("http://stock:1").expect("a URL");
    let sockets: Vec<SocketAddr> = found.iter().map(|ip| SocketAddr::new(*ip, 1)).collect();
    let mapped = |ip: &IpAddr| match ip {
        IpAddr::V4(four) => IpAddr::V6(Ipv4Addr::to_ipv6_mapped(four)),
        IpAddr::V6(six) => IpAddr::V6(*six),
    };
    for reach in [Reach::Configured, Reach::Filled, Reach::Loopback] {
        let fine = |ip: &IpAddr| match reach {
            Reach::Configured => !is_forbidden(*ip),
            Reach::Filled => !is_forbidden(*ip) && !leads_here(*ip),
            Reach::Loopback => is_here(*ip),
        };
        let expected = !found.is_empty() && found.iter().all(fine);
        let seen = fuzzing::within_reach(&address, reach, sockets.clone());
        assert_eq!(seen.is_ok(), expected, "{reach:?} {found:?}");
        let hidden = found.iter().map(|ip| SocketAddr::new(mapped(ip), 1)).collect();
        let seen = fuzzing::within_reach(&address, reach, hidden);
        assert_eq!(seen.is_ok(), expected, "{reach:?} {found:?}, mapped into IPv6");
    }
}
