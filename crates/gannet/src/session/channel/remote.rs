//! The end of a channel that other threads have.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};

use super::state::{ChannelError, NotSent, State};

/// The queue between threads. Nobody calls out with the lock held.
pub(super) struct Shared<T> {
    state: Mutex<State<T>>,
}

impl<T> Shared<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let mut state = State::new(capacity);
        // The first sender is yet to come.
        let _ = state.remove_sender();
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Option<T> {
        let (value, waiting) = self.state().pop()?;
        waiting.into_iter().for_each(Waker::wake);
        Some(value)
    }

    /// Takes a value, or waits for one in the same step; `None` if no sender is left.
    pub(super) fn take_or_wait(&self, waker: &Waker) -> Poll<Option<T>> {
        let mut state = self.state();
        match state.pop() {
            Some((value, waiting)) => {
                drop(state);
                waiting.into_iter().for_each(Waker::wake);
                Poll::Ready(Some(value))
            }
            None => state.wait_for_value(waker).map(|()| None),
        }
    }

    pub(super) fn close(&self) {
        let (values, waiting) = self.state().close();
        waiting.into_iter().for_each(Waker::wake);
        drop(values);
    }
}

/// Sends values to a session from any thread. [`Sender::remote`](super::Sender::remote) makes it.
pub struct RemoteSender<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send> RemoteSender<T> {
    pub(super) fn new(shared: &Arc<Shared<T>>) -> Self {
        shared.state().add_sender();
        Self { shared: shared.clone() }
    }

    /// Sends a value, or gives it back. Callable on any thread; never blocks for longer than another sender takes.
    ///
    /// The value is received in this turn of the session's reactor or in the next.
    ///
    /// # Errors
    ///
    /// [`NotSent`]: the channel is full, or its receiver is gone, as it is after its session.
    pub fn try_send(&self, value: T) -> Result<(), NotSent<T>> {
        let receiver = self.shared.state().push(value)?;
        receiver.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Sends a value; waits for room. This is for sessions of other reactors, and for any other executor.
    ///
    /// # Errors
    ///
    /// [`NotSent`] gives the value back: the receiver is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready drops the value.
    pub fn send(&self, value: T) -> RemoteSend<'_, T> {
        RemoteSend { sender: self, value: Some(value) }
    }
}

impl<T> Clone for RemoteSender<T> {
    fn clone(&self) -> Self {
        self.shared.state().add_sender();
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for RemoteSender<T> {
    fn drop(&mut self) {
        let receiver = self.shared.state().remove_sender();
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl<T> fmt::Debug for RemoteSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSender").finish_non_exhaustive()
    }
}

/// Waits for room for a value of another thread: see [`RemoteSender::send`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct RemoteSend<'s, T> {
    sender: &'s RemoteSender<T>,
    value: Option<T>,
}

impl<T> Unpin for RemoteSend<'_, T> {}

impl<T: Send> Future for RemoteSend<'_, T> {
    type Output = Result<(), NotSent<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Some(value) = self.value.take() else { return Poll::Pending };
        let mut state = self.sender.shared.state();
        match state.push(value) {
            Ok(receiver) => {
                drop(state);
                receiver.into_iter().for_each(Waker::wake);
                Poll::Ready(Ok(()))
            }
            Err(NotSent { value, reason: ChannelError::Full }) => {
                state.wait_for_room(cx.waker());
                drop(state);
                self.value = Some(value);
                Poll::Pending
            }
            Err(refused) => Poll::Ready(Err(refused)),
        }
    }
}

impl<T> fmt::Debug for RemoteSend<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSend").field("is_done", &self.value.is_none()).finish()
    }
}
