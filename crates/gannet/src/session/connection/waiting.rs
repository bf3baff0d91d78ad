//! What the methods of a connection return: waits for a message, for room, and for an empty outbox.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use gannet_proto::Codec;

use super::Connection;
use crate::core::SendStatus;
use crate::session::error::{Error, Result};
use crate::session::message::Message;
use crate::session::raw;
use crate::session::scope::wrong_session;

/// Waits for the next message: see [`Connection::next`].
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
pub struct Next<'c, C> {
    pub(super) connection: &'c mut Connection<C>,
}

impl<C> Future for Next<'_, C>
where
    C: for<'a> Codec<Message<'a> = &'a [u8], Outgoing<'a> = &'a [&'a [u8]]>,
{
    type Output = Result<Option<Message>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.connection.reach(|scope| scope.poll_next::<C, _>(cx, &mut |bytes: &[u8]| Message::copy(bytes)))
    }
}

/// Waits for the next message, to look at it where it was received: see [`Connection::next_with`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct NextWith<'c, C, F> {
    pub(super) connection: &'c mut Connection<C>,
    pub(super) take: Option<F>,
}

impl<C, F> Unpin for NextWith<'_, C, F> {}

impl<C, F> fmt::Debug for NextWith<'_, C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextWith").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl<C: Codec, F, R> Future for NextWith<'_, C, F>
where
    F: for<'m> FnOnce(C::Message<'m>) -> R,
{
    type Output = Result<Option<R>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Self { connection, take } = self.get_mut();
        let mut once = |message: C::Message<'_>| {
            // At most one message comes of a poll, and the future is not polled after it.
            let take = take.take().unwrap_or_else(|| panic!("a future was polled after it was ready"));
            take(message)
        };
        connection.reach(|scope| scope.poll_next::<C, R>(cx, &mut once))
    }
}

/// Waits for room behind a message that is queued: see [`Connection::send`].
#[must_use = "await it, so that a slow peer slows the session down"]
#[derive(Debug)]
pub struct Sending<'c, C> {
    pub(super) status: SendStatus,
    /// The session that polls this is the connection's: a reference would be eight bytes in every session.
    pub(super) connection: PhantomData<&'c mut Connection<C>>,
}

impl<C: Codec> Future for Sending<'_, C> {
    type Output = Result;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result> {
        match self.status {
            SendStatus::Queued => Poll::Ready(Ok(())),
            SendStatus::OverHigh | SendStatus::OverHard => {
                raw::with(|scope| scope.poll_room(cx)).unwrap_or_else(|| wrong_session())
            }
            SendStatus::Closed => Poll::Ready(Err(Error::Closed)),
            SendStatus::Unencodable => Poll::Ready(Err(Error::Unencodable)),
        }
    }
}

/// Waits until the kernel has taken everything: see [`Connection::flush`].
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
pub struct Flush<'c, C> {
    pub(super) connection: &'c mut Connection<C>,
}

impl<C: Codec> Future for Flush<'_, C> {
    type Output = Result;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result> {
        self.connection.reach(|scope| scope.poll_flushed(cx))
    }
}
