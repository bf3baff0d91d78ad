//! The counters of a server as a line in the log, every so often. A thread of its own reads them; no reactor notices.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gannet::{Remote, ServiceStats};

/// The log target of these lines, which are not subject to the log level.
pub(crate) const TARGET: &str = "gannet::stats";

/// The lines, until this is dropped.
pub(crate) struct StatsLines {
    interval: Duration,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StatsLines {
    /// Starts to log a line for each interval.
    ///
    /// # Errors
    ///
    /// The thread could not be started.
    pub(crate) fn start(remote: Remote, interval: Duration) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let body = move || log_lines(&remote, interval, &stopped);
        let thread = std::thread::Builder::new().name("gannet-stats".to_owned()).spawn(body)?;
        Ok(Self { interval, stop: Some(stop), thread: Some(thread) })
    }

    /// Starts to log them where that is possible; otherwise the log says why it is not.
    pub(crate) fn start_or_warn(remote: &Remote, interval: Duration) -> Option<Self> {
        let started = Self::start(remote.clone(), interval);
        started.inspect_err(|error| tracing::warn!(%error, "the counters cannot be logged")).ok()
    }

    /// The time between two lines.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }
}

impl Drop for StatsLines {
    fn drop(&mut self) {
        // Wakes the thread, whatever is left of its interval.
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It has nothing to report: a panic there was printed when it happened.
            let _ = thread.join();
        }
    }
}

#[allow(clippy::disallowed_methods)] // The clock of a log line: no reactor and no service sees it.
fn log_lines(remote: &Remote, interval: Duration, stopped: &mpsc::Receiver<()>) {
    let (mut before, mut since) = (Totals::of(remote), Instant::now());
    while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        let (totals, now) = (Totals::of(remote), Instant::now());
        totals.log(&before, now.duration_since(since));
        (before, since) = (totals, now);
    }
}

/// The counters of all reactors and listeners together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) accepted: u64,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    listeners: ServiceStats,
    outbox_bytes: u64,
    starved: u64,
    wakeups: u64,
    stalls: u64,
}

impl Totals {
    /// Adds up what the reactors and the acceptor counted.
    pub(crate) fn of(remote: &Remote) -> Self {
        let mut totals = Self::default();
        remote.acceptor_stats().iter().flatten().for_each(|listener| totals.listeners.merge(listener));
        for reactor in remote.stats() {
            reactor.services.iter().for_each(|listener| totals.listeners.merge(listener));
            totals.outbox_bytes += reactor.outbox_bytes;
            totals.starved += reactor.starved;
            totals.wakeups += reactor.wakeups;
            totals.stalls += reactor.stalls;
        }
        totals.accepted = totals.listeners.accepted;
        totals.messages_in = totals.listeners.messages_in;
        totals.messages_out = totals.listeners.messages_out;
        totals
    }

    /// Logs them as they are, and as rates what has changed since.
    fn log(&self, before: &Self, passed: Duration) {
        let (now, then) = (&self.listeners, &before.listeners);
        let rate = |now: u64, then: u64| per_second(now, then, passed);
        tracing::info!(
            target: TARGET,
            connections = now.connections,
            accepted = now.accepted,
            refused_total = total(now.refusals()),
            refused = %Named(now.refusals().collect()),
            closed_total = total(now.closings()),
            closed = %Named(now.closings().collect()),
            messages_in_per_s = rate(now.messages_in, then.messages_in),
            messages_out_per_s = rate(now.messages_out, then.messages_out),
            bytes_in_per_s = rate(now.bytes_in, then.bytes_in),
            bytes_out_per_s = rate(now.bytes_out, then.bytes_out),
            dropped = now.dropped,
            accept_pauses = now.accept_pauses,
            outbox_bytes = self.outbox_bytes,
            enobufs = self.starved,
            wakeups = self.wakeups,
            stalls = self.stalls,
            "stats"
        );
    }
}

/// What a counter grew by in a second, to the nearest whole.
fn per_second(now: u64, then: u64, passed: Duration) -> u64 {
    (now.saturating_sub(then) as f64 / passed.as_secs_f64().max(1e-9)).round() as u64
}

fn total(counts: impl Iterator<Item = (&'static str, u64)>) -> u64 {
    counts.map(|(_, count)| count).sum()
}

/// Counts by name: those that are not 0, as `peer:3,idle:1`, or `none` where all are.
struct Named(Vec<(&'static str, u64)>);

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, count) in self.0.iter().filter(|(_, count)| *count > 0) {
            write!(formatter, "{separator}{name}:{count}")?;
            separator = ",";
        }
        if separator.is_empty() { formatter.write_str("none") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reasons_that_occurred_are_named() {
        assert_eq!(Named(vec![("peer", 3), ("idle", 0), ("slow", 1)]).to_string(), "peer:3,slow:1");
        assert_eq!(Named(vec![("peer", 0)]).to_string(), "none");
    }

    #[test]
    fn a_rate_is_what_was_added_in_a_second() {
        assert_eq!(per_second(1_500, 500, Duration::from_secs(5)), 200);
        assert_eq!(per_second(7, 7, Duration::from_millis(100)), 0);
        assert_eq!(per_second(0, 7, Duration::ZERO), 0);
    }
}
