//! What one reactor's clients have done and seen. The reactor writes it, the run's thread reads it once a second.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// The longest time that is told apart from longer ones: an hour, in ns.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// A histogram of times in ns, to three digits.
#[must_use]
pub fn times() -> Histogram<u64> {
    // These bounds are valid, and so is what the crate makes without any.
    Histogram::new_with_bounds(1_000, LONGEST_NS, 3).unwrap_or_else(|_| empty())
}

fn empty() -> Histogram<u64> {
    #[allow(clippy::unwrap_used, reason = "three digits are within the crate's 0 to 5")]
    Histogram::new(3).unwrap()
}

/// Counts by reason.
pub type Reasons = BTreeMap<&'static str, u64>;

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Connections that came up.
    pub opened: u64,
    /// Connections that are up.
    pub up: u64,
    /// Connects that failed, by reason.
    pub failed: Reasons,
    /// Connections that were up and ended before the run did, by reason.
    pub lost: Reasons,
    /// Requests of the measured time.
    pub sent: u64,
    /// Their right answers.
    pub answered: u64,
    /// Answers of any time.
    pub answered_ever: u64,
    /// Requests that the schedule wanted and that were not sent.
    pub never_sent: u64,
    /// Requests of the measured time that wait for an answer.
    pub waiting: u64,
    /// What went wrong, by kind.
    pub errors: Reasons,
    /// Errors that the server answered with, by the kind it named.
    pub refusals: BTreeMap<String, u64>,
}

/// Kinds of refusals that are told apart: a server may name any.
const MOST_KINDS: usize = 32;

/// The most bytes of such a name.
const LONGEST_KIND_BYTES: usize = 32;

/// What refusals of all further kinds are counted as.
const OTHER: &str = "other";

/// See the module.
pub struct Record {
    /// What was counted.
    pub counts: Counts,
    /// From the intended moment to the answer.
    pub response_ns: Histogram<u64>,
    /// From the write to the answer.
    pub service_ns: Histogram<u64>,
    /// From the intended moment to the write.
    pub late_ns: Histogram<u64>,
    /// From the start of a connect to its end.
    pub connect_ns: Histogram<u64>,
    /// Response times (service times of a closed loop) since somebody last looked.
    pub interval_ns: Histogram<u64>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            response_ns: times(),
            service_ns: times(),
            late_ns: times(),
            connect_ns: times(),
            interval_ns: times(),
        }
    }
}

impl Counts {
    /// Adds another reactor's.
    pub fn merge(&mut self, other: &Self) {
        self.opened += other.opened;
        self.up += other.up;
        self.sent += other.sent;
        self.answered += other.answered;
        self.answered_ever += other.answered_ever;
        self.never_sent += other.never_sent;
        self.waiting += other.waiting;
        for (mine, others) in
            [(&mut self.failed, &other.failed), (&mut self.lost, &other.lost), (&mut self.errors, &other.errors)]
        {
            others.iter().for_each(|(reason, count)| *mine.entry(reason).or_default() += count);
        }
        other.refusals.iter().for_each(|(name, count)| self.add_refusals(name, *count));
    }

    /// Counts a refusal.
    pub fn refused(&mut self, kind: &[u8]) {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let name = match std::str::from_utf8(kind) {
            Ok(name) if (1..=LONGEST_KIND_BYTES).contains(&kind.len()) && kind.iter().all(is_name) => name,
            _ => OTHER,
        };
        self.add_refusals(name, 1);
    }

    fn add_refusals(&mut self, name: &str, more: u64) {
        if let Some(count) = self.refusals.get_mut(name) {
            *count += more;
            return;
        }
        let name = if self.refusals.len() < MOST_KINDS { name } else { OTHER };
        *self.refusals.entry(name.to_owned()).or_default() += more;
    }

    /// All failed connects.
    #[must_use]
    pub fn all_failed(&self) -> u64 {
        self.failed.values().sum()
    }

    /// All errors.
    #[must_use]
    pub fn all_errors(&self) -> u64 {
        self.errors.values().chain(self.refusals.values()).sum()
    }
}

impl Record {
    /// Adds another reactor's. Histograms are merged, percentiles never.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        for (mine, others) in [
            (&mut self.response_ns, &other.response_ns),
            (&mut self.service_ns, &other.service_ns),
            (&mut self.late_ns, &other.late_ns),
            (&mut self.connect_ns, &other.connect_ns),
            (&mut self.interval_ns, &other.interval_ns),
        ] {
            // All have the same bounds: nothing can be left out.
            let _ = mine.add(others);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_the_kind_that_was_named_as_far_as_there_are_not_too_many() {
        let mut counts = Counts::default();
        counts.refused(b"ERR");
        counts.refused(b"ERR");
        for strange in [&b""[..], b"\x1b[0m", b"no/name", &[b'A'; 33]] {
            counts.refused(strange);
        }
        for kind in 0..100 {
            counts.refused(format!("KIND{kind}").as_bytes());
        }
        let mut total = counts.clone();
        total.merge(&counts);
        assert_eq!(total.refusals["ERR"], 4);
        assert_eq!(total.refusals.len(), MOST_KINDS);
        assert_eq!(total.refusals[OTHER], 2 * (4 + 70));
        assert_eq!(total.all_errors(), 2 * 106);
    }
}
