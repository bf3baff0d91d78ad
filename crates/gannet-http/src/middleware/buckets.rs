//! Token buckets in a table of fixed size that all reactors share, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Places that a key can be in: two cache lines are all that a look-up reads.
const WAYS: usize = 8;

/// A bucket for each key of those that were seen lately.
///
/// A bucket is one number, the moment at which it is full again (the generic cell rate algorithm, ITU-T I.371 §A): it is
/// filled by time passing, and a token is taken by one compare-and-swap. Who looks away from a full bucket loses nothing,
/// so that is what gives its place to a new key. Where none of the places of a key has a full one, the new key takes over
/// the fullest as it is: who comes with ever new keys gets no more tokens by it, and empties no bucket for others.
///
/// All numbers are relaxed, since none says anything about another: in the worst case, where a place changes its key while
/// a token is taken from it, that one token goes to the wrong account.
#[derive(Debug)]
pub(super) struct Buckets {
    sets: Box<[Set]>,
}

/// The places of the keys with the same upper bits.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Set {
    /// 0 is none.
    keys: [AtomicU64; WAYS],
    /// When the bucket is full, in nanoseconds. 0 is always.
    full_at: [AtomicU64; WAYS],
}

/// How fast a bucket is filled, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// The time for one token, in nanoseconds.
    pub(super) token_ns: u64,
    /// Tokens in a full bucket.
    pub(super) burst: u32,
}

impl Buckets {
    /// For so many keys, rounded up to a multiple of eight.
    pub(super) fn new(keys: usize) -> Self {
        Self { sets: (0..keys.div_ceil(WAYS).max(1)).map(|_| Set::default()).collect() }
    }

    /// Takes a token for the key with this hash, all bits of which are random, at `now` in nanoseconds.
    ///
    /// # Errors
    ///
    /// The bucket is empty: there will be a token in so many nanoseconds.
    #[inline]
    pub(super) fn take(&self, hash: u64, rate: Rate, now: u64) -> Result<(), u64> {
        let hash = hash.max(1);
        let set = &self.sets[((u128::from(hash) * self.sets.len() as u128) >> 64) as usize];
        let full_at = &set.full_at[set.place(hash)];
        let empty = now.saturating_add(rate.token_ns.saturating_mul(rate.burst.into()));
        let mut seen = full_at.load(Ordering::Relaxed);
        loop {
            let next = seen.max(now).saturating_add(rate.token_ns);
            if next > empty {
                return Err(next - empty);
            }
            match full_at.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => seen = other,
            }
        }
    }
}

impl Set {
    /// Where the key is; it is put there if it was nowhere.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        loop {
            let (mut fullest, mut since, mut owner) = (0, u64::MAX, 0);
            for (place, key) in self.keys.iter().enumerate() {
                let (key, full_at) = (key.load(Ordering::Relaxed), self.full_at[place].load(Ordering::Relaxed));
                if key == hash {
                    return place;
                }
                if full_at < since {
                    (fullest, since, owner) = (place, full_at, key);
                }
            }
            // Where another thread was faster, it may have been for the same key.
            let swapped = self.keys[fullest].compare_exchange(owner, hash, Ordering::Relaxed, Ordering::Relaxed);
            if swapped.is_ok() {
                return fullest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Ten in a second, five at once.
    const RATE: Rate = Rate { token_ns: SECOND / 10, burst: 5 };

    fn taken(buckets: &Buckets, hash: u64, now: u64) -> usize {
        (0..100).filter(|_| buckets.take(hash, RATE, now).is_ok()).count()
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_what_time_fills_in() {
        let buckets = Buckets::new(8);
        let start = 7 * SECOND;
        assert_eq!(taken(&buckets, 1, start), 5);
        let wait = buckets.take(1, RATE, start).expect_err("it is empty");
        assert_eq!(wait, SECOND / 10);
        assert_eq!(taken(&buckets, 1, start + wait - 1), 0);
        assert_eq!(taken(&buckets, 1, start + wait), 1);
        assert_eq!(taken(&buckets, 1, start + wait + 3 * SECOND / 10), 3);
        assert_eq!(taken(&buckets, 1, start + 100 * SECOND), 5, "it holds no more than its burst");
        assert_eq!(taken(&buckets, 2, start + 100 * SECOND), 5, "another key has its own");
    }

    #[test]
    fn a_clock_that_is_a_little_behind_gives_nothing_twice() {
        let buckets = Buckets::new(8);
        assert_eq!(taken(&buckets, 1, SECOND), 5);
        assert_eq!(taken(&buckets, 1, SECOND - SECOND / 20), 0);
        assert_eq!(taken(&buckets, 1, SECOND + SECOND / 10), 1);
    }

    #[test]
    fn new_keys_take_the_places_of_full_buckets_and_leave_the_others() {
        let buckets = Buckets::new(8);
        assert_eq!(taken(&buckets, 1, SECOND), 5);
        // More keys than there are places, one token of each.
        for key in 2..1_000 {
            let now = SECOND + key;
            assert!(buckets.take(key, Rate { token_ns: 1, burst: 5 }, now).is_ok(), "{key}");
        }
        assert_eq!(taken(&buckets, 1, SECOND + 1_000), 0, "the empty bucket is still known");
    }

    #[test]
    fn ever_new_keys_get_no_more_than_the_places_hold() {
        let buckets = Buckets::new(8);
        let passed = (1..10_000).filter(|&key| buckets.take(key << 40, RATE, SECOND).is_ok()).count();
        assert_eq!(passed, 8 * 5);
    }

    #[test]
    fn many_threads_take_exactly_what_is_there() {
        let buckets = Buckets::new(65_536);
        let rate = Rate { token_ns: SECOND, burst: 10_000 };
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..5_000).filter(|_| buckets.take(77, rate, SECOND).is_ok()).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(passed, 10_000);
    }
}
