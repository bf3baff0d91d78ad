//! Addresses: the URLs that listeners and outbound connections are named by, and who is at the other end.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// Where to listen or connect: `tcp://host:port`, `tls://host:port`, `unix:///path` or `udp://host:port`.
///
/// A host is an IPv4 address, an IPv6 address in brackets, or a name, which is looked up when the address is parsed
/// (that may block for as long as the system's resolver does).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix stream socket.
    Unix(PathBuf),
    /// A UDP address.
    Udp(SocketAddr),
    /// A TCP address where TLS is spoken.
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

    fn from_str(url: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::Address { url: url.to_owned(), why: why.to_owned() };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| {
            bad("an address is written tcp://host:port, tls://host:port, unix:///path or udp://host:port")
        })?;
        match scheme {
            "tcp" => Ok(Self::Tcp(resolve(url, rest)?)),
            "tls" => Ok(Self::Tls(resolve(url, rest)?)),
            "udp" => Ok(Self::Udp(resolve(url, rest)?)),
            "unix" if rest.is_empty() => Err(bad("the path is missing: unix:///run/gannet.sock")),
            "unix" => Ok(Self::Unix(PathBuf::from(rest))),
            _ => Err(bad("the scheme is none of tcp, tls, unix and udp")),
        }
    }
}

fn resolve(url: &str, host_and_port: &str) -> Result<SocketAddr, Error> {
    let bad = |why: String| Error::Address { url: url.to_owned(), why };
    if let Ok(address) = host_and_port.parse() {
        return Ok(address);
    }
    let Some((host, port)) = host_and_port.rsplit_once(':') else {
        return Err(bad("the port is missing: host:port".to_owned()));
    };
    if host.is_empty() {
        let why = "the host is missing; 127.0.0.1 is this machine only, 0.0.0.0 every address of it";
        return Err(bad(why.to_owned()));
    }
    if host.contains(':') {
        return Err(bad("an IPv6 address stands in brackets: [::1]:7000".to_owned()));
    }
    let Ok(port) = port.parse::<u16>() else {
        return Err(bad(format!("{port:?} is not a port (0 to 65535)")));
    };
    let unknown = |why: String| Error::UnknownHost { url: url.to_owned(), why };
    match (host, port).to_socket_addrs() {
        Ok(mut found) => found.next().ok_or_else(|| unknown("it has no address".to_owned())),
        Err(error) => Err(unknown(error.to_string())),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "tcp://{address}"),
            Self::Tls(address) => write!(formatter, "tls://{address}"),
            Self::Udp(address) => write!(formatter, "udp://{address}"),
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
        }
    }
}

/// Who is at the other end of a connection.
///
/// Smaller than a [`SocketAddr`], because every connection holds one: the flow label of an IPv6 address is not kept.
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
    /// The other end of a Unix socket, which has no address.
    pub const UNIX: Self = Self { ip: [0; 16], scope: 0, port: 0, kind: PeerKind::Unix };

    /// The address, or `None` for a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.kind {
            PeerKind::Unix => None,
            PeerKind::V4 => Some(SocketAddr::new(self.ip()?, self.port)),
            PeerKind::V6 => Some(SocketAddrV6::new(Ipv6Addr::from(self.ip), self.port, 0, self.scope).into()),
        }
    }

    /// The address without its port, or `None` for a Unix socket.
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
        ] {
            assert_eq!(url.parse::<Address>().expect(url).to_string(), url);
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
        ] {
            let error = url.parse::<Address>().expect_err(url).to_string();
            assert!(error.contains(why) && error.contains(url), "{url}: {error}");
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
