//! Reads a process's usage from /proc, and computes the statistics of paired ratios.

use std::fs;
use std::io;
use std::ops::Sub;
use std::path::Path;

use hdrhistogram::Histogram;

use crate::socket::check;

/// Totals of a process since its start, over all its threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Time on a CPU, in user and kernel mode, in nanoseconds. For a thread that is running it is
    /// brought up to date at each tick, so it may be a few milliseconds old.
    pub cpu_ns: u64,
    /// Time ready to run while something else had the CPU, in nanoseconds.
    pub delayed_ns: u64,
    /// The number of times that a thread gave up the CPU to wait.
    pub voluntary_switches: u64,
}

impl Usage {
    /// Reads the totals of a process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut total = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            match Self::of_task(&task?.path()) {
                Ok(usage) => {
                    total.cpu_ns += usage.cpu_ns;
                    total.delayed_ns += usage.delayed_ns;
                    total.voluntary_switches += usage.voluntary_switches;
                }
                // A thread that has ended since the directory was read.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Reads the totals of the programs that this process has started, that have ended, and that it has waited for. The time
    /// for which they were ready to run without a CPU is not known.
    pub fn of_ended_children() -> io::Result<Self> {
        // SAFETY: a rusage is numbers; `usage` outlives the call, which fills it in.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            check(libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage))?;
            usage
        };
        let ns = |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_usec.unsigned_abs() * 1_000;
        Ok(Self {
            cpu_ns: ns(usage.ru_utime) + ns(usage.ru_stime),
            delayed_ns: 0,
            voluntary_switches: usage.ru_nvcsw.unsigned_abs(),
        })
    }

    fn of_task(path: &Path) -> io::Result<Self> {
        let schedstat = fs::read_to_string(path.join("schedstat"))?;
        let status = fs::read_to_string(path.join("status"))?;
        let delayed = schedstat.split_ascii_whitespace().nth(1).unwrap_or_default();
        Ok(Self {
            cpu_ns: first_number(&schedstat)?,
            delayed_ns: first_number(delayed)?,
            voluntary_switches: field(&status, "voluntary_ctxt_switches:")?,
        })
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            delayed_ns: self.delayed_ns.saturating_sub(earlier.delayed_ns),
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
        }
    }
}

/// Resident memory of a process in bytes. What the kernel holds for its sockets is not in it.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    Ok(field(&rollup, "Rss:")? * 1024)
}

/// The most resident memory that a process has ever had.
pub fn peak_resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(field(&status, "VmHWM:")? * 1024)
}

/// Threads that a process has now.
pub fn threads(pid: u32) -> io::Result<u64> {
    field(&fs::read_to_string(format!("/proc/{pid}/status"))?, "Threads:")
}

/// The longest time of a histogram, in nanoseconds; what took longer counts as this.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Makes an empty histogram of times in nanoseconds, with three digits. It has all of its range from the start: one that
/// grows by itself does so for `record` only, and `saturating_record` would cut off what lies beyond its few first values.
pub fn histogram() -> io::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).map_err(io::Error::other)
}

fn first_number(text: &str) -> io::Result<u64> {
    text.split_ascii_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no number in {text:?}")))
}

fn field(text: &str, name: &str) -> io::Result<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .ok_or_else(|| io::Error::other(format!("no field {name}")))
        .and_then(first_number)
}

/// The middle and the ends of a few measurements.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one value; `None` without any.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, min, max })
    }

    /// Of the ratios of values measured in the same round: the noise that both met cancels out.
    pub fn of_ratios(values: &[f64], floor: &[f64]) -> Option<Self> {
        Self::of(values.iter().zip(floor).map(|(value, floor)| value / floor))
    }
}

/// The median of a figure of each; not a number without any.
pub fn median<T>(of: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    Spread::of(of.iter().map(figure)).map_or(f64::NAN, |spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).expect("four values");
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.5, 4.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_histogram_keeps_times_of_every_length() {
        let mut times = histogram().expect("a histogram");
        for ns in [700, 3_000_000, 9_000_000_000] {
            times.saturating_record(ns);
            assert!(times.max() >= ns && times.max() <= ns + ns / 500, "{ns}: {}", times.max());
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let spread = Spread::of_ratios(&[1.0, 20.0, 3.0], &[2.0, 40.0, 3.0]).expect("three rounds");
        assert_eq!((spread.min, spread.median, spread.max), (0.5, 0.5, 1.0));
    }

    #[test]
    fn a_process_can_read_its_own_usage_and_memory() {
        let pid = std::process::id();
        assert!(Usage::of(pid).expect("own usage").cpu_ns > 0);
        assert!(resident_bytes(pid).expect("own memory") > 100_000);
    }
}
