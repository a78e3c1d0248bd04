//! From where a request comes: the peer, or what the proxies that we trust have seen.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// One IPv6 customer has at least this much; whoever has it can take any address in it.
const IPV6_CUSTOMER_BITS: u32 = 64;

/// The address of the client. Each of `trusted_hops` proxies appends the address that it saw to `X-Forwarded-For`, so
/// the client is that many places from the right; everything further left the caller wrote himself. With too few
/// entries the request came around a proxy, and the peer is all that is known.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted_hops: usize) -> IpAddr {
    let peer = peer.to_canonical();
    if trusted_hops == 0 {
        return peer;
    }
    headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .rev()
        // A line that is not text still is a place in the list.
        .flat_map(|line| line.to_str().unwrap_or_default().rsplit(','))
        .nth(trusted_hops - 1)
        .and_then(parse)
        .unwrap_or(peer)
}

/// The address as a key for limits: IPv6 addresses of one /64 are one caller.
#[must_use]
pub fn limit_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> IPV6_CUSTOMER_BITS << IPV6_CUSTOMER_BITS;
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

/// Some proxies write ports and brackets.
fn parse(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    entry
        .parse::<IpAddr>()
        .or_else(|_| entry.parse::<std::net::SocketAddr>().map(|addr| addr.ip()))
        .or_else(|_| entry.trim_matches(['[', ']']).parse())
        .ok()
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seen(lines: &[&str], hops: usize) -> IpAddr {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        client_address(address("10.0.0.1"), &headers, hops)
    }

    #[test]
    fn without_trusted_proxies_the_header_is_not_believed() {
        assert_eq!(seen(&["1.1.1.1"], 0), address("10.0.0.1"));
    }

    #[test]
    fn hops_are_counted_from_the_right_so_that_a_caller_cannot_choose_his_address() {
        let forged = "6.6.6.6, 203.0.113.9, 192.0.2.2";
        assert_eq!(seen(&[forged], 1), address("192.0.2.2"));
        assert_eq!(seen(&[forged], 2), address("203.0.113.9"));
        assert_eq!(
            seen(&["6.6.6.6, 203.0.113.9", "192.0.2.2"], 2),
            address("203.0.113.9")
        );
    }

    #[test]
    fn with_too_few_or_unreadable_entries_the_peer_counts() {
        assert_eq!(seen(&["203.0.113.9"], 2), address("10.0.0.1"));
        assert_eq!(seen(&[], 1), address("10.0.0.1"));
        assert_eq!(seen(&["unknown"], 1), address("10.0.0.1"));
    }

    #[test]
    fn ports_and_brackets_are_understood() {
        assert_eq!(seen(&["203.0.113.9:5000"], 1), address("203.0.113.9"));
        assert_eq!(seen(&["[2001:db8::1]:443"], 1), address("2001:db8::1"));
        assert_eq!(seen(&["[2001:db8::1]"], 1), address("2001:db8::1"));
    }

    #[test]
    fn all_addresses_of_one_ipv6_network_are_one_caller() {
        assert_eq!(
            limit_key(address("2001:db8:1:2:aaaa::1")),
            limit_key(address("2001:db8:1:2:ffff:9:8:7"))
        );
        assert_ne!(
            limit_key(address("2001:db8:1:2::1")),
            limit_key(address("2001:db8:1:3::1"))
        );
        assert_eq!(limit_key(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
