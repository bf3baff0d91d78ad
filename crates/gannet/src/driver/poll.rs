//! The readiness driver: epoll on Linux, kqueue on macOS and the BSDs, through mio.
//!
//! Everything is registered once, edge-triggered, for both directions. What the kernel reports is remembered per
//! connection, and the system call made when the reactor wants its completion. One hot buffer receives for all.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry};
#[cfg(target_os = "linux")]
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::buffer::Chunk;
use crate::listener::{ListenSocket, open_outbound, reset_on_close};
use crate::mailbox::Wake;
use crate::outbox::{Outbox, SLICES};

use super::datagram::Datagrams;
use super::table::Table;
use super::{Driver, Event, ListenerId, Route, Sent, Token};

/// Bytes of the hot buffer: one read takes all of a deep pipeline, and it stays in the second-level cache.
const HOT_BYTES: usize = 64 * 1024;

/// Events taken in one wait.
const EVENTS: usize = 1_024;

/// Reads of one connection, or accepts of one listener, before others have their turn.
const BUDGET: u8 = 16;

#[cfg(target_os = "linux")]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
/// Elsewhere the runtime ignores SIGPIPE, as Rust programs do.
#[cfg(not(target_os = "linux"))]
const SEND_FLAGS: SendFlags = SendFlags::empty();

/// What a number that the kernel gives back stands for: a kind above, an index below.
const KIND_SHIFT: u32 = 32;
const LISTENER: usize = 1;
const DATAGRAM: usize = 2;
const WAKER: usize = 3;

fn name(kind: usize, index: usize) -> mio::Token {
    mio::Token(kind << KIND_SHIFT | index)
}

const READABLE: u8 = 1;
const WRITABLE: u8 = 1 << 1;
/// The peer's end of stream is in the kernel's buffer: read until it shows.
const ENDING: u8 = 1 << 2;

/// Something to look at.
#[derive(Clone, Copy)]
struct Ready {
    name: usize,
    bits: u8,
    visits: u8,
}

#[derive(Default)]
struct Entry {
    socket: Option<OwnedFd>,
    /// There may be something to read.
    readable: bool,
    ending: bool,
    receiving: bool,
    /// The kernel's buffer is full.
    blocked: bool,
    /// The reactor waits for an `Event::Sent`.
    waiting: bool,
    connecting: bool,
}

struct Listener {
    socket: ListenSocket,
    accepting: bool,
    /// There may be something to accept.
    ready: bool,
}

struct Bell(mio::Waker);

impl Wake for Bell {
    fn wake(&self) {
        if let Err(error) = self.0.wake() {
            tracing::error!(%error, "a reactor could not be woken");
        }
    }
}

/// See the module.
pub(crate) struct PollDriver {
    poll: Poll,
    events: Events,
    bell: Arc<Bell>,
    began: Instant,
    entries: Table<Entry>,
    listeners: Vec<Option<Listener>>,
    datagrams: Datagrams,
    hot: Box<[u8]>,
    chunk_out: bool,
    /// What the last wait found, from `cursor` on.
    ready: Vec<Ready>,
    cursor: usize,
    /// To look at in the next turn, without waiting.
    again: Vec<Ready>,
    /// Completions that need no look.
    done: VecDeque<Event<OwnedFd>>,
}

impl PollDriver {
    /// A driver on this thread.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Arc::new(Bell(mio::Waker::new(poll.registry(), name(WAKER, 0))?));
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            bell,
            #[allow(clippy::disallowed_methods)] // A driver is where time comes from.
            began: Instant::now(),
            entries: Table::new(),
            listeners: Vec::new(),
            datagrams: Datagrams::new(),
            hot: vec![0; HOT_BYTES].into_boxed_slice(),
            chunk_out: false,
            ready: Vec::new(),
            cursor: 0,
            again: Vec::new(),
            done: VecDeque::new(),
        })
    }

    /// Waits where the timeout has a part of a millisecond, of which epoll_wait would make a whole one, and says how long
    /// there is still to wait: epoll's own descriptor can be polled, and ppoll counts in nanoseconds. Unlike epoll_pwait2 it
    /// is on every kernel and in every seccomp profile.
    #[cfg(target_os = "linux")]
    fn wait_exactly(&self, timeout: Option<Duration>) -> io::Result<Option<Duration>> {
        let Some(exact) = timeout.filter(|timeout| timeout.subsec_nanos() % 1_000_000 != 0) else { return Ok(timeout) };
        let timespec = Timespec { tv_sec: exact.as_secs().cast_signed(), tv_nsec: exact.subsec_nanos().into() };
        let mut epoll = [PollFd::new(self.poll.registry(), PollFlags::IN)];
        match rustix::event::poll(&mut epoll, Some(&timespec)) {
            Ok(_) | Err(Errno::INTR) => Ok(Some(Duration::ZERO)),
            Err(error) => Err(error.into()),
        }
    }

    fn register(registry: &Registry, socket: &OwnedFd, token: Token) -> io::Result<()> {
        let both = Interest::READABLE.add(Interest::WRITABLE);
        registry.register(&mut SourceFd(&socket.as_raw_fd()), mio::Token(token as usize), both)
    }

    fn look_again(&mut self, name: usize, bits: u8) {
        self.again.push(Ready { name, bits, visits: 0 });
    }

    /// Looks at the connection under the cursor.
    fn visit_connection(&mut self) -> Option<Event<OwnedFd>> {
        let ready = self.ready[self.cursor];
        let token = ready.name as Token;
        let Some(entry) = self.entries.get_mut(token).filter(|entry| entry.socket.is_some()) else {
            self.cursor += 1;
            return None;
        };
        let socket = entry.socket.as_ref()?;
        entry.readable |= ready.bits & READABLE != 0;
        entry.ending |= ready.bits & ENDING != 0;
        if ready.bits & WRITABLE != 0 {
            self.ready[self.cursor].bits &= !WRITABLE;
            if entry.connecting {
                let result = match rustix::net::sockopt::socket_error(socket) {
                    Ok(Ok(())) if rustix::net::getpeername(socket).is_err() => return None,
                    Ok(result) => result,
                    Err(error) => Err(error),
                };
                entry.connecting = false;
                return Some(Event::Connected { token, result: result.map_err(io::Error::from) });
            }
            if entry.blocked {
                entry.blocked = false;
                if std::mem::take(&mut entry.waiting) {
                    return Some(Event::Sent { token, result: Ok(0) });
                }
            }
        }
        if !entry.readable || !entry.receiving || entry.connecting {
            self.cursor += 1;
            return None;
        }
        if ready.visits == BUDGET {
            self.cursor += 1;
            self.look_again(ready.name, READABLE);
            return None;
        }
        debug_assert!(!self.chunk_out, "the last chunk was not given back");
        match rustix::net::recv(socket, &mut *self.hot, RecvFlags::empty()) {
            Ok((0, _)) => {
                (entry.readable, entry.receiving) = (false, false);
                self.cursor += 1;
                Some(Event::Ended { token })
            }
            Ok((count, _)) => {
                // A read that did not fill the buffer has emptied the socket (epoll(7), question 9), unless the end of
                // the stream waits behind it.
                if count < HOT_BYTES && !entry.ending {
                    entry.readable = false;
                    self.cursor += 1;
                } else {
                    self.ready[self.cursor].visits += 1;
                }
                self.chunk_out = true;
                let data = NonNull::from(&mut self.hot[0]);
                // SAFETY: the hot buffer lives as long as the driver, `count` bytes of it were just written, and it is
                // not touched again before the chunk came back (`chunk_out`).
                Some(Event::Received { token, chunk: unsafe { Chunk::new(data, count as u32, 0) } })
            }
            Err(Errno::AGAIN) => {
                entry.readable = false;
                self.cursor += 1;
                None
            }
            Err(Errno::INTR) => None,
            Err(error) => {
                (entry.readable, entry.receiving) = (false, false);
                self.cursor += 1;
                Some(Event::Failed { token, error: error.into() })
            }
        }
    }

    fn visit_listener(&mut self, index: usize) -> Option<Event<OwnedFd>> {
        let Some(listener) = self.listeners.get_mut(index).and_then(Option::as_mut) else {
            self.cursor += 1;
            return None;
        };
        listener.ready = true;
        if !listener.accepting {
            self.cursor += 1;
            return None;
        }
        if self.ready[self.cursor].visits == BUDGET {
            self.cursor += 1;
            self.look_again(name(LISTENER, index).0, READABLE);
            return None;
        }
        self.ready[self.cursor].visits += 1;
        match listener.socket.accept() {
            Ok((incoming, peer)) => Some(Event::Accepted { listener: index as ListenerId, incoming, peer }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.ready = false;
                self.cursor += 1;
                None
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => Some(Event::AcceptFailed { listener: index as ListenerId, error }),
        }
    }

    fn visit_datagrams(&mut self, index: usize) -> Option<Event<OwnedFd>> {
        if self.ready[self.cursor].visits == BUDGET {
            self.cursor += 1;
            self.look_again(name(DATAGRAM, index).0, READABLE);
            return None;
        }
        self.ready[self.cursor].visits += 1;
        let received = self.datagrams.receive(index as ListenerId);
        if received.is_none() {
            self.cursor += 1;
        }
        received
    }
}

impl Driver for PollDriver {
    type Incoming = OwnedFd;

    const SENDS_AT_ONCE: bool = true;

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.bell.clone()
    }

    fn listen(&mut self, listener: ListenerId, socket: ListenSocket) -> io::Result<()> {
        let index = usize::from(listener);
        self.poll.registry().register(
            &mut SourceFd(&socket.as_fd().as_raw_fd()),
            name(LISTENER, index),
            Interest::READABLE,
        )?;
        if self.listeners.len() <= index {
            self.listeners.resize_with(index + 1, || None);
        }
        self.listeners[index] = Some(Listener { socket, accepting: false, ready: false });
        Ok(())
    }

    fn accept(&mut self, listener: ListenerId, on: bool) {
        let index = usize::from(listener);
        if let Some(listener) = self.listeners.get_mut(index).and_then(Option::as_mut) {
            listener.accepting = on;
            if on && listener.ready {
                self.look_again(name(LISTENER, index).0, READABLE);
            }
        }
    }

    fn unlisten(&mut self, listener: ListenerId) {
        if let Some(listener) = self.listeners.get_mut(usize::from(listener)) {
            *listener = None;
        }
    }

    fn bind(&mut self, listener: ListenerId, socket: UdpSocket) -> io::Result<()> {
        let name = name(DATAGRAM, usize::from(listener));
        self.poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), name, Interest::READABLE)?;
        self.datagrams.add(listener, socket);
        Ok(())
    }

    fn send_datagram(&mut self, listener: ListenerId, to: SocketAddr, payload: &[u8]) -> io::Result<()> {
        self.datagrams.send(listener, to, payload)
    }

    fn attach(&mut self, token: Token, incoming: OwnedFd) -> io::Result<()> {
        Self::register(self.poll.registry(), &incoming, token)?;
        self.entries.set(token, Entry { socket: Some(incoming), ..Entry::default() });
        Ok(())
    }

    fn refuse(&mut self, incoming: OwnedFd) {
        reset_on_close(&incoming);
    }

    fn adopt(&mut self, token: Token, socket: OwnedFd) -> io::Result<()> {
        self.attach(token, socket)
    }

    fn connect(&mut self, token: Token, route: &Route) -> io::Result<()> {
        let (socket, to) = open_outbound(route)?;
        let connecting = match socket.connect(&to) {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => true,
            Err(error) => return Err(error),
        };
        let socket = OwnedFd::from(socket);
        Self::register(self.poll.registry(), &socket, token)?;
        self.entries.set(token, Entry { socket: Some(socket), connecting, ..Entry::default() });
        if !connecting {
            self.done.push_back(Event::Connected { token, result: Ok(()) });
        }
        Ok(())
    }

    fn receive(&mut self, token: Token, on: bool) {
        if let Some(entry) = self.entries.get_mut(token) {
            entry.receiving = on;
            if on && entry.readable {
                self.look_again(token as usize, READABLE);
            }
        }
    }

    #[inline]
    fn send(&mut self, token: Token, outbox: &Outbox) -> Sent {
        let Some(entry) = self.entries.get_mut(token) else {
            return Sent::Failed(io::ErrorKind::NotConnected.into());
        };
        let Entry { socket: Some(socket), blocked, waiting, .. } = entry else {
            return Sent::Failed(io::ErrorKind::NotConnected.into());
        };
        if *blocked {
            *waiting = true;
            return Sent::Later;
        }
        let (result, offered) = if outbox.is_contiguous() {
            (rustix::net::send(socket, outbox.front(), SEND_FLAGS), outbox.len())
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = outbox.slices(&mut slices);
            let offered = slices[..count].iter().map(|slice| slice.len()).sum();
            let result =
                rustix::net::sendmsg(socket, &slices[..count], &mut SendAncillaryBuffer::default(), SEND_FLAGS);
            (result, offered)
        };
        match result {
            Ok(count) => {
                *blocked = count < offered;
                Sent::Now(count)
            }
            Err(Errno::AGAIN) => {
                (*blocked, *waiting) = (true, true);
                Sent::Later
            }
            Err(Errno::INTR) => Sent::Now(0),
            Err(error) => Sent::Failed(error.into()),
        }
    }

    fn shutdown(&mut self, token: Token) {
        if let Some(socket) = self.entries.get_mut(token).and_then(|entry| entry.socket.as_ref()) {
            // It fails only where the peer is gone already, which receiving will report.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
        }
    }

    fn close(&mut self, token: Token, reset: bool) {
        if let Some(entry) = self.entries.get_mut(token)
            && let Some(socket) = std::mem::take(entry).socket.filter(|_| reset)
        {
            reset_on_close(&socket);
        }
        self.done.push_back(Event::Closed { token });
    }

    fn recycle(&mut self, chunk: Chunk) {
        if chunk.buffer() == 0 {
            self.chunk_out = false;
        } else {
            self.datagrams.recycle();
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.ready.clear();
        self.cursor = 0;
        std::mem::swap(&mut self.ready, &mut self.again);
        let timeout = if self.ready.is_empty() && self.done.is_empty() { timeout } else { Some(Duration::ZERO) };
        #[cfg(target_os = "linux")]
        let timeout = self.wait_exactly(timeout)?;
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in &self.events {
            let mut bits = 0;
            if event.is_readable() || event.is_error() {
                bits |= READABLE;
            }
            if event.is_writable() || event.is_error() {
                bits |= WRITABLE;
            }
            if event.is_read_closed() {
                bits |= ENDING | READABLE;
            }
            self.ready.push(Ready { name: event.token().0, bits, visits: 0 });
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Event<OwnedFd>> {
        loop {
            if let Some(event) = self.done.pop_front() {
                return Some(event);
            }
            let ready = self.ready.get(self.cursor)?;
            let (kind, index) = (ready.name >> KIND_SHIFT, ready.name & ((1 << KIND_SHIFT) - 1));
            let event = match kind {
                0 => self.visit_connection(),
                LISTENER => self.visit_listener(index),
                DATAGRAM => self.visit_datagrams(index),
                _ => {
                    self.cursor += 1;
                    None
                }
            };
            if event.is_some() {
                return event;
            }
        }
    }

    #[cfg(test)]
    fn buffers_out(&self) -> usize {
        usize::from(self.chunk_out)
    }
}
