//! A result on its way to a thread or a future that waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::CallError;

struct State<T> {
    result: Option<Result<T, CallError>>,
    waker: Option<Waker>,
    set: bool,
}

struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Slot<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        // Nothing in here panics while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, result: Result<T, CallError>) {
        let waker = {
            let mut state = self.lock();
            if std::mem::replace(&mut state.set, true) {
                return;
            }
            state.result = Some(result);
            state.waker.take()
        };
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The end that gives the result. One that is dropped without says that the pool is closing, so nobody waits for ever.
pub(crate) struct Promise<T>(Arc<Slot<T>>);

impl<T> Promise<T> {
    pub(crate) fn set(self, result: Result<T, CallError>) {
        self.0.set(result);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.set(Err(CallError::Closing));
    }
}

/// Waits for the reply to a call: as a future on any executor, or on this thread with [`wait`](Self::wait).
///
/// # Cancel safety
///
/// A future that is dropped gives its reply up. Its request keeps its place in the connection's pipeline, so no other
/// caller receives the reply.
#[must_use = "a call without its reply is waited for by nobody"]
pub struct Pending<T>(Arc<Slot<T>>);

impl<T> Pending<T> {
    /// Blocks this thread until the reply is there, or the call has failed. Do not call it on a reactor.
    ///
    /// # Errors
    ///
    /// [`CallError`] says why there is no reply.
    pub fn wait(self) -> Result<T, CallError> {
        let mut state = self.0.lock();
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> std::fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

/// Makes the two ends of a result.
pub(crate) fn promise<T>() -> (Promise<T>, Pending<T>) {
    let state = Mutex::new(State { result: None, waker: None, set: false });
    let slot = Arc::new(Slot { state, changed: Condvar::new() });
    (Promise(slot.clone()), Pending(slot))
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    #[test]
    fn a_promise_that_is_dropped_tells_who_waits() {
        let (promise, pending) = promise::<u8>();
        let waits = std::thread::spawn(move || pending.wait());
        drop(promise);
        assert_eq!(waits.join().expect("no panic"), Err(CallError::Closing));
    }

    #[test]
    fn a_future_is_woken_when_the_result_is_there() {
        struct Woken(Mutex<u32>);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                *self.0.lock().expect("no panic") += 1;
            }
        }
        let woken = Arc::new(Woken(Mutex::new(0)));
        let waker = woken.clone().into();
        let mut cx = Context::from_waker(&waker);
        let (promise, pending) = promise();
        let mut pending = Box::pin(pending);
        assert!(pending.as_mut().poll(&mut cx).is_pending());
        promise.set(Ok(7));
        assert_eq!(*woken.0.lock().expect("no panic"), 1);
        assert_eq!(pending.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
    }
}
