//! What is counted: by each instance for itself, and summed when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A number that one reactor writes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one. On the writing reactor only: it is a load and a store.
    #[inline]
    pub fn count(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Sets it. On the writing reactor only.
    #[inline]
    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Reads it, anywhere.
    #[must_use]
    #[inline]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one instance counts, on cache lines of its own (two, as processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Statistics {
    /// Connections that came.
    pub connections: Counter,
    /// Commands that ran.
    pub commands: Counter,
    /// Replies that are errors.
    pub errors: Counter,
    /// Keys that were looked for to be read, and found.
    pub hits: Counter,
    /// Keys that were looked for to be read, and not found.
    pub misses: Counter,
    /// The second, since 1970, in which the last command came.
    second: Counter,
    /// Commands before it.
    before: Counter,
    /// Commands in the last second that was full.
    rate: Counter,
}

impl Statistics {
    /// Notes that a command came.
    #[inline]
    pub(crate) fn command(&self, now_s: u32) {
        if self.second.read() != u64::from(now_s) {
            self.next_second(now_s.into());
        }
        self.commands.count();
    }

    #[cold]
    fn next_second(&self, now_s: u64) {
        let commands = self.commands.read();
        let full = self.second.read() + 1 == now_s;
        self.rate.set(if full { commands - self.before.read() } else { 0 });
        self.before.set(commands);
        self.second.set(now_s);
    }

    /// Commands in the last second that was full.
    fn per_second(&self, now_s: u64) -> u64 {
        match now_s.checked_sub(self.second.read()) {
            Some(0) => self.rate.read(),
            Some(1) => self.commands.read() - self.before.read(),
            _ => 0,
        }
    }
}

/// What all instances have counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) connections: u64,
    pub(crate) commands: u64,
    pub(crate) errors: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) per_second: u64,
}

/// The counters of all instances.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    all: Mutex<Vec<Arc<Statistics>>>,
    /// What had been counted when CONFIG RESETSTAT was asked for.
    base: Mutex<Totals>,
}

impl Instances {
    /// Takes in an instance.
    pub(crate) fn add(&self) -> Arc<Statistics> {
        let statistics = Arc::<Statistics>::default();
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(statistics.clone());
        statistics
    }

    /// What was counted since the start, or since it was reset.
    pub(crate) fn totals(&self, now_s: u64) -> Totals {
        let (all, base) = (self.sum(now_s), *self.base.lock().unwrap_or_else(PoisonError::into_inner));
        Totals {
            connections: all.connections.saturating_sub(base.connections),
            commands: all.commands.saturating_sub(base.commands),
            errors: all.errors.saturating_sub(base.errors),
            hits: all.hits.saturating_sub(base.hits),
            misses: all.misses.saturating_sub(base.misses),
            per_second: all.per_second,
        }
    }

    /// Counts from 0 again.
    pub(crate) fn reset(&self) {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = self.sum(0);
    }

    fn sum(&self, now_s: u64) -> Totals {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().fold(Totals::default(), |sum, one| Totals {
            connections: sum.connections + one.connections.read(),
            commands: sum.commands + one.commands.read(),
            errors: sum.errors + one.errors.read(),
            hits: sum.hits + one.hits.read(),
            misses: sum.misses + one.misses.read(),
            per_second: sum.per_second + one.per_second(now_s),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_full_second() {
        let statistics = Statistics::default();
        (0..10).for_each(|_| statistics.command(100));
        assert_eq!(statistics.per_second(101), 10);
        (0..3).for_each(|_| statistics.command(101));
        assert_eq!(statistics.per_second(101), 10);
        assert_eq!(statistics.per_second(102), 3);
        assert_eq!(statistics.per_second(103), 0);
        statistics.command(110);
        assert_eq!(statistics.per_second(110), 0);
    }

    #[test]
    fn what_is_reset_counts_from_nothing_again() {
        let instances = Instances::default();
        let (one, other) = (instances.add(), instances.add());
        one.hits.count();
        other.hits.count();
        assert_eq!(instances.totals(0).hits, 2);
        instances.reset();
        one.hits.count();
        assert_eq!(instances.totals(0).hits, 1);
    }
}
