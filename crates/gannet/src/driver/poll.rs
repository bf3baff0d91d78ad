//! The readiness driver: epoll on Linux, kqueue on macOS and the BSDs, through mio.
//!
//! Everything is registered once, edge-triggered, for both directions. What the kernel reports is remembered per
//! connection, and the system call made when the reactor wants its completion. One hot buffer receives for all.
//!
//! Whatever there is to look at is on a list: each connection, listener and datagram socket once at the most, however often
//! it was put there, and with a bound on how often it is looked at in one turn. So none has more of a turn than that.

mod status;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry};
#[cfg(target_os = "linux")]
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::buffer::{Chunk, Destination};
use crate::driver::outbound::open_outbound;
use crate::listener::{ListenSocket, dismiss, reset_on_close};
use crate::mailbox::Wake;
use crate::outbox::{Outbox, SLICES};
use crate::requests::duplicate;
use crate::share::SHARE_BYTES;

use super::datagram::{Datagrams, Sender};
use super::{Destinations, Driver, Event, Sent};
use crate::ids::{ListenerId, Token};
use crate::route::Route;
use crate::table::Table;

use self::status::Status;

/// Bytes of the hot buffer: one read takes all of a deep pipeline, and it stays in the second-level cache.
const HOT_BYTES: usize = 64 * 1024;

/// Events taken in one wait.
const EVENTS: usize = 1_024;

/// Reads of one connection in a turn: as many bytes as its share of one.
const READS: u8 = (SHARE_BYTES / HOT_BYTES) as u8;

/// Accepts of one listener in a turn.
const ACCEPTS: u8 = 16;

/// Datagrams of one socket in a turn.
const DATAGRAMS: u8 = 16;

#[cfg(target_os = "linux")]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
/// Elsewhere the runtime ignores SIGPIPE, as Rust programs do.
#[cfg(not(target_os = "linux"))]
const SEND_FLAGS: SendFlags = SendFlags::empty();

/// What a number that the kernel gives back stands for: a kind above, an index below.
const KIND_SHIFT: u32 = 32;
const CONNECTION: usize = 0;
const LISTENER: usize = 1;
const DATAGRAM: usize = 2;
const WAKER: usize = 3;

fn name(kind: usize, index: usize) -> mio::Token {
    mio::Token(kind << KIND_SHIFT | index)
}

fn kind_and_index(name: usize) -> (usize, usize) {
    (name >> KIND_SHIFT, name & ((1 << KIND_SHIFT) - 1))
}

#[derive(Default)]
struct PollConnection {
    socket: Option<OwnedFd>,
    status: Status,
}

struct Listener {
    socket: ListenSocket,
    /// Another process may have it too.
    is_shared: bool,
    accepting: bool,
    /// It closes when nothing waits any more.
    retires: bool,
    /// There may be something to accept.
    ready: bool,
    /// As for a connection.
    listed: bool,
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
    entries: Table<PollConnection>,
    listeners: Vec<Option<Listener>>,
    datagrams: Datagrams,
    /// Whether each datagram socket is listed, as for a connection.
    datagrams_listed: Vec<bool>,
    hot: Box<[u8]>,
    chunk_out: bool,
    /// The names of what to look at in this turn, from `cursor` on.
    ready: Vec<usize>,
    cursor: usize,
    /// Looks at what is under the cursor so far.
    visits: u8,
    /// To look at in the next turn, without waiting.
    again: Vec<usize>,
    /// Completions that need no look.
    done: VecDeque<Event<OwnedFd>>,
    /// The last wait may have left something.
    is_behind: bool,
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
            entries: Table::default(),
            listeners: Vec::new(),
            datagrams: Datagrams::new(),
            datagrams_listed: Vec::new(),
            hot: vec![0; HOT_BYTES].into_boxed_slice(),
            chunk_out: false,
            ready: Vec::new(),
            cursor: 0,
            visits: 0,
            again: Vec::new(),
            is_behind: false,
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

    fn open_entry(&mut self, token: Token, socket: OwnedFd, connecting: bool) {
        // The list may still hold the connection that had this token before.
        let listed = self.entries.get_mut(token).is_some_and(|entry| entry.status.has(Status::LISTED));
        let status = Status::CONNECTING.only_if(connecting).or(Status::LISTED.only_if(listed));
        self.entries.set(token, PollConnection { socket: Some(socket), status });
    }

    /// Puts something on a list, or takes it from it; says whether it was on one. What is not there counts as if it were.
    #[inline]
    fn list(&mut self, name: usize, on: bool) -> bool {
        let (kind, index) = kind_and_index(name);
        let listed = match kind {
            CONNECTION => {
                let Some(entry) = self.entries.get_mut(index as Token) else { return true };
                let was = entry.status.has(Status::LISTED);
                entry.status.set_to(Status::LISTED, on);
                return was;
            }
            LISTENER => self.listeners.get_mut(index).and_then(Option::as_mut).map(|listener| &mut listener.listed),
            DATAGRAM => self.datagrams_listed.get_mut(index),
            _ => None,
        };
        listed.is_none_or(|listed| std::mem::replace(listed, on))
    }

    /// Puts something on the list of the next turn, unless it is on one already.
    fn look_again(&mut self, name: usize) {
        if !self.list(name, true) {
            self.again.push(name);
        }
    }

    /// Goes on to the next on the list.
    fn pass(&mut self) {
        self.list(self.ready[self.cursor], false);
        (self.cursor, self.visits) = (self.cursor + 1, 0);
    }

    /// Whether what is under the cursor has been looked at as often as one turn allows: then it is passed until the next.
    fn has_had_its_share(&mut self, most: u8) -> bool {
        if self.visits < most {
            self.visits += 1;
            return false;
        }
        let name = self.ready[self.cursor];
        self.pass();
        self.look_again(name);
        true
    }

    /// Looks at the connection under the cursor.
    #[inline(always)] // The way of each chunk: a call has registers to save, and an event to pass through memory.
    fn visit_connection(&mut self, token: Token, destinations: &mut impl Destinations) -> Option<Event<OwnedFd>> {
        const DUE: Status = Status::CONNECTING.or(Status::BLOCKED);
        const READ: Status = Status::READABLE.or(Status::RECEIVING);
        let Some(PollConnection { socket: Some(socket), status }) = self.entries.get_mut(token) else {
            self.pass();
            return None;
        };
        if status.take(Status::WRITABLE) && status.has(DUE) {
            if status.has(Status::CONNECTING) {
                let result = match rustix::net::sockopt::socket_error(&*socket) {
                    Ok(Ok(())) if rustix::net::getpeername(&*socket).is_err() => return None,
                    Ok(result) => result,
                    Err(error) => Err(error),
                };
                status.clear(Status::CONNECTING);
                return Some(Event::Connected { token, result: result.map_err(io::Error::from) });
            }
            status.clear(Status::BLOCKED);
            if status.take(Status::WAITING) {
                return Some(Event::Sent { token, result: Ok(0) });
            }
        }
        if status.has(Status::BROKEN) && status.is(Status::WATCHED, Status::WATCHED.or(Status::RECEIVING)) {
            status.clear(Status::WATCHED);
            let error = match rustix::net::sockopt::socket_error(&*socket) {
                Ok(Err(error)) | Err(error) => error.into(),
                Ok(Ok(())) => io::ErrorKind::BrokenPipe.into(),
            };
            self.pass();
            return Some(Event::Failed { token, error });
        }
        if !status.is(READ, READ.or(Status::CONNECTING)) {
            self.pass();
            return None;
        }
        if self.visits >= READS {
            self.visits = READS;
            self.has_had_its_share(READS);
            return None;
        }
        self.visits += 1;
        debug_assert!(!self.chunk_out, "the last chunk was not given back");
        if status.take(Status::LARGE)
            && let Some(destination) = destinations.destination(token)
        {
            return self.receive_into(token, destination);
        }
        match rustix::net::recv(&*socket, &mut *self.hot, RecvFlags::empty()) {
            Ok((count @ 1.., _)) => {
                // A read that did not fill the buffer has emptied the socket (epoll(7), question 9), unless the end of
                // the stream waits behind it.
                if count < HOT_BYTES && !status.has(Status::ENDING) {
                    // As `pass`, without another look for the entry: most connections go here.
                    status.clear(Status::READABLE.or(Status::LISTED));
                    (self.cursor, self.visits) = (self.cursor + 1, 0);
                } else {
                    status.set_to(Status::LARGE, count == HOT_BYTES);
                }
                self.chunk_out = true;
                let data = NonNull::from(&mut self.hot[0]);
                // SAFETY: the hot buffer lives as long as the driver, `count` bytes of it were just written, and it is
                // not touched again before the chunk came back (`chunk_out`).
                Some(Event::Received { token, chunk: unsafe { Chunk::new(data, count as u32, 0) } })
            }
            Ok(_) => self.brought_nothing(token, Ok(())),
            Err(error) => self.brought_nothing(token, Err(error)),
        }
    }

    /// Receives for the connection under the cursor to where its large message goes. Counts as a read for each 64 KiB.
    #[cold]
    fn receive_into(&mut self, token: Token, destination: Destination<'_>) -> Option<Event<OwnedFd>> {
        let mut destination = destination.first(usize::from(READS + 1 - self.visits) * HOT_BYTES);
        let entry = self.entries.get_mut(token)?;
        let received = rustix::net::recv(entry.socket.as_ref()?, destination.room(), RecvFlags::empty());
        let count = match received.map(|((received, _), _)| received.len()) {
            Ok(0) => return self.brought_nothing(token, Ok(())),
            Err(error) => return self.brought_nothing(token, Err(error)),
            Ok(count) => count,
        };
        entry.status.set(Status::LARGE);
        if count < destination.len() && !entry.status.has(Status::ENDING) {
            entry.status.clear(Status::READABLE);
            self.pass();
        } else {
            self.visits += ((count - 1) / HOT_BYTES) as u8;
        }
        // SAFETY: the kernel has written `count` bytes of it.
        unsafe { destination.fill(count) };
        Some(Event::ReceivedInto { token, count })
    }

    /// A read for the connection under the cursor has found the end of the stream, nothing, or an error.
    #[cold]
    fn brought_nothing(&mut self, token: Token, result: Result<(), Errno>) -> Option<Event<OwnedFd>> {
        if result == Err(Errno::INTR) {
            return None;
        }
        let entry = self.entries.get_mut(token)?;
        entry.status.clear(Status::READABLE);
        if result != Err(Errno::AGAIN) {
            entry.status.clear(Status::RECEIVING);
        }
        self.pass();
        match result {
            Ok(()) => Some(Event::Ended { token }),
            Err(Errno::AGAIN) => None,
            Err(error) => Some(Event::Failed { token, error: error.into() }),
        }
    }

    fn visit_listener(&mut self, index: usize) -> Option<Event<OwnedFd>> {
        if self.listeners.get(index).and_then(Option::as_ref).is_none_or(|listener| !listener.accepting) {
            self.pass();
            return None;
        }
        if self.has_had_its_share(ACCEPTS) {
            return None;
        }
        let listener = self.listeners[index].as_mut()?;
        match listener.socket.accept() {
            Ok((incoming, peer)) => Some(Event::Accepted { listener: index as ListenerId, incoming, peer }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.ready = false;
                let retires = listener.retires;
                self.pass();
                if !retires {
                    return None;
                }
                self.unlisten(index as ListenerId);
                Some(Event::Retired { listener: index as ListenerId })
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => Some(Event::AcceptFailed { listener: index as ListenerId, error }),
        }
    }

    fn add_datagrams(&mut self, listener: ListenerId, socket: UdpSocket) -> io::Result<()> {
        self.datagrams.add(listener, socket)?;
        let count = self.datagrams_listed.len().max(usize::from(listener) + 1);
        self.datagrams_listed.resize(count, false);
        Ok(())
    }

    fn visit_datagrams(&mut self, index: usize) -> Option<Event<OwnedFd>> {
        if self.has_had_its_share(DATAGRAMS) {
            return None;
        }
        let received = self.datagrams.receive(index as ListenerId);
        if received.is_none() {
            self.pass();
        }
        received
    }

    /// Notes what the kernel reports of something, and puts it on the list of this turn.
    #[inline]
    fn note(&mut self, name: usize, happened: Status) {
        let (kind, index) = kind_and_index(name);
        let was_listed = if kind == CONNECTION {
            let Some(entry) = self.entries.get_mut(index as Token) else { return };
            let was = entry.status.has(Status::LISTED);
            entry.status.set(happened.or(Status::LISTED));
            was
        } else {
            if let (LISTENER, Some(Some(listener))) = (kind, self.listeners.get_mut(index)) {
                listener.ready = true;
            }
            self.list(name, true)
        };
        if !was_listed {
            self.ready.push(name);
        }
    }
}

/// Sends from the front of an outbox whose bytes are in several pieces; says how much was offered.
fn send_slices(socket: &OwnedFd, outbox: &Outbox) -> (Result<usize, Errno>, usize) {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = outbox.slices(&mut slices);
    let offered = slices[..count].iter().map(|slice| slice.len()).sum();
    let sent = rustix::net::sendmsg(socket, &slices[..count], &mut SendAncillaryBuffer::default(), SEND_FLAGS);
    (sent, offered)
}

impl Driver for PollDriver {
    type Incoming = OwnedFd;

    const FOUND_AT_ONCE: u32 = EVENTS as u32;

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.bell.clone()
    }

    fn listen(&mut self, listener: ListenerId, socket: ListenSocket) -> io::Result<()> {
        let index = usize::from(listener);
        // A process that it comes from may have had it block.
        rustix::io::ioctl_fionbio(&socket, true)?;
        self.poll.registry().register(
            &mut SourceFd(&socket.as_fd().as_raw_fd()),
            name(LISTENER, index),
            Interest::READABLE,
        )?;
        if self.listeners.len() <= index {
            self.listeners.resize_with(index + 1, || None);
        }
        self.listeners[index] =
            Some(Listener { socket, is_shared: false, accepting: false, retires: false, ready: false, listed: false });
        Ok(())
    }

    fn accept(&mut self, listener: ListenerId, on: bool) {
        let index = usize::from(listener);
        if let Some(listener) = self.listeners.get_mut(index).and_then(Option::as_mut) {
            listener.accepting = on;
            if on && listener.ready {
                self.look_again(name(LISTENER, index).0);
            }
        }
    }

    fn unlisten(&mut self, listener: ListenerId) {
        self.release(listener);
    }

    fn suspend(&mut self, listener: ListenerId) {
        let refuses = match self.listeners.get(usize::from(listener)).and_then(Option::as_ref) {
            Some(listener) => !listener.is_shared && listener.socket.suspend(),
            None => return,
        };
        self.accept(listener, !refuses);
    }

    fn resume(&mut self, listener: ListenerId, on: bool) -> io::Result<()> {
        if let Some(listener) = self.listeners.get_mut(usize::from(listener)).and_then(Option::as_mut) {
            listener.socket.resume()?;
            listener.ready = true;
        }
        self.accept(listener, on);
        Ok(())
    }

    fn share(&mut self, listener: ListenerId) {
        if let Some(listener) = self.listeners.get_mut(usize::from(listener)).and_then(Option::as_mut) {
            listener.is_shared = true;
        }
    }

    fn duplicate(&self, listener: ListenerId) -> io::Result<Option<OwnedFd>> {
        let listening = self.listeners.get(usize::from(listener)).and_then(Option::as_ref);
        let listening = listening.map(|listening| listening.socket.as_fd());
        let socket = listening.or_else(|| self.datagrams.socket(listener).map(UdpSocket::as_fd));
        socket.map(duplicate).transpose()
    }

    fn withdraw(&mut self, listener: ListenerId) {
        self.share(listener);
        self.accept(listener, false);
    }

    fn is_withdrawn(&self, _: ListenerId) -> bool {
        true
    }

    fn restore(&mut self, listener: ListenerId, on: bool) -> io::Result<()> {
        if let Some(listener) = self.listeners.get_mut(usize::from(listener)).and_then(Option::as_mut) {
            // The other process may have had it block.
            rustix::io::ioctl_fionbio(&listener.socket, true)?;
            listener.ready = true;
        }
        self.accept(listener, on);
        Ok(())
    }

    fn release(&mut self, listener: ListenerId) {
        // Epoll knows the socket, and not the descriptor: it would go on to report what another process accepts.
        if let Some(Listener { socket, .. }) = self.listeners.get_mut(usize::from(listener)).and_then(Option::take) {
            let _ = self.poll.registry().deregister(&mut SourceFd(&socket.as_fd().as_raw_fd()));
        } else if let Some(socket) = self.datagrams.remove(listener) {
            let _ = self.poll.registry().deregister(&mut SourceFd(&socket.as_raw_fd()));
        }
    }

    fn retire(&mut self, listener: ListenerId) -> bool {
        let index = usize::from(listener);
        let Some(retiring) = self.listeners.get_mut(index).and_then(Option::as_mut) else {
            // Its socket went to another.
            return false;
        };
        // Nothing may have been reported yet of what waits.
        (retiring.retires, retiring.ready) = (true, true);
        if retiring.accepting {
            self.look_again(name(LISTENER, index).0);
        }
        true
    }

    fn hand_on(&mut self, from: ListenerId, to: ListenerId) -> bool {
        if let Some(socket) = self.datagrams.remove(from) {
            let name = name(DATAGRAM, usize::from(to));
            // Edge-triggered: it is reported once more where something waits.
            let moved = self.poll.registry().reregister(&mut SourceFd(&socket.as_raw_fd()), name, Interest::READABLE);
            if let Err(error) = moved.and_then(|()| self.add_datagrams(to, socket)) {
                tracing::error!(%error, "a datagram socket cannot go on with its new service");
            }
            return false;
        }
        let listener = self.listeners.get_mut(usize::from(from)).and_then(Option::take);
        let Some(Listener { socket, is_shared, .. }) = listener else { return false };
        let _ = self.poll.registry().deregister(&mut SourceFd(&socket.as_fd().as_raw_fd()));
        let listened = self.listen(to, socket);
        if let Err(error) = &listened {
            tracing::error!(%error, "a listener cannot go on with its new service");
        }
        if is_shared {
            self.share(to);
        }
        listened.is_ok()
    }

    fn listening_socket(&self, listener: ListenerId) -> Option<BorrowedFd<'_>> {
        Some(self.listeners.get(usize::from(listener))?.as_ref()?.socket.as_fd())
    }

    fn unbind(&mut self, listener: ListenerId) {
        if let Some(socket) = self.datagrams.remove(listener) {
            // Another process may have the socket too.
            let _ = self.poll.registry().deregister(&mut SourceFd(&socket.as_raw_fd()));
        }
    }

    fn bind(&mut self, listener: ListenerId, socket: UdpSocket) -> io::Result<()> {
        let name = name(DATAGRAM, usize::from(listener));
        self.poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), name, Interest::READABLE)?;
        self.add_datagrams(listener, socket)
    }

    fn send_datagram(&mut self, listener: ListenerId, to: Sender, payload: &[u8]) -> io::Result<()> {
        self.datagrams.send(listener, to, payload)
    }

    fn attach(&mut self, token: Token, incoming: OwnedFd) -> io::Result<()> {
        Self::register(self.poll.registry(), &incoming, token)?;
        self.open_entry(token, incoming, false);
        Ok(())
    }

    fn refuse(&mut self, incoming: OwnedFd, farewell: &'static [u8]) {
        dismiss(&incoming, farewell);
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
        self.open_entry(token, socket, connecting);
        if !connecting {
            self.done.push_back(Event::Connected { token, result: Ok(()) });
        }
        Ok(())
    }

    fn receive(&mut self, token: Token, on: bool) {
        if let Some(entry) = self.entries.get_mut(token) {
            entry.status.set_to(Status::RECEIVING, on);
            if on && entry.status.has(Status::READABLE) {
                self.look_again(token as usize);
            }
        }
    }

    fn watch(&mut self, token: Token) {
        if let Some(entry) = self.entries.get_mut(token) {
            entry.status.set(Status::WATCHED);
            if entry.status.has(Status::BROKEN) {
                self.look_again(token as usize);
            }
        }
    }

    #[inline(always)] // As `next`.
    fn send(&mut self, token: Token, outbox: &Outbox) -> Sent {
        let Some(entry) = self.entries.get_mut(token) else {
            return Sent::Failed(io::ErrorKind::NotConnected.into());
        };
        let PollConnection { socket: Some(socket), status } = entry else {
            return Sent::Failed(io::ErrorKind::NotConnected.into());
        };
        if status.has(Status::BLOCKED) {
            status.set(Status::WAITING);
            return Sent::Later;
        }
        let (result, offered) = if outbox.is_contiguous() {
            (rustix::net::send(socket, outbox.front(), SEND_FLAGS), outbox.len())
        } else {
            send_slices(socket, outbox)
        };
        match result {
            Ok(count) => {
                if count < offered {
                    status.set(Status::BLOCKED);
                }
                Sent::Now(count)
            }
            Err(Errno::AGAIN) => {
                status.set(Status::BLOCKED.or(Status::WAITING));
                Sent::Later
            }
            Err(Errno::INTR) => Sent::Now(0),
            Err(error) => Sent::Failed(error.into()),
        }
    }

    #[inline]
    fn lends(&self, _: &Chunk) -> bool {
        true
    }

    fn shutdown(&mut self, token: Token) {
        if let Some(socket) = self.entries.get_mut(token).and_then(|entry| entry.socket.as_ref()) {
            // It fails only where the peer is gone already, which receiving will report.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
        }
    }

    fn close(&mut self, token: Token, reset: bool) {
        if let Some(entry) = self.entries.get_mut(token)
            && let PollConnection { socket: Some(socket), status } = std::mem::take(entry)
        {
            entry.status = Status::LISTED.only_if(status.has(Status::LISTED));
            if reset {
                reset_on_close(&socket);
            }
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
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.is_behind = true;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let mut found = 0;
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            found += 1;
            let failed = event.is_error();
            let readable = event.is_readable() || event.is_read_closed() || failed;
            let happened = Status::READABLE.only_if(readable);
            let happened = happened.or(Status::WRITABLE.only_if(event.is_writable() || failed));
            let happened = happened.or(Status::ENDING.only_if(event.is_read_closed()));
            self.note(event.token().0, happened.or(Status::BROKEN.only_if(failed || event.is_write_closed())));
        }
        self.events = events;
        self.is_behind = found == EVENTS;
        Ok(())
    }

    #[inline(always)] // As `visit_connection`.
    fn next(&mut self, destinations: &mut impl Destinations) -> Option<Event<OwnedFd>> {
        loop {
            if let Some(event) = self.done.pop_front() {
                return Some(event);
            }
            let (kind, index) = kind_and_index(*self.ready.get(self.cursor)?);
            let event = match kind {
                CONNECTION => self.visit_connection(index as Token, destinations),
                LISTENER => self.visit_listener(index),
                _ => self.visit_datagrams(index),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.is_behind
    }

    fn has_unread(&mut self, token: Token) -> bool {
        const UNREAD: Status = Status::READABLE.or(Status::RECEIVING);
        self.entries.get_mut(token).is_some_and(|entry| entry.status.is(UNREAD, UNREAD))
    }

    #[cfg(test)]
    fn buffers_out(&self) -> usize {
        usize::from(self.chunk_out)
    }
}
