//! How much memory the store may take, and what goes when it takes more.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::store::Store;
use crate::store::held::left_behind;

/// Says what happens when the store reaches its memory limit. The names are Redis's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Refuses commands that may need memory: `noeviction`.
    #[default]
    NoEviction,
    /// Removes keys that were not used for a long time: `allkeys-lru`.
    AllKeysLru,
    /// Removes keys with an expiry time, the soonest first: `volatile-ttl`.
    VolatileTtl,
}

impl Policy {
    /// All policies.
    pub const ALL: &'static [Self] = &[Self::NoEviction, Self::AllKeysLru, Self::VolatileTtl];

    /// Returns the name that Redis uses for the policy.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoEviction => "noeviction",
            Self::AllKeysLru => "allkeys-lru",
            Self::VolatileTtl => "volatile-ttl",
        }
    }

    /// Returns the policy with this name, in whatever case.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|policy| policy.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Holds the memory limit of a store, its policy and counters. They can be read and changed while the server runs, from any
/// thread.
#[derive(Debug, Default)]
pub struct Memory {
    limit: AtomicUsize,
    policy: AtomicU8,
    evicted: AtomicU64,
    /// Bytes of the commands that transactions have queued.
    queued: AtomicUsize,
    waits: AtomicU64,
    pieces: AtomicU64,
}

impl Memory {
    pub(crate) fn new(limit: usize, policy: Policy) -> Self {
        let memory = Self::default();
        memory.set_limit(limit);
        memory.set_policy(policy);
        memory
    }

    /// Returns the limit in bytes; 0 means no limit.
    #[must_use]
    #[inline]
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets the limit in bytes; 0 means no limit.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that a store takes, with what was taken out of it and is still read, and with what transactions have queued.
    #[must_use]
    #[inline]
    pub(crate) fn used(&self, store: &Store) -> usize {
        store.bytes() + left_behind() + self.queued()
    }

    /// Bytes that a store takes more than it may.
    #[must_use]
    pub(crate) fn excess(&self, store: &Store) -> usize {
        match self.limit() {
            0 => 0,
            limit => self.used(store).saturating_sub(limit),
        }
    }

    /// Whether a store takes more than it may.
    #[must_use]
    #[inline]
    pub(crate) fn is_over(&self, store: &Store) -> bool {
        let limit = self.limit();
        limit != 0 && self.used(store) > limit
    }

    /// Returns the bytes of commands that transactions have queued. For each transaction it may be off by 4 KiB.
    #[must_use]
    #[inline]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Counts the commands that a transaction has queued, in place of what was counted of it before.
    pub(crate) fn count_queued(&self, before: usize, now: usize) {
        // The sum is exact, whatever comes first.
        self.queued.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Returns the policy.
    #[must_use]
    pub fn policy(&self) -> Policy {
        match self.policy.load(Ordering::Relaxed) {
            1 => Policy::AllKeysLru,
            2 => Policy::VolatileTtl,
            _ => Policy::NoEviction,
        }
    }

    /// Sets the policy.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(policy as u8, Ordering::Relaxed);
    }

    /// Returns how many keys were evicted.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Returns how often a reply waited until its client had read a part of it.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        self.pieces.load(Ordering::Relaxed)
    }

    pub(crate) fn count_piece(&self) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often a client waited until keys were evicted for its command.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    pub(crate) fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_evicted(&self, keys: u64) {
        self.evicted.fetch_add(keys, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_what_it_was_set_to() {
        for &policy in Policy::ALL {
            assert_eq!(Memory::new(0, policy).policy(), policy);
            assert_eq!(Policy::named(policy.name().to_uppercase().as_bytes()), Some(policy));
        }
        assert_eq!(Policy::named(b"allkeys-lfu"), None);
    }
}
