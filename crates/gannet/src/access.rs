//! Who may connect: lists of networks, limits for the addresses of one prefix, and how often one address may connect.
//!
//! Asked once for each accepted connection, by all reactors, before anything is allocated for it.

mod crowds;
mod rates;

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use ipnet::IpNet;

use self::crowds::Crowds;
use self::rates::{Rate, Rates};
use crate::address::Peer;
use crate::counters::RefusalReason;
use crate::error::{Error, Result};
use crate::networks::{Networks, canonical};

/// Says who may connect. Give it to [`Access::new`] or [`Access::replace`].
///
/// The default lets everybody in.
///
/// ```
/// let mut rules = gannet::AccessRules::default();
/// rules.deny = vec!["192.0.2.0/24".parse()?];
/// rules.connection_rate = 10.0;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct AccessRules {
    /// Networks whose addresses may connect (default: none).
    ///
    /// Of all networks in both lists, the one with the longest prefix decides for an address. If no network has the address,
    /// it may connect only if `allow` is empty. An IPv4 address that is mapped to IPv6 counts as the IPv4 address.
    pub allow: Vec<IpNet>,
    /// Networks whose addresses may not connect (default: none).
    ///
    /// To allow a part of one, name the part in `allow`, and `0.0.0.0/0` and `::/0` too: with anything in `allow`, others
    /// are denied. Refused connections are counted as [`RefusalReason::Denied`].
    pub deny: Vec<IpNet>,
    /// Connections at a time from one IPv4 address, or from one IPv6 network of 64 bits, which is usually one customer or
    /// one home; 0 is no limit (default).
    ///
    /// Behind the address of a carrier's NAT there may be thousands of people. Refused connections are counted as
    /// [`RefusalReason::Prefix`].
    pub connections_per_prefix: u32,
    /// Connections at a time from one IPv4 network of 24 bits, or from one IPv6 network of 48 bits; 0 is no limit (default).
    ///
    /// Refused connections are counted as [`RefusalReason::Network`].
    pub connections_per_network: u32,
    /// Connections per second from one IPv4 address, or from one IPv6 network of 64 bits; 0 is no limit (default).
    ///
    /// An address may save up the connections of one second, and at least one. Operational listeners have no such limit.
    /// Refused connections are counted as [`RefusalReason::Rate`].
    pub connection_rate: f64,
}

/// Decides who may connect to an engine, by rules that can be replaced while it runs.
///
/// Give it to [`Engine::access`](crate::Engine::access) and keep a clone of the [`Arc`](std::sync::Arc). The rules hold for
/// all TCP and TLS listeners; the peers of Unix sockets have no address. They hold for the address that
/// [`Context::peer`](crate::Context::peer) returns: with the [PROXY protocol](crate::ProxyProtocol), the one in the header.
///
/// A connection that is refused is reset, or gets the text of [`Service::refusal`](crate::Service::refusal). It is counted
/// in [`ServiceStats::refused`](crate::ServiceStats::refused). The log has one line a second at most.
#[derive(Debug)]
pub struct Access {
    compiled: RwLock<Compiled>,
    crowds: Crowds,
    rates: Mutex<Rates>,
}

/// Rules, ready to be asked.
#[derive(Debug)]
struct Compiled {
    /// Whether a network may connect.
    lists: Networks<bool>,
    /// Whether others may.
    others: bool,
    per_prefix: u32,
    per_network: u32,
    rate: Option<Rate>,
}

/// Holds the counters of an [`Access`] at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessStats {
    /// Gauge: prefixes with connections that are counted for [`AccessRules::connections_per_prefix`].
    pub prefixes: usize,
    /// Counter: addresses whose rate was forgotten early, because too many others connected (65,536 are remembered).
    ///
    /// Such an address may connect more often than [`AccessRules::connection_rate`] says.
    pub rates_forgotten: u64,
}

/// The most networks of both lists; so many take 64 MB of memory.
const MOST_NETWORKS: usize = 1_000_000;

impl Access {
    /// Makes an access with these rules.
    ///
    /// # Errors
    ///
    /// A network is in both lists, the lists have more than a million networks, or the rate is not a number from 0 to a
    /// million.
    pub fn new(rules: &AccessRules) -> Result<Self> {
        let compiled = RwLock::new(Compiled::of(rules)?);
        Ok(Self { compiled, crowds: Crowds::default(), rates: Mutex::default() })
    }

    /// Replaces all rules at once, from any thread. Everything that comes from now on meets the new ones.
    ///
    /// It closes nobody. Limits on connections at a time count the connections that came while there was such a limit.
    ///
    /// # Errors
    ///
    /// Those of [`Access::new`]. Then the rules stay as they were.
    pub fn replace(&self, rules: &AccessRules) -> Result<()> {
        let compiled = Compiled::of(rules)?;
        *self.compiled.write().unwrap_or_else(PoisonError::into_inner) = compiled;
        Ok(())
    }

    /// Reads the counters, from any thread.
    #[must_use]
    pub fn stats(&self) -> AccessStats {
        let rates_forgotten = self.rates.lock().unwrap_or_else(PoisonError::into_inner).forgotten();
        AccessStats { prefixes: self.crowds.prefixes(), rates_forgotten }
    }

    /// Whether a peer may connect now, by its address alone. Where there is a `rate` to keep, this counts for it.
    pub(crate) fn screen(&self, peer: Peer, has_rate: bool, now: Duration) -> std::result::Result<(), RefusalReason> {
        let Some(ip) = peer.ip() else { return Ok(()) };
        let compiled = self.compiled.read().unwrap_or_else(PoisonError::into_inner);
        if !compiled.lists.find(ip).unwrap_or(compiled.others) {
            return Err(RefusalReason::Denied);
        }
        let Some(rate) = compiled.rate.filter(|_| has_rate) else { return Ok(()) };
        drop(compiled);
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.spend(ip, rate, now) { Ok(()) } else { Err(RefusalReason::Rate) }
    }

    /// Counts a connection in where a prefix has a limit, which may be exceeded by `more`. Says whether it is counted, which
    /// [`leave`](Self::leave) has to be told of.
    pub(crate) fn enter(&self, peer: Peer, more: u32) -> std::result::Result<bool, RefusalReason> {
        let (per_prefix, per_network) = {
            let compiled = self.compiled.read().unwrap_or_else(PoisonError::into_inner);
            (compiled.per_prefix, compiled.per_network)
        };
        let Some(ip) = peer.ip().filter(|_| per_prefix != 0 || per_network != 0) else { return Ok(false) };
        let most = |limit: u32| if limit == 0 { u32::MAX } else { limit.saturating_add(more) };
        self.crowds.enter(ip, most(per_prefix), most(per_network)).map(|()| true)
    }

    /// Counts out a connection that was counted in.
    pub(crate) fn leave(&self, peer: Peer) {
        if let Some(ip) = peer.ip() {
            self.crowds.leave(ip);
        }
    }
}

impl Compiled {
    fn of(rules: &AccessRules) -> Result<Self> {
        let AccessRules { allow, deny, connections_per_prefix, connections_per_network, connection_rate } = rules;
        if allow.len() + deny.len() > MOST_NETWORKS {
            let count = allow.len() + deny.len();
            return Err(Error::Setting(format!(
                "{count} networks in the lists of access; there can be {MOST_NETWORKS}"
            )));
        }
        let mut denied: Vec<IpNet> = deny.iter().copied().map(canonical).collect();
        denied.sort_unstable();
        if let Some(network) = allow.iter().find(|network| denied.binary_search(&canonical(**network)).is_ok()) {
            return Err(Error::Setting(format!("{network} is both allowed and denied; leave one of them")));
        }
        let all = allow.iter().map(|network| (*network, true)).chain(deny.iter().map(|network| (*network, false)));
        Ok(Self {
            lists: Networks::new(all),
            others: allow.is_empty(),
            per_prefix: *connections_per_prefix,
            per_network: *connections_per_network,
            rate: Rate::new(*connection_rate)?,
        })
    }
}

/// The network of an address that is one customer's, and the one that is one site's or provider's.
fn prefixes(ip: IpAddr) -> [IpNet; 2] {
    let (ip, lengths) = match ip.to_canonical() {
        IpAddr::V4(ip) => (IpAddr::V4(ip), [32, 24]),
        IpAddr::V6(ip) => (IpAddr::V6(ip), [64, 48]),
    };
    lengths.map(|length| IpNet::new(ip, length).map_or(IpNet::from(ip), |network| network.trunc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    fn rules(allow: &[&str], deny: &[&str]) -> AccessRules {
        AccessRules { allow: networks(allow), deny: networks(deny), ..AccessRules::default() }
    }

    fn peer(ip: &str) -> Peer {
        std::net::SocketAddr::new(ip.parse().expect(ip), 1).into()
    }

    fn screened(access: &Access, ip: &str) -> std::result::Result<(), RefusalReason> {
        access.screen(peer(ip), true, Duration::ZERO)
    }

    #[test]
    fn the_longest_prefix_decides_and_a_list_of_who_may_denies_all_others() {
        let denied = Err(RefusalReason::Denied);
        for (allow, deny, ip, expected) in [
            (&[][..], &[][..], "192.0.2.1", Ok(())),
            (&[], &["192.0.2.0/24"], "192.0.2.1", denied),
            (&[], &["192.0.2.0/24"], "192.0.3.1", Ok(())),
            (&[], &["192.0.2.0/24"], "::ffff:192.0.2.1", denied),
            (&["10.0.0.0/8"], &[], "192.0.2.1", denied),
            (&["10.0.0.0/8"], &[], "::1", denied),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.0.1", denied),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.2.0.1", Ok(())),
            (&["10.1.1.0/24", "0.0.0.0/0"], &["10.1.0.0/16"], "10.1.1.1", Ok(())),
            (&["10.1.1.0/24", "0.0.0.0/0"], &["10.1.0.0/16"], "10.1.2.1", denied),
            (&["10.1.1.0/24", "0.0.0.0/0"], &["10.1.0.0/16"], "8.8.8.8", Ok(())),
            (&["2001:db8::/32"], &["2001:db8:1::/48"], "2001:db8:1::1", denied),
            (&["2001:db8::/32"], &["2001:db8:1::/48"], "2001:db8:2::1", Ok(())),
        ] {
            let access = Access::new(&rules(allow, deny)).expect("no contradiction");
            assert_eq!(screened(&access, ip), expected, "{allow:?} {deny:?} {ip}");
        }
        let access = Access::new(&rules(&["10.0.0.0/8"], &[])).expect("no contradiction");
        assert_eq!(access.screen(Peer::UNIX, true, Duration::ZERO), Ok(()), "a Unix socket's peer has no address");
    }

    #[test]
    fn rules_that_contradict_each_other_are_refused_and_leave_those_before() {
        let access = Access::new(&rules(&[], &["192.0.2.0/24"])).expect("no contradiction");
        let twice = rules(&["10.0.0.0/8"], &["10.1.2.3/8"]);
        for (rules, why) in [
            (twice.clone(), "10.0.0.0/8 is both allowed and denied"),
            (rules(&["::ffff:10.0.0.0/104"], &["10.0.0.0/8"]), "both allowed and denied"),
            (AccessRules { connection_rate: -1.0, ..AccessRules::default() }, "-1 connections"),
            (AccessRules { connection_rate: f64::NAN, ..AccessRules::default() }, "NaN connections"),
            (AccessRules { connection_rate: 1e9, ..AccessRules::default() }, "1000000000 connections"),
        ] {
            let error = access.replace(&rules).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(Access::new(&twice).is_err());
        assert_eq!(screened(&access, "192.0.2.1"), Err(RefusalReason::Denied));
        access.replace(&AccessRules::default()).expect("no contradiction");
        assert_eq!(screened(&access, "192.0.2.1"), Ok(()));
    }

    #[test]
    fn the_connections_of_a_prefix_and_of_the_network_around_it_have_limits() {
        let limits = AccessRules { connections_per_prefix: 2, connections_per_network: 3, ..AccessRules::default() };
        for [one, same, near, far] in [
            ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.3.1"],
            ["2001:db8::1", "2001:db8:0:0:ffff::9", "2001:db8:0:1::1", "2001:db8:1::1"],
        ] {
            let access = Access::new(&limits).expect("no contradiction");
            let enter = |ip, more| access.enter(peer(ip), more);
            assert_eq!(
                [enter(one, 0), enter(same, 0), enter(one, 0)],
                [Ok(true), Ok(true), Err(RefusalReason::Prefix)]
            );
            assert_eq!([enter(near, 0), enter(near, 0)], [Ok(true), Err(RefusalReason::Network)]);
            assert_eq!(enter(far, 0), Ok(true));
            assert_eq!(enter(one, 1), Ok(true), "operational listeners have a reserve");
            assert_eq!(access.stats().prefixes, 3);
            [one, one, one, near, far].into_iter().for_each(|ip| access.leave(peer(ip)));
            assert_eq!(access.stats().prefixes, 0);
            assert_eq!(enter(one, 0), Ok(true));
            access.leave(peer(one));
            access.replace(&AccessRules::default()).expect("no contradiction");
            assert_eq!(enter(one, 0), Ok(false), "without limits nothing is counted");
        }
    }
}
