//! Which connections an operator means.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use crate::handle::Handle;

use super::Cursor;

/// The most connections of one page.
const MOST: usize = 1_000;

/// Asks for a page of connections: to [`Remote::connections`](crate::Remote::connections).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Query {
    /// Which come first.
    pub sort: Sort,
    /// Which come at all.
    pub select: Selection,
    /// How many at most (default 100); more than 1,000 count as 1,000.
    pub limit: usize,
    /// The end of the page before, from [`Page::next`](super::Page).
    pub after: Option<Cursor>,
}

impl Query {
    /// Asks for the first page of these connections.
    #[must_use]
    pub fn new(sort: Sort, select: Selection) -> Self {
        Self { sort, select, limit: 100, after: None }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.clamp(1, MOST)
    }
}

/// Says which connections come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sort {
    /// Those with the most unsent bytes.
    #[default]
    Pending,
    /// Those that were silent for the longest time, in both directions.
    Idle,
    /// The oldest.
    Age,
}

/// Selects connections: those that match all that is set. By default that is every connection.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Selection {
    /// Only this one.
    pub handle: Option<Handle>,
    /// Only those of these services, by their place in [`ReactorStats::services`](crate::ReactorStats).
    pub services: Option<Vec<usize>>,
    /// Only those with a peer in this range of addresses.
    pub network: Option<Network>,
    /// Only those of this user, as the service describes it.
    pub user: Option<Arc<str>>,
    /// Only those that are subscribed to this channel, as the service describes it.
    pub channel: Option<Arc<str>>,
}

impl Selection {
    /// Whether the service has to be asked about a connection.
    pub(crate) fn asks_service(&self) -> bool {
        self.user.is_some() || self.channel.is_some()
    }

    /// Whether it may be a connection of this service with this peer.
    pub(crate) fn may_be(&self, service: u16, peer: impl FnOnce() -> Option<IpAddr>) -> bool {
        let of_service = self.services.as_ref().is_none_or(|services| services.contains(&usize::from(service)));
        of_service && self.network.is_none_or(|network| peer().is_some_and(|peer| network.contains(peer)))
    }
}

/// A range of IP addresses, written `10.0.0.0/8`, `2001:db8::/32`, or as one address.
///
/// IPv4 addresses that are mapped into IPv6 count as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    mask: u128,
}

/// IPv4 addresses take the last 32 bits of an IPv6 address that maps them.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => Ipv6Addr::to_bits(ip),
    }
}

impl Network {
    /// Returns whether the range has this address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        bits(ip) & self.mask == self.bits
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is no range of addresses: write 10.0.0.0/8, 2001:db8::/32, or one address");
        let (ip, length) = text.split_once('/').map_or((text, None), |(ip, length)| (ip, Some(length)));
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => most,
            Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse::<u32>().ok().filter(|length| *length <= most).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        // A mask of no bits has nothing to shift.
        let mask = u128::MAX.checked_shl(most - length).unwrap_or(0);
        let mask = if ip.is_ipv4() { mask | u128::MAX << 32 } else { mask };
        Ok(Self { bits: bits(ip) & mask, mask })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, ip: &str) -> bool {
        network.parse::<Network>().expect(network).contains(ip.parse().expect(ip))
    }

    #[test]
    fn a_range_has_the_addresses_with_its_first_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.9.9.9", "9.9.9.9"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "::ffff:192.0.2.1", "::192.0.2.1"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
        ] {
            assert!(holds(network, inside), "{network} has {inside}");
            assert!(!holds(network, outside), "{network} has not {outside}");
        }
        assert!(holds("::/0", "::1") && holds("::/0", "10.0.0.1"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/+8", "a/8", "10.0.0.0/8/8"] {
            let error = text.parse::<Network>().expect_err(text);
            assert!(error.contains("2001:db8::/32"), "{error}");
        }
    }
}
