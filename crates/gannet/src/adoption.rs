//! Adopting listening sockets of another process, or of the service manager, in place of binding them.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;

use crate::acceptor::Balance;
use crate::address::Address;
use crate::listener::{ListenSocket, OwnSocket, adopt_tcp, adopt_unix, let_share, sibling_tcp, sibling_udp};

/// Holds a listening socket, or a bound datagram socket, of another process or of the service manager.
///
/// [`Engine::adopt`](crate::Engine::adopt) takes it, and [`Handover::sockets`](crate::Handover::sockets) returns those of an
/// engine that runs.
#[derive(Debug)]
pub struct Inherited {
    /// The name of its listener.
    pub name: String,
    /// The address that its listener was asked for; empty if the service manager opened the socket.
    pub url: String,
    /// Its place among the sockets of the listener. The kernel spreads connections over them in this order.
    pub index: usize,
    /// The socket.
    pub fd: OwnedFd,
}

impl Inherited {
    /// Whether it belongs to the service manager, which has opened it and keeps it when every process of ours is gone.
    pub(crate) fn is_lent(&self) -> bool {
        self.url.is_empty()
    }
}

/// The sockets that an engine shall adopt, until its listeners have found theirs.
#[derive(Default)]
pub(crate) struct Estate(Vec<Inherited>);

impl Estate {
    pub(crate) fn new(mut all: Vec<Inherited>) -> Self {
        all.sort_by_key(|inherited| inherited.index);
        Self(all)
    }

    /// The sockets for a listener: those at its address, or those with its name or URL where the address says less.
    pub(crate) fn take(&mut self, name: &str, url: &str, address: &Address) -> Vec<Inherited> {
        let is_its = |inherited: &Inherited| {
            let at = Local::of(&inherited.fd);
            let has_name = !inherited.name.is_empty() && [name, url].contains(&&*inherited.name);
            at.is(address) || (has_name && at.is_like(address) && (inherited.is_lent() || is_any_port(address)))
        };
        let (its, others) = std::mem::take(&mut self.0).into_iter().partition(is_its);
        self.0 = others;
        its
    }

    /// Says which sockets nobody wanted, and where a listener would have, why it cannot have them. They close.
    pub(crate) fn warn_of_rest<'a>(self, listeners: impl Iterator<Item = (&'a str, &'a str, &'a Address)> + Clone) {
        for inherited in self.0 {
            let Inherited { name, url, .. } = &inherited;
            let socket = Local::of(&inherited.fd);
            let is_meant = |at: &Address, own: &str, asked: &str| {
                !socket.is_like(at) && (!name.is_empty() && [own, asked].contains(&&**name) || socket.is_beside(at))
            };
            match listeners.clone().find(|(own, asked, at)| is_meant(at, own, asked)) {
                Some((listener, _, at)) => tracing::warn!(
                    name,
                    url,
                    %socket,
                    listener,
                    needs = kind_of(at),
                    "an inherited socket is of another kind than its listener needs: it closes"
                ),
                None => tracing::warn!(name, url, %socket, "an inherited socket has no listener any more: it closes"),
            }
        }
    }
}

/// The kind of socket that listens at an address.
fn kind_of(address: &Address) -> &'static str {
    match address {
        Address::Tcp(_) | Address::Tls(_) => "a TCP socket",
        Address::Udp(_) => "a UDP socket",
        Address::Unix(_) => "a Unix stream socket",
    }
}

/// Whether the system chooses the port.
fn is_any_port(address: &Address) -> bool {
    matches!(address, Address::Tcp(at) | Address::Tls(at) | Address::Udp(at) if at.port() == 0)
}

/// Where a socket is bound, and of which kind it is.
enum Local {
    Stream(SocketAddr),
    Datagram(SocketAddr),
    Unix(Option<Vec<u8>>),
    /// Nothing that can be listened on, with its type where it is a socket.
    Other(Option<SocketType>),
}

impl Local {
    fn of(fd: &OwnedFd) -> Self {
        let Ok(kind) = socket_type(fd) else { return Self::Other(None) };
        let Ok(at) = rustix::net::getsockname(fd) else { return Self::Other(Some(kind)) };
        if let Ok(at) = SocketAddr::try_from(at.clone()) {
            return match kind {
                SocketType::STREAM => Self::Stream(at),
                SocketType::DGRAM => Self::Datagram(at),
                _ => Self::Other(Some(kind)),
            };
        }
        match rustix::net::SocketAddrUnix::try_from(at) {
            Ok(at) if kind == SocketType::STREAM => {
                let path = at.path().map(|path| path.to_bytes().to_vec());
                #[cfg(target_os = "linux")]
                let path = path.or_else(|| at.abstract_name().map(|name| [&b"\0"[..], name].concat()));
                Self::Unix(path)
            }
            _ => Self::Other(Some(kind)),
        }
    }

    fn is(&self, address: &Address) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        match (self, address) {
            (Self::Stream(at), Address::Tcp(wanted) | Address::Tls(wanted))
            | (Self::Datagram(at), Address::Udp(wanted)) => at == wanted,
            (Self::Unix(at), Address::Unix(wanted)) => {
                at.as_deref().is_some_and(|at| at == Path::as_os_str(wanted).as_bytes())
            }
            _ => false,
        }
    }

    /// Whether it has the address and port, whatever its kind.
    fn is_beside(&self, address: &Address) -> bool {
        matches!(
            (self, address),
            (Self::Stream(at) | Self::Datagram(at), Address::Tcp(wanted) | Address::Tls(wanted) | Address::Udp(wanted))
                if at == wanted
        )
    }

    /// Whether it is of the same kind.
    fn is_like(&self, address: &Address) -> bool {
        matches!(
            (self, address),
            (Self::Stream(_), Address::Tcp(_) | Address::Tls(_))
                | (Self::Datagram(_), Address::Udp(_))
                | (Self::Unix(_), Address::Unix(_))
        )
    }
}

/// What it is and where, for the log.
impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(at) => write!(f, "a TCP socket at {at}"),
            Self::Datagram(at) => write!(f, "a UDP socket at {at}"),
            Self::Unix(Some(path)) => write!(f, "a Unix stream socket at {}", path.escape_ascii()),
            Self::Unix(None) => f.write_str("a Unix stream socket without an address"),
            Self::Other(None) => f.write_str("no socket"),
            Self::Other(Some(kind)) => {
                write!(f, "a socket that is neither of TCP nor of UDP nor a Unix stream ({kind:?})")
            }
        }
    }
}

/// The sockets of one listener that were adopted.
pub(crate) struct Adopted {
    pub(crate) address: Address,
    /// By reactor, as far as they go.
    pub(crate) own: Vec<OwnSocket>,
    /// What is left, for the acceptor.
    pub(crate) central: Vec<ListenSocket>,
}

impl Adopted {
    /// Takes sockets, of which there is one at least, for a listener at `address`.
    pub(crate) fn new(
        inherited: Vec<Inherited>,
        address: &Address,
        keepalive: Option<Duration>,
        balance: Balance,
        reactors: usize,
    ) -> std::io::Result<Self> {
        let is_ours = !inherited.iter().any(Inherited::is_lent);
        let at = rustix::net::getsockname(&inherited[0].fd).ok().and_then(|at| SocketAddr::try_from(at).ok());
        let fds = inherited.into_iter().map(|inherited| inherited.fd);
        let mut adopted = Self { address: address.clone(), own: Vec::new(), central: Vec::new() };
        // The service manager's sockets belong to its user: others cannot be bound beside them.
        let spreads = balance == Balance::ReusePort && is_ours;
        match (address, at) {
            (Address::Tcp(_) | Address::Tls(_), Some(at)) => {
                adopted.address = if matches!(address, Address::Tls(_)) { Address::Tls(at) } else { Address::Tcp(at) };
                let mut sockets = fds.map(|fd| adopt_tcp(fd, keepalive)).collect::<std::io::Result<Vec<_>>>()?;
                if spreads && sockets.len() < reactors {
                    let missing = reactors - sockets.len();
                    match siblings(&sockets, missing, || sibling_tcp(at, keepalive)) {
                        Ok(others) => sockets.extend(others),
                        Err(error) => {
                            tracing::warn!(%error, %address, "the acceptor spreads connections: no socket can be bound beside the inherited ones");
                        }
                    }
                }
                adopted.place(sockets, balance == Balance::ReusePort, reactors);
            }
            (Address::Unix(_), _) => adopted.place(fds.map(adopt_unix).collect(), false, reactors),
            (Address::Udp(_), Some(at)) => {
                adopted.address = Address::Udp(at);
                let mut sockets: Vec<std::net::UdpSocket> = fds.map(Into::into).collect();
                if spreads && sockets.len() < reactors {
                    let missing = reactors - sockets.len();
                    sockets.extend(siblings(&sockets, missing, || sibling_udp(at)).unwrap_or_default());
                }
                // Datagrams that wait in others are lost, as datagrams may be.
                sockets.truncate(reactors);
                adopted.own = sockets.into_iter().map(OwnSocket::Datagram).collect();
            }
            _ => return Err(std::io::Error::other("the inherited socket has no address")),
        }
        Ok(adopted)
    }

    /// Gives each reactor a socket if that serves all of them, and the rest to the acceptor.
    fn place(&mut self, sockets: Vec<ListenSocket>, spreads: bool, reactors: usize) {
        let own = if reactors == 1 || (spreads && sockets.len() >= reactors) { reactors } else { 0 };
        let mut sockets = sockets.into_iter();
        self.own = sockets.by_ref().take(own).map(OwnSocket::Listen).collect();
        self.central = sockets.collect();
    }
}

/// Binds so many sockets beside others, which have to permit it.
fn siblings<S: AsFd>(sockets: &[S], count: usize, bind: impl FnMut() -> std::io::Result<S>) -> std::io::Result<Vec<S>> {
    for socket in sockets {
        let_share(socket)?;
    }
    std::iter::repeat_with(bind).take(count).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_socket_is_known_by_its_kind_and_by_its_address() {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let at = udp.local_addr().expect("it is bound");
        let socket = Local::of(&udp.into());
        assert_eq!(socket.to_string(), format!("a UDP socket at {at}"));
        assert!(
            socket.is(&Address::Udp(at)) && socket.is_like(&Address::Udp(at)) && socket.is_beside(&Address::Udp(at))
        );
        let tcp = Address::Tcp(at);
        assert!(
            !socket.is(&tcp) && !socket.is_like(&tcp) && socket.is_beside(&tcp),
            "it has the port, and another kind"
        );

        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let bound = tcp.local_addr().expect("it is bound");
        assert_eq!(Local::of(&tcp.into()).to_string(), format!("a TCP socket at {bound}"));
        assert!(!Local::Stream(([127, 0, 0, 1], 1).into()).is_beside(&Address::Udp(at)), "it is elsewhere");
        let (unix, _other) = UnixDatagram::pair().expect("a pair");
        assert!(Local::of(&unix.into()).to_string().contains("nor a Unix stream"));
        assert_eq!(Local::of(&std::fs::File::open("/dev/null").expect("it is there").into()).to_string(), "no socket");
    }
}
