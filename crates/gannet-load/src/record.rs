//! Records what the clients of one reactor have done and seen. The reactor writes it; the run's thread reads it once
//! a second.

mod reasons;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

pub use self::reasons::Reasons;
use crate::deliveries::Deliveries;
use crate::histograms::{Histograms, empty};

/// The counters.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Connections that came up.
    pub opened: u64,
    /// Connections that are up.
    pub up: u64,
    /// Connects that failed, by reason.
    pub failed: Reasons,
    /// What the first of them said whose reason does not say all; of several reactors, one of the first.
    pub first_failure: Option<String>,
    /// Connections that were up and ended before the run did, by reason.
    pub lost: Reasons,
    /// Clients whose first connect came to something, whatever that was.
    pub settled: u64,
    /// Clients that are not up and will try again to be.
    pub returning: u64,
    /// Requests of the measured time: sent in it, or sent before it and done or given up since.
    pub sent: u64,
    /// Their right answers.
    pub answered: u64,
    /// Right answers that came within the measured time.
    pub in_time: u64,
    /// Answers of any time.
    pub answered_ever: u64,
    /// Requests that the schedule wanted and that were not sent.
    pub never_sent: u64,
    /// Requests that were sent in the measured time and wait for an answer.
    pub waiting: u64,
    /// Requests that were sent before it and wait for an answer.
    pub early: u64,
    /// What went wrong, by kind: this program's names, and those that the server gave its errors.
    pub errors: Reasons,
    /// Connections that took the place of one that the server ended as it may, or that was lost.
    pub reopened: u64,
    /// TLS handshakes that took up an earlier session.
    pub resumed: u64,
    /// Answers of the measured time by status, of scenarios that know such.
    pub statuses: BTreeMap<u16, u64>,
    /// The same of any time by class: 2xx to 5xx.
    pub classes_ever: [u64; 4],
    /// What clients of channels have received.
    pub deliveries: Deliveries,
    /// Gaps that are none: the server had refused what clients of any reactor missed.
    pub missed_wrongly: u64,
}

/// See the module.
pub struct Record {
    /// The counters.
    pub counts: Counts,
    /// The latencies.
    pub times: Histograms,
    /// Response times (service times of a closed loop) since somebody last looked.
    pub interval_ns: Histogram<u64>,
}

impl Default for Record {
    fn default() -> Self {
        Self { counts: Counts::default(), times: Histograms::default(), interval_ns: empty() }
    }
}

impl Counts {
    /// Adds another reactor's.
    pub fn merge(&mut self, other: &Self) {
        self.opened += other.opened;
        self.up += other.up;
        self.settled += other.settled;
        self.returning += other.returning;
        self.sent += other.sent;
        self.answered += other.answered;
        self.in_time += other.in_time;
        self.answered_ever += other.answered_ever;
        self.never_sent += other.never_sent;
        self.waiting += other.waiting;
        self.early += other.early;
        self.reopened += other.reopened;
        self.resumed += other.resumed;
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
        for (mine, others) in
            [(&mut self.failed, &other.failed), (&mut self.lost, &other.lost), (&mut self.errors, &other.errors)]
        {
            others.iter().for_each(|(reason, count)| mine.add(reason, count));
        }
        other.statuses.iter().for_each(|(status, count)| *self.statuses.entry(*status).or_default() += count);
        self.classes_ever.iter_mut().zip(other.classes_ever).for_each(|(mine, others)| *mine += others);
        self.deliveries.merge(&other.deliveries);
        self.missed_wrongly += other.missed_wrongly;
    }

    /// Takes back what was counted wrongly, once all reactors' are together.
    pub fn take_back(&mut self) {
        let wrongly = std::mem::take(&mut self.missed_wrongly).min(self.deliveries.gaps);
        self.deliveries.gaps -= wrongly;
        self.errors.remove("gap", wrongly);
    }

    /// Counts what waits no longer, because nothing is waited for, as requests without an answer.
    pub fn stop_waiting(&mut self) {
        self.sent += self.early;
        self.waiting += std::mem::take(&mut self.early);
    }

    /// Counts an answer with this status, which belongs to the measured time or not.
    pub fn status(&mut self, status: u16, counts: bool) {
        if let Some(class) =
            (status / 100).checked_sub(2).and_then(|class| self.classes_ever.get_mut(usize::from(class)))
        {
            *class += 1;
        }
        if counts {
            *self.statuses.entry(status).or_default() += 1;
        }
    }

    /// Returns the number of all failed connects.
    #[must_use]
    pub fn all_failed(&self) -> u64 {
        self.failed.all()
    }

    /// Returns the number of all errors.
    #[must_use]
    pub fn all_errors(&self) -> u64 {
        self.errors.all()
    }
}

impl Record {
    /// Adds another reactor's. Histograms are merged, percentiles never.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.times.merge(&other.times);
        // All have the same bounds: nothing can be left out.
        let _ = self.interval_ns.add(&other.interval_ns);
    }
}
