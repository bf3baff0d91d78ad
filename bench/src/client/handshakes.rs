//! Handshakes and nothing else: each connection ends when its handshake is done, and the next one begins.

use std::io;

use gannet_tls::{TlsClient, TlsClientConfig, TlsInfo, TlsVersion};

use super::stream::{Scratch, Stream, Tls};
use crate::epoll::{Epoll, READ_WRITE};
use crate::socket;
use crate::tls::NAME;

/// Counts of the handshakes so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Handshakes that were completed.
    pub handshakes: u64,
    /// Those of them that took up an earlier session, as this side sees it.
    pub resumed: u64,
}

/// The kind of handshake.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The version.
    pub version: TlsVersion,
    /// Each takes up the session of the one before.
    pub resumes: bool,
    /// How a connection ends.
    pub ending: Ending,
}

/// How a connection ends when its handshake is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a reset, once the server has answered the end of the handshake. In TLS 1.3 not every server does: some send their
    /// ticket before.
    Reset,
    /// This side sends no more, and reads until the server closes: that suits every server.
    HalfClose,
}

impl Kind {
    fn client(self) -> io::Result<TlsClient> {
        client(self.version, if self.resumes { 8 } else { 0 })
    }
}

/// A client of one version that keeps so many sessions.
pub fn client(version: TlsVersion, sessions: usize) -> io::Result<TlsClient> {
    let config = TlsClientConfig::new().min_version(version).max_version(version).sessions(sessions);
    config.dangerous_accept_any_certificate().build(NAME).map_err(io::Error::other)
}

struct Slot {
    /// Each has its own sessions, so that there is always one to take up.
    client: TlsClient,
    stream: Stream,
    /// This side has sent its last and waits for the server to close.
    is_closing: bool,
}

/// Handshakes, a few at a time.
pub struct Handshakes {
    port: u16,
    kind: Kind,
    epoll: Epoll,
    slots: Vec<Slot>,
    scratch: Scratch,
    done: Done,
}

impl Handshakes {
    /// Begins as many as there may be under way at once.
    pub fn begin(port: u16, kind: Kind, at_once: usize) -> io::Result<Self> {
        let mut scratch = Scratch::default();
        let epoll = Epoll::new()?;
        let mut slots = Vec::with_capacity(at_once);
        for index in 0..at_once {
            let client = kind.client()?;
            let stream = Stream::Tls(Box::new(Tls::begin(port, &client, &mut scratch)?));
            epoll.add(stream.fd(), READ_WRITE, index as u64)?;
            slots.push(Slot { client, stream, is_closing: false });
        }
        Ok(Self { port, kind, epoll, slots, scratch, done: Done::default() })
    }

    /// Counts of the handshakes so far.
    pub fn done(&self) -> Done {
        self.done
    }

    /// Waits at most so long for something to do, and does it; `between` is called after each connection that was
    /// looked at.
    pub fn step(&mut self, timeout_ms: i32, mut between: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let count = self.epoll.wait(timeout_ms)?;
        for event in 0..count {
            let (flags, token) = self.epoll.event(event);
            self.advance(token as usize, flags)?;
            between()?;
        }
        Ok(())
    }

    fn advance(&mut self, index: usize, flags: u32) -> io::Result<()> {
        let slot = &mut self.slots[index];
        if slot.is_closing && self.kind.ending == Ending::HalfClose {
            return if read_to_end(&mut slot.stream, &mut self.scratch)? { self.next(index) } else { Ok(()) };
        }
        if slot.is_closing {
            // It has read everything once it closes; what it says until then is its good-bye.
            const CLOSED: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
            return if flags & CLOSED == 0 { Ok(()) } else { self.next(index) };
        }
        slot.stream.flush()?;
        if flags & libc::EPOLLIN as u32 == 0 {
            return Ok(());
        }
        slot.stream.receive(&mut self.scratch)?;
        let Stream::Tls(tls) = &slot.stream else { return Ok(()) };
        if !tls.is_ready() {
            return Ok(());
        }
        if self.kind.ending == Ending::HalfClose {
            self.done.handshakes += 1;
            self.done.resumed += u64::from(tls.info().is_some_and(TlsInfo::resumed));
            slot.is_closing = true;
            socket::finish(tls.fd())?;
            // What came after the handshake would not be reported a second time.
            return if read_to_end(&mut slot.stream, &mut self.scratch)? { self.next(index) } else { Ok(()) };
        }
        // In TLS 1.3 the client is done first; the server's ticket says that it is, too (RFC 8446 §4.6.1).
        if self.kind.version == TlsVersion::V1_3 && !tls.was_answered() {
            return Ok(());
        }
        self.done.handshakes += 1;
        let resumed = tls.info().is_some_and(TlsInfo::resumed);
        self.done.resumed += u64::from(resumed);
        if self.kind.version == TlsVersion::V1_2 && resumed {
            // Here the client's message is the last (RFC 5246 §7.3). A reset would overtake it where the server is slow to
            // read, and the server would never know that the handshake was done.
            slot.is_closing = true;
            return socket::finish(tls.fd());
        }
        self.next(index)
    }

    /// Begins the next handshake in the place of one that is over.
    fn next(&mut self, index: usize) -> io::Result<()> {
        let slot = &mut self.slots[index];
        slot.is_closing = false;
        let next = Tls::begin(self.port, &slot.client, &mut self.scratch)?;
        // This ends the one before.
        slot.stream = Stream::Tls(Box::new(next));
        self.epoll.add(slot.stream.fd(), READ_WRITE, index as u64)
    }
}

/// Reads what is there, tickets among it; whether the server has closed.
fn read_to_end(stream: &mut Stream, scratch: &mut Scratch) -> io::Result<bool> {
    loop {
        match stream.receive(scratch) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(false),
            // A server that closes while something is unread resets the connection.
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
    }
}
