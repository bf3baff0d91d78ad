//! Numbers for identifiers: of requests, traces and spans. None of them is secret.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

/// A number that no other process has, very likely.
pub(crate) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Spreads a number over all bits, no two to the same (the finalizer of splitmix64).
pub(crate) fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
