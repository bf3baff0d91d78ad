//! Channels within a reactor: no atomics, no locks.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use super::super::raw;
use super::remote::{RemoteSender, Shared};
use super::state::{ChannelError, NotSent, State};

struct Channel<T> {
    state: RefCell<State<T>>,
    /// What other threads send to.
    remote: RefCell<Option<Arc<Shared<T>>>>,
}

/// Makes a channel for values of other sessions on this reactor, or of other threads: see [`Sender::remote`].
///
/// It holds `capacity` values, at least one, and as many again of other threads. What one sender sends arrives in order.
///
/// # Cancel safety
///
/// Dropping [`Receiver::recv`] loses nothing: a value is taken in the poll that hands it over. Dropping [`Sender::send`] drops
/// the value that it holds; [`Sender::try_send`] gives it back.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Rc::new(Channel { state: RefCell::new(State::new(capacity)), remote: RefCell::new(None) });
    (Sender { channel: channel.clone() }, Receiver { channel, remote_first: false })
}

/// Sends values to a [`Receiver`] on the same reactor. [`channel`] makes it.
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends a value, or gives it back.
    ///
    /// # Errors
    ///
    /// [`NotSent`]: the channel is full, or its receiver is gone.
    pub fn try_send(&self, value: T) -> Result<(), NotSent<T>> {
        let receiver = self.channel.state.borrow_mut().push(value)?;
        receiver.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Sends a value; waits for room.
    ///
    /// # Errors
    ///
    /// [`NotSent`] gives the value back: the receiver is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready drops the value.
    pub fn send(&self, value: T) -> Send<'_, T> {
        Send { sender: self, value: Some(value) }
    }

    /// Returns a sender for other threads and reactors. The receiver takes what they send from a queue of its own.
    #[must_use]
    pub fn remote(&self) -> RemoteSender<T>
    where
        T: std::marker::Send,
    {
        let capacity = self.channel.state.borrow().capacity();
        let mut remote = self.channel.remote.borrow_mut();
        let shared = remote.get_or_insert_with(|| Arc::new(Shared::new(capacity)));
        let sender = RemoteSender::new(shared);
        drop(remote);
        // A receiver that waits has not heard of the other queue.
        let receiver = self.channel.state.borrow_mut().take_receiver();
        receiver.into_iter().for_each(Waker::wake);
        sender
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.channel.state.borrow_mut().add_sender();
        Self { channel: self.channel.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let receiver = self.channel.state.borrow_mut().remove_sender();
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// Waits for room for a value: see [`Sender::send`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Send<'s, T> {
    sender: &'s Sender<T>,
    value: Option<T>,
}

impl<T> Unpin for Send<'_, T> {}

impl<T> Future for Send<'_, T> {
    type Output = Result<(), NotSent<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Some(value) = self.value.take() else { return Poll::Pending };
        match self.sender.try_send(value) {
            Err(NotSent { value, reason: ChannelError::Full }) => {
                self.sender.channel.state.borrow_mut().wait_for_room(cx.waker());
                self.value = Some(value);
                Poll::Pending
            }
            sent => Poll::Ready(sent),
        }
    }
}

impl<T> fmt::Debug for Send<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Send").field("is_done", &self.value.is_none()).finish()
    }
}

/// Receives the values of a channel, on one reactor. [`channel`] makes it.
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    /// The queue of other threads has its turn.
    remote_first: bool,
}

impl<T> Receiver<T> {
    /// Receives the next value; `None` when all senders are gone and all values were received.
    ///
    /// After 128 values in one poll, other sessions have their turn.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a value is taken in the poll that hands it over.
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv { receiver: self }
    }

    /// Receives a value that waits, if there is one.
    pub fn try_recv(&mut self) -> Option<T> {
        self.remote_first = !self.remote_first;
        if self.remote_first {
            self.take_remote().or_else(|| self.take_local())
        } else {
            self.take_local().or_else(|| self.take_remote())
        }
    }

    fn take_local(&self) -> Option<T> {
        let (value, waiting) = self.channel.state.borrow_mut().pop()?;
        waiting.into_iter().for_each(Waker::wake);
        Some(value)
    }

    fn take_remote(&self) -> Option<T> {
        self.channel.remote.borrow().as_ref()?.take()
    }

    /// Waits in both queues.
    fn wait(&self, waker: &Waker) -> Poll<Option<T>> {
        let local = self.channel.state.borrow_mut().wait_for_value(waker);
        let remote =
            self.channel.remote.borrow().as_ref().map_or(Poll::Ready(None), |shared| shared.take_or_wait(waker));
        match remote {
            Poll::Ready(Some(value)) => Poll::Ready(Some(value)),
            Poll::Ready(None) => local.map(|()| None),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let (values, waiting) = self.channel.state.borrow_mut().close();
        if let Some(shared) = self.channel.remote.take() {
            shared.close();
        }
        waiting.into_iter().for_each(Waker::wake);
        drop(values);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// Waits for a value: see [`Receiver::recv`].
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
pub struct Recv<'r, T> {
    receiver: &'r mut Receiver<T>,
}

impl<T> Future for Recv<'_, T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<T>> {
        if raw::with(|scope| scope.is_over_budget()) == Some(true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let receiver = &mut *self.get_mut().receiver;
        match receiver.try_recv() {
            Some(value) => Poll::Ready(Some(value)),
            None => receiver.wait(cx.waker()),
        }
    }
}
