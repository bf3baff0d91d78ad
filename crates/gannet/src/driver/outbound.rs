//! Sockets for outbound connections.

use std::io;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::address::Target;
use crate::keepalive;
use crate::route::Route;

/// A socket for an outbound connection, bound where the route asks for it, and where it shall connect to.
pub(crate) fn open_outbound(route: &Route) -> io::Result<(Socket, SockAddr)> {
    let (domain, to) = match &route.to {
        Target::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        Target::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if domain != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
        keepalive::set(&socket, route.keepalive.flatten())?;
    }
    if let Some(from) = route.from.filter(|_| domain != Domain::UNIX) {
        #[cfg(target_os = "linux")]
        if from.port() == 0 {
            // The port is chosen by connect, for the pair of addresses: 20,000 connections from each source address to
            // each target, not 20,000 in all (ip(7)).
            super::sockopt::set_bind_address_no_port(&socket)?;
        }
        socket.bind(&from.into())?;
    }
    Ok((socket, to))
}
