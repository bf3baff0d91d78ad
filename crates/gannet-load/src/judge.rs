//! Whether a run's figures can be trusted, and if not, why.

use std::time::Duration;

use crate::deliveries::Deliveries;
use crate::histograms::Histograms;
use crate::record::Counts;
use crate::units::{count, span, things};

/// Lateness of the 99th percentile from which on the schedule was not kept.
pub(crate) const LATE_NS: u64 = 10_000_000;

/// Share of a processor from which on a reactor had none left.
const BUSY: f64 = 0.97;

/// The shortest time that figures can be about.
const SHORTEST: Duration = Duration::from_millis(1);

/// What has to be known beside what was counted.
pub(crate) struct Circumstances {
    /// How long was measured.
    pub(crate) lasted: Duration,
    /// How long that should have been.
    pub(crate) wanted: Duration,
    /// The share of the time that the busiest reactor was on a processor.
    pub(crate) busy: Option<f64>,
    /// Whether a signal has ended the run.
    pub(crate) interrupted: bool,
    /// Whether requests are late only by what this program does.
    pub(crate) keeps_time: bool,
    /// Whether clients hear something that is counted.
    pub(crate) hears: bool,
    /// What was delivered, where clients publish and others subscribe.
    pub(crate) deliveries: Option<Deliveries>,
}

/// Why the figures cannot be trusted, a sentence each.
pub(crate) fn judge(counts: &Counts, times: &Histograms, run: &Circumstances) -> Vec<String> {
    let mut invalid = Vec::new();
    // Where no connection came up, that is what there is to say.
    if counts.opened > 0 {
        invalid.extend(nothing_heard(counts, run));
        invalid.extend(ended_early(run));
        if counts.answered > 0 && run.deliveries.is_some_and(|deliveries| deliveries.received == 0) {
            invalid.push(format!("nothing was delivered: {} published", things(counts.answered, "message")));
        }
    }
    let late_ns = times.late_ns.value_at_quantile(0.99);
    if run.keeps_time && late_ns > LATE_NS {
        invalid.push(format!(
            "requests were written late: the 99th percentile by {} ms; the load generator could not keep its schedule",
            late_ns / 1_000_000
        ));
    }
    if counts.never_sent > 0 {
        invalid.push(format!("{} requests of the schedule were never sent", counts.never_sent));
    }
    if let Some(busy) = run.busy.filter(|busy| *busy > BUSY) {
        invalid.push(format!(
            "a thread of the load generator was busy {:.0} % of the time: it, and not the server, may have been the \
             limit; use more reactors, fewer connections, or another machine",
            busy * 100.0
        ));
    }
    invalid
}

/// Says so where the target has not answered anything rightly: a run that measured nothing meets no expectation.
fn nothing_heard(counts: &Counts, run: &Circumstances) -> Option<String> {
    // A schedule may be so slow that none of its requests falls into the measured time.
    let is_silent = counts.answered == 0 && (counts.sent > 0 || counts.answered_ever == 0);
    if !run.hears || !is_silent {
        return None;
    }
    if counts.sent == 0 {
        return Some("nothing was received".to_owned());
    }
    Some(match counts.all_errors() {
        0 => format!("nothing was answered: {} sent", things(counts.sent, "request")),
        errors => format!(
            "nothing was answered rightly: {} sent, and {} that were wrong, lost or refused",
            things(counts.sent, "request"),
            count(errors)
        ),
    })
}

/// Says so where the measurement has not lasted its time.
fn ended_early(run: &Circumstances) -> Option<String> {
    match run.interrupted {
        true if run.lasted < SHORTEST => Some("it was ended before anything was measured".to_owned()),
        false if run.lasted < run.wanted => Some(format!(
            "the measurement ended after {} of {}: no connection was left",
            span(run.lasted),
            span(run.wanted)
        )),
        _ => None,
    }
}
