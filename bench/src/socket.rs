//! The few socket and scheduler calls that the floors and the client share, as thin wrappers over libc.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Turns the `-1` of a system call into the error it stands for.
pub fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// The same for calls that return a count of bytes.
pub fn check_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Binds the calling thread to one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    pin_to(&[cpu])
}

/// Binds the calling thread, and those that it starts, to some CPUs.
pub fn pin_to(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        if cpu >= libc::CPU_SETSIZE as usize {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: `cpu` was checked to lie inside the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: `set` is initialised and its size is given; 0 names the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) })?;
    Ok(())
}

/// Lets the calling thread run on all processors that it may have. Makes one system call and allocates nothing.
pub fn unpin() -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in 0..libc::CPU_SETSIZE as usize {
        // SAFETY: `cpu` lies inside the set. The kernel leaves out those that there are not.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: `set` is initialised and its size is given; 0 names the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) })?;
    Ok(())
}

/// Returns how many descriptors this process may open (the soft limit).
pub fn descriptor_limit() -> io::Result<u32> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call, which fills it in.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    Ok(u32::try_from(limit.rlim_cur).unwrap_or(u32::MAX))
}

fn loopback(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be() },
        sin_zero: [0; 8],
    }
}

fn stream(extra: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | extra, 0) })?;
    // SAFETY: `fd` was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn option<T>(fd: RawFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: `value` is alive for the call and its size is given.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const *value).cast(), size_of::<T>() as libc::socklen_t) })?;
    Ok(())
}

/// Whether a socket's own calls wait. An io_uring request on a non-blocking socket is answered with
/// `EAGAIN` instead of waiting, so that ring wants its listener blocking.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// Calls wait.
    Yes,
    /// Calls return `EAGAIN`.
    No,
}

/// Listens on a loopback port. Accepted sockets inherit `TCP_NODELAY`.
pub fn listen(port: u16, blocking: Blocking) -> io::Result<OwnedFd> {
    listen_with(port, blocking, &[])
}

/// The same for one of several listeners of the port (SO_REUSEPORT), whose calls wait.
pub fn listen_shared(port: u16) -> io::Result<OwnedFd> {
    listen_with(port, Blocking::Yes, &[libc::SO_REUSEPORT])
}

fn listen_with(port: u16, blocking: Blocking, options: &[libc::c_int]) -> io::Result<OwnedFd> {
    /// Longer than any burst of connects of the client.
    const BACKLOG: libc::c_int = 4096;
    let fd = stream(match blocking {
        Blocking::Yes => 0,
        Blocking::No => libc::SOCK_NONBLOCK,
    })?;
    option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &1i32)?;
    for name in options {
        option(fd.as_raw_fd(), libc::SOL_SOCKET, *name, &1i32)?;
    }
    option(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, &1i32)?;
    let address = loopback(port);
    // SAFETY: `address` is alive for the call and its size is given.
    check(unsafe {
        libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as libc::socklen_t)
    })?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) })?;
    Ok(fd)
}

/// Connects to a loopback port and makes the socket non-blocking. It is closed with a reset, so that
/// thousands of ends in TIME_WAIT do not burden the next run.
pub fn connect(port: u16) -> io::Result<OwnedFd> {
    connect_by(stream(0)?, port)
}

/// Connects a client that the kernel keeps as little for as for one beyond an Ethernet: loopback's segments of 64 KiB would
/// have it keep megabytes for one that does not read.
pub fn connect_narrow(port: u16) -> io::Result<OwnedFd> {
    let fd = stream(0)?;
    option(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_MAXSEG, &1_460i32)?;
    option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, &8_192i32)?;
    connect_by(fd, port)
}

/// Connects from an address of loopback, and closes as programs do, without a reset.
pub fn connect_from(source: Ipv4Addr, port: u16) -> io::Result<OwnedFd> {
    let fd = stream(0)?;
    option(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, &1i32)?;
    // The port is chosen by connect(2), so that one address may use it towards several servers.
    option(fd.as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1i32)?;
    let mut address = loopback(0);
    address.sin_addr.s_addr = u32::from(source).to_be();
    // SAFETY: `address` is alive for the call and its size is given.
    check(unsafe {
        libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as libc::socklen_t)
    })?;
    to_loopback(fd, port)
}

fn connect_by(fd: OwnedFd, port: u16) -> io::Result<OwnedFd> {
    option(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, &1i32)?;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &linger)?;
    to_loopback(fd, port)
}

fn to_loopback(fd: OwnedFd, port: u16) -> io::Result<OwnedFd> {
    let address = loopback(port);
    // SAFETY: `address` is alive for the call and its size is given.
    check(unsafe {
        libc::connect(fd.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as libc::socklen_t)
    })?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok(fd)
}

/// Tells the other end that nothing more will be sent.
pub fn finish(fd: RawFd) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::shutdown(fd, libc::SHUT_WR) }).map(drop)
}

/// `recv(2)`. `Ok(None)` stands for `EAGAIN`.
pub fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    // SAFETY: the buffer is alive and writable for its whole length.
    let result = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    would_block(check_len(result))
}

/// `send(2)` without SIGPIPE. `Ok(None)` stands for `EAGAIN`.
pub fn send(fd: RawFd, bytes: &[u8]) -> io::Result<Option<usize>> {
    // SAFETY: the bytes are alive and readable for their whole length.
    let result = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    would_block(check_len(result))
}

fn would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// `accept4(2)`, non-blocking both ways. `Ok(None)` stands for `EAGAIN`.
pub fn accept(listener: RawFd) -> io::Result<Option<OwnedFd>> {
    // SAFETY: no address is asked for, so no memory is passed.
    let fd = unsafe {
        libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
    };
    match check(fd) {
        // SAFETY: `fd` was just made and belongs to nobody else.
        Ok(fd) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// `accept4(2)` that waits for somebody. What it accepts waits as well.
pub fn accept_blocking(listener: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no address is asked for, so no memory is passed.
    let fd = check(unsafe { libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC) })?;
    // SAFETY: `fd` was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes a descriptor that is known by its number only.
pub fn close(fd: RawFd) {
    // SAFETY: callers own `fd` and forget it here; no memory is passed. An error of close(2) leaves the
    // descriptor closed as well, so there is nothing to handle.
    unsafe { libc::close(fd) };
}
