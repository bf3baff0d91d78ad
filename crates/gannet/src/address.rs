//! Addresses of listeners and outbound connections, and of peers.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;

/// Names an address to listen on or to connect to: `tcp://host:port`, `tls://host:port`, `unix:///path` or `udp://host:port`.
///
/// A host is an IPv4 address, an IPv6 address in brackets, or a name. A name is looked up when the address is parsed, which
/// may block for as long as the system's resolver does.
///
/// An IPv4 address that is mapped to IPv6, as `[::ffff:127.0.0.1]`, is taken as the IPv4 address.
///
/// A link-local IPv6 address needs the name or the number of its interface: `tcp://[fe80::1%eth0]:7000`. It is shown with
/// the number. On Linux, `unix://@name` is a name in the abstract namespace; such a socket has no file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix stream socket; a name in the abstract namespace begins with a zero byte.
    Unix(PathBuf),
    /// A UDP address.
    Udp(SocketAddr),
    /// The TCP address of a TLS server.
    Tls(SocketAddr),
}

/// What an outbound connection can go to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = Error;

    /// Reads a URL. If the host is a name with several addresses, the result is the first; [`Connect::resolve`] and
    /// [`ListenOptions`] take all of them.
    ///
    /// [`Connect::resolve`]: crate::Connect::resolve
    /// [`ListenOptions`]: crate::ListenOptions
    fn from_str(url: &str) -> Result<Self, Error> {
        let mut all = Self::all(url)?;
        Ok(all.swap_remove(0))
    }
}

impl Address {
    /// Finds every address that a URL names, at least one.
    ///
    /// They come in the resolver's order, but IPv6 and IPv4 in turn (RFC 8305 §4). A name is looked up here, which may block
    /// for as long as the system's resolver does.
    ///
    /// # Errors
    ///
    /// The URL is not an address, or its host is unknown.
    pub fn all(url: &str) -> Result<Vec<Self>, Error> {
        let bad = |why: &str| Error::Address { url: url.to_owned(), why: why.to_owned() };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| {
            bad("an address is written tcp://host:port, tls://host:port, unix:///path or udp://host:port")
        })?;
        let of: fn(SocketAddr) -> Self = match scheme {
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            "udp" => Self::Udp,
            "unix" => return Ok(vec![Self::Unix(path(rest).map_err(bad)?)]),
            _ => return Err(bad("the scheme is none of tcp, tls, unix and udp")),
        };
        Ok(families_in_turn(resolve(url, rest)?).into_iter().map(of).collect())
    }
}

/// The path of a Unix socket. A name in the abstract namespace, which is written with an `@` in front, begins with a zero
/// byte, as the kernel has it (unix(7)).
fn path(rest: &str) -> Result<PathBuf, &'static str> {
    match rest.strip_prefix('@') {
        _ if rest.is_empty() => Err("the path is missing: unix:///run/gannet.sock"),
        None => Ok(PathBuf::from(rest)),
        Some(_) if !cfg!(target_os = "linux") => {
            Err("only Linux has abstract names (unix://@name); a path that begins with @ is written unix://./@name")
        }
        Some("") => Err("the abstract name is missing: unix://@name"),
        Some(name) => Ok(PathBuf::from(format!("\0{name}"))),
    }
}

/// Whether a socket has no file, but a name in the abstract namespace.
pub(crate) fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_bytes().first() == Some(&0)
}

fn resolve(url: &str, host_and_port: &str) -> Result<Vec<SocketAddr>, Error> {
    let bad = |why: String| Error::Address { url: url.to_owned(), why };
    if let Ok(address) = host_and_port.parse() {
        return in_a_zone(unmapped(address)).map(|address| vec![address]).map_err(bad);
    }
    let Some((host, port)) = host_and_port.rsplit_once(':').filter(|_| !host_and_port.ends_with(']')) else {
        return Err(bad("the port is missing: host:port".to_owned()));
    };
    if host.is_empty() {
        let why = "the host is missing; 127.0.0.1 is this machine only, 0.0.0.0 every address of it";
        return Err(bad(why.to_owned()));
    }
    let Ok(port) = port.parse::<u16>() else {
        return Err(bad(format!("{port:?} is not a port (0 to 65535)")));
    };
    if let Some((ip, zone)) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')?.split_once('%')) {
        let Ok(ip) = ip.parse::<Ipv6Addr>() else { return Err(bad(format!("{ip:?} is not an IPv6 address"))) };
        let found = zoned(ip, zone, port).or_else(|| {
            // As RFC 6874 writes a zone in a URL.
            zone.strip_prefix("25").filter(|zone| !zone.is_empty()).and_then(|zone| zoned(ip, zone, port))
        });
        return match found {
            Some(address) => Ok(vec![address]),
            None => Err(bad(format!("this machine has no interface {zone:?} with link-local addresses"))),
        };
    }
    if host.contains(':') {
        return Err(bad("an IPv6 address stands in brackets: [::1]:7000".to_owned()));
    }
    let unknown = |why: String| Error::UnknownHost { url: url.to_owned(), why };
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in (host, port).to_socket_addrs().map_err(|error| unknown(error.to_string()))? {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if found.is_empty() { Err(unknown("it has no address".to_owned())) } else { Ok(found) }
}

/// Addresses of both families in turn, beginning with that of the first.
fn families_in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (ours, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv4() == first);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(ours.next().into_iter().chain(others.next()));
        if all.len() == before {
            return all;
        }
    }
}

/// An address of an interface, which is named or numbered.
fn zoned(ip: Ipv6Addr, zone: &str, port: u16) -> Option<SocketAddr> {
    // The resolver knows the names of interfaces, and asks nobody else about them.
    let found = (format!("{ip}%{zone}"), port);
    let mut found = (found.0.as_str(), found.1).to_socket_addrs().ok()?;
    found.find(|address| matches!(address, SocketAddr::V6(address) if address.scope_id() != 0))
}

/// An IPv4 address that is written as an IPv6 address (`::ffff:127.0.0.1`) is one of IPv4: our IPv6 sockets take no others.
fn unmapped(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// A link-local address is one only together with its interface.
fn in_a_zone(address: SocketAddr) -> Result<SocketAddr, String> {
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => Err(format!(
            "a link-local address needs its interface, by name or number: [{}%eth0]:{}",
            v6.ip(),
            v6.port()
        )),
        _ => Ok(address),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "tcp://{address}"),
            Self::Tls(address) => write!(formatter, "tls://{address}"),
            Self::Udp(address) => write!(formatter, "udp://{address}"),
            Self::Unix(path) if is_abstract(path) => {
                write!(formatter, "unix://@{}", path.to_string_lossy().trim_start_matches('\0'))
            }
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
        }
    }
}

/// Holds the address of the other end of a connection.
///
/// It is smaller than a [`SocketAddr`], because every connection holds one: the flow label of an IPv6 address is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    ip: [u8; 16],
    scope: u32,
    port: u16,
    kind: PeerKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum PeerKind {
    V4,
    V6,
    Unix,
}

impl Peer {
    /// The peer of a Unix socket, which has no address.
    pub const UNIX: Self = Self { ip: [0; 16], scope: 0, port: 0, kind: PeerKind::Unix };

    /// Returns the IP address and port, or `None` for a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.kind {
            PeerKind::Unix => None,
            PeerKind::V4 => Some(SocketAddr::new(self.ip()?, self.port)),
            PeerKind::V6 => Some(SocketAddrV6::new(Ipv6Addr::from(self.ip), self.port, 0, self.scope).into()),
        }
    }

    /// Returns the IP address, or `None` for a Unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.kind {
            PeerKind::Unix => None,
            PeerKind::V4 => Some(IpAddr::from([self.ip[0], self.ip[1], self.ip[2], self.ip[3]])),
            PeerKind::V6 => Some(IpAddr::from(self.ip)),
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        let mut peer = Self { port: address.port(), ..Self::UNIX };
        match address {
            SocketAddr::V4(address) => {
                peer.kind = PeerKind::V4;
                peer.ip[..4].copy_from_slice(&address.ip().octets());
            }
            SocketAddr::V6(address) => {
                peer.kind = PeerKind::V6;
                peer.ip = address.ip().octets();
                peer.scope = address.scope_id();
            }
        }
        peer
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => address.fmt(formatter),
            None => formatter.write_str("unix"),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_as_it_is_written() {
        for url in [
            "tcp://127.0.0.1:7000",
            "tcp://[::1]:0",
            "tls://127.0.0.1:8443",
            "udp://0.0.0.0:9",
            "unix:///run/gannet.sock",
            "tcp://[fe80::1%7]:7000",
            "udp://[fe80::1%7]:7000",
            "tls://[fe80::1%7]:7000",
            #[cfg(target_os = "linux")]
            "unix://@gannet",
            "unix://./@gannet",
        ] {
            assert_eq!(url.parse::<Address>().expect(url).to_string(), url);
        }
    }

    #[test]
    fn an_ipv4_address_that_is_mapped_to_ipv6_is_one_of_ipv4() {
        for (url, same) in [
            ("tcp://[::ffff:127.0.0.1]:7000", "tcp://127.0.0.1:7000"),
            ("tls://[::ffff:7f00:1]:0", "tls://127.0.0.1:0"),
            ("udp://[::ffff:0.0.0.0]:9", "udp://0.0.0.0:9"),
            ("tcp://[::1.2.3.4]:7000", "tcp://[::102:304]:7000"),
        ] {
            assert_eq!(url.parse::<Address>().expect(url).to_string(), same);
        }
    }

    #[test]
    fn a_name_is_looked_up() {
        let address: Address = "tcp://localhost:7000".parse().expect("localhost is known everywhere");
        assert!(matches!(address, Address::Tcp(address) if address.ip().is_loopback() && address.port() == 7000));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (url, why) in [
            ("7000", "tcp://host:port"),
            ("ftp://localhost:1", "none of tcp, tls, unix and udp"),
            ("unix://", "path is missing"),
            ("tcp://127.0.0.1", "port is missing"),
            ("tcp://127.0.0.1:70000", "not a port"),
            ("tcp://:7000", "host is missing"),
            ("tcp://::1:7000", "brackets"),
            ("tcp://[::1]", "port is missing"),
            ("tcp://[fe80::1%lo]", "port is missing"),
            ("tcp://[fe80::1]:7000", "needs its interface, by name or number: [fe80::1%eth0]:7000"),
            ("tcp://[fe80::1%nowhere]:7000", "no interface \"nowhere\""),
            ("tcp://[me%lo]:7000", "not an IPv6 address"),
            ("unix://@", "abstract name is missing"),
        ] {
            let error = url.parse::<Address>().expect_err(url).to_string();
            assert!(error.contains(why) && error.contains(url), "{url}: {error}");
        }
    }

    #[test]
    fn addresses_are_tried_by_families_in_turn() {
        let of = |texts: &[&str]| texts.iter().map(|text| text.parse().expect(text)).collect::<Vec<SocketAddr>>();
        for (found, tried) in [
            (&[][..], &[][..]),
            (&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"], &["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]),
            (&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"], &["1.1.1.1:1", "[::1]:1", "2.2.2.2:1"]),
        ] {
            assert_eq!(families_in_turn(of(found)), of(tried), "{found:?}");
        }
    }

    /// `lo` is the first interface everywhere, and has no link-local address of its own: any will do.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_interface_is_known_by_its_name() {
        for url in ["tcp://[fe80::1%lo]:7000", "tcp://[fe80::1%25lo]:7000"] {
            let address: Address = url.parse().expect("the loopback interface is there");
            assert_eq!(address.to_string(), "tcp://[fe80::1%1]:7000");
        }
    }

    #[test]
    fn a_host_that_does_not_exist_is_not_a_mistake_of_writing() {
        let error = "tcp://nowhere.invalid:7000".parse::<Address>().expect_err("reserved by RFC 6761 §6.4");
        assert!(matches!(error, Error::UnknownHost { .. }), "{error}");
    }

    #[test]
    fn a_peer_gives_back_the_address_it_was_made_from() {
        for text in ["10.1.2.3:4", "[2001:db8::1]:65535", "[fe80::1%3]:80"] {
            let address: SocketAddr = text.parse().expect(text);
            assert_eq!(Peer::from(address).address(), Some(address));
        }
        assert_eq!(Peer::UNIX.address(), None);
        assert!(size_of::<Peer>() <= 24);
    }
}
