//! The mailbox: the way into a reactor from other threads, bounded, with many senders and one receiver.
//!
//! Any thread posts; only the reactor that owns the [`Receiver`] takes. A letter for a reactor that is awake
//! costs its sender no system call: the waker is rung only for a reactor that announced its sleep.
//!
//! The reactor goes to sleep like this, and cannot miss a letter:
//!
//! 1. take until there is nothing left;
//! 2. [`Receiver::prepare_sleep`]; if it says no, go on without blocking;
//! 3. block in the driver until an event, a deadline or the waker;
//! 4. [`Receiver::awake`], then from the top.
//!
//! The memory for `capacity` letters is taken when the mailbox is made, and never grows.
#![forbid(unsafe_code)]

mod sleep;
#[cfg(all(test, not(loom)))]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_queue::ArrayQueue;

use self::sleep::{AfterPost, Sleep};

/// Brings a reactor out of its sleep.
///
/// A ring must not be lost if it comes just before the reactor blocks: the block has to return at once then,
/// as it does with an eventfd.
pub(crate) trait Wake: Send + Sync {
    /// Wakes the reactor. Called on any thread; must not block.
    fn wake(&self);
}

/// Makes a mailbox for `capacity` letters, at least one, whose reactor is brought out of its sleep by `waker`. Each of the
/// reactor's services can be called without a letter, those above the first `services` at the price of a lock.
pub(crate) fn mailbox<T>(capacity: usize, services: usize, waker: Arc<dyn Wake>) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        letters: ArrayQueue::new(capacity.max(1)),
        calls: (0..services).map(|_| AtomicBool::new(false)).collect(),
        later_calls: Mutex::default(),
        called_later: AtomicBool::new(false),
        called: AtomicBool::new(false),
        refused: AtomicU64::new(0),
        sleep: Sleep::new(),
        waker,
    });
    let receiver = Receiver { shared: Arc::clone(&shared), one_thread: PhantomData };
    (Sender { shared }, receiver)
}

struct Shared<T> {
    letters: ArrayQueue<T>,
    /// Services that were called, by index. They need no room, so a call is never refused and never lost.
    calls: Box<[AtomicBool]>,
    /// Services that were called and came after the mailbox was made, each once.
    later_calls: Mutex<Vec<usize>>,
    /// Whether there are any.
    called_later: AtomicBool,
    /// Whether any was, so that the reactor looks at one place in each turn.
    called: AtomicBool,
    /// Posts that found no room.
    refused: AtomicU64,
    sleep: Sleep,
    waker: Arc<dyn Wake>,
}

impl<T> Shared<T> {
    fn drop_letters(&self) {
        while let Some(letter) = self.letters.pop() {
            drop(letter);
        }
    }
}

/// Why a letter was not taken, with the letter.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum NotPosted<T> {
    /// As many letters wait as the mailbox can hold. The sender may try again later.
    Full(T),
    /// The reactor is gone and does not come back.
    Closed(T),
}

/// The end of a mailbox that other threads post to. Cheap to clone, and usable on any thread.
pub(crate) struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Posts a letter and rings if the reactor sleeps. Callable on any thread; never blocks.
    ///
    /// `Ok` means that the mailbox took the letter, not that the reactor will read it: when the reactor goes,
    /// the letters that it had not taken are dropped. A letter that is posted just then is dropped too, on the
    /// thread of the reactor or on this one.
    pub(crate) fn post(&self, letter: T) -> Result<(), NotPosted<T>> {
        let posted = self.post_again(letter);
        if matches!(posted, Err(NotPosted::Full(_))) {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
        }
        posted
    }

    /// Posts a letter that [`post`](Self::post) refused, and was counted there.
    pub(crate) fn post_again(&self, letter: T) -> Result<(), NotPosted<T>> {
        let shared = &*self.shared;
        if shared.sleep.is_closed() {
            return Err(NotPosted::Closed(letter));
        }
        shared.letters.push(letter).map_err(NotPosted::Full)?;
        match shared.sleep.posted() {
            AfterPost::Done => {}
            AfterPost::Ring => shared.waker.wake(),
            // The receiver may have looked for the last time before this letter lay there. What lies there now
            // has no other reader, so it does not matter whose letters these are.
            AfterPost::Closed => shared.drop_letters(),
        }
        Ok(())
    }

    /// Returns whether the reactor is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.sleep.is_closed()
    }

    /// Calls a service of the reactor, and rings if the reactor sleeps. Callable on any thread; never blocks, and never
    /// fails while the reactor is there. Calls that come before the reactor has seen the first are one.
    pub(crate) fn call(&self, service: usize) {
        let shared = &*self.shared;
        let Some(call) = shared.calls.get(service) else { return self.call_later(service) };
        // Who finds it set has been overtaken by a caller who rings for both. What both wrote before they called is seen by
        // the reactor: it takes the call back before it calls the service.
        if call.swap(true, Ordering::AcqRel) {
            return;
        }
        self.announce_call();
    }

    /// Calls a service that came after the mailbox was made.
    #[cold]
    fn call_later(&self, service: usize) {
        let shared = &*self.shared;
        {
            let mut calls = shared.later_calls.lock().unwrap_or_else(PoisonError::into_inner);
            if calls.contains(&service) {
                return;
            }
            calls.push(service);
            shared.called_later.store(true, Ordering::Relaxed);
        }
        self.announce_call();
    }

    fn announce_call(&self) {
        let shared = &*self.shared;
        shared.called.store(true, Ordering::Release);
        if shared.sleep.posted() == AfterPost::Ring {
            shared.waker.wake();
        }
    }

    /// Wakes the reactor whether it sleeps or not. Callable on any thread.
    pub(crate) fn ring(&self) {
        self.shared.waker.wake();
    }
}

impl<T> Sender<T> {
    /// Letters that wait. Callable on any thread; outdated when it is read.
    pub(crate) fn len(&self) -> usize {
        self.shared.letters.len()
    }

    /// Whether more than half of the room is taken. Callable on any thread; outdated when it is read.
    pub(crate) fn is_crowded(&self) -> bool {
        self.shared.letters.len() > self.shared.letters.capacity() / 2
    }

    /// Posts that found the mailbox full, so far. Callable on any thread.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("waiting", &self.shared.letters.len()).finish_non_exhaustive()
    }
}

/// The end of a mailbox that belongs to the reactor, to be used on its thread alone.
///
/// Dropping it closes the mailbox: the letters left are dropped here and now, and later posts are refused
/// with [`NotPosted::Closed`].
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// Two threads that announce and end a sleep through one reference would undo each other: not `Sync`.
    one_thread: PhantomData<Cell<()>>,
}

impl<T> Receiver<T> {
    /// Takes the oldest letter.
    ///
    /// A sender that was interrupted while it laid its letter down is waited for, for as long as it takes to
    /// copy one letter.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.shared.letters.pop()
    }

    /// Whether no letter waits. Another thread may change that at once.
    pub(crate) fn is_empty(&self) -> bool {
        self.shared.letters.is_empty()
    }

    /// Letters that wait. Another thread may change that at once.
    pub(crate) fn len(&self) -> usize {
        self.shared.letters.len()
    }

    /// Whether a service was called. Costs one load of memory that is seldom written.
    pub(crate) fn is_called(&self) -> bool {
        self.shared.called.load(Ordering::Relaxed)
    }

    /// Takes the calls back, and adds the services that were called to `called`.
    pub(crate) fn take_calls(&mut self, called: &mut Vec<u16>) {
        // Taken back first: a caller who comes meanwhile sets it again, and the reactor looks once more.
        self.shared.called.swap(false, Ordering::AcqRel);
        for (service, call) in self.shared.calls.iter().enumerate() {
            if call.load(Ordering::Relaxed) && call.swap(false, Ordering::AcqRel) {
                called.push(service as u16);
            }
        }
        if self.shared.called_later.load(Ordering::Relaxed) {
            let mut calls = self.shared.later_calls.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.called_later.store(false, Ordering::Relaxed);
            called.extend(calls.drain(..).map(|service| service as u16));
        }
    }

    /// Announces that the reactor is about to block; from here on a post or a call rings the waker.
    ///
    /// `false` if letters or calls wait: the reactor counts as awake then, and must not block before it took them.
    pub(crate) fn prepare_sleep(&self) -> bool {
        self.shared.sleep.prepare(|| self.is_empty() && !self.is_called())
    }

    /// Says that the reactor does not sleep any more. Without it senders would ring for nothing.
    pub(crate) fn awake(&self) {
        self.shared.sleep.awake();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.sleep.close();
        self.shared.drop_letters();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("waiting", &self.shared.letters.len()).finish_non_exhaustive()
    }
}
