//! Waiting for two things at a time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

pub use super::raw::Both;
use super::raw::Part;

/// Runs two futures side by side until both are ready, or until one fails.
///
/// It is for the two directions of a stream, with the halves of [`Connection::split`](super::Connection::split): one future
/// receives while the other waits to send. Both are polled in their places, whenever the session is, the left one first. A
/// future that is ready is dropped at once, and its value kept.
///
/// # Errors
///
/// The first error of either. The other future is dropped with the one that this returns.
///
/// # Cancel safety
///
/// As safe as both futures. Dropping it also drops the value of one that was ready before the other.
///
/// ```
/// use gannet::proto::Raw;
/// use gannet::session::{self, Connection, both};
///
/// /// Echoes, and goes on to read while the peer does not take what is sent: up to what a channel holds.
/// async fn echo(mut connection: Connection<Raw>) -> session::Result {
///     let (mut reader, mut writer) = connection.split();
///     let (sender, mut received) = session::channel(64);
///     let receives = async {
///         while let Some(bytes) = reader.next().await? {
///             sender.send(bytes).await.map_err(session::Error::other)?;
///         }
///         drop(sender);
///         Ok(())
///     };
///     let sends = async {
///         while let Some(bytes) = received.recv().await {
///             writer.send([&bytes]).await?;
///         }
///         Ok(())
///     };
///     both(receives, sends).await.map(|_| ())
/// }
/// ```
pub fn both<A, B, T, U, E>(left: A, right: B) -> Both<A, B>
where
    A: Future<Output = Result<T, E>>,
    B: Future<Output = Result<U, E>>,
{
    Both::new(left, right)
}

/// Polls one that was not ready; says whether it is, or its error.
fn poll_part<F, T, E>(part: Pin<&mut Part<F>>, cx: &mut TaskContext<'_>) -> Result<bool, E>
where
    F: Future<Output = Result<T, E>>,
{
    let (mut future, output) = part.project();
    if let Some(waiting) = future.as_mut().as_pin_mut() {
        match waiting.poll(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Ready(value) => {
                *output = Some(value);
                future.set(None);
            }
        }
    }
    Ok(true)
}

impl<A, B, T, U, E> Future for Both<A, B>
where
    A: Future<Output = Result<T, E>>,
    B: Future<Output = Result<U, E>>,
{
    type Output = Result<(T, U), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let (mut left, mut right) = self.project();
        let is_left_ready = poll_part(left.as_mut(), cx)?;
        let is_right_ready = poll_part(right.as_mut(), cx)?;
        if !is_left_ready || !is_right_ready {
            return Poll::Pending;
        }
        match (left.project().1.take(), right.project().1.take()) {
            (Some(left), Some(right)) => Poll::Ready(left.and_then(|left| Ok((left, right?)))),
            _ => panic!("a future was polled after it was ready"),
        }
    }
}

impl<A: Future, B: Future> fmt::Debug for Both<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Both").finish_non_exhaustive()
    }
}
