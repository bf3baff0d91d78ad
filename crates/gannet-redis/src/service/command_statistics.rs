//! What is counted of each command: how often it ran, failed or was refused, and how long it took. Each instance counts
//! for itself; they are summed when somebody asks.
//!
//! A clock is read for one of [`MEASURE_EVERY`] calls of a command only: two readings for each would cost as much as a
//! small command does. Times are therefore estimates.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::clock;
use crate::counter::Counter;
use crate::service::table::{self, Command};

/// The first call of a command is measured, also after CONFIG RESETSTAT, and then one of so many.
const MEASURE_EVERY: u64 = 64;

/// A time is told from others to a quarter of its order of magnitude in the binary system.
const STEPS: usize = 4;

/// Times up to 2^36 ns, which are 69 s, have buckets of their own; longer ones share the last.
const BUCKETS: usize = 36 * STEPS;

/// What one instance counts of one command.
#[derive(Debug, Default)]
pub(crate) struct CommandCounters {
    calls: Counter,
    failed: Counter,
    rejected: Counter,
    /// The number of calls before the next one that is measured.
    measure_at: Counter,
    /// Calls that were measured.
    measured: Counter,
    /// What they took together, in nanoseconds.
    nanos: Counter,
    /// How many of them took how long. There once one was measured.
    times: OnceLock<Box<[Counter; BUCKETS]>>,
}

impl CommandCounters {
    /// For all commands that there are.
    pub(super) fn all() -> Box<[Self]> {
        table::with_subcommands().map(|_| Self::default()).collect()
    }

    /// It is called; gives the time where this call is measured.
    #[inline]
    pub(super) fn begin(&self) -> Option<Instant> {
        let calls = self.calls.read();
        if calls < self.measure_at.read() {
            return None;
        }
        self.measure_at.set(calls + MEASURE_EVERY);
        Some(clock::stopwatch())
    }

    /// Has its next call measured. On any thread; a call that begins at the same moment may be taken for that one.
    pub(super) fn measure_next(&self) {
        self.measure_at.set(0);
    }

    /// It was called, and perhaps answered by an error.
    #[inline]
    pub(super) fn end(&self, began: Option<Instant>, failed: bool) {
        self.calls.count();
        if let Some(began) = began {
            self.note(clock::stopwatch().saturating_duration_since(began));
        }
        if failed {
            self.failed.count();
        }
    }

    #[cold]
    fn note(&self, time: Duration) {
        let nanos = time.as_nanos() as u64;
        self.measured.count();
        self.nanos.add(nanos);
        let times = self.times.get_or_init(|| Box::new(std::array::from_fn(|_| Counter::default())));
        times[bucket(nanos)].count();
    }

    /// It was refused before it was called.
    #[cold]
    pub(super) fn reject(&self) {
        self.rejected.count();
    }
}

/// The bucket of a time.
fn bucket(nanos: u64) -> usize {
    let nanos = nanos.max(STEPS as u64);
    let magnitude = nanos.ilog2() as usize;
    let step = (nanos >> (magnitude - STEPS.ilog2() as usize)) as usize % STEPS;
    (magnitude * STEPS + step).min(BUCKETS - 1)
}

/// The longest time that is counted in a bucket, in nanoseconds.
fn longest(bucket: usize) -> u64 {
    let (magnitude, step) = (bucket / STEPS, bucket % STEPS);
    let width = 1_u64 << magnitude.saturating_sub(STEPS.ilog2() as usize);
    (1 << magnitude) + (step as u64 + 1) * width - 1
}

/// What all instances have counted of one command.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandTotals {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) rejected: u64,
    measured: u64,
    nanos: u64,
    /// Empty where none was measured.
    times: Vec<u64>,
}

impl CommandTotals {
    pub(super) fn add(&mut self, counters: &CommandCounters) {
        self.calls += counters.calls.read();
        self.failed += counters.failed.read();
        self.rejected += counters.rejected.read();
        self.measured += counters.measured.read();
        self.nanos += counters.nanos.read();
        if let Some(times) = counters.times.get() {
            self.times.resize(BUCKETS, 0);
            for (sum, count) in self.times.iter_mut().zip(times.iter()) {
                *sum += count.read();
            }
        }
    }

    /// What was counted since a moment, for which these are the totals.
    pub(super) fn since(&self, then: &Self) -> Self {
        let before = then.times.iter().chain(std::iter::repeat(&0));
        Self {
            calls: self.calls.saturating_sub(then.calls),
            failed: self.failed.saturating_sub(then.failed),
            rejected: self.rejected.saturating_sub(then.rejected),
            measured: self.measured.saturating_sub(then.measured),
            nanos: self.nanos.saturating_sub(then.nanos),
            times: self.times.iter().zip(before).map(|(now, then)| now.saturating_sub(*then)).collect(),
        }
    }

    /// Whether anything is known of it.
    pub(crate) fn is_known(&self) -> bool {
        self.calls + self.failed + self.rejected > 0
    }

    /// What all calls took together, in microseconds, if the others took as long as those that were measured.
    pub(crate) fn micros(&self) -> u64 {
        let all = u128::from(self.nanos) * u128::from(self.calls);
        (all / u128::from(self.measured.max(1)) / 1_000) as u64
    }

    /// The time that so many of a thousand measured calls did not exceed, in microseconds. Nothing where none was
    /// measured.
    pub(crate) fn percentile(&self, permille: u64) -> Option<f64> {
        let wanted = (self.times.iter().sum::<u64>() * permille).div_ceil(1_000).max(1);
        let mut seen = 0;
        let at = self.times.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(longest(at) as f64 / 1_000.0)
    }
}

/// The name of a command with what was counted of it, for all commands.
pub(crate) fn named(totals: &[CommandTotals]) -> impl Iterator<Item = (&'static Command, &CommandTotals)> {
    table::with_subcommands().zip(totals)
}

/// The codes of errors, in the order in which INFO shows them. What has another one is counted last.
pub(crate) const CODES: [&str; 8] =
    ["DENIED", "ERR", "EXECABORT", "NOAUTH", "NOPROTO", "OOM", "WRONGPASS", "WRONGTYPE"];

/// The place of an error's code, by its text.
pub(super) fn code(text: &str) -> usize {
    let code = text.split(' ').next().unwrap_or_default();
    CODES.iter().position(|known| *known == code).unwrap_or(CODES.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_a_bucket_that_ends_at_most_a_quarter_above_it() {
        let mut nanos = 4_u64;
        while nanos < 1 << 35 {
            let longest = longest(bucket(nanos));
            assert!(longest >= nanos && longest <= nanos + nanos / 4, "{nanos} is counted up to {longest}");
            nanos += 1 + nanos / 7;
        }
        assert_eq!(bucket(0), bucket(4));
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_calls_that_were_measured() {
        let counters = CommandCounters::default();
        for micros in 1..=1_000 {
            counters.note(Duration::from_micros(micros));
        }
        let mut totals = CommandTotals::default();
        assert_eq!(totals.percentile(500), None);
        totals.add(&counters);
        for (permille, micros) in [(500, 500.0), (990, 990.0), (999, 999.0)] {
            let shown = totals.percentile(permille).expect("some were measured");
            assert!((micros..=micros * 1.25).contains(&shown), "{shown} for {micros}");
        }
    }

    #[test]
    fn the_first_call_is_measured_and_one_of_64_after_it() {
        let counters = CommandCounters::default();
        let call = || {
            let began = counters.begin();
            counters.end(None, false);
            began.is_some()
        };
        let measured: Vec<usize> = (0..200).filter(|_| call()).collect();
        assert_eq!(measured, [0, 64, 128, 192]);
        counters.note(Duration::from_micros(10));
        let mut totals = CommandTotals::default();
        totals.add(&counters);
        assert_eq!((totals.calls, totals.micros()), (200, 2_000), "the others are taken to be as long");
        assert_eq!(totals.since(&totals).micros(), 0);
    }

    #[test]
    fn the_first_call_after_a_reset_is_measured_wherever_the_count_was() {
        let counters = CommandCounters::default();
        let call = || {
            let began = counters.begin();
            counters.end(None, false);
            began.is_some()
        };
        assert_eq!((0..10).filter(|_| call()).count(), 1);
        counters.measure_next();
        let measured: Vec<usize> = (0..130).filter(|_| call()).collect();
        assert_eq!(measured, [0, 64, 128]);
    }

    #[test]
    fn errors_are_told_by_their_codes() {
        assert!(CODES.is_sorted());
        for (index, name) in CODES.iter().enumerate() {
            assert_eq!(code(&format!("{name} and more")), index);
        }
        assert_eq!(code("SOMETHING else"), CODES.len());
    }
}
