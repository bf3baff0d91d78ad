//! What hyper asks of a runtime beside I/O: an [`Executor`] and a [`Timer`]. For the feature `hyper`.
//!
//! Pass [`Connection::into_stream`](super::Connection::into_stream) to `serve_connection` of hyper's
//! `server::conn::http1::Builder`, or of `server::conn::http2::Builder::new(Executor)`, and await what it returns in the
//! session. Timeouts of hyper need `builder.timer(Timer)`. For a graceful shutdown, await [`draining`](super::draining) beside it
//! and then call hyper's `graceful_shutdown`. The folder `examples/ecosystem` has the whole program.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use ::hyper::rt::{Read, ReadBufCursor, Write};

use super::head::spawn;
use super::stream::{Stream, poll_writes};
use super::time::{Sleep, sleep};

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let room = to.remaining();
        self.poll_take(cx, room, &mut |bytes| to.put_slice(bytes)).map_ok(|_| ())
    }
}

impl Write for Stream {
    poll_writes!(poll_shutdown);

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// Runs the futures that hyper spawns for HTTP/2, by [`spawn`]: they end with the session.
///
/// A session has 1,024 of them at most; hyper allows a client 200 streams at a time if nothing else is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> ::hyper::rt::Executor<F> for Executor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        spawn(async {
            future.await;
        });
    }
}

/// Keeps hyper's timeouts on the reactor's wheel, by [`sleep`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl ::hyper::rt::Timer for Timer {
    fn sleep(&self, duration: std::time::Duration) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        Box::pin(sleep(duration))
    }

    #[allow(clippy::disallowed_methods, reason = "hyper reads this clock for its deadlines")]
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        Box::pin(sleep(deadline.saturating_duration_since(Instant::now())))
    }
}

impl ::hyper::rt::Sleep for Sleep {}

const _: () = {
    const fn moves<T: Send + Sync>() {}
    moves::<(Stream, Sleep)>();
};
