//! A value that every thread reads often and that is seldom replaced: reading costs one load, and no thread waits.

use std::any::Any;
use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Holds a value that many threads read and that is seldom replaced, such as settings.
///
/// Each thread keeps the value that it has seen last. [`get`](Self::get) compares a number and returns that value; only after
/// a replacement it takes a lock, once on each thread. A value that was replaced is dropped when no thread keeps it any more.
// On a cache line of its own, so that whoever writes to a neighbour does not disturb those who read.
#[derive(Debug)]
#[repr(align(128))]
pub struct Current<T: 'static> {
    /// Tells this one from all others, for what threads keep.
    own: Arc<()>,
    generation: AtomicU64,
    newest: Mutex<(u64, Arc<T>)>,
}

/// A value of a [`Current`], as this thread sees it. It stays the same while this is held.
#[derive(Debug)]
#[allow(clippy::redundant_allocation, reason = "the outer count is this thread's own: copying one costs no atomic")]
pub struct Seen<T>(Rc<Arc<T>>);

/// What a thread has seen last of one [`Current`].
struct Kept {
    of: Weak<()>,
    generation: u64,
    /// An `Arc` of the value.
    value: Rc<dyn Any>,
}

thread_local! {
    /// One for each that the thread has read: there are two in a gateway, which a walk finds sooner than a map.
    static KEPT: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

impl<T: 'static> Current<T> {
    /// Begins with a value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self { own: Arc::new(()), generation: AtomicU64::new(0), newest: Mutex::new((0, Arc::new(value))) }
    }

    /// Returns the value.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Seen<T> {
        let generation = self.generation();
        let kept = KEPT.try_with(|kept| {
            let kept = kept.borrow();
            let own = kept.iter().find(|one| self.is_of(one));
            own.filter(|one| one.generation == generation).map(|one| Rc::clone(&one.value))
        });
        // Where the thread ends, nothing can be kept any more.
        let kept = kept.ok().flatten().and_then(|value| value.downcast().ok());
        Seen(kept.unwrap_or_else(|| self.look()))
    }

    /// Returns a number that differs after each replacement. Comparing it costs one load.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Replaces the value.
    pub fn set(&self, value: T) {
        let value = Arc::new(value);
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = newest.0 + 1;
        let before = std::mem::replace(&mut *newest, (generation, value));
        self.generation.store(generation, Ordering::Release);
        drop(newest);
        drop(before);
    }

    /// Fetches the newest value, and keeps it for this thread.
    #[cold]
    #[allow(clippy::redundant_allocation, reason = "see Seen")]
    fn look(&self) -> Rc<Arc<T>> {
        let (generation, value) = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let value = Rc::new(value);
        let new = Kept { of: Arc::downgrade(&self.own), generation, value: value.clone() };
        let old = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let (there, gone): (Vec<_>, Vec<_>) =
                kept.drain(..).partition(|one| one.of.strong_count() > 0 && !self.is_of(one));
            *kept = there;
            kept.push(new);
            gone
        });
        // Nothing is borrowed any more where a value ends.
        drop(old);
        value
    }

    fn is_of(&self, kept: &Kept) -> bool {
        std::ptr::eq(kept.of.as_ptr(), Arc::as_ptr(&self.own))
    }
}

impl<T> Seen<T> {
    /// Returns the value for other threads.
    #[must_use]
    pub fn shared(&self) -> Arc<T> {
        Arc::clone(&self.0)
    }
}

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Deref for Seen<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn every_thread_sees_the_newest_value_and_the_old_one_ends_when_nobody_keeps_it() {
        let first = Arc::new(1);
        let current = Current::new(Arc::clone(&first));
        let held = current.get();
        let (before, after) = (Barrier::new(3), Barrier::new(3));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    assert_eq!(**current.get(), 1);
                    before.wait();
                    after.wait();
                    assert_eq!(**current.get(), 2);
                });
            }
            before.wait();
            current.set(Arc::new(2));
            after.wait();
        });
        assert_eq!((**held, **current.get()), (1, 2));
        assert_eq!(Arc::strong_count(&first), 2, "only what is held");
        drop(held);
        assert_eq!(Arc::strong_count(&first), 1);
    }

    #[test]
    fn a_thread_forgets_those_that_are_gone() {
        let value = Arc::new(());
        for _ in 0..10 {
            let _ = Current::new(Arc::clone(&value)).get();
        }
        let other = Current::new("another type");
        assert_eq!(*other.get(), "another type");
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
