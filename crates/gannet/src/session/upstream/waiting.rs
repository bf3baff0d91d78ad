//! What the methods of an outbound connection return: waits for a message, and for room.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use gannet_proto::Codec;

use super::Upstream;
use crate::connection::Flags;
use crate::core::SendStatus;
use crate::session::error::{Error, Result};

/// Waits for the next message of an outbound connection: see [`Upstream::next`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct UpstreamNext<'u, C: Codec, F> {
    pub(super) upstream: &'u Upstream<C>,
    pub(super) take: Option<F>,
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
    pub(super) upstream: &'u Upstream<C>,
    pub(super) status: SendStatus,
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
                self.upstream.state.wait_for_room(cx.waker());
                Poll::Pending
            }
        }
    }
}
