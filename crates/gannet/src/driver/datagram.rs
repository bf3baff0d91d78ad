//! Datagram sockets, as both real drivers serve them: readiness from the kernel, one system call a datagram.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;

use crate::buffer::Chunk;

use super::Event;
#[cfg(target_os = "linux")]
use super::packet_info;
use crate::ids::ListenerId;

/// Bytes of the largest datagram there is: none is ever cut.
const BUFFER_BYTES: usize = 65_536;

/// Errors in a row after which a socket has to be ready again.
const ERRORS: usize = 16;

/// The number of the datagram buffer in a chunk, so that drivers know it from theirs.
pub(super) const BUFFER: u16 = u16::MAX;

/// Who sent a datagram, and where to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) address: SocketAddr,
    /// The address of this machine that it was sent to, where the socket has more than one. Linux says it.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(super) reached: Option<Reached>,
}

/// An address of this machine.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(super) struct Reached {
    pub(super) ip: IpAddr,
    /// The number of its interface, where the address is one only together with that; else 0.
    pub(super) interface: u32,
}

/// A socket, and whether it has every address of this machine.
struct Socket {
    socket: UdpSocket,
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    is_wildcard: bool,
}

impl Socket {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Sender)> {
        #[cfg(target_os = "linux")]
        if self.is_wildcard {
            return packet_info::receive(&self.socket, buffer);
        }
        let (length, address) = self.socket.recv_from(buffer)?;
        Ok((length, Sender { address, reached: None }))
    }

    fn send(&self, to: Sender, payload: &[u8]) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(reached) = to.reached {
            return packet_info::send(&self.socket, to, reached, payload);
        }
        self.socket.send_to(payload, to.address).map(drop)
    }
}

/// The datagram sockets of a reactor and the buffer that receives for them.
pub(super) struct Datagrams {
    sockets: Vec<Option<Socket>>,
    buffer: Box<[u8]>,
    chunk_out: bool,
}

impl Datagrams {
    pub(super) fn new() -> Self {
        Self { sockets: Vec::new(), buffer: Box::default(), chunk_out: false }
    }

    /// Takes a socket that does not block.
    pub(super) fn add(&mut self, listener: ListenerId, socket: UdpSocket) -> io::Result<()> {
        let is_wildcard = socket.local_addr()?.ip().is_unspecified();
        #[cfg(target_os = "linux")]
        if is_wildcard {
            packet_info::enable(&socket)?;
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        }
        let index = usize::from(listener);
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, || None);
        }
        self.sockets[index] = Some(Socket { socket, is_wildcard });
        Ok(())
    }

    /// Gives a socket back.
    pub(super) fn remove(&mut self, listener: ListenerId) -> Option<UdpSocket> {
        Some(self.sockets.get_mut(usize::from(listener))?.take()?.socket)
    }

    /// The socket of a listener.
    pub(super) fn socket(&self, listener: ListenerId) -> Option<&UdpSocket> {
        Some(&self.sockets.get(usize::from(listener))?.as_ref()?.socket)
    }

    /// The descriptor of a socket.
    #[cfg(target_os = "linux")]
    pub(super) fn fd(&self, listener: ListenerId) -> Option<RawFd> {
        Some(self.sockets.get(usize::from(listener))?.as_ref()?.socket.as_raw_fd())
    }

    /// The next datagram, or `None` where there is none now.
    pub(super) fn receive<I>(&mut self, listener: ListenerId) -> Option<Event<I>> {
        debug_assert!(!self.chunk_out, "the last datagram was not given back");
        let socket = self.sockets.get(usize::from(listener))?.as_ref()?;
        for _ in 0..ERRORS {
            match socket.receive(&mut self.buffer) {
                Ok((length, from)) => {
                    self.chunk_out = true;
                    let data = NonNull::from(&mut self.buffer[0]);
                    // SAFETY: the buffer lives as long as the driver that holds it, `length` bytes of it were just
                    // written, and it is not touched again before the chunk came back.
                    let chunk = unsafe { Chunk::new(data, length as u32, BUFFER) };
                    return Some(Event::Datagram { listener, chunk, from });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                // An ICMP error for something sent before (ECONNREFUSED) is reported here; it concerns no datagram.
                Err(error) => tracing::trace!(%error, "receiving a datagram failed"),
            }
        }
        None
    }

    pub(super) fn recycle(&mut self) {
        self.chunk_out = false;
    }

    pub(super) fn send(&self, listener: ListenerId, to: Sender, payload: &[u8]) -> io::Result<()> {
        let socket = self.sockets.get(usize::from(listener)).and_then(Option::as_ref);
        let socket = socket.ok_or(io::ErrorKind::NotConnected)?;
        socket.send(to, payload)
    }
}
