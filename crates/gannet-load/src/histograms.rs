//! Records latencies: on each reactor, and merged for the report.

use hdrhistogram::Histogram;

/// The longest time that is told apart from longer ones: an hour, in ns.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// A histogram of times in ns, to three digits.
#[must_use]
pub(crate) fn empty() -> Histogram<u64> {
    // These bounds are valid, and so is what the crate makes without any.
    Histogram::new_with_bounds(1_000, LONGEST_NS, 3).unwrap_or_else(|_| without_bounds())
}

fn without_bounds() -> Histogram<u64> {
    #[allow(clippy::unwrap_used, reason = "three digits are within the crate's 0 to 5")]
    Histogram::new(3).unwrap()
}

/// Holds the latencies of a run, in ns.
#[derive(Clone, Debug)]
pub struct Histograms {
    /// From the moment a request was intended to its answer, ns. Empty for a closed loop, which has no intended moments.
    pub response_ns: Histogram<u64>,
    /// From the moment a request was written to its answer, ns; where clients only receive, from the moment that a message
    /// says it was sent at to its receipt.
    pub service_ns: Histogram<u64>,
    /// The lateness of writes: the time from the intended moment to the write, in ns. Empty for a closed loop.
    pub late_ns: Histogram<u64>,
    /// From the start of a connect to the connection, ns.
    pub connect_ns: Histogram<u64>,
    /// From the connection to the end of its TLS handshake, of targets that speak TLS, ns.
    pub handshake_ns: Histogram<u64>,
    /// From the connection to the end of its upgrade, of scenarios that begin with one, ns.
    pub upgrade_ns: Histogram<u64>,
    /// From the start of a connect until the client is subscribed to all its channels and has what it missed, ns.
    pub ready_ns: Histogram<u64>,
    /// From the moment a publication was due to the server's answer, ns.
    pub publish_ns: Histogram<u64>,
}

impl Default for Histograms {
    fn default() -> Self {
        Self {
            response_ns: empty(),
            service_ns: empty(),
            late_ns: empty(),
            connect_ns: empty(),
            handshake_ns: empty(),
            upgrade_ns: empty(),
            ready_ns: empty(),
            publish_ns: empty(),
        }
    }
}

impl Histograms {
    /// Adds another reactor's. Histograms are merged, percentiles never.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, others) in [
            (&mut self.response_ns, &other.response_ns),
            (&mut self.service_ns, &other.service_ns),
            (&mut self.late_ns, &other.late_ns),
            (&mut self.connect_ns, &other.connect_ns),
            (&mut self.handshake_ns, &other.handshake_ns),
            (&mut self.upgrade_ns, &other.upgrade_ns),
            (&mut self.ready_ns, &other.ready_ns),
            (&mut self.publish_ns, &other.publish_ns),
        ] {
            // All have the same bounds: nothing can be left out.
            let _ = mine.add(others);
        }
    }
}
