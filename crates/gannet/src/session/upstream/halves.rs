//! The halves of an outbound connection: one receives while the other waits to send.

use std::fmt;

use gannet_proto::Codec;

use super::super::message::Message;
use super::{Upstream, UpstreamNext, UpstreamSending};

/// The half of an outbound connection that receives. [`Upstream::split`] makes it.
pub struct UpstreamReader<'u, C: Codec> {
    whole: &'u Upstream<C>,
}

/// The half of an outbound connection that sends. [`Upstream::split`] makes it.
pub struct UpstreamWriter<'u, C: Codec> {
    whole: &'u Upstream<C>,
}

impl<'u, C: Codec> UpstreamReader<'u, C> {
    pub(super) fn of(whole: &'u Upstream<C>) -> Self {
        Self { whole }
    }

    /// Receives the next message and calls `take` with it, without a copy; `None` when the peer has ended its stream.
    ///
    /// # Errors
    ///
    /// - [`Error::Codec`](crate::session::Error::Codec): the codec rejected what the peer sent. The connection closes.
    /// - [`Error::Broken`](crate::session::Error::Broken): the connection closed before the peer ended its stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a message is decoded in the poll that hands it over.
    pub fn next_with<F, R>(&mut self, take: F) -> UpstreamNext<'_, C, F>
    where
        F: for<'m> FnOnce(C::Message<'m>) -> R,
    {
        UpstreamNext { upstream: self.whole, take: Some(take) }
    }
}

impl<C> UpstreamReader<'_, C>
where
    C: for<'a> Codec<Message<'a> = &'a [u8], Outgoing<'a> = &'a [&'a [u8]]>,
{
    /// Receives the next message, as a copy that may be kept; `None` when the peer has ended its stream.
    ///
    /// # Errors
    ///
    /// - [`Error::Codec`](crate::session::Error::Codec): the codec rejected what the peer sent. The connection closes.
    /// - [`Error::Broken`](crate::session::Error::Broken): the connection closed before the peer ended its stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a message is decoded in the poll that hands it over.
    #[allow(clippy::should_implement_trait, reason = "it is what async code calls this, and no iterator")]
    pub fn next(&mut self) -> UpstreamNext<'_, C, fn(&[u8]) -> Message> {
        self.next_with(Message::copy as fn(&[u8]) -> Message)
    }
}

impl<'u, C: Codec> UpstreamWriter<'u, C> {
    pub(super) fn of(whole: &'u Upstream<C>) -> Self {
        Self { whole }
    }

    /// Sends one message; waits while the outbox is over [`Limits::outbox_high`](crate::Limits).
    ///
    /// The call itself queues the message.
    ///
    /// # Errors
    ///
    /// - [`Error::Closed`](crate::session::Error::Closed): the connection is closing; the message is dropped.
    /// - [`Error::Unencodable`](crate::session::Error::Unencodable): the codec cannot encode the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the message is queued already.
    pub fn send_message(&mut self, message: C::Outgoing<'_>) -> UpstreamSending<'_, C> {
        self.whole.queue(message)
    }

    /// Shuts down the sending direction after everything sent so far has left. Receiving goes on.
    pub fn shutdown_write(&mut self) {
        self.whole.end_sending();
    }
}

impl<C> UpstreamWriter<'_, C>
where
    C: for<'a> Codec<Message<'a> = &'a [u8], Outgoing<'a> = &'a [&'a [u8]]>,
{
    /// Sends one message made of `parts` joined; waits while the outbox is over [`Limits::outbox_high`](crate::Limits).
    ///
    /// The call itself queues the message.
    ///
    /// # Errors
    ///
    /// - [`Error::Closed`](crate::session::Error::Closed): the connection is closing; the message is dropped.
    /// - [`Error::Unencodable`](crate::session::Error::Unencodable): the codec cannot encode the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the message is queued already.
    pub fn send<const N: usize>(&mut self, parts: [&[u8]; N]) -> UpstreamSending<'_, C> {
        self.whole.queue(&parts)
    }
}

impl<C: Codec> fmt::Debug for UpstreamReader<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UpstreamReader").field(self.whole).finish()
    }
}

impl<C: Codec> fmt::Debug for UpstreamWriter<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UpstreamWriter").field(self.whole).finish()
    }
}
