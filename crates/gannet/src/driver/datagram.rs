//! Datagram sockets, as both real drivers serve them: readiness from the kernel, one system call a datagram.

use std::io;
use std::net::{SocketAddr, UdpSocket};
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;

use crate::buffer::Chunk;

use super::{Event, ListenerId};

/// Bytes of the largest datagram there is: none is ever cut.
const BUFFER_BYTES: usize = 65_536;

/// Errors in a row after which a socket has to be ready again.
const ERRORS: usize = 16;

/// The number of the datagram buffer in a chunk, so that drivers know it from theirs.
pub(super) const BUFFER: u16 = u16::MAX;

/// The datagram sockets of a reactor and the buffer that receives for them.
pub(super) struct Datagrams {
    sockets: Vec<Option<UdpSocket>>,
    buffer: Box<[u8]>,
    chunk_out: bool,
}

impl Datagrams {
    pub(super) fn new() -> Self {
        Self { sockets: Vec::new(), buffer: Box::default(), chunk_out: false }
    }

    /// Takes a socket that does not block.
    pub(super) fn add(&mut self, listener: ListenerId, socket: UdpSocket) {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        }
        let index = usize::from(listener);
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, || None);
        }
        self.sockets[index] = Some(socket);
    }

    /// The descriptor of a socket.
    #[cfg(target_os = "linux")]
    pub(super) fn fd(&self, listener: ListenerId) -> Option<RawFd> {
        Some(self.sockets.get(usize::from(listener))?.as_ref()?.as_raw_fd())
    }

    /// The next datagram, or `None` where there is none now.
    pub(super) fn receive<I>(&mut self, listener: ListenerId) -> Option<Event<I>> {
        debug_assert!(!self.chunk_out, "the last datagram was not given back");
        let socket = self.sockets.get(usize::from(listener))?.as_ref()?;
        for _ in 0..ERRORS {
            match socket.recv_from(&mut self.buffer) {
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

    pub(super) fn send(&self, listener: ListenerId, to: SocketAddr, payload: &[u8]) -> io::Result<()> {
        let socket = self.sockets.get(usize::from(listener)).and_then(Option::as_ref);
        let socket = socket.ok_or(io::ErrorKind::NotConnected)?;
        socket.send_to(payload, to).map(drop)
    }
}
