//! Echoes on sockets that are ready, for loops that hear of a socket as long as it is ready (select, poll, epoll by level).

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use crate::socket;

/// One buffer for all connections; it stays in the cache.
const BUFFER_BYTES: usize = 64 * 1024;

/// The event that a connection needs next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Bytes from the peer.
    Read,
    /// Room for bytes that the socket did not take. Reading goes on when the peer has taken what it is owed.
    Write,
    /// Nothing: it is over, by end of stream or error.
    Close,
}

/// An echo, one read and one write for each readiness.
pub struct Echo {
    buffer: Box<[u8]>,
    /// Bytes that full sockets did not take. Empty in the steady state.
    unsent: HashMap<RawFd, Vec<u8>>,
}

impl Echo {
    /// Without connections.
    pub fn new() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES].into(), unsent: HashMap::new() }
    }

    /// Goes on with a connection that can do what it waited for.
    pub fn go_on(&mut self, fd: RawFd) -> Next {
        let next =
            if self.unsent.is_empty() || !self.unsent.contains_key(&fd) { self.echo(fd) } else { self.flush(fd) };
        if next == Next::Close {
            self.unsent.remove(&fd);
            socket::close(fd);
        }
        next
    }

    fn echo(&mut self, fd: RawFd) -> Next {
        let count = match socket::receive(fd, &mut self.buffer) {
            Ok(Some(0)) | Err(_) => return Next::Close,
            Ok(Some(count)) => count,
            Ok(None) => return Next::Read,
        };
        let Ok(sent) = socket::send(fd, &self.buffer[..count]) else { return Next::Close };
        let sent = sent.unwrap_or(0);
        if sent < count {
            self.unsent.insert(fd, self.buffer[sent..count].to_vec());
            return Next::Write;
        }
        Next::Read
    }

    fn flush(&mut self, fd: RawFd) -> Next {
        let Some(unsent) = self.unsent.get_mut(&fd) else { return Next::Read };
        match socket::send(fd, unsent) {
            Ok(sent) => drop(unsent.drain(..sent.unwrap_or(0))),
            Err(_) => return Next::Close,
        }
        if unsent.is_empty() {
            self.unsent.remove(&fd);
            return Next::Read;
        }
        Next::Write
    }
}

/// Accepts everybody who waits. Where no descriptor is left, they wait on.
pub fn accept_all(listener: &impl AsRawFd, mut accepted: impl FnMut(RawFd) -> io::Result<()>) -> io::Result<()> {
    loop {
        match socket::accept(listener.as_raw_fd()) {
            Ok(Some(connection)) => accepted(connection.into_raw_fd())?,
            Ok(None) => return Ok(()),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}
