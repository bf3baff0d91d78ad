//! What the gateway counts. Each reactor has counters of its own; reading them stops nobody.

pub(crate) mod checks;

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gannet_channels::{NamespaceStats, Space, SpaceStats};

use crate::wire::{WIRES, Wire};

/// A number that one thread changes, and others read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds without a locked instruction: nobody else writes.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, less: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(less), Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bounds of the buckets of times, in milliseconds. The clocks that times are taken from count whole ones, so there is no
/// bucket below two: a time of one may be nearly two.
const BOUNDS_MS: [u64; 11] = [2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000];

/// How long something took.
#[derive(Debug, Default)]
pub(crate) struct Times {
    buckets: [Counter; BOUNDS_MS.len() + 1],
    sum_ms: Counter,
}

impl Times {
    pub(crate) fn record(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS_MS.partition_point(|bound| *bound <= ms)].add(1);
        self.sum_ms.add(ms);
    }
}

/// What one reactor counts.
#[derive(Debug, Default)]
pub(crate) struct ReactorMetrics {
    /// Clients now, by [`Wire`].
    pub(crate) clients: [Counter; WIRES],
    /// Recoveries that failed, and those that succeeded.
    pub(crate) recoveries: [Counter; 2],
    /// From a ping to its answer.
    pub(crate) round_trips: Times,
    /// From a publication to the outboxes of this reactor's subscribers.
    pub(crate) flushes: Times,
}

/// Numbers by code. Codes come seldom, so a lock does.
#[derive(Debug, Default)]
pub(crate) struct ByCode(Mutex<BTreeMap<u32, u64>>);

/// Codes that are told apart; further ones of the application count as 0.
const MOST_CODES: usize = 256;

impl ByCode {
    pub(crate) fn count(&self, code: u32) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let code = if counts.len() < MOST_CODES || counts.contains_key(&code) { code } else { 0 };
        *counts.entry(code).or_default() += 1;
    }

    pub(crate) fn read(&self) -> BTreeMap<u32, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the gateway counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    reactors: Box<[ReactorMetrics]>,
    /// Commands that were refused, by the code of the error.
    pub(crate) errors: ByCode,
    /// Sessions that the server ended, by the code.
    pub(crate) disconnects: ByCode,
}

impl Metrics {
    pub(crate) fn new(reactors: usize) -> Self {
        let reactors = (0..reactors).map(|_| ReactorMetrics::default()).collect();
        Self { reactors, errors: ByCode::default(), disconnects: ByCode::default() }
    }

    pub(crate) fn reactor(&self, reactor: usize) -> &ReactorMetrics {
        &self.reactors[reactor % self.reactors.len()]
    }

    fn sum(&self, of: impl Fn(&ReactorMetrics) -> u64) -> u64 {
        self.reactors.iter().map(of).sum()
    }

    /// Returns how many clients are connected now.
    pub(crate) fn clients(&self) -> u64 {
        self.sum(|reactor| reactor.clients.iter().map(Counter::read).sum())
    }

    /// Returns how many clients are connected now, by format and framing.
    pub(crate) fn by_wire(&self) -> impl Iterator<Item = (Wire, u64)> {
        Wire::all().into_iter().map(|wire| (wire, self.sum(|reactor| reactor.clients[wire as usize].read())))
    }

    /// Writes the logins to the admin page: those that were refused, and those that were not.
    pub(crate) fn write_logins(&self, out: &mut String, [refused, accepted]: [u64; 2]) -> fmt::Result {
        head(out, "gannet_push_admin_logins_total", "counter", "Logins to the admin page, by result.")?;
        for (result, count) in [("refused", refused), ("accepted", accepted)] {
            writeln!(out, "gannet_push_admin_logins_total{{result=\"{result}\"}} {count}")?;
        }
        Ok(())
    }

    /// Writes everything in Prometheus's text format, version 0.0.4.
    pub(crate) fn write(&self, out: &mut String, space: &Space) -> fmt::Result {
        head(out, "gannet_push_clients", "gauge", "Clients now, by transport and format.")?;
        for (wire, count) in self.by_wire() {
            let (transport, format) = (wire.transport(), wire.protocol());
            writeln!(out, "gannet_push_clients{{transport=\"{transport}\",format=\"{format}\"}} {count}")?;
        }
        head(out, "gannet_push_recoveries_total", "counter", "Recoveries, by result.")?;
        for (result, name) in ["refused", "recovered"].into_iter().enumerate() {
            let count = self.sum(|reactor| reactor.recoveries[result].read());
            writeln!(out, "gannet_push_recoveries_total{{result=\"{name}\"}} {count}")?;
        }
        head(out, "gannet_push_errors_total", "counter", "Commands that were refused, by the code of the error.")?;
        for (code, count) in self.errors.read() {
            writeln!(out, "gannet_push_errors_total{{code=\"{code}\"}} {count}")?;
        }
        head(out, "gannet_push_disconnects_total", "counter", "Sessions that the server ended, by the code.")?;
        for (code, count) in self.disconnects.read() {
            writeln!(out, "gannet_push_disconnects_total{{code=\"{code}\"}} {count}")?;
        }
        self.times(out, "gannet_push_ping_seconds", "From a ping to its answer, in whole milliseconds.", |reactor| {
            &reactor.round_trips
        })?;
        let help = "From a publication to the outbox of a reactor's last subscriber, in whole milliseconds.";
        self.times(out, "gannet_push_flush_seconds", help, |reactor| &reactor.flushes)?;
        of_space(out, space)
    }

    fn times(&self, out: &mut String, name: &str, help: &str, of: fn(&ReactorMetrics) -> &Times) -> fmt::Result {
        head(out, name, "histogram", help)?;
        let mut count = 0;
        for (number, bound) in BOUNDS_MS.iter().map(|bound| Some(*bound)).chain([None]).enumerate() {
            count += self.sum(|reactor| of(reactor).buckets[number].read());
            match bound {
                Some(bound) => writeln!(out, "{name}_bucket{{le=\"{}\"}} {count}", bound as f64 / 1e3)?,
                None => writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}")?,
            }
        }
        let sum_ms = self.sum(|reactor| of(reactor).sum_ms.read());
        writeln!(out, "{name}_sum {}\n{name}_count {count}", sum_ms as f64 / 1e3)
    }
}

/// Name, kind, what it is, and where it is read.
type Metric<Stats> = (&'static str, &'static str, &'static str, fn(&Stats) -> u64);

static OF_SPACE: [Metric<SpaceStats>; 16] = [
    ("gannet_push_users", "gauge", "Users with a client; the anonymous ones count as one.", |stats| stats.users),
    ("gannet_push_channels", "gauge", "Channels that exist.", |stats| stats.channels),
    ("gannet_push_history_publications", "gauge", "Publications in all histories.", |stats| stats.history_publications),
    ("gannet_push_history_bytes", "gauge", "Bytes of all histories.", |stats| stats.history_bytes),
    ("gannet_push_idempotency_keys", "gauge", "Idempotency keys that are remembered.", |stats| stats.idempotency_keys),
    ("gannet_push_inbox_items", "gauge", "Deliveries that wait for reactors.", |stats| stats.inbox_items),
    ("gannet_push_inbox_lost_total", "counter", "Deliveries that no inbox had room for.", |stats| stats.inbox_lost),
    ("gannet_push_refused_publications_total", "counter", "Publications refused for their size.", |stats| {
        stats.refused_publications
    }),
    ("gannet_push_refused_channels_total", "counter", "Calls refused by the limit of channels.", |stats| {
        stats.refused_channels
    }),
    ("gannet_push_refused_connections_total", "counter", "Clients refused by the limit of a user.", |stats| {
        stats.refused_connections
    }),
    ("gannet_push_refused_orders_total", "counter", "Calls of the server API refused by a full inbox.", |stats| {
        stats.refused_orders
    }),
    ("gannet_push_refused_names_total", "counter", "Calls refused for the name of a channel.", |stats| {
        stats.refused_names
    }),
    ("gannet_push_refused_subscribers_total", "counter", "Subscriptions refused by the limit of a channel.", |stats| {
        stats.refused_subscribers
    }),
    (
        "gannet_push_refused_channels_per_client_total",
        "counter",
        "Subscriptions refused by the limit of a client.",
        |stats| stats.refused_channels_per_client,
    ),
    ("gannet_push_refused_keys_total", "counter", "Publications refused for their idempotency key.", |stats| {
        stats.refused_keys
    }),
    ("gannet_push_refused_presence_total", "counter", "Presences of too many clients to be listed.", |stats| {
        stats.refused_presence
    }),
];

static OF_NAMESPACE: [Metric<NamespaceStats>; 17] = [
    ("gannet_push_namespace_channels", "gauge", "Channels that exist, by namespace.", |stats| stats.channels),
    ("gannet_push_subscriptions", "gauge", "Subscriptions now, by namespace.", |stats| stats.subscriptions),
    ("gannet_push_publications_total", "counter", "Publications, by namespace.", |stats| stats.publications),
    ("gannet_push_publication_bytes_total", "counter", "Bytes of their data.", |stats| stats.publication_bytes),
    ("gannet_push_duplicates_total", "counter", "Publications whose idempotency key was known.", |stats| {
        stats.duplicates
    }),
    ("gannet_push_deliveries_total", "counter", "Events that subscribers took, by namespace.", |stats| {
        stats.deliveries
    }),
    ("gannet_push_delivery_bytes_total", "counter", "Bytes of the data in them.", |stats| stats.delivery_bytes),
    ("gannet_push_frames_total", "counter", "Frames that carried them.", |stats| stats.frames),
    ("gannet_push_joins_total", "counter", "Join events.", |stats| stats.joins),
    ("gannet_push_leaves_total", "counter", "Leave events.", |stats| stats.leaves),
    ("gannet_push_dropped_total", "counter", "Events dropped for slow subscribers.", |stats| stats.dropped),
    ("gannet_push_replaced_total", "counter", "Publications replaced by a newer one for slow subscribers.", |stats| {
        stats.replaced
    }),
    ("gannet_push_slow_total", "counter", "Subscribers closed because they were too slow.", |stats| stats.slow),
    ("gannet_push_gaps_total", "counter", "Subscriptions that were told of a loss.", |stats| stats.gaps),
    (
        "gannet_push_history_evicted_total",
        "counter",
        "Publications that left a history early, for its bytes.",
        |stats| stats.history_evicted,
    ),
    ("gannet_push_history_refused_total", "counter", "Publications that no history had room for.", |stats| {
        stats.history_refused
    }),
    ("gannet_push_forgotten_early_total", "counter", "Channels that forgot their position early.", |stats| {
        stats.forgotten_early
    }),
];

fn of_space(out: &mut String, space: &Space) -> fmt::Result {
    let stats = space.stats();
    for (name, kind, help, read) in &OF_SPACE {
        head(out, name, kind, help)?;
        writeln!(out, "{name} {}", read(&stats))?;
    }
    for (name, kind, help, read) in &OF_NAMESPACE {
        head(out, name, kind, help)?;
        for own in &stats.namespaces {
            writeln!(out, "{name}{{namespace=\"{}\"}} {}", own.name, read(own))?;
        }
    }
    Ok(())
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}
