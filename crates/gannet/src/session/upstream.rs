//! Outbound connections of a session: a session reads and writes them beside its own connection.
//!
//! What comes for one waits in the engine's memory until its owner takes it. A small service of the engine hears of it, and
//! wakes the owner.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};

use gannet_proto::{Codec, Raw};

use crate::carry::Carry;
use crate::close_reason::CloseReason;
use crate::connect::Connect;
use crate::connection::{CloseMode, Flags};
use crate::context::Context;
use crate::core::{Core, Deferred, Outgoing, SendStatus};
use crate::host::{Host, HostOf};
use crate::ids::{Place, Token};
use crate::service::{HalfClose, Input, Message as ReceivedMessage, Sequential, Service, Session, Shutdown};

use super::error::{Error, Result};
use super::message::Message;
use super::raw;
use super::scope::{Found, Scope, take_from, take_rest, wrong_session};

/// What an outbound connection and its owner know of each other.
#[derive(Default)]
struct State {
    place: Option<Place>,
    failed: Option<io::Error>,
    /// The peer ended its stream, and this is what its owner has not taken of it: the connection may be gone by then.
    rest: Option<Carry>,
    is_closed: bool,
    /// Its owner is gone.
    is_left: bool,
    waker: Option<Waker>,
}

/// The session of an outbound connection.
pub(crate) struct Link(Rc<RefCell<State>>);

impl Session for Link {}

impl Link {
    fn tell(&self, what: impl FnOnce(&mut State)) {
        let mut state = self.0.borrow_mut();
        what(&mut state);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// The service of all outbound connections that sessions have asked for.
pub(crate) struct Upstreams;

impl Service for Upstreams {
    type Codec = Raw;
    type Session = Link;

    /// A session that copies between two connections has to read from one while it writes to it.
    const AUTO_PAUSE: bool = false;

    fn sequential(&mut self) -> Option<&mut dyn Sequential<Self>> {
        Some(self)
    }

    fn name(&self) -> &str {
        "gannet::session::connect"
    }

    fn message(&mut self, _: &mut Link, _: ReceivedMessage<'_, Self>, _: &mut Context<'_, Self>) {}

    fn connected(&mut self, link: &mut Link, cx: &mut Context<'_, Self>) {
        let token = cx.token;
        let Some(generation) = cx.core.slab.generation(token) else { return };
        if link.0.borrow().is_left {
            return cx.close();
        }
        link.tell(|state| state.place = Some(Place { token, generation }));
    }

    fn connect_failed(&mut self, link: Link, error: &io::Error, _: &mut Context<'_, Self>) {
        // The error of the system keeps its number.
        let error = error
            .raw_os_error()
            .map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error);
        link.tell(|state| state.failed = Some(error));
    }

    fn half_closed(&mut self, link: &mut Link, cx: &mut Context<'_, Self>) -> HalfClose {
        if link.0.borrow().rest.is_none() {
            let mut rest = Carry::default();
            if let Some(carry) = cx.core.slab.get_mut(cx.token).and_then(|connection| connection.carry.take()) {
                rest.append(&carry);
                cx.core.pools.return_carry(carry);
            }
            link.tell(|state| state.rest = Some(rest));
        }
        HalfClose::KeepOpen
    }

    fn writable(&mut self, link: &mut Link, _: &mut Context<'_, Self>) {
        link.tell(|_| ());
    }

    /// It ends with its owner.
    fn shutdown(&mut self, _: &mut Link, _: &mut Context<'_, Self>) -> Shutdown {
        Shutdown::GoOn
    }

    fn close(&mut self, link: Link, _: CloseReason, _: &mut Context<'_, Self>) {
        link.tell(|state| state.is_closed = true);
    }
}

impl Sequential<Self> for Upstreams {
    fn poll(&mut self, link: &mut Link, cx: Context<'_, Self>, input: Option<&mut Input<'_>>) {
        if input.is_some_and(|input| !input.at_end)
            && let Some(connection) = cx.core.slab.get_mut(cx.token)
        {
            connection.flags.set(Flags::HELD);
            cx.core.halt = true;
            link.tell(|_| ());
        }
    }

    fn end(&mut self, _: &mut Link, _: Context<'_, Self>) {}

    fn take_woken(&mut self, _: &Context<'_, Self>, _: &mut Vec<Token>) {}
}

/// Opens an outbound connection on the reactor of the session that calls this, and waits until it is up.
///
/// The connection ends with the [`Upstream`], at the latest with the session. [`Connect`] says where it goes, within which
/// time, and whether through TLS.
///
/// # Errors
///
/// [`Error::Io`]: the connection was not established. [`Error::Other`]: there is no address, or one that cannot be connected to.
///
/// # Cancel safety
///
/// Dropping the future gives the connection up.
pub fn connect<C: Codec>(codec: C, to: &Connect) -> Connecting<C> {
    let state = Rc::new(RefCell::new(State::default()));
    let link = Link(state.clone());
    let begun = raw::with(|scope| dial(scope, to, link)).unwrap_or_else(|| wrong_session());
    let upstream = Upstream { state, codec, decoding: Default::default() };
    Connecting { upstream: Some(upstream), failed: begun.err() }
}

fn dial(scope: &mut Scope<'_>, to: &Connect, link: Link) -> Result {
    let Some(service) = scope.upstreams else {
        return Err(Error::other("this engine has no outbound connections for sessions"));
    };
    let (route, timeout_ms) = to.route().map_err(Error::other)?;
    let session = Box::new(move |host: &mut dyn Host| {
        let host = host.as_any_mut().downcast_mut::<HostOf<Upstreams>>();
        host.map_or(crate::connection::NO_SESSION, |host| host.add_session(link))
    });
    scope.core.deferred.push(Deferred::Dial { service, route, timeout_ms, session });
    Ok(())
}

/// Waits until an outbound connection is up: see [`connect`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Connecting<C: Codec> {
    upstream: Option<Upstream<C>>,
    failed: Option<Error>,
}

impl<C: Codec> Unpin for Connecting<C> {}

impl<C: Codec> Future for Connecting<C> {
    type Output = Result<Upstream<C>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let Some(error) = self.failed.take() {
            self.upstream = None;
            return Poll::Ready(Err(error));
        }
        let Some(upstream) = self.upstream.take() else { return Poll::Pending };
        let mut state = upstream.state.borrow_mut();
        if let Some(error) = state.failed.take() {
            return Poll::Ready(Err(error.into()));
        }
        let is_up = state.place.is_some();
        if !is_up {
            state.waker = Some(cx.waker().clone());
        }
        drop(state);
        if is_up {
            return Poll::Ready(Ok(upstream));
        }
        self.upstream = Some(upstream);
        Poll::Pending
    }
}

impl<C: Codec> fmt::Debug for Connecting<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}

/// An outbound connection of a session. [`connect`] makes it, and it closes when it is dropped, after its output was sent.
///
/// Its methods work inside of the session's future, and panic elsewhere.
pub struct Upstream<C: Codec> {
    state: Rc<RefCell<State>>,
    codec: C,
    decoding: C::State,
}

impl<C: Codec> Upstream<C> {
    fn place(&self) -> Option<Place> {
        let state = self.state.borrow();
        state.place.filter(|_| !state.is_closed)
    }

    /// Calls `use_it` with the core, if the connection is there.
    fn reach<R>(&self, use_it: impl FnOnce(&mut Core, Token) -> R) -> Option<R> {
        let place = self.place()?;
        raw::with(|scope| {
            scope.core.at(place)?;
            Some(use_it(scope.core, place.token))
        })
        .unwrap_or_else(|| wrong_session())
    }

    /// Receives the next message and calls `take` with it, without a copy; `None` when the peer has ended its stream.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`]: the codec rejected what the peer sent. The connection closes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a message is decoded in the poll that hands it over.
    pub fn next_with<F, R>(&mut self, take: F) -> UpstreamNext<'_, C, F>
    where
        F: for<'m> FnOnce(C::Message<'m>) -> R,
    {
        UpstreamNext { upstream: self, take: Some(take) }
    }

    fn poll_next<R>(
        &mut self,
        cx: &TaskContext<'_>,
        take: &mut impl FnMut(C::Message<'_>) -> R,
    ) -> Poll<Result<Option<R>>> {
        let (codec, decoding) = (&self.codec, &mut self.decoding);
        let found = if let Some(rest) = &mut self.state.borrow_mut().rest {
            take_rest(rest, codec, decoding, take)
        } else {
            let state = self.state.borrow();
            let Some(place) = state.place.filter(|_| !state.is_closed) else { return Poll::Ready(Ok(None)) };
            drop(state);
            raw::with(|scope| {
                if scope.core.at(place).is_none() {
                    return Found::End;
                }
                take_from(scope.core, place.token, codec, decoding, take)
            })
            .unwrap_or_else(|| wrong_session())
        };
        match found {
            Found::Message(result) => Poll::Ready(Ok(Some(result))),
            Found::End => Poll::Ready(Ok(None)),
            Found::Nothing => {
                self.state.borrow_mut().waker = Some(cx.waker().clone());
                self.reach(|core, token| {
                    if let Some(connection) = core.slab.get_mut(token) {
                        connection.end_pause(Flags::HELD, core.now);
                    }
                    core.mark(token);
                });
                Poll::Pending
            }
            Found::NotNow => {
                // It had its share of this turn, and goes on in the next.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Found::Refused(error) => {
                self.reach(|core, token| core.ask_close(token, Flags::CLOSE, CloseReason::Protocol));
                Poll::Ready(Err(Error::Codec(error)))
            }
        }
    }

    /// Sends one message; waits while the outbox is over [`Limits::outbox_high`](crate::Limits).
    ///
    /// The call itself queues the message.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: the connection is closing. [`Error::Unencodable`]: the codec cannot encode the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the message is queued already.
    pub fn send_message(&mut self, message: C::Outgoing<'_>) -> UpstreamSending<'_, C> {
        let status = self.reach(|core, token| {
            let status = core.send(token, &self.codec, Outgoing::<C>(message));
            core.mark(token);
            status
        });
        UpstreamSending { status: status.unwrap_or(SendStatus::Closed), upstream: self }
    }

    /// Shuts down the sending direction after everything sent so far has left. Reading goes on.
    pub fn shutdown_write(&mut self) {
        self.reach(Core::shut_write);
    }
}

impl<C> Upstream<C>
where
    C: for<'a> Codec<Message<'a> = &'a [u8], Outgoing<'a> = &'a [&'a [u8]]>,
{
    /// Receives the next message, as a copy that may be kept; `None` when the peer has ended its stream.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`]: the codec rejected what the peer sent. The connection closes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a message is decoded in the poll that hands it over.
    #[allow(clippy::should_implement_trait, reason = "it is what async code calls this, and no iterator")]
    pub fn next(&mut self) -> UpstreamNext<'_, C, fn(&[u8]) -> Message> {
        self.next_with(Message::copy as fn(&[u8]) -> Message)
    }

    /// Sends one message made of `parts` joined; waits while the outbox is over [`Limits::outbox_high`](crate::Limits).
    ///
    /// The call itself queues the message.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: the connection is closing. [`Error::Unencodable`]: the codec cannot encode the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the message is queued already.
    pub fn send<const N: usize>(&mut self, parts: [&[u8]; N]) -> UpstreamSending<'_, C> {
        self.send_message(&parts)
    }
}

impl<C: Codec> Drop for Upstream<C> {
    fn drop(&mut self) {
        let place = {
            let mut state = self.state.borrow_mut();
            state.is_left = true;
            state.place.filter(|_| !state.is_closed)
        };
        // Where the reactor goes with its sessions, nobody is left to be told.
        raw::with(|scope| {
            if let Some(place) = place
                && scope.core.at(place).is_some()
            {
                scope.core.deferred.push(Deferred::Close { place, mode: CloseMode::Flushed });
            }
        });
    }
}

impl<C: Codec> fmt::Debug for Upstream<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("place", &self.place()).finish_non_exhaustive()
    }
}

/// Waits for the next message of an outbound connection: see [`Upstream::next`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct UpstreamNext<'u, C: Codec, F> {
    upstream: &'u mut Upstream<C>,
    take: Option<F>,
}

impl<C: Codec, F> Unpin for UpstreamNext<'_, C, F> {}

impl<C: Codec, F, R> Future for UpstreamNext<'_, C, F>
where
    F: for<'m> FnOnce(C::Message<'m>) -> R,
{
    type Output = Result<Option<R>>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Self { upstream, take } = self.get_mut();
        let mut once = |message: C::Message<'_>| {
            let take = take.take().unwrap_or_else(|| panic!("a future was polled after it was ready"));
            take(message)
        };
        upstream.poll_next(cx, &mut once)
    }
}

impl<C: Codec, F> fmt::Debug for UpstreamNext<'_, C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamNext").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

/// Waits for room behind a message that is queued: see [`Upstream::send`].
#[must_use = "await it, so that a slow peer slows the session down"]
#[derive(Debug)]
pub struct UpstreamSending<'u, C: Codec> {
    upstream: &'u mut Upstream<C>,
    status: SendStatus,
}

impl<C: Codec> Future for UpstreamSending<'_, C> {
    type Output = Result;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result> {
        match self.status {
            SendStatus::Queued => return Poll::Ready(Ok(())),
            SendStatus::Closed => return Poll::Ready(Err(Error::Closed)),
            SendStatus::Unencodable => return Poll::Ready(Err(Error::Unencodable)),
            SendStatus::OverHigh | SendStatus::OverHard => {}
        }
        let is_high = self.upstream.reach(|core, token| {
            let connection = core.slab.get(token)?;
            connection.takes_output().then(|| connection.flags.has(Flags::OVER_HIGH))
        });
        match is_high.flatten() {
            None => Poll::Ready(Err(Error::Closed)),
            Some(false) => Poll::Ready(Ok(())),
            Some(true) => {
                self.upstream.state.borrow_mut().waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
