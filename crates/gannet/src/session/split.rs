//! The halves of a session's connection: one receives while the other waits to send.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use gannet_proto::Codec;

use crate::connection::Flags;

use super::connection::{Connection, Flush, Next, NextWith, Sending};
use super::scope::Scope;

impl<C: Codec> Connection<C> {
    /// Splits the connection into a half that receives and a half that sends, to be used side by side.
    ///
    /// A session that awaits [`send`](Self::send) receives nothing meanwhile, and one that awaits [`next`](Self::next) cannot
    /// send. With the halves, [`both`](super::both) or [`first`](super::first) does one while it waits for the other. The
    /// halves borrow the connection, take eight bytes each, and allocate nothing.
    ///
    /// From the first call on, reading does not pause by itself while the outbox is over
    /// [`Limits::outbox_high`](crate::Limits): the session itself decides what it takes. Await what you send for each message
    /// that you take; over [`Limits::outbox_hard`](crate::Limits) the connection closes.
    pub fn split(&mut self) -> (Reader<'_, C>, Writer<'_, C>) {
        self.reach(|scope| scope.read_freely());
        (Reader::of(self), Writer::of(self))
    }
}

impl Scope<'_> {
    /// Ends what pauses reading while the outbox is over its high mark, for good.
    pub(super) fn read_freely(&mut self) {
        let (token, now) = (self.place.token, self.core.now);
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        connection.set_auto_pause(false);
        if connection.flags.has(Flags::CHOKED) {
            connection.end_pause(Flags::CHOKED, now);
            self.core.mark(token);
        }
    }
}

/// The half of a connection that receives. [`Connection::split`] makes it.
///
/// It derefs to the connection for what needs no exclusive access, such as [`Connection::ending`] and [`Connection::peer`].
pub struct Reader<'c, C> {
    connection: Connection<C>,
    whole: PhantomData<&'c mut Connection<C>>,
}

/// The half of a connection that sends. [`Connection::split`] makes it.
///
/// It derefs to the connection for what needs no exclusive access, such as [`Connection::outbox_len`] and
/// [`Connection::handle`].
pub struct Writer<'c, C> {
    connection: Connection<C>,
    whole: PhantomData<&'c mut Connection<C>>,
}

impl<C: Codec> Reader<'_, C> {
    fn of(connection: &Connection<C>) -> Self {
        Self { connection: connection.again(), whole: PhantomData }
    }

    /// Receives the next message and calls `take` with it, without a copy; `None` after the last one.
    ///
    /// The message borrows from the receive buffer, so it ends with `take`, which must not block, and cannot use the
    /// connection.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`](super::Error::Codec), once: the codec rejected what the peer sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. A message is decoded in the poll that hands it over, and stays in the receive buffer
    /// until then.
    pub fn next_with<F, R>(&mut self, take: F) -> NextWith<'_, C, F>
    where
        F: for<'m> FnOnce(C::Message<'m>) -> R,
    {
        self.connection.next_with(take)
    }
}

impl<C> Reader<'_, C>
where
    C: for<'a> Codec<Message<'a> = &'a [u8], Outgoing<'a> = &'a [&'a [u8]]>,
{
    /// Receives the next message, as a copy that may be kept; `None` after the last one.
    ///
    /// [`Connection::ending`] says why there are no more messages.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`](super::Error::Codec), once: the codec rejected what the peer sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. A message is decoded in the poll that hands it over, and stays in the receive buffer
    /// until then.
    #[allow(clippy::should_implement_trait, reason = "it is what async code calls this, and no iterator")]
    pub fn next(&mut self) -> Next<'_, C> {
        self.connection.next()
    }
}

impl<C: Codec> Writer<'_, C> {
    fn of(connection: &Connection<C>) -> Self {
        Self { connection: connection.again(), whole: PhantomData }
    }

    /// Sends one message; waits while the outbox is over [`Limits::outbox_high`](crate::Limits).
    ///
    /// The call itself queues the message. What is queued leaves when the session waits for something.
    ///
    /// # Errors
    ///
    /// - [`Error::Closed`](super::Error::Closed): the connection is closing; the message is dropped.
    /// - [`Error::Unencodable`](super::Error::Unencodable): the codec cannot encode the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the message is queued already.
    pub fn send_message(&mut self, message: C::Outgoing<'_>) -> Sending<'_, C> {
        self.connection.send_message(message)
    }

    /// Sends bytes that are encoded already, past the codec; waits while the outbox is over
    /// [`Limits::outbox_high`](crate::Limits).
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](super::Error::Closed): the connection is closing; the bytes are dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the bytes are queued already.
    pub fn write(&mut self, bytes: &[u8]) -> Sending<'_, C> {
        self.connection.write(bytes)
    }

    /// Waits until the kernel has taken everything that was sent.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](super::Error::Closed): the connection is closing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn flush(&mut self) -> Flush<'_, C> {
        self.connection.flush()
    }

    /// Shuts down the sending direction after everything sent so far has left. Receiving goes on.
    ///
    /// Later sends fail with [`Error::Closed`](super::Error::Closed). The connection closes when the peer has ended its
    /// stream too, and all of it was received.
    pub fn shutdown_write(&mut self) {
        self.connection.shutdown_write();
    }
}

impl<C> Writer<'_, C>
where
    C: for<'a> Codec<Message<'a> = &'a [u8], Outgoing<'a> = &'a [&'a [u8]]>,
{
    /// Sends one message made of `parts` joined; waits while the outbox is over [`Limits::outbox_high`](crate::Limits).
    ///
    /// The call itself queues the message. What is queued leaves when the session waits for something.
    ///
    /// # Errors
    ///
    /// - [`Error::Closed`](super::Error::Closed): the connection is closing; the message is dropped.
    /// - [`Error::Unencodable`](super::Error::Unencodable): the codec cannot encode the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the message is queued already.
    pub fn send<const N: usize>(&mut self, parts: [&[u8]; N]) -> Sending<'_, C> {
        self.connection.send(parts)
    }
}

impl<C> Deref for Reader<'_, C> {
    type Target = Connection<C>;

    fn deref(&self) -> &Connection<C> {
        &self.connection
    }
}

impl<C> Deref for Writer<'_, C> {
    type Target = Connection<C>;

    fn deref(&self) -> &Connection<C> {
        &self.connection
    }
}

impl<C> fmt::Debug for Reader<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&self.connection).finish()
    }
}

impl<C> fmt::Debug for Writer<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(&self.connection).finish()
    }
}
