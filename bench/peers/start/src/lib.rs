//! The parts that the programs of peers share: `PROGRAM NAME PORT`, the allocator, and the listener.
//!
//! Each server runs on loopback on one thread, on the processors that its parent may use. It says `ready PORT` on its
//! standard output once it listens.

#![cfg(target_os = "linux")]

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use socket2::{Domain, Socket, Type};

/// The allocator that Gannet's subjects have.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Connections that may wait to be accepted, as in every other subject: more than the client opens at once. The default of
/// most libraries is 128, beyond which the kernel drops connects, which are tried again after a second.
const BACKLOG: i32 = 4096;

/// The exit status where a port is taken.
const PORT_TAKEN: u8 = 3;

/// A server: its name, and the function that serves on a port until the process is ended.
pub type Server = (&'static str, fn(port: u16) -> io::Result<()>);

/// Runs the server that the command line names.
#[must_use]
pub fn serve(program: &str, servers: &[Server]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, port] = &arguments[..] else {
        eprintln!("usage: {program} NAME PORT");
        return ExitCode::from(2);
    };
    let Ok(port) = port.parse() else {
        eprintln!("{program}: {port} is no port");
        return ExitCode::from(2);
    };
    let served = match servers.iter().find(|(known, _)| known == name) {
        Some((_, serve)) => serve(port),
        None => Err(io::Error::new(io::ErrorKind::NotFound, "no such server")),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => ExitCode::from(PORT_TAKEN),
        Err(error) => {
            eprintln!("{program}: {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Listens on a port of loopback, and tells the parent so. Calls on the listener wait.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    announce(port)?;
    Ok(socket.into())
}

/// Listens as [`listen`] does, for a runtime that waits by itself.
pub fn listen_nonblocking(port: u16) -> io::Result<TcpListener> {
    let listener = listen(port)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Tells the parent that the server listens.
pub fn announce(port: u16) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready {port}")?;
    out.flush()
}
