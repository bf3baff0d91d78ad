//! What talks to the kernel: one completion-style trait, and the drivers behind it.
//!
//! A reactor owns exactly one driver and calls it on its own thread only. The trait is completion-style
//! because io_uring is; the readiness driver makes the system call itself and reports what came of it, so
//! that the reactor is written once.

pub(crate) mod datagram;
mod outbound;
#[cfg(target_os = "linux")]
mod packet_info;
pub(crate) mod poll;
pub(crate) mod probe;
#[cfg(any(test, feature = "sim"))]
#[cfg_attr(not(test), allow(dead_code, reason = "some of it is for the engine's own tests only"))]
pub(crate) mod sim;
#[cfg(target_os = "linux")]
pub(crate) mod sockopt;
#[cfg(target_os = "linux")]
pub(crate) mod uring;

use std::io;
use std::net::UdpSocket;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use self::datagram::Sender;
use crate::address::Peer;
use crate::buffer::{Chunk, Destination};
use crate::ids::{ListenerId, Token};
use crate::listener::ListenSocket;
use crate::mailbox::Wake;
use crate::outbox::Outbox;
use crate::route::Route;

/// What came of handing an outbox to the driver.
#[derive(Debug)]
pub(crate) enum Sent {
    /// So many bytes left at once; where the outbox holds more, call `send` again.
    Now(usize),
    /// An [`Event::Sent`] will say. Until it came the driver may read the outbox's bytes: nothing already in
    /// it may move or be freed, and `send` must not be called again for this connection.
    Later,
    /// The connection cannot send any more.
    Failed(io::Error),
}

/// One completion.
#[derive(Debug)]
pub(crate) enum Event<I> {
    /// A connection came in. It has to be answered with [`Driver::attach`] or [`Driver::refuse`].
    Accepted { listener: ListenerId, incoming: I, peer: Peer },
    /// A listener that was told to [retire](Driver::retire), or whose socket went to another, is closed. Its last event.
    Retired { listener: ListenerId },
    /// Accepting failed; the listener goes on unless it is paused.
    AcceptFailed { listener: ListenerId, error: io::Error },
    /// Bytes arrived. The chunk has to be given back with [`Driver::recycle`] before the next call of `next`.
    Received { token: Token, chunk: Chunk },
    /// So many bytes arrived, and went where [`Destinations`] said.
    ReceivedInto { token: Token, count: usize },
    /// The peer ended its stream. Nothing is received after it.
    Ended { token: Token },
    /// Receiving failed (reset by peer, timed out). Nothing is received after it.
    Failed { token: Token, error: io::Error },
    /// A send that was answered with [`Sent::Later`] is over: so many bytes left (0 says: try again).
    Sent { token: Token, result: io::Result<usize> },
    /// A connection asked for with [`Driver::connect`] is up, or is not.
    Connected { token: Token, result: io::Result<()> },
    /// The last event of a connection: nothing of it is left in the kernel, its memory may go.
    Closed { token: Token },
    /// A datagram arrived; the chunk is given back like that of [`Event::Received`].
    Datagram { listener: ListenerId, chunk: Chunk, from: Sender },
}

/// Where the rest of a large message goes without a copy in between.
pub(crate) trait Destinations {
    /// Where the next bytes of a connection go, where it is known that so many will come and belong together.
    fn destination(&mut self, token: Token) -> Option<Destination<'_>>;
}

/// There is none.
#[cfg(test)]
impl Destinations for () {
    fn destination(&mut self, _: Token) -> Option<Destination<'_>> {
        None
    }
}

/// The kernel, or a simulation of it, as a reactor sees it. Every method is called on the reactor's thread.
///
/// After [`Driver::close`] the only event of that connection is [`Event::Closed`]; whatever else the kernel
/// still reports for it is swallowed by the driver.
pub(crate) trait Driver {
    /// An accepted connection that is not attached yet.
    type Incoming;

    /// Connections that one [`Driver::wait`] finds something of, where so many have something.
    const FOUND_AT_ONCE: u32;

    /// Time since some moment before the reactor began, never going back. The one clock of a reactor.
    fn now(&self) -> Duration;

    /// Rings the reactor awake from any thread.
    fn waker(&self) -> Arc<dyn Wake>;

    /// Takes a listening socket; accepting is off until [`Driver::accept`].
    fn listen(&mut self, listener: ListenerId, socket: ListenSocket) -> io::Result<()>;

    /// Turns accepting on or off. Some connections may still come in after it was turned off.
    fn accept(&mut self, listener: ListenerId, on: bool);

    /// Keeps some descriptors for what these listeners accept, where descriptors are the driver's own.
    fn reserve(&mut self, descriptors: u32, listeners: &[ListenerId]) {
        let _ = (descriptors, listeners);
    }

    /// Whether there is a descriptor of the driver's own for [`Driver::adopt`]; some are for operational listeners only.
    fn has_room(&self, operational: bool) -> bool {
        let _ = operational;
        true
    }

    /// Closes a listening socket. Connections in its backlog are reset by the kernel.
    fn unlisten(&mut self, listener: ListenerId);

    /// Has a listening socket refuse new connections, where that can be undone; those in its backlog are reset. Elsewhere
    /// (Unix sockets; kernels other than Linux; sockets that another process holds) it goes on to accept, and the reactor
    /// refuses.
    fn suspend(&mut self, listener: ListenerId);

    /// Undoes [`Driver::suspend`], with accepting on or off.
    fn resume(&mut self, listener: ListenerId, on: bool) -> io::Result<()>;

    /// Notes that another process has the listening socket too, or may have: it is never shut down.
    fn share(&mut self, listener: ListenerId);

    /// Duplicates the descriptor of a listening or datagram socket.
    fn duplicate(&self, listener: ListenerId) -> io::Result<Option<OwnedFd>>;

    /// Accepts nothing more. What the kernel accepts meanwhile is still reported.
    fn withdraw(&mut self, listener: ListenerId);

    /// Whether the kernel accepts nothing any more for a listener that was withdrawn.
    fn is_withdrawn(&self, listener: ListenerId) -> bool;

    /// Undoes [`Driver::withdraw`], with accepting on or off.
    fn restore(&mut self, listener: ListenerId, on: bool) -> io::Result<()>;

    /// Closes the descriptor of a listening socket that was withdrawn, or of a datagram socket. The socket lives on.
    fn release(&mut self, listener: ListenerId);

    /// Accepts what waits in a listener's backlog, until it is empty, then closes its socket; [`Event::Retired`] follows.
    /// [`Driver::accept`] still pauses it. Says whether there is such a listener.
    fn retire(&mut self, listener: ListenerId) -> bool;

    /// Gives a listener's socket, or its datagram socket, to another number that has none; accepting is off there. Nothing
    /// is lost of what waits in the kernel. What was under way still comes in under the old number; [`Driver::retire`] is
    /// called for that next. Says whether there is a socket to accept from.
    fn hand_on(&mut self, from: ListenerId, to: ListenerId) -> bool;

    /// The socket of a listener that takes streams, for its options.
    fn listening_socket(&self, listener: ListenerId) -> Option<BorrowedFd<'_>>;

    /// Closes a datagram socket, if there is one of this number. What waits in it is lost.
    fn unbind(&mut self, listener: ListenerId);

    /// Takes a datagram socket and starts to receive from it.
    fn bind(&mut self, listener: ListenerId, socket: UdpSocket) -> io::Result<()>;

    /// Sends one datagram back, from the address it was sent to, or fails at once where the kernel has no room for it.
    fn send_datagram(&mut self, listener: ListenerId, to: Sender, payload: &[u8]) -> io::Result<()>;

    /// Makes an accepted connection known under `token`; receiving is off until [`Driver::receive`].
    /// Where this fails, the connection is closed and nothing is known under `token`.
    fn attach(&mut self, token: Token, incoming: Self::Incoming) -> io::Result<()>;

    /// Closes an accepted connection that is not wanted, after `farewell` where the socket takes that at once; by reset
    /// where there is none.
    fn refuse(&mut self, incoming: Self::Incoming, farewell: &'static [u8]);

    /// Makes a connected socket from elsewhere known under `token`; receiving is off.
    fn adopt(&mut self, token: Token, socket: OwnedFd) -> io::Result<()>;

    /// Starts to connect; [`Event::Connected`] follows. Where this fails, nothing is known under `token`.
    fn connect(&mut self, token: Token, route: &Route) -> io::Result<()>;

    /// Turns receiving on or off. Some chunks may still come in after it was turned off.
    fn receive(&mut self, token: Token, on: bool);

    /// Has an [`Event::Failed`] report that a connection is broken, although nothing is received for it any more: for one
    /// that goes on to send when its peer has ended its stream.
    fn watch(&mut self, token: Token);

    /// Sends from the front of a non-empty outbox.
    fn send(&mut self, token: Token, outbox: &Outbox) -> Sent;

    /// Sends from the front of a non-empty outbox as much as leaves at once, in one attempt. Where something is left,
    /// [`Driver::send`] is called for it. Only what the answer [`Sent::Later`] leaves in flight may not move afterwards.
    fn send_at_once(&mut self, token: Token, outbox: &Outbox) -> Sent {
        self.send(token, outbox)
    }

    /// Whether the kernel was called for just this chunk. Then what answers it may be sent out of it, since
    /// [`Driver::send_at_once`] has read it when it returns; and small answers to several connections are worth sending one
    /// after the other.
    fn lends(&self, chunk: &Chunk) -> bool {
        let _ = chunk;
        false
    }

    /// Whether other connections may be sent to out of this chunk: [`Driver::send_at_once`] has read it when it returns,
    /// whether or not that is worth while for an answer.
    fn lends_to_others(&self, chunk: &Chunk) -> bool {
        self.lends(chunk)
    }

    /// Ends our direction of the stream, after everything sent before. Not called while a send is `Later`.
    fn shutdown(&mut self, token: Token);

    /// Closes the connection; with `reset`, by RST, so that nothing is left waiting in the kernel.
    /// [`Event::Closed`] follows in a later call of `next`. By then the peer's kernel is on its way to learn of the end,
    /// whether or not [`Driver::shutdown`] was called before.
    fn close(&mut self, token: Token, reset: bool);

    /// Gives a chunk back.
    fn recycle(&mut self, chunk: Chunk);

    /// Has the kernel begin what it was asked for, where that would otherwise wait for the next `wait`: for a reactor that
    /// has something long to do before.
    fn submit(&mut self) {}

    /// Waits until something is there to report, the timeout has passed or the waker rang. `None` waits for ever.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// The next completion of what the last `wait` found; `None` at its end. Large messages go to their
    /// destinations, where the driver can do that.
    fn next(&mut self, destinations: &mut impl Destinations) -> Option<Event<Self::Incoming>>;

    /// Shows what was received and will be reported in this turn, where the driver has it already: for a look ahead only.
    fn show_received(&self, each: &mut dyn FnMut(Token, &[u8])) {
        let _ = each;
    }

    /// Whether the very next completion brings more bytes of a connection that is not closed meanwhile: then it is not worth
    /// while to send to it before.
    fn receives_more(&self, token: Token) -> bool {
        let _ = token;
        false
    }

    /// Whether the last wait may have left something with the kernel that had happened before it began: it was
    /// interrupted, or found as much as it can.
    fn is_behind(&self) -> bool;

    /// Whether bytes of a connection may wait that this turn had no room for.
    fn has_unread(&mut self, token: Token) -> bool;

    /// Whether a connection is not received for because no buffer was free when it was looked at: nothing is known of what
    /// waits for it.
    fn waits_for_buffer(&self, token: Token) -> bool {
        let _ = token;
        false
    }

    /// How often receiving stood still because no buffer was free (ENOBUFS), since the start.
    fn starved(&self) -> u64 {
        0
    }

    /// Receive buffers that are missing from the driver's pool; 0 when nothing is in flight. For tests.
    #[cfg(test)]
    fn buffers_out(&self) -> usize;
}
