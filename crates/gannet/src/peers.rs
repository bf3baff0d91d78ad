//! Who is at the other end of each connection, beside its slot: eight bytes for an IPv4 address, the most of what there is,
//! and 24 more where others come. Written when a connection begins. Used on the reactor's thread.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::address::Peer;
use crate::ids::Token;
use crate::table::Table;

/// See the module.
#[derive(Default)]
pub(crate) struct Peers {
    near: Table<Near>,
    far: Table<Far>,
}

/// What most peers are.
#[derive(Clone, Copy, Default)]
enum Near {
    /// The other end of a Unix socket.
    #[default]
    Unix,
    V4 {
        ip: [u8; 4],
        port: u16,
    },
    /// Looked up in the other table.
    Far,
}

/// One with a longer address.
struct Far(Peer);

impl Default for Far {
    fn default() -> Self {
        Self(Peer::UNIX)
    }
}

impl Peers {
    /// Notes the peer of a connection.
    pub(crate) fn set(&mut self, token: Token, peer: Peer) {
        let near = match peer.address() {
            None => Near::Unix,
            Some(SocketAddr::V4(address)) => Near::V4 { ip: address.ip().octets(), port: address.port() },
            Some(SocketAddr::V6(_)) => {
                self.far.set(token, Far(peer));
                Near::Far
            }
        };
        self.near.set(token, near);
    }

    /// The peer of a connection, and of the last one that had its slot.
    pub(crate) fn of(&self, token: Token) -> Peer {
        match self.near.get(token) {
            Some(&Near::V4 { ip, port }) => SocketAddr::from((Ipv4Addr::from(ip), port)).into(),
            Some(Near::Far) => self.far.get(token).map_or(Peer::UNIX, |far| far.0),
            Some(Near::Unix) | None => Peer::UNIX,
        }
    }

    /// Its address, for whoever looks at all connections.
    pub(crate) fn ip(&self, token: Token) -> Option<IpAddr> {
        self.of(token).ip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_takes_eight_bytes() {
        assert_eq!(size_of::<Near>(), 8);
    }

    #[test]
    fn each_connection_has_the_peer_that_was_noted_last() {
        let mut peers = Peers::default();
        let of = |text: &str| Peer::from(text.parse::<SocketAddr>().expect("an address"));
        assert_eq!(peers.of(9_000), Peer::UNIX, "where there was none");
        for (token, peer) in [
            (0, of("127.0.0.1:80")),
            (700, of("[fe80::1%7]:443")),
            (0, of("[::1]:9")),
            (700, Peer::UNIX),
            (0, of("255.255.255.255:65535")),
            (511, of("[::ffff:1.2.3.4]:5")),
        ] {
            peers.set(token, peer);
            assert_eq!((peers.of(token), peers.ip(token)), (peer, peer.ip()));
        }
        assert_eq!((peers.of(700), peers.of(0)), (Peer::UNIX, of("255.255.255.255:65535")));
    }
}
