//! Sockets that listen, sockets that will connect, and how fast connections may be accepted.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::SendFlags;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::address::{Peer, is_abstract};
use crate::keepalive;
use crate::listen_options::UnixAccess;
use crate::wheel::Tick;

/// Connections the kernel may hold for us before they are accepted. It takes the lower of this and its own limit
/// (net.core.somaxconn).
const BACKLOG: i32 = 65_535;

/// A socket that listens for stream connections; it does not block.
pub(crate) enum ListenSocket {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

/// A socket of one reactor.
pub(crate) enum OwnSocket {
    Listen(ListenSocket),
    Datagram(std::net::UdpSocket),
}

impl ListenSocket {
    /// The next connection; it does not block either.
    pub(crate) fn accept(&self) -> io::Result<(OwnedFd, Peer)> {
        match self {
            Self::Tcp(socket) => socket.accept().map(|(stream, from)| (stream.into(), from.into())),
            Self::Unix(socket) => socket.accept().map(|(stream, _)| (stream.into(), Peer::UNIX)),
        }
    }

    /// Has the kernel refuse whoever connects, where that can be undone; says whether it does.
    ///
    /// Linux listens again on a TCP socket that was shut down, and the socket keeps its address meanwhile. A Unix socket
    /// never does, and other kernels do not shut a listener down.
    pub(crate) fn suspend(&self) -> bool {
        cfg!(target_os = "linux")
            && matches!(self, Self::Tcp(_))
            && rustix::net::shutdown(self, rustix::net::Shutdown::Read).is_ok()
    }

    /// Undoes [`ListenSocket::suspend`].
    pub(crate) fn resume(&self) -> io::Result<()> {
        if cfg!(target_os = "linux") && matches!(self, Self::Tcp(_)) {
            rustix::net::listen(self, BACKLOG)?;
        }
        Ok(())
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

fn bound(address: SocketAddr, kind: Type, protocol: Protocol, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Lets a restarted server listen while connections of the old one linger; it does not share the address.
        socket.set_reuse_address(true)?;
    }
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A socket that keeps its port while it does not listen ([`ListenSocket::suspend`]): Linux takes back a port that it chose.
fn bound_for_good(address: SocketAddr, kind: Type, protocol: Protocol, share: bool) -> io::Result<Socket> {
    let chosen = bound(address, kind, protocol, share)?;
    if address.port() != 0 || kind != Type::STREAM || !cfg!(target_os = "linux") {
        return Ok(chosen);
    }
    let asked = chosen.local_addr()?.as_socket().unwrap_or(address);
    // Beside the first, which holds the port meanwhile: both let others bind as long as nobody listens.
    bound(asked, kind, protocol, share)
}

/// `count` sockets on one address, which the kernel spreads over. With port 0 all get the port of the first.
///
/// SO_REUSEPORT alone would let another process of the same user share the address unnoticed, so it is first asked for
/// without.
fn shared(address: SocketAddr, kind: Type, protocol: Protocol, count: usize) -> io::Result<Vec<Socket>> {
    if count == 1 {
        return Ok(vec![bound_for_good(address, kind, protocol, false)?]);
    }
    if address.port() != 0 {
        let alone = bound(address, kind, protocol, false)?;
        drop(alone);
    }
    let first = bound_for_good(address, kind, protocol, true)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let rest = (1..count).map(|_| bound(address, kind, protocol, true));
    std::iter::once(Ok(first)).chain(rest).collect()
}

/// Waits between two looks at an address that is in use.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// How often it is looked at: for a second.
const RETRIES: u32 = 50;

/// Listens, and tries again for a second where the address is in use: sockets of a process that was killed may live on for
/// some 20 ms, as long as the kernel takes to end its io_uring.
pub(crate) fn retry_in_use<T>(listen: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    // Nothing runs yet that could be held up, and nothing tells when an address is free.
    #[allow(clippy::disallowed_methods)]
    retry_in_use_waiting(listen, || std::thread::sleep(RETRY_AFTER))
}

fn retry_in_use_waiting<T>(mut listen: impl FnMut() -> io::Result<T>, mut wait: impl FnMut()) -> io::Result<T> {
    for _ in 0..RETRIES {
        match listen() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => wait(),
            done => return done,
        }
    }
    listen()
}

/// Listens on a TCP address, with `count` sockets; says the address, which has a port even where 0 was asked for.
pub(crate) fn listen_tcp(
    address: SocketAddr,
    count: usize,
    keepalive: Option<Duration>,
) -> io::Result<(SocketAddr, Vec<ListenSocket>)> {
    let sockets = shared(address, Type::STREAM, Protocol::TCP, count)?;
    let mut listening = Vec::with_capacity(count);
    for socket in sockets {
        // Accepted sockets inherit both, which spares system calls for each of them, and direct descriptors take none.
        socket.set_tcp_nodelay(true)?;
        keepalive::set(&socket, keepalive)?;
        socket.listen(BACKLOG)?;
        listening.push(std::net::TcpListener::from(socket));
    }
    let address = listening.first().map_or(Ok(address), std::net::TcpListener::local_addr)?;
    let sockets = listening.into_iter().map(|socket| ListenSocket::Tcp(mio::net::TcpListener::from_std(socket)));
    Ok((address, sockets.collect()))
}

/// A TCP socket that another process listens on, or has listened on.
pub(crate) fn adopt_tcp(fd: OwnedFd, keepalive: Option<Duration>) -> io::Result<ListenSocket> {
    let socket = Socket::from(fd);
    socket.set_tcp_nodelay(true)?;
    keepalive::set(&socket, keepalive)?;
    // It may have fewer places in its backlog.
    socket.listen(BACKLOG)?;
    let socket = std::net::TcpListener::from(socket);
    Ok(ListenSocket::Tcp(mio::net::TcpListener::from_std(socket)))
}

/// A Unix socket that another process listens on.
pub(crate) fn adopt_unix(fd: OwnedFd) -> ListenSocket {
    ListenSocket::Unix(mio::net::UnixListener::from_std(std::os::unix::net::UnixListener::from(fd)))
}

/// Binds a TCP address once more, beside sockets that listen on it already. It listens when [`begin`] is called.
pub(crate) fn sibling_tcp(address: SocketAddr, keepalive: Option<Duration>) -> io::Result<ListenSocket> {
    let socket = bound(address, Type::STREAM, Protocol::TCP, true)?;
    socket.set_tcp_nodelay(true)?;
    keepalive::set(&socket, keepalive)?;
    let socket = std::net::TcpListener::from(socket);
    Ok(ListenSocket::Tcp(mio::net::TcpListener::from_std(socket)))
}

/// Binds a UDP address once more.
pub(crate) fn sibling_udp(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    bound(address, Type::DGRAM, Protocol::UDP, true).map(Into::into)
}

/// Lets other sockets of this user share the address of one.
pub(crate) fn let_share(socket: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_reuseport(socket, true)?)
}

/// Has a socket listen; where it does already, nothing changes.
pub(crate) fn begin(socket: &ListenSocket) -> io::Result<()> {
    Ok(rustix::net::listen(socket, BACKLOG)?)
}

/// Binds a UDP address, with `count` sockets.
pub(crate) fn bind_udp(address: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<std::net::UdpSocket>)> {
    let sockets = shared(address, Type::DGRAM, Protocol::UDP, count)?;
    let address = sockets.first().and_then(|socket| socket.local_addr().ok()?.as_socket()).unwrap_or(address);
    Ok((address, sockets.into_iter().map(Into::into).collect()))
}

/// The file of a Unix socket that we made; removed when this is dropped, if it is still ours.
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    /// The file at a path, which another process has made and leaves to us.
    pub(crate) fn adopt(path: &Path) -> Option<Self> {
        let file = std::fs::symlink_metadata(path).ok().filter(|file| file.file_type().is_socket())?;
        Some(Self { path: path.to_owned(), inode: file.ino() })
    }

    /// Leaves the file to another process.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Listens on a Unix socket. A socket file that nobody listens on any more is replaced; one that is alive, or a file of
/// another kind, is refused.
pub(crate) fn listen_unix(path: &Path, access: UnixAccess) -> io::Result<(Option<SocketFile>, ListenSocket)> {
    let is_abstract = is_abstract(path);
    if is_abstract && (access.mode.is_some() || access.group.is_some()) {
        return Err(io::Error::other("an abstract name has no file, whose mode or group could be set"));
    }
    if access.group == Some(u32::MAX) {
        // To chown(2) it says that the group stays.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "4294967295 is the number of no group"));
    }
    if !is_abstract && let Ok(file) = std::fs::symlink_metadata(path) {
        if !file.file_type().is_socket() {
            let why = "a file that is not a socket is in the way; remove it or choose another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Err(error) => return Err(error),
        }
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = if is_abstract {
        None
    } else {
        Some(SocketFile { inode: std::fs::symlink_metadata(path)?.ino(), path: path.to_owned() })
    };
    // Before it listens: until then nobody can connect.
    set_access(path, access)?;
    socket.listen(BACKLOG)?;
    let socket = std::os::unix::net::UnixListener::from(socket);
    Ok((file, ListenSocket::Unix(mio::net::UnixListener::from_std(socket))))
}

/// Sets who may connect to a Unix socket, by its file.
pub(crate) fn set_access(path: &Path, access: UnixAccess) -> io::Result<()> {
    if let Some(group) = access.group {
        std::os::unix::fs::chown(path, None, Some(group))
            .map_err(|error| io::Error::new(error.kind(), format!("the group {group} cannot be set: {error}")))?;
    }
    if let Some(mode) = access.mode {
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Who might connect to a Unix socket before that was changed; it is so again when this is dropped.
pub(crate) struct FormerAccess {
    path: PathBuf,
    access: UnixAccess,
}

impl FormerAccess {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let file = std::fs::symlink_metadata(path)?;
        let access = UnixAccess { mode: Some(file.mode() & 0o7777), group: Some(file.gid()) };
        Ok(Self { path: path.to_owned(), access })
    }

    /// Lets the change stay.
    pub(crate) fn forget(mut self) {
        self.access = UnixAccess::default();
    }
}

impl Drop for FormerAccess {
    fn drop(&mut self) {
        if let Err(error) = set_access(&self.path, self.access) {
            tracing::error!(%error, path = %self.path.display(), "the mode of a socket's file cannot be set back");
        }
    }
}

/// Makes the close of a socket a reset: nothing of it stays in the kernel.
pub(crate) fn reset_on_close(socket: &OwnedFd) {
    // It fails only for sockets that have no such option, and then an ordinary close is what there is.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

/// Has the close of a socket that is not wanted be one after `farewell`, where the socket takes that at once, or else a
/// reset.
pub(crate) fn dismiss(socket: &OwnedFd, farewell: &'static [u8]) {
    let flags = SendFlags::DONTWAIT;
    // Elsewhere the runtime ignores SIGPIPE, as Rust programs do; macOS has no such flag.
    #[cfg(target_os = "linux")]
    let flags = flags | SendFlags::NOSIGNAL;
    if farewell.is_empty() || rustix::net::send(socket, farewell, flags).is_err() {
        reset_on_close(socket);
    }
}

/// How fast one reactor, or the acceptor, may accept: a bucket that fills with time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    per_second: u32,
    /// Connections that may come at once, in thousandths.
    burst_milli: i64,
    /// What is left of it. Below 0 where connections came in after accepting was turned off: they count too.
    milli: i64,
    filled: Tick,
}

impl Pace {
    /// At most so many a second; 0 is no limit.
    pub(crate) fn new(per_second: u32, now: Tick) -> Self {
        let burst_milli = i64::from(per_second / 10).max(1) * 1_000;
        Self { per_second, burst_milli, milli: burst_milli, filled: now }
    }

    /// Counts one accept; says when accepting may go on where it has to pause.
    pub(crate) fn spend(&mut self, now: Tick) -> Option<Tick> {
        if self.per_second == 0 {
            return None;
        }
        let passed_ms = i64::from(now.since(self.filled));
        self.filled = now;
        self.milli = (self.milli + passed_ms * i64::from(self.per_second)).min(self.burst_milli) - 1_000;
        if self.milli >= 1_000 {
            return None;
        }
        // Until half the burst is there again: pausing and going on has a price.
        let wanted = (self.burst_milli / 2).max(1_000) - self.milli;
        Some(now.after((wanted as u64).div_ceil(u64::from(self.per_second)) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_lets_through_what_it_was_told_to() {
        for per_second in [1, 7, 100, 12_345] {
            let (mut pace, mut now, mut accepted) = (Pace::new(per_second, Tick(0)), Tick(0), 0u32);
            let end = Tick(20_000);
            while now.is_before(end) {
                accepted += 1;
                now = pace.spend(now).unwrap_or(now);
            }
            let expected = per_second * 20;
            assert!(
                accepted >= expected * 95 / 100 - 1 && accepted <= expected * 105 / 100 + 2,
                "{accepted} in 20 s at {per_second} a second"
            );
        }
    }

    #[test]
    fn what_comes_in_after_accepting_was_turned_off_counts_too() {
        let (mut pace, mut now, mut accepted) = (Pace::new(100, Tick(0)), Tick(0), 0u32);
        while now.is_before(Tick(10_000)) {
            // Each time, ten more were under way already.
            let again = (0..10).filter_map(|_| pace.spend(now)).last();
            accepted += 10;
            now = again.unwrap_or(now);
        }
        assert!((950..=1_060).contains(&accepted), "{accepted} in 10 s at 100 a second");
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_refused() {
        let folder = std::env::temp_dir().join(format!("gannet-listener-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the socket");
        let path = folder.join("socket");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("the stale one"));
        let (file, socket) = listen_unix(&path, UnixAccess::default()).expect("a stale file is replaced");
        let error = listen_unix(&path, UnixAccess::default()).err().expect("a live one is refused");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop((file, socket));
        assert!(!path.exists(), "the file goes with its listener");
        std::fs::write(&path, "precious").expect("a file");
        assert_eq!(
            listen_unix(&path, UnixAccess::default()).err().expect("not a socket").kind(),
            io::ErrorKind::AlreadyExists
        );
        std::fs::remove_dir_all(&folder).expect("the folder goes");
    }

    #[test]
    fn an_address_in_use_is_tried_again_for_a_second_and_no_other_error() {
        let tried = std::cell::Cell::new(0);
        let mut waited = Duration::ZERO;
        let in_use = || -> io::Result<()> {
            tried.set(tried.get() + 1);
            Err(io::ErrorKind::AddrInUse.into())
        };
        let error = retry_in_use_waiting(in_use, || waited += RETRY_AFTER).expect_err("it stays in use");
        assert_eq!((error.kind(), waited), (io::ErrorKind::AddrInUse, Duration::from_secs(1)));
        tried.set(0);
        let free_at_last =
            || if tried.replace(tried.get() + 1) < 3 { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(7) };
        assert_eq!(retry_in_use_waiting(free_at_last, || {}).expect("it is free at last"), 7);
        let denied = || -> io::Result<()> { Err(io::ErrorKind::PermissionDenied.into()) };
        let error = retry_in_use_waiting(denied, || panic!("that does not pass")).expect_err("it is denied");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn the_mode_of_a_socket_file_is_the_one_that_was_asked_for() {
        let folder = std::env::temp_dir().join(format!("gannet-mode-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the socket");
        let path = folder.join("socket");
        let group = std::fs::metadata(&folder).expect("it was just made").gid();
        for mode in [0o600, 0o666] {
            let access = UnixAccess { mode: Some(mode), group: Some(group) };
            let _listening = listen_unix(&path, access).expect("it is ours");
            let file = std::fs::symlink_metadata(&path).expect("it is there");
            assert_eq!((file.mode() & 0o777, file.gid()), (mode, group));
        }
        std::fs::remove_dir_all(&folder).expect("the folder goes");
    }

    #[test]
    fn a_group_that_the_kernel_would_take_for_none_is_refused_and_leaves_no_file() {
        let path = std::env::temp_dir().join(format!("gannet-no-group-{}", std::process::id()));
        let access = UnixAccess { mode: None, group: Some(u32::MAX) };
        let error = listen_unix(&path, access).err().expect("there is no such group");
        assert!(error.to_string().contains("the number of no group") && !path.exists(), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_name_is_listened_on_without_a_file() {
        let path = PathBuf::from(format!("\0gannet-abstract-{}", std::process::id()));
        let (file, _socket) = listen_unix(&path, UnixAccess::default()).expect("nobody else has that name");
        assert!(file.is_none());
        let error = listen_unix(&path, UnixAccess::default()).err().expect("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let access = UnixAccess { mode: Some(0o660), group: None };
        let error = listen_unix(&path, access).err().expect("there is no file");
        assert!(error.to_string().contains("has no file"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_that_refuses_for_a_while_listens_on_its_port_again() {
        for count in [1, 3] {
            // A port that the kernel chose is anybody's while its sockets refuse.
            let (address, sockets) = listen_tcp(gannet_testing::free_ports(1)[0], count, None).expect("a port");
            for socket in &sockets {
                assert!(socket.suspend());
            }
            let error = std::net::TcpStream::connect(address).expect_err("nobody listens");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            for socket in &sockets {
                socket.resume().expect("the port is kept");
            }
            std::net::TcpStream::connect(address).expect("it listens again");
        }
    }

    #[test]
    fn an_address_that_another_process_shares_is_in_use() {
        let (address, _first) = listen_tcp("127.0.0.1:0".parse().expect("an address"), 2, None).expect("a free port");
        let error = listen_tcp(address, 2, None).err().expect("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
