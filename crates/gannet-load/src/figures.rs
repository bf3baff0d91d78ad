//! Figures that follow from the results of a run, so that every form of the report computes them alike.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::results::Results;

/// The percentiles that every form of the report shows: name and quantile.
pub(crate) const PERCENTILES: [(&str, f64); 7] =
    [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

impl Results {
    /// Returns whether requests had intended moments, so that response times and lateness exist.
    pub fn is_open_loop(&self) -> bool {
        self.asked.rate_per_second.is_some()
    }

    /// Returns whether the figures can be trusted.
    pub fn is_valid(&self) -> bool {
        self.invalid.is_empty()
    }

    /// Answers a second within the measured time; 0 where nothing was measured.
    pub fn rate_per_second(&self) -> f64 {
        self.per_second(self.requests.in_time)
    }

    /// Connections that could not be established, for any reason.
    pub fn failed(&self) -> u64 {
        total(&self.connections.failed)
    }

    /// Connections that were up and ended before the run did, for any reason.
    pub fn lost(&self) -> u64 {
        total(&self.connections.lost)
    }

    /// Requests that went wrong, in any way.
    pub fn errors(&self) -> u64 {
        total(&self.requests.errors)
    }

    /// Returns what a user waited: response times in an open loop, service times in a closed one, which has no others.
    pub fn latency_ns(&self) -> &Histogram<u64> {
        if self.is_open_loop() { &self.times.response_ns } else { &self.times.service_ns }
    }

    /// A count of the measured time as a rate; 0 where nothing was measured, or too short a time to speak of a rate.
    pub(crate) fn per_second(&self, count: u64) -> f64 {
        let seconds = self.measured.as_secs_f64();
        if seconds >= 0.001 { count as f64 / seconds } else { 0.0 }
    }
}

/// Counts by name; those of the same name (of several reactors) are added up.
pub(crate) fn by_name(counts: &[(String, u64)]) -> BTreeMap<String, u64> {
    let mut map = BTreeMap::new();
    for (name, count) in counts {
        let sum: &mut u64 = map.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
    map
}

/// Answers by the class of their status, as `2xx`.
pub(crate) fn by_class(statuses: &[(u16, u64)]) -> BTreeMap<String, u64> {
    let mut map = BTreeMap::new();
    for (status, count) in statuses {
        *map.entry(format!("{}xx", status / 100)).or_default() += count;
    }
    map
}

fn total(by_reason: &[(String, u64)]) -> u64 {
    by_reason.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
}
