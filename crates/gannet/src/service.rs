//! The traits that an application implements. A reactor calls them on its own thread.

mod sequential;
mod starting;

use std::io;
use std::time::Duration;

use gannet_proto::Codec;

use crate::close_reason::CloseReason;
use crate::context::Context;
use crate::counters::RefusalReason;
use crate::description::Description;
use crate::error::StartError;
use crate::limits::Timeouts;
use crate::service_context::ServiceContext;
use crate::timers::TimerId;

pub(crate) use self::sequential::Input;
pub use self::sequential::Sequential;
pub use self::starting::Starting;

/// The type of the messages that a service receives: [`Codec::Message`] of its codec. It may borrow from the receive
/// buffer.
pub type Message<'a, S> = <<S as Service>::Codec as Codec>::Message<'a>;

/// The type of the messages that a service sends: [`Codec::Outgoing`] of its codec.
pub type Outgoing<'a, S> = <<S as Service>::Codec as Codec>::Outgoing<'a>;

/// The type of the errors of a service's codec: [`Codec::Error`].
pub type CodecError<S> = <<S as Service>::Codec as Codec>::Error;

/// Implements the application's logic for one listener, or for outbound connections.
///
/// Each reactor makes an instance of its own and calls it on its own thread only, so an instance needs neither locks nor
/// `Send`. Only [`message`](Self::message) has to be implemented.
///
/// # Order of calls
///
/// For an accepted connection: [`open`](Self::open) makes the session. Then come [`message`](Self::message) and the other
/// methods, in the order in which things happen. [`close`](Self::close) takes the session back, once. For an outbound
/// connection, [`connected`](Self::connected) or [`connect_failed`](Self::connect_failed) takes the place of `open`.
///
/// # Blocking
///
/// No method may block: a reactor serves all its connections on one thread. Give long work to [`Context::offload`], or to
/// [`Context::offload_blocking`] if it waits.
///
/// # Panics
///
/// A panic closes the connection it happened for, with [`CloseReason::Panicked`]. The instance lives on, so leave it fit
/// for use. Some methods differ: a panic in [`refusal`](Self::refusal) refuses without a text, one in
/// [`service_timer`](Self::service_timer) or [`woken`](Self::woken) is only logged, and [`Prefetch`] has its own section.
///
/// # Half-close
///
/// A peer may end its sending side and go on reading, as `nc -N` does. Its messages are delivered first, an unfinished
/// last one through [`Codec::finish`]. Then the engine calls [`Service::half_closed`]. By default the connection closes
/// when the replies of all its offloaded jobs were sent. If the connection is paused, all of this waits for
/// [`Context::resume`].
///
/// The engine does not know of replies that come from a notice, a timer or another connection. A service that owes such
/// replies counts them in its session, and answers [`HalfClose::KeepOpen`] until the last one was sent. It may keep the
/// connection open for other reasons as well, for example to go on with a stream of events.
///
/// A proxy answers [`HalfClose::KeepOpen`] and hands the end of the stream on with [`Context::shutdown_write_other`]. A
/// connection whose own direction was shut down as well closes, whatever the answer is.
///
/// [`Timeouts::half_close`] bounds all of this: the connection closes when nothing was sent for that time. While a
/// connection is half-closed, `read_idle` and heartbeats do not count, because the peer cannot send. A dead peer is
/// noticed when its kernel resets the connection, at the latest when something is sent to it.
pub trait Service: Sized + 'static {
    /// The codec, which turns received bytes into messages and messages into bytes.
    type Codec: Codec;

    /// The service's state for one connection. A type without size costs no memory.
    ///
    /// Any type with [`Default`] will do. One without needs a line of its own, and the service an [`open`](Self::open):
    /// see [`Session`](trait@Session).
    type Session: Session;

    /// Whether reading from a connection pauses by itself while its own outbox is full (default `true`).
    ///
    /// Reading pauses when the outbox is over [`Limits::outbox_high`](crate::Limits), and goes on when a quarter of that is
    /// left. This suits a service that answers what it reads.
    ///
    /// A proxy turns it off: it sends to one connection what it reads from another. A peer that has to write before it
    /// reads would otherwise never read again. The proxy pauses the connection that it reads from when
    /// [`Context::send_to`] says that the other outbox is full. It calls [`Context::resume_other`] when the other one has
    /// become [writable](Self::writable). Without the pause, only [`Limits::outbox_hard`](crate::Limits) bounds what is sent in
    /// answer to the same connection.
    const AUTO_PAUSE: bool = true;

    /// Makes the session of an accepted connection, or refuses the connection (default: the session's default).
    ///
    /// With a filter (TLS), it is called when the handshake is done.
    ///
    /// # Errors
    ///
    /// [`Refused`] closes the connection by a reset; what this call sent is not delivered. By default, a service whose
    /// session has no default refuses every connection, and logs that.
    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Self::Session, Refused> {
        let _ = cx;
        let session = Self::Session::fresh();
        if session.is_none() {
            tracing::error!(
                service = self.name(),
                "every connection is refused: the service has no `open`, and its session no default"
            );
        }
        session.ok_or(Refused)
    }

    /// Handles one message. It may borrow from the receive buffer; copy what has to stay.
    fn message(&mut self, session: &mut Self::Session, message: Message<'_, Self>, cx: &mut Context<'_, Self>);

    /// Takes back the session of a connection that has ended.
    ///
    /// Called once for each session that `open` made, or that came with an established outbound connection. If the reason is
    /// an error, [`Context::close_cause`] has it. Nothing sent to the connection now is delivered. If the output is incomplete and the peer could not tell, call
    /// [`Context::reset`] here: the connection then ends by a reset.
    fn close(&mut self, session: Self::Session, reason: CloseReason, cx: &mut Context<'_, Self>) {
        let _ = (session, reason, cx);
    }

    /// Called when the codec rejects what the peer sent; send an error reply here if the protocol has one.
    ///
    /// The error is the codec's own. The connection then closes when everything was sent: with
    /// [`CloseReason::FrameTooLarge`] if the error is [`FrameError::TooLarge`](gannet_proto::FrameError::TooLarge) or has it
    /// as a source, and with [`CloseReason::Protocol`] otherwise. No message comes any more.
    ///
    /// It is not called if the peer ends its stream inside a message, because such a peer has usually gone. The connection
    /// then closes with [`CloseReason::Peer`], and [`Context::close_cause`] has the error of [`Codec::finish`](gannet_proto::Codec::finish).
    fn malformed(&mut self, session: &mut Self::Session, error: &CodecError<Self>, cx: &mut Context<'_, Self>) {
        let _ = (session, error, cx);
    }

    /// Decides whether a connection closes whose peer ended its sending side (default: it does).
    ///
    /// It is called when all messages of the peer were delivered, and again after each thing that happens to the
    /// connection, until it closes. See [half-close](Self#half-close).
    fn half_closed(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) -> HalfClose {
        let _ = (session, cx);
        HalfClose::Close
    }

    /// Called when an outbox that was over [`Limits::outbox_high`](crate::Limits) has room again.
    ///
    /// Room again means that at most a quarter of `outbox_high` is left. It is called after [`SendStatus::OverHigh`] or
    /// [`SendStatus::OverHard`], also if a service of another connection got that answer from [`Context::send_to`].
    ///
    /// [`SendStatus::OverHigh`]: crate::SendStatus::OverHigh
    /// [`SendStatus::OverHard`]: crate::SendStatus::OverHard
    fn writable(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) {
        let _ = (session, cx);
    }

    /// Called once when the timer of [`Context::set_timer`] or [`Context::set_precise_timer`] fires.
    fn timer(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) {
        let _ = (session, cx);
    }

    /// Called once when the timer that [`Context::set_named_timer`] set for `id` fires.
    fn named_timer(&mut self, session: &mut Self::Session, id: TimerId, cx: &mut Context<'_, Self>) {
        let _ = (session, id, cx);
    }

    /// Called once when the timer of this instance fires, which belongs to no connection.
    ///
    /// [`Starting::set_service_timer`], [`Context::set_service_timer`] and [`ServiceContext::set_service_timer`] set it. A
    /// panic here is logged, and closes no connection. During a shutdown the timer fires as long as the reactor has
    /// connections.
    fn service_timer(&mut self, cx: &mut ServiceContext<'_, Self>) {
        let _ = cx;
    }

    /// Called after [`Remote::wake_service`](crate::Remote::wake_service), once for all calls since it last ran.
    ///
    /// It belongs to no connection. A panic here is logged, and closes no connection. During a shutdown it is called as long
    /// as the reactor has connections.
    fn woken(&mut self, cx: &mut ServiceContext<'_, Self>) {
        let _ = cx;
    }

    /// Decides about a connection that was idle for the time in [`Timeouts`] (default: [`Context::close_idle`]).
    ///
    /// If the service does not close the connection, it is asked again after the same time.
    fn idle(&mut self, session: &mut Self::Session, idle: Idle, cx: &mut Context<'_, Self>) {
        let _ = (session, idle);
        cx.close_idle();
    }

    /// Sends a heartbeat, because the peer was silent for [`Timeouts::heartbeat`] (default: there is none).
    ///
    /// Send something that the peer has to answer, and return [`Heartbeat::Sent`]. Any received bytes count as an answer.
    /// After [`Timeouts::heartbeats_missed`] heartbeats without an answer and one more such silence, the connection
    /// closes. Without a heartbeat, silence alone closes nothing.
    fn heartbeat(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) -> Heartbeat {
        let _ = (session, cx);
        Heartbeat::None
    }

    /// Called once per connection when the engine shuts down (default: close when everything was sent).
    ///
    /// Send a farewell here if the protocol has one.
    fn shutdown(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) -> Shutdown {
        let _ = (session, cx);
        Shutdown::Close
    }

    /// Says what this service knows of a connection, for operators (default: nothing).
    ///
    /// It is called for some of the connections that [`Remote::connections`](crate::Remote::connections) finds, and for all of
    /// them if a user or a channel is asked for. Be quick: a reactor describes up to 1,024 connections in a turn.
    fn describe(&self, session: &Self::Session, into: &mut Description) {
        let _ = (session, into);
    }

    /// Closes a connection because an operator wants that (default: it closes when everything was sent).
    ///
    /// Send the farewell of the protocol here, if it has one. The connection closes with a reason called `kicked`, unless
    /// the service closes it for another. See [`Remote::kick`](crate::Remote::kick).
    fn kick(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) -> Shutdown {
        let _ = (session, cx);
        Shutdown::Close
    }

    /// Called when an outbound connection is established, its filter's handshake included.
    ///
    /// The session is the one that was given to [`Context::connect`] or [`Remote::connect`](crate::Remote::connect).
    fn connected(&mut self, session: &mut Self::Session, cx: &mut Context<'_, Self>) {
        let _ = (session, cx);
    }

    /// Takes back the session of an outbound connection that could not be established.
    ///
    /// [`close`](Self::close) is not called for it.
    fn connect_failed(&mut self, session: Self::Session, error: &io::Error, cx: &mut Context<'_, Self>) {
        let _ = (session, error, cx);
    }

    /// Returns the text for a connection that a limit refuses (default: none).
    ///
    /// The text is sent as it is, past the codec, if the socket takes it at once; then the connection is closed. Without a
    /// text the connection is reset. The engine does not ask listeners with a filter: before the handshake the peer would
    /// not understand the text. With the [PROXY protocol](crate::ProxyProtocol) it asks for clients whose header has come.
    fn refusal(&self, why: RefusalReason) -> &'static [u8] {
        let _ = why;
        b""
    }

    /// Prepares this instance before there is any connection, or fails.
    ///
    /// Called once for each instance, on the thread of its reactor, whose number `starting` knows. If an instance fails, or
    /// panics, the engine does not start: [`Engine::start`](crate::Engine::start) returns
    /// [`Error::Service`](crate::Error::Service). To open connections at the start, call
    /// [`Remote::connect`](crate::Remote::connect) with the number of this reactor.
    ///
    /// # Errors
    ///
    /// Any error that keeps the instance from working. [`Engine::start`](crate::Engine::start) returns it.
    fn start(&mut self, starting: &Starting) -> Result<(), StartError> {
        let _ = starting;
        Ok(())
    }

    /// Returns the name for logs (default: the name of the type).
    fn name(&self) -> &str {
        std::any::type_name::<Self>()
    }

    /// Returns the codec with its limits. Called once, when the instance was made.
    fn codec(&self) -> Self::Codec {
        Self::Codec::default()
    }

    /// Returns the deadlines of this service's connections; `defaults` are the engine's. Called once, when the instance was
    /// made.
    fn timeouts(&self, defaults: Timeouts) -> Timeouts {
        defaults
    }

    /// Returns what prefetches memory for messages that wait (default: nothing does).
    ///
    /// A service whose messages wait for memory implements [`Prefetch`] and returns `Some(self)`. Whether this is `None`
    /// must not change: it is asked when the instance was made, and again before each use.
    fn prefetch(&mut self) -> Option<&mut dyn Prefetch<Self::Session>> {
        None
    }

    /// Returns what polls the sessions of this service, if they are futures: those of the module `session` alone are.
    #[doc(hidden)]
    fn sequential(&mut self) -> Option<&mut dyn Sequential<Self>> {
        None
    }
}

/// Marks a type that a service can keep for each connection, as its session.
///
/// Every type with [`Default`] is one. For a type without, write `impl gannet::Session for Type {}`, and make it in
/// [`Service::open`], or pass it to [`Context::connect`] or [`Remote::connect`](crate::Remote::connect).
///
/// ```
/// use gannet::{Context, Peer, Refused, Service, proto::Lines};
///
/// /// Has no sensible default: a session always has a peer.
/// struct Visitor {
///     peer: Peer,
/// }
///
/// impl gannet::Session for Visitor {}
///
/// struct Greeter;
///
/// impl Service for Greeter {
///     type Codec = Lines;
///     type Session = Visitor;
///
///     fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Visitor, Refused> {
///         Ok(Visitor { peer: cx.peer() })
///     }
///
///     fn message(&mut self, visitor: &mut Visitor, line: &[u8], cx: &mut Context<'_, Self>) {
///         cx.send(&[line, b" says ", visitor.peer.to_string().as_bytes()]);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the session of a service yet",
    note = "derive `Default` for it; or write `impl gannet::Session for {Self} {{}}`, and make it in `Service::open`"
)]
pub trait Session: Sized + 'static {
    /// Makes a session without being told anything (default: that cannot be done).
    fn fresh() -> Option<Self> {
        None
    }
}

impl<T: Default + 'static> Session for T {
    fn fresh() -> Option<Self> {
        Some(Self::default())
    }
}

/// Prefetches memory that messages will need, before they are decoded: see [`Service::prefetch`].
///
/// A look-up in much memory waits for it. A service that knows early which memory it will need can have all of it loaded
/// in parallel.
///
/// # Panics
///
/// At the start of a turn, a panic here is logged and ends the look ahead of this turn; all messages are delivered as
/// usual. While a chunk is decoded, it closes the connection of that chunk.
pub trait Prefetch<S> {
    /// Looks at received bytes before they are decoded, to note which memory their messages will need.
    ///
    /// The bytes may begin in the middle of a message, and may be shown more than once. [`fetch`](Self::fetch) follows,
    /// before the first of these messages.
    fn look_ahead(&mut self, session: &S, received: &[u8]);

    /// Prefetches all memory that [`look_ahead`](Self::look_ahead) has noted, so that it is loaded in parallel.
    ///
    /// Called after one or more calls of `look_ahead`, before any message of the bytes that they looked at.
    fn fetch(&mut self);
}

/// Lets a service take values of type `T` from other connections and threads: see
/// [`Context::notify_other`] and [`Remote::notify`](crate::Remote::notify).
pub trait Notice<T>: Service {
    /// Handles a value for this session. Called on the thread of the connection's reactor.
    fn notice(&mut self, session: &mut Self::Session, value: T, cx: &mut Context<'_, Self>);
}

/// Refuses a connection, as the error of [`Service::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Says which direction was idle: see [`Service::idle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Idle {
    /// Nothing was received for [`Timeouts::read_idle`].
    Read,
    /// Nothing was sent for [`Timeouts::write_idle`].
    Write,
    /// Nothing was received or sent for [`Timeouts::idle`].
    Both,
}

/// Says whether a heartbeat was sent: the answer of [`Service::heartbeat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heartbeat {
    /// A heartbeat was sent; the peer has to send something in return.
    Sent,
    /// There is no heartbeat. The service is not asked again for this connection until [`Context::begin_heartbeat`].
    None,
}

/// Decides about a connection whose peer ended its sending side: the answer of [`Service::half_closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HalfClose {
    /// The connection closes when the replies of its offloaded jobs were sent.
    Close,
    /// The connection stays open to send, until nothing was sent for [`Timeouts::half_close`].
    KeepOpen,
}

/// Decides about a connection when the engine shuts down: the answer of [`Service::shutdown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// The connection closes when everything was sent.
    Close,
    /// The connection goes on until the service closes it, at most until the drain timeout.
    GoOn,
    /// The connection ends at once by a reset, so that nothing of it stays in the kernel.
    ///
    /// This is for clients with very many connections, each of which would otherwise keep its port for a minute
    /// (TIME_WAIT).
    Reset,
}

/// Implements the application's logic for one UDP listener.
///
/// Each reactor makes an instance of its own and calls it on its own thread only. No method may block. A panic is logged,
/// and the instance lives on.
pub trait DatagramService: 'static {
    /// Returns the name for logs (default: the name of the type).
    fn name(&self) -> &str {
        std::any::type_name::<Self>()
    }

    /// Prepares this instance before there is any connection, or fails.
    ///
    /// Called once for each instance, on the thread of its reactor, whose number `starting` knows. If an instance fails, or
    /// panics, the engine does not start: [`Engine::start`](crate::Engine::start) returns
    /// [`Error::Service`](crate::Error::Service). To open connections at the start, call
    /// [`Remote::connect`](crate::Remote::connect) with the number of this reactor.
    ///
    /// # Errors
    ///
    /// Any error that keeps the instance from working. [`Engine::start`](crate::Engine::start) returns it.
    fn start(&mut self, starting: &Starting) -> Result<(), StartError> {
        let _ = starting;
        Ok(())
    }

    /// Called once when the timer of this instance fires; returns after which time it is to fire again (default: never).
    ///
    /// [`Starting::set_service_timer`] sets it first. The timer is kept to the millisecond; the longest time is 24 days.
    fn service_timer(&mut self) -> Option<Duration> {
        None
    }

    /// Handles one datagram. `payload` borrows from the receive buffer.
    fn datagram(&mut self, payload: &[u8], cx: &mut crate::datagram::DatagramContext<'_>);
}
