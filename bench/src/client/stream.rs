//! The byte streams of clients: a socket, or TLS over one. The TLS is that of the engine's filter, which does
//! no I/O by itself, over the same bare calls.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use gannet::{Filter, FilterFactory, FilterOutput, FilterProgress};
use gannet_tls::{TlsClient, TlsInfo};

use crate::socket;

/// One read takes at most this much.
const BUFFER_BYTES: usize = 64 * 1024;

/// The buffers of a client, for all its streams.
pub struct Scratch {
    buffer: Vec<u8>,
    plain: Vec<u8>,
    wire: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES], plain: Vec::new(), wire: Vec::new() }
    }
}

/// The result of one read.
pub struct Received<'s> {
    /// Bytes of replies; there may be none although bytes came.
    pub plain: &'s [u8],
    /// The read was a short one, so that there is nothing more to read.
    pub emptied: bool,
}

/// A connection to a server.
pub enum Stream {
    /// Without TLS.
    Plain(OwnedFd),
    /// With it.
    Tls(Box<Tls>),
}

impl Stream {
    /// The socket.
    pub fn fd(&self) -> RawFd {
        match self {
            Self::Plain(fd) => fd.as_raw_fd(),
            Self::Tls(tls) => tls.fd(),
        }
    }

    /// One read. `Ok(None)` where there is nothing to read.
    pub fn receive<'s>(&mut self, scratch: &'s mut Scratch) -> io::Result<Option<Received<'s>>> {
        match self {
            Self::Plain(fd) => {
                let Some(count) = socket::receive(fd.as_raw_fd(), &mut scratch.buffer)? else { return Ok(None) };
                if count == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                Ok(Some(Received { plain: &scratch.buffer[..count], emptied: count < scratch.buffer.len() }))
            }
            Self::Tls(tls) => {
                let Some(emptied) = tls.read_once(scratch)? else { return Ok(None) };
                Ok(Some(Received { plain: &scratch.plain, emptied }))
            }
        }
    }

    /// Sends bytes, or as many as are taken; `Ok(None)` where none are. With TLS each `message` bytes are a record.
    pub fn send(&mut self, bytes: &[u8], message: usize, scratch: &mut Scratch) -> io::Result<Option<usize>> {
        match self {
            Self::Plain(fd) => socket::send(fd.as_raw_fd(), bytes),
            Self::Tls(tls) => {
                if !tls.flush_wire()? {
                    return Ok(None);
                }
                tls.seal(bytes, message, scratch)?;
                Ok(Some(bytes.len()))
            }
        }
    }

    /// Sends what a full socket did not take before.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush_wire().map(drop),
        }
    }
}

/// TLS over a socket that does not wait. As [`Read`] and [`Write`] it waits, for a few seconds at most.
pub struct Tls {
    fd: OwnedFd,
    filter: Box<dyn Filter>,
    state: FilterProgress,
    /// The beginning of a record.
    held: Vec<u8>,
    /// The bytes that a full socket did not take.
    unsent: Vec<u8>,
    /// Decrypted bytes that [`Read`] has not returned yet.
    unread: Vec<u8>,
    /// The server has answered the end of the handshake: with a ticket, or with data.
    heard: bool,
}

impl Tls {
    /// Connects and says the client's hello.
    pub fn begin(port: u16, client: &TlsClient, scratch: &mut Scratch) -> io::Result<Self> {
        let filter = client.filter().map_err(io::Error::other)?;
        let fd = socket::connect(port)?;
        let (held, unsent, unread) = (Vec::new(), Vec::new(), Vec::new());
        let mut tls = Self { fd, filter, state: FilterProgress::default(), held, unsent, unread, heard: false };
        scratch.wire.clear();
        tls.filter.start(&mut scratch.wire).map_err(io::Error::other)?;
        tls.transmit(&scratch.wire)?;
        Ok(tls)
    }

    /// Connects and waits until the handshake is done.
    pub fn open(port: u16, client: &TlsClient, scratch: &mut Scratch) -> io::Result<Self> {
        let mut tls = Self::begin(port, client, scratch)?;
        while !tls.is_ready() {
            super::wait_for(&tls.fd, libc::POLLIN)?;
            tls.read_once(scratch)?;
            tls.unread.extend_from_slice(&scratch.plain);
        }
        Ok(tls)
    }

    /// The socket.
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The handshake is done on this side.
    pub fn is_ready(&self) -> bool {
        self.state.ready
    }

    /// It is done and the server has said something since.
    pub fn was_answered(&self) -> bool {
        self.heard
    }

    /// Returns what was agreed on, once the handshake is done.
    pub fn info(&self) -> Option<&TlsInfo> {
        self.filter.info()?.downcast_ref()
    }

    /// One read; what came of it is in `scratch.plain`. Says whether it has emptied the socket, or `None` where there
    /// was nothing.
    fn read_once(&mut self, scratch: &mut Scratch) -> io::Result<Option<bool>> {
        let Scratch { buffer, plain, wire } = scratch;
        plain.clear();
        wire.clear();
        let held = self.held.len();
        if buffer.len() < held + BUFFER_BYTES {
            buffer.resize(held + BUFFER_BYTES, 0);
        }
        buffer[..held].copy_from_slice(&self.held);
        let Some(count) = socket::receive(self.fd.as_raw_fd(), &mut buffer[held..])? else { return Ok(None) };
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let room = buffer.len() - held;
        let received = &mut buffer[..held + count];
        let was_ready = self.state.ready;
        self.state = self.filter.receive(received, &mut FilterOutput::new(plain, wire)).map_err(io::Error::other)?;
        self.heard |= was_ready && self.state.consumed > 0;
        self.held.clear();
        self.held.extend_from_slice(&received[self.state.consumed..]);
        self.transmit(wire)?;
        Ok(Some(count < room))
    }

    fn seal(&mut self, bytes: &[u8], message: usize, scratch: &mut Scratch) -> io::Result<()> {
        let wire = &mut scratch.wire;
        wire.clear();
        for record in bytes.chunks(message) {
            self.filter.send(record, wire).map_err(io::Error::other)?;
        }
        self.transmit(wire)
    }

    fn transmit(&mut self, wire: &[u8]) -> io::Result<()> {
        let sent = match wire.is_empty() || !self.unsent.is_empty() {
            true => 0,
            false => socket::send(self.fd.as_raw_fd(), wire)?.unwrap_or(0),
        };
        self.unsent.extend_from_slice(&wire[sent..]);
        Ok(())
    }

    /// Says whether everything was sent.
    fn flush_wire(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            let Some(sent) = socket::send(self.fd.as_raw_fd(), &self.unsent)? else { return Ok(false) };
            self.unsent.drain(..sent);
        }
        Ok(true)
    }
}

impl Read for Tls {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut scratch = Scratch::default();
        while self.unread.is_empty() {
            super::wait_for(&self.fd, libc::POLLIN)?;
            self.read_once(&mut scratch)?;
            self.unread.extend_from_slice(&scratch.plain);
        }
        let count = into.len().min(self.unread.len());
        into[..count].copy_from_slice(&self.unread[..count]);
        self.unread.drain(..count);
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        Ok(count)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            self.seal(bytes, bytes.len(), &mut Scratch::default())?;
        }
        self.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.flush_wire()? {
            super::wait_for(&self.fd, libc::POLLOUT)?;
        }
        Ok(())
    }
}
