//! Hashes of names that come from outside, with a key that nobody outside knows.

use std::hash::{DefaultHasher, Hasher};

/// Hashes names with the key of one space, so that no client can choose names that collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameHash {
    key: [u64; 2],
}

impl NameHash {
    pub(crate) fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        Self { key: [draw.next(), draw.next()] }
    }

    /// Hashes a name. Its lower half says all: see [`widened`].
    pub(crate) fn of(&self, name: &str) -> u64 {
        let mut hasher = self.keyed();
        hasher.write(name.as_bytes());
        widened(hasher.finish() as u32)
    }

    /// Hashes two numbers.
    pub(crate) fn of_numbers(&self, one: u64, other: u64) -> u64 {
        let mut hasher = self.keyed();
        hasher.write_u64(one);
        hasher.write_u64(other);
        hasher.finish()
    }

    /// `DefaultHasher` itself has a key that everybody knows: ours comes first, as data.
    fn keyed(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.key[0]);
        hasher.write_u64(self.key[1]);
        hasher
    }
}

/// Makes the hash of a name from its lower half, so that only that half has to be kept.
pub(crate) fn widened(lower: u32) -> u64 {
    spread(u64::from(lower)) & !u64::from(u32::MAX) | u64::from(lower)
}

/// Spreads the bits of a number that we chose ourselves over the whole word (the finalizer of SplitMix64).
pub(crate) fn spread(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A sequence of numbers from a seed (SplitMix64): for what has to differ, not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    state: u64,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        spread(self.state)
    }
}
