//! The connection of a session, as its future uses it.

mod waiting;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use gannet_proto::Codec;

use crate::address::Peer;
use crate::context::Context;
use crate::core::SendStatus;
use crate::group::Group;
use crate::handle::Handle;
use crate::ids::Place;
use crate::remote::Remote;

use super::error::Result;
use super::head::Head;
use super::raw;
use super::scope::{CodecOnly, Scope, wrong_session};

pub use self::waiting::{Flush, Next, NextWith, Sending};

/// Gives a session access to its connection: receives, sends, closes.
///
/// [`Engine::sessions`](crate::Engine::sessions) makes one for each connection, and passes it to the session. It takes eight
/// bytes. Its methods work inside of the session's future, and panic elsewhere.
///
/// # Messages that are bytes
///
/// [`next`](Self::next), [`send`](Self::send) and [`broadcast`](Self::broadcast) are for codecs whose messages are bytes:
/// lines, frames, raw. For other codecs there are [`next_with`](Self::next_with), [`send_message`](Self::send_message) and
/// [`broadcast_message`](Self::broadcast_message).
pub struct Connection<C> {
    place: Place,
    codec: PhantomData<fn() -> C>,
    /// It stays on its reactor's thread.
    thread: PhantomData<*const ()>,
}

/// Says why [`Connection::next`] has no more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The peer ended its stream. It may still read.
    Peer,
    /// The engine shuts down. No message waits; say good-bye and return.
    Drain,
    /// The codec rejected what the peer sent.
    Rejected,
    /// The session has closed the connection.
    Closed,
}

impl<C: Codec> Connection<C> {
    pub(super) fn new(place: Place) -> Self {
        Self { place, codec: PhantomData, thread: PhantomData }
    }

    /// The same connection, for a half of it.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.place)
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Queues a message, and does not wait.
    #[inline]
    pub(super) fn queue(&mut self, message: C::Outgoing<'_>) -> SendStatus {
        self.context(|cx| cx.send(message))
    }

    /// Calls `use_it` with what the session can reach.
    #[inline]
    pub(super) fn reach<R>(&self, use_it: impl for<'a> FnOnce(&mut Scope<'a>) -> R) -> R {
        let place = self.place;
        let reached = raw::with(|scope| if scope.is_at(place) { use_it(scope) } else { wrong_session() });
        reached.unwrap_or_else(|| wrong_session())
    }

    #[inline]
    fn context<R>(&self, use_it: impl for<'a> FnOnce(&mut Context<'a, CodecOnly<C>>) -> R) -> R {
        self.reach(|scope| use_it(&mut scope.context::<C>()))
    }

    /// Receives the next message and calls `take` with it, without a copy; `None` after the last one.
    ///
    /// The message borrows from the receive buffer, so it ends with `take`. [`ending`](Self::ending) says why there are no more
    /// messages. `take` must not block.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`](super::Error::Codec), once: the codec rejected what the peer sent. Send an error reply if the protocol
    /// has one, and return.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. A message is decoded in the poll that hands it over, and stays in the receive buffer
    /// until then.
    pub fn next_with<F, R>(&mut self, take: F) -> NextWith<'_, C, F>
    where
        F: for<'m> FnOnce(C::Message<'m>) -> R,
    {
        NextWith { connection: self, take: Some(take) }
    }

    /// Sends one message; waits while the outbox is over [`Limits::outbox_high`](crate::Limits).
    ///
    /// The call itself queues the message, so its order is that of the calls. Awaiting the result waits for room, and keeps a
    /// slow peer from filling the memory. What is queued leaves when the session waits for something.
    ///
    /// # Errors
    ///
    /// - [`Error::Closed`](super::Error::Closed): the connection is closing; the message is dropped.
    /// - [`Error::Unencodable`](super::Error::Unencodable): the codec cannot encode the message; the log has the reason,
    ///   at the level debug.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the message is queued already.
    #[inline]
    pub fn send_message(&mut self, message: C::Outgoing<'_>) -> Sending<'_, C> {
        Sending { status: self.queue(message), connection: PhantomData }
    }

    /// Sends bytes that are encoded already, past the codec; waits as [`send_message`](Self::send_message) does.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](super::Error::Closed): the connection is closing; the bytes are dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the bytes are queued already.
    pub fn write(&mut self, bytes: &[u8]) -> Sending<'_, C> {
        let status = self.context(|cx| cx.write(bytes));
        Sending { status, connection: PhantomData }
    }

    /// Waits until the kernel has taken everything that was sent.
    ///
    /// This is seldom needed: output leaves whenever the session waits, and a connection closes only after its output was
    /// sent.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](super::Error::Closed): the connection is closing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn flush(&mut self) -> Flush<'_, C> {
        Flush { connection: self }
    }

    /// Shuts down the sending direction after everything sent so far has left. Receiving goes on.
    ///
    /// Later sends fail with [`Error::Closed`](super::Error::Closed). The connection closes when the peer has ended its stream
    /// too, and all of it was received. A session that then still waits for something else is dropped.
    pub fn shutdown_write(&mut self) {
        self.context(|cx| cx.shutdown_write());
    }

    /// Closes the connection when everything was sent. [`next`](Self::next) answers `None` from now on.
    ///
    /// A session that returns closes its connection in the same way, so this is for sessions that have something else to do.
    /// They are dropped at their next await, when the output has left.
    pub fn close(&mut self) {
        self.reach(|scope| scope.head.set(Head::CLOSING));
        self.context(|cx| cx.close_flushed());
    }

    /// Closes the connection at once by a reset. Unsent output is lost, and the session is dropped at its next await.
    pub fn reset(&mut self) {
        self.reach(|scope| scope.head.set(Head::CLOSING));
        self.context(|cx| cx.reset());
    }

    /// Closes the connection when everything was sent, for a reason of the application's own.
    ///
    /// The counters have the reason's name; the services of a process may have 16 such names. [`close`](Self::close) says
    /// what becomes of the session.
    pub fn close_because(&mut self, reason: &'static str) {
        self.reach(|scope| scope.head.set(Head::CLOSING));
        self.context(|cx| cx.close_flushed_because(reason));
    }

    /// Returns why there are no more messages; `None` while there may be.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.reach(|scope| {
            let all = [
                (Head::CLOSING, Ending::Closed),
                (Head::BROKEN, Ending::Rejected),
                (Head::END, Ending::Peer),
                (Head::DRAIN, Ending::Drain),
            ];
            all.into_iter().find(|(flag, _)| scope.head.has(*flag)).map(|(_, ending)| ending)
        })
    }

    /// Sets what is sent when the peer was silent for [`Timeouts::heartbeat`](crate::Timeouts), past the codec.
    ///
    /// It has to be something that the peer answers. After [`Timeouts::heartbeats_missed`](crate::Timeouts) without any bytes
    /// from the peer, the connection closes and the session is dropped. Without this call there is no heartbeat.
    pub fn set_heartbeat(&mut self, encoded: &'static [u8]) {
        self.reach(|scope| scope.head.extra().heartbeat = Some(encoded));
        self.context(|cx| cx.begin_heartbeat());
    }

    /// Returns the address of the peer.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.context(|cx| cx.peer())
    }

    /// Returns a reference to this connection that may be kept and used on any thread, after the session too.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.context(|cx| cx.handle())
    }

    /// Returns a reference to the engine that works from any thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.context(|cx| cx.remote())
    }

    /// Returns the number of this reactor, from 0.
    #[must_use]
    pub fn reactor(&self) -> usize {
        self.context(|cx| cx.reactor())
    }

    /// Returns the reactor's clock at the start of this turn. Each reactor counts from a moment of its own.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.context(|cx| cx.now())
    }

    /// Returns the bytes that this connection still has to send.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.context(|cx| cx.outbox_len())
    }

    /// Charges work to this connection's share of the turn, as [`Context::charge`] does.
    pub fn charge(&mut self, bytes: usize) {
        self.context(|cx| cx.charge(bytes));
    }

    /// Changes the codec's state for this connection, for codecs that let an application say how decoding goes on.
    pub fn codec_state<R>(&mut self, change: impl FnOnce(&mut C::State) -> R) -> R {
        self.context(|cx| change(cx.codec_state()))
    }

    /// Calls `look` with what the filter knows about this connection, if there is a filter and it provides a `T`.
    ///
    /// For TLS this is `gannet_tls::TlsInfo`: `connection.filter_info(|tls: &TlsInfo| tls.version())`.
    pub fn filter_info<T: 'static, R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.context(|cx| cx.filter_info::<T>().map(look))
    }

    /// Adds this connection to a group. Joining a second time changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Join`](super::Error::Join): a limit on groups was reached, or the connection is closing.
    pub fn join(&mut self, group: Group) -> Result {
        Ok(self.context(|cx| cx.join(group))?)
    }

    /// Removes this connection from a group. Returns whether it was a member.
    pub fn leave(&mut self, group: Group) -> bool {
        self.context(|cx| cx.leave(group))
    }

    /// Sends one message to every member of a group, on all reactors; also to this connection if it is a member.
    ///
    /// The message is encoded once. It does not wait: a slow member meets the limits of its own outbox.
    ///
    /// # Errors
    ///
    /// [`Error::Send`](super::Error::Send); [`Context::broadcast`] explains each variant.
    pub fn broadcast_message(&mut self, group: Group, message: C::Outgoing<'_>) -> Result {
        Ok(self.context(|cx| cx.broadcast(group, message))?)
    }
}

impl<C> Connection<C>
where
    C: for<'a> Codec<Message<'a> = &'a [u8], Outgoing<'a> = &'a [&'a [u8]]>,
{
    /// Receives the next message, as a copy that may be kept; `None` after the last one.
    ///
    /// The copy is in memory that is used again. [`next_with`](Self::next_with) does not copy. [`ending`](Self::ending) says
    /// why there are no more messages: the peer ended its stream, or the engine shuts down. The session may go on to send.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`](super::Error::Codec), once: the codec rejected what the peer sent. Send an error reply if the protocol
    /// has one, and return.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. A message is decoded in the poll that hands it over, and stays in the receive buffer
    /// until then.
    #[allow(clippy::should_implement_trait, reason = "it is what async code calls this, and no iterator")]
    #[inline]
    pub fn next(&mut self) -> Next<'_, C> {
        Next { connection: self }
    }

    /// Sends one message made of `parts` joined; waits while the outbox is over [`Limits::outbox_high`](crate::Limits).
    ///
    /// The call itself queues the message, so its order is that of the calls. Awaiting the result waits for room, and keeps a
    /// slow peer from filling the memory. What is queued leaves when the session waits for something.
    ///
    /// # Errors
    ///
    /// - [`Error::Closed`](super::Error::Closed): the connection is closing; the message is dropped.
    /// - [`Error::Unencodable`](super::Error::Unencodable): the codec cannot encode the message; the log has the reason,
    ///   at the level debug.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the message is queued already.
    #[inline]
    pub fn send<const N: usize>(&mut self, parts: [&[u8]; N]) -> Sending<'_, C> {
        let status = self.context(|cx| cx.send(&parts));
        Sending { status, connection: PhantomData }
    }

    /// Sends one message made of `parts` joined to every member of a group, on all reactors.
    ///
    /// This connection gets it too if it is a member. It does not wait: a slow member meets the limits of its own outbox.
    ///
    /// # Errors
    ///
    /// [`Error::Send`](super::Error::Send); [`Context::broadcast`] explains each variant.
    pub fn broadcast<const N: usize>(&mut self, group: Group, parts: [&[u8]; N]) -> Result {
        Ok(self.context(|cx| cx.broadcast(group, &parts))?)
    }
}

impl<C> fmt::Debug for Connection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("place", &self.place).finish()
    }
}
