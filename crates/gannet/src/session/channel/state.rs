//! A bounded queue with those who wait at its ends: the same within a reactor and between threads.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::task::{Poll, Waker};

/// Says why a channel did not take a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// As many values wait as the channel holds.
    #[error("the channel is full")]
    Full,
    /// The receiver is gone.
    #[error("the channel's receiver is gone")]
    Closed,
}

/// Gives back a value that a channel did not take, and says why.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotSent<T> {
    /// The value, as it was passed.
    pub value: T,
    /// Why it was not taken.
    pub reason: ChannelError,
}

impl<T> fmt::Debug for NotSent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotSent").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for NotSent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value was not sent: {}", self.reason)
    }
}

impl<T> std::error::Error for NotSent<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reason)
    }
}

/// See the module. Nobody is woken by it: it gives out the wakers, to be used when it is not borrowed any more.
pub(super) struct State<T> {
    queue: VecDeque<T>,
    capacity: usize,
    receiver: Option<Waker>,
    /// Senders that wait for room.
    waiting: Vec<Waker>,
    senders: usize,
    is_closed: bool,
}

impl<T> State<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            capacity: capacity.max(1),
            receiver: None,
            waiting: Vec::new(),
            senders: 1,
            is_closed: false,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes a value; gives out who waits for it.
    pub(super) fn push(&mut self, value: T) -> Result<Option<Waker>, NotSent<T>> {
        if self.is_closed {
            return Err(NotSent { value, reason: ChannelError::Closed });
        }
        if self.queue.len() >= self.capacity {
            return Err(NotSent { value, reason: ChannelError::Full });
        }
        self.queue.push_back(value);
        Ok(self.receiver.take())
    }

    /// Notes a sender that waits for room.
    pub(super) fn wait_for_room(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }

    /// Gives the oldest value, and those who wait for its room: all of them, since the first may not want it any more.
    pub(super) fn pop(&mut self) -> Option<(T, Vec<Waker>)> {
        self.queue.pop_front().map(|value| (value, mem::take(&mut self.waiting)))
    }

    /// Whether a value may still come; notes the receiver that waits for it.
    pub(super) fn wait_for_value(&mut self, waker: &Waker) -> Poll<()> {
        if self.senders == 0 {
            return Poll::Ready(());
        }
        match &mut self.receiver {
            Some(known) => known.clone_from(waker),
            None => self.receiver = Some(waker.clone()),
        }
        Poll::Pending
    }

    /// Gives out the receiver, if it waits.
    pub(super) fn take_receiver(&mut self) -> Option<Waker> {
        self.receiver.take()
    }

    pub(super) fn add_sender(&mut self) {
        self.senders += 1;
    }

    /// A sender goes; gives out the receiver if it was the last.
    pub(super) fn remove_sender(&mut self) -> Option<Waker> {
        self.senders -= 1;
        if self.senders == 0 { self.receiver.take() } else { None }
    }

    /// The receiver goes; gives out what it did not take, and who waits for room.
    pub(super) fn close(&mut self) -> (VecDeque<T>, Vec<Waker>) {
        self.is_closed = true;
        self.receiver = None;
        (mem::take(&mut self.queue), mem::take(&mut self.waiting))
    }
}
