//! Large values that replies may still read after the store has changed them or let go of them.
//!
//! The store holds such a value; a reply takes a [`Lease`] of it instead of a copy, and sees it as it was then, since who
//! changes a value that is leased changes a copy. What the store has let go of while it is leased takes memory on: that is
//! counted, and counts toward the limit of the memory.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of all values that are leased and no longer in a store of this process.
static LEFT_BEHIND: AtomicUsize = AtomicUsize::new(0);

/// Bytes of values that replies still read though no store has them, in the whole process.
#[must_use]
#[inline]
pub fn left_behind() -> usize {
    LEFT_BEHIND.load(Ordering::Relaxed)
}

/// What knows how much memory it takes.
pub trait Weigh {
    /// Bytes on the heap.
    fn bytes(&self) -> usize;
}

#[derive(Debug)]
struct Value<T> {
    value: T,
    /// Bytes of it that are counted as left behind.
    counted: AtomicUsize,
}

impl<T> Drop for Value<T> {
    fn drop(&mut self) {
        LEFT_BEHIND.fetch_sub(*self.counted.get_mut(), Ordering::Relaxed);
    }
}

/// A value in the store.
#[derive(Debug)]
pub struct Held<T: Weigh>(Arc<Value<T>>);

impl<T: Weigh> Held<T> {
    /// Takes a value into the store.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new(Value { value, counted: AtomicUsize::new(0) }))
    }

    /// The value as it is now, for as long as somebody needs it.
    #[must_use]
    pub fn lease(&self) -> Lease<T> {
        Lease(self.0.clone())
    }

    /// The value to be changed, unless somebody has a lease of it.
    #[must_use]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        Arc::get_mut(&mut self.0).map(|value| &mut value.value)
    }
}

impl<T: Weigh + Clone> Held<T> {
    /// The value to be changed: from now on another one than that of those who have a lease.
    pub fn make_mut(&mut self) -> &mut T {
        if self.get_mut().is_none() {
            *self = Self::new(self.0.value.clone());
        }
        self.get_mut().expect("a value that is new is leased by nobody")
    }
}

impl<T: Weigh + Clone> Clone for Held<T> {
    /// A value of its own.
    fn clone(&self) -> Self {
        Self::new(self.0.value.clone())
    }
}

impl<T: Weigh> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: Weigh> Drop for Held<T> {
    fn drop(&mut self) {
        // Whoever has the last lease by now may give it back meanwhile: then this is what drops the value, and uncounts it.
        if Arc::strong_count(&self.0) > 1 {
            let bytes = self.0.value.bytes();
            self.0.counted.store(bytes, Ordering::Relaxed);
            LEFT_BEHIND.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// A value as it was when it was leased.
#[derive(Debug)]
pub struct Lease<T>(Arc<Value<T>>);

impl<T> Deref for Lease<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weigh for Vec<u8> {
        fn bytes(&self) -> usize {
            self.capacity()
        }
    }

    #[test]
    fn a_leased_value_stays_as_it_was_and_counts_until_it_is_given_back() {
        const BYTES: usize = 1 << 30;
        let mut held = Held::new(vec![b'a'; 10]);
        held.make_mut().reserve_exact(BYTES - 10);
        assert!(left_behind() < BYTES, "nobody else has so much");
        let lease = held.lease();
        held.make_mut()[0] = b'b';
        assert_eq!((&lease[..2], &held[..2]), (&b"aa"[..], &b"ba"[..]));
        assert!(left_behind() >= BYTES);
        drop(lease);
        assert!(left_behind() < BYTES);
        held.make_mut().reserve_exact(BYTES - 10);
        let lease = held.lease();
        assert!(left_behind() < BYTES, "the store has it");
        drop(held);
        assert!(left_behind() >= BYTES);
        drop(lease);
        assert!(left_behind() < BYTES);
    }
}
