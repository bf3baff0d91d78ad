//! Waiting for the engine to shut down.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use super::head::Head;
use super::raw;
use super::scope::wrong_session;

/// Waits until the engine drains: its shutdown has begun, and the session's listener takes no more connections.
///
/// [`Connection::next`](super::Connection::next) says so by itself. This is for sessions that wait for something else, for
/// example inside of a library that reads the connection. What the session still does is bounded by
/// [`Engine::drain_timeout`](crate::Engine::drain_timeout).
///
/// # Cancel safety
///
/// Dropping the future loses nothing: another one is ready at once if the engine drains.
pub fn draining() -> Draining {
    Draining(())
}

/// Waits until the engine drains: see [`draining`].
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
pub struct Draining(());

impl Future for Draining {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let polled = raw::with(|scope| {
            if scope.head.has(Head::DRAIN) {
                return Poll::Ready(());
            }
            scope.head.note_waker(cx.waker(), scope.number);
            Poll::Pending
        });
        polled.unwrap_or_else(|| wrong_session())
    }
}
