//! Histograms of durations: one thread counts in buckets that double, any thread reads at any time.

use std::time::Duration;

use super::counter::Counter;

/// The upper bound of the first bucket, in nanoseconds. Each further bound is twice the one before.
const FIRST_BOUND_NS: u64 = 1_000;

/// Buckets with a bound: 1 µs to 2^24 µs, which is almost 17 s: round trips of heartbeats on bad networks take seconds.
const BOUNDED: usize = 25;

/// Counts durations in a histogram with the bounds of [`Histogram::bounds`].
///
/// One thread records, which costs two additions without a bus lock. Any thread may [`read`](Self::read) meanwhile. If two
/// threads record at once, some counts are lost, and nothing else happens.
#[derive(Debug, Default)]
pub struct HistogramCounter {
    buckets: [Counter; BOUNDED + 1],
    sum_ns: Counter,
}

impl HistogramCounter {
    /// Makes an empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a duration. Call it on one thread only.
    #[inline]
    pub fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // In this order, and read in the other: whoever sees it counted sees it in the sum.
        self.sum_ns.add(ns);
        self.buckets[bucket(ns)].add(1);
    }

    /// Reads what was recorded so far. May be called on any thread.
    #[must_use]
    pub fn read(&self) -> Histogram {
        let buckets = std::array::from_fn(|index| self.buckets[index].get());
        Histogram { buckets, sum_ns: self.sum_ns.get() }
    }
}

/// Where a duration is counted: in the first bucket whose bound it does not exceed.
#[inline]
fn bucket(ns: u64) -> usize {
    let steps = ns.saturating_sub(1) / FIRST_BOUND_NS;
    (u64::BITS - steps.leading_zeros()).min(BOUNDED as u32) as usize
}

/// Holds a histogram of durations at a moment. Histograms of several threads can be [merged](Self::merge).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BOUNDED + 1],
    sum_ns: u64,
}

impl Histogram {
    /// Returns the upper bounds of the buckets, inclusive: 1 µs, 2 µs, 4 µs and so on to 16.777216 s.
    ///
    /// Longer durations are counted in one more bucket, without a bound.
    pub fn bounds() -> impl Iterator<Item = Duration> {
        (0..BOUNDED).map(|index| Duration::from_nanos(FIRST_BOUND_NS << index))
    }

    /// Returns the number of durations that were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the sum of all durations. It may miss durations that were recorded while the histogram was read.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// Returns, for each of the [`bounds`](Self::bounds), the number of durations that did not exceed it: Prometheus's `le`.
    ///
    /// The difference between the last number and [`count`](Self::count) took longer than all bounds.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let running = self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        Self::bounds().zip(running)
    }

    /// Adds another histogram to this one.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum += more);
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(durations: &[Duration]) -> Histogram {
        let counter = HistogramCounter::new();
        durations.iter().for_each(|duration| counter.record(*duration));
        counter.read()
    }

    #[test]
    fn a_duration_is_counted_under_the_first_bound_that_it_does_not_exceed() {
        let under = |duration| {
            let spread = of(&[duration]);
            let counts: Vec<(Duration, u64)> = spread.cumulative().collect();
            assert!(counts.is_sorted_by_key(|(_, count)| *count) && spread.count() == 1);
            counts.into_iter().find(|(_, count)| *count == 1).map(|(bound, _)| bound)
        };
        let bounds: Vec<Duration> = Histogram::bounds().collect();
        assert_eq!(under(Duration::ZERO), Some(Duration::from_micros(1)));
        for (index, bound) in bounds.iter().enumerate() {
            assert_eq!(under(*bound), Some(*bound));
            assert_eq!(under(*bound - Duration::from_nanos(1)), Some(*bound));
            assert_eq!(under(*bound + Duration::from_nanos(1)), bounds.get(index + 1).copied());
        }
    }

    #[test]
    fn what_is_longer_than_all_bounds_counts_and_is_under_none() {
        let spread = of(&[Duration::from_secs(17), Duration::MAX]);
        assert_eq!(spread.count(), 2);
        assert!(spread.cumulative().all(|(_, count)| count == 0));
    }

    #[test]
    fn merged_histograms_are_as_one_that_recorded_everything() {
        let (one, other) = ([Duration::from_micros(3), Duration::from_secs(90)], [Duration::from_millis(5)]);
        let mut merged = of(&one);
        merged.merge(&of(&other));
        assert_eq!(merged, of(&[one[0], other[0], one[1]]));
        assert_eq!((merged.count(), merged.sum()), (3, one[0] + one[1] + other[0]));
    }
}
