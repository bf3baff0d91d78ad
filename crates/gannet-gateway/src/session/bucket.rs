//! A token bucket in eight bytes, for commands and publications of one client.

use crate::settings::Rate;

/// Tokens are kept in thousandths, so that a bucket fills by the millisecond.
const WHOLE: u64 = 1_000;

/// What one client may still do. Starts full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Thousandths of tokens that were taken and have not come back.
    taken: u32,
    /// When that was, in milliseconds of a clock that may wrap.
    at_ms: u32,
}

impl Bucket {
    /// Takes a token, if there is one. `now_ms` is a clock that wraps after 49 days.
    pub fn take(&mut self, rate: Rate, now_ms: u32) -> bool {
        if rate.per_second == 0 {
            return true;
        }
        let passed = u64::from(now_ms.wrapping_sub(self.at_ms));
        let taken = u64::from(self.taken).saturating_sub(passed * u64::from(rate.per_second)) + WHOLE;
        self.at_ms = now_ms;
        let fits = taken <= u64::from(rate.burst.max(1)) * WHOLE;
        // What is over comes of a token that was not given.
        self.taken = u32::try_from(if fits { taken } else { taken - WHOLE }).unwrap_or(u32::MAX);
        fits
    }

    /// Takes tokens, whether they are there or not: until they have come back, [`Self::take`] gives none.
    pub fn owe(&mut self, rate: Rate, tokens: usize) {
        if rate.per_second > 0 {
            let tokens = u32::try_from(tokens).unwrap_or(u32::MAX).saturating_mul(1_000);
            self.taken = self.taken.saturating_add(tokens);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::default();
        let start = u32::MAX - 50;
        assert_eq!((0..5).filter(|_| bucket.take(RATE, start)).count(), 3);
        assert!(!bucket.take(RATE, start.wrapping_add(99)), "a token takes 100 ms");
        assert!(bucket.take(RATE, start.wrapping_add(100)), "the clock has wrapped meanwhile");
        assert_eq!((0..5).filter(|_| bucket.take(RATE, start.wrapping_add(100_000))).count(), 3);
    }

    #[test]
    fn tokens_that_are_owed_come_back_before_one_is_given() {
        let mut bucket = Bucket::default();
        assert!(bucket.take(RATE, 0));
        bucket.owe(RATE, 5);
        assert!(!bucket.take(RATE, 399), "six are taken, and three are there");
        assert!(bucket.take(RATE, 400));
        bucket.owe(RATE, usize::MAX);
        assert!(!bucket.take(RATE, 100_000));
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let mut bucket = Bucket::default();
        assert!((0..1_000).all(|_| bucket.take(Rate { per_second: 0, burst: 0 }, 5)));
    }
}
