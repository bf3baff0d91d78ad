//! The engine's counters, and how long turns and handlers take, in Prometheus's text format, version 0.0.4.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::{self, Write as _};

use gannet::{Histogram, OffloadStats, ReactorStats, Remote, ServiceStats};
use gannet_http::Cx;
use gannet_http::middleware::HandlerTime;
use gannet_redis::Server;

use super::process;
use super::site::Site;
use crate::audit::AuditStats;
use crate::otlp::QueueStats;
use crate::status::{self, LostLine, Status};

type OfListener = fn(&ServiceStats) -> u64;
type OfReactor = fn(&ReactorStats) -> u64;
type OfPool = fn(&OffloadStats) -> u64;
type OfStore = fn(&Server) -> u64;

/// Name, kind, what it is, and where it is read.
type Metric<Read> = (&'static str, &'static str, &'static str, Read);

static LISTENER: [Metric<OfListener>; 9] = [
    ("gannet_connections", "gauge", "Connections now.", |stats| stats.connections),
    ("gannet_accepted_total", "counter", "Connections accepted.", |stats| stats.accepted),
    ("gannet_accept_errors_total", "counter", "Accepts that failed.", |stats| stats.accept_errors),
    ("gannet_accept_pauses_total", "counter", "Times that accepting was paused.", |stats| stats.accept_pauses),
    ("gannet_messages_received_total", "counter", "Messages received.", |stats| stats.messages_in),
    ("gannet_messages_sent_total", "counter", "Messages sent.", |stats| stats.messages_out),
    ("gannet_received_bytes_total", "counter", "Bytes received.", |stats| stats.bytes_in),
    ("gannet_sent_bytes_total", "counter", "Bytes that the kernel took.", |stats| stats.bytes_out),
    ("gannet_messages_dropped_total", "counter", "Messages dropped for slow readers.", |stats| stats.dropped),
];

static REACTOR: [Metric<OfReactor>; 22] = [
    ("gannet_reactor_wakeups_total", "counter", "Times the reactor came back from waiting.", |stats| stats.wakeups),
    ("gannet_reactor_stalls_total", "counter", "Turns that took longer than 25 ms.", |stats| stats.stalls),
    ("gannet_reactor_starved_total", "counter", "Times that no receive buffer was free.", |stats| stats.starved),
    ("gannet_reactor_letters_total", "counter", "Letters from other threads.", |stats| stats.letters),
    ("gannet_reactor_stale_handles_total", "counter", "Letters for connections that were gone.", |stats| {
        stats.stale_handles
    }),
    ("gannet_reactor_timers", "gauge", "Connections with a deadline.", |stats| stats.timers),
    ("gannet_reactor_named_timers", "gauge", "Timers of connections that have several.", |stats| stats.named_timers),
    ("gannet_reactor_groups", "gauge", "Groups with a member.", |stats| stats.groups),
    ("gannet_reactor_joins_refused_total", "counter", "Joins refused by a limit on groups.", |stats| {
        stats.joins_refused
    }),
    ("gannet_reactor_mailbox_letters", "gauge", "Letters that wait in the mailbox.", |stats| stats.mailbox_letters),
    ("gannet_reactor_mailbox_full_total", "counter", "Letters refused because the mailbox was full.", |stats| {
        stats.mailbox_full
    }),
    ("gannet_reactor_outbox_bytes", "gauge", "Bytes that wait to be sent.", |stats| stats.outbox_bytes),
    ("gannet_reactor_outbox_high_total", "counter", "Times that an outbox went over its high mark.", |stats| {
        stats.outbox_high
    }),
    ("gannet_reactor_carry_bytes", "gauge", "Bytes of messages that are not complete.", |stats| stats.carry_bytes),
    ("gannet_reactor_carry_waits_total", "counter", "Times that a large message had to wait for room.", |stats| {
        stats.carry_waits
    }),
    ("gannet_reactor_kicked_total", "counter", "Connections that operators had closed.", |stats| stats.kicked),
    ("gannet_reactor_waiting", "gauge", "Accepted connections that wait for a slot or a descriptor.", |stats| {
        stats.waiting
    }),
    ("gannet_reactor_slow_readers", "gauge", "Connections whose outbox went over its high mark.", |stats| {
        stats.slow_readers
    }),
    ("gannet_reactor_heartbeats_total", "counter", "Heartbeats sent to silent peers.", |stats| stats.heartbeats),
    ("gannet_reactor_heartbeats_missed_total", "counter", "Heartbeats that were not answered in time.", |stats| {
        stats.heartbeats_missed
    }),
    ("gannet_reactor_handshakes_total", "counter", "TLS handshakes completed.", |stats| stats.handshakes),
    ("gannet_reactor_handshakes_waiting", "gauge", "TLS handshakes that wait for their turn.", |stats| {
        stats.handshakes_waiting
    }),
];

static OFFLOAD: [Metric<OfPool>; 7] = [
    ("gannet_offload_queued", "gauge", "Offloaded jobs that wait for a thread.", |stats| stats.queued as u64),
    ("gannet_offload_running", "gauge", "Offloaded jobs that run.", |stats| stats.running as u64),
    ("gannet_offload_threads", "gauge", "Threads for offloaded jobs.", |stats| stats.threads as u64),
    ("gannet_offload_accepted_total", "counter", "Offloaded jobs taken.", |stats| stats.accepted),
    ("gannet_offload_refused_total", "counter", "Offloaded jobs refused by a limit.", |stats| stats.refused),
    ("gannet_offload_abandoned_total", "counter", "Offloaded jobs whose connection went before.", |stats| {
        stats.abandoned
    }),
    ("gannet_offload_panicked_total", "counter", "Offloaded jobs that panicked.", |stats| stats.panicked),
];

static STORE: [Metric<OfStore>; 6] = [
    ("gannet_redis_memory_bytes", "gauge", "Bytes that count toward the store's limit of memory.", |store| {
        store.memory_used() as u64
    }),
    ("gannet_redis_memory_limit_bytes", "gauge", "That limit; 0 is none.", |store| store.memory().limit() as u64),
    ("gannet_redis_queued_bytes", "gauge", "Bytes of commands that wait for EXEC.", |store| {
        store.memory().queued() as u64
    }),
    ("gannet_redis_evicted_keys_total", "counter", "Keys removed because the store was over its limit.", |store| {
        store.memory().evicted()
    }),
    (
        "gannet_redis_eviction_waits_total",
        "counter",
        "Times that a client had to wait until keys were evicted.",
        |store| store.memory().waits(),
    ),
    (
        "gannet_redis_reply_waits_total",
        "counter",
        "Times that a reply waited until its client had read a part.",
        |store| store.memory().pieces(),
    ),
];

/// Answers with all counters.
pub(super) fn write(cx: &mut Cx<'_>, site: &Site, store: &Server) {
    let labels: Vec<Option<String>> = site.what().map_or_else(Vec::new, |what| {
        let label = |service: &str, address: &str| format!("service=\"{service}\",listener=\"{}\"", Escaped(address));
        what.listeners.iter().map(|place| place.as_ref().map(|place| label(place.service, &place.address))).collect()
    });
    cx.header("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    // A string takes everything.
    let mut text = String::new();
    let _ = page(&mut text, &cx.remote(), &labels, &site.times, store);
    let _ = of_process(&mut text).and_then(|()| of_operation(&mut text, &site.status));
    if let Some(stats) = site.audit() {
        let _ = of_audit(&mut text, stats);
    }
    if let Some(stats) = site.traces() {
        let _ = of_traces(&mut text, stats);
    }
    if let Some(push) = site.push() {
        let _ = push.write_metrics(&mut text);
    }
    cx.text(&text);
}

fn page(
    out: &mut String,
    remote: &Remote,
    labels: &[Option<String>],
    handlers: &HandlerTime,
    store: &Server,
) -> fmt::Result {
    head(out, "gannet_info", "gauge", "Version of the server.")?;
    writeln!(out, "gannet_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))?;
    head(out, "gannet_stopping", "gauge", "1 from the first signal to stop on: /readyz answers 503.")?;
    writeln!(out, "gannet_stopping {}", u8::from(remote.is_stopping()))?;
    head(out, "gannet_offloads", "gauge", "Offloaded jobs that wait or run.")?;
    writeln!(out, "gannet_offloads {}", remote.offloads())?;
    head(out, "gannet_access_rates_forgotten_total", "counter", "Addresses whose rate was forgotten for others.")?;
    writeln!(out, "gannet_access_rates_forgotten_total {}", remote.access_stats().rates_forgotten)?;
    let pools = remote.offload_stats();
    for (name, kind, help, read) in &OFFLOAD {
        head(out, name, kind, help)?;
        for stats in &pools {
            writeln!(out, "{name}{{pool=\"{}\"}} {}", stats.pool.name(), read(stats))?;
        }
    }
    let (reactors, acceptor) = (remote.stats(), remote.acceptor_stats().unwrap_or_default());
    let (listeners, labels) = by_label(sums(&reactors, &acceptor), labels);
    of_listeners(out, &listeners, &labels)?;
    for (name, kind, help, read) in &REACTOR {
        head(out, name, kind, help)?;
        for (number, stats) in reactors.iter().enumerate() {
            writeln!(out, "{name}{{reactor=\"{number}\"}} {}", read(stats))?;
        }
    }
    let turns = "gannet_reactor_turn_seconds";
    head(out, turns, "histogram", "Duration of turns of the event loop: how long an event may have to wait.")?;
    for (number, stats) in reactors.iter().enumerate() {
        histogram(out, turns, &format!("reactor=\"{number}\""), &stats.turns)?;
    }
    let trips = "gannet_reactor_heartbeat_seconds";
    head(out, trips, "histogram", "From the first unanswered heartbeat to the next bytes of that peer.")?;
    for (number, stats) in reactors.iter().enumerate() {
        histogram(out, trips, &format!("reactor=\"{number}\""), &stats.round_trips)?;
    }
    for (name, kind, help, read) in &STORE {
        head(out, name, kind, help)?;
        writeln!(out, "{name} {}", read(store))?;
    }
    of_handlers(out, handlers)
}

/// What the system does not tell is left out.
fn of_process(out: &mut String) -> fmt::Result {
    for process::Reading { name, kind, help, value } in process::read().into_iter().chain(process::allocator()) {
        if let Some(value) = value {
            head(out, name, kind, help)?;
            writeln!(out, "{name} {value}")?;
        }
    }
    Ok(())
}

fn of_operation(out: &mut String, shown: &Status) -> fmt::Result {
    let reload = shown.reload();
    for (name, kind, help, value) in [
        ("gannet_config_generation", "gauge", "Number of the configuration in force; 0 is that of the start.", {
            reload.generation
        }),
        ("gannet_config_reloads_total", "counter", "Reloads that succeeded.", reload.succeeded),
        ("gannet_config_reload_failures_total", "counter", "Reloads that failed; the server went on as before.", {
            reload.failed
        }),
        ("gannet_config_last_reload_failed", "gauge", "1 if the last reload failed.", reload.last_failed.into()),
        ("gannet_config_last_success_timestamp_seconds", "gauge", "When a configuration was last put in force.", {
            reload.last_success_s
        }),
    ] {
        head(out, name, kind, help)?;
        writeln!(out, "{name} {value}")?;
    }
    let name = "gannet_log_dropped_total";
    head(out, name, "counter", "Lines of the log that were lost: repeated too often, or not written.")?;
    for reason in LostLine::ALL {
        writeln!(out, "{name}{{reason=\"{}\"}} {}", reason.name(), status::lost_lines(reason))?;
    }
    if let Some(expires) = shown.certificate_expires_s() {
        let name = "gannet_tls_certificate_expires_timestamp_seconds";
        head(out, name, "gauge", "When the first certificate expires.")?;
        writeln!(out, "{name} {expires}")?;
    }
    let name = "gannet_limit";
    head(out, name, "gauge", "Limits as configured; 0 is none.")?;
    for (limit, value) in shown.limits() {
        writeln!(out, "{name}{{limit=\"{limit}\"}} {value}")?;
    }
    Ok(())
}

fn of_audit(out: &mut String, stats: AuditStats) -> fmt::Result {
    let AuditStats { written, dropped } = stats;
    head(out, "gannet_audit_lines_total", "counter", "Lines of the audit log that were written.")?;
    writeln!(out, "gannet_audit_lines_total {written}")?;
    head(
        out,
        "gannet_audit_dropped_total",
        "counter",
        "Lines of the audit log that were too many, or could not be written.",
    )?;
    writeln!(out, "gannet_audit_dropped_total {dropped}")
}

fn of_traces(out: &mut String, stats: QueueStats) -> fmt::Result {
    let QueueStats { waiting, exported, overflowed, lost, failures } = stats;
    for (name, kind, help, value) in [
        ("gannet_traces_queued_spans", "gauge", "Spans that wait for the collector.", waiting as u64),
        ("gannet_traces_exported_spans_total", "counter", "Spans that the collector took.", exported),
        ("gannet_traces_export_failures_total", "counter", "Requests to the collector that failed.", failures),
    ] {
        head(out, name, kind, help)?;
        writeln!(out, "{name} {value}")?;
    }
    let name = "gannet_traces_dropped_spans_total";
    head(out, name, "counter", "Spans dropped: the queue was full, or the collector did not take them.")?;
    writeln!(out, "{name}{{reason=\"queue\"}} {overflowed}")?;
    writeln!(out, "{name}{{reason=\"collector\"}} {lost}")
}

fn of_handlers(out: &mut String, handlers: &HandlerTime) -> fmt::Result {
    let name = "gannet_http_handler_seconds";
    let help = format!("Duration of HTTP handlers, of a sample of 1 request in {}.", handlers.sample());
    head(out, name, "histogram", &help)?;
    for route in handlers.read() {
        let label = format!("method=\"{}\",route=\"{}\"", Escaped(&route.method), Escaped(&route.pattern));
        histogram(out, name, &label, &route.times)?;
    }
    Ok(())
}

/// The samples of a histogram. They are of one moment: the last bucket is the count.
fn histogram(out: &mut String, name: &str, label: &str, histogram: &Histogram) -> fmt::Result {
    for (bound, count) in histogram.cumulative() {
        writeln!(out, "{name}_bucket{{{label},le=\"{}\"}} {count}", bound.as_secs_f64())?;
    }
    let count = histogram.count();
    writeln!(out, "{name}_bucket{{{label},le=\"+Inf\"}} {count}")?;
    writeln!(out, "{name}_sum{{{label}}} {}", histogram.sum().as_secs_f64())?;
    writeln!(out, "{name}_count{{{label}}} {count}")
}

/// Adds up what has the same labels: a reload gives a listener another place, and its counters go on.
fn by_label(all: Vec<ServiceStats>, labels: &[Option<String>]) -> (Vec<ServiceStats>, Vec<String>) {
    let (mut sums, mut names): (Vec<ServiceStats>, Vec<String>) = (Vec::new(), Vec::new());
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (stats, label) in all.into_iter().zip(labels) {
        let Some(label) = label else { continue };
        match places.entry(label) {
            Entry::Occupied(place) => sums[*place.get()].merge(&stats),
            Entry::Vacant(place) => {
                place.insert(sums.len());
                sums.push(stats);
                names.push(label.clone());
            }
        }
    }
    (sums, names)
}

fn of_listeners(out: &mut String, listeners: &[ServiceStats], labels: &[String]) -> fmt::Result {
    for (name, kind, help, read) in &LISTENER {
        head(out, name, kind, help)?;
        for (stats, label) in listeners.iter().zip(labels) {
            writeln!(out, "{name}{{{label}}} {}", read(stats))?;
        }
    }
    head(out, "gannet_refused_total", "counter", "Connections refused, by reason.")?;
    for (stats, label) in listeners.iter().zip(labels) {
        for (reason, count) in stats.refusals() {
            writeln!(out, "gannet_refused_total{{{label},reason=\"{reason}\"}} {count}")?;
        }
    }
    head(out, "gannet_closed_total", "counter", "Connections closed, by reason.")?;
    for (stats, label) in listeners.iter().zip(labels) {
        for (reason, count) in stats.closings() {
            let reason = Escaped(reason);
            writeln!(out, "gannet_closed_total{{{label},reason=\"{reason}\"}} {count}")?;
        }
    }
    Ok(())
}

/// What all reactors and the acceptor counted, by listener.
fn sums(reactors: &[ReactorStats], acceptor: &[ServiceStats]) -> Vec<ServiceStats> {
    let mut sums: Vec<ServiceStats> = Vec::new();
    for listeners in reactors.iter().map(|reactor| &reactor.services[..]).chain([acceptor]) {
        sums.resize_with(sums.len().max(listeners.len()), ServiceStats::default);
        sums.iter_mut().zip(listeners).for_each(|(sum, more)| sum.merge(more));
    }
    sums
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// A text as a label's value has it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
