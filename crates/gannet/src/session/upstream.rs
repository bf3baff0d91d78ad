//! Outbound connections of a session: a session reads and writes them beside its own connection.
//!
//! What comes for one waits in the engine's memory until its owner takes it. A small service of the engine hears of it, and
//! wakes the owner.

mod halves;
mod link;
mod waiting;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
#[cfg(any(test, feature = "stream"))]
use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};

use gannet_proto::Codec;

use crate::close_reason::CloseReason;
use crate::connect::Connect;
use crate::connection::{CloseMode, Flags};
use crate::core::{Core, Deferred, Outgoing, SendStatus};
use crate::host::{Host, HostOf};
use crate::ids::{Place, Token};

use super::decoding::{Found, take_from, take_rest};
use super::error::{Error, Result};
use super::message::Message;
use super::raw;
use super::scope::{Scope, wrong_session};
#[cfg(any(test, feature = "stream"))]
use super::stream::{Bytes, error_of, take_carried};

pub use self::halves::{UpstreamReader, UpstreamWriter};
pub(crate) use self::link::Upstreams;
use self::link::{Link, State};
pub use self::waiting::{UpstreamNext, UpstreamSending};

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
    let upstream = Upstream { state: Owned(state), codec, decoding: RefCell::default() };
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
            state.receives = Some(cx.waker().clone());
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

/// The owner's side of an outbound connection, which closes when this is dropped.
pub(super) struct Owned(Rc<RefCell<State>>);

impl Owned {
    /// Calls `use_it` with the core, if the connection is there.
    pub(super) fn reach<R>(&self, use_it: impl FnOnce(&mut Core, Token) -> R) -> Option<R> {
        let place = self.0.borrow().open_place()?;
        raw::with(|scope| {
            scope.core.at(place)?;
            Some(use_it(scope.core, place.token))
        })
        .unwrap_or_else(|| wrong_session())
    }

    /// Closes the connection when everything was sent, also where no session is polled.
    fn leave(&self) {
        let place = {
            let mut state = self.0.borrow_mut();
            state.is_left = true;
            state.open_place()
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

    /// Has the engine receive again, and wakes when something came.
    fn wait_for_bytes(&self, waker: &Waker) {
        self.0.borrow_mut().receives = Some(waker.clone());
        self.reach(|core, token| {
            if let Some(connection) = core.slab.get_mut(token) {
                connection.end_pause(Flags::HELD, core.now);
            }
            core.mark(token);
        });
    }

    pub(super) fn wait_for_room(&self, waker: &Waker) {
        self.0.borrow_mut().sends = Some(waker.clone());
    }
}

/// The same as a stream of bytes.
#[cfg(any(test, feature = "stream"))]
impl Owned {
    /// Gives bytes to `take`, as many as lie together and `room` at most; 0 at the end of the stream.
    pub(super) fn poll_bytes(
        &self,
        cx: &TaskContext<'_>,
        room: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if let Some(rest) = &mut self.0.borrow_mut().rest {
            let count = rest.len().min(room);
            take(&rest[..count]);
            rest.consume(count);
            return Poll::Ready(Ok(count));
        }
        if let Some(kind) = self.closed() {
            return Poll::Ready(Err(kind.into()));
        }
        match self.reach(|core, token| take_carried(core, token, room, take)) {
            Some(Bytes::Some(count)) => Poll::Ready(Ok(count)),
            Some(Bytes::Nothing) => {
                self.wait_for_bytes(cx.waker());
                Poll::Pending
            }
            Some(Bytes::NotNow) => {
                // It had its share of this turn, and goes on in the next.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Bytes::End) | None => Poll::Ready(Ok(0)),
        }
    }

    /// The error that the connection was closed with, if it was.
    pub(super) fn closed(&self) -> Option<io::ErrorKind> {
        self.0.borrow().closed.and_then(error_of)
    }
}

impl Deref for Owned {
    type Target = RefCell<State>;

    fn deref(&self) -> &RefCell<State> {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.leave();
    }
}

/// An outbound connection of a session. [`connect`] makes it, and it closes when it is dropped, after its output was sent.
///
/// Its methods work inside of the session's future, and panic elsewhere.
pub struct Upstream<C: Codec> {
    state: Owned,
    codec: C,
    decoding: RefCell<C::State>,
}

impl<C: Codec> Upstream<C> {
    fn place(&self) -> Option<Place> {
        self.state.borrow().open_place()
    }

    /// Calls `use_it` with the core, if the connection is there.
    fn reach<R>(&self, use_it: impl FnOnce(&mut Core, Token) -> R) -> Option<R> {
        self.state.reach(use_it)
    }

    /// Splits the connection into a half that receives and a half that sends, to be used side by side.
    ///
    /// [`both`](super::both) and [`first`](super::first) do one while they wait for the other. The halves borrow the
    /// connection, and allocate nothing.
    pub fn split(&mut self) -> (UpstreamReader<'_, C>, UpstreamWriter<'_, C>) {
        let whole = &*self;
        (UpstreamReader::of(whole), UpstreamWriter::of(whole))
    }

    /// Closes the connection when everything was sent, also where no session is polled.
    pub(super) fn leave(&self) {
        self.state.leave();
    }

    #[cfg(any(test, feature = "stream"))]
    pub(super) fn into_owned(self) -> Owned {
        self.state
    }

    /// Receives the next message and calls `take` with it, without a copy; `None` when the peer has ended its stream.
    ///
    /// # Errors
    ///
    /// - [`Error::Codec`]: the codec rejected what the peer sent. The connection closes.
    /// - [`Error::Broken`]: the connection closed before the peer ended its stream.
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

    pub(super) fn poll_next<R>(
        &self,
        cx: &TaskContext<'_>,
        take: &mut impl FnMut(C::Message<'_>) -> R,
    ) -> Poll<Result<Option<R>>> {
        let decoding = &mut *self.decoding.borrow_mut();
        let rest = self.state.borrow_mut().rest.take();
        let found = if let Some(mut rest) = rest {
            let found = take_rest(&mut rest, &self.codec, decoding, take);
            self.state.borrow_mut().rest = Some(rest);
            found
        } else {
            let (place, closed) = {
                let state = self.state.borrow();
                (state.place, state.closed)
            };
            match (place, closed) {
                (_, Some(reason)) => return Poll::Ready(Err(Error::Broken(reason))),
                (None, None) => return Poll::Ready(Ok(None)),
                (Some(place), None) => raw::with(|scope| {
                    if scope.core.at(place).is_none() {
                        return Found::Nothing;
                    }
                    take_from(scope.core, place.token, &self.codec, decoding, take)
                })
                .unwrap_or_else(|| wrong_session()),
            }
        };
        match found {
            Found::Message(result) => Poll::Ready(Ok(Some(result))),
            Found::End => Poll::Ready(Ok(None)),
            Found::Nothing => {
                self.state.wait_for_bytes(cx.waker());
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
        self.queue(message)
    }

    fn queue(&self, message: C::Outgoing<'_>) -> UpstreamSending<'_, C> {
        UpstreamSending { status: self.queue_status(message), upstream: self }
    }

    /// Queues a message, and does not wait.
    pub(super) fn queue_status(&self, message: C::Outgoing<'_>) -> SendStatus {
        let status = self.reach(|core, token| {
            let status = core.send(token, &self.codec, Outgoing::<C>(message));
            core.mark(token);
            status
        });
        status.unwrap_or(SendStatus::Closed)
    }

    /// Shuts down the sending direction after everything sent so far has left. Receiving goes on.
    pub fn shutdown_write(&mut self) {
        self.end_sending();
    }

    fn end_sending(&self) {
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
    /// - [`Error::Codec`]: the codec rejected what the peer sent. The connection closes.
    /// - [`Error::Broken`]: the connection closed before the peer ended its stream.
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

impl<C: Codec> fmt::Debug for Upstream<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("place", &self.place()).finish_non_exhaustive()
    }
}
