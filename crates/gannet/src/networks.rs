//! Networks with a value each, and which of them an address is in: the longest prefix counts.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Networks of both families. An IPv4 address that is mapped to IPv6 is one of IPv4.
#[derive(Debug)]
pub(crate) struct Networks<T> {
    v4: Ranges<T>,
    v6: Ranges<T>,
}

impl<T: Copy> Networks<T> {
    /// Where a network comes twice, the later value counts.
    pub(crate) fn new(networks: impl IntoIterator<Item = (IpNet, T)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (network, value) in networks {
            match canonical(network) {
                IpNet::V4(network) => v4.push((bits(network.network()), bits(network.broadcast()), value)),
                IpNet::V6(network) => {
                    v6.push((network.network().to_bits(), network.broadcast().to_bits(), value));
                }
            }
        }
        Self { v4: Ranges::new(v4), v6: Ranges::new(v6) }
    }

    /// The value of the smallest network that an address is in.
    pub(crate) fn find(&self, ip: IpAddr) -> Option<T> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.find(bits(ip)),
            IpAddr::V6(ip) => self.v6.find(ip.to_bits()),
        }
    }
}

fn bits(ip: std::net::Ipv4Addr) -> u128 {
    ip.to_bits().into()
}

/// A network without the bits behind its prefix, and as one of IPv4 where it is that.
pub(crate) fn canonical(network: IpNet) -> IpNet {
    let network = network.trunc();
    let mapped = match network {
        IpNet::V6(v6) => v6.network().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    mapped.and_then(|(ip, length)| Ipv4Net::new(ip, length).ok()).map_or(network, IpNet::V4)
}

/// Addresses in order, each with the value that holds from there to the next.
#[derive(Debug)]
struct Ranges<T>(Box<[(u128, Option<T>)]>);

impl<T: Copy> Ranges<T> {
    /// Of networks, by their first and last addresses. Two of them are apart, or one is in the other.
    fn new(mut networks: Vec<(u128, u128, T)>) -> Self {
        // The outer one first.
        networks.sort_by_key(|(first, last, _)| (*first, Reverse(*last)));
        let mut starts: Vec<(u128, Option<T>)> = Vec::with_capacity(2 * networks.len());
        // What begins at the same address is more exact, or holds where something smaller has ended.
        let mut begin = |at, value| match starts.last_mut() {
            Some((last, previous)) if *last == at => *previous = value,
            _ => starts.push((at, value)),
        };
        // Those that the place is in, the inner one last.
        let mut around: Vec<(u128, T)> = Vec::new();
        for (first, last, value) in networks {
            while let Some((end, _)) = around.pop_if(|(end, _)| *end < first) {
                begin(end + 1, around.last().map(|(_, value)| *value));
            }
            begin(first, Some(value));
            around.push((last, value));
        }
        while let Some((end, _)) = around.pop() {
            if let Some(next) = end.checked_add(1) {
                begin(next, around.last().map(|(_, value)| *value));
            }
        }
        Self(starts.into())
    }

    fn find(&self, address: u128) -> Option<T> {
        let behind = self.0.partition_point(|(start, _)| *start <= address);
        self.0[..behind].last()?.1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Networks<usize> {
        Networks::new(texts.iter().enumerate().map(|(index, text)| (text.parse().expect(text), index)))
    }

    #[test]
    fn the_longest_prefix_counts_whatever_the_order() {
        for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]] {
            let all = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "::/0", "2001:db8::/32"];
            let texts = order.map(|index: usize| all[index]);
            let networks = networks(&texts);
            for (ip, network) in [
                ("9.255.255.255", "0.0.0.0/0"),
                ("10.0.0.0", "10.0.0.0/8"),
                ("10.1.2.2", "10.1.0.0/16"),
                ("10.1.2.3", "10.1.2.3/32"),
                ("10.1.2.4", "10.1.0.0/16"),
                ("10.2.0.0", "10.0.0.0/8"),
                ("11.0.0.0", "0.0.0.0/0"),
                ("255.255.255.255", "0.0.0.0/0"),
                ("::ffff:10.1.2.3", "10.1.2.3/32"),
                ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::/32"),
                ("2001:db9::", "::/0"),
                ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"),
            ] {
                assert_eq!(networks.find(ip.parse().expect(ip)).map(|index| texts[index]), Some(network), "{ip}");
            }
        }
    }

    #[test]
    fn families_are_apart_and_mapped_networks_are_of_ipv4() {
        let six = networks(&["::/0"]);
        assert_eq!(six.find("::ffff:1.2.3.4".parse().expect("an address")), None);
        let four = networks(&["::ffff:10.0.0.0/104"]);
        assert_eq!(four.find("10.255.0.1".parse().expect("an address")), Some(0));
        assert_eq!(four.find("11.0.0.0".parse().expect("an address")), None);
        assert_eq!(networks(&[]).find("10.0.0.1".parse().expect("an address")), None);
        // The bits behind a prefix mean nothing.
        assert_eq!(networks(&["10.1.2.3/8"]).find("10.9.9.9".parse().expect("an address")), Some(0));
    }

    proptest! {
        /// Against looking at one after the other.
        #[test]
        fn it_finds_what_a_list_would(
            nets in prop::collection::vec((any::<u8>(), any::<u8>(), 0_u8..=32), 0..40),
            addresses in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 0..40),
        ) {
            // Addresses are close to each other, so that networks are in one another.
            let net = |(a, b, length): (u8, u8, u8)| {
                IpNet::V4(Ipv4Net::new([10, a % 4, b, 1].into(), length).expect("a length of IPv4").trunc())
            };
            let nets: Vec<IpNet> = nets.into_iter().map(net).collect();
            let networks = Networks::new(nets.iter().copied().zip(0..));
            for (a, b, c) in addresses {
                let ip: IpAddr = [10, a % 5, b, c].into();
                let best = nets.iter().zip(0..).filter(|(net, _)| net.contains(&ip));
                let best = best.max_by_key(|(net, index)| (net.prefix_len(), *index)).map(|(_, index): (_, i32)| index);
                prop_assert_eq!(networks.find(ip), best, "{}", ip);
            }
        }
    }
}
