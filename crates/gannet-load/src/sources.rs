//! Source addresses: one address has ports for so many connections to one target, and many connections take many.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// The most connections from one source address: what fits into the ports that Linux gives by default, with room to spare.
const CONNECTIONS_PER_SOURCE: u32 = 20_000;

/// The most connections from one loopback address. There are plenty of these, and connect tries every even port before
/// the first odd one: from about 14,000 connections on, each would look through all of them.
const CONNECTIONS_PER_LOOPBACK: u32 = 10_000;

/// Ports for connections that Linux has by default: 32768 to 60999.
pub const DEFAULT_PORTS: u32 = 28_232;

/// The most addresses that are used: far more than 4 million connections need.
const MOST_ADDRESSES: usize = 65_536;

/// Chooses the source addresses of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// As many loopback addresses as are needed, or the machine's own.
    Auto,
    /// The addresses of these networks.
    Networks(Vec<IpNet>),
}

/// A text that names no source addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither an address nor a network: write 127.0.0.0/16, 10.0.0.5 or fd00::/120, several with commas between, or auto"
)]
pub struct NoSources(String);

impl FromStr for Sources {
    type Err = NoSources;

    fn from_str(text: &str) -> Result<Self, NoSources> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let network = |item: &str| {
            let item = item.trim();
            let network = item.parse().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| NoSources(item.to_owned()))
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self::Networks)
    }
}

/// Returns the addresses of some networks, each once, no more than there are connections. Of an IPv4 network its first
/// and its last address are left out, which name the network itself and everybody in it.
#[must_use]
pub fn addresses(networks: &[IpNet], connections: u32) -> Vec<IpAddr> {
    let mut seen = HashSet::new();
    let all = networks.iter().flat_map(IpNet::hosts).filter(|address| seen.insert(*address));
    all.take(MOST_ADDRESSES.min(connections as usize)).collect()
}

/// As many addresses of the IPv4 loopback network as connections need, where the system has so many ports for each.
#[must_use]
pub fn loopback(connections: u32, ports: u32) -> Vec<IpAddr> {
    // Half of those that connect tries first, for the same reason as above.
    let each = (ports / 8 * 3).clamp(1, CONNECTIONS_PER_LOOPBACK);
    let address = |index| IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + index));
    (0..connections.div_ceil(each).max(1)).map(address).collect()
}

/// Connections that one source address is good for, where the system has so many ports for each: a quarter is left to
/// others.
#[must_use]
pub fn per_source(ports: u32) -> u32 {
    (ports / 4 * 3).clamp(1, CONNECTIONS_PER_SOURCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: u32 = DEFAULT_PORTS;

    fn of(text: &str, connections: u32) -> Vec<String> {
        match text.parse().expect(text) {
            Sources::Auto => Vec::new(),
            Sources::Networks(networks) => addresses(&networks, connections).iter().map(IpAddr::to_string).collect(),
        }
    }

    #[test]
    fn addresses_and_networks_are_read_in_a_list() {
        assert_eq!("auto".parse(), Ok(Sources::Auto));
        assert_eq!(of("10.0.0.5", 9), ["10.0.0.5"]);
        assert_eq!(
            of("10.0.0.0/30, 10.0.0.8/31,fd00::1", 9),
            ["10.0.0.1", "10.0.0.2", "10.0.0.8", "10.0.0.9", "fd00::1"]
        );
        assert_eq!(of("fd00::/126", 9).len(), 4);
    }

    #[test]
    fn what_is_neither_is_refused_by_name() {
        for text in
            ["", "10.0.0.0/33", "fd00::/129", "10.0.0", "localhost", "10.0.0.1,,10.0.0.2", "10.0.0.1:80", "AUTO"]
        {
            let error = text.parse::<Sources>().expect_err(text).to_string();
            assert!(error.contains("is neither an address nor a network") && error.contains("127.0.0.0/16"), "{error}");
        }
    }

    #[test]
    fn an_address_that_is_named_twice_is_used_once_and_no_more_than_there_are_connections() {
        assert_eq!(of("127.0.0.1,127.0.0.1,127.0.0.0/29", 100).len(), 6);
        assert_eq!(of("127.0.0.0/16", 200).len(), 200);
        assert_eq!(of("fd00::/64", u32::MAX).len(), MOST_ADDRESSES);
    }

    #[test]
    fn connections_are_spread_so_that_each_address_has_ports_for_its_share() {
        assert_eq!(loopback(1, PORTS).len(), 1);
        assert_eq!(loopback(10_001, PORTS).len(), 2);
        assert_eq!(loopback(4_000_000, PORTS).len(), 400);
        assert_eq!(loopback(1_000, 800).len(), 4);
        assert_eq!(loopback(3, 0).len(), 3);
        assert_eq!(per_source(PORTS), 20_000);
        assert_eq!(per_source(1_000), 750);
        assert_eq!(per_source(64_512), 20_000);
    }
}
