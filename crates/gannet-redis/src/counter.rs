//! Numbers that one reactor counts and others read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one reactor writes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one. On the writing reactor only: it is a load and a store.
    #[inline]
    pub fn count(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Adds so many. On the writing reactor only.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Sets it. On the writing reactor only, where what was counted meanwhile is not to be lost.
    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Reads it, anywhere.
    #[must_use]
    #[inline]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keys that were looked for to be read.
#[derive(Debug, Default)]
pub struct Lookups {
    /// Those that were found.
    pub hits: Counter,
    /// Those that were not found.
    pub misses: Counter,
}
