//! Chance from a seed: for jitter and for the choice between endpoints. Not for secrets.

use std::time::Duration;

/// A generator of numbers (SplitMix64): fast, with a state of 8 bytes, and the same sequence for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // The product's upper half: less biased than a remainder, and without a division.
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// A time from zero to `longest`.
    pub(crate) fn up_to(&mut self, longest: Duration) -> Duration {
        let ns = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(((u128::from(self.next()) * (u128::from(ns) + 1)) >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_below_a_bound_reaches_every_value_and_never_the_bound() {
        let mut random = Random::new(7);
        let mut seen = [0_u32; 5];
        (0..10_000).for_each(|_| seen[random.below(5)] += 1);
        assert!(seen.iter().all(|count| (1_800..2_200).contains(count)), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn a_time_is_at_most_the_longest_one() {
        let mut random = Random::new(1);
        let longest = Duration::from_millis(100);
        let times: Vec<Duration> = (0..1_000).map(|_| random.up_to(longest)).collect();
        assert!(times.iter().all(|time| *time <= longest));
        assert!(times.iter().any(|time| *time > longest * 9 / 10) && times.iter().any(|time| *time < longest / 10));
    }
}
