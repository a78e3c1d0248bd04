//! Which addresses are the internet, and which are somebody's house.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

/// An address that nobody outside may send us to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {what} and not in WAYBILL_WEBHOOK_ALLOW_NETS")]
pub struct NotPublic {
    /// The address.
    pub address: IpAddr,
    /// What kind it is.
    pub what: &'static str,
}

/// Networks that may be called although they are private.
#[derive(Clone, Default)]
pub struct Nets(Arc<[IpNet]>);

impl Nets {
    /// These.
    #[must_use]
    pub fn new(nets: &[IpNet]) -> Self {
        Self(nets.into())
    }

    /// Whether the operator allows this address by name.
    pub(super) fn allow(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }
}

impl fmt::Debug for Nets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

/// What hinders a call to this address, if it is not one of the internet.
pub(super) fn not_public(address: IpAddr) -> Option<NotPublic> {
    let what = match address {
        IpAddr::V4(v4) => kind_of_v4(v4),
        IpAddr::V6(v6) => kind_of_v6(v6),
    };
    what.map(|what| NotPublic { address, what })
}

/// A name for what is not of the internet: the special-purpose registry of IANA, and what clouds keep for themselves.
fn kind_of_v4(address: Ipv4Addr) -> Option<&'static str> {
    let what = match address.octets() {
        [0, ..] => "unspecified",
        [127, ..] => "loopback",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "private",
        [100, 64..=127, ..] => "shared by a provider's customers",
        // Where every cloud but a few has its metadata.
        [169, 254, ..] => "link-local",
        // Oracle's metadata is among them.
        [192, 0, 0, _] => "kept for protocols",
        [192, 88, 99, _] => "a relay between protocols",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "kept for documents",
        [198, 18..=19, ..] => "kept for measurements",
        [224..=239, ..] => "multicast",
        [240..=255, ..] => "reserved",
        // Azure's platform, which looks like any other address.
        [168, 63, 129, 16] => "a cloud's metadata",
        _ => return None,
    };
    Some(what)
}

/// Only 2000::/3 is the internet, and not all of it. What carries an IPv4 address inside is not called by that way, for
/// then one rule would have to hold for two addresses; but for NAT64, which is how hosts without IPv4 reach it.
fn kind_of_v6(address: Ipv6Addr) -> Option<&'static str> {
    let what = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => "unspecified",
        [0, 0, 0, 0, 0, 0, 0, 1] => "loopback",
        [0, 0, 0, 0, 0, 0xffff, ..] => "an IPv4 address in IPv6 form",
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            return kind_of_v4(Ipv4Addr::new(a, b, c, d));
        }
        [0x64, 0xff9b, ..] => "a private translation to IPv4",
        [0, ..] => "reserved",
        [0xfc00..=0xfdff, ..] => "private",
        [0xfe80..=0xfebf, ..] => "link-local",
        [0xfec0..=0xfeff, ..] => "site-local",
        [0xff00..=0xffff, ..] => "multicast",
        [0x2001, 0..=0x1ff, ..] => "kept for protocols",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => "kept for documents",
        [0x2002, ..] => "a relay between protocols",
        [0x2000..=0x3fff, ..] => return None,
        _ => "reserved",
    };
    Some(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(text: &str) -> Option<&'static str> {
        not_public(text.parse().unwrap()).map(|not| not.what)
    }

    #[test]
    fn addresses_of_the_internet_may_be_called() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:80f::200e",
            "2001:200::1",
            // An address of IPv4's internet, as a host without IPv4 sees it.
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(what(public), None, "{public}");
        }
    }

    #[test]
    fn addresses_of_a_house_a_provider_or_a_cloud_may_not() {
        for (address, kind) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("10.0.0.1", "private"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.1.1", "private"),
            ("100.64.0.1", "shared by a provider's customers"),
            ("100.100.100.200", "shared by a provider's customers"),
            ("169.254.169.254", "link-local"),
            ("169.254.170.2", "link-local"),
            ("192.0.0.192", "kept for protocols"),
            ("168.63.129.16", "a cloud's metadata"),
            ("192.0.2.1", "kept for documents"),
            ("198.51.100.7", "kept for documents"),
            ("203.0.113.7", "kept for documents"),
            ("198.18.0.1", "kept for measurements"),
            ("192.88.99.1", "a relay between protocols"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.250", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "reserved"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "an IPv4 address in IPv6 form"),
            ("::ffff:8.8.8.8", "an IPv4 address in IPv6 form"),
            ("::127.0.0.1", "reserved"),
            ("64:ff9b::127.0.0.1", "loopback"),
            ("64:ff9b::169.254.169.254", "link-local"),
            ("64:ff9b:1::8.8.8.8", "a private translation to IPv4"),
            ("100::1", "reserved"),
            ("fc00::1", "private"),
            ("fd00:ec2::254", "private"),
            ("fe80::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
            ("2001::1", "kept for protocols"),
            ("2001:db8::1", "kept for documents"),
            ("3fff::1", "kept for documents"),
            ("2002:7f00:1::", "a relay between protocols"),
            ("4000::1", "reserved"),
        ] {
            assert_eq!(what(address), Some(kind), "{address}");
        }
    }

    #[test]
    fn an_allowed_network_is_allowed_in_its_own_form_only() {
        let nets = Nets::new(&["127.0.0.0/8".parse().unwrap()]);
        assert!(nets.allow("127.0.0.1".parse().unwrap()));
        assert!(!nets.allow("::1".parse().unwrap()));
        assert!(!nets.allow("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!nets.allow("10.0.0.1".parse().unwrap()));
        assert!(!Nets::default().allow("127.0.0.1".parse().unwrap()));
    }
}
