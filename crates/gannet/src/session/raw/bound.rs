//! Values that stay on their thread, in types that other crates may move.

use std::mem::ManuallyDrop;
use std::thread::{self, ThreadId};

thread_local! {
    static THREAD: ThreadId = thread::current().id();
}

/// A value that may be moved to other threads, and is reached on the one where it was made only. Dropped on another one, it is
/// forgotten.
pub(in super::super) struct Bound<T> {
    thread: ThreadId,
    value: ManuallyDrop<T>,
}

// SAFETY: whoever has it on another thread reaches nothing of the value: `get` and `Drop` compare the thread, whose
// identifier is never used again.
unsafe impl<T> Send for Bound<T> {}

// SAFETY: as for `Send`.
unsafe impl<T> Sync for Bound<T> {}

impl<T> Bound<T> {
    pub(in super::super) fn new(value: T) -> Self {
        Self { thread: THREAD.with(|thread| *thread), value: ManuallyDrop::new(value) }
    }

    /// The value, on its own thread, as long as that does not end.
    #[inline]
    pub(in super::super) fn get(&self) -> Option<&T> {
        let here = THREAD.try_with(|thread| *thread).ok()?;
        (here == self.thread).then(|| &*self.value)
    }
}

impl<T> Drop for Bound<T> {
    fn drop(&mut self) {
        if self.get().is_some() {
            // SAFETY: this is its thread, and it is not used after this.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    static DROPPED: AtomicU32 = AtomicU32::new(0);

    /// A value of one thread, which has nothing that could leak where it is forgotten.
    struct Noted(Cell<u32>);

    impl Drop for Noted {
        fn drop(&mut self) {
            DROPPED.fetch_add(self.0.get(), Ordering::Relaxed);
        }
    }

    #[test]
    fn session_values_are_reached_and_dropped_on_their_own_thread_only() {
        let bound = Bound::new(Noted(Cell::new(1)));
        let bound = thread::spawn(move || {
            assert!(bound.get().is_none(), "this is another thread");
            bound
        });
        let bound = bound.join().expect("the thread returns it");
        assert_eq!(bound.get().map(|value| value.0.get()), Some(1));
        drop(bound);
        assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
        let bound = Bound::new(Noted(Cell::new(2)));
        thread::spawn(move || drop(bound)).join().expect("it is forgotten there");
        assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
    }
}
