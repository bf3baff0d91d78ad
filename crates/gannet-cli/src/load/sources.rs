//! The addresses that clients connect from, as this machine has them.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};

use gannet::Address;
use gannet_load::sources::{Sources, addresses, loopback, per_source};
use gannet_load::units::count;

use super::options::usage;
use crate::failure::Failure;

/// The addresses to connect from, each good for its share of the connections; none where the system shall choose.
///
/// # Errors
///
/// There are too few of them, they are not of this machine, or the target cannot be reached from them.
pub(super) fn resolve(
    sources: &Sources,
    target: &Address,
    connections: u32,
    ports: u32,
) -> Result<Vec<IpAddr>, Failure> {
    let target = match (target, sources) {
        (Address::Tcp(target) | Address::Tls(target), _) => *target,
        (_, Sources::Auto) => return Ok(Vec::new()),
        _ => return Err(usage("--sources is for tcp://; a Unix socket has no source address")),
    };
    let needed = connections.div_ceil(per_source(ports));
    let too_few = |had: &str, remedy: &str| {
        Failure::Usage(format!(
            "{} connections need {} (one is good for {}: net.ipv4.ip_local_port_range gives {} ports), and {had}; \
             {remedy}, or give fewer --connections",
            count(connections.into()),
            many(needed.into()),
            count(per_source(ports).into()),
            count(ports.into()),
        ))
    };
    match sources {
        Sources::Networks(networks) => {
            let addresses = addresses(networks, connections);
            for address in &addresses {
                reach(*address, target)?;
            }
            if addresses.len() < needed as usize {
                return Err(too_few(&format!("--sources has {}", count(addresses.len() as u64)), "name more"));
            }
            Ok(addresses)
        }
        Sources::Auto if target.ip().is_loopback() && target.is_ipv4() => Ok(loopback(connections, ports)),
        Sources::Auto if needed <= 1 => Ok(Vec::new()),
        Sources::Auto => {
            let own = own_addresses(target);
            if own.len() < needed as usize {
                let had = format!("this machine reaches the target from {}", count(own.len() as u64));
                return Err(too_few(
                    &had,
                    "add some to the interface, name others with --sources, use several machines",
                ));
            }
            Ok(own)
        }
    }
}

fn many(addresses: u64) -> String {
    if addresses == 1 { "1 source address".to_owned() } else { format!("{} source addresses", count(addresses)) }
}

/// Whether connections from an address can go to the target. A UDP socket shows it, and sends nothing.
fn reach(source: IpAddr, target: SocketAddr) -> Result<(), Failure> {
    if source.is_ipv4() != target.is_ipv4() {
        let (one, other) = if source.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
        return Err(usage(&format!("--sources names {source}, which is {one}, and the target {target} is {other}")));
    }
    let socket = UdpSocket::bind(on_its_interface(source, target)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            usage(&format!("--sources names {source}, which is no address of this machine"))
        }
        _ => usage(&format!("--sources names {source}, from which nothing can be sent: {error}")),
    })?;
    let connected = socket.connect(target);
    connected.map_err(|error| usage(&format!("{target} cannot be reached from {source} of --sources: {error}")))
}

/// A source address; a link-local one is of the interface that its target is on.
fn on_its_interface(source: IpAddr, target: SocketAddr) -> SocketAddr {
    match (source, target) {
        (IpAddr::V6(source), SocketAddr::V6(target)) if source.is_unicast_link_local() => {
            SocketAddrV6::new(source, 0, 0, target.scope_id()).into()
        }
        _ => SocketAddr::new(source, 0),
    }
}

/// The addresses of the interface that the target is reached by, those first that the system would choose.
fn own_addresses(target: SocketAddr) -> Vec<IpAddr> {
    let unbound: IpAddr = match target {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let chosen = UdpSocket::bind((unbound, 0)).and_then(|socket| {
        socket.connect(target)?;
        socket.local_addr()
    });
    let Ok(chosen) = chosen.map(|address| address.ip()) else { return Vec::new() };
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let interface = all.iter().find(|one| one.ip() == chosen).map(|one| one.name.clone());
    let others = all.iter().filter(|one| Some(&one.name) == interface.as_ref()).map(if_addrs::Interface::ip);
    let others = others.filter(|ip| *ip != chosen && reach(*ip, target).is_ok());
    std::iter::once(chosen).chain(others).collect()
}

/// Whether an address is one of this machine, so that both ends of a connection to it are here.
pub(super) fn is_here(target: &Address) -> bool {
    match target {
        Address::Tcp(address) | Address::Tls(address) => {
            let mut any_port = *address;
            any_port.set_port(0);
            address.ip().is_loopback() || UdpSocket::bind(any_port).is_ok()
        }
        _ => true,
    }
}

/// What is said of the addresses before the start.
pub(super) fn said(sources: &[IpAddr]) -> String {
    match sources {
        [] => "1 source address".to_owned(),
        [one] => format!("source address {one}"),
        [first, .., last] => format!("{} ({first} to {last})", many(sources.len() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sources: &str, target: &str, connections: u32) -> Result<usize, String> {
        let sources: Sources = sources.parse().expect(sources);
        let target: Address = target.parse().expect(target);
        resolve(&sources, &target, connections, 28_232).map(|found| found.len()).map_err(|failure| failure.line())
    }

    #[test]
    fn loopback_takes_as_many_addresses_as_are_needed_by_itself() {
        assert_eq!(of("auto", "tcp://127.0.0.1:1", 50), Ok(1));
        assert_eq!(of("auto", "tcp://127.0.0.1:1", 1_000_000), Ok(100));
        assert_eq!(of("auto", "unix:///a", 1_000_000), Ok(0));
        assert_eq!(of("auto", "tcp://[::1]:1", 20_000), Ok(0));
    }

    #[test]
    fn too_few_addresses_are_refused_with_how_many_there_have_to_be_and_which_setting_counts() {
        for (sources, target) in [("127.0.0.1,127.0.0.2", "tcp://127.0.0.1:1"), ("auto", "tcp://[::1]:1")] {
            let error = of(sources, target, 40_001).expect_err(sources);
            assert!(error.contains("40,001 connections need 3 source addresses"), "{error}");
            assert!(error.contains("ip_local_port_range gives 28,232 ports"), "{error}");
        }
        assert_eq!(of("127.0.0.1,127.0.0.2", "tcp://127.0.0.1:1", 40_000), Ok(2));
    }

    #[test]
    fn addresses_that_cannot_be_used_are_refused_by_name() {
        for (sources, target, why) in [
            ("192.0.2.77", "tcp://127.0.0.1:1", "192.0.2.77, which is no address of this machine"),
            ("::1", "tcp://127.0.0.1:1", "which is IPv6, and the target 127.0.0.1:1 is IPv4"),
            ("127.0.0.1", "tcp://[::1]:1", "which is IPv4"),
            ("127.0.0.1", "unix:///a", "has no source address"),
        ] {
            let error = of(sources, target, 1).expect_err(sources);
            assert!(error.contains(why), "{error}");
        }
    }
}
