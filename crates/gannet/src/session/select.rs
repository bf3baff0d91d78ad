//! Waiting for the first of two things.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

pub use super::raw::First;

/// Holds the result of the first of two futures: see [`first`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The left one was ready.
    Left(A),
    /// The right one was ready, and the left one was not.
    Right(B),
}

/// Waits for the first of two futures; the other one is dropped with what this returns.
///
/// The left one is polled first. If it is always ready, the right one has no turn: put there what has to be heard, for
/// example an order to stop.
///
/// # Cancel safety
///
/// As safe as both futures. Those of this module lose nothing when they are dropped; [`channel`](super::channel) explains the
/// one exception.
pub fn first<A: Future, B: Future>(left: A, right: B) -> First<A, B> {
    First { left, right }
}

impl<A: Future, B: Future> Future for First<A, B> {
    type Output = Either<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let (left, right) = self.project();
        if let Poll::Ready(output) = left.poll(cx) {
            return Poll::Ready(Either::Left(output));
        }
        right.poll(cx).map(Either::Right)
    }
}

impl<A, B> fmt::Debug for First<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("First").finish_non_exhaustive()
    }
}
