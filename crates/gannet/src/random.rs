//! Chance from a seed, for what is simulated, spread or chosen. Not for secrets.

use std::time::Duration;

/// Gives numbers by chance: the same seed gives the same numbers on every machine.
///
/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): any seed is good, 0 too.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    #[allow(clippy::should_implement_trait, reason = "it never ends, and is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias is one in 2^64 / bound: nothing that uses this is sensitive to it.
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A time from zero to `longest`.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        let ns = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(((u128::from(self.next()) * (u128::from(ns) + 1)) >> 64) as u64)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// Yes, in so many cases of a thousand.
    pub fn chance(&mut self, in_a_thousand: usize) -> bool {
        self.below(1_000) < in_a_thousand
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A part of `whole`: 1 byte, nearly all, or anything between, so that both ends of a range are met often.
    pub fn part(&mut self, whole: usize) -> usize {
        match self.below(4) {
            0 => 1,
            1 => whole.saturating_sub(1).max(1),
            _ => self.between(1, whole),
        }
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
