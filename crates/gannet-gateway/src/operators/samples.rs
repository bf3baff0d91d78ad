//! The figures of the last minutes, taken once a second: what the plots show, also of the time before the page was opened.

use std::collections::VecDeque;
use std::time::Duration;

use gannet_channels::{SpaceStats, Time};
use serde_json::{Value, json};

/// Samples that are kept: 5 minutes, and one before, since rates are of two samples.
const KEPT: usize = 301;

/// The figures of one moment. Publications and deliveries count from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: Time,
    pub(crate) clients: u64,
    pub(crate) subscriptions: u64,
    pub(crate) channels: u64,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) published_bytes: u64,
    pub(crate) delivered_bytes: u64,
    /// Bytes of the process in memory; 0 is not known.
    pub(crate) resident: u64,
    /// Bytes of all histories.
    pub(crate) history: u64,
}

impl Sample {
    /// Adds up the figures of the channel space.
    pub(crate) fn of(stats: &SpaceStats, at: Time) -> Self {
        let sum = |of: fn(&gannet_channels::NamespaceStats) -> u64| stats.namespaces.iter().map(of).sum();
        Self {
            at,
            subscriptions: sum(|own| own.subscriptions),
            channels: stats.channels,
            history: stats.history_bytes,
            published: sum(|own| own.publications),
            delivered: sum(|own| own.deliveries),
            published_bytes: sum(|own| own.publication_bytes),
            delivered_bytes: sum(|own| own.delivery_bytes),
            ..Self::default()
        }
    }

    fn value(&self) -> Value {
        json!([
            self.at.0,
            self.clients,
            self.subscriptions,
            self.channels,
            self.published,
            self.delivered,
            self.published_bytes,
            self.delivered_bytes,
            self.resident,
            self.history,
        ])
    }
}

/// The last samples.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    kept: VecDeque<Sample>,
    /// All that were taken.
    taken: u64,
}

impl Samples {
    /// Adds a sample. The oldest one goes where there are too many.
    pub(crate) fn add(&mut self, sample: Sample) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(sample);
        self.taken += 1;
    }

    /// Returns how many samples were taken, and those of them that are kept and come after so many.
    pub(crate) fn after(&self, number: u64) -> (u64, Vec<Value>) {
        // A number that has not been is from before a restart.
        let fresh = if number > self.taken { self.kept.len() as u64 } else { self.taken - number };
        let known = self.kept.len().saturating_sub(usize::try_from(fresh).unwrap_or(usize::MAX));
        (self.taken, self.kept.iter().skip(known).map(Sample::value).collect())
    }
}

/// Ticks of `/proc/self/stat` in a second: USER_HZ, the same on all architectures of today.
const TICKS_PER_SECOND: u64 = 100;

/// Bytes of a page where nobody says otherwise.
const PAGE_BYTES: u64 = 4_096;

/// Returns the bytes of this process in memory; `None` where the system does not tell.
pub(crate) fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * PAGE_BYTES)
}

/// Returns the processor time that this process has used; `None` where the system does not tell.
pub(crate) fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program is in parentheses, and may have blanks.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * (1_000 / TICKS_PER_SECOND)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_how_much_processor_time_was_used() {
        let before = processor_time().expect("Linux tells");
        gannet_testing::until("another tick", || processor_time().expect("Linux tells") > before);
    }

    fn filled(count: u64) -> Samples {
        let mut samples = Samples::default();
        for at in 1..=count {
            samples.add(Sample { at: Time(at), clients: at, ..Sample::default() });
        }
        samples
    }

    #[test]
    fn each_sample_is_given_once() {
        let samples = filled(5);
        let (taken, all) = samples.after(0);
        assert_eq!((taken, all.len()), (5, 5));
        assert_eq!((&all[0][0], &all[4][1]), (&json!(1), &json!(5)));
        assert_eq!(samples.after(3).1.len(), 2);
        assert!(samples.after(5).1.is_empty());
    }

    #[test]
    fn five_minutes_are_kept_and_no_more() {
        let samples = filled(10_000);
        let (taken, all) = samples.after(0);
        assert_eq!((taken, all.len()), (10_000, KEPT));
        assert_eq!(all[KEPT - 1][0], 10_000);
    }

    #[test]
    fn a_page_from_before_a_restart_gets_everything() {
        assert_eq!(filled(5).after(9_000).1.len(), 5);
        assert!(Samples::default().after(7).1.is_empty());
    }

    #[test]
    fn the_system_tells_how_much_memory_there_is_in_use() {
        assert!(resident().expect("Linux tells") > 1 << 20);
    }
}
