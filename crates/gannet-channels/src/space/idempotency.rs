//! Idempotency keys of one shard: which publications were made already.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use crate::hash::NameHash;
use crate::position::Position;
use crate::time::Time;

/// A key, which is unique in its channel.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    channel: Box<str>,
    key: Box<str>,
}

/// Hashes keys with the key of the space.
#[derive(Debug, Clone, Copy)]
struct KeyHash(NameHash);

impl BuildHasher for KeyHash {
    type Hasher = std::hash::DefaultHasher;

    fn build_hasher(&self) -> Self::Hasher {
        let mut hasher = Self::Hasher::new();
        hasher.write_u64(self.0.of_numbers(1, 1));
        hasher
    }
}

/// What the publications of the last minutes with a key were given.
#[derive(Debug)]
pub(crate) struct Idempotency {
    results: HashMap<Arc<Key>, Position, KeyHash>,
    /// The keys in the order of their end, because all are remembered for the same time.
    order: VecDeque<(Time, Arc<Key>)>,
}

impl Idempotency {
    pub(crate) fn new(hash: NameHash) -> Self {
        Self { results: HashMap::with_hasher(KeyHash(hash)), order: VecDeque::new() }
    }

    /// Returns what a publication with this key was given before.
    pub(crate) fn find(&self, channel: &str, key: &str) -> Option<Position> {
        if self.results.is_empty() {
            return None;
        }
        self.results.get(&Key { channel: channel.into(), key: key.into() }).copied()
    }

    /// Remembers a key until `expiry`.
    pub(crate) fn insert(&mut self, channel: &str, key: &str, position: Position, expiry: Time) {
        let key = Arc::new(Key { channel: channel.into(), key: key.into() });
        if self.results.insert(Arc::clone(&key), position).is_none() {
            // The callers' clocks may differ by a little: no key may hold up those behind it.
            let expiry = self.order.back().map_or(expiry, |(last, _)| expiry.max(*last));
            self.order.push_back((expiry, key));
        }
    }

    /// Forgets keys whose time is over, at most this many. Returns how many.
    pub(crate) fn expire(&mut self, now: Time, most: usize) -> usize {
        let mut gone = 0;
        while gone < most && self.order.front().is_some_and(|(expiry, _)| *expiry <= now) {
            if let Some((_, key)) = self.order.pop_front() {
                self.results.remove(&key);
            }
            gone += 1;
        }
        if self.order.is_empty() && self.order.capacity() > 64 {
            self.order = VecDeque::new();
            self.results.shrink_to_fit();
        }
        gone
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}
