//! Addresses by their kind: which are one host's, which are this machine's, which no call goes to.
//!
//! An IPv6 address can carry an IPv4 one, which a translator or a tunnel on the way delivers to:
//! what must not be called as one may not be called as the other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata services of clouds that lie outside the link-local range. They give the machine's own
/// credentials to whoever asks from it.
const METADATA: [IpAddr; 6] = [
    // Alibaba, Azure, Oracle.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Amazon, Google, Scaleway.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
];

/// Whether any address, itself or carried in it, is so.
fn any(ip: IpAddr, is_so: fn(IpAddr) -> bool) -> bool {
    let carried = match ip {
        IpAddr::V4(_) => [None, None],
        IpAddr::V6(six) => carried(six),
    };
    is_so(ip) || carried.into_iter().flatten().any(|four| is_so(IpAddr::V4(four)))
}

/// No single host's: unspecified, of "this network", multicast, broadcast, reserved.
pub(super) fn is_nobodys(ip: IpAddr) -> bool {
    any(ip, |ip| match ip {
        IpAddr::V4(four) => four.octets()[0] == 0 || four.octets()[0] >= 224,
        IpAddr::V6(six) => six.is_unspecified() || six.is_multicast(),
    })
}

/// Of the link alone, or the metadata service of a cloud: no participant lives there, and a name
/// that leads there was made to.
pub(super) fn is_private_to_machine(ip: IpAddr) -> bool {
    any(ip, |ip| match ip {
        IpAddr::V4(four) => four.is_link_local() || METADATA.contains(&ip),
        IpAddr::V6(six) => six.is_unicast_link_local() || METADATA.contains(&ip),
    })
}

/// This machine's own.
pub(super) fn is_loopback(ip: IpAddr) -> bool {
    any(ip, |ip| ip.is_loopback())
}

/// Whether an IPv4 address is carried in it, which makes it a second spelling of that host.
pub(super) fn carries_ipv4(ip: Ipv6Addr) -> bool {
    carried(ip).into_iter().any(|four| four.is_some())
}

/// The IPv4 addresses in mapped, compatible, translated (SIIT, NAT64), 6to4, Teredo and ISATAP
/// addresses.
fn carried(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let four = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        [0, 0, 0, 0, 0, 0 | 0xffff, a, b] | [0, 0, 0, 0, 0xffff, 0, a, b] => [four(a, b), None],
        // The prefix that everybody knows, and the one for local use, of 48 bits (RFC 6052 leaves
        // the bits 64 to 71 out) or cut longer.
        [0x64, 0xff9b, 1, high, middle, low, a, b] => {
            let places = [four(a, b), four(high, (middle << 8) | (low >> 8))];
            // Noughts are what fills up a prefix of the other length.
            places.map(|place| place.filter(|four| !four.is_unspecified()))
        }
        [0x64, 0xff9b, .., a, b] => [four(a, b), None],
        [0x2002, a, b, ..] => [four(a, b), None],
        // The server, and the client with its bits turned over.
        [0x2001, 0, a, b, _, _, c, d] => [four(a, b), four(!c, !d)],
        [.., 0 | 0x200, 0x5efe, a, b] => [four(a, b), None],
        _other_segments => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> [bool; 3] {
        let ip = text.parse().unwrap();
        [is_nobodys(ip), is_private_to_machine(ip), is_loopback(ip)]
    }

    #[test]
    fn an_address_is_what_it_carries() {
        let (nobodys, private, loopback) =
            ([true, false, false], [false, true, false], [false, false, true]);
        for (text, expected) in [
            ("10.0.0.1", [false; 3]),
            ("100.64.0.1", [false; 3]),
            ("fd00::1", [false; 3]),
            ("2001:db8::1", [false; 3]),
            ("64:ff9b::a00:1", [false; 3]),
            ("0.0.0.0", nobodys),
            ("0.1.2.3", nobodys),
            ("224.0.0.1", nobodys),
            ("240.0.0.1", nobodys),
            ("255.255.255.255", nobodys),
            ("::", nobodys),
            ("ff02::1", nobodys),
            ("64:ff9b::e000:1", nobodys),
            ("169.254.169.254", private),
            ("169.254.0.0", private),
            ("100.100.100.200", private),
            ("fe80::1", private),
            ("febf::1", private),
            ("fd00:ec2::254", private),
            ("::ffff:169.254.169.254", private),
            ("::169.254.169.254", private),
            ("::ffff:0:169.254.169.254", private),
            ("64:ff9b::169.254.169.254", private),
            ("64:ff9b:1::169.254.169.254", private),
            ("64:ff9b:1:a9fe:a9:fe00::", private),
            ("2002:a9fe:a9fe::1", private),
            ("2001:0:a9fe:a9fe::", [true, true, false]),
            ("2001:0:102:304::5601:5601", private),
            ("2001:db8::5efe:a9fe:a9fe", private),
            ("2001:db8::200:5efe:169.254.169.254", private),
            ("127.0.0.1", loopback),
            ("127.255.255.255", loopback),
            ("::1", loopback),
            ("::ffff:127.0.0.1", loopback),
            ("64:ff9b::127.0.0.1", loopback),
            ("2002:7f00:1::", loopback),
            ("2001:0:102:304::80ff:fffe", loopback),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }
}
