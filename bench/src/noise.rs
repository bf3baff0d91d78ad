//! What else ran on the processors of a measurement, from /proc/stat: other programs, and what the hypervisor took.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use crate::measure::Usage;

/// A tick of /proc/stat: 100 a second on every Linux (USER_HZ, proc(5)).
const TICK: Duration = Duration::from_millis(10);

/// The shares of the time of the processors that were lost for a measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lost {
    /// Other programs ran.
    pub foreign: f64,
    /// The hypervisor had the processor run something else.
    pub stolen: f64,
}

impl Lost {
    /// Both together.
    pub fn share(self) -> f64 {
        self.foreign + self.stolen
    }
}

/// Ticks of some processors since the machine's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    /// In programs and in the kernel, interrupts included.
    busy: u64,
    stolen: u64,
}

impl Ticks {
    fn now(cpus: &[usize]) -> io::Result<Self> {
        Self::of(&fs::read_to_string("/proc/stat")?, cpus)
    }

    /// The sum over some processors, in the words of proc(5): user, nice, system, idle, iowait, irq, softirq, steal.
    fn of(stat: &str, cpus: &[usize]) -> io::Result<Self> {
        let mut sum = Self::default();
        for cpu in cpus {
            let name = format!("cpu{cpu} ");
            let line = stat.lines().find_map(|line| line.strip_prefix(&name));
            let numbers = line.map(|line| line.split_ascii_whitespace().map_while(|word| word.parse::<u64>().ok()));
            let numbers: Vec<u64> = numbers.into_iter().flatten().collect();
            let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = numbers[..] else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no processor {cpu}")));
            };
            sum.busy += user + nice + system + irq + softirq;
            sum.stolen += steal;
        }
        Ok(sum)
    }
}

/// Watches the processors of one measurement from its start on.
pub struct Watch {
    cpus: Vec<usize>,
    before: Ticks,
    own: u64,
    started: Instant,
}

impl Watch {
    /// Begins, before the server of the measurement is started.
    pub fn begin(cpus: [usize; 2]) -> io::Result<Self> {
        let mut cpus = cpus.to_vec();
        cpus.dedup();
        let (before, own) = (Ticks::now(&cpus)?, own_cpu_ns()?);
        Ok(Self { cpus, before, own, started: Instant::now() })
    }

    /// Returns what was lost so far, where the server with this process id is the only one that this process has started and
    /// that has not ended.
    pub fn lost(&self, server: u32) -> io::Result<Lost> {
        let own = own_cpu_ns()?.saturating_sub(self.own) + Usage::of(server)?.cpu_ns;
        let now = Ticks::now(&self.cpus)?;
        let ticks = Ticks {
            busy: now.busy.saturating_sub(self.before.busy),
            stolen: now.stolen.saturating_sub(self.before.stolen),
        };
        Ok(lost(ticks, Duration::from_nanos(own), self.started.elapsed() * self.cpus.len() as u32))
    }
}

/// CPU time of this process, and of the programs that it has started and that have ended, such as others' clients.
fn own_cpu_ns() -> io::Result<u64> {
    Ok(Usage::of(std::process::id())?.cpu_ns + Usage::of_ended_children()?.cpu_ns)
}

fn lost(ticks: Ticks, own: Duration, of: Duration) -> Lost {
    let share = |time: Duration| time.as_secs_f64() / of.as_secs_f64().max(f64::MIN_POSITIVE);
    let time = |ticks: u64| TICK * u32::try_from(ticks).unwrap_or(u32::MAX);
    Lost { foreign: share(time(ticks.busy).saturating_sub(own)), stolen: share(time(ticks.stolen)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 1 50 1000 3 0 9 4 0 0\ncpu1 7 0 3 2000 0 0 0 1 0 0\nintr 5\n";

    #[test]
    fn busy_is_all_but_idle_waiting_and_stolen() {
        assert_eq!(Ticks::of(STAT, &[0]).expect("cpu0"), Ticks { busy: 160, stolen: 4 });
        assert_eq!(Ticks::of(STAT, &[0, 1]).expect("both"), Ticks { busy: 170, stolen: 5 });
    }

    #[test]
    fn a_processor_that_there_is_not_is_an_error_that_names_it() {
        let error = Ticks::of(STAT, &[0, 7]).expect_err("two processors");
        assert!(error.to_string().contains("no processor 7"), "{error}");
    }

    #[test]
    fn time_that_was_not_spent_here_is_foreign() {
        let one = Duration::from_secs(1);
        let lost = lost(Ticks { busy: 170, stolen: 10 }, one + one / 2, 2 * one);
        assert!((lost.foreign - 0.1).abs() < 1e-9 && (lost.stolen - 0.05).abs() < 1e-9, "{lost:?}");
        assert!((lost.share() - 0.15).abs() < 1e-9);
    }

    #[test]
    fn ticks_that_lag_behind_count_as_nothing_lost() {
        let second = Duration::from_secs(1);
        assert_eq!(lost(Ticks { busy: 99, stolen: 0 }, second, second), Lost::default());
    }
}
