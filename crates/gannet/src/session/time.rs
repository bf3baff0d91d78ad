//! Waiting for a time, and giving up after one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use crate::ids::Place;
use crate::wheel::milliseconds;

use super::error::Elapsed;
use super::raw;
pub use super::raw::Within;
use super::scope::wrong_session;

/// Waits for a time.
///
/// The time begins with the first poll, is kept to the millisecond, and is late by what the reactor has to do. The longest
/// time is 24 days. A session may have 65,536 timers at once; one more is a panic, which ends the session. All of them are
/// cancelled when it ends.
///
/// What the peer had sent before the time was over is read first, also if the reactor is late.
///
/// # Cancel safety
///
/// Dropping the future cancels its timer.
pub fn sleep(time: Duration) -> Sleep {
    Sleep { time, timer: None }
}

/// Waits for a time: see [`sleep`].
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
pub struct Sleep {
    time: Duration,
    /// Where the timer is and its number, once it was set.
    timer: Option<(Place, u32)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = &mut *self;
        let polled = raw::with(|scope| {
            match this.timer {
                Some((place, id)) if scope.is_at(place) => {
                    if scope.head.has_fired(id) {
                        return Poll::Ready(());
                    }
                }
                Some(_) => wrong_session(),
                None => {
                    let Some(id) = scope.set_timer(milliseconds(this.time)) else {
                        panic!("a session has 65,536 timers at most")
                    };
                    this.timer = Some((scope.place, id));
                }
            }
            scope.head.note_waker(cx.waker(), scope.number);
            Poll::Pending
        });
        let polled = polled.unwrap_or_else(|| wrong_session());
        if polled.is_ready() {
            self.cancel();
        }
        polled
    }
}

impl Sleep {
    fn cancel(&mut self) {
        if let Some((place, id)) = self.timer.take() {
            raw::with(|scope| {
                if scope.is_at(place) {
                    scope.head.forget_timer(id);
                }
            });
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Waits for `future`, at most for a time that begins with the first poll.
///
/// The time is kept as by [`sleep`]. If both are over in one turn of the reactor, the future counts: a message that came in
/// time is never lost to its deadline.
///
/// # Errors
///
/// [`Elapsed`]: the time is over. The future is dropped with the one that this returns.
///
/// # Cancel safety
///
/// As safe as `future`: it is polled in its place, and dropped when this is.
///
/// ```
/// use std::time::Duration;
/// use gannet::{proto::Lines, session::{self, Connection, within}};
///
/// async fn greet(mut connection: Connection<Lines>) -> session::Result {
///     connection.send([b"your name?"]).await?;
///     let Some(name) = within(Duration::from_secs(10), connection.next()).await?? else { return Ok(()) };
///     connection.send([b"hello ", &name]).await
/// }
/// ```
pub fn within<F: Future>(time: Duration, future: F) -> Within<F> {
    Within { future, sleep: sleep(time) }
}

impl<F: Future> Future for Within<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let (future, sleep) = self.project();
        if let Poll::Ready(output) = future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(sleep).poll(cx).map(|()| Err(Elapsed))
    }
}

impl<F> fmt::Debug for Within<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Within").field("sleep", &self.sleep).finish_non_exhaustive()
    }
}
