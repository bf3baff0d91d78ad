//! What an application implements: its logic for one listener, one instance on each reactor.

use std::io;

use gannet_proto::{Codec, DecodeError};

use crate::connection::CloseReason;
use crate::context::Context;
use crate::counters::Refusal;
use crate::limits::Timeouts;

/// The message type of a service's codec.
pub type Message<'a, S> = <<S as Service>::Codec as Codec>::Message<'a>;

/// The application's logic for one listener, or for outbound connections. Each reactor makes an instance of its own
/// and calls it on its own thread only, so an instance needs neither locks nor `Send`.
///
/// No method may block: a reactor serves all its connections on one thread. Long work goes to
/// [`Context::offload`], or to [`Context::offload_blocking`] if it waits. A panic closes the connection it happened for, with [`CloseReason::Panicked`]; the instance
/// lives on, so leave it fit for use.
///
/// # Half-close
///
/// A peer may end its sending side and go on reading, as `nc -N` does. Its messages are delivered first, an unfinished
/// last one through [`Codec::finish`]. Then the engine calls [`Service::half_closed`], and by default the connection closes
/// when the replies of all jobs of [`Context::offload`] were sent. A paused connection waits for [`Context::resume`]
/// before that.
///
/// The engine does not know of replies that come from a notice, a timer or another connection. A service that owes such
/// replies counts them in its session, and answers [`HalfClose::KeepOpen`] until the last one was sent. It may keep the
/// connection open for other reasons as well, for example to go on with a stream of events.
///
/// [`Timeouts::half_close`] bounds all of this: the connection closes when nothing was sent for so long. While it is
/// half-closed, `read_idle` and heartbeats do not count, because the peer cannot send. A peer that is gone is noticed when it
/// resets the connection, which its kernel does at the latest when something is sent to it.
pub trait Service: Sized + 'static {
    /// Turns received bytes into messages, and messages into bytes.
    type Codec: Codec;

    /// Whether [`Service::ahead`] is to be called.
    const LOOKS_AHEAD: bool = false;

    /// Whether reading from a connection pauses by itself while its own outbox is over
    /// [`Limits::outbox_high`](crate::Limits), until the outbox has drained.
    ///
    /// That suits a service that answers what it reads. A proxy turns it off: it sends to one connection what it reads from
    /// another, and a peer that has to write before it reads would never read again. It pauses the connection that it
    /// reads from instead, after [`Context::send_to`] said that the other outbox is full, and calls
    /// [`Context::resume_other`] when the other one has [drained](Self::drained). Where it is off,
    /// [`Limits::outbox_hard`](crate::Limits) alone bounds what is sent in answer to the same connection.
    const AUTO_PAUSE: bool = true;

    /// What the service keeps for each connection. A type without size costs nothing.
    type Session: Default + 'static;

    /// A message came. It borrows from the receive buffer; copy what has to stay.
    fn message(&mut self, session: &mut Self::Session, message: Message<'_, Self>, cx: &mut Context<'_, Self>);

    /// Bytes came that were not decoded yet: a service whose messages have to wait for memory may note here what they
    /// will need, for [`Service::fetch`]. They may begin in the middle of a message, and be shown more than once. Called
    /// only where [`Service::LOOKS_AHEAD`].
    fn ahead(&mut self, session: &Self::Session, received: &[u8]) {
        let _ = (session, received);
    }

    /// Asks the processor for all that was noted ahead, at once, so that its parts come at the same time. Called before
    /// any message that was looked at.
    fn fetch(&mut self) {}

    /// The name in logs; the type's by default.
    fn name(&self) -> &str {
        std::any::type_name::<Self>()
    }

    /// The codec and its limits, asked for once when the instance was made.
    fn codec(&self) -> Self::Codec {
        Self::Codec::default()
    }

    /// The deadlines, asked for once when the instance was made; `defaults` are the engine's.
    fn timeouts(&self, defaults: Timeouts) -> Timeouts {
        defaults
    }

    /// A connection was accepted. Makes its session, or refuses it.
    ///
    /// # Errors
    ///
    /// [`Refused`] closes the connection; what was sent to it before is not delivered.
    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Self::Session, Refused> {
        let _ = cx;
        Ok(Self::Session::default())
    }

    /// Says what a connection is told that a limit keeps out (see [`Refusal`]). It is sent as it is, if the socket takes it at
    /// once, and the connection is closed. Without a text, as by default, the connection is reset. Where the listener has a
    /// filter, nobody is asked: the peer would not understand it before the handshake.
    fn refusal(&self, why: Refusal) -> &'static [u8] {
        let _ = why;
        b""
    }

    /// An outbound connection is up. Its session is the one that was given to `connect`.
    fn connected(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) {
        let _ = (session, cx);
    }

    /// An outbound connection could not be established. `close` is not called for it.
    fn connect_failed(&mut self, session: Self::Session, error: &io::Error, cx: &mut Context<'_, Self>) {
        let _ = (session, error, cx);
    }

    /// The peer sent what the codec cannot accept: say so, where the protocol has words for that. The connection closes
    /// when everything was sent.
    fn malformed(&mut self, session: &mut Self::Session, error: &DecodeError, cx: &mut Context<'_, Self>) {
        let _ = (session, error, cx);
    }

    /// Nothing was received, or sent, or either, for the time that [`Timeouts`] gives. The default closes the connection with
    /// [`Context::close_idle`]. A
    /// service that does not close it is asked again after the same time.
    fn idle(&mut self, session: &mut Self::Session, idle: Idle, cx: &mut Context<'_, Self>) {
        let _ = (session, idle);
        cx.close_idle();
    }

    /// The peer was silent for [`Timeouts::heartbeat`]: send what it has to answer, and say so. The default has no
    /// heartbeat, and then silence alone closes nothing.
    fn heartbeat(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) -> Heartbeat {
        let _ = (session, cx);
        Heartbeat::None
    }

    /// The timer set with [`Context::set_timer`] fired.
    fn timer(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) {
        let _ = (session, cx);
    }

    /// The outbox was over its high mark, or another connection was told by [`Context::send_to`] that it is, and now has
    /// room again.
    fn drained(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) {
        let _ = (session, cx);
    }

    /// The peer ended its sending side, and all its messages were delivered: says whether the connection closes. It is
    /// called again whenever something has happened to the connection, until it closes; see
    /// [half-close](Self#half-close).
    fn half_closed(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) -> HalfClose {
        let _ = (session, cx);
        HalfClose::Close
    }

    /// The engine shuts down: say good-bye. By default the connection closes as soon as everything was sent.
    fn drain(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) -> Drain {
        let _ = (session, cx);
        Drain::Close
    }

    /// The connection ends; its session goes. Nothing sent to it now is delivered. Called once for each session that
    /// `open` made or that was connected. Where what was sent is not whole, and the peer could not tell from it,
    /// [`Context::reset`] still has the connection end by a reset.
    fn close(&mut self, session: Self::Session, reason: CloseReason, cx: &mut Context<'_, Self>) {
        let _ = (session, reason, cx);
    }
}

/// A service that takes values of type `T` from other threads, by [`Remote::notify`](crate::Remote::notify).
pub trait Notice<T>: Service {
    /// A value came for this session. Called on its reactor's thread.
    fn notice(&mut self, session: &mut Self::Session, value: T, cx: &mut Context<'_, Self>);
}

/// A service that does not want a connection says so with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Which direction was idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Nothing was received.
    Read,
    /// Nothing was sent.
    Write,
    /// Nothing was received and nothing was sent.
    Both,
}

/// Whether a heartbeat was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// It was; the peer has to send something in return.
    Sent,
    /// This service has none. It is not asked again for this connection until
    /// [`Context::begin_heartbeat`].
    None,
}

/// What a connection does whose peer ended its sending side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfClose {
    /// It closes when the replies of its offloaded jobs were sent.
    Close,
    /// It stays open to send, for at most [`Timeouts::half_close`] without anything sent.
    KeepOpen,
}

/// What a connection does when the engine shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// It closes when everything was sent.
    Close,
    /// It goes on, for at most the drain timeout; the service closes it.
    GoOn,
    /// It ends at once by a reset, so that nothing of it stays in the kernel: for clients with very many connections,
    /// each of which would otherwise keep its port for a minute (TIME_WAIT).
    Reset,
}

/// The application's logic for one datagram listener.
pub trait DatagramService: 'static {
    /// The name in logs; the type's by default.
    fn name(&self) -> &str {
        std::any::type_name::<Self>()
    }

    /// A datagram came.
    fn datagram(&mut self, payload: &[u8], cx: &mut crate::datagram::DatagramContext<'_>);
}
