//! Passing listening sockets on to another process, without losing a connection: [`Handover`] and [`Inherited`].

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;

use crate::acceptor::Balance;
use crate::address::Address;
use crate::error::{Error, Result};
use crate::ids::ListenerId;
use crate::listener::{
    ListenSocket, OwnSocket, SocketFile, adopt_tcp, adopt_unix, let_share, sibling_tcp, sibling_udp,
};
use crate::remote::Shared;
use crate::requests::{Request, Shown};

/// How long the threads of an engine may take for a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Holds a listening socket, or a bound datagram socket, of another process or of the service manager.
///
/// [`Engine::adopt`](crate::Engine::adopt) takes it, and [`Handover::sockets`] returns those of an engine that runs.
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

/// One listener of an engine that runs.
pub(crate) struct Known {
    pub(crate) id: ListenerId,
    pub(crate) name: String,
    pub(crate) url: String,
}

/// Passes the listening sockets of an engine on to another process; [`Running::handover`](crate::Running::handover)
/// returns it. It works from any thread but a reactor's.
///
/// # The order of calls
///
/// 1. [`sockets`](Self::sockets) duplicates the sockets; the engine goes on to accept.
/// 2. When the other process is ready, [`withdraw`](Self::withdraw) has this one accept nothing. Whatever was accepted until
///    then is served here. Clients that come now wait in the kernel's queue.
/// 3. When the other process accepts, [`release`](Self::release) lets go of the sockets for good. If it does not,
///    [`restore`](Self::restore) has this engine accept again.
#[derive(Clone)]
pub struct Handover {
    pub(crate) shared: Arc<Shared>,
    pub(crate) listeners: Arc<[Known]>,
    pub(crate) files: Arc<Mutex<Vec<SocketFile>>>,
    /// Threads that accept.
    pub(crate) threads: usize,
    /// One upgrade at a time.
    pub(crate) turn: Arc<Mutex<()>>,
}

impl Handover {
    /// Duplicates the listening and datagram sockets of the engine, in the order of their listeners. It goes on to accept.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`]: a reactor was held up for five seconds, or has ended; or no descriptor is left.
    pub fn sockets(&self) -> Result<Vec<Inherited>> {
        let mut shown = self.ask(Request::Share)?;
        shown.sort_by_key(|(listener, index, _)| (*listener, *index));
        let known = |id| self.listeners.iter().find(|known| known.id == id);
        let all = shown.into_iter().filter_map(|(id, index, fd)| {
            let known = known(id)?;
            Some(Inherited { name: known.name.clone(), url: known.url.clone(), index, fd })
        });
        Ok(all.collect())
    }

    /// Has the engine accept nothing, and waits until it does.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`]: a reactor was held up for five seconds, or has ended. Call [`restore`](Self::restore) then.
    pub fn withdraw(&self) -> Result<()> {
        self.ask(Request::Withdraw).map(drop)
    }

    /// Has the engine accept again, after [`withdraw`](Self::withdraw).
    pub fn restore(&self) {
        if let Err(error) = self.ask(Request::Restore) {
            tracing::error!(%error, "not every listener accepts again; restart the server");
        }
    }

    /// Lets go of all listening sockets, without ending them. The files of Unix sockets stay.
    ///
    /// The engine accepts no more; connections that are open go on.
    pub fn release(&self) {
        let files = std::mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner));
        files.into_iter().for_each(SocketFile::keep);
        if let Err(error) = self.ask(Request::Release) {
            tracing::error!(%error, "not every listener was let go of; clients may wait until this process ends");
        }
    }

    fn ask(&self, request: Request) -> Result<Vec<Shown>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = &self.shared.requests;
        requests.ask(request);
        self.shared.drains.touch();
        self.shared.ring();
        let failed = |error| Error::Setting(format!("the listening sockets cannot be passed on: {error}"));
        let (late, shown) = requests.wait(self.threads, PATIENCE).map_err(failed)?;
        if late > 0 {
            return Err(Error::Setting(format!(
                "{late} of {} threads that accept did not follow within {} s",
                self.threads,
                PATIENCE.as_secs()
            )));
        }
        Ok(shown)
    }
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Handover").finish_non_exhaustive()
    }
}

/// The sockets that an engine shall adopt, until its listeners have found theirs.
pub(crate) struct Estate(Vec<Inherited>);

impl Estate {
    pub(crate) fn new(mut all: Vec<Inherited>) -> Self {
        all.sort_by_key(|inherited| inherited.index);
        Self(all)
    }

    /// The sockets for a listener: those at its address, or those with its name where the address says less.
    pub(crate) fn take(&mut self, name: &str, address: &Address) -> Vec<Inherited> {
        let is_its = |inherited: &Inherited| {
            let at = Local::of(&inherited.fd);
            let has_name = inherited.name == name && !name.is_empty();
            at.is(address) || (has_name && at.is_like(address) && (inherited.url.is_empty() || is_any_port(address)))
        };
        let (its, others) = std::mem::take(&mut self.0).into_iter().partition(is_its);
        self.0 = others;
        its
    }

    /// Says which sockets nobody wanted. They close.
    pub(crate) fn warn_of_rest(self) {
        for Inherited { name, url, .. } in self.0 {
            tracing::warn!(name, url, "an inherited socket has no listener any more: it closes");
        }
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
    Other,
}

impl Local {
    fn of(fd: &OwnedFd) -> Self {
        let (Ok(kind), Ok(at)) = (socket_type(fd), rustix::net::getsockname(fd)) else { return Self::Other };
        if let Ok(at) = SocketAddr::try_from(at.clone()) {
            return match kind {
                SocketType::STREAM => Self::Stream(at),
                SocketType::DGRAM => Self::Datagram(at),
                _ => Self::Other,
            };
        }
        match rustix::net::SocketAddrUnix::try_from(at) {
            Ok(at) if kind == SocketType::STREAM => {
                let path = at.path().map(|path| path.to_bytes().to_vec());
                #[cfg(target_os = "linux")]
                let path = path.or_else(|| at.abstract_name().map(|name| [&b"\0"[..], name].concat()));
                Self::Unix(path)
            }
            _ => Self::Other,
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

/// The sockets of one listener that were adopted.
pub(crate) struct Adopted {
    pub(crate) address: Address,
    /// By reactor, as far as they go.
    pub(crate) own: Vec<OwnSocket>,
    /// What is left, for the acceptor.
    pub(crate) central: Vec<ListenSocket>,
    pub(crate) file: Option<SocketFile>,
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
        let is_ours = inherited.iter().all(|inherited| !inherited.url.is_empty());
        let at = rustix::net::getsockname(&inherited[0].fd).ok().and_then(|at| SocketAddr::try_from(at).ok());
        let fds = inherited.into_iter().map(|inherited| inherited.fd);
        let mut adopted = Self { address: address.clone(), own: Vec::new(), central: Vec::new(), file: None };
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
            (Address::Unix(path), _) => {
                adopted.file = SocketFile::adopt(path);
                adopted.place(fds.map(adopt_unix).collect(), false, reactors);
            }
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
