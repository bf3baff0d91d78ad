//! Random numbers, and secrets.

use std::hash::{BuildHasher as _, RandomState};

/// A generator (xoshiro256**, public domain), seeded by `main`. Its numbers are no secrets, but those of `secret` are.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
    /// Its keys come from the system.
    secrets: RandomState,
    made: u64,
}

impl Random {
    /// Makes one of a seed; each seed gives another sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        // SplitMix64, so that similar seeds give different states.
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        Self { state: [next(), next(), next(), next()], secrets: RandomState::new(), made: 0 }
    }

    /// Returns the next number.
    pub fn next(&mut self) -> u64 {
        let state = &mut self.state;
        let result = state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    /// Returns a secret that nobody can tell from those before: SipHash of a counter, with keys that the system drew.
    pub fn secret(&mut self) -> u128 {
        self.made += 1;
        let half = |number: u64| u128::from(self.secrets.hash_one((self.made, number)));
        half(0) << 64 | half(1)
    }

    /// Returns a number from `from` to below `to`.
    pub fn between(&mut self, from: u32, to: u32) -> u32 {
        let span = u64::from(to.saturating_sub(from)).max(1);
        // Below the span, which has 32 bits.
        from.saturating_add((self.next() % span) as u32)
    }
}
