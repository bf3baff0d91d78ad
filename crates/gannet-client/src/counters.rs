//! What a pool counts: one part writes, any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};

use gannet::{Histogram, HistogramCounter};

use crate::error::Loss;

/// A number that one thread writes and others read. Adding is a load and a store, without a bus lock.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`. On the writing thread only.
    #[inline]
    pub(crate) fn add(&self, amount: u64) {
        self.set(self.get().wrapping_add(amount));
    }

    /// Subtracts `amount`. On the writing thread only.
    #[inline]
    pub(crate) fn sub(&self, amount: u64) {
        self.set(self.get().wrapping_sub(amount));
    }

    /// Sets it. On the writing thread only.
    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// States that a connection is counted in, in the order of [`PoolStats::connections`].
pub(crate) const STATES: usize = 7;

/// Names of the states, in that order.
pub(crate) const STATE_NAMES: [&str; STATES] =
    ["dialling", "handshaking", "idle", "busy", "checking", "leased", "retiring"];

/// The counters of one part of a pool.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) calls: Counter,
    pub(crate) waited: Counter,
    pub(crate) replies: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) lost: Counter,
    pub(crate) no_connection: Counter,
    pub(crate) queue_full: Counter,
    pub(crate) unavailable: Counter,
    pub(crate) retries: Counter,
    pub(crate) late: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) dials: Counter,
    pub(crate) checks: Counter,
    pub(crate) leases: Counter,
    pub(crate) leaks: Counter,
    pub(crate) opened: Counter,
    pub(crate) losses: [Counter; Loss::COUNT],
    pub(crate) states: [Counter; STATES],
    pub(crate) waiters: Counter,
    pub(crate) tombstones: Counter,
    pub(crate) endpoints_out: Counter,
    pub(crate) wait: HistogramCounter,
    pub(crate) answer: HistogramCounter,
}

impl Counters {
    pub(crate) fn read(&self) -> PoolStats {
        PoolStats {
            calls: self.calls.get(),
            waited: self.waited.get(),
            replies: self.replies.get(),
            timed_out: self.timed_out.get(),
            lost: self.lost.get(),
            no_connection: self.no_connection.get(),
            queue_full: self.queue_full.get(),
            unavailable: self.unavailable.get(),
            retries: self.retries.get(),
            late_replies: self.late.get(),
            cancelled: self.cancelled.get(),
            dials: self.dials.get(),
            checks: self.checks.get(),
            leases: self.leases.get(),
            leaks: self.leaks.get(),
            breaker_opened: self.opened.get(),
            waiters: self.waiters.get(),
            tombstones: self.tombstones.get(),
            endpoints_out: self.endpoints_out.get(),
            wait: self.wait.read(),
            answer: self.answer.read(),
            losses: std::array::from_fn(|index| self.losses[index].get()),
            states: std::array::from_fn(|index| self.states[index].get()),
        }
    }
}

/// Holds a pool's counters at a moment, of all its reactors together.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// Calls.
    pub calls: u64,
    /// Calls that waited for a connection.
    pub waited: u64,
    /// Replies that reached their callers.
    pub replies: u64,
    /// Calls that failed with [`CallError::TimedOut`](crate::CallError::TimedOut).
    pub timed_out: u64,
    /// Calls that failed with [`CallError::Lost`](crate::CallError::Lost).
    pub lost: u64,
    /// Calls that failed with [`CallError::NoConnection`](crate::CallError::NoConnection).
    pub no_connection: u64,
    /// Calls that failed with [`CallError::QueueFull`](crate::CallError::QueueFull).
    pub queue_full: u64,
    /// Calls that failed with [`CallError::Unavailable`](crate::CallError::Unavailable).
    pub unavailable: u64,
    /// Calls that were tried again on another connection.
    pub retries: u64,
    /// Replies that came after their call had timed out or its caller had gone. They were dropped.
    pub late_replies: u64,
    /// Calls and waits for a lease that were given up by their callers: the future was dropped.
    pub cancelled: u64,
    /// Connections that were begun.
    pub dials: u64,
    /// Pings and resets that were sent.
    pub checks: u64,
    /// Leases that were granted.
    pub leases: u64,
    /// Leases that were out for longer than [`Settings::leak_after`](crate::Settings::leak_after).
    pub leaks: u64,
    /// How often a circuit breaker opened.
    pub breaker_opened: u64,
    /// Calls that wait for a connection now.
    pub waiters: u64,
    /// Requests that timed out and whose replies are still due now.
    pub tombstones: u64,
    /// Endpoints that are out of service now.
    pub endpoints_out: u64,
    /// How long calls waited for a connection, those that did not wait left out.
    pub wait: Histogram,
    /// The time from a call to its reply.
    pub answer: Histogram,
    losses: [u64; Loss::COUNT],
    states: [u64; STATES],
}

impl PoolStats {
    /// Returns how many connections ended for this reason.
    #[must_use]
    pub fn losses(&self, of: Loss) -> u64 {
        self.losses[of.index()]
    }

    /// Returns how many connections there are in each state now, with the state's name.
    ///
    /// The names are `dialling`, `handshaking`, `idle`, `busy`, `checking`, `leased` and `retiring`.
    pub fn connections(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        STATE_NAMES.into_iter().zip(self.states)
    }

    /// Returns how many connections there are now, those that are being opened included.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.states.iter().sum()
    }

    /// Adds the counters of another part of the pool, or of another pool.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.waited += other.waited;
        self.replies += other.replies;
        self.timed_out += other.timed_out;
        self.lost += other.lost;
        self.no_connection += other.no_connection;
        self.queue_full += other.queue_full;
        self.unavailable += other.unavailable;
        self.retries += other.retries;
        self.late_replies += other.late_replies;
        self.cancelled += other.cancelled;
        self.dials += other.dials;
        self.checks += other.checks;
        self.leases += other.leases;
        self.leaks += other.leaks;
        self.breaker_opened += other.breaker_opened;
        self.waiters += other.waiters;
        self.tombstones += other.tombstones;
        self.endpoints_out += other.endpoints_out;
        self.wait.merge(&other.wait);
        self.answer.merge(&other.answer);
        self.losses.iter_mut().zip(other.losses).for_each(|(sum, more)| *sum += more);
        self.states.iter_mut().zip(other.states).for_each(|(sum, more)| *sum += more);
    }

    /// Writes the counters in the text format of Prometheus (0.0.4), each with the label `pool`.
    pub fn write_prometheus(&self, pool: &str, out: &mut String) {
        use std::fmt::Write as _;

        let name: String = pool.chars().filter(|symbol| !matches!(symbol, '"' | '\\' | '\n')).collect();
        let mut put = |metric: &str, kind: &str, values: &[(&str, &str, u64)]| {
            // Writing to a string does not fail.
            let _ = writeln!(out, "# TYPE gannet_client_{metric} {kind}");
            for (label, of, value) in values {
                let _ = match *label {
                    "" => writeln!(out, "gannet_client_{metric}{{pool=\"{name}\"}} {value}"),
                    _ => writeln!(out, "gannet_client_{metric}{{pool=\"{name}\",{label}=\"{of}\"}} {value}"),
                };
            }
        };
        put("calls_total", "counter", &[("", "", self.calls)]);
        put("replies_total", "counter", &[("", "", self.replies)]);
        let failures = [
            ("result", "timed_out", self.timed_out),
            ("result", "lost", self.lost),
            ("result", "no_connection", self.no_connection),
            ("result", "queue_full", self.queue_full),
            ("result", "unavailable", self.unavailable),
        ];
        put("failures_total", "counter", &failures);
        put("waited_total", "counter", &[("", "", self.waited)]);
        put("retries_total", "counter", &[("", "", self.retries)]);
        put("cancelled_total", "counter", &[("", "", self.cancelled)]);
        put("late_replies_total", "counter", &[("", "", self.late_replies)]);
        put("dials_total", "counter", &[("", "", self.dials)]);
        put("checks_total", "counter", &[("", "", self.checks)]);
        put("leases_total", "counter", &[("", "", self.leases)]);
        put("leaks_total", "counter", &[("", "", self.leaks)]);
        put("breaker_opened_total", "counter", &[("", "", self.breaker_opened)]);
        let ends: Vec<_> = Loss::ALL.iter().map(|loss| ("reason", loss.name(), self.losses(*loss))).collect();
        put("connections_ended_total", "counter", &ends);
        let states: Vec<_> = self.connections().map(|(state, count)| ("state", state, count)).collect();
        put("connections", "gauge", &states);
        put("waiters", "gauge", &[("", "", self.waiters)]);
        put("tombstones", "gauge", &[("", "", self.tombstones)]);
        put("endpoints_out", "gauge", &[("", "", self.endpoints_out)]);
        for (metric, histogram) in [("wait_seconds", &self.wait), ("answer_seconds", &self.answer)] {
            let _ = writeln!(out, "# TYPE gannet_client_{metric} histogram");
            for (bound, count) in histogram.cumulative() {
                let bound = bound.as_secs_f64();
                let _ = writeln!(out, "gannet_client_{metric}_bucket{{pool=\"{name}\",le=\"{bound}\"}} {count}");
            }
            let (count, sum) = (histogram.count(), histogram.sum().as_secs_f64());
            let _ = writeln!(out, "gannet_client_{metric}_bucket{{pool=\"{name}\",le=\"+Inf\"}} {count}");
            let _ = writeln!(out, "gannet_client_{metric}_sum{{pool=\"{name}\"}} {sum}");
            let _ = writeln!(out, "gannet_client_{metric}_count{{pool=\"{name}\"}} {count}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_name_every_state_and_every_reason_and_keep_the_label_in_its_quotes() {
        let counters = Counters::default();
        counters.calls.add(3);
        counters.losses[Loss::Stalled.index()].add(2);
        counters.states[2].add(1);
        let mut text = String::new();
        counters.read().write_prometheus("a\"b\n", &mut text);
        assert!(text.contains("gannet_client_calls_total{pool=\"ab\"} 3\n"), "{text}");
        assert!(text.contains("gannet_client_connections_ended_total{pool=\"ab\",reason=\"stalled\"} 2\n"));
        assert!(text.contains("gannet_client_connections{pool=\"ab\",state=\"idle\"} 1\n"));
        assert!(text.contains("gannet_client_answer_seconds_bucket{pool=\"ab\",le=\"+Inf\"} 0\n"));
        assert!(Loss::ALL.iter().all(|loss| text.contains(&format!("reason=\"{}\"", loss.name()))));
    }
}
