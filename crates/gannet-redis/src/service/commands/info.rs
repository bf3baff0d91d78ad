//! INFO: what there is to know of the server, in the words that tools for Redis look for.

use std::fmt::{Display, Write as _};

use gannet::{RefusalReason, ServiceStats};

use super::config::{port, tls_port};
use super::connection::REDIS_VERSION;
use super::process;
use crate::command::error::Outcome;
use crate::service::command_statistics::{self, CODES};
use crate::service::pubsub::registry::Kind as Subscribed;
use crate::service::statistics::Totals;
use crate::service::turn::Turn;
use crate::store::DATABASES;

/// A part of the answer.
struct Section {
    /// As it is asked for, and headed.
    name: &'static str,
    /// Whether it is part of what is answered when nothing is asked for.
    default: bool,
    write: fn(&mut Fields, &mut Turn<'_, '_, '_>),
}

static SECTIONS: [Section; 13] = [
    Section { name: "Server", default: true, write: server },
    Section { name: "Clients", default: true, write: clients },
    Section { name: "Memory", default: true, write: memory },
    Section { name: "Persistence", default: true, write: persistence },
    Section { name: "Stats", default: true, write: stats },
    Section { name: "Replication", default: true, write: replication },
    Section { name: "CPU", default: true, write: cpu },
    Section { name: "Modules", default: true, write: nothing },
    Section { name: "Commandstats", default: false, write: command_stats },
    Section { name: "Errorstats", default: true, write: error_stats },
    Section { name: "Latencystats", default: false, write: latency_stats },
    Section { name: "Cluster", default: true, write: cluster },
    Section { name: "Keyspace", default: true, write: keyspace },
];

pub(super) fn info(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let asked = &turn.args[1..];
    let asks = |name: &str| asked.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    let everything = asks("all") || asks("everything");
    let default = asked.is_empty() || asks("default");
    let mut fields = Fields(String::new());
    for section in &SECTIONS {
        if everything || (default && section.default) || asks(section.name) {
            if !fields.0.is_empty() {
                fields.0 += "\r\n";
            }
            fields.0 += "# ";
            fields.0 += section.name;
            fields.0 += "\r\n";
            (section.write)(&mut fields, turn);
        }
    }
    turn.reply().verbatim(b"txt", fields.0.as_bytes());
    Ok(())
}

/// What all instances and the engine have counted since the start.
pub(super) fn totals(turn: &Turn<'_, '_, '_>) -> Totals {
    let mut engine = ServiceStats::default();
    let bound = turn.server().bound();
    for reactor in turn.cx.remote().stats() {
        for (index, listener) in reactor.services.iter().enumerate() {
            // Where nobody said which listeners are ours, all are.
            if bound.is_empty() || bound.iter().any(|bound| bound.index == index) {
                engine.merge(listener);
            }
        }
    }
    let others = Totals {
        refused: engine.refused(RefusalReason::Connections) + engine.refused(RefusalReason::Peer),
        bytes_in: engine.bytes_in,
        bytes_out: engine.bytes_out,
        expired: turn.server().store.counts().expired(),
        evicted: turn.server().memory.evicted(),
        ..Totals::default()
    };
    turn.server().instances.sum(others)
}

/// Lines of a name and a value.
struct Fields(String);

impl Fields {
    fn add(&mut self, name: &str, value: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    fn add_all(&mut self, fields: &[(&str, &str)]) {
        for (name, value) in fields {
            self.add(name, value);
        }
    }

    /// A number of bytes, and the same for people.
    fn add_bytes(&mut self, name: &str, bytes: u64) {
        self.add(name, bytes);
        self.add(&format!("{name}_human"), human(bytes));
    }
}

/// A number of bytes with two decimals and a unit, as Redis writes it.
fn human(bytes: u64) -> String {
    let mut unit = 0;
    let mut rest = bytes as f64;
    while rest >= 1024.0 && unit < 5 {
        rest /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes}B"),
        _ => format!("{rest:.2}{}", ["", "K", "M", "G", "T", "P"][unit]),
    }
}

fn nothing(_: &mut Fields, _: &mut Turn<'_, '_, '_>) {}

fn server(fields: &mut Fields, turn: &mut Turn<'_, '_, '_>) {
    let now = turn.time();
    let up_s = now.saturating_sub(turn.server().started).as_secs();
    fields.add("redis_version", REDIS_VERSION);
    fields.add("gannet_version", env!("CARGO_PKG_VERSION"));
    fields.add_all(&[("redis_git_sha1", "00000000"), ("redis_git_dirty", "0"), ("redis_build_id", "0")]);
    fields.add("redis_mode", "standalone");
    fields.add("os", process::system());
    fields.add("arch_bits", usize::BITS);
    fields.add("process_id", std::process::id());
    fields.add("run_id", &turn.server().run_id);
    // As Redis does: the one for TLS where there is no other.
    fields.add("tcp_port", Some(port(turn.server())).filter(|port| *port != 0).unwrap_or(tls_port(turn.server())));
    fields.add("server_time_usec", now.as_micros());
    fields.add("uptime_in_seconds", up_s);
    fields.add("uptime_in_days", up_s / 86_400);
    fields.add("reactors", turn.cx.remote().reactors());
}

fn clients(fields: &mut Fields, turn: &mut Turn<'_, '_, '_>) {
    fields.add("connected_clients", turn.server().clients.len());
    fields.add("cluster_connections", 0);
    fields.add("maxclients", turn.server().max_clients());
    fields.add("blocked_clients", 0);
    fields.add("tracking_clients", 0);
}

fn memory(fields: &mut Fields, turn: &mut Turn<'_, '_, '_>) {
    let server = turn.server();
    fields.add_bytes("used_memory", server.memory_used() as u64);
    fields.add("used_memory_dataset", server.store.bytes());
    fields.add("mem_clients_normal", server.memory.queued());
    if let Some(bytes) = process::resident_bytes() {
        fields.add_bytes("used_memory_rss", bytes);
    }
    fields.add_bytes("maxmemory", server.memory.limit() as u64);
    fields.add("maxmemory_policy", server.memory.policy().name());
    fields.add("mem_allocator", server.options.allocator);
}

fn persistence(fields: &mut Fields, _: &mut Turn<'_, '_, '_>) {
    fields.add_all(&[
        ("loading", "0"),
        ("async_loading", "0"),
        ("rdb_changes_since_last_save", "0"),
        ("rdb_bgsave_in_progress", "0"),
        ("rdb_last_save_time", "0"),
        ("rdb_last_bgsave_status", "ok"),
        ("rdb_last_bgsave_time_sec", "-1"),
        ("rdb_current_bgsave_time_sec", "-1"),
        ("rdb_saves", "0"),
        ("aof_enabled", "0"),
        ("aof_rewrite_in_progress", "0"),
        ("aof_rewrite_scheduled", "0"),
        ("aof_last_bgrewrite_status", "ok"),
        ("aof_last_write_status", "ok"),
    ]);
}

fn stats(fields: &mut Fields, turn: &mut Turn<'_, '_, '_>) {
    let totals = totals(turn).since(&turn.server().instances.base());
    let now_s = turn.time().as_secs();
    fields.add("total_connections_received", totals.connections);
    fields.add("total_commands_processed", totals.commands);
    fields.add("instantaneous_ops_per_sec", turn.server().instances.per_second(now_s));
    fields.add("total_net_input_bytes", totals.bytes_in);
    fields.add("total_net_output_bytes", totals.bytes_out);
    fields.add("rejected_connections", totals.refused);
    fields.add_all(&[("sync_full", "0"), ("sync_partial_ok", "0"), ("sync_partial_err", "0")]);
    fields.add("expired_keys", totals.expired);
    fields.add("evicted_keys", totals.evicted);
    // These two are no fields of Redis.
    fields.add("eviction_waits", turn.server().memory.waits());
    fields.add("reply_waits", turn.server().memory.pieces());
    fields.add("keyspace_hits", totals.hits);
    fields.add("keyspace_misses", totals.misses);
    let registry = &turn.server().registry;
    fields.add("pubsub_channels", registry.len(Subscribed::Channel));
    fields.add("pubsub_patterns", registry.len(Subscribed::Pattern));
    fields.add("pubsubshard_channels", registry.len(Subscribed::Shard));
    fields.add("latest_fork_usec", 0);
    fields.add("total_error_replies", totals.errors);
}

fn replication(fields: &mut Fields, turn: &mut Turn<'_, '_, '_>) {
    fields.add_all(&[("role", "master"), ("connected_slaves", "0"), ("master_failover_state", "no-failover")]);
    fields.add("master_replid", &turn.server().run_id);
    fields.add("master_replid2", "0".repeat(40));
    fields.add_all(&[
        ("master_repl_offset", "0"),
        ("second_repl_offset", "-1"),
        ("repl_backlog_active", "0"),
        ("repl_backlog_size", "0"),
    ]);
}

fn cpu(fields: &mut Fields, _: &mut Turn<'_, '_, '_>) {
    if let Some((system, user)) = process::processor_seconds() {
        fields.add("used_cpu_sys", format_args!("{system:.6}"));
        fields.add("used_cpu_user", format_args!("{user:.6}"));
    }
    fields.add_all(&[("used_cpu_sys_children", "0.000000"), ("used_cpu_user_children", "0.000000")]);
}

/// The times are estimates, by those calls that were measured.
fn command_stats(fields: &mut Fields, turn: &mut Turn<'_, '_, '_>) {
    let details = turn.server().instances.details();
    for (command, totals) in command_statistics::named(&details.commands).filter(|(_, totals)| totals.is_known()) {
        let (calls, micros) = (totals.calls, totals.micros());
        let per_call = if calls == 0 { 0.0 } else { micros as f64 / calls as f64 };
        let (rejected, failed) = (totals.rejected, totals.failed);
        let counts = format_args!(
            "calls={calls},usec={micros},usec_per_call={per_call:.2},rejected_calls={rejected},failed_calls={failed}"
        );
        fields.add(&format!("cmdstat_{}", command.name), counts);
    }
}

fn error_stats(fields: &mut Fields, turn: &mut Turn<'_, '_, '_>) {
    let details = turn.server().instances.details();
    for (code, count) in CODES.iter().chain(&["OTHER"]).zip(details.codes).filter(|(_, count)| *count > 0) {
        fields.add(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn latency_stats(fields: &mut Fields, turn: &mut Turn<'_, '_, '_>) {
    let details = turn.server().instances.details();
    for (command, totals) in command_statistics::named(&details.commands) {
        let percentiles = [500, 990, 999].map(|permille| totals.percentile(permille));
        if let [Some(half), Some(most), Some(nearly_all)] = percentiles {
            let times = format_args!("p50={half:.3},p99={most:.3},p99.9={nearly_all:.3}");
            fields.add(&format!("latency_percentiles_usec_{}", command.name), times);
        }
    }
}

fn cluster(fields: &mut Fields, _: &mut Turn<'_, '_, '_>) {
    fields.add("cluster_enabled", 0);
}

fn keyspace(fields: &mut Fields, turn: &mut Turn<'_, '_, '_>) {
    let counts = turn.server().store.counts();
    for db in 0..DATABASES as u8 {
        let (keys, expiring) = (counts.keys(db), counts.expiring(db));
        if keys > 0 {
            fields.add(&format!("db{db}"), format_args!("keys={keys},expires={expiring},avg_ttl=0"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_for_people_as_redis_does() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_573_080, "1.50M"),
            (12_541_952, "11.96M"),
            (25_276_502_016, "23.54G"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
