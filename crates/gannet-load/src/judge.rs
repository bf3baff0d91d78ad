//! Whether a run's figures can be trusted, and if not, why.

use crate::record::Record;

/// Lateness of the 99th percentile from which on the schedule was not kept.
const LATE_NS: u64 = 10_000_000;

/// Share of a processor from which on a reactor had none left.
const BUSY: f64 = 0.97;

/// Why the figures cannot be trusted, a sentence each. `keeps_time` says that requests are late only by what this program
/// does.
pub(crate) fn judge(record: &Record, busy: Option<f64>, keeps_time: bool) -> Vec<String> {
    let mut invalid = Vec::new();
    let late_ns = record.times.late_ns.value_at_quantile(0.99);
    if keeps_time && late_ns > LATE_NS {
        invalid.push(format!(
            "requests were written late: the 99th percentile by {} ms; the load generator could not keep its schedule",
            late_ns / 1_000_000
        ));
    }
    if record.counts.never_sent > 0 {
        invalid.push(format!("{} requests of the schedule were never sent", record.counts.never_sent));
    }
    if let Some(busy) = busy.filter(|busy| *busy > BUSY) {
        invalid.push(format!(
            "a thread of the load generator was busy {:.0} % of the time: it, and not the server, may have been the \
             limit; use more --reactors, fewer --connections, or another machine",
            busy * 100.0
        ));
    }
    invalid
}
